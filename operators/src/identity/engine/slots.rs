//! Lists of events in the total order.

use thin_vec::ThinVec;

use super::events::Events;
use crate::model::EventKey;

/// Index of a node (an identifier).
pub(super) type Node = u32;
/// Index of an event.
pub(super) type Slot = u32;
/// Index of a cluster.
pub(super) type ClusterId = u32;
/// No cluster.
pub(super) const NOBODY: ClusterId = u32::MAX;

/// Chunks hold at most this many slots, so that an insertion in the middle moves 2 KiB at most.
const CHUNK: usize = 512;

/// Events in the total order: in place, in one vector for most, in chunks for the long ones.
#[derive(Debug)]
pub(super) enum SlotList {
    /// How many of the slots are taken, and the slots.
    Few(u8, [Slot; FEW]),
    Small(ThinVec<Slot>),
    Large(Box<Large>),
}

/// Slots that need no memory of their own.
const FEW: usize = 3;

/// No chunk is empty, and there is at least one.
#[derive(Debug)]
pub(super) struct Large {
    chunks: Vec<Vec<Slot>>,
    len: usize,
}

impl Default for SlotList {
    fn default() -> Self {
        Self::Few(0, [0; FEW])
    }
}

impl SlotList {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Few(len, _) => usize::from(*len),
            Self::Small(list) => list.len(),
            Self::Large(large) => large.len,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The slots as one or as several slices.
    fn parts(&self) -> (&[Slot], &[Vec<Slot>]) {
        match self {
            Self::Few(len, slots) => (&slots[..usize::from(*len)], &[]),
            Self::Small(list) => (list, &[]),
            Self::Large(large) => (&[], &large.chunks),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Slot> + '_ {
        let (small, large) = self.parts();
        small.iter().chain(large.iter().flatten()).copied()
    }

    pub(super) fn first(&self) -> Option<Slot> {
        let (small, large) = self.parts();
        small.first().or_else(|| large.first()?.first()).copied()
    }

    pub(super) fn last(&self) -> Option<Slot> {
        let (small, large) = self.parts();
        small.last().or_else(|| large.last()?.last()).copied()
    }

    /// Chunk and place of the first event at or after `key`; may be one past the end of a chunk.
    fn locate(&self, events: &Events, key: EventKey) -> (usize, usize) {
        let place = |list: &[Slot]| {
            // Most events come at the end.
            if list.last().is_none_or(|&s| events.key(s) < key) {
                return list.len();
            }
            before(list.len(), |place| list[place], events, key)
        };
        match self.parts() {
            (small, []) => (0, place(small)),
            (_, chunks) => {
                // No chunk is empty.
                let last = |chunk: usize| chunks[chunk].last().copied().unwrap_or_default();
                let chunk = before(chunks.len(), last, events, key).min(chunks.len() - 1);
                (chunk, place(&chunks[chunk]))
            }
        }
    }

    /// Adds an event that is after all others.
    pub(super) fn push(&mut self, slot: Slot) {
        match self {
            Self::Large(large) => {
                let place = large.chunks.last().map_or(0, Vec::len);
                large.insert(large.chunks.len() - 1, place, slot);
            }
            _ => self.put(self.len(), slot),
        }
    }

    /// Adds an event to a list that is not large.
    fn put(&mut self, place: usize, slot: Slot) {
        match self {
            Self::Few(len, slots) if usize::from(*len) < FEW => {
                let taken = usize::from(*len);
                slots.copy_within(place..taken, place + 1);
                slots[place] = slot;
                *len += 1;
            }
            Self::Few(_, slots) => {
                let mut list: ThinVec<Slot> = slots.iter().copied().collect();
                list.insert(place, slot);
                *self = Self::Small(list);
            }
            Self::Small(list) => {
                list.insert(place, slot);
                if list.len() > CHUNK {
                    let (head, tail) = list.split_at(CHUNK / 2);
                    let chunks = vec![head.to_vec(), tail.to_vec()];
                    *self = Self::Large(Box::new(Large { chunks, len: CHUNK + 1 }));
                }
            }
            Self::Large(_) => {}
        }
    }

    /// Adds an event; false if it is there already.
    pub(super) fn insert(&mut self, events: &Events, slot: Slot) -> bool {
        let (chunk, place) = self.locate(events, events.key(slot));
        if self.at(chunk, place) == Some(slot) {
            return false;
        }
        match self {
            Self::Large(large) => large.insert(chunk, place, slot),
            _ => self.put(place, slot),
        }
        true
    }

    /// Takes an event out; false if it is not there.
    pub(super) fn remove(&mut self, events: &Events, slot: Slot) -> bool {
        let (chunk, place) = self.locate(events, events.key(slot));
        if self.at(chunk, place) != Some(slot) {
            return false;
        }
        match self {
            Self::Few(len, slots) => {
                slots.copy_within(place + 1..usize::from(*len), place);
                *len -= 1;
            }
            Self::Small(list) => {
                list.remove(place);
                if list.is_empty() {
                    *self = Self::default();
                }
            }
            Self::Large(large) => {
                large.remove(chunk, place);
                if large.len <= CHUNK / 2 {
                    *self = Self::Small(large.chunks.iter().flatten().copied().collect());
                }
            }
        }
        true
    }

    fn at(&self, chunk: usize, place: usize) -> Option<Slot> {
        match self.parts() {
            (small, []) => small.get(place).copied(),
            (_, chunks) => chunks[chunk]
                .get(place)
                .or_else(|| chunks.get(chunk + 1).and_then(|next| next.first()))
                .copied(),
        }
    }

    fn back(&self, chunk: usize, place: usize) -> Option<Slot> {
        match (self.parts(), place.checked_sub(1)) {
            ((small, []), before) => before.map(|p| small[p]),
            ((_, chunks), Some(p)) => Some(chunks[chunk][p]),
            ((_, chunks), None) => chunk.checked_sub(1).and_then(|c| chunks[c].last()).copied(),
        }
    }

    /// The event with this key.
    pub(super) fn find(&self, events: &Events, key: EventKey) -> Option<Slot> {
        let (chunk, place) = self.locate(events, key);
        self.at(chunk, place).filter(|&s| events.key(s) == key)
    }

    /// The events next to `key` on both sides, itself left out.
    pub(super) fn around(&self, events: &Events, key: EventKey) -> (Option<Slot>, Option<Slot>) {
        let (chunk, place) = self.locate(events, key);
        let next = match self.at(chunk, place) {
            Some(slot) if events.key(slot) == key => {
                let past = match self.parts() {
                    (_, chunks) if chunks.get(chunk).is_some_and(|c| place == c.len()) => {
                        (chunk + 1, 1)
                    }
                    _ => (chunk, place + 1),
                };
                self.at(past.0, past.1)
            }
            other => other,
        };
        (self.back(chunk, place), next)
    }

    /// The last event at or before `key`, and the first one after.
    pub(super) fn beside(&self, events: &Events, key: EventKey) -> (Option<Slot>, Option<Slot>) {
        let (before, after) = self.around(events, key);
        (self.find(events, key).or(before), after)
    }

    /// Calls `visit` for every event from `low` to `high`, both included.
    pub(super) fn between(
        &self,
        events: &Events,
        low: EventKey,
        high: EventKey,
        mut visit: impl FnMut(Slot),
    ) {
        let (chunk, place) = self.locate(events, low);
        let mut run = |list: &[Slot]| {
            for &slot in list {
                if events.key(slot) > high {
                    return false;
                }
                visit(slot);
            }
            true
        };
        match self.parts() {
            (small, []) => {
                run(&small[place..]);
            }
            (_, chunks) => {
                if run(&chunks[chunk][place..]) {
                    let _all_or_stopped = chunks[chunk + 1..].iter().all(|list| run(list));
                }
            }
        }
    }
}

/// Keys that are read at once.
const AT_ONCE: usize = 16;

/// How many of `count` events in the total order are before `key`.
///
/// Their keys are far from each other in memory. So several are read at once, instead of one after
/// the other as a search by halves would; of a short list all.
fn before(count: usize, at: impl Fn(usize) -> Slot, events: &Events, key: EventKey) -> usize {
    let is_before = |place: usize| usize::from(events.key(at(place)) < key);
    let (mut low, mut high) = (0, count);
    while high - low > AT_ONCE {
        let step = (high - low) / AT_ONCE;
        let passed = (1..AT_ONCE).map(|end| is_before(low + end * step - 1)).sum::<usize>();
        low += passed * step;
        if passed < AT_ONCE - 1 {
            high = low + step - 1;
        }
    }
    low + (low..high).map(is_before).sum::<usize>()
}

impl Large {
    fn insert(&mut self, chunk: usize, place: usize, slot: Slot) {
        let list = &mut self.chunks[chunk];
        list.insert(place, slot);
        self.len += 1;
        if list.len() > CHUNK {
            // A list that grows at its end leaves full chunks behind.
            let at = if place + 1 == list.len() { CHUNK } else { CHUNK / 2 };
            let tail = list.split_off(at);
            self.chunks.insert(chunk + 1, tail);
        }
    }

