//! Clients: how they are configured, and what they say beside their results.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError as ClientError;
use rdkafka::message::{DeliveryResult, Message as _};
use rdkafka::producer::ProducerContext;
use rdkafka::statistics::Statistics;

use super::KafkaError;
use super::error::is_fence;

/// Where brokers are and how they let us in.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct ClientSpec {
    /// `host:port`, several with commas.
    pub brokers: String,
    /// Further properties, named as librdkafka names them: TLS, SASL, timeouts, compression.
    pub properties: BTreeMap<String, String>,
}

/// Values may be passwords.
impl fmt::Debug for ClientSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&String> = self.properties.keys().collect();
        f.debug_struct("ClientSpec").field("brokers", &self.brokers).field("set", &names).finish()
    }
}

/// Properties on which exactness, or the reading of this module, rests.
const RESERVED: [&str; 22] = [
    "acks",
    "auto.offset.reset",
    "bootstrap.servers",
    "delivery.report.only.error",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.gapless.guarantee",
    "enable.idempotence",
    "enable.partition.eof",
    "go.delivery.reports",
    "group.id",
    "group.instance.id",
    "group.protocol",
    "isolation.level",
    "log.queue",
    "log_level",
    "metadata.broker.list",
    "partitioner",
    "request.required.acks",
    "statistics.interval.ms",
    "transaction.timeout.ms",
    "transactional.id",
];

impl ClientSpec {
    /// Brokers without further properties.
    pub fn new(brokers: &str) -> Self {
        Self { brokers: brokers.to_owned(), properties: BTreeMap::new() }
    }

    /// Checks the properties without connecting.
    ///
    /// # Errors
    /// A property that is reserved, unknown, or has a value that librdkafka does not take.
    pub fn check(&self, what: &str) -> Result<(), KafkaError> {
        let config = self.config(what, &[])?;
        match config.create_native_config() {
            Ok(_) => Ok(()),
            Err(error) => Err(KafkaError::client(what, &error)),
        }
    }

    /// A configuration with `ours` over what the user sets over `usual`.
    pub(super) fn config(
        &self,
        what: &str,
        ours: &[(&str, &str)],
    ) -> Result<ClientConfig, KafkaError> {
        let mut config = ClientConfig::new();
        config.set("client.id", "braid");
        // How soon a changed leader, a new partition and a re-created topic are noticed.
        config.set("topic.metadata.refresh.interval.ms", "5000");
        for (property, value) in &self.properties {
            if RESERVED.contains(&&**property) {
                let property = property.clone();
                return Err(KafkaError::Reserved { what: what.to_owned(), property });
            }
            config.set(property, value);
        }
        config.set("bootstrap.servers", &self.brokers);
        for (property, value) in ours {
            config.set(*property, *value);
        }
        Ok(config)
    }
}

/// What a client has said since it was last asked.
#[derive(Debug, Default)]
struct Said {
    /// The last error, such as a refused password: calls themselves only time out.
    error: Option<String>,
    fenced: bool,
    /// Ids of topics as the brokers gave them last.
    ids: BTreeMap<String, String>,
    /// Topics whose id has changed under us: name, before, after.
    recreated: Vec<(String, String, String)>,
    statistics: Option<Statistics>,
    /// Records that were not delivered: topic, why, whether for their size.
    undelivered: Vec<(String, String)>,
    /// For each topic and partition that was delivered to, the offset after the last record.
    ends: BTreeMap<(String, i32), u64>,
}

/// Listens to a client. All of it is called by the thread that polls.
#[derive(Debug, Default)]
pub(super) struct Context {
    said: Mutex<Said>,
    /// Counts what was heard, to tell an empty queue from one that had news of this kind.
    heard: AtomicU64,
    /// Counts the records that were delivered.
    delivered: AtomicU64,
}

impl Context {
    fn said(&self) -> MutexGuard<'_, Said> {
        self.heard.fetch_add(1, Ordering::Relaxed);
        // Each change is a single assignment or push: a panic elsewhere leaves nothing half done.
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How often anything was heard.
    pub(super) fn heard(&self) -> u64 {
        self.heard.load(Ordering::Relaxed)
    }

    /// How many records were delivered.
    pub(super) fn delivered(&self) -> u64 {
        self.delivered.load(Ordering::Relaxed)
    }

