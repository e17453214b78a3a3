//! Transactions that nobody ends.
//!
//! While a transaction is open in a partition, committed records after its first one can't be read:
//! the partition's *stable* offset stands there, below its end. What a producer leaves that dies is
//! taken back by the brokers after its own timeout, 15 minutes at most unless they are told
//! otherwise (`transaction.max.timeout.ms`). But a broker that is killed between answering a commit
//! and writing its markers may, when it comes back, pass over partitions whose leader it does not
//! know yet. Then a partition has an open transaction that no coordinator knows, and it stays so
//! until somebody ends it by hand.
//!
//! An open transaction is known by where it stands: two looks at different moments that see the
//! same stable offset below the end see the same transaction.

use std::collections::BTreeMap;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError as ClientError;
use rdkafka::{Offset, TopicPartitionList};

use super::client::Context;
use super::control::attend;
use super::{ClientSpec, KafkaError};

/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(5);
/// A transaction that is open for so many times its timeout hangs: the brokers would have taken it
/// back.
pub(super) const HANGS: u32 = 3;
/// How often the topics of a sink are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// A transaction that is open in a partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OpenTransaction {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// Its first record: committed records from here on can't be read yet.
    pub offset: u64,
    /// How long it has been seen there.
    pub open: Duration,
}

/// Where transactions have been seen open, by partition, and since when.
#[derive(Debug)]
pub(super) struct Seen<K>(BTreeMap<K, (u64, Instant)>);

impl<K> Default for Seen<K> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord + Copy> Seen<K> {
    /// A look at a partition: where it ended, and where it was stable at that moment or later.
    pub(super) fn look(&mut self, partition: K, end: u64, stable: u64, now: Instant) {
        if stable >= end {
            self.0.remove(&partition);
            return;
        }
        let seen = self.0.entry(partition).or_insert((stable, now));
        if seen.0 != stable {
            *seen = (stable, now);
        }
    }

    /// Where a transaction is open, and since when it has been seen there.
    pub(super) fn at(&self, partition: K) -> Option<(u64, Instant)> {
        self.0.get(&partition).copied()
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = (K, u64, Instant)> {
        self.0.iter().map(|(partition, (offset, since))| (*partition, *offset, *since))
    }
}

/// A client that asks where partitions end, of all records or of the committed ones.
pub(super) fn asking(
    spec: &ClientSpec,
    what: &str,
    isolation: &str,
) -> Result<BaseConsumer<Context>, KafkaError> {
    let ours = [
        ("group.id", "braid-ends"),
        ("enable.auto.commit", "false"),
        ("isolation.level", isolation),
    ];
    let made = spec.config(what, &ours)?.create_with_context(Context::default());
    made.map_err(|error| KafkaError::client(what, &error))
}

/// The same as `log` reads with: of a partition, the end and where it is stable.
pub(super) fn both_ends(
    all: &BaseConsumer<Context>,
    committed: &BaseConsumer<Context>,
    topic: &str,
    partition: i32,
) -> Result<(u64, u64), ClientError> {
    // In this order: what is committed in between is no open transaction.
    let end = all.fetch_watermarks(topic, partition, ANSWER)?.1;
    let stable = committed.fetch_watermarks(topic, partition, ANSWER)?.1;
    Ok((end as u64, stable as u64))
}

/// Looks at the topics of a sink, beside the writing.
pub(super) struct Watched {
    open: Arc<Mutex<Vec<OpenTransaction>>>,
    /// Dropped when it is to end.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watched {
    /// Looks at partitions from now on, until it is dropped.
    pub(super) fn start(
        spec: &ClientSpec,
        what: &str,
        partitions: Vec<(String, i32)>,
    ) -> Result<Self, KafkaError> {
        let all = asking(spec, what, "read_uncommitted")?;
        let committed = asking(spec, what, "read_committed")?;
        let open: Arc<Mutex<Vec<OpenTransaction>>> = Arc::default();
        let (stop, stops) = channel();
        let looks = Looking { all, committed, partitions, seen: Seen::default() };
        let shown = Arc::clone(&open);
        let run = move || {
            let mut looks = looks;
            while let Err(RecvTimeoutError::Timeout) = stops.recv_timeout(LOOK_EVERY) {
                // Brokers that do not answer are noticed by whoever writes.
                if let Ok(open) = looks.look() {
                    *shown.lock().unwrap_or_else(PoisonError::into_inner) = open;
                }
            }
        };
        let thread = thread::Builder::new().name("kafka-open".to_owned()).spawn(run);
        let thread = thread.map_err(|e| KafkaError::Client {
            what: what.to_owned(),
            detail: format!("can't start a thread: {e}"),
        })?;
        Ok(Self { open, stop: Some(stop), thread: Some(thread) })
    }

    /// The transactions that were open at the last look.
    pub(super) fn open(&self) -> Vec<OpenTransaction> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been reported already.
            let _ = thread.join();
        }
    }
}

/// The thread's belongings.
struct Looking {
    all: BaseConsumer<Context>,
    committed: BaseConsumer<Context>,
    partitions: Vec<(String, i32)>,
    /// By place in the list of partitions.
    seen: Seen<usize>,
}

impl Looking {
    fn look(&mut self) -> Result<Vec<OpenTransaction>, ClientError> {
        let ends = end_offsets(&self.all, &self.partitions)?;
        let stable = end_offsets(&self.committed, &self.partitions)?;
        let now = Instant::now();
        for (place, (end, stable)) in ends.into_iter().zip(stable).enumerate() {
            if let (Some(end), Some(stable)) = (end, stable) {
                self.seen.look(place, end, stable, now);
            }
        }
        let open = self.seen.iter().map(|(place, offset, since)| {
            let (topic, partition) = self.partitions[place].clone();
            OpenTransaction { topic, partition, offset, open: now.duration_since(since) }
        });
        Ok(open.collect())
    }
}

/// Where each partition ends, as far as its leader answers.
pub(super) fn end_offsets(
    client: &BaseConsumer<Context>,
    partitions: &[(String, i32)],
) -> Result<Vec<Option<u64>>, ClientError> {
    let mut list = TopicPartitionList::new();
    for (topic, partition) in partitions {
        list.add_partition_offset(topic, *partition, Offset::End)?;
    }
    let answer = client.offsets_for_times(list, ANSWER);
    attend(client);
    let answer = answer?;
    let end = |(topic, partition): &(String, i32)| {
        let found = answer.find_partition(topic, *partition)?;
        match (found.error(), found.offset()) {
            (Ok(()), Offset::Offset(offset)) => Some(offset as u64),
            _ => None,
        }
    };
    Ok(partitions.iter().map(end).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_is_known_by_where_it_stands() {
        let begun = Instant::now();
        let at = |second: u64| begun + Duration::from_secs(second);
        let mut seen = Seen::default();
        seen.look(7, 10, 10, at(0));
        assert_eq!(seen.at(7), None, "nothing is open");
        seen.look(7, 12, 10, at(1));
        seen.look(7, 19, 10, at(2));
        assert_eq!(seen.at(7), Some((10, at(1))), "the same one, and more after it");
        seen.look(7, 19, 14, at(3));
        assert_eq!(seen.at(7), Some((14, at(3))), "another one");
        seen.look(7, 19, 20, at(4));
        assert_eq!(seen.at(7), None);
        assert_eq!(seen.iter().count(), 0);
    }
}
