//! Why a row changed.

use serde::{Deserialize, Serialize};

/// Why a published row differs from what stood before.
///
/// A change that several causes share has the greatest of them in this order.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub enum Cause {
    /// New data in order: the ordinary case, published without a cause.
    #[default]
    New,
    /// An event came that is older than the watermark.
    Late,
    /// Two people were found to be one.
    Merge,
    /// One person was found to be two.
    Split,
    /// Consent was given or withdrawn.
    Consent,
    /// A person or an event was erased.
    Erase,
    /// The job changed.
    Upgrade,
}

impl Cause {
    /// All of them, in order.
    pub const ALL: [Self; 7] = [
        Self::New,
        Self::Late,
        Self::Merge,
        Self::Split,
        Self::Consent,
        Self::Erase,
        Self::Upgrade,
    ];

    /// The cause of a word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cause| cause.word() == Some(word))
    }

    /// The word in the `_cause` column; `None` for [`Cause::New`].
    pub fn word(self) -> Option<&'static str> {
        match self {
            Self::New => None,
            Self::Late => Some("late"),
            Self::Merge => Some("merge"),
            Self::Split => Some("split"),
            Self::Consent => Some("consent"),
            Self::Erase => Some("erase"),
            Self::Upgrade => Some("upgrade"),
        }
    }
}
