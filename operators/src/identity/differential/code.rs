//! One type for every key and value.
//!
//! Differential dataflow's operators are generic over keys and values, and each combination is
//! compiled anew: the fifty of these rules take minutes. With one type for all there is one of each
//! operator; [`super::table`] keeps the tables apart that must not be mixed.

use std::cmp::Reverse;
use std::fmt::Debug;

use serde::{Deserialize, Serialize};

use super::{Cluster, Node, Order};
use crate::model::{CommandKind, EventKey, Ident, Micros};

/// An event of a tenant.
pub(super) type At = (u64, EventKey);
/// A pair, the stronger one first.
pub(super) type Pair = (Node, Node);
/// An event, and the cluster that it shows as owner.
pub(super) type Claim = (EventKey, Cluster);
/// An identifier of an event, its rank first so that it is ordered by strength, and its cluster.
pub(super) type Candidate = (u8, Node, Cluster);
/// From a key on, up to the next piece, the cluster is this person's.
pub(super) type Piece = (EventKey, Cluster);

/// The limits of a cluster: the strictest of its members' types.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub(super) struct Limits {
    /// Owners.
    pub owners_max: u32,
    /// How long after a claim.
    pub forward: Micros,
    /// How long before a claim.
    pub back: Micros,
}

/// A part of a group that an unmerge lies inside of, in the order in which the rule takes them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub(super) enum Part {
    /// An unmerge.
    Bar(Pair),
    /// A merge; the newest comes first.
    Merge(Reverse<Order>, Pair),
    /// A link.
    Link(Pair),
}

/// One thing that a cluster's timeline follows from.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub(super) enum Fact {
    /// It exists, with these limits.
    Limits(Limits),
    /// It is public.
    Public,
    /// A merge in force makes it a stronger cluster's.
    Gift(Order, Cluster),
    /// An unmerge in force keeps it apart from the person of a stronger cluster.
    Bar(Cluster),
    /// An event shows an owner.
    Claim(Claim),
    /// A piece of the timeline of a stronger cluster that one of the others names.
    Stronger(Cluster, Piece),
}

/// A timeline of several pieces and the events to look up in it, the pieces first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub(super) enum Moment {
    Piece(Piece),
    Event(EventKey),
}

/// A row of one of the tables that a report follows from.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub(super) enum Delta {
    /// The cluster of an identifier.
    Cluster(Ident, Ident),
    /// The person of an event, named by its strongest identifier.
    Person(EventKey, Ident),
    /// Where an identifier leads, and whether its cluster is public.
    Member(Ident, Ident, bool),
}

/// What has a place in [`Code`].
pub(super) trait Coded: Copy + Debug + 'static {
    /// This as a code.
    fn code(self) -> Code;
    /// The other way; `None` for a code of another type.
    fn read(code: &Code) -> Option<Self>;
}

macro_rules! codes {
    ($($name:ident($type:ty)),* $(,)?) => {
        /// A key or a value.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
        pub(super) enum Code {
            $($name($type)),*
        }

        $(impl Coded for $type {
            fn code(self) -> Code {
                Code::$name(self)
            }

            fn read(code: &Code) -> Option<Self> {
                match code {
                    Code::$name(value) => Some(*value),
                    _ => None,
                }
            }
        })*
    };
}

codes! {
    Unit(()),
    Tenant(u64),
    Kind(u8),
    Node(Node),
    Pair(Pair),
    Key(EventKey),
    At(At),
    Word((Order, CommandKind)),
    Order(Order),
    Command((Order, Pair)),
    HalfCommand((Order, Node)),
    HalfMapped((Cluster, (Order, Node))),
    Limits(Limits),
    Part(Part),
    Claim(Claim),
    Claimed((Cluster, Claim)),
    Candidate(Candidate),
    Found((bool, Candidate)),
    Able((At, (u8, Node))),
    Delta(Delta),
    Fact(Fact),
    Piece((Piece, bool)),
    Moment(Moment),
    Leads((Cluster, bool)),
}
