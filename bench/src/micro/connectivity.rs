//! The identity engine on raw edges beside union-find with interning.

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use operators::identity::engine::{Incremental, STEP as ACTIVATION};
use operators::identity::{
    Engine as _, Handle, IdentityConfig, IdentityType, NO_LIMIT, Resolution, Sighting,
};
use operators::model::{EventKey, Ident, Micros, Token};

use crate::harness::{Bench, By, Case, Goal, Meter, RATIO, Sample, percentile, thread_cpu_s};
use crate::workload::graphs::{self, Edge};

/// Connectivity.
pub const CONNECTIVITY: Bench = Bench {
    name: "connectivity",
    about: "who is who from events of two identifiers, beside union-find over the same tokens",
    unit: "edges",
    size: 10_000_000,
    cases: &[
        Case::limit("persons: union-find", UNION_FIND, |size| Ok(union_find(&persons(size)))),
        Case::ours(
            "persons",
            ENGINE,
            "persons: union-find",
            &[
                Goal::Min(RATIO, 0.6),
                Goal::Max("bytes_per_identifier", 110.0),
                Goal::Max("activation_cpu_ms_max", 10.0),
            ],
            |size| Ok(engine(&persons(size))),
        ),
        Case::limit("chain: union-find", UNION_FIND, |size| Ok(union_find(&chain(size)))),
        Case::ours("chain", ENGINE, "chain: union-find", &[], |size| Ok(engine(&chain(size)))),
        Case::limit("star: union-find", UNION_FIND, |size| Ok(union_find(&star(size)))),
        Case::ours("star", ENGINE, "star: union-find", &[], |size| Ok(engine(&star(size)))),
        Case::limit("grid: union-find", UNION_FIND, |size| Ok(union_find(&grid(size)))),
        Case::ours("grid", ENGINE, "grid: union-find", &[], |size| Ok(engine(&grid(size)))),
    ],
    by: By::Cpu,
};

const UNION_FIND: &str = "tokens interned in a hash map, union by size with path halving";
const ENGINE: &str =
    "the incremental engine, in epochs of 65,536 events; reports each event's person";

/// Events in an epoch at most, as in a job.
const EPOCH: usize = 65_536;
/// An event each second, in microseconds.
pub(crate) const STEP: Micros = 1_000_000;

fn persons(size: u64) -> Vec<Edge> {
    graphs::persons(1, size as usize)
}

fn chain(size: u64) -> Vec<Edge> {
    graphs::chain(2, (size / 10).max(1) as usize)
}

fn star(size: u64) -> Vec<Edge> {
    graphs::star(3, (size / 10).max(1) as usize)
}

fn grid(size: u64) -> Vec<Edge> {
    graphs::grid(4, (size / 10).max(1) as usize)
}

/// One type of rank 1 without limits.
pub(super) fn rules() -> IdentityConfig {
    IdentityConfig { types: vec![IdentityType::new("email", 1)], cluster_max: NO_LIMIT }
}

/// An engine with these rules that has seen nothing.
pub(crate) fn empty() -> Incremental {
    Incremental::new(&rules())
}

/// An event that shows an edge; no two have the same `number`.
pub(crate) fn sighting(time: Micros, number: usize, edge: Edge) -> Sighting {
    let ident = |token| Ident { kind: 0, token: Token(token) };
    let (x, y) = (edge.0.min(edge.1), edge.0.max(edge.1));
    let id = (number as u128).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    Sighting::Event(EventKey { time, seq: 0, id }, [ident(x), ident(y)].into_iter().collect())
}

/// An engine that edges are fed to.
struct Fed {
    engine: Incremental,
    /// Events so far.
    events: usize,
    /// A name may change while the person stays: people are counted by handle.
    named: Flags,
    /// CPU time at the end of the last activation.
    cpu_s: f64,
    /// How long each activation was, in CPU time: others on the machine do not lengthen it.
    activations_cpu_ms: Vec<f64>,
}

/// Handles with a flag, in one bit each: they are given from 0 on, one by one.
#[derive(Default)]
struct Flags(Vec<u64>);

impl Flags {
    fn set(&mut self, handle: Handle, flag: bool) {
        let (word, bit) = ((handle / 64) as usize, 1 << (handle % 64));
        if word >= self.0.len() {
            self.0.resize(word + 1, 0);
        }
        if flag {
            self.0[word] |= bit;
        } else {
            self.0[word] &= !bit;
        }
    }

    fn count(&self) -> u64 {
        self.0.iter().map(|word| u64::from(word.count_ones())).sum()
    }
}

