//! What stands beside the value of a record of a topic: its key, its headers, and what the topic
//! knows of it.
//!
//! Whoever reads the record writes as much of it as is wanted as one JSON object, which is decoded
//! as the value is:
//!
//! ```json
//! {"whole": "u-7", "key": {"user": {"id": "u-7"}}, "headers": {"x-channel": "web"},
//!  "timestamp": "2026-01-02T03:04:05.006Z", "topic": "web", "partition": 3, "offset": 12}
//! ```

use serde_json::{Map, Value as Json};

use super::spec::{FieldPath, FieldSource, RecordPart};

const WHOLE: &str = "whole";
const KEY: &str = "key";
const HEADERS: &str = "headers";

/// What is wanted beside a record's value.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Beside {
    /// The key as a whole.
    pub whole_key: bool,
    /// Fields of the key.
    pub key_fields: bool,
    /// Headers, by name.
    pub headers: Vec<String>,
    /// What the topic knows.
    pub record: Vec<RecordPart>,
}

impl Beside {
    /// What these places need.
    pub(super) fn new(sources: &[FieldSource]) -> Self {
        let mut beside = Self::default();
        for source in sources {
            match source {
                FieldSource::Value(_) => {}
                FieldSource::Key(path) if path.names().is_empty() => beside.whole_key = true,
                FieldSource::Key(_) => beside.key_fields = true,
                FieldSource::Header(name) => beside.headers.push(name.clone()),
                FieldSource::Record(part) => beside.record.push(*part),
            }
        }
        beside
    }

    /// Whether nothing is wanted.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The object of a record with this key, as a whole and as what has fields, with these headers,
    /// of which the last of each name counts, and of which a topic knows this.
    pub fn text<'a>(
        &self,
        (whole, key): (Json, Json),
        headers: impl Iterator<Item = (&'a str, Option<&'a str>)>,
        record: impl Fn(RecordPart) -> Json,
    ) -> String {
        let headers = headers.map(|(name, value)| (name.to_owned(), Json::from(value)));
        let mut object = Map::new();
        object.insert(WHOLE.to_owned(), whole);
        object.insert(KEY.to_owned(), key);
        object.insert(HEADERS.to_owned(), Json::Object(headers.collect()));
        object.extend(self.record.iter().map(|part| (part.word().to_owned(), record(*part))));
        Json::Object(object).to_string()
    }

    /// Where in the object a place is; `None` for those in the value.
    pub(super) fn place(source: &FieldSource) -> Option<FieldPath> {
        let (first, below) = match source {
            FieldSource::Value(_) => return None,
            FieldSource::Key(path) if path.names().is_empty() => (WHOLE, &[][..]),
            FieldSource::Key(path) => (KEY, path.names()),
            FieldSource::Header(name) => (HEADERS, std::slice::from_ref(name)),
            FieldSource::Record(part) => (part.word(), &[][..]),
        };
        Some(FieldPath::parse(first).join(below))
    }
}
