//! A sorted sequence in chunks: the container of a person's facts and sessions.

use std::sync::Arc;

use thin_vec::ThinVec;

use crate::bytes;
use crate::model::{Event, EventKey, Micros};

/// Something with a place in the total order.
pub trait Keyed {
    /// Its place.
    fn key(&self) -> EventKey;

    /// Whether it stands before a place.
    fn is_before(&self, key: &EventKey) -> bool {
        self.key() < *key
    }
}

/// An event of a person, with its time beside it: to look for a moment reads no event.
#[derive(Clone, Debug)]
pub struct Placed {
    /// [`EventKey::time`] of the event.
    pub time: Micros,
    /// The event.
    pub event: Arc<Event>,
}

impl Placed {
    /// An event at its place.
    pub fn new(event: &Arc<Event>) -> Self {
        Self { time: event.key.time, event: Arc::clone(event) }
    }
}

impl Keyed for Placed {
    fn key(&self) -> EventKey {
        self.event.key
    }

    fn is_before(&self, key: &EventKey) -> bool {
        self.time < key.time || self.time == key.time && self.event.key < *key
    }
}

/// A person's facts.
pub type Facts = SortedChunks<Placed>;

/// Items in the total order, at most one per key. Insertion and removal move at most one chunk.
///
/// Most people are small and there are many of them: what fits one chunk has nothing else.
#[derive(Clone, Debug)]
pub struct SortedChunks<T> {
    /// The first chunk; empty only if there are no items.
    first: ThinVec<T>,
    /// The chunks after it, none of them empty.
    rest: ThinVec<ThinVec<T>>,
    len: usize,
}

/// The place of the first item at or after `key`. Searched for from the end on, in ever longer
/// strides: most of what is asked for is near the end, and what lies before is seldom in a cache.
fn place_in<T: Keyed>(items: &[T], key: EventKey) -> usize {
    let (mut low, mut high, mut stride) = (0, items.len(), 1);
    while stride <= high {
        let at = high - stride;
        if items[at].is_before(&key) {
            low = at + 1;
            break;
        }
        high = at;
        stride *= 2;
    }
    low + items[low..high].partition_point(|item| item.is_before(&key))
}

impl<T> Default for SortedChunks<T> {
    fn default() -> Self {
        Self { first: ThinVec::new(), rest: ThinVec::new(), len: 0 }
    }
}

impl<T: Keyed> SortedChunks<T> {
    /// Items in one chunk: a scan of one stays in the nearest cache.
    pub const CHUNK: usize = 128;

    /// Number of items.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Memory that it takes, in bytes, without what its items refer to: exact for one chunk, an
    /// estimate beyond.
    pub fn bytes(&self) -> usize {
        let more = self.len - self.first.len();
        bytes::thin(&self.first) + bytes::thin(&self.rest) + more * size_of::<T>() * 5 / 4
    }

    fn chunks(&self) -> usize {
        usize::from(self.len > 0) + self.rest.len()
    }

    fn chunk(&self, chunk: usize) -> &[T] {
        match chunk.checked_sub(1) {
            None => &self.first,
            Some(after) => self.rest.get(after).map_or(&[], |items| items),
        }
    }

    fn chunk_mut(&mut self, chunk: usize) -> &mut ThinVec<T> {
        match chunk.checked_sub(1) {
            None => &mut self.first,
            Some(after) => &mut self.rest[after],
        }
    }

    /// The first item.
    pub fn first(&self) -> Option<&T> {
        self.first.first()
    }

    /// The last item.
    pub fn last(&self) -> Option<&T> {
        self.rest.last().unwrap_or(&self.first).last()
    }

