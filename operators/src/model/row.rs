//! Rows of views, as sinks publish them.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Cause, Cell, CellRef, Event, Micros, Overview, Session, Token};

/// Type of a column, as the tables declare it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ColumnType {
    /// `Boolean`.
    Bool,
    /// `Int64`.
    Int,
    /// `Float64`.
    Float,
    /// `Timestamp(us, UTC)`.
    Time,
    /// `Utf8`, a lower-case hexadecimal id.
    Id,
    /// `Utf8`.
    Str,
    /// `Binary`.
    Bytes,
    /// `List<Utf8>`, cells are `Str` or `Id`.
    StrList,
    /// `List<Timestamp(us, UTC)>`, cells are `Time` or null.
    TimeList,
}

/// A column of a view.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Column {
    /// Name in every output.
    pub name: &'static str,
    /// Type in every output.
    pub kind: ColumnType,
    /// Whether cells may be [`Cell::Null`].
    pub nullable: bool,
}

/// What a view's rows look like. Column 0 is always `tenant`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ViewSchema {
    /// Name of the view and of its table.
    pub name: Arc<str>,
    /// Columns, in order.
    pub columns: Vec<Column>,
    /// The columns that identify a row: a delete and an insert of one key in one epoch are an
    /// update.
    pub key: Vec<usize>,
    /// The `Time` column whose date partitions the table, if it has one.
    pub date: Option<usize>,
    /// Whether rows, once there, are only added to (`id_changes`, `dead_letters`).
    pub append_only: bool,
}

/// Whether a row can still change.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Status {
    /// The watermark has not passed it: a late event may change it.
    Provisional,
    /// Only identity, consent, erasure or an upgrade may change it.
    Final,
}

impl Status {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Provisional, Self::Final];

    /// The word in the `_status` column.
    pub fn word(self) -> &'static str {
        match self {
            Self::Provisional => "provisional",
            Self::Final => "final",
        }
    }
}

/// A row of a view.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Row {
    /// Index of the view in the job's list of [`ViewSchema`]s.
    pub view: u16,
    /// The values, one per column.
    pub cells: Cells,
    /// Where rows are made: no event of this time or later makes a difference to the row. Outside
    /// of the graph: the row is final once the watermark is at or past this moment; see
    /// [`crate::time::TimeConfig::final_at`].
    pub final_at: Micros,
}

/// The values of a row.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Cells {
    /// Each by itself.
    List(Box<[Cell]>),
    /// A row of `events`, of which there is one for each event: the event, shared, and its person.
    Event(Arc<Event>, Token),
    /// The same of an event that nobody has.
    Nobody(Arc<Event>),
    /// A row of `sessions`: the session, shared, and its person.
    Session(Arc<Session>, Token),
    /// A row of `people`.
    Overview(Box<Overview>),
}

impl Cells {
    /// Number of columns of `events`.
    const EVENT: usize = 6;

    /// Number of values.
    pub fn len(&self) -> usize {
        match self {
            Self::List(cells) => cells.len(),
            Self::Event(..) | Self::Nobody(_) => Self::EVENT,
            Self::Session(..) => Session::COLUMNS,
            Self::Overview(_) => Overview::COLUMNS,
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value in a column; null where there is no such column.
    #[inline]
    pub fn get(&self, column: usize) -> CellRef<'_> {
        match self {
            Self::List(cells) => cells.get(column).map_or(CellRef::Null, Cell::as_ref),
            Self::Event(_, person) if column == Self::EVENT - 1 => CellRef::Id(*person),
            Self::Event(event, _) | Self::Nobody(event) => match column {
                0 => CellRef::Str(&event.kind.tenant),
                1 => event.message_id.as_cell(),
                2 => CellRef::Time(event.key.time),
                3 => CellRef::Str(&event.kind.channel),
                4 => CellRef::Str(&event.kind.name),
                _ => CellRef::Null,
            },
            Self::Session(session, person) => session.cell(column, *person),
            Self::Overview(overview) => overview.cell(column),
        }
    }

    /// All values, in order.
    pub fn iter(&self) -> impl Iterator<Item = CellRef<'_>> {
        (0..self.len()).map(|column| self.get(column))
    }

    /// All values as cells of their own.
    pub fn to_vec(&self) -> Vec<Cell> {
        self.iter().map(Cell::from).collect()
    }
}

impl PartialEq for Cells {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Event(a, x), Self::Event(b, y)) if Arc::ptr_eq(a, b) => x == y,
            (Self::Nobody(a), Self::Nobody(b)) if Arc::ptr_eq(a, b) => true,
            _ => self.iter().eq(other.iter()),
        }
    }
}

impl Eq for Cells {}

impl Ord for Cells {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Event(a, x), Self::Event(b, y)) if Arc::ptr_eq(a, b) => x.cmp(y),
            (Self::Nobody(a), Self::Nobody(b)) if Arc::ptr_eq(a, b) => Ordering::Equal,
            _ => self.iter().cmp(other.iter()),
        }
    }
}

impl PartialOrd for Cells {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Hash for Cells {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.iter().for_each(|cell| cell.hash(state));
    }
}

impl From<Vec<Cell>> for Cells {
    fn from(cells: Vec<Cell>) -> Self {
        Self::List(cells.into())
    }
}

impl<const N: usize> From<[Cell; N]> for Cells {
    fn from(cells: [Cell; N]) -> Self {
        Self::List(Box::new(cells))
    }
}

/// A row that appears (`diff` > 0) or goes (`diff` < 0), and why.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Change {
    /// The row.
    pub row: Row,
    /// How many more (or, if negative, fewer) of it there are.
    pub diff: i64,
    /// Why.
    pub cause: Cause,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// There are several for each event: a line of memory.
    #[test]
    fn a_change_is_small() {
        assert!(size_of::<Change>() <= 64);
    }
}
