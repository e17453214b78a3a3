//! Items by number, in blocks that never move: growth copies nothing.

use std::ops::{Index, IndexMut};

use crate::bytes;

/// Items in a block: large enough that blocks cost nothing, small enough that none is missed.
const BLOCK: usize = 1024;

/// A growing list of items of which any can go; its number is given to a later one.
#[derive(Debug)]
pub(super) struct Slab<T> {
    blocks: Vec<Vec<Option<T>>>,
    free: Vec<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { blocks: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slab<T> {
    /// Adds an item and gives its number.
    pub(super) fn insert(&mut self, item: T) -> u32 {
        if let Some(at) = self.free.pop() {
            let (block, place) = place(at);
            self.blocks[block][place] = Some(item);
            return at;
        }
        if self.blocks.last().is_none_or(|block| block.len() == BLOCK) {
            self.blocks.push(Vec::with_capacity(BLOCK));
        }
        let block = self.blocks.len() - 1;
        self.blocks[block].push(Some(item));
        (block * BLOCK + self.blocks[block].len() - 1) as u32
    }

    /// Memory that it takes, in bytes, without what its items refer to.
    pub(super) fn bytes(&self) -> usize {
        self.blocks.len() * BLOCK * size_of::<Option<T>>() + bytes::list(&self.free)
    }

    /// Takes an item out.
    pub(super) fn remove(&mut self, at: u32) {
        let (block, place) = place(at);
        if self.blocks[block][place].take().is_some() {
            self.free.push(at);
        }
    }
}

fn place(at: u32) -> (usize, usize) {
    (at as usize / BLOCK, at as usize % BLOCK)
}

/// # Panics
///
/// There is no such item.
impl<T> Index<u32> for Slab<T> {
    type Output = T;

    fn index(&self, at: u32) -> &T {
        let (block, place) = place(at);
        // Numbers come from `insert` and are not used after `remove`.
        self.blocks[block][place].as_ref().expect("an item of this number")
    }
}

impl<T> IndexMut<u32> for Slab<T> {
    fn index_mut(&mut self, at: u32) -> &mut T {
        let (block, place) = place(at);
        // Numbers come from `insert` and are not used after `remove`.
        self.blocks[block][place].as_mut().expect("an item of this number")
    }
}
