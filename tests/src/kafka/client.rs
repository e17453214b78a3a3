//! Plain clients for tests: what other programs would write and read.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{Header, Headers as _, Message as _, OwnedHeaders, ToBytes};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::{PATIENCE, unique, wait};

/// The beginning of a client's configuration.
pub fn config(brokers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers);
    config
}

/// A record as read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Its key.
    pub key: Option<String>,
    /// Its value; `None` for a tombstone.
    pub value: Option<String>,
    /// Its headers, in order.
    pub headers: Vec<(String, String)>,
}

impl Message {
    /// A header's text, empty if it has none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }

    /// The same without the header that tells why.
    pub fn without_cause(&self) -> Self {
        let mut without = self.clone();
        without.headers.retain(|(key, _)| key != "cause");
        without
    }
}

/// Waits until no transaction is open in a partition: whoever has ended one knows it before its
/// marker is there.
pub(super) fn wait_settled(brokers: &str, topic: &str, partition: i32) {
    let end = |isolation: &str| {
        let mut config = config(brokers);
        config.set("group.id", unique("settled")).set("isolation.level", isolation);
        let consumer: BaseConsumer = config.create().unwrap();
        consumer.fetch_watermarks(topic, partition, Duration::from_secs(30)).unwrap().1
    };
    wait("the marker", || (end("read_committed") == end("read_uncommitted")).then_some(()));
}

/// Writes records, in transactions or not.
pub struct Writer {
    producer: BaseProducer,
}

impl Writer {
    /// Writes what is durable at once.
    pub fn new(brokers: &str) -> Self {
        let mut config = config(brokers);
        config.set("enable.idempotence", "true").set("linger.ms", "2");
        Self { producer: config.create().unwrap() }
    }

    /// Writes in transactions.
    pub fn transactional(brokers: &str) -> Self {
        // Nobody ends one that a test leaves open, as long as it runs.
        let mut config = config(brokers);
        config.set("transaction.timeout.ms", "600000");
        config.set("transactional.id", unique("writer")).set("linger.ms", "2");
        let producer: BaseProducer = config.create().unwrap();
        producer.init_transactions(PATIENCE).unwrap();
        Self { producer }
    }

    /// Begins a transaction.
    pub fn begin(&self) {
        self.producer.begin_transaction().unwrap();
    }

    /// Ends it.
    pub fn commit(&self) {
        self.flush();
        self.producer.commit_transaction(PATIENCE).unwrap();
    }

    /// Takes it back.
    pub fn abort(&self) {
        self.flush();
        self.producer.abort_transaction(PATIENCE).unwrap();
    }

    /// Sends a record with everything a record can have.
    pub fn send_full(
        &self,
        topic: &str,
        partition: Option<i32>,
        key: Option<&str>,
        value: Option<&[u8]>,
        headers: &[(&str, &str)],
    ) {
        let mut record: BaseRecord<'_, str, [u8]> = BaseRecord::to(topic);
        record.partition = partition;
        record.key = key;
        record.payload = value;
        let all = headers.iter().fold(OwnedHeaders::new(), |all, (key, value)| {
            all.insert(Header { key, value: Some(*value) })
        });
        self.send_record(record.headers(all));
    }

    /// Sends any record.
    pub fn send_record<K: ToBytes + ?Sized>(&self, mut record: BaseRecord<'_, K, [u8]>) {
        while let Err((error, same)) = self.producer.send(record) {
            let full = rdkafka::types::RDKafkaErrorCode::QueueFull;
            assert_eq!(error.rdkafka_error_code(), Some(full), "{error}");
            self.producer.poll(Duration::from_millis(5));
            record = same;
        }
    }

    /// Sends a value.
    pub fn send(&self, topic: &str, partition: i32, value: &str) {
        self.send_full(topic, Some(partition), None, Some(value.as_bytes()), &[]);
    }

    /// Where a partition ends, markers included.
    pub fn end(&self, topic: &str, partition: i32) -> i64 {
        self.producer.client().fetch_watermarks(topic, partition, PATIENCE).unwrap().1
    }

