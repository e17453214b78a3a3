//! Moments of a run at which a test can stop it: before and after each durable step.
//!
//! Reaching a moment costs a look at a flag, and does nothing unless [`arm`] was called: the
//! `braid` command does that for a hidden option.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// A moment of a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Moment {
    /// An epoch's records are there, its binding is not.
    Binding,
    /// The binding is durable, nobody has acted on it.
    Bound,
    /// A worker has decoded a part of an epoch.
    Decoded,
    /// An epoch has been handed to the workers.
    Fed,
    /// A file of a table is written, no commit names it.
    TableFile,
    /// Just before a table's commit.
    TableCommit,
    /// Just after it.
    TableCommitted,
    /// A segment of a snapshot is written under another name.
    SnapshotPart,
    /// A snapshot's segments are there, what names them is not.
    SnapshotManifest,
    /// It is.
    SnapshotTaken,
    /// Earlier producers of a sink are fenced off.
    Fenced,
    /// A transaction has begun.
    TopicBegun,
    /// A record of it has been sent.
    TopicSent,
    /// All its records are with the brokers.
    TopicDrained,
    /// So is the progress that describes it.
    TopicProgress,
    /// It is committed.
    TopicCommitted,
}

impl Moment {
    /// All of them, in the order in which an epoch comes by.
    pub const ALL: [Self; 16] = [
        Self::Binding,
        Self::Bound,
        Self::Decoded,
        Self::Fed,
        Self::TableFile,
        Self::TableCommit,
        Self::TableCommitted,
        Self::SnapshotPart,
        Self::SnapshotManifest,
        Self::SnapshotTaken,
        Self::Fenced,
        Self::TopicBegun,
        Self::TopicSent,
        Self::TopicDrained,
        Self::TopicProgress,
        Self::TopicCommitted,
    ];

    /// Its name.
    pub fn word(self) -> &'static str {
        match self {
            Self::Binding => "binding",
            Self::Bound => "bound",
            Self::Decoded => "decoded",
            Self::Fed => "fed",
            Self::TableFile => "table-file",
            Self::TableCommit => "table-commit",
            Self::TableCommitted => "table-committed",
            Self::SnapshotPart => "snapshot-part",
            Self::SnapshotManifest => "snapshot-manifest",
            Self::SnapshotTaken => "snapshot-taken",
            Self::Fenced => "fenced",
            Self::TopicBegun => "topic-begun",
            Self::TopicSent => "topic-sent",
            Self::TopicDrained => "topic-drained",
            Self::TopicProgress => "topic-progress",
            Self::TopicCommitted => "topic-committed",
        }
    }

    /// The moment of a name.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|moment| moment.word() == word)
    }
}

struct Armed {
    moment: Moment,
    /// How often it is still to pass.
    left: AtomicU64,
    act: fn(),
}

static ARMED: OnceLock<Armed> = OnceLock::new();

/// Calls `act` when a moment comes for the `count`th time, the first being 1. Only the first call
/// of a process counts.
pub fn arm(moment: Moment, count: u64, act: fn()) {
    // A second call is left out, as said.
    let _ = ARMED.set(Armed { moment, left: AtomicU64::new(count.max(1)), act });
}

/// A moment has come.
pub fn reach(moment: Moment) {
    let Some(armed) = ARMED.get().filter(|armed| armed.moment == moment) else { return };
    let less = |left: u64| left.checked_sub(1);
    if armed.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less) == Ok(1) {
        (armed.act)();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_armed_moment_acts_once() {
        static ACTED: AtomicU64 = AtomicU64::new(0);
        // No other test of this crate comes by this one.
        arm(Moment::Fed, 2, || {
            ACTED.fetch_add(1, Ordering::Relaxed);
        });
        for (reached, acted) in [(Moment::Fed, 0), (Moment::Bound, 0), (Moment::Fed, 1)] {
            reach(reached);
            assert_eq!(ACTED.load(Ordering::Relaxed), acted);
        }
        reach(Moment::Fed);
        assert_eq!(ACTED.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn names_are_read_back() {
        for moment in Moment::ALL {
            assert_eq!(Moment::from_word(moment.word()), Some(moment));
        }
        assert_eq!(Moment::from_word("never"), None);
    }
}
