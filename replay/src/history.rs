//! Sources of a job, and how the records of bound epochs are read again, in the same epochs.

use std::time::Duration;

use connectors::bindings::{Binding, SourceEnd};
use connectors::file::{FileEntry, FileSource, FileSpec, Position, RawBatch, SourceError};
use connectors::kafka::{KafkaError, KafkaPart, KafkaSource, KafkaSpec, Replayed};
use operators::graph::Mark;
use operators::model::Epoch;
use operators::time::Lane;
use thiserror::Error;

/// Where a source's records are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SourceSpec {
    /// In files: bounded.
    Files(FileSpec),
    /// In topics: without an end.
    Topics(Box<KafkaSpec>),
}

impl SourceSpec {
    /// The files, if it is in files.
    pub fn files(&self) -> Option<&FileSpec> {
        match self {
            Self::Files(files) => Some(files),
            Self::Topics(_) => None,
        }
    }
}

/// Why a source can't be opened or read on.
#[derive(Debug, Error)]
pub enum ReadError {
    /// Files.
    #[error("{0}")]
    Files(#[from] SourceError),
    /// Topics.
    #[error("{0}")]
    Topics(#[from] KafkaError),
}

impl ReadError {
    /// Whether needed history is gone, which no retry brings back.
    pub fn is_gone(&self) -> bool {
        match self {
            Self::Files(error) => error.is_gone(),
            Self::Topics(error) => error.is_gone(),
        }
    }

    /// Whether the job file has to be changed.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Topics(error) if error.is_usage())
    }
}

/// A source that is being read.
#[expect(clippy::large_enum_variant, reason = "a job has a few of them")]
pub enum Source {
    /// Files.
    Files(Files),
    /// Topics.
    Topics(Topics),
}

/// Files that are being read.
pub struct Files {
    source: FileSource,
    index: u16,
    /// How many files are bound.
    listed: usize,
    at_end: bool,
    /// What was bound last of `at_end`.
    told: bool,
}

/// Topics that are being read.
pub struct Topics {
    topics: KafkaSource,
    index: u16,
}

/// How long a step of reading bound records again waits for them.
const STEP: Duration = Duration::from_millis(100);

impl Source {
    /// Opens a source after the epoch `done`, to read the later epochs of the bindings again; 0 for
    /// all of them.
    ///
    /// # Errors
    ///
    /// Also [`ReadError::is_gone`] if something of the bindings is not there as it was.
    pub fn open<'b>(
        spec: &SourceSpec,
        bindings: &'b [Binding],
        done: Epoch,
    ) -> Result<Self, ReadError> {
        match spec {
            SourceSpec::Files(spec) => {
                let index = spec.source;
                let mut spec = spec.clone();
                spec.recorded = recorded(bindings, index);
                let listed = spec.recorded.len();
                let end = |b: &Binding| b.sources.get(usize::from(index)).copied();
                let last = bindings.last().and_then(end);
                let at_end = last.is_some_and(|end| end.at_end);
                let begin = bindings.iter().rfind(|binding| binding.epoch <= done).and_then(end);
                let begin = begin.map_or_else(Position::default, |end| end.upper);
                let source = FileSource::open(&spec, begin)?;
                Ok(Self::Files(Files { source, index, listed, at_end, told: at_end }))
            }
            SourceSpec::Topics(spec) => {
                let index = spec.source;
                let (before, later): (Vec<_>, Vec<_>) =
                    bindings.iter().partition(|binding| binding.epoch <= done);
                let of = |bindings: Vec<&'b Binding>| -> Vec<&'b KafkaPart> {
                    bindings.into_iter().filter_map(|binding| part(binding, index)).collect()
                };
                let begin = KafkaPart::sum(&of(before));
                let mut parts = vec![&begin];
                parts.extend(of(later));
                let mut topics = KafkaSource::open(spec, &parts)?;
                // Takes over which partitions are idle: there is nothing to read in it.
                topics.replay(&begin, 1, Duration::ZERO)?;
                Ok(Self::Topics(Topics { topics, index }))
            }
        }
    }

    /// Whether it has an end.
    pub fn is_bounded(&self) -> bool {
        matches!(self, Self::Files(_))
    }

    /// Whether it is at its end.
    pub fn at_end(&self) -> bool {
        matches!(self, Self::Files(files) if files.at_end)
    }

    /// The next records; `None` if there are none, for ever or for now.
    pub fn next(&mut self, records_max: usize) -> Result<Option<RawBatch>, ReadError> {
        match self {
            Self::Files(files) => {
                let batch = files.source.next(records_max)?;
                files.at_end = batch.is_none();
                Ok(batch)
            }
            Self::Topics(topics) => Ok(topics.topics.next(records_max)?),
        }
    }

