//! The events that identity knows, and lists of them in the total order.

use smallvec::SmallVec;

use crate::model::EventKey;

/// Index of a node (an identifier).
pub(super) type Node = u32;
/// Index of an event.
pub(super) type Slot = u32;
/// Index of a cluster.
pub(super) type ClusterId = u32;
/// No cluster.
pub(super) const NOBODY: ClusterId = u32::MAX;

/// An event: its key, its identifiers strongest first, and the person last reported for it.
#[derive(Debug)]
pub(super) struct EventRecord {
    pub key: EventKey,
    pub nodes: SmallVec<[Node; 3]>,
    pub person: ClusterId,
    /// In the list of events to look at again.
    pub dirty: bool,
    /// Removed; the slot is free after this epoch.
    pub gone: bool,
}

/// All events, by slot.
#[derive(Debug, Default)]
pub(super) struct Events {
    records: Vec<EventRecord>,
    free: Vec<Slot>,
}

impl Events {
    pub(super) fn add(&mut self, key: EventKey, nodes: SmallVec<[Node; 3]>) -> Slot {
        let record = EventRecord { key, nodes, person: NOBODY, dirty: false, gone: false };
        if let Some(slot) = self.free.pop() {
            self[slot] = record;
            slot
        } else {
            self.records.push(record);
            (self.records.len() - 1) as Slot
        }
    }

    pub(super) fn release(&mut self, slot: Slot) {
        self[slot].nodes = SmallVec::new();
        self.free.push(slot);
    }
}

impl std::ops::Index<Slot> for Events {
    type Output = EventRecord;
    fn index(&self, slot: Slot) -> &EventRecord {
        &self.records[slot as usize]
    }
}

impl std::ops::IndexMut<Slot> for Events {
    fn index_mut(&mut self, slot: Slot) -> &mut EventRecord {
        &mut self.records[slot as usize]
    }
}

/// Chunks hold at most this many slots, so that an insertion in the middle moves 2 KiB at most.
const CHUNK: usize = 512;

/// Events in the total order: one small vector for most, chunks for the long ones.
#[derive(Debug)]
pub(super) enum SlotList {
    Small(SmallVec<[Slot; 4]>),
    /// No chunk is empty, and there is at least one.
    Large(Vec<Vec<Slot>>, usize),
}

impl Default for SlotList {
    fn default() -> Self {
        Self::Small(SmallVec::new())
    }
}

