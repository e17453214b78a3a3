//! Lists of events in blocks: which blocks, and how they divide and become one again.

use smallvec::SmallVec;
use thin_vec::ThinVec;

use super::super::blocks::{BlockId, Blocks, NONE, ROOM};
use super::{FEW, Slot, SlotList};

/// The blocks of a list.
type Leaves = SmallVec<[BlockId; ROOM]>;

/// The blocks that are taken.
pub(super) fn taken(blocks: &[BlockId; FEW]) -> &[BlockId] {
    &blocks[..blocks.iter().position(|&block| block == NONE).unwrap_or(FEW)]
}

impl SlotList {
    /// A list of these slots, which are at most [`IN_BLOCKS`].
    pub(super) fn in_blocks(blocks: &mut Blocks, slots: &[Slot]) -> Self {
        let leaves: Leaves = slots.chunks(ROOM).map(|leaf| blocks.add(leaf)).collect();
        let mut list = Self::Blocks(slots.len() as u8, [NONE; FEW]);
        list.set_leaves(blocks, &leaves);
        list
    }

    fn leaves_in(&self, blocks: &Blocks) -> Leaves {
        match self {
            Self::Blocks(_, leaves) => taken(leaves).into(),
            Self::Listed { list, .. } => blocks.numbers(*list).into(),
            Self::Few(..) | Self::Small(_) | Self::Large(_) => Leaves::new(),
        }
    }

    /// Its blocks are these now, [`ROOM`] at most.
    fn set_leaves(&mut self, blocks: &mut Blocks, leaves: &[BlockId]) {
        let (len, list) = match self {
            Self::Listed { len, list, .. } => (*len, Some(*list)),
            _ => (self.len() as u8, None),
        };
        *self = if leaves.len() > FEW {
            let last = leaves.last().copied().unwrap_or(NONE);
            let list = match list {
                Some(list) => blocks.set(list, leaves),
                None => blocks.add(leaves),
            };
            Self::Listed { len, list, last }
        } else {
            if let Some(list) = list {
                blocks.release(list);
            }
            let mut few = [NONE; FEW];
            few[..leaves.len()].copy_from_slice(leaves);
            Self::Blocks(len, few)
        };
    }

    /// Notes that a leaf is another block now.
    pub(super) fn exchange_leaf(&mut self, blocks: &mut Blocks, part: usize, now: BlockId) {
        let mut leaves = self.leaves_in(blocks);
        leaves[part] = now;
        self.set_leaves(blocks, &leaves);
    }

    fn count_in_blocks(&mut self, change: impl Fn(&mut u8)) {
        if let Self::Blocks(len, _) | Self::Listed { len, .. } = self {
            change(len);
        }
    }

    /// Gives its blocks back; returns the slots.
    fn dissolve(&mut self, blocks: &mut Blocks) -> SmallVec<[Slot; ROOM]> {
        let leaves = self.leaves_in(blocks);
        let slots = leaves.iter().flat_map(|&leaf| blocks.numbers(leaf)).copied().collect();
        for leaf in leaves {
            blocks.release(leaf);
        }
        self.set_leaves(blocks, &[]);
        slots
    }

    pub(super) fn put_in_block(
        &mut self,
        blocks: &mut Blocks,
        part: usize,
        place: usize,
        slot: Slot,
    ) {
        let mut leaves = self.leaves_in(blocks);
        let full = leaves[part];
        if let Some(now) = blocks.insert(full, place, slot) {
            self.count_in_blocks(|len| *len += 1);
            if now != full {
                self.exchange_leaf(blocks, part, now);
            }
            return;
        }
        if leaves.len() == ROOM {
            let before: usize = leaves[..part].iter().map(|&leaf| blocks.len(leaf)).sum();
            let mut list: ThinVec<Slot> = self.dissolve(blocks).into_iter().collect();
            list.insert(before + place, slot);
            *self = Self::Small(list);
            return;
        }
        let new = if place == ROOM && part + 1 == leaves.len() {
            // A list that grows at its end leaves full blocks behind.
            blocks.add(&[slot])
        } else {
            let mut slots: SmallVec<[Slot; ROOM + 1]> = blocks.numbers(full).into();
            slots.insert(place, slot);
            let (head, tail) = slots.split_at(ROOM / 2);
            leaves[part] = blocks.set(full, head);
            blocks.add(tail)
        };
        leaves.insert(part + 1, new);
        self.count_in_blocks(|len| *len += 1);
        self.set_leaves(blocks, &leaves);
    }

    pub(super) fn remove_in_block(&mut self, blocks: &mut Blocks, part: usize, place: usize) {
        let mut leaves = self.leaves_in(blocks);
        blocks.remove(leaves[part], place);
        self.count_in_blocks(|len| *len -= 1);
        if self.len() <= FEW {
            let slots = self.dissolve(blocks);
            let mut few = [0; FEW];
            few[..slots.len()].copy_from_slice(&slots);
            *self = Self::Few(slots.len() as u8, few);
            return;
        }
        // Blocks side by side that fit one are made one: so two hold more than one can.
        let fits = |&left: &usize| {
            let both = leaves.get(left..left + 2).unwrap_or_default();
            both.len() == 2 && both.iter().map(|&leaf| blocks.len(leaf)).sum::<usize>() <= ROOM
        };
        if let Some(left) = [part, part.saturating_sub(1)].into_iter().find(fits) {
            let right = leaves.remove(left + 1);
            let mut slots: SmallVec<[Slot; ROOM]> = blocks.numbers(leaves[left]).into();
            slots.extend_from_slice(blocks.numbers(right));
            blocks.release(right);
            leaves[left] = blocks.set(leaves[left], &slots);
            self.set_leaves(blocks, &leaves);
        }
    }
}
