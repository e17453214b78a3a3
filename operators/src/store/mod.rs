//! The only copy of each event, and the facts that it makes for its person.
//!
//! Keyed by event: that an event counts, that it is shadowed and whose it is are then each one
//! look-up, and a merge of two people moves pointers. (A store by anchor cluster would give the
//! same facts, and move its entries with every cluster.)

mod slab;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use hashbrown::HashTable;
use serde::{Deserialize, Serialize};

use crate::dedup::Counted;
use crate::dedup::shadow::Shadowing;
use crate::identity::{Assign, Handle};
use crate::model::{Cause, Event, EventKey};
use crate::shard::{place, tenant};

use self::slab::Slab;

/// A person of any tenant: what facts are sharded by.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct PersonRef {
    /// A stable hash of the tenant's name.
    pub tenant: u64,
    /// The person inside the tenant.
    pub handle: Handle,
}

/// An event that comes to or leaves a person. The event is shared, not copied.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Fact {
    /// The person; `None` for an event without identifiers, which counts in no person's rows.
    pub person: Option<PersonRef>,
    /// The event.
    pub event: Arc<Event>,
    /// +1 or -1.
    pub diff: i8,
    /// Why.
    pub cause: Cause,
}

/// What stands of an event as a fact: whose it is.
type Standing = (Option<Handle>, Arc<Event>);

/// What is known of an event: one line of memory.
#[derive(Debug)]
struct Held {
    tenant: u64,
    key: EventKey,
    /// The copy that counts.
    event: Option<Arc<Event>>,
    /// [`NOBODY`] if it has none.
    person: Handle,
    shadowed: bool,
    /// Since the last advance, and why.
    touched: Option<Cause>,
}

/// No person has this handle: they are given from 0 on.
const NOBODY: Handle = Handle::MAX;

impl Held {
    /// The fact that the event makes.
    fn standing(&self) -> Option<Standing> {
        let event = self.event.as_ref().filter(|e| !self.shadowed && e.command.is_none())?;
        Some(((self.person != NOBODY).then_some(self.person), Arc::clone(event)))
    }
}

/// Index tables: many small ones grow one after the other, where one large one would stall.
const TABLES: usize = 256;

/// The events of one shard.
#[derive(Debug)]
pub struct Store {
    index: Vec<HashTable<u32>>,
    events: Slab<Held>,
    /// What stands of events of which something has changed since.
    touched: Vec<(u32, Option<Standing>)>,
    /// Bytes of the events.
    held: usize,
}

impl Default for Store {
    fn default() -> Self {
        Self::new()
    }
}

fn hash(tenant: u64, key: EventKey) -> u64 {
    place(&(tenant, { key.id }))
}

impl Store {
    /// No events yet.
    pub fn new() -> Self {
        let index = vec![HashTable::new(); TABLES];
        Self { index, events: Slab::default(), touched: Vec::new(), held: 0 }
    }

    /// Memory that is held, in bytes, about: events with everything but their names.
    pub fn bytes(&self) -> usize {
        let index: usize = self.index.iter().map(HashTable::allocation_size).sum();
        index + self.events.bytes() + self.held
    }

    fn touch(&mut self, tenant: u64, key: EventKey, cause: Cause) -> &mut Held {
        let hash = hash(tenant, key);
        let events = &self.events;
        let is = |at: &u32| events[*at].key == key && events[*at].tenant == tenant;
        let table = &mut self.index[hash as usize % TABLES];
        let at = if let Some(at) = table.find(hash, is) {
            *at
        } else {
            let (event, person, shadowed, touched) = (None, NOBODY, false, None);
            let held = Held { tenant, key, event, person, shadowed, touched };
            let at = self.events.insert(held);
            let events = &self.events;
            let rehash = |at: &u32| self::hash(events[*at].tenant, events[*at].key);
            table.insert_unique(hash, at, rehash);
            at
        };
        let held = &mut self.events[at];
        if held.touched.is_none() {
            self.touched.push((at, held.standing()));
        }
        held.touched = held.touched.max(Some(cause));
        held
    }

    /// A copy begins or ceases to count.
    pub fn count(&mut self, counted: Counted) {
        let Counted { event, diff, cause } = counted;
        let held = self.touch(tenant(&event.tenant), event.key, cause);
        let before = held.event.as_ref().map_or(0, |event| event.bytes());
        if diff > 0 {
            held.event = Some(event);
        } else if held.event.as_ref().is_some_and(|there| there.content == event.content) {
            held.event = None;
        }
        let after = held.event.as_ref().map_or(0, |event| event.bytes());
        self.held = self.held + after - before;
    }

    /// An event begins or ceases to be shadowed.
    pub fn shadow(&mut self, shadowing: &Shadowing) {
        let held = self.touch(shadowing.tenant, shadowing.event, Cause::New);
        held.shadowed = shadowing.shadowed;
    }

    /// The person of an event of the tenant changed.
    pub fn assign(&mut self, tenant: u64, assign: &Assign) {
        self.touch(tenant, assign.event, assign.cause).person = assign.to.unwrap_or(NOBODY);
    }

    /// The event of a tenant with this key, if it counts: for its message id.
    pub fn get(&self, tenant: u64, key: EventKey) -> Option<&Arc<Event>> {
        let hash = hash(tenant, key);
        let is = |at: &u32| self.events[*at].key == key && self.events[*at].tenant == tenant;
        let at = self.index[hash as usize % TABLES].find(hash, is)?;
        self.events[*at].event.as_ref()
    }

    /// Emits the facts that changed.
    pub fn advance(&mut self, out: &mut Vec<Fact>) {
        for (at, before) in self.touched.drain(..) {
            let held = &mut self.events[at];
            let tenant = held.tenant;
            let cause = held.touched.take().unwrap_or_default();
            let now = held.standing();
            if now != before {
                for (standing, diff) in [(before, -1), (now, 1)] {
                    let Some((person, event)) = standing else { continue };
                    let person = person.map(|handle| PersonRef { tenant, handle });
                    out.push(Fact { person, event, diff, cause });
                }
            }
            if held.event.is_none() && held.person == NOBODY && !held.shadowed {
                let hash = hash(tenant, held.key);
                let table = &mut self.index[hash as usize % TABLES];
                if let Ok(entry) = table.find_entry(hash, |there| *there == at) {
                    entry.remove();
                }
                self.events.remove(at);
            }
        }
    }
}
