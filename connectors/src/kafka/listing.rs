//! What a source reads: topics by name or pattern, their partitions, and where in them one stands.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use regex::Regex;
use serde::{Deserialize, Serialize};

use super::{ClientSpec, KafkaError, Values};
use crate::decode::Beside;

/// A Kafka source as the job describes it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KafkaSpec {
    /// Name of the source, for messages.
    pub name: String,
    /// Index of the source in the job file; see [`operators::model::Origin::source`].
    pub source: u16,
    /// Where the brokers are.
    pub client: ClientSpec,
    /// Names of topics; one that begins with `^` is a regular expression for whole names.
    pub topics: Vec<String>,
    /// What their values are.
    pub values: Values,
    /// What is wanted beside the values.
    pub beside: Beside,
    /// The consumer group under which positions are shown to other tools. It decides nothing.
    pub group: String,
    /// How many threads read.
    pub threads: usize,
    /// Bytes of records read ahead at most, as a sum over all partitions; but at least
    /// [`KafkaSpec::PARTITION_BYTES_MIN`] for each. About as much again lies in the client's
    /// queues.
    pub bytes_max: usize,
    /// How often topics, partitions and their ends are looked up.
    pub refresh: Duration,
    /// How long opening waits for brokers that do not answer.
    pub patience: Duration,
    /// A transaction that is seen open for longer hangs. Brokers let none be open for longer,
    /// unless they are told to (`transaction.max.timeout.ms`).
    pub hangs: Duration,
    /// How long a schema is asked for again that a registry does not have. Nothing is read then.
    pub unregistered: Duration,
}

impl KafkaSpec {
    /// Less than this for a partition would make its fetches tiny.
    pub const PARTITION_BYTES_MIN: usize = 256 << 10;

    /// A source with usual limits.
    pub fn new(name: &str, source: u16, client: ClientSpec, topics: &[&str]) -> Self {
        Self {
            name: name.to_owned(),
            source,
            client,
            topics: topics.iter().map(|&topic| topic.to_owned()).collect(),
            values: Values::Json,
            beside: Beside::default(),
            group: format!("braid-{name}"),
            threads: 1,
            bytes_max: 32 << 20,
            refresh: Duration::from_secs(1),
            patience: Duration::from_secs(30),
            hangs: Duration::from_mins(15),
            unregistered: Duration::from_secs(10),
        }
    }

    /// Checks patterns, without connecting.
    ///
    /// # Errors
    /// A pattern that is no regular expression.
    pub fn check(&self) -> Result<(), KafkaError> {
        self.wanted().map(|_| ())
    }

    /// What it asks a registry for.
    pub(super) fn asked(&self) -> Asked {
        let values = matches!(self.values, Values::Registry(_));
        Asked { values, keys: values && (self.beside.whole_key || self.beside.key_fields) }
    }

    /// What messages call the source.
    pub(super) fn what(&self) -> String {
        format!("source {:?}", self.name)
    }

    /// Which topics are meant.
    ///
    /// # Errors
    /// A pattern that is no regular expression.
    pub(super) fn wanted(&self) -> Result<Wanted, KafkaError> {
        let mut wanted = Wanted { names: Vec::new(), patterns: Vec::new() };
        for topic in &self.topics {
            if !topic.starts_with('^') {
                wanted.names.push(topic.clone());
                continue;
            }
            let inner = topic.trim_start_matches('^').trim_end_matches('$');
            let whole = format!("^(?:{inner})$");
            wanted.patterns.push(Regex::new(&whole).map_err(|e| KafkaError::Pattern {
                what: self.what(),
                pattern: topic.clone(),
                detail: e.to_string().lines().last().unwrap_or_default().trim().to_owned(),
            })?);
        }
        Ok(wanted)
    }
}

/// Which topics are meant.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub names: Vec<String>,
    pub patterns: Vec<Regex>,
}

impl Wanted {
    /// Whether a pattern means the topic. Topics of Kafka itself are never meant by a pattern.
    pub(super) fn matches(&self, topic: &str) -> bool {
        !topic.starts_with("__") && self.patterns.iter().any(|p| p.is_match(topic))
    }

    /// The first topic of a list that is meant neither by name nor by a pattern.
    pub(super) fn unnamed<'t>(&self, topics: &'t [TopicEntry]) -> Option<&'t str> {
        let mut names = topics.iter().map(|entry| entry.name.as_str());
        names.find(|name| !self.names.iter().any(|n| n == name) && !self.matches(name))
    }
}

/// A partition of a source: the index of its topic in the source's list, and Kafka's number.
///
/// As one number it is [`operators::model::Origin::partition`]: Kafka's own for the source's first
/// topic, and for each further topic [`PartitionId::SPAN`] more.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct PartitionId(pub u32);

