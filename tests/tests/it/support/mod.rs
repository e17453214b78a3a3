//! Jobs in folders of their own, what their tables hold, and naive answers to compare with.

mod delta;
mod job;

use operators::model::Cell;

pub(crate) use delta::Table;
pub(crate) use job::{Job, data, unpacked};

/// The text of a cell.
pub(crate) fn text(cell: &Cell) -> &str {
    let Cell::Str(text) = cell else { panic!("{cell:?} is no text") };
    text
}

/// Start, end and number of events of each session: a gap greater than `gap` splits.
pub(crate) fn sessions(mut times: Vec<i64>, gap: i64) -> Vec<(i64, i64, i64)> {
    times.sort_unstable();
    let mut sessions: Vec<(i64, i64, i64)> = Vec::new();
    for time in times {
        match sessions.last_mut() {
            Some((_, end, events)) if time - *end <= gap => (*end, *events) = (time, *events + 1),
            _ => sessions.push((time, time, 1)),
        }
    }
    sessions
}