    /// The last error.
    pub(super) fn error(&self) -> Option<String> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).error.clone()
    }

    /// Why something does not work: the last error, or else what the call said.
    pub(super) fn cause(&self, call: &ClientError) -> String {
        self.error().unwrap_or_else(|| call.to_string())
    }

    /// Forgets the last error.
    pub(super) fn well(&self) {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).error = None;
    }

    /// Whether the brokers have said that another producer has our id.
    pub(super) fn fenced(&self) -> bool {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).fenced
    }

    /// The id of a topic, if the brokers have ids.
    pub(super) fn id(&self, topic: &str) -> Option<String> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).ids.get(topic).cloned()
    }

    /// Notes the id that a topic must have.
    pub(super) fn expect_id(&self, topic: &str, id: &str) {
        self.news(topic, id);
    }

    /// A topic that was re-created under us: name, id before, id now.
    pub(super) fn recreated(&self) -> Option<(String, String, String)> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).recreated.first().cloned()
    }

    /// Statistics that came since the last call.
    pub(super) fn statistics(&self) -> Option<Statistics> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).statistics.take()
    }

    /// A record that was not delivered since the last call: its topic and why.
    pub(super) fn undelivered(&self) -> Option<(String, String)> {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let first = said.undelivered.first().cloned();
        said.undelivered.clear();
        first
    }

    /// Where each partition ends that was delivered to since the last call.
    pub(super) fn take_ends(&self) -> BTreeMap<(String, i32), u64> {
        std::mem::take(&mut self.said.lock().unwrap_or_else(PoisonError::into_inner).ends)
    }

    fn news(&self, topic: &str, id: &str) {
        let mut said = self.said();
        if let Some(before) = said.ids.insert(topic.to_owned(), id.to_owned())
            && before != id
        {
            said.recreated.push((topic.to_owned(), before, id.to_owned()));
        }
    }
}

/// The id that stands for none.
const NO_ID: &str = "AAAAAAAAAAAAAAAAAAAAAA";

/// Topic and id in librdkafka's note that it has learnt a topic's id. Its interface does not tell
/// ids, but this note of its log facility `topic` does, in the version that is built in.
fn learnt(note: &str) -> Option<(&str, &str)> {
    let (_, rest) = note.split_once("Topic ")?;
    let (topic, rest) = rest.split_once(" changed id from ")?;
    let (_, id) = rest.split_once(" to ")?;
    Some((topic, id.trim())).filter(|(_, id)| *id != NO_ID)
}

/// The offset after one, if it is one.
fn after(offset: i64) -> Option<u64> {
    u64::try_from(offset).ok().map(|offset| offset + 1)
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, _facility: &str, message: &str) {
        self.heard.fetch_add(1, Ordering::Relaxed);
        if matches!(level, RDKafkaLogLevel::Debug)
            && let Some((topic, id)) = learnt(message)
        {
            self.news(topic, id);
        }
    }

    fn stats(&self, statistics: Statistics) {
        self.said().statistics = Some(statistics);
    }

    fn error(&self, error: ClientError, reason: &str) {
        let fence = error.rdkafka_error_code().is_some_and(is_fence);
        let mut said = self.said();
        said.fenced |= fence;
        // "All brokers are down" only counts what the errors before it have said.
        if said.error.is_none() || !reason.contains("brokers are down") {
            said.error = Some(reason.to_owned());
        }
    }
}

impl ConsumerContext for Context {}

impl ProducerContext for Context {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, _opaque: ()) {
        let mut said = self.said();
        match result {
            Ok(message) => {
                self.delivered.fetch_add(1, Ordering::Relaxed);
                // Where the client only concludes that a record was delivered, it has no offset.
                if let Some(next) = after(message.offset()) {
                    let key = (message.topic().to_owned(), message.partition());
                    let end = said.ends.entry(key).or_default();
                    *end = next.max(*end);
                }
            }
            Err((error, message)) => {
                said.fenced |= error.rdkafka_error_code().is_some_and(is_fence);
                said.undelivered.push((message.topic().to_owned(), error.to_string()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_from_notes() {
        let note = "[thrd:main]: Topic web.events changed id from AAAAAAAAAAAAAAAAAAAAAA to x-Y_1";
        assert_eq!(learnt(note), Some(("web.events", "x-Y_1")));
        assert_eq!(learnt("[thrd:main]: Topic a partition count changed from 0 to 1"), None);
        let gone = "[thrd:main]: Topic a changed id from x to AAAAAAAAAAAAAAAAAAAAAA";
        assert_eq!(learnt(gone), None);
    }

    #[test]
    fn a_delivery_may_have_no_offset() {
        assert_eq!([-1001, -1, 0, 7].map(after), [None, None, Some(1), Some(8)]);
    }

    #[test]
    fn another_id_is_a_topic_created_again() {
        let context = Context::default();
        context.expect_id("a", "1");
        context.log(RDKafkaLogLevel::Debug, "METADATA", "Topic a changed id from 0 to 1");
        assert_eq!(context.recreated(), None);
        context.log(RDKafkaLogLevel::Debug, "METADATA", "Topic a changed id from 1 to 2");
        let news = ("a".to_owned(), "1".to_owned(), "2".to_owned());
        assert_eq!(context.recreated(), Some(news));
    }

    #[test]
    fn properties_are_checked_and_not_shown() {
        let mut spec = ClientSpec::new("localhost:1");
        spec.properties.insert("sasl.password".to_owned(), "s3cret".to_owned());
        assert!(!format!("{spec:?}").contains("s3cret"));
        assert_eq!(spec.check("source \"web\""), Ok(()));
        spec.properties.insert("acks".to_owned(), "0".to_owned());
        let error = spec.check("source \"web\"").unwrap_err().to_string();
        assert_eq!(error, "source \"web\": the property acks is set by braid itself; remove it");
        spec.properties.remove("acks");
        spec.properties.insert("sasl.pasword".to_owned(), "x".to_owned());
        let error = spec.check("w").unwrap_err();
        assert!(matches!(error, KafkaError::Property { ref property, .. }
            if property == "sasl.pasword"));
    }
}