impl PartitionId {
    /// More partitions than any topic has.
    pub const SPAN: u32 = 1 << 20;
    /// More topics than one source may have.
    pub const TOPICS_MAX: usize = 1 << 12;

    /// Partition `number` of topic `topic`.
    pub fn new(topic: usize, number: u32) -> Self {
        Self(topic as u32 * Self::SPAN + number % Self::SPAN)
    }

    /// Index of the topic.
    pub fn topic(self) -> usize {
        (self.0 / Self::SPAN) as usize
    }

    /// Kafka's number.
    pub fn number(self) -> i32 {
        (self.0 % Self::SPAN) as i32
    }
}

/// A topic as it was when a source first listed it.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct TopicEntry {
    /// Its name.
    pub name: String,
    /// Kafka's id of it, which tells it from a successor of the same name; `None` if the brokers
    /// have none.
    pub id: Option<String>,
}

/// Where a partition stands after an epoch.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PartitionEnd {
    /// The partition.
    pub partition: PartitionId,
    /// Every record below is in this epoch or an earlier one.
    pub upper: u64,
    /// How many records of it are in this epoch: fewer when it is read again means that some are
    /// gone.
    pub records: u64,
    /// Whether it has been at its end, with nothing more to come for now.
    pub idle: bool,
}

/// A schema that the registry did not have when records of it were read, which then could not be
/// used.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Unregistered {
    /// The partition.
    pub partition: PartitionId,
    /// The schema's id.
    pub schema: u32,
    /// The first offset where it was missed.
    pub from: u64,
    /// The offset before which it was: where the epoch ends, or the registry had it.
    pub upto: u64,
    /// Why the records could not be used.
    pub why: String,
}

/// The schemas that a source asks a registry for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Asked {
    /// Those of values.
    pub values: bool,
    /// Those of keys.
    pub keys: bool,
}

impl Asked {
    pub(super) const VALUES: Self = Self { values: true, keys: false };
    pub(super) const KEYS: Self = Self { values: false, keys: true };

    /// Whether all of `other` is asked for.
    pub(super) fn covers(self, other: Self) -> bool {
        (self.values || !other.values) && (self.keys || !other.keys)
    }
}

/// What a source gave to one epoch: part of its binding.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct KafkaPart {
    /// Topics listed for the first time. Their indices go on where the list ended.
    pub topics: Vec<TopicEntry>,
    /// Partitions listed for the first time, with the offset that they are read from.
    pub partitions: Vec<(PartitionId, u64)>,
    /// The partitions that moved, became idle or no longer are.
    pub ends: Vec<PartitionEnd>,
    /// What a registry was asked for: a schema that is not listed below was there then.
    pub asked: Asked,
    /// Schemas that the registry did not have: records of them are read again as they were.
    pub unregistered: Vec<Unregistered>,
}

impl KafkaPart {
    /// What a source that has read some epochs goes on from: everything that they listed, each
    /// partition from where they left it.
    pub fn sum(parts: &[&Self]) -> Self {
        let Listing { topics, .. } = Listing::begin(parts);
        let mut idle = BTreeMap::new();
        for end in parts.iter().flat_map(|part| &part.ends) {
            idle.insert(end.partition, end.idle);
        }
        let partitions: Vec<(PartitionId, u64)> = Listing::ends(parts).into_iter().collect();
        let end = |(partition, upper): &(PartitionId, u64)| {
            let idle = idle.get(partition).copied().unwrap_or(false);
            PartitionEnd { partition: *partition, upper: *upper, records: 0, idle }
        };
        let ends = partitions.iter().map(end).collect();
        Self { topics, partitions, ends, ..Self::default() }
    }
}

/// What a source has listed, and where it stands.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Listing {
    pub topics: Vec<TopicEntry>,
    /// Each partition's next offset.
    pub next: BTreeMap<PartitionId, u64>,
    pub idle: BTreeMap<PartitionId, bool>,
}

impl Listing {
    /// The topics and partitions of earlier epochs, each partition where it was read from first.
    pub(super) fn begin(parts: &[&KafkaPart]) -> Self {
        let mut listing = Self::default();
        for part in parts {
            listing.topics.extend(part.topics.iter().cloned());
            listing.next.extend(part.partitions.iter().copied());
        }
        listing
    }

    /// The same, each partition past what the first of those epochs say that no record is in: what
    /// is there only ends transactions, and may have been removed.
    pub(super) fn passing(mut self, parts: &[&KafkaPart]) -> Self {
        let mut begun = BTreeSet::new();
        for end in parts.iter().flat_map(|part| &part.ends) {
            if end.records > 0 {
                begun.insert(end.partition);
            } else if let Some(next) =
                self.next.get_mut(&end.partition).filter(|_| !begun.contains(&end.partition))
            {
                *next = end.upper.max(*next);
            }
        }
        self
    }

