//! A sorted sequence in chunks: the container of a person's facts and sessions.

use crate::bytes;
use crate::model::EventKey;

/// Something with a place in the total order.
pub trait Keyed {
    /// Its place.
    fn key(&self) -> EventKey;
}

impl Keyed for std::sync::Arc<crate::model::Event> {
    fn key(&self) -> EventKey {
        self.key
    }
}

/// Items in the total order, at most one per key. Insertion and removal move at most one chunk.
#[derive(Clone, Debug)]
pub struct SortedChunks<T> {
    /// No chunk is empty.
    chunks: Vec<Vec<T>>,
    len: usize,
}

/// The place of the first item at or after `key`. Searched for from the end on, in ever longer
/// strides: most of what is asked for is near the end, and what lies before is seldom in a cache.
fn place_in<T: Keyed>(items: &[T], key: EventKey) -> usize {
    let (mut low, mut high, mut stride) = (0, items.len(), 1);
    while stride <= high {
        let at = high - stride;
        if items[at].key() < key {
            low = at + 1;
            break;
        }
        high = at;
        stride *= 2;
    }
    low + items[low..high].partition_point(|item| item.key() < key)
}

impl<T> Default for SortedChunks<T> {
    fn default() -> Self {
        Self { chunks: Vec::new(), len: 0 }
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
        let items = match &self.chunks[..] {
            [one] => bytes::list(one),
            _ => self.len * size_of::<T>() * 5 / 4,
        };
        bytes::list(&self.chunks) + items
    }

    /// The first item.
    pub fn first(&self) -> Option<&T> {
        self.chunks.first()?.first()
    }

    /// The last item.
    pub fn last(&self) -> Option<&T> {
        self.chunks.last()?.last()
    }

    /// All items in order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flatten()
    }

    /// Chunk and place of the first item at or after `key`; past the last chunk if there is none.
    fn locate(&self, key: EventKey) -> (usize, usize) {
        let below = |chunk: &Vec<T>| chunk.last().is_some_and(|item| item.key() < key);
        // Most items come at the end.
        if self.chunks.last().is_none_or(below) {
            return (self.chunks.len(), 0);
        }
        let chunk = self.chunks.partition_point(below);
        (chunk, place_in(&self.chunks[chunk], key))
    }

    /// Items at or after `key`.
    pub fn from(&self, key: EventKey) -> impl Iterator<Item = &T> {
        let (chunk, place) = self.locate(key);
        let (first, rest) = match self.chunks.get(chunk) {
            Some(first) => (&first[place..], &self.chunks[chunk + 1..]),
            None => (&[][..], &[][..]),
        };
        first.iter().chain(rest.iter().flatten())
    }

    /// The last item at or before `key`.
    pub fn at_or_before(&self, key: EventKey) -> Option<&T> {
        self.get(key).or_else(|| self.last_before(key))
    }

    /// The last item before `key`.
    pub fn last_before(&self, key: EventKey) -> Option<&T> {
        let (chunk, place) = self.locate(key);
        match place.checked_sub(1) {
            Some(before) => self.chunks[chunk].get(before),
            None => self.chunks.get(chunk.checked_sub(1)?)?.last(),
        }
    }

    /// The last item at or before `key`, and the first after it.
    pub fn around(&self, key: EventKey) -> (Option<&T>, Option<&T>) {
        let (chunk, place) = self.locate(key);
        let at = |chunk: usize, place: usize| self.chunks.get(chunk)?.get(place);
        let after = |chunk: usize, place: usize| at(chunk, place).or_else(|| at(chunk + 1, 0));
        match at(chunk, place) {
            Some(item) if item.key() == key => (Some(item), after(chunk, place + 1)),
            here => {
                let before = match place.checked_sub(1) {
                    Some(before) => at(chunk, before),
                    None => chunk.checked_sub(1).and_then(|chunk| self.chunks[chunk].last()),
                };
                (before, here)
            }
        }
    }

    /// The item with this key.
    pub fn get(&self, key: EventKey) -> Option<&T> {
        let (chunk, place) = self.locate(key);
        self.chunks.get(chunk)?.get(place).filter(|item| item.key() == key)
    }

    /// Adds an item; returns the one of the same key that it replaces.
    pub fn insert(&mut self, item: T) -> Option<T> {
        let (mut chunk, mut place) = self.locate(item.key());
        if chunk == self.chunks.len() {
            // After all others: in the last chunk while it has room.
            match self.chunks.last() {
                Some(last) if last.len() < Self::CHUNK => {
                    chunk -= 1;
                    place = last.len();
                }
                _ => {
                    if self.chunks.is_empty() {
                        self.chunks.reserve_exact(1);
                    }
                    self.chunks.push(vec![item]);
                    self.len += 1;
                    return None;
                }
            }
        }
        let items = &mut self.chunks[chunk];
        if items.get(place).is_some_and(|there| there.key() == item.key()) {
            return Some(std::mem::replace(&mut items[place], item));
        }
        if items.len() == items.capacity() {
            // A quarter more, not twice as many: most people are small, and there are many.
            items.reserve_exact((items.len() / 4).max(4));
        }
        items.insert(place, item);
        self.len += 1;
        if items.len() > Self::CHUNK {
            let tail = items.split_off(Self::CHUNK / 2);
            self.chunks.insert(chunk + 1, tail);
        }
        None
    }

    /// Takes out the item with this key.
    pub fn remove(&mut self, key: EventKey) -> Option<T> {
        let (chunk, place) = self.locate(key);
        let items = self.chunks.get_mut(chunk)?;
        if items.get(place)?.key() != key {
            return None;
        }
        let item = items.remove(place);
        if items.is_empty() {
            self.chunks.remove(chunk);
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
