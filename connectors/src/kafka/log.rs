//! Reading back a partition of our own.

use std::cell::Cell;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError as ClientError;
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};

use super::client::Context;
use super::hanging::{asking, both_ends};
use super::{ClientSpec, KafkaError};

/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(5);
/// How often a partition that is not settled is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A record of ours.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Record {
    pub offset: u64,
    pub key: Vec<u8>,
    pub value: Vec<u8>,
}

/// A partition of our own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Own<'a> {
    pub client: &'a ClientSpec,
    pub what: &'a str,
    pub topic: &'a str,
    pub partition: i32,
    /// How long brokers that do not answer are waited for.
    pub patience: Duration,
}

impl Own<'_> {
    /// Waits until every record is committed or taken back. Only for whoever has fenced off all
    /// others: then no transaction is open, save one that hangs.
    ///
    /// # Errors
    /// [`KafkaError::Hanging`] if a transaction stays open for longer than `time`.
    pub(super) fn wait_settled(&self, time: Duration) -> Result<(), KafkaError> {
        let Self { client, what, topic, partition, patience } = *self;
        let all = asking(client, what, "read_uncommitted")?;
        let committed = asking(client, what, "read_committed")?;
        let begun = Instant::now();
        loop {
            match both_ends(&all, &committed, topic, partition) {
                Ok((end, stable)) if stable >= end => return Ok(()),
                Ok((_, offset)) if begun.elapsed() >= time => {
                    return Err(KafkaError::Hanging {
                        what: what.to_owned(),
                        topic: topic.to_owned(),
                        partition,
                        offset,
                        brokers: client.brokers.clone(),
                    });
                }
                Err(error) if begun.elapsed() >= patience => {
                    return Err(KafkaError::Unreachable {
                        what: what.to_owned(),
                        brokers: client.brokers.clone(),
                        cause: all.context().cause(&error),
                    });
                }
                Ok(_) | Err(_) => {}
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

/// Where reading begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Start {
    /// At the first record.
    First,
    /// At most so many offsets before the end.
    Last(u64),
    /// At this offset, or at the first record if it is neither there nor the end.
    Offset(u64),
}

/// Reads the committed records of a partition to its end.
pub(super) fn read(own: &Own<'_>, start: Start) -> Result<Vec<Record>, KafkaError> {
    let Own { client: spec, what, topic, partition, patience } = *own;
    let ours = [
        ("group.id", "braid-log"),
        ("enable.auto.commit", "false"),
        ("isolation.level", "read_committed"),
        ("auto.offset.reset", "error"),
        ("enable.partition.eof", "true"),
        ("fetch.wait.max.ms", "20"),
    ];
    let config = spec.config(what, &ours)?;
    let consumer: BaseConsumer<Context> = config
        .create_with_context(Context::default())
        .map_err(|error| KafkaError::client(what, &error))?;
    // A long log takes longer than that: only silence counts.
    let heard = Cell::new(Instant::now());
    let late = |error: &ClientError| {
        if heard.get().elapsed() < patience {
            std::thread::sleep(Duration::from_millis(50));
            return Ok(());
        }
        Err(KafkaError::Unreachable {
            what: what.to_owned(),
            brokers: spec.brokers.clone(),
            cause: consumer.context().cause(error),
        })
    };
    let (low, high) = loop {
        match consumer.fetch_watermarks(topic, partition, ANSWER) {
            Ok(offsets) => break offsets,
            Err(error) => late(&error)?,
        }
    };
    let from = match start {
        Start::First => low,
        Start::Last(last) => low.max(high.saturating_sub_unsigned(last)),
        Start::Offset(at) => {
            i64::try_from(at).ok().filter(|at| (low..=high).contains(at)).unwrap_or(low)
        }
    };
    let mut list = TopicPartitionList::new();
    let fail = |error: ClientError| KafkaError::client(what, &error);
    list.add_partition_offset(topic, partition, Offset::Offset(from)).map_err(fail)?;
    consumer.assign(&list).map_err(fail)?;
    let mut records = Vec::new();
    loop {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                heard.set(Instant::now());
                records.push(Record {
                    offset: message.offset() as u64,
                    key: message.key().unwrap_or_default().to_vec(),
                    value: message.payload().unwrap_or_default().to_vec(),
                });
            }
            Some(Err(ClientError::PartitionEOF(_))) => return Ok(records),
            Some(Err(error)) => late(&error)?,
            None if heard.get().elapsed() > patience => {
                late(&ClientError::Subscription("no records come".to_owned()))?;
            }
            None => {}
        }
    }
}
