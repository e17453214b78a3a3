//! Lists of events in the total order.

mod leaves;
#[cfg(test)]
mod tests;

use smallvec::SmallVec;
use thin_vec::ThinVec;

use self::leaves::taken;
use super::blocks::{BlockId, Blocks, ROOM};
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
/// Events in blocks at most; a list that has shrunk to half of it is in blocks again.
const IN_BLOCKS: usize = ROOM * ROOM;

/// Events in the total order: in place, in a few blocks for most, in one vector, in chunks for the
/// long ones.
#[derive(Debug)]
pub(super) enum SlotList {
    /// How many of the slots are taken, and the slots.
    Few(u8, [Slot; FEW]),
    /// How many slots there are, and the blocks in which they are.
    Blocks(u8, [BlockId; FEW]),
    /// The same with more blocks: the block that lists them, and the last of them, where most
    /// events come.
    Listed {
        len: u8,
        list: BlockId,
        last: BlockId,
    },
    Small(ThinVec<Slot>),
    Large(Box<Large>),
}

/// Slots, and blocks of slots, that need no memory elsewhere.
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
            Self::Few(len, _) | Self::Blocks(len, _) | Self::Listed { len, .. } => {
                usize::from(*len)
            }
            Self::Small(list) => list.len(),
            Self::Large(large) => large.len,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Memory of its own of a list of so many events, in bytes, about: blocks are counted apart.
    pub(super) fn bytes(len: usize) -> usize {
        if len > IN_BLOCKS { len * size_of::<Slot>() } else { 0 }
    }

    fn parts<'a>(&'a self, events: &'a Events) -> Parts<'a> {
        match self {
            Self::Few(len, slots) => Parts::One(&slots[..usize::from(*len)]),
            Self::Blocks(_, blocks) => Parts::Blocks(taken(blocks), &events.blocks),
            Self::Listed { list, .. } => {
                Parts::Blocks(events.blocks.numbers(*list), &events.blocks)
            }
            Self::Small(list) => Parts::One(list),
            Self::Large(large) => Parts::Chunks(&large.chunks),
        }
    }

    pub(super) fn iter<'a>(&'a self, events: &'a Events) -> impl Iterator<Item = Slot> + 'a {
        let parts = self.parts(events);
        (0..parts.len()).flat_map(move |part| parts.get(part)).copied()
    }

    pub(super) fn first(&self, events: &Events) -> Option<Slot> {
        self.parts(events).get(0).first().copied()
    }

    pub(super) fn last(&self, events: &Events) -> Option<Slot> {
        let slots = if let Self::Listed { last, .. } = self {
            events.blocks.numbers(*last)
        } else {
            let parts = self.parts(events);
            parts.get(parts.len() - 1)
        };
        slots.last().copied()
    }

    /// Adds an event that is after all others.
    pub(super) fn push(&mut self, events: &mut Events, slot: Slot) {
        let last = match self {
            Self::Blocks(len, blocks) => taken(blocks).last().map(|&last| (len, last)),
            Self::Listed { len, last, .. } => Some((len, *last)),
            Self::Few(..) | Self::Small(_) | Self::Large(_) => None,
        };
        if let Some((len, last)) = last
            && let Some(now) = events.blocks.push(last, slot)
        {
            *len += 1;
            if now != last {
                let part = self.parts(events).len() - 1;
                self.exchange_leaf(&mut events.blocks, part, now);
            }
            return;
        }
        let parts = self.parts(events);
        let part = parts.len() - 1;
        let place = parts.get(part).len();
        self.put(events, part, place, slot);
    }

    /// Adds an event; false if it is there already.
    pub(super) fn insert(&mut self, events: &mut Events, slot: Slot) -> bool {
        let parts = self.parts(events);
        let (part, place) = parts.locate(events, events.key(slot));
        if parts.at(part, place) == Some(slot) {
            return false;
        }
        self.put(events, part, place, slot);
        true
    }

    fn put(&mut self, events: &mut Events, part: usize, place: usize, slot: Slot) {
        match self {
            Self::Few(len, slots) if usize::from(*len) < FEW => {
                slots.copy_within(place..usize::from(*len), place + 1);
                slots[place] = slot;
                *len += 1;
            }
            Self::Few(_, slots) => {
                let mut all: SmallVec<[Slot; ROOM]> = SmallVec::from_slice(slots);
                all.insert(place, slot);
                *self = Self::in_blocks(&mut events.blocks, &all);
            }
            Self::Blocks(..) | Self::Listed { .. } => {
                self.put_in_block(&mut events.blocks, part, place, slot);
            }
            Self::Small(list) => {
                if list.len() == list.capacity() {
                    list.reserve_exact(list.len() / 4);
                }
                list.insert(place, slot);
                if list.len() > CHUNK {
                    let (head, tail) = list.split_at(CHUNK / 2);
                    let chunks = vec![head.to_vec(), tail.to_vec()];
                    *self = Self::Large(Box::new(Large { chunks, len: CHUNK + 1 }));
                }
            }
            Self::Large(large) => large.insert(part, place, slot),
        }
    }

    /// Takes an event out; false if it is not there.
    pub(super) fn remove(&mut self, events: &mut Events, slot: Slot) -> bool {
        let parts = self.parts(events);
        let (part, place) = parts.locate(events, events.key(slot));
        if parts.at(part, place) != Some(slot) {
            return false;
        }
        match self {
            Self::Few(len, slots) => {
                slots.copy_within(place + 1..usize::from(*len), place);
                *len -= 1;
            }
            Self::Blocks(..) | Self::Listed { .. } => {
                self.remove_in_block(&mut events.blocks, part, place);
            }
            Self::Small(list) => {
                list.remove(place);
                if list.len() <= IN_BLOCKS / 2 {
                    *self = Self::in_blocks(&mut events.blocks, list);
                }
            }
            Self::Large(large) => {
                large.remove(part, place);
                if large.len <= CHUNK / 2 {
                    *self = Self::Small(large.chunks.iter().flatten().copied().collect());
                }
            }
        }
        true
    }

    /// The event with this key.
    pub(super) fn find(&self, events: &Events, key: EventKey) -> Option<Slot> {
        let parts = self.parts(events);
        let (part, place) = parts.locate(events, key);
        parts.at(part, place).filter(|&slot| events.key(slot) == key)
    }

    /// The events next to `key` on both sides, itself left out.
    pub(super) fn around(&self, events: &Events, key: EventKey) -> (Option<Slot>, Option<Slot>) {
        let parts = self.parts(events);
        let (part, place) = parts.locate(events, key);
        let next = match parts.at(part, place) {
            Some(slot) if events.key(slot) == key => {
                let end = place == parts.get(part).len();
                let past = if end { (part + 1, 1) } else { (part, place + 1) };
                parts.at(past.0, past.1)
            }
            other => other,
        };
        (parts.back(part, place), next)
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
        let parts = self.parts(events);
        let (first, place) = parts.locate(events, low);
        for part in first..parts.len() {
            let slots = parts.get(part);
            for &slot in if part == first { &slots[place..] } else { slots } {
                if events.key(slot) > high {
                    return;
                }
                visit(slot);
            }
        }
    }
}

