//! Topics of our own: created with the settings they need, or checked.

use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};
use tokio::runtime::{Builder, Runtime};

use super::client::Context;
use super::control::attend;
use super::{ClientSpec, KafkaError};

/// How long one request may take.
const ANSWER: Duration = Duration::from_secs(10);

/// A topic that must be there.
pub(super) struct Needed<'a> {
    pub name: &'a str,
    /// How many partitions a new one gets.
    pub partitions: i32,
    /// Whether any other number will not do.
    pub exactly: bool,
    /// How many copies a new one gets; -1 for what the brokers usually give.
    pub replication: i32,
    /// Whether only the last record of each key is kept.
    pub compacted: bool,
    /// Further settings of a new one.
    pub settings: &'a [(&'a str, &'a str)],
}

/// Creates and checks topics.
pub(super) struct Topics {
    what: String,
    brokers: String,
    admin: AdminClient<Context>,
    /// Looks topics up, and can say why that does not work.
    client: BaseConsumer<Context>,
    runtime: Runtime,
    patience: Duration,
}

impl Topics {
    pub(super) fn open(
        spec: &ClientSpec,
        what: &str,
        patience: Duration,
    ) -> Result<Self, KafkaError> {
        let fail = |error: &ClientError| KafkaError::client(what, error);
        let config = spec.config(what, &[])?;
        let admin = config.create_with_context(Context::default()).map_err(|e| fail(&e))?;
        let client = config.create_with_context(Context::default()).map_err(|e| fail(&e))?;
        let runtime = Builder::new_current_thread().build();
        let runtime = runtime.map_err(|e| KafkaError::Client {
            what: what.to_owned(),
            detail: format!("no runtime: {e}"),
        })?;
        let brokers = spec.brokers.clone();
        Ok(Self { what: what.to_owned(), brokers, admin, client, runtime, patience })
    }

    fn options() -> AdminOptions {
        AdminOptions::new().request_timeout(Some(ANSWER)).operation_timeout(Some(ANSWER))
    }

    /// Asks again until the brokers answer.
    fn ask<T>(&self, call: impl AsyncFn() -> Result<T, ClientError>) -> Result<T, KafkaError> {
        let begun = Instant::now();
        loop {
            match self.runtime.block_on(call()) {
                Ok(answer) => return Ok(answer),
                Err(error) if begun.elapsed() >= self.patience => {
                    attend(&self.client);
                    return Err(KafkaError::Unreachable {
                        what: self.what.clone(),
                        brokers: self.brokers.clone(),
                        cause: self.client.context().cause(&error),
                    });
                }
                Err(_) => std::thread::sleep(Duration::from_millis(100)),
            }
        }
    }

