//! What the operators of a worker hold in memory.

use std::cell::Cell;
use std::rc::Rc;

/// The operators that hold state, in the order of the flow.
pub const STATEFUL: [&str; 6] = ["dedup", "shadow", "identity", "store", "people", "counts"];

/// An operator that holds state: its place in [`STATEFUL`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Holder {
    Dedup,
    Shadow,
    Identity,
    Store,
    People,
    Counts,
}

/// Bytes that each operator holds, about, as it said when it acted last. Events count in the store,
/// whoever else shares them; the differential engine of identity says nothing.
#[derive(Clone, Default, Debug)]
pub struct HeldBytes(Rc<[Cell<usize>; STATEFUL.len()]>);

impl HeldBytes {
    /// An operator says what it holds.
    pub(super) fn say(&self, holder: Holder, bytes: usize) {
        self.0[holder as usize].set(bytes);
    }

    /// What each operator holds, in the order of [`STATEFUL`].
    pub fn now(&self) -> [u64; STATEFUL.len()] {
        std::array::from_fn(|place| self.0[place].get() as u64)
    }
}
