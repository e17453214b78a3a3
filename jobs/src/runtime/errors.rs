//! Why a run ends, and the exit code that says it.

use connectors::bindings::BindingError;
use connectors::decode::SpecError;
use connectors::kafka::KafkaError;
use connectors::table::{ArchiveError, TableError};
use operators::model::Epoch;
use replay::history::ReadError;
use replay::snapshot::SnapshotError;
use thiserror::Error;

use crate::cluster::End;

/// What Unix calls it (`ENOSPC`).
const NO_SPACE: i32 = 28;
/// The exit code of a run whose history is gone.
const HISTORY_GONE: u8 = 3;
/// The exit code of a run that found no room on a disk.
pub const DISK_FULL: u8 = 8;

/// Why a run could not go on.
#[derive(Debug, Error)]
pub enum RunError {
    /// A source can't be read.
    #[error("{0}")]
    Source(#[from] ReadError),
    /// The bindings can't be used.
    #[error("{0}")]
    Binding(#[from] BindingError),
    /// A table can't be written.
    #[error("{0}")]
    Table(#[from] TableError),
    /// A topic can't be written.
    #[error("{0}")]
    Topic(#[from] KafkaError),
    /// A snapshot can't be written or read.
    #[error("{0}")]
    Snapshot(#[from] SnapshotError),
    /// The archive can't be written or read.
    #[error("{0}")]
    Archive(#[from] ArchiveError),
    /// A field map makes no sense.
    #[error("{0}")]
    Spec(#[from] SpecError),
    /// The output belongs to another job.
    #[error(
        "{out} holds the results of another version of this job, and the change can't be carried \
         over: {why}; or give the changed job another `out`, or remove {out} to compute everything \
         anew"
    )]
    JobChanged {
        /// The output folder.
        out: String,
        /// What is in the way.
        why: String,
    },
    /// A changelog is gone, and can't be computed anew.
    #[error("{words}, and it can't be computed anew: {error}; restore it")]
    ChangelogGone {
        /// Which, of where.
        words: String,
        /// Why not.
        error: Box<RunError>,
    },
    /// A file of the job's own can't be written.
    #[error("can't write {path}: {message}")]
    Disk {
        /// The file.
        path: String,
        /// What the system says.
        message: String,
    },
    /// The bindings of what an output holds are gone.
    #[error(
        "{bindings} ends at epoch {bound}, {what} at {epoch}: what it was made of is gone; restore \
         {bindings}, or remove all results to compute everything anew"
    )]
    BindingsLost {
        /// Where the bindings are.
        bindings: String,
        /// The last epoch that is bound, 0 if there is none.
        bound: Epoch,
        /// The output.
        what: String,
        /// The last epoch that it holds.
        epoch: Epoch,
    },
    /// The processes of a cluster don't come together.
    #[error("{0}")]
    Cluster(End),
    /// A worker ended before its time.
    #[error("a worker stopped: {0}")]
    Worker(String),
}

impl RunError {
    /// What all processes of a cluster end with.
    pub fn into_end(self) -> End {
        match self {
            Self::Cluster(end) => end,
            error => End::new(error.exit_code(), error.to_string()),
        }
    }

    /// Whether what is needed is gone, which no retry brings back.
    pub(super) fn is_gone(&self) -> bool {
        self.exit_code() == HISTORY_GONE
    }

    /// Whether a disk is full. Of what the system says, errors of libraries keep the words only.
    fn is_disk_full(&self) -> bool {
        let full = std::io::Error::from_raw_os_error(NO_SPACE).to_string();
        self.to_string().contains(&full)
    }

    /// The exit code: 1 failed, 2 usage or job file, 3 needed history is gone, 4 another run is on,
    /// [`DISK_FULL`].
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Source(error) if error.is_gone() => HISTORY_GONE,
            Self::BindingsLost { .. } => HISTORY_GONE,
            Self::Archive(error) if error.is_gone() => HISTORY_GONE,
            Self::Archive(error) if error.is_usage() => 2,
            Self::Source(error) if error.is_usage() => 2,
            Self::Topic(error) | Self::Binding(BindingError::Kafka(error)) if error.is_fenced() => {
                4
            }
            Self::Topic(error) | Self::Binding(BindingError::Kafka(error)) if error.is_gone() => {
                HISTORY_GONE
            }
            Self::Topic(error) | Self::Binding(BindingError::Kafka(error)) if error.is_usage() => 2,
            Self::Snapshot(error) if error.is_usage() => 2,
            Self::Table(error) if error.is_usage() => 2,
            Self::Snapshot(SnapshotError::TakenOver { .. })
            | Self::Binding(BindingError::Held { .. }) => 4,
            Self::Cluster(end) => end.code,
            Self::ChangelogGone { error, .. } => error.exit_code(),
            Self::Spec(_) | Self::JobChanged { .. } => 2,
            error if error.is_disk_full() => DISK_FULL,
            Self::Source(_)
            | Self::Binding(_)
            | Self::Table(_)
            | Self::Topic(_)
            | Self::Snapshot(_)
            | Self::Archive(_)
            | Self::Disk { .. }
            | Self::Worker(_) => 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Error;

    use super::*;

    /// To run it again does not help.
    #[test]
    fn tables_of_something_else_are_a_matter_of_the_job_file() {
        let path = || std::path::PathBuf::from("a");
        let schema = || TableError::Schema { path: path(), found: "b".to_owned() };
        for error in [
            RunError::Table(schema()),
            RunError::Table(TableError::Foreign { path: path(), job: "shop".to_owned() }),
            RunError::Archive(ArchiveError::Table(schema())),
        ] {
            assert_eq!(error.exit_code(), 2, "{error}");
        }
    }

    /// A topic with wrong settings is the user's to mend, whatever it is for.
    #[test]
    fn settings_of_a_topic_are_usage() {
        let error = KafkaError::Settings {
            what: "bindings".to_owned(),
            topic: "t".to_owned(),
            detail: "has 2 partitions".to_owned(),
        };
        let errors = [
            RunError::Topic(error.clone()),
            RunError::Binding(BindingError::Kafka(error.clone())),
            RunError::Source(ReadError::Topics(error)),
        ];
        assert_eq!(errors.map(|error| error.exit_code()), [2; 3]);
    }

    /// What is gone is not brought back by another try, whoever misses it.
    #[test]
    fn what_is_gone_from_a_topic_is_gone() {
        let error = KafkaError::Gone {
            what: "sink".to_owned(),
            topic: "shop.events".to_owned(),
            partition: 0,
            detail: "rows are missing".to_owned(),
            first: None,
        };
        let errors = [
            RunError::Topic(error.clone()),
            RunError::Binding(BindingError::Kafka(error.clone())),
            RunError::Source(ReadError::Topics(error)),
        ];
        assert_eq!(errors.map(|error| error.exit_code()), [HISTORY_GONE; 3]);
    }

    #[test]
    fn a_full_disk_has_a_code_of_its_own() {
        for (number, code) in [(NO_SPACE, DISK_FULL), (13, 1)] {
            let message = || Error::from_raw_os_error(number).to_string();
            let path = || std::path::PathBuf::from("a");
            for error in [
                RunError::Table(TableError::Disk { path: path(), message: message() }),
                RunError::Table(TableError::Encode { path: path(), message: message() }),
                RunError::Binding(BindingError::Disk { path: path(), message: message() }),
                RunError::Snapshot(SnapshotError::Disk { path: path(), message: message() }),
                RunError::Disk { path: "a".to_owned(), message: message() },
            ] {
                assert_eq!(error.exit_code(), code, "{error}");
            }
        }
    }
}
