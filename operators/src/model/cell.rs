//! One value of a row.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Micros, Token, Uuid};

/// One value of a row.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
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
    /// Text that is a UUID: the same value as [`Self::Str`] of that text.
    Uuid(Uuid),
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
            Self::Uuid(uuid) => CellRef::Uuid(*uuid),
            Self::Str(text) => CellRef::Str(text),
            Self::Bytes(bytes) => CellRef::Bytes(bytes),
            Self::List(cells) => CellRef::List(cells),
        }
    }
}

impl PartialEq for Cell {
    fn eq(&self, other: &Self) -> bool {
        self.as_ref() == other.as_ref()
    }
}

impl Eq for Cell {}

impl Ord for Cell {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_ref().cmp(&other.as_ref())
    }
}

impl PartialOrd for Cell {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Hash for Cell {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_ref().hash(state);
    }
}

/// A [`Cell`], borrowed: equal, ordered and hashed as it. Values of different types are in the
/// order in which these stand here.
#[derive(Clone, Copy, Debug)]
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
    /// Text that is a UUID.
    Uuid(Uuid),
    /// Text.
    Str(&'a str),
    /// Bytes as read.
    Bytes(&'a [u8]),
    /// A list of cells of one type.
    List(&'a [Cell]),
}

impl CellRef<'_> {
    /// The place of its type among all; a UUID is a text.
    fn class(&self) -> u8 {
        match self {
            Self::Null => 0,
            Self::Bool(_) => 1,
            Self::Int(_) => 2,
            Self::Float(_) => 3,
            Self::Time(_) => 4,
            Self::Id(_) => 5,
            Self::Uuid(_) | Self::Str(_) => 6,
            Self::Bytes(_) => 7,
            Self::List(_) => 8,
        }
    }

    /// A real number; not-a-number becomes null.
    pub fn float(value: f64) -> Self {
        // `+ 0.0` turns the negative zero into the positive one: they are one number in a table.
        if value.is_nan() { Self::Null } else { Self::Float((value + 0.0).to_bits()) }
    }
}

impl PartialEq for CellRef<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Str(a), Self::Str(b)) => a == b,
            (Self::Bytes(a), Self::Bytes(b)) => a == b,
            _ => self.cmp(other).is_eq(),
        }
    }
}

impl Eq for CellRef<'_> {}

impl Ord for CellRef<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let mut buffer = [0; Uuid::TEXT];
        match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => a.cmp(b),
            (Self::Int(a), Self::Int(b)) | (Self::Time(a), Self::Time(b)) => a.cmp(b),
            (Self::Float(a), Self::Float(b)) => a.cmp(b),
            (Self::Id(a), Self::Id(b)) => a.cmp(b),
            (Self::Uuid(a), Self::Uuid(b)) => a.cmp(b),
            (Self::Uuid(a), Self::Str(b)) => a.text(&mut buffer).cmp(b),
            (Self::Str(a), Self::Uuid(b)) => (**a).cmp(b.text(&mut buffer)),
            (Self::Str(a), Self::Str(b)) => a.cmp(b),
            (Self::Bytes(a), Self::Bytes(b)) => a.cmp(b),
            (Self::List(a), Self::List(b)) => a.cmp(b),
            _ => self.class().cmp(&other.class()),
        }
    }
}

impl PartialOrd for CellRef<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Hash for CellRef<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u8(self.class());
        match self {
            Self::Null => {}
            Self::Bool(value) => value.hash(state),
            Self::Int(value) | Self::Time(value) => value.hash(state),
            Self::Float(bits) => bits.hash(state),
            Self::Id(token) => token.hash(state),
            Self::Uuid(uuid) => uuid.text(&mut [0; Uuid::TEXT]).hash(state),
            Self::Str(text) => text.hash(state),
            Self::Bytes(bytes) => bytes.hash(state),
            Self::List(cells) => cells.hash(state),
        }
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
            CellRef::Uuid(uuid) => Self::Uuid(uuid),
            CellRef::Str(text) => Self::str(text),
            CellRef::Bytes(bytes) => Self::Bytes(bytes.into()),
            CellRef::List(cells) => Self::List(cells.into()),
        }
    }
}
