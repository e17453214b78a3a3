//! Connectivity of the same edges for `bench/peers`: braid's engine, union-find, and differential's
//! `propagate`, each in a process of its own that reads the edges from a file.
//!
//! In the file are the identifiers of an event, two numbers of 62 bits, little-endian in 64, so
//! that all engines have an integer for them. The engine gets tokens of 128 bits, as in a job.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::mpsc;

use differential_dataflow::algorithms::graphs::propagate::propagate as spread;
use differential_dataflow::input::InputSession;
use foldhash::fast::FixedState;
use operators::identity::{Engine as _, Handle, Resolution};

use crate::micro::connectivity::{STEP, UnionFind, sighting};
use crate::workload::graphs;

/// The identifiers of an event.
pub type Pair = (u64, u64);

/// Of each identifier the smallest one that it is connected with.
pub type Labels = HashMap<u64, u64, FixedState>;

/// Writes the edges of `braid-bench connectivity`, its people with a hairball.
pub fn export(path: &Path, size: usize) -> io::Result<()> {
    let mut file = io::BufWriter::new(fs::File::create(path)?);
    for (x, y) in graphs::persons(1, size) {
        for token in [x, y] {
            file.write_all(&((token >> 66) as u64).to_le_bytes())?;
        }
    }
    file.flush()
}

/// Reads what [`export`] has written.
pub fn read(path: &Path) -> io::Result<Vec<Pair>> {
    let bytes = fs::read(path)?;
    let (edges, rest) = bytes.as_chunks::<16>();
    if !rest.is_empty() {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the last edge is cut off"));
    }
    let half = |bytes: &[u8; 16], at: usize| {
        let (halves, _) = bytes.as_chunks::<8>();
        u64::from_le_bytes(halves[at])
    };
    Ok(edges.iter().map(|edge| (half(edge, 0), half(edge, 1))).collect())
}

/// A token that begins with an identifier; the rest is as random as in a job.
fn token(node: u64) -> u128 {
    let mixed = (node ^ node >> 31).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    u128::from(node) << 64 | u128::from(mixed ^ mixed >> 29)
}

/// Names each group by its smallest identifier.
fn by_smallest(groups: impl Iterator<Item = (u64, u64)> + Clone) -> Labels {
    let mut smallest = Labels::default();
    for (node, group) in groups.clone() {
        smallest.entry(group).and_modify(|least| *least = node.min(*least)).or_insert(node);
    }
    groups.map(|(node, group)| (node, smallest[&group])).collect()
}

/// The incremental engine, in epochs; whose each identifier is, is followed as it says so.
pub fn engine(edges: &[Pair], epoch: usize) -> Labels {
    let mut engine = crate::micro::connectivity::empty();
    let mut persons: HashMap<u64, Handle, FixedState> = HashMap::default();
    let mut resolution = Resolution::default();
    let mut number = 0;
    for events in edges.chunks(epoch) {
        for (x, y) in events {
            let edge = (token(*x), token(*y));
            engine.update(sighting(number as i64 * STEP, number, edge), 1);
            number += 1;
        }
        engine.advance(&mut resolution);
        for (member, diff) in resolution.memberships.drain(..) {
            if diff > 0 {
                persons.insert((member.ident.token.0 >> 64) as u64, member.person);
            }
        }
        resolution.names.clear();
        resolution.assigns.clear();
        resolution.changes.clear();
    }
    by_smallest(persons.iter().map(|(node, person)| (*node, *person)))
}

/// The limit of `braid-bench connectivity`.
pub fn union_find(edges: &[Pair]) -> Labels {
    let mut sets = UnionFind::default();
    for (x, y) in edges {
        let (x, y) = (sets.intern(token(*x)), sets.intern(token(*y)));
        sets.union(x, y);
    }
    let nodes = sets.nodes();
    by_smallest(nodes.iter().map(|(token, set)| ((token >> 64) as u64, u64::from(*set))))
}

/// differential's `propagate`, in epochs, on one worker; changes of labels are followed.
pub fn propagate(edges: &[Pair], epoch: usize) -> Labels {
    let edges = edges.to_vec();
    timely::execute_directly(move |worker| {
        let (send, changes) = mpsc::channel();
        let mut input: InputSession<u64, Pair, isize> = InputSession::new();
        let probe = worker.dataflow(|scope| {
            // An edge that is known already is no change, so the iteration does not hear of it.
            let links = input.to_collection(scope).flat_map(|(x, y)| [(x, y), (y, x)]).distinct();
            let own = links.clone().map(|(x, _)| x).distinct().map(|x| (x, x));
            let labels = spread(links, own).consolidate().inspect_batch(move |_, batch| {
                // The other side is there as long as this worker runs.
                let _ = send.send(batch.to_vec());
            });
            labels.probe().0
        });
        let mut labels = Labels::default();
        for (number, events) in edges.chunks(epoch).enumerate() {
            for pair in events {
                input.insert(*pair);
            }
            input.advance_to(number as u64 + 1);
            input.flush();
            while probe.less_than(input.time()) {
                worker.step();
            }
            for ((node, label), _, diff) in changes.try_iter().flatten() {
                if diff > 0 {
                    labels.insert(node, label);
                }
            }
        }
        labels
    })
}

/// The answer as `bench/peers` compares it: identifiers, people, and a sum that depends on who is
/// with whom.
pub fn answer(labels: &Labels) -> String {
    let people = labels.iter().filter(|(node, label)| node == label).count();
    let sum = labels.iter().fold(0_u64, |sum, (node, label)| sum.wrapping_add(node ^ label >> 1));
    let identifiers = labels.len();
    format!(
        "{{\"answer\": {{\"identifiers\": {identifiers}, \"people\": {people}, \
         \"labels\": \"{sum}\"}}}}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_ways_come_to_one_answer() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("edges");
        export(&path, 3_000).unwrap();
        let edges = read(&path).unwrap();
        assert_eq!(edges.len(), 3_000);
        let labels = union_find(&edges);
        assert!(labels.values().any(|label| labels[label] == *label));
        assert_eq!(engine(&edges, 500), labels);
        assert_eq!(propagate(&edges, 500), labels);
        assert_eq!(propagate(&edges, edges.len()), labels);
    }
}
