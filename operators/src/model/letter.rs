//! Records that could not be used.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Origin;

/// Why a record could not be used. The word is what tables, metrics and the summary show.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Reason {
    /// Not of the source's format: broken JSON, a CSV row with another number of fields, not UTF-8.
    Malformed,
    /// A record of a topic without a value: a tombstone, or an empty one.
    NoValue,
    /// A record of [`Reason::MAX_BYTES`] or more.
    TooLarge,
    /// Nested [`Reason::MAX_DEPTH`] deep or deeper.
    TooDeep,
    /// No message id.
    MissingMessageId,
    /// No time from which the event time follows.
    MissingTime,
    /// A time that does not have the format the job file says.
    BadTime,
    /// A field has a type that it can't have, such as an object for a message id; or there are more
    /// identifiers than an event may have.
    BadField,
    /// A merge or unmerge without two distinct identifiers of known types.
    BadCommand,
    /// Older than the watermark less `admit`.
    TooLate,
    /// More than `future` ahead of its receive time.
    TooEarly,
}

impl Reason {
    /// A record of this many bytes is refused.
    pub const MAX_BYTES: usize = 1_000_000;
    /// A record nested this deep is refused.
    pub const MAX_DEPTH: usize = 100;
    /// Every reason, in the order of the summary.
    pub const ALL: [Self; 11] = [
        Self::Malformed,
        Self::NoValue,
        Self::TooLarge,
        Self::TooDeep,
        Self::MissingMessageId,
        Self::MissingTime,
        Self::BadTime,
        Self::BadField,
        Self::BadCommand,
        Self::TooLate,
        Self::TooEarly,
    ];

    /// The word in the `reason` column.
    pub fn word(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::NoValue => "no_value",
            Self::TooLarge => "too_large",
            Self::TooDeep => "too_deep",
            Self::MissingMessageId => "missing_message_id",
            Self::MissingTime => "missing_time",
            Self::BadTime => "bad_time",
            Self::BadField => "bad_field",
            Self::BadCommand => "bad_command",
            Self::TooLate => "too_late",
            Self::TooEarly => "too_early",
        }
    }
}

/// A record that could not be used: nothing is lost, and the run goes on.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The record's tenant where it could be read, else the job's default tenant.
    pub tenant: Arc<str>,
    /// Where the record came from.
    pub origin: Origin,
    /// Why it could not be used.
    pub reason: Reason,
    /// What exactly is wrong, for a person.
    pub detail: Box<str>,
    /// The record's bytes as read (for Parquet, the row as JSON).
    pub payload: Box<[u8]>,
}
