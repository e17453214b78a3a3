//! Looking up topics, partitions and offsets, beside the reading.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};
use rdkafka::message::Message as _;
use rdkafka::metadata::MetadataTopic;
use rdkafka::{Offset, TopicPartitionList};

use super::client::Context;
use super::listing::{PartitionId, Wanted};
use super::{KafkaError, KafkaSpec};

/// How long one answer may take. Brokers that are up answer in milliseconds.
const ANSWER: Duration = Duration::from_secs(5);

/// A topic as the brokers have it now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct TopicNow {
    pub name: String,
    /// Its id, if the brokers have ids.
    pub id: Option<String>,
    /// For each partition the broker that leads it, -1 for none at present.
    pub leaders: Vec<i32>,
}

/// A client that asks and never reads.
pub(super) struct Control {
    what: String,
    brokers: String,
    wanted: Wanted,
    consumer: BaseConsumer<Context>,
    /// The same for committed records, once it is needed.
    committed: OnceCell<BaseConsumer<Context>>,
    spec: KafkaSpec,
}

/// The client of a source: one that asks or one that reads.
pub(super) fn consumer(
    spec: &KafkaSpec,
    ours: &[(&str, &str)],
) -> Result<BaseConsumer<Context>, KafkaError> {
    let debug = match spec.client.properties.get("debug") {
        Some(more) => format!("{more},topic"),
        None => "topic".to_owned(),
    };
    let mut all = vec![
        ("group.id", &*spec.group),
        ("enable.auto.commit", "false"),
        ("enable.auto.offset.store", "false"),
        ("isolation.level", "read_committed"),
        // A position out of range must stop the job, never lead elsewhere.
        ("auto.offset.reset", "error"),
        // Tells topic ids; see `client::learnt`.
        ("debug", &*debug),
    ];
    all.extend(ours);
    let mut config = spec.client.config(&spec.what(), &all)?;
    config.set_log_level(RDKafkaLogLevel::Debug);
    let made = config.create_with_context(Context::default());
    made.map_err(|error| KafkaError::client(&spec.what(), &error))
}

/// Hears everything that a consumer has to say beside records. Gives its errors.
///
/// # Errors
/// A record came here, and not in the queue of its partition: it can't be put in its place.
pub(super) fn listen(consumer: &BaseConsumer<Context>) -> Result<Vec<ClientError>, String> {
    let (context, mut errors) = (consumer.context(), Vec::new());
    loop {
        let heard = context.heard();
        match consumer.poll(Duration::ZERO) {
            Some(Err(error)) => errors.push(error),
            Some(Ok(message)) => {
                let (topic, partition) = (message.topic(), message.partition());
                return Err(format!(
                    "internal: a record of topic {topic:?}, partition {partition}, came astray"
                ));
            }
            None if context.heard() == heard => return Ok(errors),
            None => {}
        }
    }
}

/// Hears a client that reads nothing.
pub(super) fn attend(consumer: &BaseConsumer<Context>) {
    // No records come to it, and its errors are with its context.
    let _ = listen(consumer);
}

impl Control {
    pub(super) fn open(spec: &KafkaSpec) -> Result<Self, KafkaError> {
        Ok(Self {
            what: spec.what(),
            brokers: spec.client.brokers.clone(),
            wanted: spec.wanted()?,
            // A partition ends after the last record that is there, committed or not.
            consumer: consumer(spec, &[("isolation.level", "read_uncommitted")])?,
            committed: OnceCell::new(),
            spec: spec.clone(),
        })
    }

    /// The error for something that did not work.
    pub(super) fn unreachable(&self, error: &ClientError) -> KafkaError {
        attend(&self.consumer);
        KafkaError::Unreachable {
            what: self.what.clone(),
            brokers: self.brokers.clone(),
            cause: self.consumer.context().cause(error),
        }
    }

    /// The error for a topic that is named and not there.
    pub(super) fn no_topic(&self, topic: &str) -> KafkaError {
        let (what, brokers) = (self.what.clone(), self.brokers.clone());
        KafkaError::NoTopic { what, topic: topic.to_owned(), brokers }
    }

    /// The first named topic that is not in a list.
    pub(super) fn missing(&self, topics: &[TopicNow]) -> Option<&str> {
        let there = |name: &&String| !topics.iter().any(|topic| topic.name == **name);
        self.wanted.names.iter().find(there).map(String::as_str)
    }

