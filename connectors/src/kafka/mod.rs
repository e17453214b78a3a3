//! Kafka: topics as a source, topics as a sink, and bindings in a topic.
//!
//! # Source
//!
//! - [`KafkaSource`] reads topics by name or pattern, from the first record that is there.
//!   Partitions are assigned, never subscribed to: no group decides who reads what, and a group's
//!   offsets only show other tools how far the job is. Topics and partitions that appear while it
//!   runs are found; those that are there when it is opened are waited for until all answer.
//! - Transactions count as they are committed (`read_committed`); offsets have gaps where their
//!   markers stand. A range `[lo, hi)` ends when the next record is at or past `hi`. Every `hi`
//!   that is bound is the offset after a record, so it is reached by reading that record again.
//! - What was bound is read again record for record, or not at all: an epoch's binding says how
//!   many records each partition gave. A topic that was deleted, or deleted and created again, a
//!   partition that ends before its position or begins after it, and a range with other records
//!   than it had are [`KafkaError::Gone`]. So is a schema that the registry had and has no more;
//!   one that it did not have stands in the binding, and its records are read again without it.
//! - A partition is idle when it has been read to its end, markers included, and the brokers have
//!   confirmed lately that this is the end. One whose leader does not answer is not idle.
//! - Brokers that go away while the job runs are waited for; [`KafkaSource::trouble`] says so.
//! - Values are JSON, or Avro ([`Values`]). A record without a value (a tombstone), or with an
//!   empty one, is a dead letter `no_value`: there is no row in an event stream that it could
//!   delete. Keys, headers and what the topic knows of a record are looked at only where a field
//!   comes from them ([`Beside`](crate::decode::Beside)); read again, a record has the same ones.
//! - Memory: [`KafkaSpec::bytes_max`] of records for the owner to take, and about as much again in
//!   the client's queues. A partition whose buffer is full is not fetched.
//!
//! # Sink
//!
//! [`KafkaSink`] writes the rows of each view to the topic `<prefix>.<view>`: a row that comes or
//! changes as an upsert, a row that goes as a tombstone. The key is the row's key columns, the
//! value all its columns, as JSON ([`json_schemas`] says how) or as Avro ([`RowFormat`]); headers
//! are `epoch`, `status`, `cause` (none for new data in order), `job` (its hash), and for a
//! provisional row `final_at`, the watermark in microseconds from which on it is final. Topics are
//! compacted, so a new reader has the rows that stand; equal keys are in one partition, by the hash
//! that Java's clients use.
//!
//! Exactly once, through a crash at any moment:
//!
//! 1. Opening fences off every earlier producer of the sink (`init_transactions`): what it left
//!    open is taken back, and it can't commit any more.
//! 2. Only then its progress is read, and written again with the number of the run. The progress is
//!    the last record of its key in `<prefix>.progress` ([`Claim`]).
//! 3. A transaction holds a run of closed epochs, in all topics, and the progress record that says
//!    so. All of it counts or nothing does. A row's partition is computed from the number that the
//!    topic had at first, whatever is added to it.
//! 4. Topics that end before what the progress says are not those of before
//!    ([`KafkaError::Gone`]).
//! 5. After a crash the same epochs come again. Those that the progress has are passed over.
//!
//! A producer that finds itself shut out reads the progress: a newer run has taken over, and it
//! ends ([`KafkaError::Fenced`]); or the brokers had only given up waiting for it, and it goes on.
//!
//! Schemas are registered before anything else, each time a sink is opened: a registry that has one
//! already gives its id again. After that the registry is not needed. The id is a part of each key,
//! so the progress has it, and a sink whose registry gives another id is not opened.
//!
//! # Bindings
//!
//! [`KafkaBindingLog`] keeps bindings in a topic instead of a file. It is fenced in the same way;
//! if that may have been for brokers that stood still, it goes on unless another run has bound
//! something.
//!
//! # Transactions that hang
//!
//! Nothing after an open transaction can be read. One that nobody ends (`hanging`) is shown by
//! [`PartitionStatus::open`] and [`KafkaSink::open_transactions`]. Where it hides the last word of
//! a sink's progress or of the bindings, opening fails ([`KafkaError::Hanging`]): to go on from the
//! word before it would write epochs again, or give them other records.
//!
//! # Properties
//!
//! [`ClientSpec::properties`] go to librdkafka as they are: `security.protocol`, `ssl.ca.location`,
//! `sasl.mechanisms`, `sasl.username`, `compression.type`, and so on. Those on which exactness
//! rests are refused.

mod bindings;
mod buffer;
mod client;
mod control;
mod error;
mod hanging;
mod json;
mod listing;
mod log;
mod look;
mod net;
mod partition;
mod past;
mod producer;
mod progress;
mod reader;
mod registry;
mod schemas;
mod sink;
mod source;
mod topics;
mod values;
mod view;
mod watch;
mod whole;

pub use bindings::{KafkaBindingLog, KafkaBindingsSpec};
pub use client::ClientSpec;
pub use error::KafkaError;
pub use hanging::OpenTransaction;
pub use json::json_schemas;
pub use listing::{
    Asked, KafkaPart, KafkaSpec, PartitionEnd, PartitionId, TopicEntry, Unregistered,
};
pub use look::look;
pub use progress::Claim;
pub use registry::RegistryUrl;
pub use sink::{KafkaSink, KafkaSinkSpec, Sent};
pub use source::{KafkaSource, PartitionStatus, Replayed};
pub use values::Values;
pub use view::RowFormat;
