//! The identity part of a job: types, ranks and limits.

use crate::model::{Ident, Micros, Token};

/// No limit on a number of neighbours, owners or members.
pub const NO_LIMIT: u32 = u32::MAX;
/// No limit on a span of time.
pub const FOREVER: Micros = Micros::MAX;

/// Which owner a weak cluster belongs to when several claimed it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Own {
    /// At each moment the one last seen with it, or before the first, the first one after.
    #[default]
    Time,
    /// Always the first.
    First,
    /// Always the last.
    Last,
}

/// Which implementation of the rules runs. All give the same people.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum EngineKind {
    /// [`super::engine`]: the fast one.
    #[default]
    Incremental,
    /// [`super::differential`]: the slow reference.
    Differential,
}

/// One `[[identity.type]]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IdentityType {
    /// Name, as in the job file.
    pub name: String,
    /// 0 is the durable one (user id), then what a person gives, then what a device gives.
    pub rank: u8,
    /// An identifier linked with more others of its rank is public (a hub).
    pub degree_max: u32,
    /// A cluster claimed by more owners is public (a kiosk).
    pub owners_max: u32,
    /// How long after a claim an event may be to belong to its owner.
    pub forward: Micros,
    /// How long before a claim an event may be to belong to its owner.
    pub back: Micros,
    /// Which claim counts.
    pub own: Own,
}

impl IdentityType {
    /// A type without limits.
    pub fn new(name: &str, rank: u8) -> Self {
        Self {
            name: name.to_owned(),
            rank,
            degree_max: NO_LIMIT,
            owners_max: NO_LIMIT,
            forward: FOREVER,
            back: FOREVER,
            own: Own::Time,
        }
    }
}

/// The identity rules of a job.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IdentityConfig {
    /// The types; [`Ident::kind`] is an index into them. At most 256.
    pub types: Vec<IdentityType>,
    /// The links of a cluster with more members do not count.
    pub cluster_max: u32,
}

impl IdentityConfig {
    /// Rank of an identifier.
    pub fn rank(&self, ident: Ident) -> u8 {
        self.types[usize::from(ident.kind)].rank
    }

    /// Sort key of identifiers, strongest first. The kind only breaks a tie of equal tokens.
    pub fn strength(&self, ident: Ident) -> (u8, Token, u8) {
        (self.rank(ident), ident.token, ident.kind)
    }
}
