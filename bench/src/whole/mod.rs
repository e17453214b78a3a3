//! Whole jobs: from the bytes of files to tables.

mod job;
mod recovery;
mod replay;

pub use job::JOB;
pub(crate) use job::of_tenants;
pub use recovery::RECOVERY;
pub use replay::REPLAY;
