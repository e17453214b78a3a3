//! Whole jobs: from the bytes of files to tables.

mod job;

pub use job::JOB;
pub(crate) use job::of_tenants;
