//! What is read ahead: one buffer for each partition, filled by reading threads and emptied by the
//! source's owner.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{Thread, ThreadId};
use std::time::{Duration, Instant};

use operators::model::Reason;

use super::KafkaError;
use super::listing::{PartitionEnd, PartitionId, TopicEntry, Unregistered};
use crate::file::{RawBatch, RawRecords, Rows};

/// Bytes of a record's offset.
const OFFSET_BYTES: usize = 8;

/// Consecutive records of one partition as they were fetched.
#[derive(Debug, Default)]
pub(super) struct Fetched {
    rows: Rows,
    /// What stands beside each; nothing where that is not wanted.
    beside: Rows,
    offsets: Vec<u64>,
}

impl Fetched {
    /// Adds a record, and what stands beside its value, where that is wanted.
    pub(super) fn push(&mut self, offset: u64, value: Option<&[u8]>, beside: Option<&str>) {
        let value = value.unwrap_or_default();
        if value.len() < Reason::MAX_BYTES {
            self.rows.push(value);
        } else {
            self.rows.push_cut(value, value.len() as u64);
        }
        self.placed(offset, beside);
    }

    /// Adds a record that can't be used, as it came.
    pub(super) fn push_wrong(
        &mut self,
        offset: u64,
        value: &[u8],
        detail: &str,
        beside: Option<&str>,
    ) {
        self.rows.push_wrong(value, detail);
        self.placed(offset, beside);
    }

    fn placed(&mut self, offset: u64, beside: Option<&str>) {
        beside.into_iter().for_each(|text| self.beside.push(text.as_bytes()));
        self.offsets.push(offset);
    }

    /// How many records there are.
    pub(super) fn len(&self) -> usize {
        self.offsets.len()
    }

    /// Bytes in memory.
    pub(super) fn bytes(&self) -> usize {
        self.rows.bytes() + self.beside.bytes() + self.len() * OFFSET_BYTES
    }

    /// The offset after the last record.
    pub(super) fn next(&self) -> Option<u64> {
        self.offsets.last().map(|last| last + 1)
    }

    /// How many records are below an offset.
    fn below(&self, upper: u64) -> usize {
        self.offsets.partition_point(|&offset| offset < upper)
    }

    /// Keeps the first `count` records and gives the others.
    fn split_off(&mut self, count: usize) -> Self {
        Self {
            rows: self.rows.split_off(count),
            beside: self.beside.split_off(count),
            offsets: self.offsets.split_off(count),
        }
    }

    /// Ready to be decoded; there is at least one record.
    fn into_batch(self, source: u16, partition: PartitionId) -> RawBatch {
        let bytes = self.bytes();
        let first = self.offsets.first().copied().unwrap_or_default();
        let whole = self.offsets.last().is_none_or(|last| last - first + 1 == self.len() as u64);
        let Self { rows, beside, offsets } = self;
        let beside = (!beside.is_empty()).then(|| Arc::new(beside));
        RawBatch {
            source,
            partition: partition.0,
            first,
            bytes,
            offsets: (!whole).then(|| offsets.into()),
            records: RawRecords::Messages { rows: Arc::new(rows), beside },
        }
    }
}

/// What is known of a partition.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    fetched: VecDeque<Fetched>,
    bytes: usize,
    /// The offset after the last record that was ever put here.
    pub next: u64,
    /// Every record below has been put here; above [`Buffer::next`] where only markers follow.
    pub settled: u64,
    /// Bytes that lie in the client's own queue.
    pub queued: u64,
    /// The end of the partition, and when the brokers said so.
    pub end: Option<(u64, Instant)>,
    /// The first record that is there, as the brokers said last.
    pub low: Option<u64>,
    /// Where a transaction is open that holds up reading, and since when it has been seen there.
    pub open: Option<(u64, Instant)>,
}

impl Buffer {
    /// An empty one, to be filled from an offset on.
    pub(super) fn from(next: u64) -> Self {
        Self { next, settled: next, ..Self::default() }
    }

    /// The offset below which every record has been taken, if those below `next` have: where none
    /// waits, behind the markers that follow the last one.
    pub(super) fn passed(&self, next: u64) -> u64 {
        let all = next >= self.next && self.fetched.is_empty();
        if all { next.max(self.settled) } else { next }
    }