    fn remove(&mut self, chunk: usize, place: usize) {
        let list = &mut self.chunks[chunk];
        list.remove(place);
        self.len -= 1;
        if list.is_empty() {
            self.chunks.remove(chunk);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every operation agrees with a sorted vector, through growth to many chunks and back.
    #[test]
    fn agrees_with_a_sorted_vector() {
        assert_eq!(size_of::<SlotList>(), 16);
        let mut events = Events::default();
        let key = |time: i64| EventKey { time, seq: 0, id: 0 };
        let count = 3_000i64;
        let slots: Vec<Slot> = (0..count).map(|i| events.add(key(i * 2), &[])).collect();
        let mut list = SlotList::default();
        let mut naive: Vec<Slot> = Vec::new();
        let check = |list: &SlotList, naive: &[Slot], events: &Events, probe: i64| {
            let k = key(probe);
            let before = naive.iter().rev().find(|&&s| events.key(s) < k).copied();
            let after = naive.iter().find(|&&s| events.key(s) > k).copied();
            let equal = naive.iter().find(|&&s| events.key(s) == k).copied();
            assert_eq!(list.around(events, k), (before, after));
            assert_eq!(list.beside(events, k), (equal.or(before), after));
            assert_eq!(list.find(events, k), equal);
            assert_eq!(
                (list.first(), list.last()),
                (naive.first().copied(), naive.last().copied())
            );
            let mut range = Vec::new();
            list.between(events, k, key(probe + 700), |s| range.push(s));
            let expected: Vec<Slot> = naive
                .iter()
                .copied()
                .filter(|&s| events.key(s) >= k && events.key(s).time <= probe + 700)
                .collect();
            assert_eq!(range, expected);
        };
        let mut at = 1u64;
        for step in 0..2 * count {
            at = at.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let slot = slots[(at >> 33) as usize % slots.len()];
            let there = naive.contains(&slot);
            let grow = step < count;
            let last = naive.last().is_none_or(|&l| events.key(l) < events.key(slot));
            if grow && last && step % 2 == 0 {
                list.push(slot);
            } else if grow {
                assert_eq!(list.insert(&events, slot), !there);
            } else {
                assert_eq!(list.remove(&events, slot), there);
            }
            naive.retain(|&s| s != slot);
            if grow {
                naive.push(slot);
                naive.sort_by_key(|&s| events.key(s));
            }
            assert_eq!(list.len(), naive.len());
            if step % 37 == 0 {
                assert!(list.iter().eq(naive.iter().copied()));
                check(&list, &naive, &events, (at >> 40) as i64 % (count * 2));
            }
        }
        for slot in naive {
            assert!(list.remove(&events, slot));
        }
        assert!(list.is_empty());
    }
}
