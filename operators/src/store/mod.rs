//! The only copy of each event, and the facts that it makes for its person.
//!
//! Keyed by event: that an event counts, that it is shadowed and whose it is are then each one
//! look-up, and a merge of two people moves pointers. (A store by anchor cluster would give the
//! same facts, and move its entries with every cluster.)

mod slab;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::dedup::Counted;
use crate::dedup::shadow::Shadowing;
use crate::identity::{Assign, Handle};
use crate::model::{Cause, Event, EventKey};
use crate::shard::place;
use crate::table::{Numbered, Parts, Place};

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

/// What is known of an event: half a line of memory, and the event itself.
#[derive(Debug)]
struct Held {
    known: Known,
    /// [`NOBODY`] if it has none.
    person: Handle,
    /// Business keys under which another event stands for it: one at most, save within an epoch in
    /// which it goes from one key to another.
    shadows: i8,
    /// Since the last advance, and why.
    touched: Option<Cause>,
}

/// The event itself.
#[derive(Debug)]
enum Known {
    /// The copy that counts.
    Copy(Arc<Event>),
    /// None counts: tenant and key.
    Key(Box<(u64, EventKey)>),
}

impl Known {
    fn key(id: (u64, EventKey)) -> Self {
        Self::Key(Box::new(id))
    }

    fn event(&self) -> Option<&Arc<Event>> {
        match self {
            Self::Copy(event) => Some(event),
            Self::Key(_) => None,
        }
    }

    /// Tenant and key of the event.
    fn id(&self) -> (u64, EventKey) {
        match self {
            Self::Copy(event) => event.id(),
            Self::Key(id) => **id,
        }
    }

    fn bytes(&self) -> usize {
        self.event().map_or(size_of::<(u64, EventKey)>(), |event| event.bytes())
    }
}

/// No person has this handle: they are given from 0 on.
const NOBODY: Handle = Handle::MAX;

impl Held {
    /// The fact that the event makes.
    fn standing(&self) -> Option<Standing> {
        let event = self.known.event()?;
        if self.shadows != 0 || event.command().is_some() {
            return None;
        }
        Some(((self.person != NOBODY).then_some(self.person), Arc::clone(event)))
    }
}

/// Events that are read ahead together.
pub const AHEAD: usize = 32;

/// The events of one shard.
#[derive(Debug, Default)]
pub struct Store {
    index: Parts<Numbered>,
    events: Slab<Held>,
    /// What stands of events of which something has changed since.
    touched: Vec<(u32, Option<Standing>)>,
    /// Bytes of the events.
    held: usize,
}

fn hash(tenant: u64, key: EventKey) -> u32 {
    (place(&(tenant, { key.id })) >> 32) as u32
}

impl Store {
    /// No events yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Memory that is held, in bytes, about: events with everything but their names.
    pub fn bytes(&self) -> usize {
        self.index.bytes() + self.events.bytes() + self.held
    }

    /// Reads what is known of some events, [`AHEAD`] at most, which is far from each other in
    /// memory, in one go. What is read does not matter, but must not be optimised away.
    pub fn read_ahead(&self, events: impl Iterator<Item = (u64, EventKey)>) {
        let hashes: SmallVec<[u32; AHEAD]> =
            events.map(|(tenant, key)| hash(tenant, key)).collect();
        let (mut read, mut sum) = (false, 0);
        for &hash in &hashes {
            read ^= self.index.touch(hash);
        }
        for &hash in &hashes {
            let found = self.index.find(hash, |_| true).ok();
            let at = found.and_then(|place| self.index.at(place)).map(Numbered::number);
            sum ^= at.map_or(0, |at| self.events[at].known.id().1.time);
        }
        std::hint::black_box((read, sum));
    }

    /// Where what is known of an event is, with its entry in the index; or where that goes.
    fn find(&self, tenant: u64, key: EventKey) -> Result<(Place, u32), Place> {
        let is = |entry: &Numbered| self.events[entry.number()].known.id() == (tenant, key);
        let place = self.index.find(hash(tenant, key), is)?;
        // There is an entry at a place that was found.
        self.index.at(place).map(|entry| (place, entry.number())).ok_or(place)
    }

    /// What is known of an event, which is about to change; `new` if nothing is.
    fn touch(
        &mut self,
        (tenant, key): (u64, EventKey),
        cause: Cause,
        new: impl FnOnce() -> Known,
    ) -> &mut Held {
        let at = match self.find(tenant, key) {
            Ok((_, at)) => {
                let held = &self.events[at];
                if held.touched.is_none() {
                    self.touched.push((at, held.standing()));
                }
                at
            }
            Err(place) => {
                let known = new();
                self.held += known.bytes();
                let held = Held { known, person: NOBODY, shadows: 0, touched: None };
                let at = self.events.insert(held);
                self.index.insert(place, Numbered::new(hash(tenant, key), at));
                self.touched.push((at, None));
                at
            }
        };
        let held = &mut self.events[at];
        held.touched = held.touched.max(Some(cause));
        held
    }

    /// A copy begins or ceases to count.
    pub fn count(&mut self, counted: Counted) {
        let Counted { event, diff, cause } = counted;
        let id = event.id();
        let copy = || Known::Copy(Arc::clone(&event));
        let new = || if diff > 0 { copy() } else { Known::key(id) };
        let held = self.touch(id, cause, new);
        let before = held.known.bytes();
        if diff > 0 {
            held.known = Known::Copy(event);
        } else if held.known.event().is_some_and(|there| there.content == event.content) {
            held.known = Known::key(id);
        }
        let after = held.known.bytes();
        self.held = self.held + after - before;
    }

    /// An event begins or ceases to be shadowed under a business key. A copy that takes the place
    /// of another may have another business key: what the two keys say comes in any order.
    pub fn shadow(&mut self, shadowing: &Shadowing) {
        let id = (shadowing.tenant, shadowing.event);
        let held = self.touch(id, Cause::New, || Known::key(id));
        held.shadows += if shadowing.shadowed { 1 } else { -1 };
    }

    /// The person of an event of the tenant changed.
    pub fn assign(&mut self, tenant: u64, assign: &Assign) {
        let id = (tenant, assign.event);
        let held = self.touch(id, assign.cause, || Known::key(id));
        held.person = assign.to.unwrap_or(NOBODY);
    }

    /// The event of a tenant with this key, if it counts: for its message id.
    pub fn get(&self, tenant: u64, key: EventKey) -> Option<&Arc<Event>> {
        let (_, at) = self.find(tenant, key).ok()?;
        self.events[at].known.event()
    }

    /// Emits the facts that changed.
    pub fn advance(&mut self, out: &mut Vec<Fact>) {
        let mut touched = std::mem::take(&mut self.touched);
        for (at, before) in touched.drain(..) {
            let held = &mut self.events[at];
            let (tenant, key) = held.known.id();
            let cause = held.touched.take().unwrap_or_default();
            let now = held.standing();
            let unknown =
                held.known.event().is_none() && held.person == NOBODY && held.shadows == 0;
            if now != before {
                for (standing, diff) in [(before, -1), (now, 1)] {
                    let Some((person, event)) = standing else { continue };
                    let person = person.map(|handle| PersonRef { tenant, handle });
                    out.push(Fact { person, event, diff, cause });
                }
            }
            if unknown && let Ok((place, at)) = self.find(tenant, key) {
                self.index.remove(place);
                self.held -= self.events[at].known.bytes();
                self.events.remove(at);
            }
        }
        self.touched = touched;
    }
}
