//! Topics as a source: the owner's side.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::buffer::{Shared, Taken};
use super::listing::{Listing, PartitionId};
use super::past::Past;
use super::reader::Reader;
use super::watch::Watch;
use super::{KafkaError, KafkaPart, KafkaSpec, OpenTransaction, PartitionEnd};
use crate::file::RawBatch;

/// An end offset is believed for this many look-ups.
const ENDS_BELIEVED: u32 = 4;

/// Topics that are being read.
pub struct KafkaSource {
    spec: KafkaSpec,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    /// Positions to show; dropped when the source goes.
    shown: Option<Sender<Vec<(String, i32, u64)>>>,
    listing: Listing,
    /// Where this run began with each partition.
    first: BTreeMap<PartitionId, u64>,
    /// What was handed out since the last cut: topics, partitions, records of each partition.
    part: KafkaPart,
    records: BTreeMap<PartitionId, u64>,
    /// The partition whose turn it is.
    turn: Option<PartitionId>,
}

/// A step of reading bound records again.
#[derive(Clone, Debug)]
pub enum Replayed {
    /// Records.
    Batch(RawBatch),
    /// Nothing has come in time; ask again.
    Waiting,
    /// All records of the epoch have been handed out.
    Done,
}

/// How far a partition is read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartitionStatus {
    /// Which one it is.
    pub id: PartitionId,
    /// Its topic.
    pub topic: String,
    /// Its number.
    pub partition: i32,
    /// The offset after the last record handed out, or after markers behind it once these are
    /// bound.
    pub next: u64,
    /// Where it ends, as far as known.
    pub end: Option<u64>,
    /// Whether the brokers have answered for it lately.
    pub reachable: bool,
    /// Whether nothing is to come for now.
    pub idle: bool,
    /// Bytes fetched by the client and not read yet, as it said last.
    pub bytes_queued: u64,
    /// The offset that this run read first.
    pub first: u64,
    /// The first offset that is there, as far as known.
    pub low: Option<u64>,
    /// A transaction that holds up reading.
    pub open: Option<OpenTransaction>,
}

impl KafkaSource {
    /// Connects, and goes to where the first of the recorded epochs begins; without any, to the
    /// beginning of each partition.
    ///
    /// # Errors
    /// Brokers that don't answer, topics that aren't there, properties that can't be set;
    /// [`KafkaError::Gone`] where records of the recorded epochs are not there any more.
    pub fn open(spec: &KafkaSpec, recorded: &[&KafkaPart]) -> Result<Self, KafkaError> {
        let shared = Arc::new(Shared::new());
        let (shown, shows) = channel();
        let listing = Listing::begin(recorded).passing(recorded);
        let ends = Listing::ends(recorded);
        let mut watch = Watch::open(spec, listing.clone(), &ends, shows, Arc::clone(&shared))?;
        let even = spec.bytes_max / watch.partitions().max(1);
        let share = even.max(KafkaSpec::PARTITION_BYTES_MIN);
        shared.set_share(share);
        let (mut readers, mut senders) = (Vec::new(), Vec::new());
        let past = Arc::new(Past::of(recorded));
        for _ in 0..spec.threads.max(1) {
            let (sender, orders) = channel();
            readers.push(Reader::new(spec, (share, &past), orders, Arc::clone(&shared))?);
            senders.push(sender);
        }
        watch.start(senders);
        let mut source = Self {
            spec: spec.clone(),
            shared,
            threads: Vec::new(),
            shown: Some(shown),
            first: listing.next.clone(),
            listing,
            part: KafkaPart::default(),
            records: BTreeMap::new(),
            turn: None,
        };
        for (number, reader) in readers.into_iter().enumerate() {
            source.spawn(&format!("kafka-{}-{number}", spec.name), move || reader.run())?;
        }
        source.spawn(&format!("kafka-{}-watch", spec.name), move || watch.run())?;
        source.refresh()?;
        Ok(source)
    }

    fn spawn(&mut self, name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), KafkaError> {
        let thread = thread::Builder::new().name(name.to_owned()).spawn(run);
        let fail = |e: std::io::Error| KafkaError::Client {
            what: self.spec.what(),
            detail: format!("can't start a thread: {e}"),
        };
        self.threads.push(thread.map_err(fail)?);
        Ok(())
    }