    /// Makes sure that a topic is there as it must be; gives its number of partitions.
    ///
    /// # Errors
    /// [`KafkaError::Settings`] with what has to be changed.
    pub(super) fn need(&self, needed: &Needed<'_>) -> Result<usize, KafkaError> {
        let (begun, mut ours) = (Instant::now(), None);
        loop {
            if let Some(partitions) = self.partitions(needed.name)? {
                if ours != Some(true) {
                    self.check(needed, partitions)?;
                }
                return Ok(partitions);
            }
            if ours.is_none() {
                ours = Some(self.create(needed)?);
            }
            if begun.elapsed() >= self.patience {
                return Err(KafkaError::Unreachable {
                    what: self.what.clone(),
                    brokers: self.brokers.clone(),
                    cause: format!("topic {:?} has partitions without a leader", needed.name),
                });
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Whether a topic is there.
    pub(super) fn is_there(&self, name: &str) -> Result<bool, KafkaError> {
        Ok(self.look_up(name)?.is_some())
    }

    /// How many partitions a topic has; `None` if it isn't there, or not yet with all its leaders.
    fn partitions(&self, name: &str) -> Result<Option<usize>, KafkaError> {
        let found = self.look_up(name)?;
        Ok(found.filter(|(count, led)| *count > 0 && *led).map(|(count, _)| count))
    }

    /// How many partitions a topic has, and whether all have a leader; `None` if it isn't there.
    fn look_up(&self, name: &str) -> Result<Option<(usize, bool)>, KafkaError> {
        self.ask(async || {
            let metadata = self.client.fetch_metadata(Some(name), ANSWER)?;
            let Some(topic) = metadata.topics().first() else { return Ok(None) };
            match topic.error().map(Code::from) {
                Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => return Ok(None),
                Some(code) => return Err(ClientError::MetadataFetch(code)),
                None => {}
            }
            let led = topic.partitions().iter().all(|partition| partition.leader() >= 0);
            Ok(Some((topic.partitions().len(), led)))
        })
    }

    /// Creates a topic; says whether it was not there.
    fn create(&self, needed: &Needed<'_>) -> Result<bool, KafkaError> {
        let copies = TopicReplication::Fixed(needed.replication);
        let mut topic = NewTopic::new(needed.name, needed.partitions, copies)
            .set("cleanup.policy", if needed.compacted { "compact" } else { "delete" });
        if !needed.compacted {
            topic = topic.set("retention.ms", "-1").set("retention.bytes", "-1");
        }
        for (key, value) in needed.settings {
            topic = topic.set(key, value);
        }
        let answer = self.ask(async || {
            let answers = self.admin.create_topics([&topic], &Self::options()).await?;
            match answers.into_iter().next() {
                Some(Err((_, code))) if passes(code) => Err(ClientError::AdminOp(code)),
                answer => Ok(answer),
            }
        });
        match answer? {
            Some(Ok(_)) => Ok(true),
            Some(Err((_, Code::TopicAlreadyExists))) | None => Ok(false),
            Some(Err((_, code))) => {
                Err(self.unfit(needed.name, format!("can't be created: {code}; create it by hand")))
            }
        }
    }

    fn check(&self, needed: &Needed<'_>, partitions: usize) -> Result<(), KafkaError> {
        if needed.exactly && partitions != needed.partitions as usize {
            let detail = format!(
                "has {partitions} partitions and must have {}; remove it, or use another prefix",
                needed.partitions
            );
            return Err(self.unfit(needed.name, detail));
        }
        let topic = ResourceSpecifier::Topic(needed.name);
        let answers =
            self.ask(async || self.admin.describe_configs([&topic], &Self::options()).await);
        let Some(Ok(config)) = answers?.into_iter().next() else {
            return Ok(()); // not allowed to look: then it can't be checked
        };
        let setting = |name: &str| config.get(name).and_then(|e| e.value.clone());
        let policy = setting("cleanup.policy").unwrap_or_default();
        let compacted = policy.split(',').any(|word| word.trim() == "compact");
        let deleted = policy.split(',').any(|word| word.trim() == "delete");
        let [time, bytes] = ["retention.ms", "retention.bytes"].map(setting);
        let kept = !deleted || keeps(time.as_deref(), bytes.as_deref());
        let wanted = if needed.compacted { "compact" } else { "delete" };
        if compacted != needed.compacted || !kept {
            let more =
                if needed.compacted { "" } else { ", retention.ms = -1 and retention.bytes = -1" };
            let detail = format!(
                "has cleanup.policy = {policy} and would lose records; set cleanup.policy = \
                 {wanted}{more}"
            );
            return Err(self.unfit(needed.name, detail));
        }
        Ok(())
    }

    fn unfit(&self, topic: &str, detail: String) -> KafkaError {
        KafkaError::Settings { what: self.what.clone(), topic: topic.to_owned(), detail }
    }
}

/// Whether an answer is one of brokers that are starting or changing: another may come.
fn passes(code: Code) -> bool {
    matches!(
        code,
        Code::RequestTimedOut
            | Code::OperationTimedOut
            | Code::NotController
            | Code::BrokerNotAvailable
            | Code::CoordinatorLoadInProgress
            | Code::CoordinatorNotAvailable
            | Code::NotCoordinator
            | Code::NetworkException
    )
}

/// Whether a topic whose old records are deleted loses none for its `retention.ms` and
/// `retention.bytes`. Brokers have no limit of bytes unless they are told one.
fn keeps(time: Option<&str>, bytes: Option<&str>) -> bool {
    let unlimited = |limit: &str| limit.starts_with('-');
    time.is_some_and(unlimited) && bytes.is_none_or(unlimited)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_of_time_or_of_bytes_loses_records() {
        assert!(keeps(Some("-1"), Some("-1")) && keeps(Some("-1"), None));
        assert!(!keeps(Some("-1"), Some("1073741824")));
        assert!(!keeps(Some("604800000"), Some("-1")) && !keeps(None, None));
    }
}