impl Fed {
    fn new() -> Self {
        let (engine, named) = (empty(), Flags::default());
        Self { engine, events: 0, named, cpu_s: 0.0, activations_cpu_ms: Vec::new() }
    }

    /// Feeds edges as new events, in epochs.
    fn feed(&mut self, edges: &[Edge]) {
        let mut resolution = Resolution::default();
        self.cpu_s = thread_cpu_s();
        for epoch in edges.chunks(EPOCH) {
            for part in epoch.chunks(ACTIVATION) {
                for edge in part {
                    let time = self.events as Micros * STEP;
                    self.engine.update(sighting(time, self.events, *edge), 1);
                    self.events += 1;
                }
                self.end_activation();
            }
            let mut done = false;
            while !done {
                let mut budget = ACTIVATION;
                done = self.engine.step(&mut resolution, &mut budget);
                self.end_activation();
                for (handle, name, _) in resolution.names.drain(..) {
                    self.named.set(handle, name.is_some());
                }
                resolution.assigns.clear();
                resolution.memberships.clear();
                resolution.changes.clear();
            }
        }
    }

    fn end_activation(&mut self) {
        let now = thread_cpu_s();
        self.activations_cpu_ms.push((now - self.cpu_s) * 1e3);
        self.cpu_s = now;
    }
}

/// Feeds edges in epochs; returns the engine and the number of people.
pub(super) fn load(edges: &[Edge]) -> (Incremental, usize) {
    let mut fed = Fed::new();
    fed.feed(edges);
    (fed.engine, fed.named.count() as usize)
}

/// What an event costs in memory shows when the same edges come again as other events: they bring
/// neither identifiers nor links. The rest of what the first ones took is the identifiers'.
fn engine(edges: &[Edge]) -> Sample {
    let (meter, mut fed) = (Meter::start(), Fed::new());
    fed.feed(edges);
    let sample = meter.stop(edges.len() as u64, fed.named.count());
    let (first, mut activations) = (meter.gained_bytes(), fed.activations_cpu_ms.clone());
    fed.feed(edges);
    let again = meter.gained_bytes() - first;
    sample
        .with("activation_cpu_ms_p99", percentile(&mut activations, 0.99))
        .with("activation_cpu_ms_max", percentile(&mut activations, 1.0))
        .with("bytes_per_identifier", (first - again) / fed.engine.identifiers() as f64)
        .with("bytes_per_event", again / edges.len() as f64)
}

/// Union-find over interned tokens.
#[derive(Default)]
pub(crate) struct UnionFind {
    interned: HashMap<u128, u32, FixedState>,
    parents: Vec<u32>,
    sizes: Vec<u32>,
    sets: u64,
}

impl UnionFind {
    /// The index of a token.
    pub(crate) fn intern(&mut self, token: u128) -> u32 {
        let next = self.parents.len() as u32;
        let index = *self.interned.entry(token).or_insert(next);
        if index == next {
            self.parents.push(next);
            self.sizes.push(1);
            self.sets += 1;
        }
        index
    }

    /// The set of an index.
    pub(crate) fn find(&mut self, mut x: u32) -> u32 {
        while self.parents[x as usize] != x {
            let above = self.parents[self.parents[x as usize] as usize];
            self.parents[x as usize] = above;
            x = above;
        }
        x
    }

    /// Makes one set of two.
    pub(crate) fn union(&mut self, x: u32, y: u32) {
        let (x, y) = (self.find(x), self.find(y));
        if x == y {
            return;
        }
        let smaller = self.sizes[x as usize] < self.sizes[y as usize];
        let (keep, lose) = if smaller { (y, x) } else { (x, y) };
        self.parents[lose as usize] = keep;
        self.sizes[keep as usize] += self.sizes[lose as usize];
        self.sets -= 1;
    }

    /// All tokens and the sets they are in.
    pub(crate) fn nodes(&mut self) -> Vec<(u128, u32)> {
        let tokens: Vec<_> = self.interned.iter().map(|(token, index)| (*token, *index)).collect();
        tokens.into_iter().map(|(token, index)| (token, self.find(index))).collect()
    }
}

fn union_find(edges: &[Edge]) -> Sample {
    let meter = Meter::start();
    let mut sets = UnionFind::default();
    for (x, y) in edges {
        let (x, y) = (sets.intern(*x), sets.intern(*y));
        sets.union(x, y);
    }
    let sample = meter.stop(edges.len() as u64, sets.sets);
    let bytes = meter.gained_bytes() / sets.parents.len() as f64;
    sample.with("bytes_per_identifier", bytes)
}
