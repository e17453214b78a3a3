//! Business keys: of the events that report the same fact by several channels one counts in views.
//!
//! Of the events with one (tenant, business key) the one of the strongest channel counts, of
//! several there the first in the total order. The others are *shadowed*: their identifiers are
//! used, but they are nobody's facts. A shadowed event returns when the one that counts goes.

use std::collections::BTreeSet;
use std::sync::Arc;

use foldhash::fast::FixedState;
use serde::{Deserialize, Serialize};

use crate::bytes;
use crate::model::{Event, EventKey, Token};

/// An event begins (`shadowed`) or ceases to be shadowed under a business key. One that changes its
/// key may do both in one epoch, in any order: what counts is how many keys shadow it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Shadowing {
    /// Its tenant.
    pub tenant: u64,
    /// The event.
    pub event: EventKey,
    /// Whether it is shadowed under that key now.
    pub shadowed: bool,
}

#[derive(Debug, Default)]
struct Rivals {
    /// Channel strength and key: the first counts.
    events: BTreeSet<(usize, EventKey)>,
    /// What was reported as shadowed.
    shadowed: BTreeSet<EventKey>,
    touched: bool,
}

impl Rivals {
    fn bytes(&self) -> usize {
        bytes::tree(self.events.len(), size_of::<(usize, EventKey)>())
            + bytes::tree(self.shadowed.len(), size_of::<EventKey>())
    }
}

/// The business keys of one shard.
#[derive(Debug)]
pub struct Shadows {
    /// Channels, strongest first; those not named are weakest.
    strongest: Vec<Arc<str>>,
    by_key: std::collections::HashMap<(u64, Token), Rivals, FixedState>,
    touched: Vec<(u64, Token)>,
    /// Bytes of what the keys hold.
    held: usize,
}

impl Shadows {
    /// No keys yet.
    pub fn new(strongest: Vec<Arc<str>>) -> Self {
        let by_key = std::collections::HashMap::default();
        Self { strongest, by_key, touched: Vec::new(), held: 0 }
    }

    /// Memory that is held, in bytes, about.
    pub fn bytes(&self) -> usize {
        bytes::map(self.by_key.capacity(), size_of::<((u64, Token), Rivals)>()) + self.held
    }

    /// Takes in an event that begins or ceases to count; one without a business key is left alone.
    pub fn update(&mut self, event: &Event, diff: i8) {
        let Some(business_key) = event.business_key() else { return };
        let strength = self.strongest.iter().position(|c| *c == event.kind.channel);
        let entry = (strength.unwrap_or(self.strongest.len()), event.key);
        let key = (event.kind.tenant_number(), business_key);
        let rivals = self.by_key.entry(key).or_default();
        let before = rivals.bytes();
        if diff > 0 {
            rivals.events.insert(entry);
        } else {
            rivals.events.remove(&entry);
        }
        self.held = self.held + rivals.bytes() - before;
        if !rivals.touched {
            rivals.touched = true;
            self.touched.push(key);
        }
    }

    /// Decides who is shadowed, and adds what changed to `out`.
    pub fn advance(&mut self, out: &mut Vec<Shadowing>) {
        for key in std::mem::take(&mut self.touched) {
            let Some(rivals) = self.by_key.get_mut(&key) else { continue };
            rivals.touched = false;
            let now: BTreeSet<EventKey> = rivals.events.iter().skip(1).map(|e| e.1).collect();
            let mut tell = |event: EventKey, shadowed: bool| {
                out.push(Shadowing { tenant: key.0, event, shadowed });
            };
            for event in rivals.shadowed.difference(&now) {
                tell(*event, false);
            }
            for event in now.difference(&rivals.shadowed) {
                tell(*event, true);
            }
            let before = rivals.bytes();
            rivals.shadowed = now;
            self.held = self.held + rivals.bytes() - before;
            if rivals.events.is_empty() {
                self.by_key.remove(&key);
            }
        }
    }
}