    /// Bytes of records that wait.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// What reading threads, the looking-up thread and the owner share.
#[derive(Debug, Default)]
pub(super) struct State {
    pub buffers: BTreeMap<PartitionId, Buffer>,
    /// Topics that the owner does not know yet.
    pub topics: Vec<TopicEntry>,
    /// Partitions that the owner does not know yet, with the offset that they are read from.
    pub partitions: Vec<(PartitionId, u64)>,
    /// Why reading has ended.
    pub failed: Option<KafkaError>,
    /// Schemas that the registry did not have, and where records of them are that the owner has not
    /// bound: from the first one to behind the last one.
    pub unregistered: BTreeMap<(PartitionId, u32), Missed>,
    /// What does not work at present, and is tried again: for who looks up what there is,
    pub trouble: Option<String>,
    /// for who asks the registry, by thread; nothing comes until it works;
    pub registry_trouble: HashMap<ThreadId, String>,
    /// and for who reads a partition. The brokers say so once, and it holds until a record comes.
    pub refused: BTreeMap<PartitionId, String>,
}

/// Records whose schema the registry did not have.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Missed {
    /// The first one's offset.
    pub from: u64,
    /// The offset after the last one.
    pub upto: u64,
    /// Why they could not be used.
    pub why: String,
}

impl State {
    /// What does not work at present.
    pub(super) fn trouble(&self) -> Option<&String> {
        let all = self.registry_trouble.values().chain(self.refused.values());
        all.chain(&self.trouble).next()
    }

    /// Schemas that were missed before those ends, as far as they are not bound; they are now.
    pub(super) fn take_unregistered(&mut self, ends: &[PartitionEnd]) -> Vec<Unregistered> {
        let mut bound = Vec::new();
        self.unregistered.retain(|&(partition, schema), missed| {
            let end = ends.iter().find(|end| end.partition == partition);
            let Some(end) = end.filter(|end| missed.from < end.upper) else { return true };
            let (from, upto) = (missed.from, missed.upto.min(end.upper));
            bound.push(Unregistered { partition, schema, from, upto, why: missed.why.clone() });
            // What is read ahead is bound later.
            missed.from = end.upper;
            missed.from < missed.upto
        });
        bound
    }
}

/// The same with its locks.
#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    news: Condvar,
    readers: Mutex<Vec<Thread>>,
    stop: AtomicBool,
    /// Bytes that a partition may hold.
    share: OnceLock<usize>,
}

impl Shared {
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::default(),
            news: Condvar::new(),
            readers: Mutex::default(),
            stop: AtomicBool::new(false),
            share: OnceLock::new(),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // No panic can come between two changes that belong together.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says how many bytes a partition may hold; the first word counts.
    pub(super) fn set_share(&self, bytes: usize) {
        let _ = self.share.set(bytes);
    }

    fn share(&self) -> usize {
        self.share.get().copied().unwrap_or(0)
    }

    /// Joins the threads that are woken when there is room again.
    pub(super) fn enrol(&self, thread: Thread) {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
    }

    pub(super) fn wake_readers(&self) {
        let readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        readers.iter().for_each(Thread::unpark);
    }