/// The slices in which a list's slots are: at least one, and none is empty unless the list is.
#[derive(Clone, Copy)]
enum Parts<'a> {
    One(&'a [Slot]),
    Blocks(&'a [BlockId], &'a Blocks),
    Chunks(&'a [Vec<Slot>]),
}

impl<'a> Parts<'a> {
    fn len(self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Blocks(blocks, _) => blocks.len(),
            Self::Chunks(chunks) => chunks.len(),
        }
    }

    /// A slice; an empty one past the end.
    fn get(self, part: usize) -> &'a [Slot] {
        let found = match self {
            Self::One(slots) => (part == 0).then_some(slots),
            Self::Blocks(list, blocks) => list.get(part).map(|&block| blocks.numbers(block)),
            Self::Chunks(chunks) => chunks.get(part).map(Vec::as_slice),
        };
        found.unwrap_or_default()
    }

    /// Part and place of the first event at or after `key`; may be one past the end of a part.
    fn locate(self, events: &Events, key: EventKey) -> (usize, usize) {
        // No part is empty where there are several.
        let last = |part| self.get(part).last().copied().unwrap_or_default();
        let part = before(self.len() - 1, last, events, key);
        let slots = self.get(part);
        // Most events come at the end.
        if slots.last().is_none_or(|&slot| events.is_before(slot, key)) {
            return (part, slots.len());
        }
        (part, before(slots.len(), |place| slots[place], events, key))
    }

    fn at(self, part: usize, place: usize) -> Option<Slot> {
        let slot = self.get(part).get(place);
        slot.or_else(|| self.get(part + 1).first()).copied()
    }

    fn back(self, part: usize, place: usize) -> Option<Slot> {
        match place.checked_sub(1) {
            Some(place) => self.get(part).get(place).copied(),
            None => self.get(part.checked_sub(1)?).last().copied(),
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
    let is_before = |place: usize| usize::from(events.is_before(at(place), key));
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
