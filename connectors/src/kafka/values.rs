//! What the values of records are: JSON, or what is turned into JSON as it is read; and what is
//! wanted beside them.

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use operators::model::Reason;
use rdkafka::message::{Header, Headers, Message as Record};
use serde_json::Value as Json;

use super::buffer::{Fetched, Shared};
use super::listing::{Asked, PartitionId};
use super::past::{Decided, Past};
use super::registry::{RegistryUrl, message_path, unframe};
use super::schemas::{Reading, Schemas};
use super::{KafkaError, KafkaSpec};
use crate::avro::Schema;
use crate::decode::{Beside, RecordPart};
use crate::protobuf::Message;

/// What the values of a source's records are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Values {
    /// JSON.
    Json,
    /// Avro of one schema, without a frame.
    Avro(Box<Schema>),
    /// Protobuf of one message, without a frame.
    Protobuf(Message),
    /// Framed as Confluent's clients do it: a zero, a schema's id in four bytes, and Avro, Protobuf
    /// or JSON as the registry at this URL says. Values without the zero are JSON. Keys may be
    /// framed too.
    Registry(RegistryUrl),
}

/// How long a registry that does not answer is left alone.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// What a value or a key is.
enum Read<'a> {
    /// It has no frame, and no schema.
    Plain,
    /// JSON.
    Json(Cow<'a, [u8]>),
    /// Not what it should be: why.
    Wrong(String),
}

/// Where a record is, among those of earlier runs or behind them.
#[derive(Clone, Copy)]
struct Place<'a> {
    topic: &'a str,
    partition: PartitionId,
    offset: u64,
    /// The half of it that is read.
    asks: Asked,
    past: &'a Past,
    shared: &'a Shared,
    /// What messages call the source.
    what: &'a str,
}

/// Turns values into JSON.
enum ValueReader {
    Json,
    Avro(Box<Schema>),
    Protobuf(Message),
    Registry(Box<Schemas>),
}

impl ValueReader {
    /// Reads a value; `None` if reading ends: asked to stop while a registry did not answer, or
    /// something is gone.
    fn value<'a>(&mut self, bytes: &'a [u8], place: Place<'_>) -> Option<Read<'a>> {
        match self {
            Self::Avro(schema) => Some(json(bytes, |value, out| schema.json(value, out))),
            Self::Protobuf(message) => Some(json(bytes, |value, out| message.json(value, out))),
            Self::Json | Self::Registry(_) => self.framed(bytes, place),
        }
    }

    /// Reads a key, or a value that has no schema but by its frame.
    fn framed<'a>(&mut self, bytes: &'a [u8], place: Place<'_>) -> Option<Read<'a>> {
        let Self::Registry(schemas) = self else { return Some(Read::Plain) };
        let Some((id, body)) = unframe(bytes) else { return Some(Read::Plain) };
        let (partition, offset, shared) = (place.partition, place.offset, place.shared);
        let decided = place.past.decided((partition, offset), (place.asks, id));
        if let Decided::Missing(why) = decided {
            return Some(Read::Wrong(why.to_owned()));
        }
        ask(schemas, id, shared)?;
        Some(match schemas.known(id)? {
            Reading::Json => Read::Json(body.into()),
            Reading::Avro(schema) => json(body, |value, out| schema.json(value, out)),
            Reading::Protobuf(messages) => json(body, |value, out| {
                let (path, value) = message_path(value)?;
                let message = messages.at(&path).ok_or("its schema has no such message")?;
                message.json(value, out)
            }),
            Reading::Not(why) => Read::Wrong(why.clone()),
            Reading::Missing(why) if decided == Decided::There => {
                shared.fail(place.gone(why));
                return None;
            }
            Reading::Missing(why) => {
                shared.missed(partition, id, (offset, why));
                Read::Wrong(why.clone())
            }
        })
    }

