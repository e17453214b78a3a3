//! Items by index, in chunks: growth moves no item and leaves little unused.

use std::ops::{Index, IndexMut};

use crate::bytes;

/// Bytes of a large chunk at most. Allocators have a size for that, and give what is larger with
/// room to spare: a tenth, measured with mimalloc.
const LARGE: usize = 512 << 10;
/// Bits of the index inside the first chunk. Each one after it is as large as all before it, up to
/// the large ones.
const FIRST: u32 = 6;

/// A vector in chunks. The first one grows as a vector does, so that a small one is small.
#[derive(Debug)]
pub(super) struct Chunks<T> {
    chunks: Vec<Vec<T>>,
    len: u32,
}

impl<T> Chunks<T> {
    /// Items of a large chunk.
    const ROOM: u32 = (LARGE / size_of::<T>()) as u32;
    /// Bits of the index of the items before them.
    const BITS: u32 = Self::ROOM.ilog2();

    /// The chunk that an item is in, and its place there.
    fn place(index: u32) -> (usize, usize) {
        if let Some(index) = index.checked_sub(1 << Self::BITS) {
            let chunk = index / Self::ROOM + Self::BITS - FIRST + 1;
            return (chunk as usize, (index % Self::ROOM) as usize);
        }
        match (index >> FIRST).checked_ilog2() {
            Some(doubled) => (1 + doubled as usize, (index - (1 << (FIRST + doubled))) as usize),
            None => (0, index as usize),
        }
    }

    /// Room for the items of a chunk, save the first.
    fn room(chunk: usize) -> usize {
        let doubled = FIRST as usize + chunk - 1;
        if doubled < Self::BITS as usize { 1 << doubled } else { Self::ROOM as usize }
    }
}

impl<T> Default for Chunks<T> {
    fn default() -> Self {
        Self { chunks: Vec::new(), len: 0 }
    }
}

impl<T> Chunks<T> {
    pub(super) fn len(&self) -> u32 {
        self.len
    }

    /// Memory that it takes, in bytes, without what its items refer to.
    pub(super) fn bytes(&self) -> usize {
        self.chunks.iter().map(bytes::list).sum::<usize>() + bytes::list(&self.chunks)
    }

    /// Adds an item; returns its index.
    pub(super) fn push(&mut self, item: T) -> u32 {
        let index = self.len;
        let chunk = Self::place(index).0;
        if chunk == self.chunks.len() {
            let room = if chunk == 0 { 0 } else { Self::room(chunk) };
            self.chunks.push(Vec::with_capacity(room));
        }
        self.chunks[chunk].push(item);
        self.len += 1;
        index
    }

    /// Puts an item at an index that is free for it, or adds it.
    pub(super) fn put(&mut self, free: Option<u32>, item: T) -> u32 {
        match free {
            Some(index) => {
                self[index] = item;
                index
            }
            None => self.push(item),
        }
    }

    pub(super) fn get(&self, index: u32) -> Option<&T> {
        let (chunk, place) = Self::place(index);
        self.chunks.get(chunk)?.get(place)
    }

    /// Takes an item out; the last one takes its place.
    pub(super) fn swap_remove(&mut self, index: u32) -> Option<T> {
        let chunk = self.chunks.last_mut()?;
        let last = chunk.pop()?;
        if chunk.is_empty() {
            self.chunks.pop();
        }
        self.len -= 1;
        if index == self.len { Some(last) } else { Some(std::mem::replace(&mut self[index], last)) }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flatten()
    }
}

impl<T> Index<u32> for Chunks<T> {
    type Output = T;
    fn index(&self, index: u32) -> &T {
        let (chunk, place) = Self::place(index);
        &self.chunks[chunk][place]
    }
}

impl<T> IndexMut<u32> for Chunks<T> {
    fn index_mut(&mut self, index: u32) -> &mut T {
        let (chunk, place) = Self::place(index);
        &mut self.chunks[chunk][place]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_a_vector() {
        let (mut chunks, mut naive) = (Chunks::default(), Vec::new());
        assert_eq!((Chunks::<u32>::ROOM, Chunks::<[u64; 6]>::ROOM), (131_072, 10_922));
        for number in 0..500_000_u32 {
            assert_eq!(chunks.push(number), number);
            naive.push(number);
        }
        let full = chunks.chunks.iter().map(|chunk| chunk.len() == chunk.capacity());
        assert_eq!(full.filter(|full| !full).count(), 1, "the last one");
        for step in 0..499_000_u32 {
            let index = step.wrapping_mul(2_654_435_761) % naive.len() as u32;
            assert_eq!(chunks.swap_remove(index), Some(naive.swap_remove(index as usize)));
            assert_eq!(chunks.len() as usize, naive.len());
        }
        assert!(chunks.iter().eq(&naive));
        assert_eq!((chunks.get(7), chunks.get(1_000)), (naive.get(7), None));
        assert_eq!(chunks.put(Some(3), 99), 3);
        assert_eq!((chunks[3], chunks.put(None, 98)), (99, 1_000));
    }
}
