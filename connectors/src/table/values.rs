//! A column of a file, compared with cells without being made cells itself.

use std::cmp::Ordering;

use arrow::array::{
    Array, ArrayRef, AsArray as _, BinaryArray, BooleanArray, Float64Array, Int64Array, ListArray,
    StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{Float64Type, Int64Type, TimestampMicrosecondType};
use operators::model::{CellRef, ColumnType, Uuid};

use super::columns::arrow_type;

/// Bytes of a cell in a column, if they have no fixed length.
pub(super) fn bytes(cell: CellRef<'_>) -> usize {
    match cell {
        CellRef::Str(text) => text.len(),
        CellRef::Bytes(bytes) => bytes.len(),
        // As text.
        CellRef::Id(_) => 32,
        CellRef::Uuid(_) => Uuid::TEXT,
        CellRef::List(items) => items.iter().map(|item| bytes(item.as_ref())).sum(),
        CellRef::Null
        | CellRef::Bool(_)
        | CellRef::Int(_)
        | CellRef::Float(_)
        | CellRef::Time(_) => 0,
    }
}

/// The values of a column that was written by [`super::columns::batch`].
pub(super) enum Values {
    Bool(BooleanArray),
    Int(Int64Array),
    Float(Float64Array),
    Time(TimestampMicrosecondArray),
    Text(StringArray),
    Bytes(BinaryArray),
    List(ListArray, Box<Self>),
}

impl Values {
    /// The values of an array; `None` if it is not one of that type of column.
    pub(super) fn of(kind: ColumnType, array: &ArrayRef) -> Option<Self> {
        if *array.data_type() != arrow_type(kind) {
            return None;
        }
        let list = |item| {
            let list = array.as_list_opt::<i32>()?.clone();
            let items = Self::of(item, list.values())?;
            Some(Self::List(list, Box::new(items)))
        };
        Some(match kind {
            ColumnType::Bool => Self::Bool(array.as_boolean_opt()?.clone()),
            ColumnType::Int => Self::Int(array.as_primitive_opt::<Int64Type>()?.clone()),
            ColumnType::Float => Self::Float(array.as_primitive_opt::<Float64Type>()?.clone()),
            ColumnType::Time => {
                Self::Time(array.as_primitive_opt::<TimestampMicrosecondType>()?.clone())
            }
            ColumnType::Id | ColumnType::Str => Self::Text(array.as_string_opt::<i32>()?.clone()),
            ColumnType::Bytes => Self::Bytes(array.as_binary_opt::<i32>()?.clone()),
            ColumnType::StrList => list(ColumnType::Str)?,
            ColumnType::TimeList => list(ColumnType::Time)?,
        })
    }

    /// Bytes of the values of some rows that have no fixed length; of each as many as [`bytes`]
    /// says of its cell.
    pub(super) fn bytes(&self, from: usize, to: usize) -> usize {
        let between = |offsets: &[i32]| (offsets[to] - offsets[from]) as usize;
        match self {
            Self::Text(values) => between(values.value_offsets()),
            Self::Bytes(values) => between(values.value_offsets()),
            Self::List(lists, items) => {
                let at = |row: usize| lists.value_offsets()[row] as usize;
                items.bytes(at(from), at(to))
            }
            Self::Bool(_) | Self::Int(_) | Self::Float(_) | Self::Time(_) => 0,
        }
    }

    fn array(&self) -> &dyn Array {
        match self {
            Self::Bool(values) => values,
            Self::Int(values) => values,
            Self::Float(values) => values,
            Self::Time(values) => values,
            Self::Text(values) => values,
            Self::Bytes(values) => values,
            Self::List(values, _) => values,
        }
    }

    /// The value in a row beside a cell, in the order of cells. A cell of another type than the
    /// column's counts as null, for so it is written; ids are in the order of their digits.
    pub(super) fn cmp(&self, row: usize, cell: CellRef<'_>) -> Ordering {
        let null = self.array().is_null(row);
        let order = match (self, cell) {
            (Self::Bool(values), CellRef::Bool(cell)) => values.value(row).cmp(&cell),
            (Self::Int(values), CellRef::Int(cell)) => values.value(row).cmp(&cell),
            (Self::Float(values), CellRef::Float(bits)) => values.value(row).to_bits().cmp(&bits),
            (Self::Time(values), CellRef::Time(cell)) => values.value(row).cmp(&cell),
            (Self::Text(values), CellRef::Str(cell)) => values.value(row).cmp(cell),
            (Self::Text(values), CellRef::Id(id)) => values.value(row).cmp(id.hex(&mut [0; 32])),
            (Self::Text(values), CellRef::Uuid(uuid)) => {
                values.value(row).cmp(uuid.text(&mut [0; Uuid::TEXT]))
            }
            (Self::Bytes(values), CellRef::Bytes(cell)) => values.value(row).cmp(cell),
            (Self::List(list, items), CellRef::List(cells)) => {
                let [from, to] = [row, row + 1].map(|at| list.value_offsets()[at] as usize);
                let orders = (from..to).zip(cells).map(|(at, cell)| items.cmp(at, cell.as_ref()));
                let first = orders.into_iter().find(|order| order.is_ne());
                first.unwrap_or_else(|| (to - from).cmp(&cells.len()))
            }
            _ if null => return Ordering::Equal,
            _ => return Ordering::Greater,
        };
        // What stands where there is no value says nothing.
        if null { Ordering::Less } else { order }
    }
}
