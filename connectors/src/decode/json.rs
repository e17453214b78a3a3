//! The wanted fields of a JSON record, in one pass and without building a tree.
//!
//! The wanted paths are a trie; the parser walks down it and skips every other value. What is
//! skipped is checked for structure only. Of two keys of one name in an object the last counts,
//! with all that is below it.

use std::borrow::Cow;
use std::fmt;

use operators::model::Reason;
use serde::Deserialize as _;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value as Json;

use super::raw::Raw;
use super::spec::FieldPath;

/// The trie of wanted paths; node 0 is the record.
#[derive(Clone, Debug, Default)]
pub(super) struct Trie {
    nodes: Vec<Node>,
}

/// An object of which some fields are wanted.
#[derive(Clone, Debug, Default)]
struct Node {
    keys: Vec<Key>,
    /// Index into `keys` plus 1 by [`spread`], open addressing; a power of two long.
    table: Vec<u32>,
}

/// A wanted field of an object.
#[derive(Clone, Debug)]
struct Key {
    name: Box<str>,
    /// The slot of the value itself.
    slot: Option<usize>,
    /// The node of wanted fields below it.
    node: Option<usize>,
    /// All slots below it.
    below: Vec<usize>,
}

impl Trie {
    /// The trie of slots and the paths of their values.
    pub(super) fn new(places: &[(usize, FieldPath)]) -> Self {
        let mut trie = Self { nodes: vec![Node::default()] };
        for (slot, path) in places {
            let slot = *slot;
            let Some((last, above)) = path.names().split_last() else { continue };
            let mut at = 0;
            for name in above {
                let key = trie.key(at, name);
                let node = if let Some(node) = trie.nodes[at].keys[key].node {
                    node
                } else {
                    trie.nodes.push(Node::default());
                    trie.nodes.len() - 1
                };
                let key = &mut trie.nodes[at].keys[key];
                key.node = Some(node);
                key.below.push(slot);
                at = node;
            }
            let key = trie.key(at, last);
            trie.nodes[at].keys[key].slot = Some(slot);
        }
        for node in &mut trie.nodes {
            node.index();
        }
        trie
    }

    fn key(&mut self, node: usize, name: &str) -> usize {
        let keys = &mut self.nodes[node].keys;
        keys.iter().position(|key| *key.name == *name).unwrap_or_else(|| {
            keys.push(Key { name: name.into(), slot: None, node: None, below: Vec::new() });
            keys.len() - 1
        })
    }

    /// Whether nothing is wanted.
    pub(super) fn is_empty(&self) -> bool {
        self.nodes[0].keys.is_empty()
    }

    /// Reads a record into its `slots`, which are all absent before.
    pub(super) fn read<'a>(
        &self,
        text: &'a str,
        slots: &mut [Raw<'a>],
    ) -> Result<(), serde_json::Error> {
        let mut parser = serde_json::Deserializer::from_str(text);
        let record = Record { walk: Walk { trie: self, slots }, node: 0 };
        parser.deserialize_map(record)?;
        parser.end()
    }
}

/// Mixes what tells the names of one object apart: length and three bytes.
fn spread(name: &str) -> usize {
    let bytes = name.as_bytes();
    let (first, last) = (bytes.first().map_or(0, |b| *b), bytes.last().map_or(0, |b| *b));
    let middle = bytes.get(bytes.len() / 2).map_or(0, |b| *b);
    bytes.len() ^ usize::from(first) << 2 ^ usize::from(middle) << 4 ^ usize::from(last)
}

impl Node {
    fn index(&mut self) {
        self.table = vec![0; (self.keys.len() * 4).next_power_of_two()];
        for (index, key) in self.keys.iter().enumerate() {
            let mut at = spread(&key.name) % self.table.len();
            while self.table[at] != 0 {
                at = (at + 1) % self.table.len();
            }
            self.table[at] = index as u32 + 1;
        }
    }

    #[inline]
    fn find(&self, name: &str) -> Option<&Key> {
        let mask = self.table.len() - 1;
        let mut at = spread(name) & mask;
        loop {
            let key = &self.keys[self.table[at].checked_sub(1)? as usize];
            if *key.name == *name {
                return Some(key);
            }
            at = (at + 1) & mask;
        }
    }
}

/// Where values go.
struct Walk<'t, 's, 'a> {
    trie: &'t Trie,
    slots: &'s mut [Raw<'a>],
}

