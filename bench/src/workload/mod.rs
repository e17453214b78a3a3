//! Seeded workloads of any size, shared by the benchmarks.

pub mod events;
pub mod graphs;
pub mod ndjson;
