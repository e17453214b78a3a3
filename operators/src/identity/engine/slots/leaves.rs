//! Lists of events in blocks: which blocks, and how they divide and become one again.

use smallvec::SmallVec;
use thin_vec::ThinVec;

use super::super::blocks::{Blocks, NONE, ROOM};
use super::{FEW, Slot, SlotList};

/// The blocks of a list.
type Leaves = SmallVec<[u32; ROOM]>;

/// The blocks that are taken.
pub(super) fn taken(blocks: &[u32; FEW]) -> &[u32] {
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
            Self::Listed { list, .. } => blocks[*list].numbers().into(),
            Self::Few(..) | Self::Small(_) | Self::Large(_) => Leaves::new(),
        }
    }

    /// Its blocks are these now, [`ROOM`] at most.
    fn set_leaves(&mut self, blocks: &mut Blocks, leaves: &[u32]) {
        let (len, list) = match self {
            Self::Listed { len, list, .. } => (*len, Some(*list)),
            _ => (self.len() as u8, None),
        };
        *self = if leaves.len() > FEW {
            let last = leaves.last().copied().unwrap_or(NONE);
            let list = match list {
                Some(list) => {
                    blocks.set(list, leaves);
                    list
                }
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

    fn count_in_blocks(&mut self, change: impl Fn(&mut u8)) {
        if let Self::Blocks(len, _) | Self::Listed { len, .. } = self {
            change(len);
        }
    }

    /// Gives its blocks back; returns the slots.
    fn dissolve(&mut self, blocks: &mut Blocks) -> SmallVec<[Slot; ROOM]> {
        let leaves = self.leaves_in(blocks);
        let slots = leaves.iter().flat_map(|&leaf| blocks[leaf].numbers()).copied().collect();
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
        if blocks[full].insert(place, slot) {
            self.count_in_blocks(|len| *len += 1);
            return;
        }
        if leaves.len() == ROOM {
            let before: usize = leaves[..part].iter().map(|&leaf| blocks[leaf].len()).sum();
            let mut list: ThinVec<Slot> = self.dissolve(blocks).into_iter().collect();
            list.insert(before + place, slot);
            *self = Self::Small(list);
            return;
        }
        let new = if place == ROOM && part + 1 == leaves.len() {
            // A list that grows at its end leaves full blocks behind.
            blocks.add(&[slot])
        } else {
            let slots: SmallVec<[Slot; ROOM]> = blocks[full].numbers().into();
            let (head, tail) = slots.split_at(ROOM / 2);
            blocks.set(full, head);
            let new = blocks.add(tail);
            match place.checked_sub(head.len()) {
                Some(place) => blocks[new].insert(place, slot),
                None => blocks[full].insert(place, slot),
            };
            new
        };
        leaves.insert(part + 1, new);
        self.count_in_blocks(|len| *len += 1);
        self.set_leaves(blocks, &leaves);
    }

    pub(super) fn remove_in_block(&mut self, blocks: &mut Blocks, part: usize, place: usize) {
        let mut leaves = self.leaves_in(blocks);
        blocks[leaves[part]].remove(place);
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
            both.len() == 2 && both.iter().map(|&leaf| blocks[leaf].len()).sum::<usize>() <= ROOM
        };
        if let Some(left) = [part, part.saturating_sub(1)].into_iter().find(fits) {
            let right = leaves.remove(left + 1);
            let slots: SmallVec<[Slot; ROOM]> = blocks[right].numbers().into();
            for slot in slots {
                blocks[leaves[left]].push(slot);
            }
            blocks.release(right);
            self.set_leaves(blocks, &leaves);
        }
    }
}
