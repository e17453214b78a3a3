//! The only copy of each event, and the facts that it makes for its person.
//!
//! Keyed by event: that an event counts, that it is shadowed and whose it is are then each one
//! look-up, and a merge of two people moves pointers. (A store by anchor cluster would give the
//! same facts, and move its entries with every cluster.)

#[cfg(test)]
mod tests;

use std::sync::Arc;

use foldhash::fast::FixedState;
use serde::{Deserialize, Serialize};

use crate::dedup::Counted;
use crate::dedup::shadow::Shadowing;
use crate::identity::{Assign, Handle};
use crate::model::{Cause, Event, EventKey};
use crate::shard::tenant;

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
type Standing = (Option<PersonRef>, Arc<Event>);

#[derive(Debug, Default)]
struct Held {
    /// The copy that counts.
    event: Option<Arc<Event>>,
    person: Option<PersonRef>,
    shadowed: bool,
    /// The fact that was emitted.
    standing: Option<Standing>,
    touched: Option<Cause>,
}

/// The events of one shard.
#[derive(Debug, Default)]
pub struct Store {
    events: std::collections::HashMap<(u64, EventKey), Held, FixedState>,
    touched: Vec<(u64, EventKey)>,
}

impl Store {
    /// No events yet.
    pub fn new() -> Self {
        Self::default()
    }

    fn touch(&mut self, key: (u64, EventKey), cause: Cause) -> &mut Held {
        let held = self.events.entry(key).or_default();
        if held.touched.is_none() {
            self.touched.push(key);
        }
        held.touched = held.touched.max(Some(cause));
        held
    }

    /// A copy begins or ceases to count.
    pub fn count(&mut self, counted: Counted) {
        let Counted { event, diff, cause } = counted;
        let held = self.touch((tenant(&event.tenant), event.key), cause);
        if diff > 0 {
            held.event = Some(event);
        } else if held.event.as_ref().is_some_and(|there| there.content == event.content) {
            held.event = None;
        }
    }

    /// An event begins or ceases to be shadowed.
    pub fn shadow(&mut self, shadowing: &Shadowing) {
        let held = self.touch((shadowing.tenant, shadowing.event), Cause::New);
        held.shadowed = shadowing.shadowed;
    }

    /// The person of an event of the tenant changed.
    pub fn assign(&mut self, tenant: u64, assign: &Assign) {
        let held = self.touch((tenant, assign.event), assign.cause);
        held.person = assign.to.map(|handle| PersonRef { tenant, handle });
    }

    /// The event of a tenant with this key, if it counts: for its message id.
    pub fn get(&self, tenant: u64, key: EventKey) -> Option<&Arc<Event>> {
        self.events.get(&(tenant, key))?.event.as_ref()
    }

    /// Emits the facts that changed.
    pub fn advance(&mut self, out: &mut Vec<Fact>) {
        for key in std::mem::take(&mut self.touched) {
            let Some(held) = self.events.get_mut(&key) else { continue };
            let cause = held.touched.take().unwrap_or_default();
            let counts = held.event.as_ref().filter(|e| !held.shadowed && e.command.is_none());
            let now: Option<Standing> = counts.map(|event| (held.person, Arc::clone(event)));
            if now != held.standing {
                let before = std::mem::replace(&mut held.standing, now.clone());
                for (standing, diff) in [(before, -1), (now, 1)] {
                    let Some((person, event)) = standing else { continue };
                    out.push(Fact { person, event, diff, cause });
                }
            }
            if held.event.is_none() && held.person.is_none() && !held.shadowed {
                self.events.remove(&key);
            }
        }
    }
}
