//! The past: which records made up each epoch, how they are read again, and snapshots.

pub mod history;
pub mod snapshot;
