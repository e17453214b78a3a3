//! A thread that reads some of the partitions.
//!
//! Each partition has a queue of its own in the client, and is left alone while its buffer is full:
//! the client then stops fetching it. A record is put into its buffer only after the client's notes
//! have been heard that came before it, so records of a topic that was deleted and created again
//! are never taken for those of the first.

use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::Duration;

use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};
use rdkafka::{Offset, TopicPartitionList};

use super::buffer::{Fetched, Shared};
use super::client::Context;
use super::control::{consumer, listen};
use super::listing::PartitionId;
use super::past::Past;
use super::values::RecordReader;
use super::{KafkaError, KafkaSpec};

/// Records taken from one partition before the next one has its turn.
const TURN_RECORDS: usize = 1024;
/// Bytes after which a turn ends.
const TURN_BYTES: usize = 512 << 10;
/// How long a thread sleeps when nobody wakes it.
const NAP: Duration = Duration::from_millis(50);
/// How often the client reports how far it has fetched.
const REPORT: &str = "500";

/// A partition to read.
#[derive(Clone, Debug)]
pub(super) struct Order {
    pub partition: PartitionId,
    pub topic: String,
    /// The id that the topic must have.
    pub id: Option<String>,
    /// The first offset to read.
    pub first: u64,
}

/// A partition that is read.
struct Lane {
    partition: PartitionId,
    topic: String,
    queue: PartitionQueue<Context>,
}

/// The thread's belongings.
pub(super) struct Reader {
    what: String,
    consumer: Arc<BaseConsumer<Context>>,
    lanes: Vec<Lane>,
    orders: Receiver<Order>,
    records: RecordReader,
    shared: Arc<Shared>,
}

impl Reader {
    /// Makes the client; nothing is read yet. `share` bounds the client's queue of each partition.
    pub(super) fn new(
        spec: &KafkaSpec,
        (share, past): (usize, &Arc<Past>),
        orders: Receiver<Order>,
        shared: Arc<Shared>,
    ) -> Result<Self, KafkaError> {
        let kilobytes = (share / 1024).max(1).to_string();
        let records = (share / 256).clamp(1000, 100_000).to_string();
        let fetch = share.clamp(64 << 10, 1 << 20).to_string();
        let ours = [
            ("queued.max.messages.kbytes", &*kilobytes),
            ("queued.min.messages", &records),
            ("fetch.message.max.bytes", &fetch),
            // A full queue is fetched again soon after it has been emptied.
            ("fetch.queue.backoff.ms", "5"),
            ("statistics.interval.ms", REPORT),
        ];
        let consumer = Arc::new(consumer(spec, &ours)?);
        let (what, lanes) = (spec.what(), Vec::new());
        let records = RecordReader::new(spec, past)?;
        Ok(Self { what, consumer, lanes, orders, records, shared })
    }

    /// Reads until asked to stop or until something can't be read on.
    pub(super) fn run(mut self) {
        self.shared.enrol(thread::current());
        while !self.shared.stopped() {
            match self.round() {
                Ok(true) => {}
                Ok(false) => thread::park_timeout(NAP),
                Err(error) => return self.shared.fail(error),
            }
        }
    }

    /// One turn for each partition; says whether anything came.
    fn round(&mut self) -> Result<bool, KafkaError> {
        while let Ok(order) = self.orders.try_recv() {
            self.begin(order)?;
        }
        let mut all = Vec::new();
        for place in 0..self.lanes.len() {
            let partition = self.lanes[place].partition;
            let room = self.shared.room(partition).min(TURN_BYTES);
            let fetched = self.turn(place, room)?;
            if fetched.len() > 0 {
                all.push((partition, fetched));
            }
        }
        self.listen()?;
        let some = !all.is_empty();
        if some {
            self.shared.put(all);
        }
        self.settle();
        Ok(some)
    }

    /// Begins to read a partition.
    fn begin(&mut self, order: Order) -> Result<(), KafkaError> {
        let (topic, number) = (order.topic.as_str(), order.partition.number());
        if let Some(id) = &order.id {
            self.consumer.context().expect_id(topic, id);
        }
        let fail = |error: &ClientError| KafkaError::client(&self.what, error);
        // The partition gets its queue before it is assigned, so that all its records go there.
        let Some(mut queue) = self.consumer.split_partition_queue(topic, number) else {
            let detail = format!("no queue for partition {number} of topic {topic:?}");
            return Err(KafkaError::Client { what: self.what.clone(), detail });
        };
        let thread = thread::current();
        queue.set_nonempty_callback(move || thread.unpark());
        let mut list = TopicPartitionList::new();
        let first = Offset::Offset(order.first as i64);
        list.add_partition_offset(topic, number, first).map_err(|e| fail(&e))?;
        self.consumer.incremental_assign(&list).map_err(|e| fail(&e))?;
        self.lanes.push(Lane { partition: order.partition, topic: order.topic, queue });
        Ok(())
    }

