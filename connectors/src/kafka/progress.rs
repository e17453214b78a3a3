//! How far a sink is: the last record of its key in a compacted topic of one partition.
//!
//! The record is part of the transaction that it describes, so it never says more or less than what
//! is committed.

use std::collections::BTreeMap;
use std::time::Duration;

use operators::model::{Epoch, Micros};
use serde::{Deserialize, Serialize};

use super::log::{Own, Record, Start, read};
use super::topics::{Needed, Topics};
use super::{ClientSpec, KafkaError};

/// The progress of one sink group: what a record of the topic `<prefix>.progress` holds, as JSON.
/// Its key is the group's transactional id.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Claim {
    /// Every epoch up to this one is committed; `None` before the first.
    pub epoch: Option<Epoch>,
    /// The watermark after that epoch, in microseconds since 1970.
    pub watermark: Option<Micros>,
    /// The run that wrote it.
    pub generation: u64,
    /// Tells runs of the same generation apart.
    pub instance: String,
    /// Hash of the job.
    pub job: String,
    /// For each topic, for each of its partitions the offset after the last record of this sink.
    pub ends: BTreeMap<String, Vec<u64>>,
    /// For each topic with keys in Avro the id of their schema, which is a part of each key.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub keys: BTreeMap<String, u32>,
}

/// The topic.
pub(super) struct Progress {
    client: ClientSpec,
    what: String,
    pub topic: String,
    pub key: String,
    patience: Duration,
}

/// How many of the last records are looked at first: the topic is compacted only now and then.
const LAST: u64 = 1000;

impl Progress {
    /// Creates or checks the topic.
    pub(super) fn open(
        topics: &Topics,
        client: &ClientSpec,
        what: &str,
        topic: &str,
        key: &str,
        replication: i32,
        patience: Duration,
    ) -> Result<Self, KafkaError> {
        topics.need(&Needed {
            name: topic,
            partitions: 1,
            exactly: true,
            replication,
            compacted: true,
            // Records are small and many: what is outdated goes soon.
            settings: &[("segment.ms", "600000"), ("min.cleanable.dirty.ratio", "0.1")],
        })?;
        Ok(Self::at(client, what, topic, key, patience))
    }

    /// The topic as it is; nothing is asked yet.
    pub(super) fn at(
        client: &ClientSpec,
        what: &str,
        topic: &str,
        key: &str,
        patience: Duration,
    ) -> Self {
        let (what, topic, key) = (what.to_owned(), topic.to_owned(), key.to_owned());
        Self { client: client.clone(), what, topic, key, patience }
    }

    /// The last committed claim. Only the one whose producer has fenced off all others may trust
    /// it; `hangs` is how long a transaction of such a one may stay open.
    ///
    /// # Errors
    /// [`KafkaError::Hanging`]: the last claim can't be read.
    pub(super) fn last(&self, hangs: Duration) -> Result<Option<Claim>, KafkaError> {
        self.own().wait_settled(hangs)?;
        self.peek()
    }

    fn own(&self) -> Own<'_> {
        let Self { client, what, topic, patience, .. } = self;
        Own { client, what, topic, partition: 0, patience: *patience }
    }

    /// The last claim that can be read, whoever may be writing.
    pub(super) fn peek(&self) -> Result<Option<Claim>, KafkaError> {
        let ours = |records: Vec<Record>| {
            records.into_iter().rfind(|record| record.key == self.key.as_bytes())
        };
        let mut found = ours(read(&self.own(), Start::Last(LAST))?);
        if found.is_none() {
            found = ours(read(&self.own(), Start::First)?);
        }
        let Some(record) = found else { return Ok(None) };
        let claim = serde_json::from_slice(&record.value).map_err(|e| KafkaError::Foreign {
            what: self.what.clone(),
            topic: self.topic.clone(),
            offset: record.offset,
            detail: e.to_string(),
        });
        claim.map(Some)
    }
}