impl<'a> Walk<'_, '_, 'a> {
    fn again(&mut self) -> Walk<'_, '_, 'a> {
        Walk { trie: self.trie, slots: self.slots }
    }

    fn clear(&mut self, key: &Key) {
        for &slot in &key.below {
            self.slots[slot] = Raw::Absent;
        }
    }

    fn set(&mut self, key: &Key, value: Raw<'a>) {
        if let Some(slot) = key.slot {
            self.slots[slot] = value;
        }
    }

    /// Takes what is wanted from a tree.
    fn take(&mut self, key: &Key, value: Json) {
        if let (Some(node), Json::Object(fields)) = (key.node, &value) {
            for below in &self.trie.nodes[node].keys {
                let value = fields.get(&*below.name).cloned().unwrap_or_default();
                self.take(below, value);
            }
        }
        self.set(key, Raw::from_json(value));
    }
}

/// The record, or an object in it.
struct Record<'t, 's, 'a> {
    walk: Walk<'t, 's, 'a>,
    node: usize,
}

impl<'a> Visitor<'a> for Record<'_, '_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'a>>(mut self, mut map: A) -> Result<(), A::Error> {
        let trie = self.walk.trie;
        let node = &trie.nodes[self.node];
        while let Some(key) = map.next_key_seed(Name(node))? {
            match key {
                Some(key) => map.next_value_seed(Wanted { walk: self.walk.again(), key })?,
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

/// A name in an object: `None` if it is not wanted.
struct Name<'t>(&'t Node);

impl<'a, 't> DeserializeSeed<'a> for Name<'t> {
    type Value = Option<&'t Key>;

    fn deserialize<D: Deserializer<'a>>(self, parser: D) -> Result<Self::Value, D::Error> {
        parser.deserialize_str(self)
    }
}

impl<'t> Visitor<'_> for Name<'t> {
    type Value = Option<&'t Key>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.find(name))
    }
}

/// A value that is wanted, or of which a part is.
struct Wanted<'t, 's, 'a> {
    walk: Walk<'t, 's, 'a>,
    key: &'t Key,
}

impl<'a> Wanted<'_, '_, 'a> {
    #[expect(clippy::unnecessary_wraps, reason = "what each visit of a scalar ends with")]
    fn scalar<E>(mut self, value: Raw<'a>) -> Result<(), E> {
        self.walk.clear(self.key);
        self.walk.set(self.key, value);
        Ok(())
    }
}

impl<'a> DeserializeSeed<'a> for Wanted<'_, '_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, parser: D) -> Result<(), D::Error> {
        parser.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for Wanted<'_, '_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.scalar(Raw::Absent)
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.scalar(Raw::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.scalar(Raw::Int(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.scalar(i64::try_from(value).map_or(Raw::Uint(value), Raw::Int))
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.scalar(Raw::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        self.scalar(Raw::Str(Cow::Owned(value.to_owned())))
    }

    fn visit_borrowed_str<E>(self, value: &'a str) -> Result<(), E> {
        self.scalar(Raw::Str(Cow::Borrowed(value)))
    }

    fn visit_seq<A: SeqAccess<'a>>(mut self, mut list: A) -> Result<(), A::Error> {
        self.walk.clear(self.key);
        if self.key.slot.is_none() {
            while list.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(());
        }
        let mut items = Vec::new();
        while let Some(item) = list.next_element::<Json>()? {
            items.push(item);
        }
        self.walk.set(self.key, Raw::Json(Box::new(Json::Array(items))));
        Ok(())
    }

    fn visit_map<A: MapAccess<'a>>(mut self, map: A) -> Result<(), A::Error> {
        self.walk.clear(self.key);
        match self.key.node {
            Some(node) if self.key.slot.is_none() => {
                Record { walk: self.walk, node }.visit_map(map)
            }
            _ => {
                let value = Json::deserialize(MapAccessDeserializer::new(map))?;
                self.walk.take(self.key, value);
                Ok(())
            }
        }
    }
}

/// Whether a text opens [`Reason::MAX_DEPTH`] brackets into each other, outside strings.
pub(super) fn too_deep(text: &[u8]) -> bool {
    // Hardly any record has that many brackets at all.
    if memchr::memchr2_iter(b'{', b'[', text).nth(Reason::MAX_DEPTH - 1).is_none() {
        return false;
    }
    let (mut depth, mut quoted, mut bytes) = (0_usize, false, text.iter());
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => quoted = !quoted,
            b'\\' if quoted => {
                bytes.next();
            }
            b'[' | b'{' if !quoted => {
                depth += 1;
                if depth >= Reason::MAX_DEPTH {
                    return true;
                }
            }
            b']' | b'}' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}