    /// The wanted topics that are there, named ones first, then by name.
    pub(super) fn topics(&self) -> Result<Vec<TopicNow>, ClientError> {
        let mut names = self.wanted.names.clone();
        if !self.wanted.patterns.is_empty() {
            let all = self.consumer.fetch_metadata(None, ANSWER)?;
            let mut found: Vec<&str> = all.topics().iter().map(MetadataTopic::name).collect();
            found.retain(|name| self.wanted.matches(name) && !names.iter().any(|n| n == name));
            found.sort_unstable();
            names.extend(found.into_iter().map(str::to_owned));
        }
        let mut topics = Vec::new();
        for name in names {
            // Asking for the one topic makes the client learn its id.
            let metadata = self.consumer.fetch_metadata(Some(&name), ANSWER)?;
            attend(&self.consumer);
            let Some(topic) = metadata.topics().first() else { continue };
            if let Some(error) = topic.error() {
                match Code::from(error) {
                    Code::UnknownTopicOrPartition | Code::UnknownTopic => continue,
                    code => return Err(ClientError::MetadataFetch(code)),
                }
            }
            let mut leaders = vec![-1; topic.partitions().len()];
            for partition in topic.partitions() {
                if let Some(leader) = leaders.get_mut(partition.id() as usize) {
                    *leader = partition.leader();
                }
            }
            let id = self.consumer.context().id(&name);
            topics.push(TopicNow { name, id, leaders });
        }
        self.consumer.context().well();
        Ok(topics)
    }

    /// First or last offsets of partitions, of which `(id, topic, leader)` is given. Partitions
    /// whose leader does not answer are left out; `trouble` says why.
    pub(super) fn offsets(
        &self,
        partitions: &[(PartitionId, &str, i32)],
        which: Offset,
    ) -> (BTreeMap<PartitionId, u64>, Option<String>) {
        Self::offsets_by(&self.consumer, partitions, which)
    }

    /// Up to which offset partitions are stable: no transaction that is open began below.
    ///
    /// # Errors
    /// No client can be made for it.
    pub(super) fn stable(
        &self,
        partitions: &[(PartitionId, &str, i32)],
    ) -> Result<BTreeMap<PartitionId, u64>, KafkaError> {
        let client = if let Some(client) = self.committed.get() {
            client
        } else {
            let made = consumer(&self.spec, &[])?;
            self.committed.get_or_init(|| made)
        };
        let (offsets, _) = Self::offsets_by(client, partitions, Offset::End);
        attend(client);
        Ok(offsets)
    }

    fn offsets_by(
        client: &BaseConsumer<Context>,
        partitions: &[(PartitionId, &str, i32)],
        which: Offset,
    ) -> (BTreeMap<PartitionId, u64>, Option<String>) {
        let mut by_leader: BTreeMap<i32, Vec<&(PartitionId, &str, i32)>> = BTreeMap::new();
        for partition in partitions {
            by_leader.entry(partition.2).or_default().push(partition);
        }
        let (mut offsets, mut trouble) = (BTreeMap::new(), None);
        for (leader, partitions) in by_leader {
            if leader < 0 {
                trouble = Some(format!("{} partitions have no leader", partitions.len()));
                continue;
            }
            match ask(client, &partitions, which) {
                Ok(found) => offsets.extend(found),
                Err(error) => {
                    attend(client);
                    trouble = Some(client.context().cause(&error));
                }
            }
        }
        (offsets, trouble)
    }

    /// Shows other tools how far the group is. What it says decides nothing, so nobody waits for
    /// it.
    pub(super) fn show(&self, positions: &[(String, i32, u64)]) {
        let mut list = TopicPartitionList::new();
        for (topic, partition, next) in positions {
            let offset = Offset::Offset(*next as i64);
            // The offset of a record is in range.
            let _ = list.add_partition_offset(topic, *partition, offset);
        }
        if list.count() > 0 {
            let _ = self.consumer.commit(&list, CommitMode::Async);
        }
        attend(&self.consumer);
    }
}

/// Offsets of partitions of one leader, in one request.
fn ask(
    client: &BaseConsumer<Context>,
    partitions: &[&(PartitionId, &str, i32)],
    which: Offset,
) -> Result<BTreeMap<PartitionId, u64>, ClientError> {
    let mut list = TopicPartitionList::new();
    for (id, topic, _) in partitions {
        list.add_partition_offset(topic, id.number(), which)?;
    }
    let answer = client.offsets_for_times(list, ANSWER)?;
    let mut found = BTreeMap::new();
    for (id, topic, _) in partitions {
        let element = answer.find_partition(topic, id.number());
        if let Some(element) = element.filter(|element| element.error().is_ok())
            && let Offset::Offset(offset) = element.offset()
        {
            found.insert(*id, offset as u64);
        }
    }
    Ok(found)
}
