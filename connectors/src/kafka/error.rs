//! What can go wrong with Kafka as a whole. A single bad record is a dead letter instead.

use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};

/// Why Kafka can't be read from or written to.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum KafkaError {
    /// A client property that librdkafka does not know, or a value it does not take.
    #[error("{what}: the property {property} can't be set: {detail}")]
    Property {
        /// The source or sink.
        what: String,
        /// Its name.
        property: String,
        /// What librdkafka says.
        detail: String,
    },
    /// A client property on which exactness rests.
    #[error("{what}: the property {property} is set by braid itself; remove it")]
    Reserved {
        /// The source or sink.
        what: String,
        /// Its name.
        property: String,
    },
    /// A topic pattern that is no regular expression.
    #[error("{what}: {pattern:?} is not a regular expression: {detail}")]
    Pattern {
        /// The source.
        what: String,
        /// The pattern.
        pattern: String,
        /// Where it is wrong.
        detail: String,
    },
    /// A topic that is named and not there.
    #[error("{what}: there is no topic {topic:?} at {brokers}; create it, or correct the name")]
    NoTopic {
        /// The source.
        what: String,
        /// The topic.
        topic: String,
        /// The brokers asked.
        brokers: String,
    },
    /// A topic that earlier runs have read and the source no longer names.
    #[error(
        "{what}: topic {topic:?} has been read and `topics` no longer names it; put it back, for \
         what was read of it is read again after a restart, or give the changed job another `out` \
         or name to compute everything anew without it"
    )]
    Unnamed {
        /// The source.
        what: String,
        /// The topic.
        topic: String,
    },
    /// The brokers don't answer, or don't let us in.
    #[error("{what}: can't reach {brokers}: {cause}")]
    Unreachable {
        /// The source or sink.
        what: String,
        /// The brokers.
        brokers: String,
        /// What the client says, as far as it knows.
        cause: String,
    },
    /// Records that an earlier run has read, or that come next, are not there any more.
    #[error("{what}: topic {topic:?}, partition {partition}, is not as it was: {detail}")]
    Gone {
        /// The source.
        what: String,
        /// The topic.
        topic: String,
        /// The partition, -1 where the topic as a whole is meant.
        partition: i32,
        /// What is missing.
        detail: String,
        /// The first offset that is there, where those before it are not.
        first: Option<u64>,
    },
    /// A transaction hides the last records of a topic of ours, and nobody ends it.
    #[error(
        "{what}: a transaction is open in topic {topic:?}, partition {partition}, from offset \
         {offset} on, and nobody ends it: what was written last can't be read. Look for it with \
         `kafka-transactions.sh --bootstrap-server {brokers} find-hanging --broker-id ID`, and end \
         it with `… abort --topic {topic} --partition {partition} --start-offset {offset}`; see \
         BraidTransactionHangs in the runbook first"
    )]
    Hanging {
        /// The sink or log.
        what: String,
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The transaction's first record.
        offset: u64,
        /// The brokers.
        brokers: String,
    },
    /// A newer run of the same job has taken over.
    #[error("{what}: a newer run of this job has taken over: {detail}")]
    Fenced {
        /// The sink or log.
        what: String,
        /// How that shows.
        detail: String,
    },
    /// An output topic with other settings than it needs.
    #[error("{what}: topic {topic:?} {detail}")]
    Settings {
        /// The sink or log.
        what: String,
        /// The topic.
        topic: String,
        /// What is wrong with it, and what to do.
        detail: String,
    },
    /// A record of ours that the broker does not take.
    #[error("{what}: topic {topic:?} does not take a record: {detail}")]
    Refused {
        /// The sink or log.
        what: String,
        /// The topic.
        topic: String,
        /// What the broker says.
        detail: String,
    },
    /// A record of ours, read back, makes no sense.
    #[error("{what}: topic {topic:?}, offset {offset}, holds something else: {detail}")]
    Foreign {
        /// The sink or log.
        what: String,
        /// The topic.
        topic: String,
        /// The offset.
        offset: u64,
        /// What is wrong.
        detail: String,
    },
    /// Two rows of one key stand at once: the program is wrong.
    #[error("internal: {view} has two rows of the key {key}")]
    Inconsistent {
        /// The view.
        view: String,
        /// The key.
        key: String,
    },
    /// A row without a value that it must have: the program is wrong.
    #[error("internal: {view} has a row without {column}")]
    NoValue {
        /// The view.
        view: String,
        /// The column.
        column: String,
    },
    /// A schema that the registry does not take.
    #[error("{what}: the registry does not take the schema of {subject:?}: {detail}")]
    Schema {
        /// The sink.
        what: String,
        /// The subject.
        subject: String,
        /// What it says, and what to do.
        detail: String,
    },
    /// Anything else that the client says.
    #[error("{what}: {detail}")]
    Client {
        /// The source or sink.
        what: String,
        /// What it says.
        detail: String,
    },
}

impl KafkaError {
    /// Whether needed history is gone, which no retry brings back.
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Gone { .. })
    }

    /// Whether a newer run of the job has taken over.
    pub fn is_fenced(&self) -> bool {
        matches!(self, Self::Fenced { .. })
    }

    /// Whether the job file has to be changed.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::Property { .. }
                | Self::Reserved { .. }
                | Self::Pattern { .. }
                | Self::NoTopic { .. }
                | Self::Unnamed { .. }
                | Self::Settings { .. }
                | Self::Schema { .. }
        )
    }

    /// What a client says of its own making.
    pub(super) fn client(what: &str, error: &ClientError) -> Self {
        let what = what.to_owned();
        match error {
            ClientError::ClientConfig(_, detail, property, _) => {
                Self::Property { what, property: property.clone(), detail: detail.clone() }
            }
            ClientError::Transaction(error) if is_fence(error.code()) => {
                Self::Fenced { what, detail: error.string() }
            }
            ClientError::Transaction(error) => Self::Client { what, detail: error.string() },
            error => Self::Client { what, detail: error.to_string() },
        }
    }
}

/// Whether a code says that the producer is not the one that the brokers know by its id.
pub(super) fn is_fence(code: Code) -> bool {
    matches!(
        code,
        Code::Fenced
            | Code::ProducerFenced
            | Code::InvalidProducerEpoch
            | Code::InvalidProducerIdMapping
    )
}
