//! Why a person is who they are: the identifiers, links, claims and commands behind one person, and
//! the events that show them.
//!
//! [`Evidence`] follows the rules over a set of sightings as [`super::oracle`] does, but keeps what
//! led to each decision, and needs little more time than sorting takes. Identifiers that no chain
//! of shared events and commands connects have no say in each other, so that of a large history
//! those sightings are enough that are connected with the person.

mod claims;
mod clusters;
mod report;
#[cfg(test)]
mod tests;

use self::claims::Claims;
use self::clusters::Clusters;
use super::{IdentityConfig, Sighting};
use crate::model::{CommandKind, EventKey, Ident, Micros, Token};

/// All that follows from a set of sightings, with its reasons.
#[derive(Debug)]
pub struct Evidence<'a> {
    claims: Claims<'a>,
}

impl<'a> Evidence<'a> {
    /// Follows the rules over sightings, each of which has a key of its own.
    pub fn new(config: &'a IdentityConfig, sightings: &[Sighting]) -> Self {
        Self { claims: Claims::new(Clusters::new(config, sightings)) }
    }
}

/// What there is to say about one person.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Explained {
    /// The person id.
    pub person: Token,
    /// The person's identifiers, and those that occur in its events; the strongest first.
    pub identifiers: Vec<Identifier>,
    /// Links with an identifier of the person's clusters.
    pub links: Vec<Link>,
    /// Claims on and by the person's clusters, by cluster and in order.
    pub claims: Vec<Claim>,
    /// Commands that name an identifier of the person's clusters, newest first.
    pub commands: Vec<Word>,
    /// The person's events in order, among them those that count in no view.
    pub events: Vec<Belongs>,
}

/// How an identifier belongs to a person.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Part {
    /// It is in the cluster that is the person.
    Own,
    /// Its cluster belongs to the person by claims or merges, at some time at least.
    Claimed,
    /// It occurs in events of the person and belongs to nobody or somebody else.
    Seen,
}

/// Why a cluster is public: it joins nobody, and its events stay its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Public {
    /// An identifier of it is linked with more others than `degree_max`.
    Hub {
        /// The identifier.
        ident: Ident,
        /// How many others it is linked with.
        neighbours: u32,
        /// The limit.
        most: u32,
    },
    /// It is claimed by more owners than `owners_max`.
    Owners {
        /// How many clusters claim it.
        owners: u32,
        /// The limit.
        most: u32,
    },
}

/// An identifier.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identifier {
    /// The identifier.
    pub ident: Ident,
    /// How it belongs to the person.
    pub part: Part,
    /// The strongest identifier of its cluster, which stands for it.
    pub cluster: Ident,
    /// Whether and why its cluster is public.
    pub public: Option<Public>,
    /// The person id that it leads to now; see [`super::Membership`].
    pub now: Token,
    /// How many events carry it,
    pub events: u64,
    /// the first of them, and the last; none if only commands name it.
    pub seen: Option<(EventKey, EventKey)>,
}

/// Whether a link counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// Its two identifiers are of one cluster.
    Counts {
        /// Whether nothing else holds together what is on its two sides.
        only: bool,
    },
    /// It does not count, for one of the two is linked with too many others.
    Hub {
        /// That one.
        ident: Ident,
    },
    /// It does not count, for an unmerge names the two.
    Unmerged {
        /// The command.
        by: EventKey,
    },
    /// It does not count, for links would make a cluster of more than `cluster_max`.
    TooLarge {
        /// Of how many.
        members: u32,
    },
    /// It does not count, for it would bring two together that an unmerge keeps apart.
    Apart {
        /// The command.
        by: EventKey,
    },
}

/// Two identifiers of one rank that occur in the same events.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Link {
    /// The stronger of the two.
    pub x: Ident,
    /// The other.
    pub y: Ident,
    /// Whether it counts.
    pub standing: Standing,
    /// The events that carry both, in order.
    pub witnesses: Vec<EventKey>,
}

impl Link {
    /// Whether it counts.
    pub fn counts(&self) -> bool {
        matches!(self.standing, Standing::Counts { .. })
    }
}

/// Whether claims count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Holds {
    /// They do.
    Yes,
    /// An unmerge keeps the two apart.
    Unmerged {
        /// The command.
        by: EventKey,
    },
    /// The cluster belongs to its first or last owner, which is another.
    Passed,
    /// The cluster is public, or a merge gives it to another.
    Idle,
}

/// Claims of one owner on a weaker cluster that follow each other.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Claim {
    /// The strongest identifier of the weaker cluster.
    pub cluster: Ident,
    /// The strongest identifier of the owner's cluster.
    pub owner: Ident,
    /// The person whom the owner belongs to then.
    pub person: Token,
    /// Whether they count.
    pub holds: Holds,
    /// The events that show it, in order.
    pub witnesses: Vec<EventKey>,
    /// From when on the cluster belongs to the owner by them; `None`: from the beginning.
    pub from: Option<Micros>,
    /// Until when; `None`: to the end.
    pub until: Option<Micros>,
}

/// A merge or unmerge.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Word {
    /// Its two identifiers, the stronger first.
    pub pair: (Ident, Ident),
    /// What it does.
    pub kind: CommandKind,
    /// The command.
    pub key: EventKey,
    /// The later command on the same pair that counts instead.
    pub overruled_by: Option<EventKey>,
    /// The unmerge that keeps apart what it would bring together.
    pub refused_by: Option<EventKey>,
}

impl Word {
    /// Whether it counts.
    pub fn counts(&self) -> bool {
        self.overruled_by.is_none() && self.refused_by.is_none()
    }
}

/// A step from a cluster to the stronger one that it belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Through {
    /// The strongest identifier of the cluster.
    pub of: Ident,
    /// The strongest identifier of the stronger one.
    pub owner: Ident,
    /// The event that shows both, or the command that merges them.
    pub by: EventKey,
    /// Whether it is a command.
    pub merged: bool,
}

/// Why an event is a person's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Belongs {
    /// The event.
    pub key: EventKey,
    /// The identifier in it that decides: the strongest that is not public.
    pub anchor: Ident,
    /// How that one's cluster comes to the person; nothing where it is the person.
    pub through: Vec<Through>,
}