    /// Asks all threads to end.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.news.notify_all();
        self.wake_readers();
    }

    pub(super) fn stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// Ends reading; the first reason counts.
    pub(super) fn fail(&self, error: KafkaError) {
        self.state().failed.get_or_insert(error);
        self.stop();
    }

    /// Notes that the schema of a record is missed. One that was there once is never missed again,
    /// so between the first and the last record of it none was read by it.
    pub(super) fn missed(&self, partition: PartitionId, schema: u32, (offset, why): (u64, &str)) {
        let mut state = self.state();
        let missed = state.unregistered.entry((partition, schema)).or_insert_with(|| Missed {
            from: offset,
            upto: offset,
            why: why.to_owned(),
        });
        missed.upto = offset + 1;
    }

    /// Bytes that a partition may still take.
    pub(super) fn room(&self, partition: PartitionId) -> usize {
        let held = self.state().buffers.get(&partition).map_or(0, |buffer| buffer.bytes);
        self.share().saturating_sub(held)
    }

    /// Puts records into their buffers.
    pub(super) fn put(&self, fetched: Vec<(PartitionId, Fetched)>) {
        let mut state = self.state();
        for (partition, fetched) in fetched {
            state.refused.remove(&partition);
            let buffer = state.buffers.entry(partition).or_default();
            buffer.bytes += fetched.bytes();
            buffer.next = fetched.next().unwrap_or(buffer.next);
            buffer.settled = buffer.settled.max(buffer.next);
            buffer.fetched.push_back(fetched);
        }
        self.news.notify_all();
    }

    /// Waits until there is something to take or a reason to stop, but not for long.
    pub(super) fn wait(&self, time: Duration) {
        let state = self.state();
        let nothing = |state: &mut State| {
            state.failed.is_none() && state.buffers.values().all(|b| b.fetched.is_empty())
        };
        let result = self.news.wait_timeout_while(state, time, nothing);
        drop(result.unwrap_or_else(PoisonError::into_inner));
    }

    /// Waits until the partition has something, or a reason to stop, but not for long.
    pub(super) fn wait_for(&self, partition: PartitionId, time: Duration) {
        let state = self.state();
        let nothing = |state: &mut State| {
            let empty = state.buffers.get(&partition).is_none_or(|b| b.fetched.is_empty());
            state.failed.is_none() && empty
        };
        let result = self.news.wait_timeout_while(state, time, nothing);
        drop(result.unwrap_or_else(PoisonError::into_inner));
    }

    /// Takes the next records of a partition: at most `records_max`, and below `upper`.
    pub(super) fn take(
        &self,
        source: u16,
        partition: PartitionId,
        records_max: usize,
        upper: u64,
    ) -> Taken {
        let mut state = self.state();
        let Some(buffer) = state.buffers.get_mut(&partition) else { return Taken::Nothing };
        let Some(front) = buffer.fetched.front_mut() else { return Taken::Nothing };
        let count = front.below(upper).min(records_max.max(1));
        if count == 0 {
            return Taken::Beyond;
        }
        let rest = front.split_off(count);
        let full = buffer.bytes >= self.share();
        let taken = if rest.len() == 0 {
            buffer.fetched.pop_front().unwrap_or_default()
        } else {
            std::mem::replace(front, rest)
        };
        buffer.bytes = buffer.fetched.iter().map(Fetched::bytes).sum();
        drop(state);
        if full {
            self.wake_readers();
        }
        Taken::Batch(taken.into_batch(source, partition))
    }
}

/// What there was to take.
#[derive(Debug)]
pub(super) enum Taken {
    /// Records.
    Batch(RawBatch),
    /// Nothing yet.
    Nothing,
    /// Only records at or past the limit.
    Beyond,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fetched(offsets: &[u64]) -> Fetched {
        let mut fetched = Fetched::default();
        offsets.iter().for_each(|&o| {
            let (value, beside) = (o.to_string(), format!("beside {o}"));
            fetched.push(o, Some(value.as_bytes()), Some(&beside));
        });
        fetched
    }

    fn offsets(taken: &Taken) -> Option<Vec<u64>> {
        let Taken::Batch(batch) = taken else { return None };
        let RawRecords::Messages { rows, beside } = &batch.records else { return None };
        let all: Vec<u64> = (0..batch.len()).map(|index| batch.offset(index)).collect();
        let texts: Vec<String> =
            rows.iter().map(|(row, _)| String::from_utf8(row.to_vec()).unwrap()).collect();
        assert_eq!(texts, all.iter().map(u64::to_string).collect::<Vec<_>>());
        let beside = beside.as_ref().unwrap();
        for (index, offset) in all.iter().enumerate() {
            assert_eq!(beside.get(index), format!("beside {offset}").as_bytes());
        }
        Some(all)
    }

