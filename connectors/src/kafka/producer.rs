//! A transactional producer: at most one of its id is alive.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use super::client::Context;
use super::error::is_fence;
use super::{ClientSpec, KafkaError};

/// How long one call may take before it is made again.
const STEP: Duration = Duration::from_secs(2);
/// How long to wait before it is looked again what the client has to say.
const LOOK_EVERY: Duration = Duration::from_micros(500);

/// Why a transaction did not come to its end.
#[derive(Debug)]
pub(super) enum Fault {
    /// The brokers know another producer by our id, or have given up waiting for us, or we for
    /// them: only a successor of the same id knows whether the records count.
    Fenced,
    /// It was taken back, and none of its records count; the same may be tried again.
    TakenBack(String),
    /// It can't be tried again.
    Stop(KafkaError),
}

/// Offsets after the last record of each partition written to, by topic and partition.
pub(super) type Ends = BTreeMap<(String, i32), u64>;

/// What a transactional producer is like.
#[derive(Clone, Debug)]
pub(super) struct Transactional {
    pub client: ClientSpec,
    /// For messages.
    pub what: String,
    pub id: String,
    /// How long records wait for others to share a request with.
    pub linger: Duration,
    /// After how long the brokers take back a transaction that nobody ends.
    pub timeout: Duration,
    /// How long brokers that do not answer are waited for.
    pub patience: Duration,
}

/// A producer that has fenced off all earlier ones of its id.
pub(super) struct Transactions {
    spec: Transactional,
    producer: BaseProducer<Context>,
}

impl Transactions {
    /// Fences off earlier producers of this id; a transaction that one of them left open is taken
    /// back.
    pub(super) fn open(spec: &Transactional) -> Result<Self, KafkaError> {
        let linger = spec.linger.as_millis().to_string();
        let timeout = spec.timeout.as_millis().to_string();
        let ours = [
            ("transactional.id", &*spec.id),
            ("enable.idempotence", "true"),
            ("acks", "all"),
            ("linger.ms", &linger),
            ("transaction.timeout.ms", &timeout),
            // Equal keys go where Java's own clients put them.
            ("partitioner", "murmur2_random"),
        ];
        let mut config = spec.client.config(&spec.what, &ours)?;
        for (property, value) in [("compression.type", "lz4"), ("message.max.bytes", "4194304")] {
            if config.get(property).is_none() {
                config.set(property, value);
            }
        }
        let producer: BaseProducer<Context> = config
            .create_with_context(Context::default())
            .map_err(|error| KafkaError::client(&spec.what, &error))?;
        let begun = Instant::now();
        loop {
            let Err(error) = producer.init_transactions(STEP) else { break };
            // What is wrong is said beside the result.
            producer.poll(Duration::from_millis(1));
            let ClientError::Transaction(fault) = &error else {
                return Err(KafkaError::client(&spec.what, &error));
            };
            if fault.is_fatal() || begun.elapsed() >= spec.patience {
                return Err(KafkaError::Unreachable {
                    what: spec.what.clone(),
                    brokers: spec.client.brokers.clone(),
                    cause: producer.context().error().unwrap_or_else(|| fault.string()),
                });
            }
        }
        Ok(Self { spec: spec.clone(), producer })
    }

    /// How many records have been delivered, whether or not they count.
    pub(super) fn delivered(&self) -> u64 {
        self.producer.context().delivered()
    }

    pub(super) fn begin(&self) -> Result<(), Fault> {
        self.producer.begin_transaction().map_err(|error| self.fault(&error))
    }

    /// Sends a record as part of the transaction; without a value it is a tombstone.
    pub(super) fn send(
        &self,
        topic: &str,
        partition: Option<i32>,
        key: &[u8],
        value: Option<&[u8]>,
        headers: &[(&str, &str)],
    ) -> Result<(), Fault> {
        let begun = Instant::now();
        loop {
            let mut record = BaseRecord::to(topic).key(key);
            record.payload = value;
            record.partition = partition;
            if !headers.is_empty() {
                let count = headers.len();
                let all = headers.iter().fold(OwnedHeaders::new_with_capacity(count), |all, h| {
                    all.insert(Header { key: h.0, value: Some(h.1) })
                });
                record.headers = Some(all);
            }
            let Err((error, _)) = self.producer.send(record) else { return Ok(()) };
            match error.rdkafka_error_code() {
                Some(Code::QueueFull) if begun.elapsed() < self.spec.patience => {
                    self.serve();
                }
                Some(Code::MessageSizeTooLarge) => {
                    let detail = format!("{error}; raise message.max.bytes here and at the topic");
                    return Err(Fault::Stop(self.refused(topic, detail)));
                }
                _ => return Err(self.take_back(error.to_string())),
            }
        }
    }

