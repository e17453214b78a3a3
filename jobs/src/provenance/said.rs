//! What is said of a person: the same for text, JSON and the picture.

use std::collections::BTreeMap;

use operators::model::Epoch;
use serde::Serialize;

/// An identifier.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
pub struct Name {
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its token.
    pub token: String,
}

/// A record.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Witness {
    /// Its message id.
    pub message_id: String,
    /// Its event time.
    pub time: String,
    /// Its source,
    pub source: String,
    /// the partition: of files the number of the file, from 0,
    pub partition: u32,
    /// the offset: in files the number of the record, from 1,
    pub offset: u64,
    /// and the file, or the topic with its partition.
    pub part: String,
}

/// An identifier that is the person's or occurs in its events.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct IdentifierSaid {
    /// Which.
    #[serde(flatten)]
    pub name: Name,
    /// Its rank.
    pub rank: u8,
    /// `own`, `claimed` (its cluster is the person's at some time) or `seen` (it is not).
    pub part: &'static str,
    /// The strongest identifier of its cluster.
    pub cluster: Name,
    /// Whether its cluster is public.
    pub public: bool,
    /// Why it is.
    pub why: Option<String>,
    /// The person id that it leads to now.
    pub person_id: String,
    /// Events that carry it, the first and the last.
    pub events: u64,
    /// The first.
    pub first: Option<Witness>,
    /// The last.
    pub last: Option<Witness>,
}

/// Two identifiers that occur in the same events.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct LinkSaid {
    /// One.
    pub x: Name,
    /// The other.
    pub y: Name,
    /// Whether it counts.
    pub counts: bool,
    /// Whether nothing else holds its two sides together.
    pub only: bool,
    /// Why it does not count.
    pub why: Option<String>,
    /// The events, in order.
    pub witnesses: Vec<Witness>,
}

/// A weaker cluster seen with a stronger one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ClaimSaid {
    /// The strongest identifier of the weaker one.
    pub cluster: Name,
    /// The strongest identifier of the stronger one.
    pub owner: Name,
    /// The person whose the owner is.
    pub person_id: String,
    /// Whether it counts.
    pub counts: bool,
    /// Why it does not.
    pub why: Option<String>,
    /// From when on the weaker one belongs to the owner by it; null: from the beginning.
    pub from: Option<String>,
    /// Until when; null: to the end.
    pub until: Option<String>,
    /// The events, in order.
    pub witnesses: Vec<Witness>,
}

/// A merge or unmerge.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct CommandSaid {
    /// `merge` or `unmerge`.
    pub kind: &'static str,
    /// One.
    pub x: Name,
    /// The other.
    pub y: Name,
    /// Whether it counts.
    pub counts: bool,
    /// Why it does not.
    pub why: Option<String>,
    /// The record.
    pub record: Witness,
}

/// A row of `id_changes`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ChangeSaid {
    /// When.
    pub epoch: Epoch,
    /// `merge` or `split`.
    pub change_type: String,
    /// The id that events left.
    pub person_id: String,
    /// The id that they have now.
    pub other_person_id: String,
    /// Why.
    pub cause: String,
    /// The message that brought it about.
    pub message_id: String,
}

/// A step of an event to its person.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ThroughSaid {
    /// The strongest identifier of a cluster.
    pub cluster: Name,
    /// The strongest identifier of the one that it belongs to.
    pub owner: Name,
    /// `claim` or `merge`.
    pub by: &'static str,
    /// The event or command.
    pub record: Witness,
}

/// An event of the person.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct EventSaid {
    /// The record.
    #[serde(flatten)]
    pub record: Witness,
    /// Its channel.
    pub channel: String,
    /// Its name.
    pub event: String,
    /// The identifier in it that decides whose it is.
    pub anchor: Name,
    /// How that one's cluster comes to the person.
    pub through: Vec<ThroughSaid>,
    /// Other records with its message id, which don't count.
    pub copies: Vec<Witness>,
}

/// The rule for a type of identifiers; what has no limit is left out.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct RuleSaid {
    /// The type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its rank.
    pub rank: u8,
    /// What else the job says of it.
    #[serde(flatten)]
    pub limits: BTreeMap<&'static str, String>,
}

/// All there is to say about a person.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct PersonSaid {
    /// The person id.
    pub person_id: String,
    /// The tenant.
    pub tenant: String,
    /// What was asked for, if that is not the person id.
    pub asked: Option<String>,
    /// As known after this epoch.
    pub upto: Epoch,
    /// Name of the job.
    pub job: String,
    /// Hash of the version of the job.
    pub version: String,
    /// Where its text is kept.
    pub file: String,
    /// Identity rules, by type.
    pub rules: Vec<RuleSaid>,
    /// Links of larger clusters don't count.
    pub cluster_max: Option<u32>,
    /// Values that are no identifiers.
    pub blocked: Vec<String>,
    /// Identifiers, strongest first.
    pub identifiers: Vec<IdentifierSaid>,
    /// Links.
    pub links: Vec<LinkSaid>,
    /// Claims.
    pub claims: Vec<ClaimSaid>,
    /// Commands, newest first.
    pub commands: Vec<CommandSaid>,
    /// Changes of ids, in order.
    pub id_changes: Vec<ChangeSaid>,
    /// Events, in order: those of the person in `events`.
    pub events: Vec<EventSaid>,
    /// Events that count in no view, for another with their business key does.
    pub shadowed: Vec<EventSaid>,
}
