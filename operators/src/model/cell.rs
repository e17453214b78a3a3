//! One value of a row.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Micros, Token};

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
        CellRef::float(value).into()
    }

    /// Text.
    pub fn str(value: &str) -> Self {
        Self::Str(Arc::from(value))
    }

    /// The value, borrowed.
    #[inline]
    pub fn as_ref(&self) -> CellRef<'_> {
        match self {
            Self::Null => CellRef::Null,
            Self::Bool(b) => CellRef::Bool(*b),
            Self::Int(i) => CellRef::Int(*i),
            Self::Float(bits) => CellRef::Float(*bits),
            Self::Time(at) => CellRef::Time(*at),
            Self::Id(token) => CellRef::Id(*token),
            Self::Str(text) => CellRef::Str(text),
            Self::Bytes(bytes) => CellRef::Bytes(bytes),
            Self::List(cells) => CellRef::List(cells),
        }
    }
}

/// A [`Cell`], borrowed: equal, ordered and hashed as it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum CellRef<'a> {
    /// No value.
    Null,
    /// Yes or no.
    Bool(bool),
    /// A count.
    Int(i64),
    /// A real number as its IEEE bits.
    Float(u64),
    /// A moment.
    Time(Micros),
    /// A 128-bit id.
    Id(Token),
    /// Text.
    Str(&'a str),
    /// Bytes as read.
    Bytes(&'a [u8]),
    /// A list of cells of one type.
    List(&'a [Cell]),
}

impl CellRef<'_> {
    /// A real number; not-a-number becomes null.
    pub fn float(value: f64) -> Self {
        // `+ 0.0` turns the negative zero into the positive one: they are one number in a table.
        if value.is_nan() { Self::Null } else { Self::Float((value + 0.0).to_bits()) }
    }
}

impl From<CellRef<'_>> for Cell {
    fn from(cell: CellRef<'_>) -> Self {
        match cell {
            CellRef::Null => Self::Null,
            CellRef::Bool(b) => Self::Bool(b),
            CellRef::Int(i) => Self::Int(i),
            CellRef::Float(bits) => Self::Float(bits),
            CellRef::Time(at) => Self::Time(at),
            CellRef::Id(token) => Self::Id(token),
            CellRef::Str(text) => Self::str(text),
            CellRef::Bytes(bytes) => Self::Bytes(bytes.into()),
            CellRef::List(cells) => Self::List(cells.into()),
        }
    }
}
