//! What can go wrong with a file source as a whole. A single bad record is a dead letter instead.

use std::path::PathBuf;

/// Why a source can't be opened or read on.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A pattern that is no glob.
    #[error("source {source_name:?}: {pattern:?} is not a path or glob: {detail}")]
    Pattern {
        /// The source.
        source_name: String,
        /// The pattern.
        pattern: String,
        /// Where it is wrong.
        detail: String,
    },
    /// A pattern that no file matches.
    #[error("source {source_name:?}: no file matches {pattern:?} in {}", .base.display())]
    NoFiles {
        /// The source.
        source_name: String,
        /// The pattern.
        pattern: String,
        /// Where it starts from.
        base: PathBuf,
    },
    /// Neither the job nor the extension says the format, or the two don't go together.
    #[error("source {source_name:?}: {}: {detail}", .file.display())]
    Format {
        /// The source.
        source_name: String,
        /// The file.
        file: PathBuf,
        /// What is missing or doesn't fit.
        detail: String,
    },
    /// A file or folder that the system refuses to list, open or read.
    #[error("source {source_name:?}: cannot read {}: {error}", .file.display())]
    Io {
        /// The source.
        source_name: String,
        /// The file or folder.
        file: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// A file whose compression, header row or Parquet structure is broken. Records before it are
    /// good and were handed out.
    #[error(
        "source {source_name:?}: {} is damaged after record {record}: {detail}", .file.display()
    )]
    Corrupt {
        /// The source.
        source_name: String,
        /// The file.
        file: PathBuf,
        /// The last record before the damage, 0 if there is none.
        record: u64,
        /// What the reader says.
        detail: String,
    },
    /// Records that an earlier run has read are not there any more.
    #[error("source {source_name:?}: {} is not as it was: {detail}", .file.display())]
    Gone {
        /// The source.
        source_name: String,
        /// The file.
        file: PathBuf,
        /// What is missing.
        detail: String,
    },
}

impl SourceError {
    /// Whether needed history is gone, which no retry brings back.
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Gone { .. })
    }

    /// Whether the job asks for files that there are not, or that it can't read.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Pattern { .. } | Self::NoFiles { .. } | Self::Format { .. })
    }
}
