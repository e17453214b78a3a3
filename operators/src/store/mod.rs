//! The only copy of each event, and the facts that it makes for its person.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::identity::Handle;
use crate::model::{Cause, Event};

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
