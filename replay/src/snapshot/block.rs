//! A block: some thousand admitted events in few bytes.
//!
//! Texts that many events share stand once, in a dictionary of the block; events name them by
//! number. All of it is bincode, compressed with zstd.

use std::borrow::Cow;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use operators::model::{
    Command, Event, EventKey, EventKind, Idents, Matches, MessageId, Origin, Special, Token, Value,
};
use serde::{Deserialize, Serialize};

/// Level of zstd: the fastest, for what is read again is read once.
const LEVEL: i32 = 1;
/// Different texts kept to be shared between blocks at most; beyond, each block has its own.
const SHARED_MAX: usize = 1 << 20;

#[derive(Serialize, Deserialize)]
struct Block<'a> {
    #[serde(borrow)]
    texts: Vec<Cow<'a, str>>,
    events: Vec<Stored<'a>>,
}

/// An event with numbers for its texts.
#[derive(Serialize, Deserialize)]
struct Stored<'a> {
    tenant: u32,
    key: EventKey,
    message_id: Cow<'a, MessageId>,
    channel: u32,
    name: u32,
    origin: Origin,
    idents: Idents,
    command: Option<Command>,
    properties: Vec<Option<StoredValue>>,
    matches: Matches,
    business_key: Option<Token>,
    content: u64,
}

#[derive(Serialize, Deserialize)]
enum StoredValue {
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(u32),
}

/// Numbers for the texts of a block.
#[derive(Default)]
struct Texts<'a> {
    numbers: HashMap<&'a str, u32, FixedState>,
    list: Vec<Cow<'a, str>>,
}

impl<'a> Texts<'a> {
    fn number(&mut self, text: &'a str) -> u32 {
        *self.numbers.entry(text).or_insert_with(|| {
            self.list.push(Cow::Borrowed(text));
            (self.list.len() - 1) as u32
        })
    }
}

/// The bytes of a block of events: how many there are, and then what is compressed.
///
/// # Errors
///
/// What can't be encoded or compressed, which no event is.
pub fn encode(events: &[Arc<Event>]) -> Result<Vec<u8>, String> {
    let count = events.len() as u32;
    let mut texts = Texts::default();
    let stored = events.iter().map(|event| {
        let properties = event.properties.iter().map(|property| {
            Some(match property? {
                Value::Bool(value) => StoredValue::Bool(*value),
                Value::Int(value) => StoredValue::Int(*value),
                Value::Float(value) => StoredValue::Float(*value),
                Value::Str(text) => StoredValue::Text(texts.number(text)),
            })
        });
        let properties = properties.collect();
        Stored {
            tenant: texts.number(&event.kind.tenant),
            key: event.key,
            message_id: Cow::Borrowed(&event.message_id),
            channel: texts.number(&event.kind.channel),
            name: texts.number(&event.kind.name),
            origin: event.origin,
            idents: event.idents.clone(),
            command: event.command().copied(),
            properties,
            matches: event.matches.clone(),
            business_key: event.business_key(),
            content: event.content,
        }
    });
    let events: Vec<Stored<'_>> = stored.collect();
    let bytes = bincode::serialize(&Block { texts: texts.list, events });
    let bytes = bytes.map_err(|error| error.to_string())?;
    let mut block = count.to_le_bytes().to_vec();
    block.extend(zstd::bulk::compress(&bytes, LEVEL).map_err(|error| error.to_string())?);
    Ok(block)
}

/// How many events a block holds, without decoding it; 0 for what is no block.
pub fn events_in(block: &[u8]) -> u64 {
    block.first_chunk().map_or(0, |count| u64::from(u32::from_le_bytes(*count)))
}

/// Decodes blocks, and lets their events share their texts, as those of a decoder do.
#[derive(Default)]
pub struct BlockReader {
    shared: HashMap<Arc<str>, (), FixedState>,
}

impl BlockReader {
    fn share(&mut self, text: &str) -> Arc<str> {
        if let Some((text, ())) = self.shared.get_key_value(text) {
            return Arc::clone(text);
        }
        let text: Arc<str> = text.into();
        if self.shared.len() < SHARED_MAX {
            self.shared.insert(Arc::clone(&text), ());
        }
        text
    }

    /// The events of a block.
    ///
    /// # Errors
    ///
    /// Bytes that are not those of a block.
    pub fn decode(&mut self, bytes: &[u8]) -> Result<Vec<Arc<Event>>, String> {
        let bytes = bytes.get(4..).unwrap_or_default();
        let bytes = zstd::stream::decode_all(bytes).map_err(|error| error.to_string())?;
        let block: Block<'_> = bincode::deserialize(&bytes).map_err(|error| error.to_string())?;
        let texts: Vec<Arc<str>> = block.texts.iter().map(|text| self.share(text)).collect();
        let text = |number: u32| {
            let text = texts.get(number as usize).cloned();
            text.ok_or_else(|| format!("there is no text {number}"))
        };
        let event = |stored: Stored<'_>| {
            let value = |value: Option<StoredValue>| {
                Ok(match value {
                    None => None,
                    Some(StoredValue::Bool(value)) => Some(Value::Bool(value)),
                    Some(StoredValue::Int(value)) => Some(Value::Int(value)),
                    Some(StoredValue::Float(value)) => Some(Value::Float(value)),
                    Some(StoredValue::Text(number)) => Some(Value::Str(text(number)?)),
                })
            };
            let properties: Result<Vec<_>, String> =
                stored.properties.into_iter().map(value).collect();
            let [tenant, channel, name] = [stored.tenant, stored.channel, stored.name].map(text);
            Ok(Arc::new(Event {
                kind: EventKind::shared(&tenant?, &channel?, &name?),
                key: stored.key,
                message_id: stored.message_id.into_owned(),
                origin: stored.origin,
                idents: stored.idents,
                special: Special::of(stored.command, stored.business_key),
                properties: properties?.into(),
                matches: stored.matches,
                content: stored.content,
            }))
        };
        block.events.into_iter().map(event).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::event;
    use super::*;

    #[test]
    fn events_are_read_as_they_were_written() {
        let mut reader = BlockReader::default();
        for count in [0, 1, 1000] {
            let events: Vec<_> = (0..count).map(event).collect();
            let block = encode(&events).unwrap();
            let read = reader.decode(&block).unwrap();
            assert_eq!(read, events);
            assert_eq!(events_in(&block), count);
            if let [first, _, third, ..] = &read[..] {
                assert!(Arc::ptr_eq(&first.kind.tenant, &third.kind.tenant), "texts are shared");
            }
        }
    }

    /// Checksums keep such bytes away; should they not, nothing panics.
    #[test]
    fn bytes_that_are_no_block_are_refused_or_read() {
        let bytes = encode(&(0..50).map(event).collect::<Vec<_>>()).unwrap();
        let mut reader = BlockReader::default();
        for place in 0..bytes.len() {
            let mut other = bytes.clone();
            other[place] ^= 0x55;
            let _ = reader.decode(&other);
            assert!(reader.decode(&bytes[..place]).is_err());
        }
    }
}
