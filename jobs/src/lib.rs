//! What runs: the job file, the runtime, the `braid` command.

pub mod cli;
pub mod cluster;
pub mod generate;
pub mod provenance;
pub mod query;
pub mod rebuild;
pub mod runtime;
mod say;
pub mod serve;
pub mod trace;
pub mod whatif;
