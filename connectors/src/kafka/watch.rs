//! The thread that looks up topics, partitions and their ends while others read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::Offset;

use super::buffer::{Buffer, Shared};
use super::control::{Control, TopicNow};
use super::hanging::Seen;
use super::listing::{Listing, PartitionId, TopicEntry};
use super::reader::{Order, recreated};
use super::{KafkaError, KafkaSpec};

/// A topic counts as deleted when it is missing this often in a row: brokers that have just started
/// may not know all topics yet.
const MISSING_MAX: u32 = 3;

/// Where partitions begin is looked up each time that their ends are for so many times: what is
/// older than a topic keeps goes by segments, now and then.
const LOWS_EVERY: u32 = 10;

/// What the thread knows and whom it tells.
pub(super) struct Watch {
    spec: KafkaSpec,
    control: Control,
    /// Topics and partitions found so far; `next` is where each was begun.
    listing: Listing,
    leaders: BTreeMap<PartitionId, i32>,
    /// Transactions that hold up reading.
    open: Seen<PartitionId>,
    /// Looks so far.
    looks: u32,
    missing: BTreeMap<String, u32>,
    readers: Vec<Sender<Order>>,
    shared: Arc<Shared>,
    shown: Receiver<Vec<(String, i32, u64)>>,
}

impl Watch {
    /// Looks everything up for the first time, checks it against earlier epochs, and gives the
    /// partitions to the readers.
    pub(super) fn open(
        spec: &KafkaSpec,
        recorded: Listing,
        ends: &BTreeMap<PartitionId, u64>,
        shown: Receiver<Vec<(String, i32, u64)>>,
        shared: Arc<Shared>,
    ) -> Result<Self, KafkaError> {
        if let Some(topic) = spec.wanted()?.unnamed(&recorded.topics) {
            return Err(KafkaError::Unnamed { what: spec.what(), topic: topic.to_owned() });
        }
        let control = Control::open(spec)?;
        let topics = first_answer(spec, &control, &recorded)?;
        let mut watch = Self {
            spec: spec.clone(),
            control,
            listing: recorded,
            leaders: BTreeMap::new(),
            open: Seen::default(),
            looks: 0,
            missing: BTreeMap::new(),
            readers: Vec::new(),
            shared,
            shown,
        };
        watch.check_recorded(&topics, ends)?;
        watch.find_all(topics)?;
        Ok(watch)
    }

    /// Lists everything, and waits for what does not answer yet: the watermark would not wait for a
    /// partition that is found later, and its records would be too late.
    fn find_all(&mut self, mut topics: Vec<TopicNow>) -> Result<(), KafkaError> {
        let begun = Instant::now();
        loop {
            let silent = self.find(topics)?;
            let Some(cause) = silent else { return Ok(()) };
            if begun.elapsed() >= self.spec.patience {
                let (what, brokers) = (self.spec.what(), self.spec.client.brokers.clone());
                return Err(KafkaError::Unreachable { what, brokers, cause });
            }
            thread::sleep(Duration::from_millis(100));
            topics = first_answer(&self.spec, &self.control, &self.listing)?;
        }
    }

    /// How many partitions there are.
    pub(super) fn partitions(&self) -> usize {
        self.listing.next.len()
    }

    /// Gives the partitions found so far to the readers.
    pub(super) fn start(&mut self, readers: Vec<Sender<Order>>) {
        self.readers = readers;
        for (&partition, &first) in &self.listing.next {
            self.order(partition, first);
        }
    }

    fn order(&self, partition: PartitionId, first: u64) {
        self.shared.state().buffers.entry(partition).or_insert_with(|| Buffer::from(first));
        let Some(entry) = self.listing.topics.get(partition.topic()) else { return };
        let (topic, id) = (entry.name.clone(), entry.id.clone());
        let order = Order { partition, topic, id, first };
        let place = (partition.number() as usize + partition.topic()) % self.readers.len().max(1);
        if let Some(reader) = self.readers.get(place) {
            // A reader that has ended has said why.
            let _ = reader.send(order);
        }
        self.shared.wake_readers();
    }