    fn refused(&self, topic: &str, detail: String) -> KafkaError {
        KafkaError::Refused { what: self.spec.what.clone(), topic: topic.to_owned(), detail }
    }

    /// Takes what the client has to say, and waits a little if that is nothing. The `poll` of the
    /// crate asks again without a pause in the last millisecond of its time, and its `flush` waits
    /// in steps of 100 ms: a core is taken from the brokers, or time is lost.
    fn serve(&self) {
        let before = self.producer.in_flight_count();
        self.producer.poll(Duration::ZERO);
        if self.producer.in_flight_count() == before {
            thread::sleep(LOOK_EVERY);
        }
    }

    /// Waits until everything sent is with the brokers.
    pub(super) fn drain(&self) -> Result<Ends, Fault> {
        while self.producer.in_flight_count() > 0 {
            self.serve();
            // The client gives up on a record after the transaction's own timeout.
            if self.producer.context().fenced() {
                return Err(Fault::Fenced);
            }
        }
        if let Some((topic, why)) = self.producer.context().undelivered() {
            if self.producer.context().fenced() {
                return Err(Fault::Fenced);
            }
            if why.contains("too large") {
                let detail = format!("{why}; raise the topic's max.message.bytes");
                return Err(Fault::Stop(self.refused(&topic, detail)));
            }
            return Err(self.take_back(format!("topic {topic:?}: {why}")));
        }
        Ok(self.producer.context().take_ends())
    }

    /// Ends the transaction: all its records count from now on. If that is not known after the
    /// transaction's own timeout, a successor of the same id finds out.
    pub(super) fn commit(&self) -> Result<(), Fault> {
        let begun = Instant::now();
        loop {
            let Err(error) = self.producer.commit_transaction(STEP) else { return Ok(()) };
            self.producer.poll(Duration::ZERO);
            let again = match &error {
                ClientError::Transaction(fault) => fault.is_retriable(),
                ClientError::Flush(_) => true,
                _ => false,
            };
            if !again {
                return Err(self.fault(&error));
            }
            if begun.elapsed() >= self.spec.timeout {
                return Err(Fault::Fenced);
            }
        }
    }

    /// What a failed call leaves.
    fn fault(&self, error: &ClientError) -> Fault {
        let context = self.producer.context();
        let fatal = self.producer.client().fatal_error();
        let fenced = fatal.as_ref().is_some_and(|(code, _)| is_fence(*code));
        if fenced || context.fenced() {
            return Fault::Fenced;
        }
        match error {
            ClientError::Transaction(fault) if is_fence(fault.code()) => Fault::Fenced,
            ClientError::Transaction(fault) if fault.txn_requires_abort() => {
                self.take_back(fault.string())
            }
            // A producer that is beyond repair is replaced by one of the same id, as a fenced one.
            ClientError::Transaction(fault) if fault.is_fatal() => Fault::Fenced,
            error => Fault::Stop(KafkaError::Unreachable {
                what: self.spec.what.clone(),
                brokers: self.spec.client.brokers.clone(),
                cause: context.cause(error),
            }),
        }
    }

    /// Takes back whatever is open, for a run that ends.
    pub(super) fn abandon(&self) {
        let _ = self.take_back(String::new());
    }

    /// Takes the transaction back. After the transaction's own timeout the brokers do that
    /// themselves: a client that still waits for them then, as it may for minutes after they stood
    /// still, is replaced.
    fn take_back(&self, cause: String) -> Fault {
        let begun = Instant::now();
        loop {
            let result = self.producer.abort_transaction(STEP);
            self.producer.poll(Duration::ZERO);
            self.producer.context().take_ends();
            self.producer.context().undelivered();
            match result {
                Ok(()) => return Fault::TakenBack(cause),
                Err(ClientError::Transaction(fault))
                    if fault.is_retriable() && begun.elapsed() < self.spec.timeout => {}
                // What can't even be taken back is left to the successor of the same id.
                Err(_) => return Fault::Fenced,
            }
        }
    }
}
