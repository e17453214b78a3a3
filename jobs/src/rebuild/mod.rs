//! The past computed anew, beside the live job and without touching it: replays.
//!
//! A replay is a job of its own over the epochs that the live one has bound: with the job as it is
//! or with a changed one, for all views or some. It has tables, changelogs and snapshots of its
//! own, so it goes on where it was killed, can be asked as the live job can, and follows the live
//! one each time it is run again.

mod compute;
mod error;
mod folder;
mod import;
mod switch;
mod trial;
mod variant;

pub use crate::runtime::ArchivePlan;
pub use compute::{Computed, Reading, compute, settled};
pub use error::RebuildError;
pub use folder::{Replay, Scope, ViewNames, hash, view_names};
pub use import::import;
pub use switch::{Switched, before, switch};
pub use trial::{Trial, trial};
pub use variant::Variant;