    /// Takes what has come of a partition, as far as there is room.
    fn turn(&mut self, place: usize, room: usize) -> Result<Fetched, KafkaError> {
        let lane = &self.lanes[place];
        let mut fetched = Fetched::default();
        while fetched.bytes() < room && fetched.len() < TURN_RECORDS {
            match lane.queue.poll(Duration::ZERO) {
                None => break,
                Some(Ok(message)) => {
                    let (at, to) = (lane.partition, &mut fetched);
                    if self.records.take(&message, at, to, &self.shared).is_none() {
                        break; // asked to stop, or it has failed
                    }
                }
                Some(Err(error)) => self.judge(lane, &error)?,
            }
        }
        Ok(fetched)
    }

    /// What an error of one partition means: some end the job, others pass.
    fn judge(&self, lane: &Lane, error: &ClientError) -> Result<(), KafkaError> {
        let code = error.rdkafka_error_code();
        if matches!(
            code,
            Some(Code::AutoOffsetReset | Code::OffsetOutOfRange | Code::LogTruncation)
        ) {
            let number = lane.partition.number();
            let there = match self.consumer.fetch_watermarks(&lane.topic, number, NAP * 40) {
                Ok((low, high)) => format!("offsets {low} to {high} are there"),
                Err(error) => error.to_string(),
            };
            let next = self.shared.state().buffers.get(&lane.partition).map_or(0, |b| b.next);
            return Err(KafkaError::Gone {
                what: self.what.clone(),
                topic: lane.topic.clone(),
                partition: number,
                detail: format!("the record at or after offset {next} can't be read: {there}"),
                first: None,
            });
        }
        if let ClientError::MessageConsumptionFatal(_) = error {
            return Err(KafkaError::client(&self.what, error));
        }
        let cause = self.consumer.context().cause(error);
        let mut state = self.shared.state();
        if matches!(code, Some(Code::TopicAuthorizationFailed | Code::GroupAuthorizationFailed)) {
            let (number, topic) = (lane.partition.number(), &lane.topic);
            let refused = format!("partition {number} of topic {topic:?} can't be read: {error}");
            state.refused.insert(lane.partition, refused);
        } else {
            // If it lasts, who looks up what there is says so again.
            state.trouble = Some(cause);
        }
        Ok(())
    }

    /// Hears what the client says beside records.
    fn listen(&self) -> Result<(), KafkaError> {
        let what = self.what.clone();
        let errors = listen(&self.consumer);
        for error in errors.map_err(|detail| KafkaError::Client { what, detail })? {
            if let ClientError::MessageConsumptionFatal(_) = error {
                return Err(KafkaError::client(&self.what, &error));
            }
        }
        match self.consumer.context().recreated() {
            None => Ok(()),
            Some((topic, before, now)) => Err(recreated(&self.what, &topic, &before, &now)),
        }
    }

    /// Notes how far each partition is fetched, where all of that has been put into its buffer.
    fn settle(&self) {
        let Some(statistics) = self.consumer.context().statistics() else { return };
        let mut state = self.shared.state();
        for lane in &self.lanes {
            let topic = statistics.topics.get(&lane.topic);
            let report = topic.and_then(|topic| topic.partitions.get(&lane.partition.number()));
            let Some(report) = report else { continue };
            let buffer = state.buffers.entry(lane.partition).or_default();
            buffer.queued = report.fetchq_size;
            if report.fetchq_cnt == 0 && report.next_offset >= 0 {
                buffer.settled = buffer.settled.max(report.next_offset as u64);
            }
        }
    }
}

/// The error for a topic that has another id than it had.
pub(super) fn recreated(what: &str, topic: &str, before: &str, now: &str) -> KafkaError {
    KafkaError::Gone {
        what: what.to_owned(),
        topic: topic.to_owned(),
        partition: -1,
        detail: format!("it was deleted and created again: its id was {before} and is {now}"),
        first: None,
    }
}