    /// What stands beside a value, or why that can't be said; `None` if reading ends.
    fn beside(
        &mut self,
        beside: &Beside,
        message: &impl Record,
        place: Place<'_>,
    ) -> Option<Result<String, String>> {
        let wanted = beside.whole_key || beside.key_fields;
        let key = message.key().filter(|key| wanted && !key.is_empty());
        let read = match key {
            None => None,
            Some(key) => Some((key, self.framed(key, Place { asks: Asked::KEYS, ..place })?)),
        };
        let key = read.map(|(key, read)| parse(beside, key, read));
        let write = || {
            let key = key.unwrap_or(Ok((Json::Null, Json::Null)));
            let key = key.map_err(|wrong| format!("the key: {wrong}"))?;
            let headers = headers(beside, message.headers())?;
            let text = beside.text(key, headers.into_iter(), |part| known(message, part));
            if text.len() >= Reason::MAX_BYTES {
                return Err(format!("{} bytes of key and headers", text.len()));
            }
            Ok(text)
        };
        Some(write())
    }
}

impl Place<'_> {
    /// The error for a record that had a schema.
    fn gone(self, why: &str) -> KafkaError {
        KafkaError::Gone {
            what: self.what.to_owned(),
            topic: self.topic.to_owned(),
            partition: self.partition.number(),
            detail: format!(
                "the record at offset {} was read by its schema, and now {why}; register it again",
                self.offset
            ),
            first: None,
        }
    }
}

/// What a value is whose schema says how it becomes JSON.
fn json(
    value: &[u8],
    write: impl FnOnce(&[u8], &mut Vec<u8>) -> Result<(), String>,
) -> Read<'static> {
    let mut text = Vec::with_capacity(value.len() * 2);
    match write(value, &mut text) {
        Ok(()) => Read::Json(text.into()),
        Err(wrong) => Read::Wrong(format!("not of its schema: {wrong}")),
    }
}

/// Asks for a schema, however long it takes until there is an answer; `None` if asked to stop.
fn ask(schemas: &mut Schemas, id: u32, shared: &Shared) -> Option<()> {
    let (mut trouble, me) = (false, thread::current().id());
    while !schemas.knows(id) {
        if shared.stopped() {
            return None;
        }
        if let Err(error) = schemas.learn(id) {
            trouble = true;
            shared.state().registry_trouble.insert(me, error.to_string());
            thread::sleep(ASK_AGAIN);
        }
    }
    if trouble {
        shared.state().registry_trouble.remove(&me);
    }
    Some(())
}

/// Reads records as a source wants them.
pub(super) struct RecordReader {
    values: ValueReader,
    beside: Beside,
    past: Arc<Past>,
    what: String,
}

impl RecordReader {
    /// One for a source that has read those epochs before.
    pub(super) fn new(spec: &KafkaSpec, past: &Arc<Past>) -> Result<Self, KafkaError> {
        let values = match &spec.values {
            Values::Json => ValueReader::Json,
            Values::Avro(schema) => ValueReader::Avro(schema.clone()),
            Values::Protobuf(message) => ValueReader::Protobuf(message.clone()),
            Values::Registry(url) => {
                let schemas = Schemas::new(&spec.what(), url, spec.unregistered)?;
                ValueReader::Registry(schemas.into())
            }
        };
        let (past, what) = (Arc::clone(past), spec.what());
        Ok(Self { values, beside: spec.beside.clone(), past, what })
    }

