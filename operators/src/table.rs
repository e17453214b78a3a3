//! Hash tables that grow in small steps and are read in few cache lines.
//!
//! Open addressing, with the entries in the order of their hashes: an entry stands at or after its
//! *home*, which grows with the hash, and between home and entry no slot is empty. So a look-up
//! reads on from the home until it meets a larger hash, and a rebuild is one sequential pass. With
//! a fifth to a half of the slots empty, an entry takes 1.25 to 1.9 times its own bytes.
//!
//! Entries know their hashes, of 32 bits, which should be as good as random.

use std::num::NonZeroU32;

use crate::bytes;

/// An entry of a table.
pub(crate) trait Hashed {
    /// Its hash, always the same.
    fn hash(&self) -> u32;
}

/// An entry that stands for an item that is kept elsewhere, under a number.
#[derive(Debug)]
pub(crate) struct Numbered {
    hash: u32,
    /// The number plus one.
    after: NonZeroU32,
}

impl Numbered {
    /// The entry of the item of a number, which is less than the largest one.
    pub(crate) fn new(hash: u32, number: u32) -> Self {
        Self { hash, after: NonZeroU32::MIN.saturating_add(number) }
    }

    /// The item's number.
    pub(crate) fn number(&self) -> u32 {
        self.after.get() - 1
    }
}

impl Hashed for Numbered {
    fn hash(&self) -> u32 {
        self.hash
    }
}

/// One table.
#[derive(Debug)]
pub(crate) struct Table<T> {
    /// `homes` slots, and those that the last entries were pushed to.
    slots: Vec<Option<T>>,
    homes: usize,
    len: usize,
    first: usize,
    /// Upper bits of the hash that are the same in all entries.
    skip: u32,
}

/// Of ten homes at most eight are taken: beyond that runs of taken slots grow long.
const TAKEN_MAX: (usize, usize) = (8, 10);
/// A table that is too full gets half as many homes again.
fn grown(homes: usize) -> usize {
    homes + homes / 2
}

impl<T: Hashed> Table<T> {
    /// An empty table that has `first` homes when the first entry comes, at least 2. Tables side by
    /// side that begin with different ones do not all grow at the same time.
    pub(crate) fn new(first: usize) -> Self {
        Self { slots: Vec::new(), homes: 0, len: 0, first: first.max(2), skip: 0 }
    }

    /// Number of entries.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Number of slots, taken or not.
    pub(crate) fn slots(&self) -> usize {
        self.slots.len()
    }

