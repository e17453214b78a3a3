//! The raw links of one identifier: its neighbours, each with the number of events that show the
//! link. 16 bytes for most; beyond 128 neighbours with an index, so that a hub costs no scan.

use std::num::NonZeroU32;

use thin_vec::ThinVec;

use super::chunks::Chunks;
use super::slots::Node;
use crate::table::{Hashed, Parts};

/// No neighbour.
const NONE: Node = Node::MAX;
/// Beyond this many an index finds the place of a neighbour. As many stand in 16 lines of memory in
/// a row, which are read as fast as two that are far from each other; an index takes twice the
/// memory.
const SCANNED_MAX: usize = if cfg!(test) { 8 } else { 128 };

/// Neighbours in any order, each once. The order changes only when one goes.
#[derive(Debug)]
pub(super) enum Neighbours {
    /// The first ones are taken.
    Few {
        events: [u8; 3],
        to: [Node; 3],
    },
    Some(ThinVec<(Node, u32)>),
    Many(Box<Many>),
}

#[derive(Debug, Default)]
pub(super) struct Many {
    list: Chunks<(Node, u32)>,
    places: Parts<Place>,
}

/// A neighbour, plus one, and its place in the list.
#[derive(Debug)]
struct Place(NonZeroU32, u32);

impl Hashed for Place {
    fn hash(&self) -> u32 {
        hash(self.0.get() - 1)
    }
}

