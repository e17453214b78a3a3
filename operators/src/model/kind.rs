//! What kind of event: names that stand in every event, of which there are few combinations.

use std::cell::RefCell;
use std::hash::BuildHasher as _;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use serde::{Deserialize, Deserializer, Serialize};

use super::names;
use crate::shard;

/// Different kinds of which one copy is kept, by each thread: those of a thousand tenants with some
/// dozens of events each. Beyond, each event has its own. About 6 MB.
const KINDS_MAX: usize = 1 << 16;

/// What events of one kind have in common.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct EventKind {
    /// Whose customer this is; people of different tenants never meet.
    pub tenant: Arc<str>,
    /// `web`, `mobile`, `backend`, …
    pub channel: Arc<str>,
    /// Name of the event; for Segment's `page`, `screen`, `identify` and `group` calls without a
    /// name, the type.
    pub name: Arc<str>,
    /// [`shard::tenant`] of the tenant.
    #[serde(skip)]
    number: u64,
}

thread_local! {
    static KINDS: RefCell<HashTable<Arc<EventKind>>> = RefCell::default();
}

impl EventKind {
    /// The shared copy of a kind, whose names are shared with other kinds as well.
    pub fn shared(tenant: &str, channel: &str, name: &str) -> Arc<Self> {
        let hash = |names: [&str; 3]| FixedState::default().hash_one(names);
        let own = [tenant, channel, name];
        KINDS.with_borrow_mut(|kinds| {
            if let Some(known) = kinds.find(hash(own), |kind| kind.names() == own) {
                return Arc::clone(known);
            }
            let [tenant, channel, name] = own.map(names::name);
            let number = shard::tenant(&tenant);
            let new = Arc::new(Self { tenant, channel, name, number });
            // When full, new ones are not kept: the first ones are most likely the frequent ones.
            if kinds.len() < KINDS_MAX && own.iter().all(|name| name.len() <= names::BYTES_MAX) {
                kinds.insert_unique(hash(own), Arc::clone(&new), |kind| hash(kind.names()));
            }
            new
        })
    }

    /// The number that stands for the tenant: [`shard::tenant`].
    pub fn tenant_number(&self) -> u64 {
        self.number
    }

    fn names(&self) -> [&str; 3] {
        [&self.tenant, &self.channel, &self.name]
    }
}

/// Reads a kind.
pub(super) fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<EventKind>, D::Error> {
    #[derive(Deserialize)]
    #[serde(rename = "EventKind")]
    struct Read {
        #[serde(deserialize_with = "names::read")]
        tenant: Arc<str>,
        #[serde(deserialize_with = "names::read")]
        channel: Arc<str>,
        #[serde(deserialize_with = "names::read")]
        name: Arc<str>,
    }

    let Read { tenant, channel, name } = Read::deserialize(deserializer)?;
    Ok(EventKind::shared(&tenant, &channel, &name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_copy_is_kept() {
        let kind = EventKind::shared("shop", "web", "cart");
        assert!(Arc::ptr_eq(&kind, &EventKind::shared("shop", "web", "cart")));
        let other = EventKind::shared("shop", "web", "purchase");
        assert!(Arc::ptr_eq(&kind.tenant, &other.tenant));
        assert_eq!(other.names(), ["shop", "web", "purchase"]);
        // Where one name ends and the next begins counts.
        assert_ne!(EventKind::shared("a", "bc", ""), EventKind::shared("ab", "c", ""));
        let json = serde_json::to_value(&*other).unwrap();
        assert!(Arc::ptr_eq(&other, &read(json).unwrap()));
        for number in 0..2 * KINDS_MAX {
            let name = number.to_string();
            assert_eq!(&*EventKind::shared("shop", "web", &name).name, name);
        }
        assert!(KINDS.with_borrow(HashTable::len) <= KINDS_MAX);
        let long = "x".repeat(names::BYTES_MAX + 1);
        assert_eq!(&*EventKind::shared(&long, "web", "cart").tenant, long);
    }
}