    /// Where each partition stands after those epochs.
    pub(super) fn ends(parts: &[&KafkaPart]) -> BTreeMap<PartitionId, u64> {
        let mut ends = Self::begin(parts).next;
        for part in parts {
            ends.extend(part.ends.iter().map(|end| (end.partition, end.upper)));
        }
        ends
    }

    /// Name of a partition's topic.
    pub(super) fn topic(&self, partition: PartitionId) -> &str {
        self.topics.get(partition.topic()).map_or("", |entry| &entry.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(topics: &[&str]) -> KafkaSpec {
        KafkaSpec::new("web", 0, ClientSpec::new("localhost:1"), topics)
    }

    #[test]
    fn patterns_mean_whole_names_and_never_internal_topics() {
        let wanted = spec(&["a", "^web\\..*|y", "^x"]).wanted().unwrap();
        assert_eq!(wanted.names, ["a"]);
        assert!(wanted.matches("web.eu") && wanted.matches("x") && wanted.matches("y"));
        assert!(!wanted.matches("webxeu") && !wanted.matches("xx") && !wanted.matches("a"));
        assert!(!spec(&["^.*"]).wanted().unwrap().matches("__consumer_offsets"));
        let error = spec(&["^web.("]).wanted().unwrap_err().to_string();
        assert!(error.starts_with("source \"web\": \"^web.(\" is not a regular expression"));
    }

    #[test]
    fn a_topic_that_is_no_longer_named_is_found() {
        let wanted = spec(&["a", "^web\\..*"]).wanted().unwrap();
        let topics = |names: &[&str]| -> Vec<TopicEntry> {
            names.iter().map(|name| TopicEntry { name: (*name).to_owned(), id: None }).collect()
        };
        assert_eq!(wanted.unnamed(&topics(&["web.eu", "a"])), None);
        assert_eq!(wanted.unnamed(&topics(&["a", "b", "web"])), Some("b"));
    }

    #[test]
    fn a_sum_of_epochs_goes_on_where_they_ended() {
        let [a, b] = [PartitionId::new(0, 0), PartitionId::new(0, 1)];
        let end = |partition, upper, idle| PartitionEnd { partition, upper, records: 3, idle };
        let first = KafkaPart {
            topics: vec![TopicEntry { name: "web".to_owned(), id: None }],
            partitions: vec![(a, 5), (b, 2)],
            ends: vec![end(a, 9, true)],
            ..KafkaPart::default()
        };
        let second = KafkaPart { ends: vec![end(a, 12, false)], ..KafkaPart::default() };
        let sum = KafkaPart::sum(&[&first, &second]);
        assert_eq!((sum.topics.len(), &sum.partitions), (1, &vec![(a, 12), (b, 2)]));
        let ends: Vec<_> = sum.ends.iter().map(|e| (e.upper, e.records, e.idle)).collect();
        assert_eq!(ends, [(12, 0, false), (2, 0, false)]);
        let third = KafkaPart { ends: vec![end(b, 4, true)], ..KafkaPart::default() };
        assert_eq!(KafkaPart::sum(&[&sum, &third]), KafkaPart::sum(&[&first, &second, &third]));
    }

    /// Reading begins behind what holds no record, and not behind one.
    #[test]
    fn a_beginning_passes_what_holds_no_record() {
        let [a, b] = [PartitionId::new(0, 0), PartitionId::new(0, 1)];
        let end =
            |partition, upper, records| PartitionEnd { partition, upper, records, idle: false };
        let part = |ends: Vec<PartitionEnd>| KafkaPart { ends, ..KafkaPart::default() };
        let mut first = part(vec![end(a, 5, 0), end(b, 4, 2)]);
        first.partitions = vec![(a, 5), (b, 2)];
        let parts = [first, part(vec![end(a, 6, 0)]), part(vec![end(a, 9, 0), end(b, 5, 0)])];
        let more = part(vec![end(a, 12, 1)]);
        let all = [&parts[0], &parts[1], &parts[2], &more, &part(vec![end(a, 13, 0)])];
        let begin = Listing::begin(&all).passing(&all);
        assert_eq!(begin.next, [(a, 9), (b, 2)].into());
    }

    #[test]
    fn partitions_of_the_first_topic_keep_their_number() {
        assert_eq!(PartitionId::new(0, 7).0, 7);
        let other = PartitionId::new(3, 7);
        assert_eq!((other.topic(), other.number(), other.0), (3, 7, 3 * (1 << 20) + 7));
    }
}