    #[test]
    fn ranges_end_at_or_past_their_upper_offset() {
        let shared = Shared::new();
        shared.set_share(1 << 20);
        let place = PartitionId::new(0, 3);
        shared.put(vec![(place, fetched(&[1, 2, 5])), (place, fetched(&[8, 9]))]);
        let take = |most, upper| shared.take(0, place, most, upper);
        assert_eq!(offsets(&take(9, 5)), Some(vec![1, 2]));
        assert!(matches!(take(9, 5), Taken::Beyond));
        assert!(matches!(take(9, 4), Taken::Beyond));
        assert_eq!(offsets(&take(9, 9)), Some(vec![5]));
        assert_eq!(offsets(&take(1, 99)), Some(vec![8]));
        assert_eq!(offsets(&take(1, 99)), Some(vec![9]));
        assert!(matches!(take(1, 99), Taken::Nothing));
        assert_eq!(shared.room(place), 1 << 20);
        assert_eq!(shared.state().buffers[&place].next, 10);
    }

    /// A schema that is missed is bound where its records are, once, and what is read ahead later.
    #[test]
    fn missed_schemas_are_bound_where_their_records_are() {
        let shared = Shared::new();
        let [a, b] = [PartitionId::new(0, 0), PartitionId::new(0, 1)];
        let bind = |partition, upper| -> Vec<(u32, u64, u64)> {
            let ends = [PartitionEnd { partition, upper, records: 1, idle: false }];
            let bound = shared.state().take_unregistered(&ends);
            bound.into_iter().map(|missed| (missed.schema, missed.from, missed.upto)).collect()
        };
        shared.missed(a, 7, (3, "none"));
        shared.missed(a, 7, (5, "none"));
        shared.missed(a, 8, (6, "none"));
        shared.missed(b, 7, (1, "none"));
        assert_eq!(bind(a, 3), []);
        assert_eq!(bind(a, 5), [(7, 3, 5)]);
        assert_eq!(bind(a, 9), [(7, 5, 6), (8, 6, 7)]);
        assert_eq!(bind(a, 20), []);
        assert_eq!(bind(b, 20), [(7, 1, 2)]);
        shared.missed(a, 7, (30, "none"));
        assert_eq!(bind(a, 31), [(7, 30, 31)]);
        assert!(shared.state().unregistered.is_empty());
    }

    /// What brokers refuse is said once, and holds until a record comes.
    #[test]
    fn what_is_refused_is_trouble_until_a_record_comes() {
        let shared = Shared::new();
        let place = PartitionId::new(0, 3);
        shared.state().refused.insert(place, "not for you".to_owned());
        shared.state().trouble = None; // who looks up what there is has none
        assert_eq!(shared.state().trouble().map(String::as_str), Some("not for you"));
        shared.put(vec![(PartitionId::new(0, 4), fetched(&[1]))]);
        assert!(shared.state().trouble().is_some());
        shared.put(vec![(place, fetched(&[1]))]);
        assert_eq!(shared.state().trouble(), None);
    }

    /// Markers count as passed once no record waits before them.
    #[test]
    fn markers_are_passed_when_nothing_waits() {
        let shared = Shared::new();
        let place = PartitionId::new(0, 0);
        shared.put(vec![(place, fetched(&[1, 2]))]);
        shared.state().buffers.get_mut(&place).unwrap().settled = 5;
        let passed = |next| shared.state().buffers[&place].passed(next);
        assert_eq!(passed(0), 0);
        shared.take(0, place, 1, u64::MAX);
        assert_eq!(passed(2), 2);
        shared.take(0, place, 1, u64::MAX);
        assert_eq!(passed(3), 5);
        assert_eq!(passed(7), 7);
    }

    #[test]
    fn a_record_too_large_is_cut() {
        let mut fetched = Fetched::default();
        fetched.push(4, Some(&vec![b'x'; Reason::MAX_BYTES]), None);
        fetched.push(5, None, None);
        let batch = fetched.into_batch(1, PartitionId(2));
        let RawRecords::Messages { rows, beside: None } = &batch.records else {
            panic!("messages with nothing beside")
        };
        let cut: Vec<(usize, Option<u64>)> = rows.iter().map(|(r, c)| (r.len(), c)).collect();
        assert_eq!(cut, [(Rows::KEPT_BYTES, Some(Reason::MAX_BYTES as u64)), (0, None)]);
    }
}
