//! Rows with many cells, as what they are made of: one allocation instead of one for each list, and
//! what stands in a person's state is shared with the rows that show it.

use std::cell::RefCell;
use std::hash::BuildHasher as _;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use serde::{Deserialize, Serialize};

use super::{Cell, CellRef, EventKey, Micros, Token, names};

/// A session of a person: what is kept of it, and a row of `sessions` but for whose it is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Session {
    /// Its first event.
    pub first: EventKey,
    /// Time of its last event.
    pub end: Micros,
    /// The smallest message id hash.
    pub id: Token,
    /// Number of events.
    pub events: u64,
    /// The texts in it: the same in many sessions.
    pub texts: Arc<Texts>,
}

/// The texts of a session.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Texts {
    /// The tenant.
    #[serde(deserialize_with = "names::read")]
    pub tenant: Arc<str>,
    /// The channels, sorted.
    pub channels: Arc<[Cell]>,
    /// Name of the first event.
    #[serde(deserialize_with = "names::read")]
    pub entry: Arc<str>,
    /// Name of the last event.
    #[serde(deserialize_with = "names::read")]
    pub exit: Arc<str>,
}

impl Session {
    /// Number of columns of `sessions`.
    pub(super) const COLUMNS: usize = 10;

    /// The value in a column, for this person.
    pub(super) fn cell(&self, column: usize, person: Token) -> CellRef<'_> {
        match column {
            0 => CellRef::Str(&self.texts.tenant),
            1 => CellRef::Id(self.id),
            2 => CellRef::Id(person),
            3 => CellRef::Time(self.first.time),
            4 => CellRef::Time(self.end),
            5 => CellRef::float(self.end.saturating_sub(self.first.time) as f64 / 1e6),
            6 => CellRef::Int(self.events as i64),
            7 => CellRef::List(&self.texts.channels),
            8 => CellRef::Str(&self.texts.entry),
            9 => CellRef::Str(&self.texts.exit),
            _ => CellRef::Null,
        }
    }
}

impl Texts {
    /// The shared copy of these texts. They are told apart by where they lie: texts that come again
    /// and again are shared themselves, and what is kept here can't go.
    pub(crate) fn shared(self) -> Arc<Self> {
        let at = |texts: &Self| {
            let names = [&texts.tenant, &texts.entry, &texts.exit];
            (names.map(|text| Arc::as_ptr(text).addr()), Arc::as_ptr(&texts.channels).addr())
        };
        let own = at(&self);
        let hash = |texts: &Arc<Self>| FixedState::default().hash_one(at(texts));
        TEXTS.with_borrow_mut(|kept| {
            let place = FixedState::default().hash_one(own);
            if let Some(known) = kept.find(place, |texts| at(texts) == own) {
                return Arc::clone(known);
            }
            let new = Arc::new(self);
            if kept.len() < TEXTS_MAX {
                kept.insert_unique(place, Arc::clone(&new), hash);
            }
            new
        })
    }
}

/// A row of `people`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Overview {
    /// The tenant.
    #[serde(deserialize_with = "names::read")]
    pub tenant: Arc<str>,
    /// Person id.
    pub person: Token,
    /// Time of the first event.
    pub first: Micros,
    /// Time of the last event.
    pub last: Micros,
    /// Number of events.
    pub events: u64,
    /// The channels, sorted.
    pub channels: Arc<[Cell]>,
    /// Whether it is no person.
    pub machine: bool,
}

impl Overview {
    /// Number of columns of `people`.
    pub(super) const COLUMNS: usize = 7;

    /// The value in a column.
    pub(super) fn cell(&self, column: usize) -> CellRef<'_> {
        match column {
            0 => CellRef::Str(&self.tenant),
            1 => CellRef::Id(self.person),
            2 => CellRef::Time(self.first),
            3 => CellRef::Time(self.last),
            4 => CellRef::Int(self.events as i64),
            5 => CellRef::List(&self.channels),
            6 => CellRef::Bool(self.machine),
            _ => CellRef::Null,
        }
    }
}

/// Different lists of texts of which one copy is kept, by each thread: there are few channels.
const LISTS_MAX: usize = 64;

/// Different texts of sessions of which one copy is kept, by each thread: a dozen names of events
/// make a thousand.
const TEXTS_MAX: usize = 8192;

thread_local! {
    static TEXTS: RefCell<HashTable<Arc<Texts>>> = RefCell::default();
    static LISTS: RefCell<Vec<Arc<[Cell]>>> = const { RefCell::new(Vec::new()) };
}

/// A list of texts as cells, for lists that come again and again.
pub(crate) fn list<'a>(texts: &(impl Iterator<Item = &'a Arc<str>> + Clone)) -> Arc<[Cell]> {
    let is = |list: &Arc<[Cell]>| {
        let mut cells = list.iter();
        let same = |text: &Arc<str>| {
            let cell = cells.next();
            matches!(cell, Some(Cell::Str(there)) if Arc::ptr_eq(there, text) || there == text)
        };
        texts.clone().all(same) && cells.next().is_none()
    };
    LISTS.with_borrow_mut(|lists| {
        if let Some(known) = lists.iter().position(is) {
            return Arc::clone(&lists[known]);
        }
        let new: Arc<[Cell]> = texts.clone().cloned().map(Cell::Str).collect();
        if lists.len() < LISTS_MAX {
            lists.push(Arc::clone(&new));
        }
        new
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_what_was_asked_for() {
        let texts: Vec<Arc<str>> = (0..2 * LISTS_MAX).map(|n| n.to_string().into()).collect();
        for from in [0, LISTS_MAX, 0] {
            for to in from..texts.len() {
                let cells: Vec<Cell> = texts[from..to].iter().cloned().map(Cell::Str).collect();
                assert_eq!(*list(&texts[from..to].iter()), *cells);
            }
        }
        assert!(Arc::ptr_eq(&list(&texts[..1].iter()), &list(&texts[..1].iter())));
        assert!(LISTS.with_borrow(Vec::len) <= LISTS_MAX);
    }

    #[test]
    fn shared_texts_are_what_was_asked_for() {
        let names: Vec<Arc<str>> = (0..100).map(|n| n.to_string().into()).collect();
        let texts = |entry: usize, exit: usize| Texts {
            tenant: Arc::clone(&names[0]),
            channels: list(&names[..exit % 3].iter()),
            entry: Arc::clone(&names[entry]),
            exit: Arc::clone(&names[exit]),
        };
        for (entry, exit) in (0..100).flat_map(|n| (0..100).map(move |m| (n, m))) {
            assert_eq!(*texts(entry, exit).shared(), texts(entry, exit));
        }
        assert!(Arc::ptr_eq(&texts(1, 2).shared(), &texts(1, 2).shared()));
        assert!(TEXTS.with_borrow(HashTable::len) <= TEXTS_MAX);
    }
}
