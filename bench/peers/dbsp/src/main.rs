//! Connected components with dbsp's recursion, kept up to date edge by edge.
//!
//!     braid-peer-dbsp EDGES --epoch N
//!
//! EDGES has two identifiers of an event after the other, 64 bits each, little-endian. N events are
//! one transaction; 0 stands for all of them. What came and went is taken from the output after
//! each transaction, as a consumer would. The answer is a line of JSON on standard output.

use std::collections::HashMap;
use std::error::Error;
use std::fs;

use dbsp::mimalloc::MiMalloc;
use dbsp::operator::Min;
use dbsp::utils::Tup2;
use dbsp::{IndexedZSetReader, NestedCircuit, OrdIndexedZSet, Runtime, Stream};

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Identifier and the smallest one that it is connected with.
type Labels = Stream<NestedCircuit, OrdIndexedZSet<u64, u64>>;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [path, epoch, size] = args.as_slice() else {
        return Err("write EDGES --epoch N".into());
    };
    if epoch != "--epoch" {
        return Err("write EDGES --epoch N".into());
    }
    let edges = read(path)?;
    let epoch = match size.parse::<usize>()? {
        0 => edges.len().max(1),
        some => some,
    };

    // One worker, as braid's engine is one thread.
    let (mut circuit, (input, output)) = Runtime::init_circuit(1, |root| {
        let (events, input) = root.add_input_zset::<Tup2<u64, u64>>();
        // An edge that is known already is no change, so the recursion does not hear of it.
        let links = events
            .flat_map(|Tup2(x, y)| [Tup2(*x, *y), Tup2(*y, *x)])
            .distinct()
            .map_index(|Tup2(x, y)| (*x, *y));
        let own = links.map(|(x, _)| *x).distinct().map_index(|x| (*x, *x));
        let labels = root.recursive(|child, labels: Labels| {
            let (links, own) = (links.delta0(child), own.delta0(child));
            // `Min` leaves one label each, so the distinct of `recursive` would find nothing.
            Ok(labels
                .join_index(&links, |_, label, to| Some((*to, *label)))
                .plus(&own)
                .aggregate(Min)
                .mark_distinct())
        })?;
        Ok((input, labels.accumulate_output()))
    })?;

    let mut labels: HashMap<u64, u64> = HashMap::new();
    for events in edges.chunks(epoch) {
        let mut batch: Vec<_> = events.iter().map(|(x, y)| Tup2(Tup2(*x, *y), 1)).collect();
        input.append(&mut batch);
        circuit.transaction()?;
        for (node, label, weight) in output.concat().consolidate().iter() {
            if weight > 0 {
                labels.insert(node, label);
            }
        }
    }
    circuit.kill().map_err(|_| "a worker has panicked")?;
    answer(edges.len(), &labels);
    Ok(())
}

fn read(path: &str) -> Result<Vec<(u64, u64)>, Box<dyn Error>> {
    let bytes = fs::read(path)?;
    let (edges, rest) = bytes.as_chunks::<16>();
    if !rest.is_empty() {
        return Err(format!("{path} is cut off").into());
    }
    let number = |half: &[u8]| half.try_into().map(u64::from_le_bytes);
    let edge = |bytes: &[u8; 16]| Ok((number(&bytes[..8])?, number(&bytes[8..])?));
    edges.iter().map(edge).collect()
}

/// Identifiers, people, and a sum that depends on who is with whom.
fn answer(items: usize, labels: &HashMap<u64, u64>) {
    let people = labels.iter().filter(|(node, label)| node == label).count();
    let sum = labels.iter().map(|(node, label)| node ^ (label >> 1)).fold(0, u64::wrapping_add);
    let nodes = labels.len();
    println!(
        "{{\"items\": {items}, \"answer\": {{\"identifiers\": {nodes}, \"people\": {people}, \
         \"labels\": \"{sum}\"}}}}"
    );
}
