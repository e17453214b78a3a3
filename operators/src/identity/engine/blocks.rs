//! Blocks of a few numbers each, for lists that grow: a block that is given back is used again by
//! any list, so memory does not fall to pieces of sizes that nobody needs any more.

use std::ops::{Index, IndexMut};

use super::chunks::Chunks;
use crate::bytes;

/// Numbers in a block.
pub(super) const ROOM: usize = 8;
/// No number.
pub(super) const NONE: u32 = u32::MAX;

/// Up to [`ROOM`] numbers, in one line of memory.
#[derive(Debug)]
#[repr(align(32))]
pub(super) struct Block([u32; ROOM]);

impl Block {
    fn new(numbers: &[u32]) -> Self {
        let mut block = Self([NONE; ROOM]);
        block.0[..numbers.len()].copy_from_slice(numbers);
        block
    }

    /// How many numbers there are.
    pub(super) fn len(&self) -> usize {
        // All are looked at, which is done in one step, and the empty ones are behind the others.
        self.0.iter().filter(|&&number| number != NONE).count()
    }

    /// The numbers.
    pub(super) fn numbers(&self) -> &[u32] {
        &self.0[..self.len()]
    }

    /// Adds a number; false if there is no room.
    pub(super) fn insert(&mut self, place: usize, number: u32) -> bool {
        let room = self.0[ROOM - 1] == NONE;
        if room {
            self.0.copy_within(place..ROOM - 1, place + 1);
            self.0[place] = number;
        }
        room
    }

    /// Adds a number behind the others; false if there is no room.
    pub(super) fn push(&mut self, number: u32) -> bool {
        let len = self.len();
        let place = self.0.get_mut(len);
        place.map(|place| *place = number).is_some()
    }

    /// Takes a number out.
    pub(super) fn remove(&mut self, place: usize) {
        self.0.copy_within(place + 1.., place);
        self.0[ROOM - 1] = NONE;
    }
}

/// All blocks, by number.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    blocks: Chunks<Block>,
    free: Vec<u32>,
}

impl Blocks {
    /// Memory that they take, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.blocks.bytes() + bytes::list(&self.free)
    }

    /// Blocks that are in use.
    #[cfg(test)]
    pub(super) fn used(&self) -> usize {
        self.blocks.len() as usize - self.free.len()
    }

    /// A block of these numbers, [`ROOM`] at most.
    pub(super) fn add(&mut self, numbers: &[u32]) -> u32 {
        self.blocks.put(self.free.pop(), Block::new(numbers))
    }

    /// Writes these numbers into a block, [`ROOM`] at most.
    pub(super) fn set(&mut self, block: u32, numbers: &[u32]) {
        self.blocks[block] = Block::new(numbers);
    }

    /// Gives a block back.
    pub(super) fn release(&mut self, block: u32) {
        self.free.push(block);
    }
}

impl Index<u32> for Blocks {
    type Output = Block;
    fn index(&self, block: u32) -> &Block {
        &self.blocks[block]
    }
}

impl IndexMut<u32> for Blocks {
    fn index_mut(&mut self, block: u32) -> &mut Block {
        &mut self.blocks[block]
    }
}