    /// Takes over what has been found, and says whether reading has failed.
    fn refresh(&mut self) -> Result<(), KafkaError> {
        let mut state = self.shared.state();
        for topic in state.topics.drain(..) {
            self.part.topics.push(topic.clone());
            self.listing.topics.push(topic);
        }
        for (partition, first) in state.partitions.drain(..) {
            self.part.partitions.push((partition, first));
            self.listing.next.insert(partition, first);
            self.first.insert(partition, first);
        }
        match &state.failed {
            Some(error) => Err(error.clone()),
            None => Ok(()),
        }
    }

    /// The next records that have come, of one partition, at most `records_max` (at least one);
    /// `None` if none have. Does not wait.
    ///
    /// # Errors
    /// What has ended the reading; records that came before are handed out first.
    pub fn next(&mut self, records_max: usize) -> Result<Option<RawBatch>, KafkaError> {
        let failed = self.refresh();
        let after = self.turn;
        let turns = self.listing.next.keys().copied();
        let (later, sooner): (Vec<_>, Vec<_>) = turns.partition(|p| Some(*p) > after);
        for partition in later.into_iter().chain(sooner) {
            let source = self.spec.source;
            if let Taken::Batch(batch) = self.shared.take(source, partition, records_max, u64::MAX)
            {
                self.turn = Some(partition);
                self.handed(partition, &batch);
                return Ok(Some(batch));
            }
        }
        failed.map(|()| None)
    }

    fn handed(&mut self, partition: PartitionId, batch: &RawBatch) {
        let last = batch.offset(batch.len().saturating_sub(1));
        self.listing.next.insert(partition, last + 1);
        *self.records.entry(partition).or_default() += batch.len() as u64;
    }

    /// Waits until there may be something to read, at most for `time`.
    pub fn wait(&self, time: Duration) {
        self.shared.wait(time);
    }

    /// What was handed out since the last call, to be bound to an epoch. Where nothing was handed
    /// out of a partition and its idleness is as before, it is not listed.
    ///
    /// Markers of transactions are no records and have offsets. A partition that has only passed
    /// some since it was listed is listed beside others, and by itself once it rests there. Else a
    /// restart would want the last marker of a partition that is quiet, which retention may have
    /// removed with all that it ended.
    pub fn cut(&mut self) -> KafkaPart {
        let mut part = std::mem::take(&mut self.part);
        let records = std::mem::take(&mut self.records);
        let (mut news, mut ends) = (part != KafkaPart::default(), Vec::new());
        for (&partition, &next) in &self.listing.next {
            let idle = self.idle(partition);
            let before = self.listing.idle.insert(partition, idle).unwrap_or(false);
            let records = records.get(&partition).copied().unwrap_or(0);
            let (upper, rests) = self.passed(partition, next);
            news |= records > 0 || idle != before || (idle && rests && upper > next);
            if records > 0 || idle != before || upper > next {
                ends.push(PartitionEnd { partition, upper, records, idle });
            }
        }
        if news {
            self.listing.next.extend(ends.iter().map(|end| (end.partition, end.upper)));
            part.asked = self.spec.asked();
            part.unregistered = self.shared.state().take_unregistered(&ends);
            part.ends = ends;
        }
        part
    }

    /// The offset below which every record of a partition has been handed out, if those below
    /// `next` have, and whether the partition is known to end there.
    fn passed(&self, partition: PartitionId, next: u64) -> (u64, bool) {
        let state = self.shared.state();
        let Some(buffer) = state.buffers.get(&partition) else { return (next, false) };
        let passed = buffer.passed(next);
        (passed, buffer.end.is_some_and(|(end, _)| end == passed))
    }

    /// Whether a partition has been read to its end and the brokers have said lately where that is.
    fn idle(&self, partition: PartitionId) -> bool {
        let state = self.shared.state();
        let next = self.listing.next.get(&partition).copied().unwrap_or(0);
        state.buffers.get(&partition).is_some_and(|buffer| {
            let handed_out = next >= buffer.next;
            let believed = self.spec.refresh * ENDS_BELIEVED;
            buffer.end.is_some_and(|(end, at)| {
                handed_out && buffer.settled >= end && at.elapsed() <= believed
            })
        })
    }

