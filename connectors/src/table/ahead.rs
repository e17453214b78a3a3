//! Rows that are needed soon, read in one go: they lie far from each other in memory, and of reads
//! that wait for nothing else several are under way at once.

use operators::model::CellRef;

/// Rows that are read ahead together: few enough to stay in the nearest caches.
pub(super) const AHEAD: usize = 256;

/// Reads some values. What is read does not matter, but must not be optimised away.
pub(super) fn read_ahead<'a>(cells: impl Iterator<Item = CellRef<'a>>) {
    let word = |cell| match cell {
        CellRef::Null => 0,
        CellRef::Bool(value) => u64::from(value),
        CellRef::Int(value) | CellRef::Time(value) => value as u64,
        CellRef::Float(bits) => bits,
        CellRef::Id(token) => token.0 as u64,
        CellRef::Uuid(uuid) => uuid.word(),
        CellRef::Str(text) => text.len() as u64,
        CellRef::Bytes(bytes) => bytes.len() as u64,
        CellRef::List(cells) => cells.len() as u64,
    };
    std::hint::black_box(cells.fold(0, |all, cell| all ^ word(cell)));
}
