//! Blocks of a few numbers each, for lists that grow: a block that is given back is used again by
//! any list, so memory does not fall to pieces of sizes that nobody needs any more. Blocks with few
//! numbers take half the memory, for the last block of a list is half empty on average.

use super::chunks::Chunks;
use crate::bytes;

/// Numbers in a block.
pub(super) const ROOM: usize = 8;
/// Numbers in half a block.
const HALF: usize = ROOM / 2;
/// No number.
pub(super) const NONE: u32 = u32::MAX;

/// The name of a block: an index, with [`SMALL`] that of half a block.
pub(super) type BlockId = u32;
/// Marks the name of half a block. There are fewer blocks than that.
const SMALL: u32 = 1 << 31;

/// Up to [`ROOM`] numbers, in one line of memory; the empty places are behind the others.
#[derive(Debug)]
#[repr(align(32))]
struct Whole([u32; ROOM]);

/// Up to [`HALF`] numbers, in one line of memory.
#[derive(Debug)]
#[repr(align(16))]
struct Half([u32; HALF]);

/// The numbers in front, and then empty places.
fn filled<const N: usize>(numbers: &[u32]) -> [u32; N] {
    let mut places = [NONE; N];
    places[..numbers.len()].copy_from_slice(numbers);
    places
}

/// How many places are taken.
fn taken(places: &[u32]) -> usize {
    // All are looked at, which is done in one step.
    places.iter().filter(|&&number| number != NONE).count()
}

/// All blocks, by name.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    wholes: Chunks<Whole>,
    halves: Chunks<Half>,
    free: Vec<u32>,
    free_halves: Vec<u32>,
}

impl Blocks {
    /// Memory that they take, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let free = bytes::list(&self.free) + bytes::list(&self.free_halves);
        self.wholes.bytes() + self.halves.bytes() + free
    }

    /// Blocks that are in use, and halves.
    #[cfg(test)]
    pub(super) fn used(&self) -> (usize, usize) {
        let used = |len: u32, free: &Vec<u32>| len as usize - free.len();
        (used(self.wholes.len(), &self.free), used(self.halves.len(), &self.free_halves))
    }

    /// A block of these numbers, [`ROOM`] at most.
    pub(super) fn add(&mut self, numbers: &[u32]) -> BlockId {
        if numbers.len() > HALF {
            self.wholes.put(self.free.pop(), Whole(filled(numbers)))
        } else {
            SMALL | self.halves.put(self.free_halves.pop(), Half(filled(numbers)))
        }
    }

    /// Gives a block back.
    pub(super) fn release(&mut self, block: BlockId) {
        if block & SMALL == 0 {
            self.free.push(block);
        } else {
            self.free_halves.push(block & !SMALL);
        }
    }

    fn places(&self, block: BlockId) -> &[u32] {
        if block & SMALL == 0 { &self.wholes[block].0 } else { &self.halves[block & !SMALL].0 }
    }

    fn places_mut(&mut self, block: BlockId) -> &mut [u32] {
        if block & SMALL == 0 {
            &mut self.wholes[block].0
        } else {
            &mut self.halves[block & !SMALL].0
        }
    }

    /// How many numbers are in a block.
    pub(super) fn len(&self, block: BlockId) -> usize {
        taken(self.places(block))
    }

    /// The numbers in a block.
    pub(super) fn numbers(&self, block: BlockId) -> &[u32] {
        let places = self.places(block);
        &places[..taken(places)]
    }

    /// Replaces the numbers in a block, by [`ROOM`] at most; the block that they are in now.
    #[must_use]
    pub(super) fn set(&mut self, block: BlockId, numbers: &[u32]) -> BlockId {
        let places = self.places_mut(block);
        if numbers.len() > places.len() {
            self.release(block);
            return self.add(numbers);
        }
        let (front, behind) = places.split_at_mut(numbers.len());
        front.copy_from_slice(numbers);
        behind.fill(NONE);
        block
    }

    /// Adds a number at a place; the block that it is in now, or `None` if there is no room.
    #[must_use]
    pub(super) fn insert(&mut self, block: BlockId, place: usize, number: u32) -> Option<BlockId> {
        let places = self.places_mut(block);
        let last = places.len() - 1;
        if places[last] == NONE {
            places.copy_within(place..last, place + 1);
            places[place] = number;
            return Some(block);
        }
        if last + 1 == ROOM {
            return None;
        }
        let mut more = [NONE; HALF + 1];
        more[..HALF].copy_from_slice(places);
        more.copy_within(place..HALF, place + 1);
        more[place] = number;
        Some(self.set(block, &more))
    }

    /// Adds a number behind the others; the block that it is in now, or `None` if there is no room.
    #[must_use]
    pub(super) fn push(&mut self, block: BlockId, number: u32) -> Option<BlockId> {
        self.insert(block, self.len(block), number)
    }

    /// Takes a number out.
    pub(super) fn remove(&mut self, block: BlockId, place: usize) {
        let places = self.places_mut(block);
        let last = places.len() - 1;
        places.copy_within(place + 1.., place);
        places[last] = NONE;
    }
}