    /// All items in order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.first.iter().chain(self.rest.iter().flatten())
    }

    /// Chunk and place of the first item at or after `key`; past the last chunk if there is none.
    fn locate(&self, key: EventKey) -> (usize, usize) {
        // Most items come at the end.
        if self.last().is_none_or(|item| item.is_before(&key)) {
            return (self.chunks(), 0);
        }
        let below = |chunk: &ThinVec<T>| chunk.last().is_some_and(|item| item.is_before(&key));
        let after = !self.rest.is_empty() && below(&self.first);
        let chunk = if after { 1 + self.rest.partition_point(below) } else { 0 };
        (chunk, place_in(self.chunk(chunk), key))
    }

    /// Items at or after `key`.
    pub fn from(&self, key: EventKey) -> impl Iterator<Item = &T> {
        let (chunk, place) = self.locate(key);
        let first = self.chunk(chunk).get(place..).unwrap_or(&[]);
        first.iter().chain(self.rest.get(chunk..).unwrap_or(&[]).iter().flatten())
    }

    /// Whether there are exactly so many items at or after `key`; no more of them are looked at.
    pub fn ends_with(&self, key: EventKey, count: usize) -> bool {
        self.from(key).take(count.saturating_add(1)).count() == count
    }

    /// The last item at or before `key`.
    pub fn at_or_before(&self, key: EventKey) -> Option<&T> {
        self.get(key).or_else(|| self.last_before(key))
    }

    /// The last item before `key`.
    pub fn last_before(&self, key: EventKey) -> Option<&T> {
        let (chunk, place) = self.locate(key);
        match place.checked_sub(1) {
            Some(before) => self.chunk(chunk).get(before),
            None => self.chunk(chunk.checked_sub(1)?).last(),
        }
    }

    /// The last item at or before `key`, and the first after it.
    pub fn around(&self, key: EventKey) -> (Option<&T>, Option<&T>) {
        let (chunk, place) = self.locate(key);
        let at = |chunk: usize, place: usize| self.chunk(chunk).get(place);
        let after = |chunk: usize, place: usize| at(chunk, place).or_else(|| at(chunk + 1, 0));
        match at(chunk, place) {
            Some(item) if item.key() == key => (Some(item), after(chunk, place + 1)),
            here => {
                let before = match place.checked_sub(1) {
                    Some(before) => at(chunk, before),
                    None => chunk.checked_sub(1).and_then(|chunk| self.chunk(chunk).last()),
                };
                (before, here)
            }
        }
    }

    /// The item with this key.
    pub fn get(&self, key: EventKey) -> Option<&T> {
        let (chunk, place) = self.locate(key);
        self.chunk(chunk).get(place).filter(|item| item.key() == key)
    }

    /// Adds an item; returns the one of the same key that it replaces.
    pub fn insert(&mut self, item: T) -> Option<T> {
        let (mut chunk, mut place) = self.locate(item.key());
        if chunk == self.chunks() {
            // After all others: in the last chunk while it has room.
            chunk = chunk.saturating_sub(1);
            place = self.chunk(chunk).len();
            if place >= Self::CHUNK {
                self.rest.push(ThinVec::from([item]));
                self.len += 1;
                return None;
            }
        }
        let items = self.chunk_mut(chunk);
        if items.get(place).is_some_and(|there| there.key() == item.key()) {
            return Some(std::mem::replace(&mut items[place], item));
        }
        if items.len() == items.capacity() {
            // A quarter more, not twice as many: most people are small, and there are many.
            items.reserve_exact((items.len() / 4).max(GROWTH_BYTES / size_of::<T>().max(1)).max(1));
        }
        items.insert(place, item);
        if items.len() > Self::CHUNK {
            let tail = items.split_off(Self::CHUNK / 2);
            self.rest.insert(chunk, tail);
        }
        self.len += 1;
        None
    }

    /// Takes out the item with this key.
    pub fn remove(&mut self, key: EventKey) -> Option<T> {
        let (chunk, place) = self.locate(key);
        if self.chunk(chunk).get(place)?.key() != key {
            return None;
        }
        let items = self.chunk_mut(chunk);
        let item = items.remove(place);
        if items.is_empty() {
            match chunk.checked_sub(1) {
                Some(after) => drop(self.rest.remove(after)),
                None if self.rest.is_empty() => self.first = ThinVec::new(),
                None => self.first = self.rest.remove(0),
            }
        }
        self.len -= 1;
        Some(item)
    }

    /// Takes out the items from `low` up to but not including `high`.
    pub fn drain(&mut self, low: EventKey, high: EventKey) -> Vec<T> {
        let keys: Vec<EventKey> =
            self.from(low).map(Keyed::key).take_while(|key| *key < high).collect();
        keys.into_iter().filter_map(|key| self.remove(key)).collect()
    }
}

/// By how much a small chunk grows.
const GROWTH_BYTES: usize = 64;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::ops::Bound;

    use super::*;
    use crate::identity::testing::Seeded;

    #[derive(Clone, PartialEq, Debug)]
    struct Item(EventKey, u64);

    impl Keyed for Item {
        fn key(&self) -> EventKey {
            self.0
        }
    }

    fn key(time: u64) -> EventKey {
        EventKey { time: time as i64, seq: 0, id: 0 }
    }

    /// Every operation agrees with a map, while it grows over many chunks and shrinks to nothing.
    #[test]
    fn agrees_with_a_map() {
        let mut random = Seeded(7);
        let mut chunks = SortedChunks::default();
        let mut map: BTreeMap<EventKey, Item> = BTreeMap::new();
        for step in 0..20_000u64 {
            let k = key(random.below(3_000));
            if random.below(20_000) > step {
                let item = Item(k, step);
                assert_eq!(chunks.insert(item.clone()), map.insert(k, item));
            } else {
                assert_eq!(chunks.remove(k), map.remove(&k));
            }
            assert_eq!(chunks.len(), map.len());
            if step % 97 == 0 {
                let probe = key(random.below(3_100));
                assert!(chunks.iter().eq(map.values()));
                assert!(chunks.from(probe).eq(map.range(probe..).map(|e| e.1)));
                let count = map.range(probe..).count();
                assert!(chunks.ends_with(probe, count) && !chunks.ends_with(probe, count + 1));
                assert!(count == 0 || !chunks.ends_with(probe, count - 1));
                let before = map.range(..=probe).next_back().map(|e| e.1);
                assert_eq!(chunks.at_or_before(probe), before);
                let after = (Bound::Excluded(probe), Bound::Unbounded);
                let after = map.range(after).next().map(|e| e.1);
                assert_eq!(chunks.around(probe), (before, after));
                let before = map.range(..probe).next_back().map(|e| e.1);
                assert_eq!(chunks.last_before(probe), before);
                assert_eq!(chunks.get(probe), map.get(&probe));
                assert_eq!(chunks.first(), map.values().next());
                assert_eq!(chunks.last(), map.values().next_back());
            }
        }
        let all = chunks.drain(EventKey::MIN, EventKey::MAX);
        assert!(all.iter().eq(map.values()));
        assert!(chunks.is_empty());
    }
}
