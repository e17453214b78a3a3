//! The canonical event in its compact form.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use thin_vec::ThinVec;

use super::{EventKind, Ident, MessageId, Micros, Properties, Token, kind};

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
#[serde(from = "Words", into = "Words")]
pub struct Matches {
    first: u64,
    /// Most jobs have few predicates: then it is empty, and one word.
    rest: ThinVec<u64>,
}

/// [`Matches`] as they are written: the words up to the last that is not empty.
type Words = SmallVec<[u64; 1]>;

impl From<Words> for Matches {
    fn from(words: Words) -> Self {
        let (first, rest) = words.split_first().unwrap_or((&0, &[]));
        Self { first: *first, rest: rest.into() }
    }
}

impl From<Matches> for Words {
    fn from(matches: Matches) -> Self {
        let none = matches.first == 0 && matches.rest.is_empty();
        let first = (!none).then_some(matches.first);
        first.into_iter().chain(matches.rest).collect()
    }
}

impl Matches {
    /// Whether predicate `index` holds.
    pub fn has(&self, index: usize) -> bool {
        let word = match (index / 64).checked_sub(1) {
            None => self.first,
            Some(place) => self.rest.get(place).copied().unwrap_or(0),
        };
        word >> (index % 64) & 1 == 1
    }

    /// Whether any predicate holds in both.
    pub fn meets(&self, other: &Self) -> bool {
        self.first & other.first != 0 || self.rest.iter().zip(&other.rest).any(|(a, b)| a & b != 0)
    }

    /// All words in one: what two have in common, these have as well.
    pub fn folded(&self) -> u64 {
        self.rest.iter().fold(self.first, |all, word| all | word)
    }

    /// Notes that predicate `index` holds.
    pub fn set(&mut self, index: usize) {
        let word = match (index / 64).checked_sub(1) {
            None => &mut self.first,
            Some(place) => {
                if self.rest.len() <= place {
                    self.rest.resize(place + 1, 0);
                }
                &mut self.rest[place]
            }
        };
        *word |= 1 << (index % 64);
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

/// What few events have: a command or a business key, never both.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Special {
    /// A merge or unmerge. Such an event counts in no view.
    Command(Box<Command>),
    /// Value of the business key, if the job names one and the record has it.
    BusinessKey(Token),
}

impl Special {
    /// What is special about an event, if anything is; a command has no business key.
    pub fn of(command: Option<Command>, business_key: Option<Token>) -> Option<Box<Self>> {
        let command = command.map(|command| Self::Command(Box::new(command)));
        command.or(business_key.map(Self::BusinessKey)).map(Box::new)
    }
}

/// One admitted record in the canonical form. Shared as `Arc<Event>` and never changed.
///
/// Its fields lie in memory in this order: with the two counts of the `Arc`, the first line of it
/// has what the store reads, and the second begins with what else a row of `events` says.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[repr(C)]
pub struct Event {
    /// Tenant, channel and name.
    #[serde(deserialize_with = "kind::read")]
    pub kind: Arc<EventKind>,
    /// Time, sequence and message id hash.
    pub key: EventKey,
    /// What most events don't have.
    pub special: Option<Box<Special>>,
    /// The message id as sent.
    pub message_id: MessageId,
    /// Which of the job's predicates the event satisfies.
    pub matches: Matches,
    /// The properties the job's views ask for, in the order of the job's property list.
    pub properties: Properties,
    /// Identifiers, distinct, strongest first: by rank, then token.
    pub idents: Idents,
    /// Where the record came from. Not content: two copies may differ in it.
    pub origin: Origin,
    /// Hash of the record's content without its origin; orders copies of the same time and
    /// sequence.
    pub content: u64,
}

impl Event {
    /// What it is known by: the number that stands for its tenant, and its key.
    pub fn id(&self) -> (u64, EventKey) {
        (self.kind.tenant_number(), self.key)
    }

    /// The merge or unmerge that it is.
    pub fn command(&self) -> Option<&Command> {
        match self.special.as_deref()? {
            Special::Command(command) => Some(command),
            Special::BusinessKey(_) => None,
        }
    }

    /// Its business key.
    pub fn business_key(&self) -> Option<Token> {
        match self.special.as_deref()? {
            Special::BusinessKey(key) => Some(*key),
            Special::Command(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// There is one for each event: with the two counts of its `Arc` it fills 192 bytes.
    #[test]
    fn an_event_is_small() {
        assert!(size_of::<Event>() <= 176);
    }

    #[test]
    fn matches_are_written_as_words() {
        for bits in [vec![], vec![3], vec![64], vec![0, 63, 64, 200]] {
            let mut matches = Matches::default();
            bits.iter().for_each(|bit| matches.set(*bit));
            assert!((0..300).all(|bit| matches.has(bit) == bits.contains(&bit)));
            let mut words = vec![0_u64; bits.last().map_or(0, |last| last / 64 + 1)];
            bits.iter().for_each(|bit| words[bit / 64] |= 1 << (bit % 64));
            let written = serde_json::to_value(&matches).unwrap();
            assert_eq!(written, serde_json::to_value(&words).unwrap());
            assert_eq!(serde_json::from_value::<Matches>(written).unwrap(), matches);
            let meets = |bit: &usize| {
                let mut one = Matches::default();
                one.set(*bit);
                one.meets(&matches) && matches.meets(&one) && one.folded() & matches.folded() != 0
            };
            assert!(bits.iter().all(meets));
        }
    }
}
