//! How far event time is complete.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::Micros;

/// What is in order of event time by itself, but for the allowed disorder: a source whose records
/// come one after the other, or one partition of a source whose partitions are read side by side.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub struct Lane {
    /// Index of the source.
    pub source: u16,
    /// The partition; 0 where the source has one lane only.
    pub partition: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
struct Seen {
    largest: Option<Micros>,
    quiet: bool,
}

/// The watermark: the smallest over the lanes that are not quiet of the largest event time seen
/// less the disorder. When all are quiet, the largest over all. It never goes back.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Watermark {
    disorder: Micros,
    lanes: BTreeMap<Lane, Seen>,
    current: Micros,
}

impl Watermark {
    /// A watermark of which no lane is known yet. One appears when it is first observed: a source
    /// that is added to a job later holds up nothing of what was before.
    pub fn new(disorder: Micros) -> Self {
        Self { disorder, lanes: BTreeMap::new(), current: Micros::MIN }
    }

    /// The watermark after the last advance.
    pub fn current(&self) -> Micros {
        self.current
    }

    /// Notes the largest event time of some records of a lane, and whether it is quiet from now on:
    /// at its end, or idle; `None` for as before. A lane not heard of before is not quiet.
    pub fn observe(&mut self, lane: Lane, largest: Option<Micros>, quiet: Option<bool>) {
        let entry = self.lanes.entry(lane).or_default();
        entry.largest = entry.largest.max(largest);
        entry.quiet = quiet.unwrap_or(entry.quiet);
    }

    /// The watermark after everything observed so far.
    pub fn advance(&mut self) -> Micros {
        let behind = |s: &Seen| s.largest.map_or(Micros::MIN, |t| t.saturating_sub(self.disorder));
        let open = self.lanes.values().filter(|s| !s.quiet).map(behind).min();
        let now = open.or_else(|| self.lanes.values().map(behind).max());
        self.current = self.current.max(now.unwrap_or(Micros::MIN));
        self.current
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(source: u16, partition: u32) -> Lane {
        Lane { source, partition }
    }

    #[test]
    fn it_is_the_slowest_source_that_is_not_at_its_end() {
        let mut watermark = Watermark::new(10);
        assert_eq!(watermark.advance(), Micros::MIN);
        watermark.observe(lane(0, 0), Some(100), None);
        watermark.observe(lane(1, 0), None, Some(false));
        assert_eq!(watermark.advance(), Micros::MIN);
        watermark.observe(lane(1, 0), Some(50), None);
        assert_eq!(watermark.advance(), 40);
        watermark.observe(lane(1, 0), Some(45), Some(true));
        assert_eq!(watermark.advance(), 90);
        watermark.observe(lane(0, 0), None, Some(true));
        assert_eq!(watermark.advance(), 90);
    }

    #[test]
    fn it_never_goes_back_when_a_lane_appears() {
        let mut watermark = Watermark::new(0);
        watermark.observe(lane(0, 0), Some(100), None);
        assert_eq!(watermark.advance(), 100);
        watermark.observe(lane(0, 1), Some(10), None);
        assert_eq!(watermark.advance(), 100);
        watermark.observe(lane(0, 0), Some(200), None);
        assert_eq!(watermark.advance(), 100);
        watermark.observe(lane(0, 1), Some(150), None);
        assert_eq!(watermark.advance(), 150);
    }

    #[test]
    fn an_idle_partition_holds_nothing_up_until_it_goes_on() {
        let mut watermark = Watermark::new(0);
        watermark.observe(lane(0, 0), Some(100), None);
        watermark.observe(lane(0, 1), Some(20), Some(true));
        assert_eq!(watermark.advance(), 100);
        watermark.observe(lane(0, 1), Some(30), Some(false));
        watermark.observe(lane(0, 0), Some(300), None);
        assert_eq!(watermark.advance(), 100);
        watermark.observe(lane(0, 1), None, Some(true));
        assert_eq!(watermark.advance(), 300);
    }
}
