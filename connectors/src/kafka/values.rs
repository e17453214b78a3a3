//! What the values of records are: JSON, or what is turned into JSON as it is read.

use std::thread;
use std::time::Duration;

use operators::model::Reason;

use super::KafkaError;
use super::buffer::{Fetched, Shared};
use super::registry::{Reading, Registry, check};
use crate::avro::Schema;

/// What the values of a source's records are.
#[derive(Clone, PartialEq, Eq)]
pub enum Values {
    /// JSON.
    Json,
    /// Avro of one schema, without a frame.
    Avro(Box<Schema>),
    /// Framed as Confluent's clients do it: a zero, a schema's id in four bytes, and Avro or JSON
    /// as the registry at this URL says. Values without the zero are JSON.
    Registry(String),
}

/// A URL may hold a password.
impl std::fmt::Debug for Values {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Json => "Json",
            Self::Avro(_) => "Avro(..)",
            Self::Registry(_) => "Registry(..)",
        })
    }
}

impl Values {
    /// Those of a registry.
    ///
    /// # Errors
    /// A URL that makes no sense, and what to write instead.
    pub fn of_registry(url: &str) -> Result<Self, String> {
        check(url).map(|url| Self::Registry(url.into()))
    }
}

/// How long a registry that does not answer is left alone.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// Turns values into JSON.
pub(super) enum ValueReader {
    Json,
    Avro(Box<Schema>),
    Registry(Box<Registry>),
}

impl ValueReader {
    pub(super) fn new(values: &Values, what: &str) -> Result<Self, KafkaError> {
        Ok(match values {
            Values::Json => Self::Json,
            Values::Avro(schema) => Self::Avro(schema.clone()),
            Values::Registry(url) => Self::Registry(Registry::new(what, url)?.into()),
        })
    }

    /// Takes in a value; false if asked to stop while a registry did not answer.
    pub(super) fn take(
        &mut self,
        offset: u64,
        value: Option<&[u8]>,
        fetched: &mut Fetched,
        shared: &Shared,
    ) -> bool {
        let Some(bytes) = value.filter(|v| !v.is_empty() && v.len() < Reason::MAX_BYTES) else {
            fetched.push(offset, value);
            return true;
        };
        let (schema, body) = match self {
            Self::Json => {
                fetched.push(offset, value);
                return true;
            }
            Self::Avro(schema) => (&**schema, bytes),
            Self::Registry(registry) => {
                let [0, a, b, c, d, body @ ..] = bytes else {
                    fetched.push(offset, value);
                    return true;
                };
                match reading(registry, u32::from_be_bytes([*a, *b, *c, *d]), shared) {
                    None => return false,
                    Some(Reading::Json) => {
                        fetched.push(offset, Some(body));
                        return true;
                    }
                    Some(Reading::Not(why)) => {
                        fetched.push_wrong(offset, bytes, why);
                        return true;
                    }
                    Some(Reading::Avro(schema)) => (&**schema, body),
                }
            }
        };
        let mut text = Vec::with_capacity(bytes.len() * 2);
        match schema.json(body, &mut text) {
            Ok(()) => fetched.push(offset, Some(&text)),
            Err(wrong) => fetched.push_wrong(offset, bytes, &format!("not of its schema: {wrong}")),
        }
        true
    }
}

/// What a registry says of a schema, however long that takes; `None` if asked to stop.
fn reading<'a>(registry: &'a mut Registry, id: u32, shared: &Shared) -> Option<&'a Reading> {
    while !registry.knows(id) {
        if shared.stopped() {
            return None;
        }
        if let Err(error) = registry.learn(id) {
            shared.state().trouble = Some(error.to_string());
            thread::sleep(ASK_AGAIN);
        }
    }
    registry.known(id)
}
