//! The archive: admitted events in a table, `<out>/archive`, for a replay when the topics are gone.
//!
//! A row is an event with all that the job asked of it: names of identity types with keyed hashes,
//! never an identifier's clear text, and the properties that the job's views ask for or its sink
//! keeps. Files are partitioned by the event's date and sorted by tenant, strongest identifier and
//! time, in small groups, so one day's or one person's history is a cheap read. Each commit holds
//! the events of a run of epochs; small files of a day become one in time (`merge`).
//!
//! How far it reaches stands in the table's log beside what is committed: `<app>` is the last
//! epoch, `<app>/begin` the last one before it, and `<app>/gone` the last epoch of which retention
//! has removed something. An import adds what was before, under an application id of its own. File
//! names are hashes of the content; whoever reads a file compares.

mod merge;
mod read;
mod row;
#[cfg(test)]
mod tests;
mod write;

use std::path::PathBuf;
use std::sync::Arc;

use operators::model::Micros;
use thiserror::Error;

pub use self::read::{Archive, Reach};
pub use self::row::Names;
pub use self::write::ArchiveSink;
use super::TableError;

/// Name of the table.
const ARCHIVE: &str = "archive";

/// The application id of a job that archives what it admits.
pub fn live(job: &str) -> String {
    format!("{job}/{ARCHIVE}")
}

/// The application id of an import: of what a job admitted before it had an archive.
pub fn import(job: &str) -> String {
    format!("{job}/{ARCHIVE}/import")
}

/// What an archive is to keep.
#[derive(Clone, Debug)]
pub struct ArchiveSpec {
    /// Application id of `txn`: [`live`], or [`import`] for what was before.
    pub app: String,
    /// Hash of the job: the column `job`.
    pub job_hash: Arc<str>,
    /// What indices in events stand for.
    pub names: Names,
    /// Events older than the watermark by more are removed; `None` to keep all.
    pub retention: Option<Micros>,
}

/// Why an archive can't be written or read.
#[derive(Debug, Error)]
pub enum ArchiveError {
    /// Its table can't be used.
    #[error("{0}")]
    Table(#[from] TableError),
    /// A file is not as it was written.
    #[error(
        "the archive file {path}, which has events of the epochs {first} to {last}, is damaged: \
         {message}; restore it, or replay from the sources"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The first epoch of its events.
        first: u64,
        /// The last one.
        last: u64,
        /// What is wrong.
        message: String,
    },
    /// It does not reach as far as what is asked for.
    #[error(
        "the archive has the epochs {first} to {last}, and not those from {from} to {to}; give \
         --from {first} and --to {last}, or replay from the sources"
    )]
    Gap {
        /// The first epoch that is whole.
        first: u64,
        /// The last one.
        last: u64,
        /// The first that is asked for.
        from: u64,
        /// The last one.
        to: u64,
    },
    /// The job has no archive.
    #[error(
        "{path} is not there: the job has no archive; add a [[sink]] with connector = \"archive\""
    )]
    None {
        /// Where it would be.
        path: PathBuf,
    },
    /// The archived events are not what a changed job would make of the records.
    #[error(
        "archived events up to epoch {upto} were kept without this, or with another: {}; replay \
         from the sources, or leave it as it was",
        .missing.join(", ")
    )]
    Lacks {
        /// Properties, identity types, rules.
        missing: Vec<String>,
        /// The last epoch of such events.
        upto: u64,
    },
}

impl ArchiveError {
    /// Whether what is asked for is gone, which no retry brings back.
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Damaged { .. } | Self::Gap { .. })
    }

    /// Whether it is asked for what there can't be.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Table(error) => error.is_usage(),
            other => matches!(other, Self::None { .. } | Self::Lacks { .. }),
        }
    }
}
