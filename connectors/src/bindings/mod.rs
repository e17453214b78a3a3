//! Bindings: the durable record of which records made up each epoch.
//!
//! An epoch's binding is written and synced before its records enter the graph. After a crash
//!
//! 1. before the binding was durable: its records were not used; they are bound again, perhaps
//!    otherwise, and nobody saw the difference;
//! 2. after: the same records are read again for the same epoch, so the same rows come out, and
//!    each sink passes over the epochs that it has committed.

mod file;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use operators::model::{Epoch, Micros};
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use self::file::FileBindingLog;
use crate::file::{FileEntry, Position};
use crate::kafka::{KafkaError, KafkaPart, PartitionId};

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
    /// Checksum of the records that it took from each source of files, as
    /// [`FileSource::take_digest`](crate::file::FileSource::take_digest) tells it; 0 of others.
    pub digests: Vec<u64>,
    /// Files listed for the first time, with the index of their source.
    pub files: Vec<(u16, FileEntry)>,
    /// What each Kafka source gave, with its index.
    pub kafka: Vec<(u16, KafkaPart)>,
    /// Hash of the job.
    pub job: String,
}

impl Binding {
    /// The binding of an epoch without records, minted by a run of the job with this hash.
    pub fn new(epoch: Epoch, generation: u64, wall_time: Micros, job: &str) -> Self {
        Self {
            epoch,
            generation,
            wall_time,
            sources: Vec::new(),
            digests: Vec::new(),
            files: Vec::new(),
            kafka: Vec::new(),
            job: job.to_owned(),
        }
    }

    /// Takes in the binding that comes next: what goes on from the two goes on from the outcome.
    pub fn extend(&mut self, next: Self) {
        let mut files = std::mem::take(&mut self.files);
        let mut kafka = std::mem::take(&mut self.kafka);
        files.extend(next.files);
        for (source, part) in next.kafka {
            match kafka.iter_mut().find(|(of, _)| *of == source) {
                Some((_, before)) => *before = KafkaPart::sum(&[before, &part]),
                None => kafka.push((source, part)),
            }
        }
        *self = Self { files, kafka, ..next };
    }
}

/// The first epoch from which on a partition gave nothing before an offset, to any source; `None`
/// if it has not come so far.
pub fn first_after(
    bindings: &[Binding],
    (topic, partition): (&str, i32),
    offset: u64,
) -> Option<Epoch> {
    let mut topics: BTreeMap<u16, Vec<&str>> = BTreeMap::new();
    let mut passed: BTreeMap<u16, Option<Epoch>> = BTreeMap::new();
    for binding in bindings {
        for (source, part) in &binding.kafka {
            let listed = topics.entry(*source).or_default();
            listed.extend(part.topics.iter().map(|topic| topic.name.as_str()));
            let is_it = |at: PartitionId| {
                listed.get(at.topic()) == Some(&topic) && at.number() == partition
            };
            for end in part.ends.iter().filter(|end| is_it(end.partition)) {
                let passed = passed.entry(*source).or_default();
                if passed.is_none() && end.upper >= offset {
                    *passed = Some(binding.epoch);
                }
            }
        }
    }
    let passed: Option<Vec<Epoch>> = passed.into_values().collect();
    passed?.into_iter().max().map(|epoch| epoch + 1)
}

/// A binding, and where its log has it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Logged {
    /// The byte of the file, or the offset in the topic.
    pub at: u64,
    /// The binding.
    pub binding: Binding,
}

impl Logged {
    /// Takes in the binding that comes next, as [`Binding::extend`] does. What stands for all up to
    /// a binding stands for the beginning of the log.
    pub fn extend(&mut self, next: Self) {
        self.at = next.at;
        self.binding.extend(next.binding);
    }

    /// Whether what stands for the beginning of a log ends with a binding that the log has there.
    pub fn ends_with(&self, at: u64, last: &Binding) -> bool {
        let sum = &self.binding;
        let [ours, its] = [sum, last].map(|b| (b.epoch, b.generation, b.wall_time));
        self.at == at && ours == its && sum.job == last.job && sum.sources == last.sources
    }
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
    /// They are of another version.
    #[error(
        "the bindings {path} were written by another version of braid; go on with that one, or \
         remove the folder that they are in to compute everything anew"
    )]
    Version {
        /// The file.
        path: std::path::PathBuf,
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
///
/// It grows for ever: all of it says when what was known. A run needs only its end, so logs are
/// opened with what stands for their beginning, if somebody knows it: then they read on from there.
/// The first binding that they give is then what stands for all before. If it is of another log,
/// which is seen in what it ends with, they read all.
pub trait BindingLog {
    /// Adds bindings in one go, and says where each is. When it returns, they survive a crash; if
    /// it is cut off, the first ones of them may.
    fn append_all(&mut self, bindings: &[Binding]) -> Result<Vec<u64>, BindingError>;

    /// Adds a binding, as [`BindingLog::append_all`] does.
    fn append(&mut self, binding: &Binding) -> Result<u64, BindingError> {
        let places = self.append_all(std::slice::from_ref(binding))?;
        Ok(places.first().copied().unwrap_or_default())
    }

    /// All bindings, for whoever needs more than the end after all.
    fn read(&mut self) -> Result<Vec<Logged>, BindingError>;
}