    /// Takes in a record of a partition; `None` if reading ends.
    pub(super) fn take(
        &mut self,
        message: &impl Record,
        partition: PartitionId,
        fetched: &mut Fetched,
        shared: &Shared,
    ) -> Option<()> {
        let (offset, value) = (message.offset() as u64, message.payload());
        let none = (!self.beside.is_empty()).then_some("");
        let Some(bytes) = value.filter(|v| !v.is_empty() && v.len() < Reason::MAX_BYTES) else {
            fetched.push(offset, value, none);
            return Some(());
        };
        let Self { values, beside, past, what } = self;
        let (topic, asks) = (message.topic(), Asked::VALUES);
        let place = Place { topic, partition, offset, asks, past, shared, what };
        let value = values.value(bytes, place)?;
        let beside = match none {
            None => Ok(None),
            Some(_) => values.beside(beside, message, place)?.map(Some),
        };
        match (value, &beside) {
            (Read::Wrong(why), _) => fetched.push_wrong(offset, bytes, &why, none),
            (_, Err(why)) => fetched.push_wrong(offset, bytes, why, none),
            (Read::Plain, Ok(beside)) => fetched.push(offset, Some(bytes), beside.as_deref()),
            (Read::Json(text), Ok(beside)) => fetched.push(offset, Some(&text), beside.as_deref()),
        }
        Some(())
    }
}

/// A key as a whole, and as what has fields.
fn parse(wanted: &Beside, bytes: &[u8], read: Read<'_>) -> Result<(Json, Json), String> {
    let json = |bytes: &[u8]| serde_json::from_slice::<Json>(bytes).map_err(|e| e.to_string());
    match read {
        Read::Wrong(why) => Err(why),
        Read::Json(text) => json(&text).map(|key| (key.clone(), key)),
        Read::Plain => {
            let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8")?;
            let fields = if wanted.key_fields { json(bytes)? } else { Json::Null };
            Ok((Json::from(text), fields))
        }
    }
}

/// The headers that are wanted.
fn headers<'a>(
    wanted: &Beside,
    all: Option<&'a impl Headers>,
) -> Result<Vec<(&'a str, Option<&'a str>)>, String> {
    let Some(all) = all.filter(|_| !wanted.headers.is_empty()) else { return Ok(Vec::new()) };
    let wanted = |header: &Header<'_, &[u8]>| wanted.headers.iter().any(|n| n == header.key);
    let text = |header: Header<'a, &'a [u8]>| match header.value.map(std::str::from_utf8) {
        Some(Err(_)) => Err(format!("the header {:?} is not UTF-8", header.key)),
        text => Ok((header.key, text.and_then(Result::ok))),
    };
    let read = || all.iter().filter(wanted).map(text).collect();
    // The client panics at a name that is not UTF-8. Nothing of ours is half done then.
    let read = catch_unwind(AssertUnwindSafe(read));
    read.unwrap_or_else(|_| Err("a header has a name that is not UTF-8".to_owned()))
}

/// What a topic knows of a record.
fn known(message: &impl Record, part: RecordPart) -> Json {
    match part {
        RecordPart::Topic => Json::from(message.topic()),
        RecordPart::Partition => Json::from(message.partition()),
        RecordPart::Offset => Json::from(message.offset()),
        RecordPart::Timestamp => {
            let at = message.timestamp().to_millis();
            let at = at.and_then(|at| jiff::Timestamp::from_millisecond(at).ok());
            at.map_or(Json::Null, |at| Json::from(at.to_string()))
        }
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::message::OwnedHeaders;

    use super::*;

    /// Headers of which the second has a name that the client can't read.
    struct Odd(OwnedHeaders);

    impl Headers for Odd {
        fn count(&self) -> usize {
            2
        }

        fn try_get(&self, index: usize) -> Option<Header<'_, &[u8]>> {
            assert_eq!(index, 0, "not UTF-8");
            self.0.try_get(index)
        }
    }

    #[test]
    fn a_name_that_the_client_cant_read_is_told() {
        let good = OwnedHeaders::new().insert(Header { key: "a", value: Some("1") });
        let beside = Beside { headers: vec!["a".to_owned()], ..Beside::default() };
        assert_eq!(headers(&beside, Some(&good)), Ok(vec![("a", Some("1"))]));
        let odd = Odd(good);
        let error = headers(&beside, Some(&odd)).unwrap_err();
        assert_eq!(error, "a header has a name that is not UTF-8");
        assert_eq!(headers(&Beside::default(), Some(&odd)), Ok(Vec::new()));
    }
}
