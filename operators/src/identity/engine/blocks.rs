//! Blocks of a few numbers each, for lists that grow: a block that is given back is used again by
//! any list, so memory does not fall to pieces of sizes that nobody needs any more.
//!
//! There are two sizes. The end of a list begins in a block of half the room, so that it leaves
//! less of it empty.

use super::chunks::Chunks;
use crate::bytes;

/// Numbers in a block.
pub(super) const ROOM: usize = 8;
/// Numbers in a block of half the room.
const HALF: usize = ROOM / 2;
/// No number.
pub(super) const NONE: u32 = u32::MAX;
/// Marks the name of a block of half the room.
const IS_HALF: u32 = 1 << 31;

/// Up to [`ROOM`] numbers, in one line of memory.
#[derive(Debug)]
#[repr(align(32))]
struct Whole([u32; ROOM]);

/// Up to [`HALF`] numbers.
#[derive(Debug)]
#[repr(align(16))]
struct Half([u32; HALF]);

/// Blocks of one size.
#[derive(Debug)]
struct Pool<T> {
    blocks: Chunks<T>,
    free: Vec<u32>,
}

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Self { blocks: Chunks::default(), free: Vec::new() }
    }
}

impl<T> Pool<T> {
    fn bytes(&self) -> usize {
        self.blocks.bytes() + bytes::list(&self.free)
    }

    fn add(&mut self, block: T) -> u32 {
        self.blocks.put(self.free.pop(), block)
    }

    #[cfg(test)]
    fn used(&self) -> usize {
        self.blocks.len() as usize - self.free.len()
    }
}

/// How many numbers there are: all are looked at, which is done in one step, and the empty ones
/// are behind the others.
fn count<const N: usize>(numbers: &[u32; N]) -> usize {
    numbers.iter().filter(|&&number| number != NONE).count()
}

fn filled<const N: usize>(numbers: &[u32]) -> [u32; N] {
    let mut block = [NONE; N];
    block[..numbers.len()].copy_from_slice(numbers);
    block
}

fn push<const N: usize>(block: &mut [u32; N], number: u32) -> bool {
    let len = count(block);
    let place = block.get_mut(len);
    place.map(|place| *place = number).is_some()
}

fn insert(block: &mut [u32], place: usize, number: u32) -> bool {
    let last = block.len() - 1;
    let room = block[last] == NONE;
    if room {
        block.copy_within(place..last, place + 1);
        block[place] = number;
    }
    room
}

/// All blocks, by name.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    whole: Pool<Whole>,
    half: Pool<Half>,
}

impl Blocks {
    /// Memory that they take, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.whole.bytes() + self.half.bytes()
    }

    /// Blocks that are in use.
    #[cfg(test)]
    pub(super) fn used(&self) -> usize {
        self.whole.used() + self.half.used()
    }

    /// A block of these numbers, [`ROOM`] at most.
    pub(super) fn add(&mut self, numbers: &[u32]) -> u32 {
        if numbers.len() <= HALF {
            self.half.add(Half(filled(numbers))) | IS_HALF
        } else {
            self.whole.add(Whole(filled(numbers)))
        }
    }

    /// Writes these numbers into a block, [`ROOM`] at most; it is another one if it was too small.
    pub(super) fn set(&mut self, block: &mut u32, numbers: &[u32]) {
        if *block & IS_HALF == 0 {
            self.whole.blocks[*block].0 = filled(numbers);
        } else if numbers.len() <= HALF {
            self.half.blocks[*block & !IS_HALF].0 = filled(numbers);
        } else {
            self.release(*block);
            *block = self.add(numbers);
        }
    }

    /// How many numbers a block has.
    pub(super) fn len(&self, block: u32) -> usize {
        self.numbers(block).len()
    }

    /// The numbers of a block.
    pub(super) fn numbers(&self, block: u32) -> &[u32] {
        if block & IS_HALF == 0 {
            let numbers = &self.whole.blocks[block].0;
            &numbers[..count(numbers)]
        } else {
            let numbers = &self.half.blocks[block & !IS_HALF].0;
            &numbers[..count(numbers)]
        }
    }

    /// Adds a number behind the others; false if there is no room.
    pub(super) fn push(&mut self, block: u32, number: u32) -> bool {
        if block & IS_HALF == 0 {
            push(&mut self.whole.blocks[block].0, number)
        } else {
            push(&mut self.half.blocks[block & !IS_HALF].0, number)
        }
    }

    /// Adds a number; false if there are [`ROOM`] already. The block is another one if it was too
    /// small.
    pub(super) fn insert(&mut self, block: &mut u32, place: usize, number: u32) -> bool {
        if *block & IS_HALF == 0 {
            return insert(&mut self.whole.blocks[*block].0, place, number);
        }
        let half = *block & !IS_HALF;
        if !insert(&mut self.half.blocks[half].0, place, number) {
            let mut whole = filled::<ROOM>(&self.half.blocks[half].0);
            insert(&mut whole, place, number);
            self.half.free.push(half);
            *block = self.whole.add(Whole(whole));
        }
        true
    }

    /// Takes a number out.
    pub(super) fn remove(&mut self, block: u32, place: usize) {
        let numbers: &mut [u32] = if block & IS_HALF == 0 {
            &mut self.whole.blocks[block].0
        } else {
            &mut self.half.blocks[block & !IS_HALF].0
        };
        numbers.copy_within(place + 1.., place);
        numbers[numbers.len() - 1] = NONE;
    }

    /// Gives a block back.
    pub(super) fn release(&mut self, block: u32) {
        if block & IS_HALF == 0 {
            self.whole.free.push(block);
        } else {
            self.half.free.push(block & !IS_HALF);
        }
    }
}
