//! What is computed: pure cores, their oracles, and thin shells over timely collections.
//!
//! This crate reaches no clock, file, socket, thread, environment or random source.

mod bytes;
pub mod dedup;
pub mod graph;
pub mod identity;
pub mod model;
pub mod oracle;
pub mod people;
pub mod shard;
pub mod store;
mod table;
pub mod time;
pub mod views;