    /// What earlier epochs have read must be there: the same topics, up to the same offsets.
    fn check_recorded(
        &self,
        topics: &[TopicNow],
        ends: &BTreeMap<PartitionId, u64>,
    ) -> Result<(), KafkaError> {
        for entry in &self.listing.topics {
            match topics.iter().find(|topic| topic.name == entry.name) {
                None => return Err(deleted(&self.spec, &entry.name)),
                Some(now) => self.same(entry, now)?,
            }
        }
        let leader = |partition: PartitionId| {
            let topic = topics.iter().find(|t| t.name == self.listing.topic(partition))?;
            topic.leaders.get(partition.number() as usize).copied()
        };
        let mut asked = Vec::new();
        for &partition in self.listing.next.keys() {
            let topic = self.listing.topic(partition);
            let Some(leader) = leader(partition) else {
                let detail = "there is no such partition any more".to_owned();
                return Err(self.gone(partition, detail, None));
            };
            asked.push((partition, topic, leader));
        }
        let (low, _) = self.control.offsets(&asked, Offset::Beginning);
        let (high, _) = self.control.offsets(&asked, Offset::End);
        for (&partition, &first) in &self.listing.next {
            let end = ends.get(&partition).copied().unwrap_or(first);
            // Where no leader answers, the readers find out.
            let Some((&low, &high)) = low.get(&partition).zip(high.get(&partition)) else {
                continue;
            };
            if low > first || high < end {
                let detail =
                    format!("offsets {first} to {end} were read before, {low} to {high} are there");
                return Err(self.gone(partition, detail, (low > first).then_some(low)));
            }
        }
        Ok(())
    }

    fn gone(&self, partition: PartitionId, detail: String, first: Option<u64>) -> KafkaError {
        let topic = self.listing.topic(partition).to_owned();
        let (what, partition) = (self.spec.what(), partition.number());
        KafkaError::Gone { what, topic, partition, detail, first }
    }

    /// Whether a topic is the one that was listed.
    fn same(&self, entry: &TopicEntry, now: &TopicNow) -> Result<(), KafkaError> {
        match (&entry.id, &now.id) {
            (Some(before), Some(id)) if before != id => {
                Err(recreated(&self.spec.what(), &entry.name, before, id))
            }
            _ => Ok(()),
        }
    }

    /// Lists what is new; says what of it does not answer and so is not listed.
    fn find(&mut self, topics: Vec<TopicNow>) -> Result<Option<String>, KafkaError> {
        let (mut new, mut silent) = (Vec::new(), None);
        for topic in topics {
            self.missing.remove(&topic.name);
            let known = self.listing.topics.iter().position(|entry| entry.name == topic.name);
            let place = known.unwrap_or(self.listing.topics.len());
            if let Some(entry) = self.listing.topics.get(place) {
                self.same(entry, &topic)?;
            } else if place == PartitionId::TOPICS_MAX {
                let detail = format!("more than {place} topics; use several sources");
                return Err(KafkaError::Client { what: self.spec.what(), detail });
            }
            let mut partitions = Vec::new();
            for (number, leader) in topic.leaders.iter().enumerate() {
                let partition = PartitionId::new(place, number as u32);
                self.leaders.insert(partition, *leader);
                if !self.listing.next.contains_key(&partition) {
                    partitions.push((partition, topic.name.as_str(), *leader));
                }
            }
            let (low, why) = self.control.offsets(&partitions, Offset::Beginning);
            if low.len() < partitions.len() {
                let count = partitions.len() - low.len();
                let why = why.unwrap_or_else(|| "their leaders do not answer".to_owned());
                let name = &topic.name;
                silent = Some(format!("{count} partitions of topic {name:?} can't be read: {why}"));
            }
            if known.is_none() && !low.is_empty() {
                let entry = TopicEntry { name: topic.name.clone(), id: topic.id.clone() };
                self.shared.state().topics.push(entry.clone());
                self.listing.topics.push(entry);
            }
            new.extend(low);
        }
        self.shared.state().partitions.extend(new.iter().copied());
        for (partition, first) in new {
            self.listing.next.insert(partition, first);
            self.order(partition, first);
        }
        Ok(silent)
    }