/// Nodes are numbers in a row: their hash must spread them.
fn hash(node: Node) -> u32 {
    (u64::from(node).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32
}

impl Many {
    fn place(&self, node: Node) -> Option<u32> {
        let found = self.places.find(hash(node), |p| p.0.get() - 1 == node).ok()?;
        self.places.at(found).map(|place| place.1)
    }

    fn add(&mut self, node: Node, events: u32) {
        let place = self.list.push((node, events));
        if let Err(at) = self.places.find(hash(node), |p| p.0.get() - 1 == node) {
            self.places.insert(at, Place(NonZeroU32::MIN.saturating_add(node), place));
        }
    }

    fn remove(&mut self, node: Node) {
        let Ok(found) = self.places.find(hash(node), |p| p.0.get() - 1 == node) else { return };
        let Some(Place(_, place)) = self.places.remove(found) else { return };
        self.list.swap_remove(place);
        let Some(&(moved, _)) = self.list.get(place) else { return };
        if let Ok(found) = self.places.find(hash(moved), |p| p.0.get() - 1 == moved)
            && let Some(entry) = self.places.at_mut(found)
        {
            entry.1 = place;
        }
    }
}

impl Default for Neighbours {
    fn default() -> Self {
        Self::Few { events: [0; 3], to: [NONE; 3] }
    }
}

impl Neighbours {
    /// Neighbours that need no memory of their own, unless there were more at some time.
    pub(super) const FEW: usize = 3;

    /// Number of neighbours.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Few { to, .. } => to.iter().position(|&n| n == NONE).unwrap_or(3),
            Self::Some(list) => list.len(),
            Self::Many(many) => many.list.len() as usize,
        }
    }

    /// The neighbour at a place.
    pub(super) fn get(&self, place: usize) -> Option<Node> {
        match self {
            Self::Few { to, .. } => to.get(place).copied().filter(|&n| n != NONE),
            Self::Some(list) => list.get(place).map(|entry| entry.0),
            Self::Many(many) => many.list.get(place as u32).map(|entry| entry.0),
        }
    }

    /// All neighbours.
    pub(super) fn all(&self) -> Vec<Node> {
        match self {
            Self::Few { to, .. } => to.iter().copied().filter(|&n| n != NONE).collect(),
            Self::Some(list) => list.iter().map(|entry| entry.0).collect(),
            Self::Many(many) => many.list.iter().map(|entry| entry.0).collect(),
        }
    }

    /// Whether there is a link with `node`.
    pub(super) fn has(&self, node: Node) -> bool {
        match self {
            Self::Few { to, .. } => to.contains(&node),
            Self::Some(list) => list.iter().any(|entry| entry.0 == node),
            Self::Many(many) => many.place(node).is_some(),
        }
    }

    /// One more event shows the link with `node`; false if there is no such link.
    pub(super) fn more(&mut self, node: Node) -> bool {
        match self {
            Self::Few { events, to } => {
                let Some(place) = to.iter().position(|&n| n == node) else { return false };
                if let Some(more) = events[place].checked_add(1) {
                    events[place] = more;
                } else {
                    self.spread();
                    return self.more(node);
                }
            }
            Self::Some(list) => match list.iter_mut().find(|entry| entry.0 == node) {
                Some(entry) => entry.1 += 1,
                None => return false,
            },
            Self::Many(many) => match many.place(node) {
                Some(place) => many.list[place].1 += 1,
                None => return false,
            },
        }
        true
    }

    /// One event fewer shows the link with `node`: whether it is still there. `None` if there was
    /// no such link.
    pub(super) fn less(&mut self, node: Node) -> Option<bool> {
        let stays = match self {
            Self::Few { events, to } => {
                let place = to.iter().position(|&n| n == node)?;
                events[place] -= 1;
                if events[place] == 0 {
                    let last = to.iter().rposition(|&n| n != NONE).unwrap_or(place);
                    (to[place], events[place]) = (to[last], events[last]);
                    (to[last], events[last]) = (NONE, 0);
                    return Some(false);
                }
                true
            }
            Self::Some(list) => {
                let place = list.iter().position(|entry| entry.0 == node)?;
                list[place].1 -= 1;
                let stays = list[place].1 > 0;
                if !stays {
                    list.swap_remove(place);
                }
                stays
            }
            Self::Many(many) => {
                let place = many.place(node)?;
                many.list[place].1 -= 1;
                let stays = many.list[place].1 > 0;
                if !stays {
                    many.remove(node);
                }
                stays
            }
        };
        if !stays {
            self.shrink();
        }
        Some(stays)
    }

    /// A link with a new neighbour, shown by one event.
    pub(super) fn add(&mut self, node: Node) {
        match self {
            Self::Few { events, to } => {
                if let Some(place) = to.iter().position(|&n| n == NONE) {
                    (to[place], events[place]) = (node, 1);
                } else {
                    self.spread();
                    self.add(node);
                }
            }
            Self::Some(list) if list.len() == SCANNED_MAX => {
                let mut many = Many::default();
                for &(to, events) in list.iter() {
                    many.add(to, events);
                }
                many.add(node, 1);
                *self = Self::Many(Box::new(many));
            }
            Self::Some(list) => list.push((node, 1)),
            Self::Many(many) => many.add(node, 1),
        }
    }

    /// From few to some.
    fn spread(&mut self) {
        if let Self::Few { events, to } = self {
            let taken = to.iter().zip(events.iter()).filter(|(n, _)| **n != NONE);
            *self = Self::Some(taken.map(|(&n, &e)| (n, u32::from(e))).collect());
        }
    }

    /// Back to a smaller form, well below where the larger one begins.
    fn shrink(&mut self) {
        match self {
            Self::Some(list) if list.is_empty() => *self = Self::default(),
            Self::Many(many) if many.list.len() as usize <= SCANNED_MAX / 2 => {
                *self = Self::Some(many.list.iter().copied().collect());
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::identity::testing::Seeded;

    #[test]
    fn agrees_with_a_map() {
        assert_eq!(size_of::<Neighbours>(), 16);
        for (seed, most) in [(1, 3), (2, 12), (3, 40), (4, 700)] {
            let mut random = Seeded(seed);
            let (mut list, mut map) = (Neighbours::default(), BTreeMap::<Node, u32>::new());
            for step in 0..20_000 {
                let node = random.below(most) as Node;
                // Grows and shrinks in turn, and shows some links more than 255 times.
                if random.below(10) < if step / 3_000 % 2 == 0 { 7 } else { 3 } {
                    let known = map.contains_key(&node);
                    assert_eq!(list.more(node), known, "seed {seed}");
                    if !known {
                        list.add(node);
                    }
                    *map.entry(node).or_default() += 1;
                } else {
                    let left = map.get_mut(&node).map(|events| {
                        *events -= 1;
                        *events > 0
                    });
                    assert_eq!(list.less(node), left, "seed {seed}");
                    map.retain(|_, events| *events > 0);
                }
                assert_eq!((list.len(), list.has(node)), (map.len(), map.contains_key(&node)));
                if step % 50 == 0 {
                    let mut all = list.all();
                    let by_place: Vec<Node> = (0..).map_while(|p| list.get(p)).collect();
                    assert_eq!(all, by_place);
                    all.sort_unstable();
                    assert!(all.iter().eq(map.keys()));
                }
            }
        }
    }
}
