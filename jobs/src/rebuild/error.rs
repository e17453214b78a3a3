//! Why the past can't be computed anew.

use std::path::{Path, PathBuf};

use connectors::bindings::BindingError;
use connectors::table::TableError;
use operators::model::Epoch;
use replay::snapshot::SnapshotError;
use thiserror::Error;

use crate::query::QueryError;
use crate::runtime::job_file::Problem;
use crate::runtime::{DISK_FULL, RunError};

/// Why the past can't be computed anew.
#[derive(Debug, Error)]
pub enum RebuildError {
    /// The changed job file is wrong.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    JobFile(Vec<Problem>),
    /// It is asked for what is not there.
    #[error("{0}")]
    Usage(String),
    /// Another process computes the same one.
    #[error("another process works on the replay {0}; wait for it, or give this one another name")]
    Held(String),
    /// It could not be run.
    #[error("{0}")]
    Run(#[from] RunError),
    /// Records are gone, of which later epochs need nothing.
    #[error(
        "{error}; from epoch {from} on all that it gave is there: --from {from} for a replay that \
         begins with it, or --archive if the job has an archive"
    )]
    Gone {
        /// What is gone.
        error: RunError,
        /// The first of those epochs.
        from: Epoch,
    },
    /// A question to tables has no answer.
    #[error("{0}")]
    Query(#[from] QueryError),
    /// A file can't be written or read.
    #[error("can't use {path}: {source}")]
    Disk {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
}

impl RebuildError {
    pub(super) fn disk(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Disk { path: path.into(), source }
    }

    /// The exit code, as that of a run; 2 for what is asked, 4 for another process.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::JobFile(_) | Self::Usage(_) => 2,
            Self::Held(_) => 4,
            Self::Run(error) | Self::Gone { error, .. } => error.exit_code(),
            Self::Query(error) => error.exit_code(),
            Self::Disk { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
                DISK_FULL
            }
            Self::Disk { .. } => 1,
        }
    }
}

impl From<BindingError> for RebuildError {
    fn from(error: BindingError) -> Self {
        Self::Run(error.into())
    }
}

impl From<TableError> for RebuildError {
    fn from(error: TableError) -> Self {
        Self::Run(error.into())
    }
}

impl From<SnapshotError> for RebuildError {
    fn from(error: SnapshotError) -> Self {
        Self::Run(error.into())
    }
}
