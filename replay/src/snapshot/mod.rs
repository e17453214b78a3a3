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
//! <out>/snapshots/g000000007-000000/    what run 7 of the job has written
//!     segment-000000001                 events, in blocks with checksums
//!     manifest-00000000000000000123     the snapshot at epoch 123: segments, watermark, counts
//! ```
//!
//! A run begins with the newest snapshot that is whole and that every output has passed: what came
//! out up to it is published, and is not published again. It links the segments into its own
//! folder, and only then removes those of earlier runs: a run that was thought dead and goes on
//! can spoil nothing. A snapshot that is torn, missing a part or of another job is passed over with
//! a word, and an older one is used, or none.

mod block;
mod folder;
mod manifest;
mod segment;
#[cfg(test)]
mod tests;
mod writer;

use std::path::PathBuf;

use thiserror::Error;

pub use self::block::{BlockReader, encode, events_in};
pub use self::folder::{Begin, Found, find};
pub use self::manifest::{Counts, Manifest, SegmentEntry};
pub use self::segment::Blocks;
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
}

impl SnapshotError {
    fn disk(path: &std::path::Path, error: &std::io::Error) -> Self {
        Self::Disk { path: path.into(), message: error.to_string() }
    }

    fn damaged(path: &std::path::Path, message: impl Into<String>) -> Self {
        Self::Damaged { path: path.into(), message: message.into() }
    }
}