    /// Memory that it takes, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        bytes::list(&self.slots)
    }

    fn home(&self, hash: u32) -> usize {
        ((u64::from(hash << self.skip) * self.homes as u64) >> 32) as usize
    }

    /// Reads where an entry of this hash would begin and the slots behind, where its run mostly
    /// ends, so that their memory is near when it is looked up or added. What is read does not
    /// matter, but must not be optimised away.
    pub(crate) fn touch(&self, hash: u32) -> bool {
        let home = self.home(hash);
        let taken = |place: usize| self.slots.get(place).is_some_and(Option::is_some);
        taken(home) ^ taken(home + 4) ^ taken(home + 8)
    }

    /// The place of the entry with this hash that `is` the right one, or the place where it goes.
    pub(crate) fn find(&self, hash: u32, is: impl Fn(&T) -> bool) -> Result<usize, usize> {
        let mut place = self.home(hash);
        while let Some(Some(entry)) = self.slots.get(place) {
            let other = entry.hash();
            if other > hash {
                break;
            }
            if other == hash && is(entry) {
                return Ok(place);
            }
            place += 1;
        }
        Err(place)
    }

    /// The entry at a place that [`Self::find`] gave.
    pub(crate) fn at(&self, place: usize) -> Option<&T> {
        self.slots.get(place)?.as_ref()
    }

    /// The entry at a place that [`Self::find`] gave. Its hash must stay.
    pub(crate) fn at_mut(&mut self, place: usize) -> Option<&mut T> {
        self.slots.get_mut(place)?.as_mut()
    }

    /// Adds an entry at the place where [`Self::find`] says it goes.
    pub(crate) fn insert(&mut self, place: usize, entry: T) {
        let mut place = place;
        if (self.len + 1) * TAKEN_MAX.1 > self.homes * TAKEN_MAX.0 {
            self.rebuild(grown(self.homes).max(self.first));
            place = self.find(entry.hash(), |_| false).unwrap_or_else(|place| place);
        }
        // Those from there to the next empty slot move on by one.
        let mut moved = Some(entry);
        for slot in &mut self.slots[place..] {
            std::mem::swap(slot, &mut moved);
            if moved.is_none() {
                break;
            }
        }
        if moved.is_some() {
            self.slots.push(moved);
        }
        self.len += 1;
    }

    /// Takes out the entry at a place that [`Self::find`] gave.
    pub(crate) fn remove(&mut self, place: usize) -> Option<T> {
        let entry = self.slots.get_mut(place)?.take()?;
        self.len -= 1;
        // Those after it that are not at home move up.
        let away = |slot: usize| {
            let entry = self.slots.get(slot).and_then(Option::as_ref);
            entry.is_some_and(|entry| self.home(entry.hash()) < slot)
        };
        let all = place + 1..self.slots.len();
        let end = all.clone().find(|&slot| !away(slot)).unwrap_or(all.end);
        self.slots[place..end].rotate_left(1);
        Some(entry)
    }

    /// Lets go of the entries that `keep` denies, and of memory if most is empty then.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&mut T) -> bool) {
        let mut next = 0;
        for place in 0..self.slots.len() {
            let Some(mut entry) = self.slots[place].take() else { continue };
            if keep(&mut entry) {
                // Between its home and here: entries only move back.
                next = next.max(self.home(entry.hash()));
                self.slots[next] = Some(entry);
                next += 1;
            } else {
                self.len -= 1;
            }
        }
        if self.len * 3 < self.homes {
            let mut homes = if self.len == 0 { 0 } else { self.first };
            while self.len * TAKEN_MAX.1 > homes * TAKEN_MAX.0 {
                homes = grown(homes);
            }
            self.rebuild(homes);
        }
    }

    fn rebuild(&mut self, homes: usize) {
        // Room for the run at the end; if it is longer, the vector grows.
        let slots = Vec::with_capacity(if homes == 0 { 0 } else { homes + 8 });
        let before = std::mem::replace(&mut self.slots, slots);
        self.homes = homes;
        for entry in before.into_iter().flatten() {
            self.put(entry);
        }
        while self.slots.len() < homes {
            self.slots.push(None);
        }
    }

    /// Adds an entry after all others.
    fn put(&mut self, entry: T) {
        let home = self.home(entry.hash());
        while self.slots.len() < home {
            self.slots.push(None);
        }
        self.slots.push(Some(entry));
    }
}

/// A table in parts, so that the growth of one does not hold up the others: one part while it is
/// small, 256 beyond.
#[derive(Debug)]
pub(crate) struct Parts<T> {
    parts: Vec<Table<T>>,
    /// Bits of the hash that choose the part.
    bits: u32,
}

/// Where an entry of [`Parts`] is or goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place(usize, usize);

impl<T: Hashed> Default for Parts<T> {
    fn default() -> Self {
        Self { parts: vec![Table::new(4)], bits: 0 }
    }
}

impl<T: Hashed> Parts<T> {
    /// Entries of one part, and bits of the hash that choose the part beyond.
    const WHOLE_MAX: usize = 8192;
    const BITS: u32 = 8;

    /// Number of entries.
    pub(crate) fn len(&self) -> usize {
        self.parts.iter().map(Table::len).sum()
    }

