//! A hash table of events that grows in small steps and is read in few cache lines.
//!
//! Open addressing, with the slots in the order of their hashes: an entry stands at or after its
//! *home*, which grows with the hash, and between home and entry no slot is empty. So a look-up
//! reads on from the home until it meets a larger hash, and a rebuild is one sequential pass. A
//! slot is 16 bytes; with a third to a fifth of the slots empty an entry takes 20 to 30 bytes.

use std::sync::Arc;

use crate::model::Event;

/// An entry.
#[derive(Debug)]
pub(super) struct Slot {
    hash: u32,
    /// What the owner of the table notes.
    pub note: u32,
    pub event: Arc<Event>,
}

/// The table.
#[derive(Debug)]
pub(super) struct Table {
    /// `homes` slots, and those that the last entries were pushed to.
    slots: Vec<Option<Slot>>,
    homes: usize,
    len: usize,
    first: usize,
}

/// Of ten homes at most eight are taken: beyond that runs of taken slots grow long.
const TAKEN_MAX: (usize, usize) = (8, 10);
/// A table that is too full gets half as many homes again.
fn grown(homes: usize) -> usize {
    homes + homes / 2
}

impl Table {
    /// An empty table that has `first` homes when the first entry comes, at least 2. Tables side by
    /// side that begin with different ones do not all grow at the same time.
    pub(super) fn new(first: usize) -> Self {
        Self { slots: Vec::new(), homes: 0, len: 0, first: first.max(2) }
    }

    /// Number of entries.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Number of slots, taken or not.
    pub(super) fn slots(&self) -> usize {
        self.slots.len()
    }

    fn home(hash: u32, homes: usize) -> usize {
        ((u64::from(hash) * homes as u64) >> 32) as usize
    }

    /// Reads where an entry of this hash would begin, so that its memory is near when it is looked
    /// up. What is read does not matter, but must not be optimised away.
    pub(super) fn touch(&self, hash: u32) -> u32 {
        let slot = self.slots.get(Self::home(hash, self.homes));
        slot.and_then(Option::as_ref).map_or(0, |slot| slot.note)
    }

    /// The place of the entry with this hash that `is` the right one, or the place where it goes.
    pub(super) fn find(&self, hash: u32, is: impl Fn(&Slot) -> bool) -> Result<usize, usize> {
        let mut place = Self::home(hash, self.homes);
        while let Some(Some(slot)) = self.slots.get(place) {
            if slot.hash > hash {
                break;
            }
            if slot.hash == hash && is(slot) {
                return Ok(place);
            }
            place += 1;
        }
        Err(place)
    }

    /// The entry at a place that [`Self::find`] gave.
    pub(super) fn at(&mut self, place: usize) -> Option<&mut Slot> {
        self.slots.get_mut(place)?.as_mut()
    }

    /// Adds an entry at the place where [`Self::find`] says it goes.
    pub(super) fn insert(&mut self, place: usize, hash: u32, note: u32, event: Arc<Event>) {
        let mut place = place;
        if (self.len + 1) * TAKEN_MAX.1 > self.homes * TAKEN_MAX.0 {
            self.rebuild(grown(self.homes).max(self.first));
            place = self.find(hash, |_| false).unwrap_or_else(|place| place);
        }
        let empty = self.slots[place..].iter().position(Option::is_none);
        let end = empty.map_or(self.slots.len(), |distance| place + distance);
        if end == self.slots.len() {
            self.slots.push(None);
        }
        self.slots[place..=end].rotate_right(1);
        self.slots[place] = Some(Slot { hash, note, event });
        self.len += 1;
    }

    /// Lets go of the entries that `keep` denies, and of memory if most is empty then.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&mut Slot) -> bool) {
        let mut next = 0;
        for place in 0..self.slots.len() {
            let Some(mut slot) = self.slots[place].take() else { continue };
            if keep(&mut slot) {
                // Between its home and here: entries only move back.
                next = next.max(Self::home(slot.hash, self.homes));
                self.slots[next] = Some(slot);
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
        for slot in before.into_iter().flatten() {
            let home = Self::home(slot.hash, homes);
            while self.slots.len() < home {
                self.slots.push(None);
            }
            self.slots.push(Some(slot));
        }
        while self.slots.len() < homes {
            self.slots.push(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::identity::testing::Seeded;
    use crate::people::testing::{fact, matcher};

    /// Agrees with a map through growth and shrinking, with hashes that collide and that crowd at
    /// the end.
    #[test]
    fn agrees_with_a_map() {
        let matcher = matcher();
        for seed in 0..20 {
            let mut random = Seeded(seed);
            let event = fact(&mut random, &matcher);
            let mut table = Table::new(random.below(40) as usize);
            let mut set: BTreeSet<(u32, u32)> = BTreeSet::new();
            let spread = random.pick(&[7, 1 << 20, u32::MAX]);
            for step in 0..3_000_u32 {
                let hash = u32::MAX - random.below(u64::from(spread)) as u32;
                let note = random.below(3) as u32;
                let found = table.find(hash, |slot| slot.note == note);
                assert_eq!(found.is_ok(), set.contains(&(hash, note)), "seed {seed}");
                match found {
                    Ok(place) => assert_eq!(table.at(place).unwrap().hash, hash),
                    Err(place) => {
                        table.insert(place, hash, note, Arc::clone(&event));
                        set.insert((hash, note));
                    }
                }
                if step % 701 == 700 {
                    let cut = random.below(4) as u32;
                    table.retain(|slot| slot.note != cut && slot.hash % 5 != cut);
                    set.retain(|(hash, note)| *note != cut && hash % 5 != cut);
                }
                assert_eq!(table.len(), set.len(), "seed {seed}");
            }
            let hashes: Vec<u32> = table.slots.iter().flatten().map(|slot| slot.hash).collect();
            assert!(hashes.is_sorted());
            table.retain(|_| false);
            assert_eq!((table.len(), table.slots()), (0, 0));
        }
    }

    #[test]
    fn an_entry_takes_at_most_thirty_bytes() {
        assert_eq!(size_of::<Option<Slot>>(), 16);
        let (mut random, matcher) = (Seeded(1), matcher());
        let event = fact(&mut random, &matcher);
        let mut table = Table::new(2);
        for number in 0..20_000 {
            let hash = random.bits() as u32;
            let place = table.find(hash, |_| false).unwrap_err();
            table.insert(place, hash, 0, Arc::clone(&event));
            if number > 1_000 {
                assert!(table.slots.capacity() * 16 <= table.len() * 31, "{}", table.len());
            }
        }
    }
}
