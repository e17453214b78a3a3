//! A multiset of numbers that gives its median without a walk over all of them.

use crate::bytes;

/// Different values in a chunk at most.
const CHUNK: usize = 256;

/// A sorted multiset in chunks, each with its total.
#[derive(Clone, Debug, Default)]
pub(super) struct Multiset {
    chunks: Vec<(u64, Vec<(i64, u64)>)>,
    total: u64,
}

impl Multiset {
    /// Memory that it takes, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let values: usize = self.chunks.iter().map(|(_, values)| bytes::list(values)).sum();
        bytes::list(&self.chunks) + values
    }

    /// Adds a value `diff` times, or takes it out. What was never added can't be taken out.
    pub(super) fn add(&mut self, value: i64, diff: i64) {
        let last_below = |chunk: &(u64, Vec<(i64, u64)>)| {
            chunk.1.last().is_some_and(|(largest, _)| *largest < value)
        };
        let mut at = self.chunks.partition_point(last_below);
        if at == self.chunks.len() {
            if at == 0 {
                self.chunks.push((0, Vec::new()));
            } else {
                at -= 1;
            }
        }
        let (total, values) = &mut self.chunks[at];
        let place = values.partition_point(|(v, _)| *v < value);
        if values.get(place).is_none_or(|(v, _)| *v != value) {
            values.insert(place, (value, 0));
        }
        let times = &mut values[place].1;
        *times = times.saturating_add_signed(diff);
        *total = total.saturating_add_signed(diff);
        self.total = self.total.saturating_add_signed(diff);
        if *times == 0 {
            values.remove(place);
        }
        if values.is_empty() {
            self.chunks.remove(at);
        } else if values.len() > CHUNK {
            let tail = values.split_off(CHUNK / 2);
            let moved: u64 = tail.iter().map(|(_, times)| times).sum();
            self.chunks[at].0 -= moved;
            self.chunks.insert(at + 1, (moved, tail));
        }
    }

    /// The values in order, each with how often it is there.
    pub(super) fn iter(&self) -> impl Iterator<Item = (i64, u64)> {
        self.chunks.iter().flat_map(|(_, values)| values.iter().copied())
    }

    /// The value at a place in order, from 0.
    fn nth(&self, mut place: u64) -> Option<i64> {
        for (total, values) in &self.chunks {
            if place >= *total {
                place -= total;
                continue;
            }
            for (value, times) in values {
                if place < *times {
                    return Some(*value);
                }
                place -= times;
            }
        }
        None
    }

    /// The middle value; of an even number the mean of the two in the middle.
    pub(super) fn median(&self) -> Option<f64> {
        let high = self.nth(self.total / 2)?;
        if self.total % 2 == 1 {
            return Some(high as f64);
        }
        let low = self.nth((self.total / 2).checked_sub(1)?)?;
        Some((i128::from(low) + i128::from(high)) as f64 / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::testing::Seeded;

    #[test]
    fn median_is_that_of_the_sorted_list() {
        let mut random = Seeded(3);
        let mut set = Multiset::default();
        let mut list: Vec<i64> = Vec::new();
        for step in 0..6_000u64 {
            if random.below(6_000) > step || list.is_empty() {
                let value = random.below(2_000) as i64;
                set.add(value, 1);
                list.insert(list.partition_point(|v| *v < value), value);
            } else {
                let gone = list.remove(random.below(list.len() as u64) as usize);
                set.add(gone, -1);
            }
            let middle = list.len() / 2;
            let expected = match list.len() {
                0 => None,
                n if n % 2 == 1 => Some(list[middle] as f64),
                _ => Some((list[middle - 1] + list[middle]) as f64 / 2.0),
            };
            assert_eq!(set.median(), expected);
        }
    }
}
