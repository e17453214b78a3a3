//! Rows of views, as sinks publish them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Cause, Micros, Token};

/// One value of a row.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
pub enum Cell {
    /// No value.
    #[default]
    Null,
    /// Yes or no.
    Bool(bool),
    /// A count.
    Int(i64),
    /// A real number as its IEEE bits, so that rows are comparable; see [`Cell::float`].
    Float(u64),
    /// A moment.
    Time(Micros),
    /// A 128-bit id, shown as 32 lower-case hexadecimal digits.
    Id(Token),
    /// Text.
    Str(Arc<str>),
    /// Bytes as read.
    Bytes(Arc<[u8]>),
    /// A list of cells of one type.
    List(Arc<[Cell]>),
}

impl Cell {
    /// A real number; not-a-number becomes null.
    pub fn float(value: f64) -> Self {
        // `+ 0.0` turns the negative zero into the positive one: they are one number in a table.
        if value.is_nan() { Self::Null } else { Self::Float((value + 0.0).to_bits()) }
    }

    /// Text.
    pub fn str(value: &str) -> Self {
        Self::Str(Arc::from(value))
    }
}

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
    pub cells: Box<[Cell]>,
    /// The row is final once the watermark is at or past this moment.
    pub final_at: Micros,
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
