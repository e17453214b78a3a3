//! Snapshots: everything that was admitted up to an epoch, so that a run need not begin at the
//! first.
//!
//! A snapshot holds the admitted events, not the states of operators: all state and every row
//! follow from them, for any number of workers, in time linear in what is held. It is a *manifest*
//! that names *segments*, files of events that are only added to: the next snapshot names the same
//! segments and one more, so taking it costs what came since the last. Neighbouring small segments
//! are joined as they are.
//!
//! ```text
//! <place>/g000000007-000000/           what run 7 of the job has written
//!     segment-000000001                 events, in blocks with checksums
//!     manifest-00000000000000000123     the snapshot at epoch 123: segments, watermark, counts
//!     claim                             in an object store: the run is the last one
//! ```
//!
//! A run begins with the newest snapshot that is whole and that every output has passed: what came
//! out up to it is published, and is not published again. It copies the segments into its own
//! folder, and only then removes those of earlier runs: a run that was thought dead and goes on
//! can spoil nothing. A snapshot that is torn, missing a part or of another job is passed over with
//! a word, and an older one is used, or none.
//!
//! The place is a folder, where files are linked and not copied, or one in an object store. There
//! what is admitted waits in files of this machine until a snapshot is taken of it; if the store
//! can't be reached by then, the next one brings it along.

mod block;
mod find;
mod manifest;
mod place;
mod segment;
mod shelf;
#[cfg(test)]
mod tests;
mod writer;

use std::path::PathBuf;

use connectors::store::StoreError;
use thiserror::Error;

pub use self::block::{BlockReader, encode, events_in};
pub use self::find::{Begin, Found, find, oldest};
pub use self::manifest::{Counts, Manifest, SegmentEntry};
pub use self::place::{Place, PlaceSpec};
pub use self::segment::{Blocks, Part};
pub use self::shelf::{Shelf, Taken};
pub use self::writer::Writer;

/// Why a snapshot can't be written or read.
#[derive(Clone, Debug, Error)]
pub enum SnapshotError {
    /// The disk is full, or a file may not be written or read.
    #[error("the snapshot {path}: {message}")]
    Disk {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        message: String,
    },
    /// A file is not as it was written.
    #[error("the snapshot {path} is damaged: {message}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// The object store says no, or nothing.
    #[error("the snapshot {0}")]
    Store(#[from] StoreError),
    /// A later run has removed what this one has written.
    #[error("the snapshots in {path} have been taken over by another run of this job")]
    TakenOver {
        /// The run's folder.
        path: PathBuf,
    },
}

impl SnapshotError {
    /// Whether it says nothing about a snapshot, and may be another time: a store can't be reached.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_passing())
    }

    /// Whether the job file or the rights have to be changed.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_usage())
    }

    fn disk(path: &std::path::Path, error: &std::io::Error) -> Self {
        Self::Disk { path: path.into(), message: error.to_string() }
    }

    fn damaged(path: &std::path::Path, message: impl Into<String>) -> Self {
        Self::Damaged { path: path.into(), message: message.into() }
    }
}