    /// Memory that it takes, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.parts.iter().map(Table::bytes).sum()
    }

    fn part(&self, hash: u32) -> usize {
        if self.bits == 0 { 0 } else { (hash >> (32 - self.bits)) as usize }
    }

    /// See [`Table::touch`].
    pub(crate) fn touch(&self, hash: u32) -> bool {
        self.parts[self.part(hash)].touch(hash)
    }

    /// See [`Table::find`].
    pub(crate) fn find(&self, hash: u32, is: impl Fn(&T) -> bool) -> Result<Place, Place> {
        let part = self.part(hash);
        let found = self.parts[part].find(hash, is);
        found.map(|at| Place(part, at)).map_err(|at| Place(part, at))
    }

    /// See [`Table::at`].
    pub(crate) fn at(&self, place: Place) -> Option<&T> {
        self.parts[place.0].at(place.1)
    }

    /// See [`Table::at_mut`].
    pub(crate) fn at_mut(&mut self, place: Place) -> Option<&mut T> {
        self.parts[place.0].at_mut(place.1)
    }

    /// See [`Table::insert`].
    pub(crate) fn insert(&mut self, place: Place, entry: T) {
        self.parts[place.0].insert(place.1, entry);
        if self.bits == 0 && self.parts[0].len() > Self::WHOLE_MAX {
            self.divide();
        }
    }

    /// See [`Table::remove`].
    pub(crate) fn remove(&mut self, place: Place) -> Option<T> {
        self.parts[place.0].remove(place.1)
    }

    fn divide(&mut self) {
        let Some(whole) = self.parts.pop() else { return };
        self.bits = Self::BITS;
        let count = 1 << Self::BITS;
        let first = Self::WHOLE_MAX / count;
        self.parts = (0..count)
            .map(|part| Table { skip: Self::BITS, ..Table::new(first + first * part / count) })
            .collect();
        for entry in whole.slots.into_iter().flatten() {
            let hash = entry.hash();
            if let Err(place) = self.find(hash, |_| false) {
                self.parts[place.0].insert(place.1, entry);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::identity::testing::Seeded;

    #[derive(Clone, Copy, PartialEq, Debug)]
    struct Entry(u32, NonZeroU32);

    impl Hashed for Entry {
        fn hash(&self) -> u32 {
            self.0
        }
    }

    fn entry(hash: u32, value: u32) -> Entry {
        Entry(hash, NonZeroU32::MIN.saturating_add(value))
    }

    /// Agrees with a set through growth and shrinking, with hashes that collide and that crowd at
    /// the end.
    #[test]
    fn a_table_agrees_with_a_set() {
        for seed in 0..30 {
            let mut random = Seeded(seed);
            let mut table = Table::new(random.below(40) as usize);
            let mut set: BTreeSet<(u32, u32)> = BTreeSet::new();
            let spread = random.pick(&[7, 1 << 20, u32::MAX]);
            for step in 0..3_000_u32 {
                let hash = u32::MAX - random.below(u64::from(spread)) as u32;
                let new = entry(hash, random.below(3) as u32);
                let known = (hash, new.1.get());
                let found = table.find(hash, |other| *other == new);
                assert_eq!(found.is_ok(), set.contains(&known), "seed {seed}");
                match found {
                    Ok(place) if random.once_in(2) => {
                        assert_eq!(table.remove(place), Some(new), "seed {seed}");
                        set.remove(&known);
                    }
                    Ok(place) => assert_eq!(table.at(place), Some(&new)),
                    Err(place) => {
                        table.insert(place, new);
                        set.insert(known);
                    }
                }
                if step % 701 == 700 {
                    let cut = random.below(4) as u32;
                    table.retain(|entry| entry.1.get() != cut && entry.0 % 5 != cut);
                    set.retain(|(hash, value)| *value != cut && hash % 5 != cut);
                }
                assert_eq!(table.len(), set.len(), "seed {seed}");
            }
            let hashes: Vec<u32> = table.slots.iter().flatten().map(Hashed::hash).collect();
            assert!(hashes.is_sorted());
            table.retain(|_| false);
            assert_eq!((table.len(), table.slots()), (0, 0));
        }
    }

    #[test]
    fn parts_agree_with_a_set() {
        let mut random = Seeded(5);
        let mut parts = Parts::default();
        let mut set: BTreeSet<u32> = BTreeSet::new();
        for _ in 0..60_000 {
            let hash = random.below(40_000) as u32 * 107_374;
            match parts.find(hash, |_| true) {
                Ok(place) => {
                    assert_eq!(parts.at(place), Some(&entry(hash, 1)));
                    if random.once_in(4) {
                        parts.remove(place);
                        set.remove(&hash);
                    }
                }
                Err(place) => {
                    assert!(set.insert(hash));
                    parts.insert(place, entry(hash, 1));
                }
            }
            assert_eq!(parts.touch(hash), parts.touch(hash));
        }
        assert!(parts.parts.len() == 256 && parts.len() == set.len());
        let all = parts.parts.iter().flat_map(|part| part.slots.iter().flatten());
        assert!(all.map(Hashed::hash).eq(set));
    }

    #[test]
    fn an_entry_takes_at_most_twice_its_bytes() {
        let mut random = Seeded(1);
        let mut table = Table::new(2);
        for number in 0..20_000 {
            let hash = random.bits() as u32;
            let place = table.find(hash, |_| false).unwrap_err();
            table.insert(place, entry(hash, 0));
            assert!(number < 1_000 || table.slots.capacity() * 10 <= table.len() * 19);
        }
    }
}