    /// Hands out the records of a recorded epoch again, in any order of partitions. Epochs are
    /// given in their order, each until it is [`Replayed::Done`].
    ///
    /// # Errors
    /// [`KafkaError::Gone`] if some of its records are not there any more.
    pub fn replay(
        &mut self,
        part: &KafkaPart,
        records_max: usize,
        patience: Duration,
    ) -> Result<Replayed, KafkaError> {
        self.refresh()?;
        for end in &part.ends {
            let partition = end.partition;
            let next = self.listing.next.get(&partition).copied().unwrap_or(0);
            let read = self.records.get(&partition).copied().unwrap_or(0);
            // Markers may follow the last record.
            if read == end.records {
                continue;
            }
            if next >= end.upper || read > end.records {
                return Err(self.other(end, read));
            }
            let source = self.spec.source;
            let mut taken = self.shared.take(source, partition, records_max, end.upper);
            if let Taken::Nothing = taken {
                self.shared.wait_for(partition, patience);
                taken = self.shared.take(source, partition, records_max, end.upper);
            }
            return match taken {
                // Below what earlier epochs have passed no other record was left.
                Taken::Batch(batch) if batch.offset(0) < next => Err(self.other(end, read)),
                Taken::Batch(batch) => {
                    self.handed(partition, &batch);
                    Ok(Replayed::Batch(batch))
                }
                Taken::Nothing => self.refresh().map(|()| Replayed::Waiting),
                Taken::Beyond => Err(self.other(end, read)),
            };
        }
        for end in &part.ends {
            self.listing.idle.insert(end.partition, end.idle);
            let next = self.listing.next.entry(end.partition).or_default();
            *next = end.upper.max(*next);
        }
        self.records.clear();
        Ok(Replayed::Done)
    }

    /// The error for an epoch that has other records than it had.
    fn other(&self, end: &PartitionEnd, read: u64) -> KafkaError {
        let PartitionEnd { partition, upper, records, .. } = *end;
        let was = format!("{records} records below offset {upper} made up an epoch");
        KafkaError::Gone {
            what: self.spec.what(),
            topic: self.listing.topic(partition).to_owned(),
            partition: partition.number(),
            detail: format!("{was}, {read} are there now"),
            first: None,
        }
    }

    /// Where each partition stands: the offset after the last record handed out, or after markers
    /// behind it once these are bound.
    pub fn positions(&self) -> &BTreeMap<PartitionId, u64> {
        &self.listing.next
    }

    /// How far each partition is read.
    pub fn status(&self) -> Vec<PartitionStatus> {
        let believed = self.spec.refresh * ENDS_BELIEVED;
        let of = |(&partition, &next): (&PartitionId, &u64)| {
            let idle = self.idle(partition);
            let state = self.shared.state();
            let buffer = state.buffers.get(&partition);
            let end = buffer.and_then(|buffer| buffer.end);
            let topic = self.listing.topic(partition);
            let open = buffer.and_then(|buffer| buffer.open);
            PartitionStatus {
                id: partition,
                topic: topic.to_owned(),
                partition: partition.number(),
                next,
                end: end.map(|(end, _)| end),
                reachable: end.is_some_and(|(_, at)| at.elapsed() <= believed),
                idle,
                bytes_queued: buffer.map_or(0, |buffer| buffer.queued),
                first: self.first.get(&partition).copied().unwrap_or(next),
                low: buffer.and_then(|buffer| buffer.low),
                open: open.map(|(offset, since)| OpenTransaction {
                    topic: topic.to_owned(),
                    partition: partition.number(),
                    offset,
                    open: since.elapsed(),
                }),
            }
        };
        self.listing.next.iter().map(of).collect()
    }

    /// A transaction that is open for longer hangs: see [`KafkaSpec::hangs`].
    pub fn hangs(&self) -> Duration {
        self.spec.hangs
    }

    /// What does not work at present and is tried again, such as brokers that don't answer.
    pub fn trouble(&self) -> Option<String> {
        self.shared.state().trouble().cloned()
    }

    /// Shows other tools, under the spec's group, that everything handed out so far is done. It
    /// decides nothing, and nobody waits for it.
    pub fn show_progress(&self) {
        let of = |(&partition, &next): (&PartitionId, &u64)| {
            (self.listing.topic(partition).to_owned(), partition.number(), next)
        };
        if let Some(shown) = &self.shown {
            // A thread that has ended has said why.
            let _ = shown.send(self.listing.next.iter().map(of).collect());
        }
    }

    /// Bytes read ahead and not yet handed out.
    pub fn bytes_ahead(&self) -> usize {
        self.shared.state().buffers.values().map(super::buffer::Buffer::bytes).sum()
    }
}

impl Drop for KafkaSource {
    fn drop(&mut self) {
        self.shared.stop();
        self.shown = None;
        for thread in self.threads.drain(..) {
            // A panic of the thread has been reported already.
            let _ = thread.join();
        }
    }
}
