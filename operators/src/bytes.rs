//! What containers take in memory: estimates from counts that are at hand, for metrics.
//!
//! Each stateful core has a `bytes()` built of these. It costs some loads, not a walk over the
//! state, and leaves out what is shared with others (names, and events, which `store` counts) and
//! what an allocator adds.

use thin_vec::ThinVec;

use crate::model::{Cell, Cells, Event, Overview, Row, Value};

/// A list, by what it has room for.
pub(crate) fn list<T>(list: &Vec<T>) -> usize {
    list.capacity() * size_of::<T>()
}

/// A list that is one word while it is empty.
pub(crate) fn thin<T>(list: &ThinVec<T>) -> usize {
    // With its length and capacity in front.
    if list.capacity() == 0 { 0 } else { 2 * size_of::<usize>() + list.capacity() * size_of::<T>() }
}

/// Something in an `Arc`.
pub(crate) fn shared<T>() -> usize {
    SHARED + size_of::<T>()
}

/// A hash map or set with room for so many entries of this size: a byte and a seventh more each.
pub(crate) fn map(room: usize, entry: usize) -> usize {
    room * 8 / 7 * (entry + 1)
}

/// A tree of entries of this size: nodes have 11 places, and two thirds of them are taken.
pub(crate) fn tree(len: usize, entry: usize) -> usize {
    len.div_ceil(8) * (11 * entry + 16)
}

/// What goes with an `Arc`.
const SHARED: usize = 2 * size_of::<usize>();

impl Value {
    fn bytes(&self) -> usize {
        match self {
            Self::Str(text) => SHARED + text.len(),
            Self::Bool(_) | Self::Int(_) | Self::Float(_) => 0,
        }
    }
}

impl Event {
    /// Memory that it takes, in bytes, without its names. Texts of properties that several events
    /// share count for each.
    pub fn bytes(&self) -> usize {
        let values: usize = self.properties.iter().flatten().map(Value::bytes).sum();
        let idents = if self.idents.spilled() { size_of_val(&*self.idents) } else { 0 };
        let command = self.command().map_or(0, size_of_val);
        let special = self.special.as_deref().map_or(0, size_of_val) + command;
        let own = SHARED + size_of::<Self>() + self.message_id.bytes();
        own + self.properties.bytes() + values + idents + special
    }
}

impl Row {
    /// Memory that it takes, in bytes, without texts, events and sessions, which are shared. The
    /// payloads of dead letters are nobody else's.
    pub fn bytes(&self) -> usize {
        let payload = |cell: &Cell| if let Cell::Bytes(b) = cell { SHARED + b.len() } else { 0 };
        let cells = match &self.cells {
            Cells::List(cells) => size_of_val(&**cells) + cells.iter().map(payload).sum::<usize>(),
            Cells::Event(..) | Cells::Nobody(_) | Cells::Session(..) => 0,
            Cells::Overview(_) => size_of::<Overview>(),
        };
        size_of::<Self>() + cells
    }
}
