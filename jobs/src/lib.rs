//! What runs: the job file, the runtime, the `braid` command.

// A reader of standard output may go away: only `cli::out` writes there.
#![warn(clippy::print_stdout)]

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
