//! Sources of a job, and how the records of bound epochs are read again, in the same epochs.

use std::time::Duration;

use connectors::bindings::{Binding, SourceEnd};
use connectors::file::{FileEntry, FileSource, FileSpec, Position, RawBatch, SourceError};
use connectors::kafka::{KafkaError, KafkaPart, KafkaSource, KafkaSpec, Replayed};
use operators::graph::Mark;
use operators::model::{Epoch, Micros};
use operators::time::{Lane, Watermark};
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
        match self {
            Self::Files(error) => error.is_usage(),
            Self::Topics(error) => error.is_usage(),
        }
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
    /// Bytes of the files before those that came when it was last at its end: what of the others
    /// is behind is the same whether a run was cut off or not.
    before: u64,
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
                let ended = bindings.iter().rev().filter_map(end).find(|end| end.at_end);
                let ended = ended.map_or(0, |end| end.upper.file as usize);
                let before = source.files().iter().take(ended).map(|file| file.bytes).sum();
                // One that has got more files is not at its end, whether or not it is their turn.
                let (told, at_end) = (at_end, at_end && source.files().len() == listed);
                Ok(Self::Files(Files { source, index, listed, at_end, told, before }))
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
                binding.digests.push(files.source.take_digest());
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
                binding.digests.push(0);
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
                if let Some(batch) = files.source.next_until(upper, records_max)? {
                    return Ok(Replayed::Batch(batch));
                }
                // A source that was added to the job later gave nothing then.
                let digest = binding.digests.get(usize::from(files.index));
                files.source.check(digest.copied().unwrap_or_default())?;
                Ok(Replayed::Done)
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

    /// Bytes of the files that have come since it was last at its end, as they lie on disk; 0 where
    /// that is not known.
    pub fn bytes_new(&self) -> u64 {
        match self {
            Self::Files(files) => files.source.bytes_total().saturating_sub(files.before),
            Self::Topics(_) => 0,
        }
    }

    /// How much of [`Source::bytes_new`] is behind, from 0 to 1; 1 where that is not known.
    pub fn done(&self) -> f64 {
        let Self::Files(files) = self else { return 1.0 };
        let (read, new) = (files.source.bytes_read(), self.bytes_new());
        if new == 0 { 1.0 } else { read.saturating_sub(files.before) as f64 / new as f64 }
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

/// What a binding says to the watermark: what has ended, what is idle, what has appeared. Where
/// files are listed that are new, their source is not at its end any more, unless it is again.
pub fn marks(binding: &Binding) -> Vec<Mark> {
    let mut marks = Vec::new();
    for (source, end) in (0..).zip(&binding.sources) {
        // Of topics it is said below, partition by partition: they list no files.
        if end.at_end || binding.files.iter().any(|(of, _)| *of == source) {
            let lane = Lane { source, partition: 0 };
            marks.push(Mark { lane, largest: None, quiet: Some(end.at_end) });
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

/// The watermark of a run that reads nothing up to the epoch `done`. Of what is before, only is
/// known which lanes there are, and which of them are quiet: a binding names a partition only where
/// that is news.
pub fn watermark(disorder: Micros, bindings: &[Binding], done: Epoch) -> Watermark {
    let mut watermark = Watermark::new(disorder);
    let before = bindings.iter().take_while(|binding| binding.epoch <= done);
    for Mark { lane, largest, quiet } in before.flat_map(marks) {
        watermark.observe(lane, largest, quiet);
    }
    watermark
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use connectors::kafka::{PartitionEnd, PartitionId};

    use super::*;

    fn spec(folder: &Path) -> SourceSpec {
        SourceSpec::Files(FileSpec::new("web", 0, folder, &["*.ndjson"]))
    }

    /// What a source gives to an epoch, and whether that is anything.
    fn bind(source: &mut Source, epoch: Epoch) -> (Binding, bool) {
        let mut binding = Binding::new(epoch, 1, 0, "job");
        let news = source.bind(&mut binding);
        (binding, news)
    }

    fn quiet(binding: &Binding) -> Vec<Option<bool>> {
        marks(binding).into_iter().map(|mark| mark.quiet).collect()
    }

    /// From the first epoch on after files are found, whether or not a record of them is in it.
    /// A partition that has been idle since before a replay begins holds up nothing of it; a source
    /// that is added later holds up nothing of what was before.
    #[test]
    fn a_watermark_knows_what_was_quiet_before() {
        let [a, b] = [PartitionId::new(0, 0), PartitionId::new(0, 1)];
        let end = |partition, idle| PartitionEnd { partition, upper: 9, records: 1, idle };
        let bound = |epoch, part: KafkaPart| {
            let mut binding = Binding::new(epoch, 1, 0, "job");
            binding.kafka.push((0, part));
            binding
        };
        let first = KafkaPart {
            partitions: vec![(a, 0), (b, 0)],
            ends: vec![end(a, true), end(b, false)],
            ..KafkaPart::default()
        };
        let second = KafkaPart { ends: vec![end(b, false)], ..KafkaPart::default() };
        let bindings = [bound(1, first), bound(2, second)];
        for done in [0, 1] {
            let mut watermark = watermark(5, &bindings, done);
            let later = bindings.iter().filter(|binding| binding.epoch > done);
            later.flat_map(marks).for_each(|mark| watermark.observe(mark.lane, None, mark.quiet));
            assert_eq!(watermark.advance(), Micros::MIN, "nothing was seen");
            watermark.observe(Lane { source: 0, partition: b.0 }, Some(100), None);
            assert_eq!(watermark.advance(), 95, "after {done}");
        }
    }

    #[test]
    fn a_source_that_gets_new_files_holds_the_watermark_again() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write("a.ndjson", "{}\n{}\n");
        let mut source = Source::open(&spec(folder.path()), &[], 0).unwrap();
        assert_eq!(source.next(9).unwrap().map(|batch| batch.len()), Some(2));
        let (first, _) = bind(&mut source, 1);
        assert_eq!(quiet(&first), [Some(false)]);
        assert!(source.next(9).unwrap().is_none());
        let (second, news) = bind(&mut source, 2);
        assert!(news && quiet(&second) == [Some(true)], "{second:?}");

        write("b.ndjson", "{}\n");
        let bindings = [first, second];
        let mut source = Source::open(&spec(folder.path()), &bindings, 2).unwrap();
        assert!(!source.at_end());
        let (third, news) = bind(&mut source, 3);
        assert!(news && quiet(&third) == [Some(false)], "{third:?}");
        assert_eq!(source.next(9).unwrap().map(|batch| batch.len()), Some(1));
        assert!(source.next(9).unwrap().is_none());
        let (fourth, _) = bind(&mut source, 4);
        assert_eq!(quiet(&fourth), [Some(true)]);

        let bindings = [&bindings[..], &[third, fourth]].concat();
        let mut source = Source::open(&spec(folder.path()), &bindings, 4).unwrap();
        assert!(source.at_end() && !bind(&mut source, 5).1, "nothing is new");
    }

    /// At the same length, behind the beginning that the list compares: no guess, but an error.
    #[test]
    fn records_that_were_edited_are_gone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.ndjson");
        let text = "{\"n\":1}\n".repeat(2000);
        fs::write(&path, &text).unwrap();
        let mut source = Source::open(&spec(folder.path()), &[], 0).unwrap();
        let mut bindings = Vec::new();
        for (epoch, size) in (1..).zip([900, 100, 1000]) {
            assert_eq!(source.next(size).unwrap().map(|batch| batch.len()), Some(size));
            bindings.push(bind(&mut source, epoch).0);
        }
        let again = |done: usize, size| -> Result<(), ReadError> {
            let mut source = Source::open(&spec(folder.path()), &bindings, done as Epoch)?;
            for binding in &bindings[done..] {
                while let Replayed::Batch(_) = source.replay(binding, size)? {}
            }
            Ok(())
        };
        for size in [7, 1000, 9999] {
            again(0, size).unwrap();
        }
        let edited = text.replacen('1', "2", 1501).replacen('2', "1", 1500);
        assert_eq!(edited.len(), text.len());
        fs::write(&path, edited).unwrap();
        for done in 0..3 {
            let error = again(done, 300).unwrap_err();
            let wanted = "some of its records up to 2000 are not those that were read before";
            assert!(error.is_gone() && error.to_string().contains(wanted), "{error}");
        }
        again(3, 300).unwrap();
    }

    /// However much earlier runs have read of a source: what is behind is told of the rest, also
    /// in a run that goes on with it.
    #[test]
    fn what_is_behind_is_told_of_what_is_new() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, lines: usize| {
            fs::write(folder.path().join(name), "{\"n\":1}\n".repeat(lines)).unwrap();
        };
        let told = |source: &Source| {
            (source.bytes_new(), source.bytes_total(), (source.done() * 100.0).round() as u32)
        };
        write("a.ndjson", 1000);
        let mut source = Source::open(&spec(folder.path()), &[], 0).unwrap();
        source.next(250).unwrap();
        assert_eq!(told(&source), (8000, 8000, 25));
        while source.next(100).unwrap().is_some() {}
        assert_eq!(told(&source), (8000, 8000, 100));
        let mut bindings = vec![bind(&mut source, 1).0];

        write("b.ndjson", 100);
        let mut source = Source::open(&spec(folder.path()), &bindings, 1).unwrap();
        assert_eq!(told(&source), (800, 8800, 0));
        source.next(50).unwrap();
        assert_eq!(told(&source), (800, 8800, 50));
        bindings.push(bind(&mut source, 2).0);
        for done in [0, 1, 2] {
            let mut source = Source::open(&spec(folder.path()), &bindings, done).unwrap();
            for binding in &bindings[done as usize..] {
                while let Replayed::Batch(_) = source.replay(binding, 300).unwrap() {}
            }
            assert_eq!(told(&source), (800, 8800, 50), "after {done}");
        }
    }
}
