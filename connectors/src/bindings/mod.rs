//! Bindings: the durable record of which records made up each epoch.
//!
//! An epoch's binding is written and synced before its records enter the graph. After a crash
//!
//! 1. before the binding was durable: its records were not used; they are bound again, perhaps
//!    otherwise, and nobody saw the difference;
//! 2. after: the same records are read again for the same epoch, so the same rows come out, and
//!    each sink passes over the epochs that it has committed.

mod file;

use operators::model::{Epoch, Micros};
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use self::file::FileBindingLog;
use crate::file::{FileEntry, Position};
use crate::kafka::{KafkaError, KafkaPart};

/// Where a source stands after an epoch.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SourceEnd {
    /// Everything before is in this epoch or an earlier one.
    pub upper: Position,
    /// Whether the source was at its end.
    pub at_end: bool,
}

/// One epoch.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Binding {
    /// The epoch.
    pub epoch: Epoch,
    /// Which run of the job minted it, from 1.
    pub generation: u64,
    /// When it was minted: the receive time of records that have none.
    pub wall_time: Micros,
    /// Where each source stands after it.
    pub sources: Vec<SourceEnd>,
    /// Files listed for the first time, with the index of their source.
    pub files: Vec<(u16, FileEntry)>,
    /// What each Kafka source gave, with its index.
    pub kafka: Vec<(u16, KafkaPart)>,
    /// Hash of the job.
    pub job: String,
}

/// Why the bindings can't be used.
#[derive(Debug, Error)]
pub enum BindingError {
    /// They can't be read or written.
    #[error("can't use the bindings {path}: {message}")]
    Disk {
        /// The file.
        path: std::path::PathBuf,
        /// What the system says.
        message: String,
    },
    /// They are damaged before their end.
    #[error(
        "the bindings {path} are damaged at byte {at}; restore them, or remove the folder that \
         they are in to compute everything anew"
    )]
    Damaged {
        /// The file.
        path: std::path::PathBuf,
        /// Where.
        at: u64,
    },
    /// They are in a topic that can't be used.
    #[error("{0}")]
    Kafka(#[from] KafkaError),
    /// Another run holds them.
    #[error("another run of this job holds {path}")]
    Held {
        /// The lock.
        path: std::path::PathBuf,
    },
}

/// A durable log of bindings.
pub trait BindingLog {
    /// Adds a binding. When it returns, the binding survives a crash.
    fn append(&mut self, binding: &Binding) -> Result<(), BindingError>;
}