impl SlotList {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Small(list) => list.len(),
            Self::Large(_, len) => *len,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Slot> + '_ {
        let (small, large): (&[Slot], &[Vec<Slot>]) = match self {
            Self::Small(list) => (list, &[]),
            Self::Large(chunks, _) => (&[], chunks),
        };
        small.iter().chain(large.iter().flatten()).copied()
    }

    pub(super) fn first(&self) -> Option<Slot> {
        match self {
            Self::Small(list) => list.first().copied(),
            Self::Large(chunks, _) => chunks.first()?.first().copied(),
        }
    }

    pub(super) fn last(&self) -> Option<Slot> {
        match self {
            Self::Small(list) => list.last().copied(),
            Self::Large(chunks, _) => chunks.last()?.last().copied(),
        }
    }

    /// Chunk and place of the first event at or after `key`; may be one past the end of a chunk.
    fn locate(&self, events: &Events, key: EventKey) -> (usize, usize) {
        let place = |list: &[Slot]| {
            // Most events come at the end.
            if list.last().is_none_or(|&s| events[s].key < key) {
                return list.len();
            }
            list.partition_point(|&s| events[s].key < key)
        };
        match self {
            Self::Small(list) => (0, place(list)),
            Self::Large(chunks, _) => {
                let chunk = chunks
                    .partition_point(|c| c.last().is_some_and(|&s| events[s].key < key))
                    .min(chunks.len() - 1);
                (chunk, place(&chunks[chunk]))
            }
        }
    }

    /// Adds an event; false if it is there already.
    pub(super) fn insert(&mut self, events: &Events, slot: Slot) -> bool {
        let (chunk, place) = self.locate(events, events[slot].key);
        match self {
            Self::Small(list) => {
                if list.get(place) == Some(&slot) {
                    return false;
                }
                list.insert(place, slot);
                if list.len() > CHUNK {
                    let tail = list.split_off_at(CHUNK / 2);
                    *self = Self::Large(vec![list.to_vec(), tail], CHUNK + 1);
                }
            }
            Self::Large(chunks, len) => {
                let list = &mut chunks[chunk];
                if list.get(place) == Some(&slot) {
                    return false;
                }
                list.insert(place, slot);
                *len += 1;
                if list.len() > CHUNK {
                    // A list that grows at its end leaves full chunks behind.
                    let at = if place + 1 == list.len() { CHUNK } else { CHUNK / 2 };
                    let tail = list.split_off(at);
                    chunks.insert(chunk + 1, tail);
                }
            }
        }
        true
    }

    /// Takes an event out; false if it is not there.
    pub(super) fn remove(&mut self, events: &Events, slot: Slot) -> bool {
        let (chunk, place) = self.locate(events, events[slot].key);
        match self {
            Self::Small(list) => {
                if list.get(place) != Some(&slot) {
                    return false;
                }
                list.remove(place);
            }
            Self::Large(chunks, len) => {
                let list = &mut chunks[chunk];
                if list.get(place) != Some(&slot) {
                    return false;
                }
                list.remove(place);
                *len -= 1;
                if list.is_empty() {
                    chunks.remove(chunk);
                }
                if *len <= CHUNK / 2 {
                    *self = Self::Small(self.iter().collect());
                }
            }
        }
        true
    }

    fn at(&self, chunk: usize, place: usize) -> Option<Slot> {
        match self {
            Self::Small(list) => list.get(place).copied(),
            Self::Large(chunks, _) => chunks[chunk]
                .get(place)
                .or_else(|| chunks.get(chunk + 1).and_then(|next| next.first()))
                .copied(),
        }
    }

    fn back(&self, chunk: usize, place: usize) -> Option<Slot> {
        match self {
            Self::Small(list) => place.checked_sub(1).map(|p| list[p]),
            Self::Large(chunks, _) => match place.checked_sub(1) {
                Some(p) => Some(chunks[chunk][p]),
                None => chunk.checked_sub(1).and_then(|c| chunks[c].last()).copied(),
            },
        }
    }

    /// The event with this key.
    pub(super) fn find(&self, events: &Events, key: EventKey) -> Option<Slot> {
        let (chunk, place) = self.locate(events, key);
        self.at(chunk, place).filter(|&s| events[s].key == key)
    }

    /// The events next to `key` on both sides, itself left out.
    pub(super) fn around(&self, events: &Events, key: EventKey) -> (Option<Slot>, Option<Slot>) {
        let (chunk, place) = self.locate(events, key);
        let next = match self.at(chunk, place) {
            Some(slot) if events[slot].key == key => {
                let past = match self {
                    Self::Large(chunks, _) if place == chunks[chunk].len() => (chunk + 1, 1),
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
                if events[slot].key > high {
                    return false;
                }
                visit(slot);
            }
            true
        };
        match self {
            Self::Small(list) => {
                run(&list[place..]);
            }
            Self::Large(chunks, _) => {
                if run(&chunks[chunk][place..]) {
                    let _all_or_stopped = chunks[chunk + 1..].iter().all(|list| run(list));
                }
            }
        }
    }
}

/// `split_off` for the small vector.
trait SplitOff {
    fn split_off_at(&mut self, at: usize) -> Vec<Slot>;
}

impl SplitOff for SmallVec<[Slot; 4]> {
    fn split_off_at(&mut self, at: usize) -> Vec<Slot> {
        self.drain(at..).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every operation agrees with a sorted vector, through growth to many chunks and back.
    #[test]
    fn agrees_with_a_sorted_vector() {
        let mut events = Events::default();
        let key = |time: i64| EventKey { time, seq: 0, id: 0 };
        let count = 3_000i64;
        let slots: Vec<Slot> =
            (0..count).map(|i| events.add(key(i * 2), SmallVec::new())).collect();
        let mut list = SlotList::default();
        let mut naive: Vec<Slot> = Vec::new();
        let check = |list: &SlotList, naive: &[Slot], events: &Events, probe: i64| {
            let k = key(probe);
            let before = naive.iter().rev().find(|&&s| events[s].key < k).copied();
            let after = naive.iter().find(|&&s| events[s].key > k).copied();
            let equal = naive.iter().find(|&&s| events[s].key == k).copied();
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
                .filter(|&s| events[s].key >= k && events[s].key.time <= probe + 700)
                .collect();
            assert_eq!(range, expected);
        };
        let mut at = 1u64;
        for step in 0..2 * count {
            at = at.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let slot = slots[(at >> 33) as usize % slots.len()];
            let there = naive.contains(&slot);
            let grow = step < count;
            if grow {
                assert_eq!(list.insert(&events, slot), !there);
            } else {
                assert_eq!(list.remove(&events, slot), there);
            }
            naive.retain(|&s| s != slot);
            if grow {
                naive.push(slot);
                naive.sort_by_key(|&s| events[s].key);
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
