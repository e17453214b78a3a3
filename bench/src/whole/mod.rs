//! Whole jobs: from the bytes of files to tables.

mod job;
mod replay;

pub use job::JOB;
pub(crate) use job::of_tenants;
pub use replay::REPLAY;