    /// Waits until there may be something to read, at most for `time`. Does not wait for files.
    pub fn wait(&self, time: Duration) {
        if let Self::Topics(topics) = self {
            topics.topics.wait(time);
        }
    }

    /// Puts what was handed out since the last time into a binding, and says whether that is
    /// anything.
    pub fn bind(&mut self, binding: &mut Binding) -> bool {
        match self {
            Self::Files(files) => {
                let upper = files.source.position();
                binding.sources.push(SourceEnd { upper, at_end: files.at_end });
                let new = &files.source.files()[files.listed..];
                binding.files.extend(new.iter().map(|entry| (files.index, entry.clone())));
                let news = !new.is_empty() || files.at_end != files.told;
                files.listed = files.source.files().len();
                files.told = files.at_end;
                news
            }
            Self::Topics(topics) => {
                let end = SourceEnd { upper: Position::default(), at_end: false };
                binding.sources.push(end);
                let part = topics.topics.cut();
                let news = part != KafkaPart::default();
                if news {
                    binding.kafka.push((topics.index, part));
                }
                news
            }
        }
    }

    /// Hands out the records of a bound epoch again. Epochs are given in their order, each until it
    /// is [`Replayed::Done`].
    ///
    /// # Errors
    ///
    /// [`ReadError::is_gone`] if records of the epoch are not there as they were.
    pub fn replay(&mut self, binding: &Binding, records_max: usize) -> Result<Replayed, ReadError> {
        match self {
            Self::Files(files) => {
                let end = binding.sources.get(usize::from(files.index));
                let upper = end.map_or(files.source.position(), |end| end.upper);
                let batch = files.source.next_until(upper, records_max)?;
                Ok(batch.map_or(Replayed::Done, Replayed::Batch))
            }
            Self::Topics(topics) => match part(binding, topics.index) {
                Some(part) => Ok(topics.topics.replay(part, records_max, STEP)?),
                None => Ok(Replayed::Done),
            },
        }
    }

    /// Bytes of all records, as they lie on disk; 0 where that is not known.
    pub fn bytes_total(&self) -> u64 {
        match self {
            Self::Files(files) => files.source.bytes_total(),
            Self::Topics(_) => 0,
        }
    }

    /// Bytes that are behind, as they lie on disk; 0 where that is not known.
    pub fn bytes_read(&self) -> u64 {
        match self {
            Self::Files(files) => files.source.bytes_read(),
            Self::Topics(_) => 0,
        }
    }

    /// How much of it is behind, from 0 to 1; 1 where that is not known.
    pub fn done(&self) -> f64 {
        let (read, total) = (self.bytes_read(), self.bytes_total());
        if total == 0 { 1.0 } else { read as f64 / total as f64 }
    }

    /// The topics, if it reads topics.
    pub fn topics(&self) -> Option<&KafkaSource> {
        match self {
            Self::Files(_) => None,
            Self::Topics(topics) => Some(&topics.topics),
        }
    }

    /// The files, if it reads files.
    pub fn files(&self) -> Option<&FileSource> {
        match self {
            Self::Files(files) => Some(&files.source),
            Self::Topics(_) => None,
        }
    }
}

/// The files of a source as an earlier run listed them, in its order.
fn recorded(bindings: &[Binding], source: u16) -> Vec<FileEntry> {
    let files = bindings.iter().flat_map(|binding| &binding.files);
    files.filter(|(of, _)| *of == source).map(|(_, entry)| entry.clone()).collect()
}

/// What a Kafka source gave to an epoch.
fn part(binding: &Binding, source: u16) -> Option<&KafkaPart> {
    binding.kafka.iter().find(|(of, _)| *of == source).map(|(_, part)| part)
}

/// What a binding says to the watermark: what has ended, what is idle, what has appeared.
pub fn marks(binding: &Binding) -> Vec<Mark> {
    let mut marks = Vec::new();
    for (source, end) in (0..).zip(&binding.sources) {
        if end.at_end {
            let lane = Lane { source, partition: 0 };
            marks.push(Mark { lane, largest: None, quiet: Some(true) });
        }
    }
    for (source, part) in &binding.kafka {
        let lane = |partition| Lane { source: *source, partition };
        for (partition, _) in &part.partitions {
            marks.push(Mark { lane: lane(partition.0), largest: None, quiet: Some(false) });
        }
        for end in &part.ends {
            let lane = lane(end.partition.0);
            marks.push(Mark { lane, largest: None, quiet: Some(end.idle) });
        }
    }
    marks
}
