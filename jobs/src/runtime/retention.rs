//! What a restart needs of topics: everything after the newest snapshot that can be used, or all
//! that was ever bound where there are no snapshots. What a topic still keeps before that is its
//! margin.

use std::collections::{BTreeMap, VecDeque};

use connectors::kafka::PartitionId;
use operators::model::{Epoch, Micros, SECOND};
use replay::history::Source;

/// Moments that are remembered at most; of more, every other one is forgotten.
const STOOD_MAX: usize = 4096;

/// Where the partitions of each source stood.
pub(super) type Positions = Vec<BTreeMap<PartitionId, u64>>;

/// Where the partitions of sources stand.
pub(super) fn positions(sources: &[Source]) -> Positions {
    let of = |source: &Source| source.topics().map(|topics| topics.positions().clone());
    sources.iter().map(|source| of(source).unwrap_or_default()).collect()
}

/// Where they stood after some epochs, about one each second. What lies between two of them counts
/// for the earlier, so a restart needs a little less than is said here.
pub(super) struct Retention {
    /// When the epoch was bound after which a restart begins.
    since: Micros,
    /// Where the partitions stood after it; `None`: where this run began with each.
    needed: Option<Positions>,
    later: VecDeque<(Epoch, Micros, Positions)>,
    /// Whether there are snapshots: else nothing moves.
    moves: bool,
}

impl Retention {
    /// The run begins after an epoch that was bound then.
    pub(super) fn new(since: Micros, moves: bool) -> Self {
        Self { since, needed: None, later: VecDeque::new(), moves }
    }

    /// An epoch is bound, after which the partitions stand so.
    pub(super) fn bound(&mut self, epoch: Epoch, now: Micros, stood: impl FnOnce() -> Positions) {
        let soon = self.later.back().is_some_and(|(_, last, _)| now - last < SECOND);
        if soon || !self.moves {
            return;
        }
        if self.later.len() >= STOOD_MAX {
            let mut kept = false;
            self.later.retain(|_| {
                kept = !kept;
                kept
            });
        }
        self.later.push_back((epoch, now, stood()));
    }

    /// A restart would begin with the snapshot at this epoch.
    pub(super) fn usable(&mut self, epoch: Epoch) {
        while self.later.front().is_some_and(|(stood, ..)| *stood <= epoch) {
            if let Some((_, since, positions)) = self.later.pop_front() {
                (self.since, self.needed) = (since, Some(positions));
            }
        }
    }

    /// When the first record was bound that a restart needs, or a little before.
    pub(super) fn since(&self) -> Micros {
        self.since
    }

    /// The offset from which on a restart reads a partition of a source; `first` if this run has
    /// found it later.
    pub(super) fn needed(&self, source: usize, partition: PartitionId, first: u64) -> u64 {
        let positions = self.needed.as_ref().and_then(|needed| needed.get(source));
        positions.and_then(|of| of.get(&partition)).copied().unwrap_or(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARTITION: PartitionId = PartitionId(3);

    fn stood(next: u64) -> impl FnOnce() -> Positions {
        move || vec![BTreeMap::new(), [(PARTITION, next)].into()]
    }

    /// What is needed moves on with the snapshot that can be used, and never past it.
    #[test]
    fn what_is_needed_follows_the_usable_snapshot() {
        let mut retention = Retention::new(5, true);
        let needed = |retention: &Retention| retention.needed(1, PARTITION, 70);
        for epoch in 1..=10 {
            retention.bound(epoch, epoch as i64 * SECOND, stood(100 * epoch));
            // Too soon after it to be told apart.
            retention.bound(epoch, epoch as i64 * SECOND + 1, stood(100 * epoch + 50));
        }
        assert_eq!((needed(&retention), retention.since()), (70, 5), "no snapshot yet");
        retention.usable(4);
        assert_eq!((needed(&retention), retention.since()), (400, 4 * SECOND));
        assert_eq!(retention.needed(1, PartitionId(9), 8), 8, "found later");
        retention.usable(3);
        assert_eq!(needed(&retention), 400);
        retention.usable(99);
        assert_eq!(needed(&retention), 1000);
    }

    /// However rare snapshots are, what is remembered is bounded, and says too little only by what
    /// was forgotten between two moments.
    #[test]
    fn memory_is_bounded() {
        let mut retention = Retention::new(0, true);
        for epoch in 1..=20_000_u64 {
            retention.bound(epoch, epoch as i64 * SECOND, stood(epoch));
            assert!(retention.later.len() <= STOOD_MAX);
        }
        retention.usable(15_000);
        let needed = retention.needed(1, PARTITION, 0);
        assert!((14_900..=15_000).contains(&needed), "{needed}");
    }

    #[test]
    fn without_snapshots_all_is_needed() {
        let mut retention = Retention::new(7, false);
        retention.bound(1, SECOND, stood(100));
        retention.usable(0);
        assert_eq!((retention.needed(1, PARTITION, 70), retention.since()), (70, 7));
    }
}
