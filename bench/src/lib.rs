//! Benchmarks: seeded workloads, the cores of braid and whole jobs, each beside its limit.

pub mod harness;
pub mod micro;
pub mod peers;
pub mod whole;
pub mod workload;

use harness::Bench;

/// All benchmarks, in the order in which `all` runs them.
pub const BENCHES: &[&Bench] = &[
    &micro::DECODE,
    &micro::DEDUP,
    &micro::CONNECTIVITY,
    &micro::LATENCY,
    &micro::PEOPLE,
    &micro::FUNNELS,
    &micro::GROWTH,
    &whole::JOB,
    &whole::REPLAY,
    &micro::BINDINGS,
    &whole::RECOVERY,
];
