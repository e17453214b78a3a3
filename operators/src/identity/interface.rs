//! What goes into identity resolution and what comes out: the same for every engine.

use serde::{Deserialize, Serialize};

use crate::model::{Cause, Command, EventKey, Ident, Idents, Token};

/// A person inside one tenant: a stable number, never used again for another. Not ordered like
/// person ids; see [`Resolution::names`].
pub type Handle = u64;

/// What identity needs to know of an admitted event.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Sighting {
    /// An event and its identifiers: distinct, strongest first.
    Event(EventKey, Idents),
    /// A merge or unmerge command. Its order is (time, id); `seq` does not count.
    Command(EventKey, Command),
}

/// The person of an event changed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Assign {
    /// The event.
    pub event: EventKey,
    /// Its person before; `None` if it had none (or was not there).
    pub from: Option<Handle>,
    /// Its person now; `None` if it has no identifiers or is gone.
    pub to: Option<Handle>,
    /// [`Cause::New`] for a new event, or one whose person id is what it was; for others that moved
    /// [`Cause::Split`] if somebody has that id now, else [`Cause::Merge`]. Handles have no say in
    /// it: which of two people keeps its own may depend on what was before them.
    pub cause: Cause,
}

/// Where an identifier leads now: the person of the last event that carries it, or, if there is
/// none, of an event after all others.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Membership {
    /// The identifier.
    pub ident: Ident,
    /// Whose it is.
    pub person: Handle,
    /// Whether its cluster is public.
    pub public: bool,
}

/// Two people became one, or one became two.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct IdChange {
    /// Person id that events left.
    pub from: Token,
    /// Person id that they went to.
    pub to: Token,
    /// [`Cause::Merge`] when nothing is left of `from`, else [`Cause::Split`].
    pub kind: Cause,
    /// The event or command that brought it about.
    pub by: EventKey,
}

/// Everything that one epoch changed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Resolution {
    /// Events whose person changed, each event at most once.
    pub assigns: Vec<Assign>,
    /// Person ids of people that are new or whose smallest token changed; `None` for a person that
    /// has neither events nor identifiers any more. The cause is [`Cause::Split`] if somebody else
    /// has the former id now.
    pub names: Vec<(Handle, Option<Token>, Cause)>,
    /// Identifiers whose membership changed: old ones with -1, new ones with +1.
    pub memberships: Vec<(Membership, i8)>,
    /// People merged and split, for `id_changes`.
    pub changes: Vec<IdChange>,
}

impl Resolution {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.assigns.is_empty()
            && self.names.is_empty()
            && self.memberships.is_empty()
            && self.changes.is_empty()
    }
}

/// An implementation of the identity rules for one tenant.
pub trait Engine {
    /// Takes in one sighting that comes (`diff` = 1) or goes (-1). Each event key is there at most
    /// once, and only what is there goes.
    fn update(&mut self, sighting: Sighting, diff: i8);
    /// Brings everything up to date with the sightings so far and adds what changed to `out`.
    fn advance(&mut self, out: &mut Resolution);
}