    /// Waits until everything sent is with the broker.
    pub fn flush(&self) {
        let begun = Instant::now();
        while self.producer.in_flight_count() > 0 {
            self.producer.poll(Duration::from_millis(1));
            assert!(begun.elapsed() < PATIENCE, "the broker does not take what is sent");
        }
    }
}

/// All committed records of a topic, partition by partition.
pub fn read_all(brokers: &str, topic: &str) -> Vec<Message> {
    read_until(brokers, topic, |_| false)
}

/// Committed records of a topic in which no transaction is open, for whoever wrote into it has
/// ended in order: the markers of the last one are waited for, however long the brokers take.
///
/// # Panics
/// If one stays open.
pub fn read_ended(brokers: &str, topic: &str) -> Vec<Message> {
    let consumer: BaseConsumer = reader(brokers).create().unwrap();
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE).unwrap();
    let count = metadata.topics()[0].partitions().len();
    let open = settle(brokers, &consumer, (topic, count), PATIENCE * 2);
    assert!(open.is_empty(), "{topic}: a transaction is open in the partitions {open:?}");
    read_all(brokers, topic)
}

/// The configuration of who reads what is committed.
fn reader(brokers: &str) -> ClientConfig {
    let mut config = config(brokers);
    config.set("group.id", unique("reader")).set("isolation.level", "read_committed");
    config.set("enable.partition.eof", "true").set("fetch.wait.max.ms", "20");
    config.set("enable.auto.commit", "false").set("auto.offset.reset", "error");
    config
}

/// Committed records of a topic up to its end, or until `enough` says so.
pub fn read_until(
    brokers: &str,
    topic: &str,
    mut enough: impl FnMut(&Message) -> bool,
) -> Vec<Message> {
    let consumer: BaseConsumer = reader(brokers).create().unwrap();
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE).unwrap();
    let count = metadata.topics()[0].partitions().len();
    let mut list = TopicPartitionList::new();
    for partition in 0..count {
        list.add_partition_offset(topic, partition as i32, Offset::Beginning).unwrap();
    }
    settle(brokers, &consumer, (topic, count), Duration::from_secs(1));
    consumer.assign(&list).unwrap();
    let (mut messages, mut ended, begun) = (Vec::new(), BTreeSet::new(), Instant::now());
    while ended.len() < count {
        assert!(begun.elapsed() < PATIENCE * 2, "{topic} has no end");
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                let headers = message.headers().map_or_else(Vec::new, |headers| {
                    let pairs = headers.iter().map(|header| {
                        (header.key.to_owned(), header.value.map_or_else(String::new, text))
                    });
                    pairs.collect()
                });
                let message = Message {
                    partition: message.partition(),
                    offset: message.offset(),
                    key: message.key().map(text),
                    value: message.payload().map(text),
                    headers,
                };
                let last = enough(&message);
                messages.push(message);
                if last {
                    break;
                }
            }
            // A partition that grows meanwhile ends more than once.
            Some(Err(rdkafka::error::KafkaError::PartitionEOF(partition))) => {
                ended.insert(partition);
            }
            Some(Err(error)) => panic!("{topic}: {error}"),
            None => {}
        }
    }
    messages.sort_by_key(|message| (message.partition, message.offset));
    messages
}

/// A commit is answered before its markers are in all partitions: waits for them, though not for
/// ever, as the transaction may really be open. The partitions where one still is.
fn settle(
    brokers: &str,
    committed: &BaseConsumer,
    (topic, partitions): (&str, usize),
    patience: Duration,
) -> Vec<usize> {
    let mut config = config(brokers);
    config.set("group.id", unique("ends")).set("isolation.level", "read_uncommitted");
    let all: BaseConsumer = config.create().unwrap();
    let end = |consumer: &BaseConsumer, partition: usize| {
        // A broker that gets no time for its heartbeats leads nothing for a moment.
        let ends = || consumer.fetch_watermarks(topic, partition as i32, PATIENCE).ok();
        wait("where a partition ends", ends).1
    };
    let begun = Instant::now();
    let mut open = Vec::new();
    for partition in 0..partitions {
        while end(committed, partition) < end(&all, partition) {
            if begun.elapsed() >= patience {
                open.push(partition);
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    open
}
