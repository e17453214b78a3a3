//! How long it took: exact sums, medians and a histogram that forget what is taken back.

use super::multiset::Multiset;
use crate::model::{Micros, SECOND};

/// Where the bins of a histogram begin, in seconds; the last has no end. Fixed, so that a bin
/// changes only with what is in it.
pub const EDGES_S: [i64; 25] = [
    0, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14_400, 28_800, 43_200,
    86_400, 172_800, 345_600, 604_800, 1_209_600, 2_592_000, 7_776_000,
];

/// The bin of a span of time.
pub fn bin(took: Micros) -> usize {
    EDGES_S.partition_point(|edge| edge * SECOND <= took).saturating_sub(1)
}

/// A multiset of spans of time.
#[derive(Clone, Debug, Default)]
pub(super) struct Times {
    count: i64,
    sum_us: i128,
    spans_us: Multiset,
    bins: [i64; EDGES_S.len()],
}

impl Times {
    /// Memory that it refers to, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.spans_us.bytes()
    }

    /// Adds a span `diff` times, or takes it out.
    pub(super) fn add(&mut self, took: Micros, diff: i64) {
        self.count += diff;
        self.sum_us += i128::from(took) * i128::from(diff);
        self.spans_us.add(took, diff);
        self.bins[bin(took)] += diff;
    }

    /// Adds all spans of another `sign` times.
    pub(super) fn merge(&mut self, other: &Self, sign: i64) {
        self.count += other.count * sign;
        self.sum_us += other.sum_us * i128::from(sign);
        for (took, times) in other.spans_us.iter() {
            self.spans_us.add(took, times as i64 * sign);
        }
        for (bin, more) in self.bins.iter_mut().zip(other.bins) {
            *bin += more * sign;
        }
    }

    /// The mean in seconds.
    pub(super) fn average_s(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum_us as f64 / 1e6 / self.count as f64)
    }

    /// The median in seconds.
    pub(super) fn median_s(&self) -> Option<f64> {
        self.spans_us.median().map(|us| us / 1e6)
    }

    /// The bins that hold something, by number.
    pub(super) fn bins(&self) -> impl Iterator<Item = (usize, i64)> {
        self.bins.iter().copied().enumerate().filter(|(_, count)| *count != 0)
    }
}