    /// Looks everything up again and again until asked to stop.
    pub(super) fn run(mut self) {
        while !self.shared.stopped() {
            if let Err(error) = self.look() {
                return self.shared.fail(error);
            }
            let next = Instant::now() + self.spec.refresh;
            while !self.shared.stopped() {
                let left = next.saturating_duration_since(Instant::now());
                match self.shown.recv_timeout(left) {
                    Ok(positions) => self.control.show(&positions),
                    Err(RecvTimeoutError::Timeout) => break,
                    // The owner is going.
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            }
        }
    }

    fn look(&mut self) -> Result<(), KafkaError> {
        let trouble = match self.control.topics() {
            Err(error) => Some(self.control.unreachable(&error).to_string()),
            Ok(topics) => {
                self.deleted(&topics)?;
                let silent = self.find(topics)?;
                self.ends()?.or(silent)
            }
        };
        self.shared.state().trouble = trouble;
        Ok(())
    }

    /// Whether a topic that is read has gone.
    fn deleted(&mut self, topics: &[TopicNow]) -> Result<(), KafkaError> {
        for entry in &self.listing.topics {
            if topics.iter().any(|topic| topic.name == entry.name) {
                continue;
            }
            let times = self.missing.entry(entry.name.clone()).or_default();
            *times += 1;
            if *times >= MISSING_MAX {
                return Err(deleted(&self.spec, &entry.name));
            }
        }
        Ok(())
    }

    /// Asks where partitions end; says what is in the way of it.
    fn ends(&mut self) -> Result<Option<String>, KafkaError> {
        let mut asked: Vec<(PartitionId, &str, i32)> = self
            .listing
            .next
            .keys()
            .map(|&partition| {
                let leader = self.leaders.get(&partition).copied().unwrap_or(-1);
                (partition, self.listing.topic(partition), leader)
            })
            .collect();
        if asked.is_empty() {
            return Ok(None);
        }
        let read: BTreeMap<PartitionId, u64> =
            self.shared.state().buffers.iter().map(|(&p, buffer)| (p, buffer.next)).collect();
        let (ends, trouble) = self.control.offsets(&asked, Offset::End);
        let now = Instant::now();
        let lows = if self.looks.is_multiple_of(LOWS_EVERY) {
            self.control.offsets(&asked, Offset::Beginning).0
        } else {
            BTreeMap::new()
        };
        self.looks = self.looks.wrapping_add(1);
        for (&partition, &end) in &ends {
            let next = read.get(&partition).copied().unwrap_or(0);
            if end < next {
                let detail = format!("it ends at offset {end}, {next} was reached before");
                return Err(self.gone(partition, detail, None));
            }
            if let Some(buffer) = self.shared.state().buffers.get_mut(&partition) {
                buffer.end = Some((end, now));
                buffer.low = lows.get(&partition).copied().or(buffer.low);
            }
        }
        // Where all is read there is nothing to wait for.
        asked.retain(|(partition, ..)| self.is_behind(*partition, &ends));
        let behind: BTreeSet<PartitionId> =
            asked.iter().map(|(partition, ..)| *partition).collect();
        let read =
            |partition: &PartitionId| ends.contains_key(partition) && !behind.contains(partition);
        self.shared.state().refused.retain(|partition, _| !read(partition));
        let stable =
            if asked.is_empty() { BTreeMap::new() } else { self.control.stable(&asked)? };
        for (&partition, &end) in &ends {
            let stable = stable.get(&partition).copied().unwrap_or(end);
            self.open.look(partition, end, stable, now);
            if let Some(buffer) = self.shared.state().buffers.get_mut(&partition) {
                buffer.open = self.open.at(partition);
            }
        }
        Ok(trouble)
    }

    /// Whether there is something before a partition's end that has not been read.
    fn is_behind(&self, partition: PartitionId, ends: &BTreeMap<PartitionId, u64>) -> bool {
        let state = self.shared.state();
        let settled = state.buffers.get(&partition).map_or(0, |buffer| buffer.settled);
        ends.get(&partition).is_some_and(|end| settled < *end)
    }
}

/// The topics as the brokers have them, once they answer.
fn first_answer(
    spec: &KafkaSpec,
    control: &Control,
    recorded: &Listing,
) -> Result<Vec<TopicNow>, KafkaError> {
    let begun = Instant::now();
    loop {
        let (problem, patience) = match control.topics() {
            Err(error) => (control.unreachable(&error), spec.patience),
            Ok(topics) => match control.missing(&topics) {
                None => return Ok(topics),
                // Brokers that have just started may not know all topics yet.
                Some(name) if recorded.topics.iter().any(|entry| entry.name == name) => {
                    (deleted(spec, name), spec.refresh * MISSING_MAX)
                }
                Some(name) => (control.no_topic(name), spec.refresh * MISSING_MAX),
            },
        };
        if begun.elapsed() >= patience {
            return Err(problem);
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// The error for a topic that was read and is not there any more.
fn deleted(spec: &KafkaSpec, topic: &str) -> KafkaError {
    KafkaError::Gone {
        what: spec.what(),
        topic: topic.to_owned(),
        partition: -1,
        detail: "it was deleted".to_owned(),
        first: None,
    }
}
