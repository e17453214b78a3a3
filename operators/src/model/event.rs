//! The canonical event in its compact form.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::{Ident, Micros, Token, Value, names};

/// The identifiers of an event: most name one or two.
pub type Idents = SmallVec<[Ident; 2]>;

/// The one order of events: time, then the sender's sequence, then the hash of the message id.
///
/// Aligned to eight bytes, as [`super::Token`] is and for the same reason.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
#[repr(Rust, packed(8))]
pub struct EventKey {
    /// Event time.
    pub time: Micros,
    /// The sender's sequence number, 0 where there is none.
    pub seq: u64,
    /// [`super::message_hash`] of the message id.
    pub id: u128,
}

impl EventKey {
    /// Below every event.
    pub const MIN: Self = Self { time: Micros::MIN, seq: 0, id: 0 };
    /// Above every event.
    pub const MAX: Self = Self { time: Micros::MAX, seq: u64::MAX, id: u128::MAX };
}

/// Where a record came from.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub struct Origin {
    /// Index of the source in the job file.
    pub source: u16,
    /// Partition of the source: for files, the index in the sorted list of files.
    pub partition: u32,
    /// Position inside the partition: for files, the record's number (line or row), from 1.
    pub offset: u64,
}

/// Which of the job's predicates an event satisfies: bit `i` is predicate `i` of the `Matcher`.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Matches(SmallVec<[u64; 1]>);

impl Matches {
    /// Whether predicate `index` holds.
    pub fn has(&self, index: usize) -> bool {
        self.0.get(index / 64).is_some_and(|word| word >> (index % 64) & 1 == 1)
    }

    /// Whether any predicate holds in both.
    pub fn meets(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).any(|(a, b)| a & b != 0)
    }

    /// All words in one: what two have in common, these have as well.
    pub fn folded(&self) -> u64 {
        self.0.iter().fold(0, |all, word| all | word)
    }

    /// Notes that predicate `index` holds.
    pub fn set(&mut self, index: usize) {
        if self.0.len() <= index / 64 {
            self.0.resize(index / 64 + 1, 0);
        }
        self.0[index / 64] |= 1 << (index % 64);
    }
}

/// What a command does to its pair of identifiers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum CommandKind {
    /// Joins the two.
    Merge,
    /// Keeps the two apart on every path.
    Unmerge,
}

/// A merge or unmerge of two identifiers. It counts until a later command on the same pair.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Command {
    /// Merge or unmerge.
    pub kind: CommandKind,
    /// One of the two, never equal to `y`.
    pub x: Ident,
    /// The other.
    pub y: Ident,
}

/// One admitted record in the canonical form. Shared as `Arc<Event>` and never changed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Event {
    /// Whose customer this is; people of different tenants never meet.
    #[serde(deserialize_with = "names::read")]
    pub tenant: Arc<str>,
    /// Time, sequence and message id hash.
    pub key: EventKey,
    /// The message id as sent.
    pub message_id: Box<str>,
    /// `web`, `mobile`, `backend`, …
    #[serde(deserialize_with = "names::read")]
    pub channel: Arc<str>,
    /// Name of the event; for Segment's `page`, `screen`, `identify` and `group` calls without a
    /// name, the type.
    #[serde(deserialize_with = "names::read")]
    pub name: Arc<str>,
    /// Where the record came from. Not content: two copies may differ in it.
    pub origin: Origin,
    /// Identifiers, distinct, strongest first: by rank, then token.
    pub idents: Idents,
    /// A merge or unmerge. Such an event counts in no view.
    pub command: Option<Box<Command>>,
    /// The properties the job's views ask for, in the order of the job's property list.
    pub properties: Box<[Option<Value>]>,
    /// Which of the job's predicates the event satisfies.
    pub matches: Matches,
    /// Value of the business key, if the job names one and the record has it.
    pub business_key: Option<Token>,
    /// Hash of the record's content without its origin; orders copies of the same time and
    /// sequence.
    pub content: u64,
}
