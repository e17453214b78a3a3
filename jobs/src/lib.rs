//! What runs: the job file, the runtime, the `braid` command.

pub mod cli;
pub mod cluster;
pub mod generate;
pub mod query;
pub mod rebuild;
pub mod runtime;
pub mod serve;
pub mod whatif;
