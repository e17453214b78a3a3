//! Rows as Arrow columns and as Delta fields.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::{
    Array as _, ArrayRef, AsArray as _, BinaryBuilder, BooleanBuilder, Float64Builder,
    Int64Builder, ListBuilder, RecordBatch, StringBuilder, TimestampMicrosecondBuilder,
};
use arrow::datatypes::{
    DataType, Field, Float64Type, Int64Type, Schema, TimeUnit, TimestampMicrosecondType,
};
use arrow::error::ArrowError;
use deltalake_core::kernel::{ArrayType, DataType as DeltaType, PrimitiveType, StructField};
use operators::model::{Cell, ColumnType, Token};

/// A column of a table: name, type, whether it may be null.
pub(super) type Layout = (&'static str, ColumnType, bool);

fn utc() -> Arc<str> {
    "UTC".into()
}

fn arrow_type(kind: ColumnType) -> DataType {
    let list = |item| DataType::List(Arc::new(Field::new("element", item, true)));
    let time = || DataType::Timestamp(TimeUnit::Microsecond, Some(utc()));
    match kind {
        ColumnType::Bool => DataType::Boolean,
        ColumnType::Int => DataType::Int64,
        ColumnType::Float => DataType::Float64,
        ColumnType::Time => time(),
        ColumnType::Id | ColumnType::Str => DataType::Utf8,
        ColumnType::Bytes => DataType::Binary,
        ColumnType::StrList => list(DataType::Utf8),
        ColumnType::TimeList => list(time()),
    }
}

/// The Arrow schema of some columns.
pub(super) fn arrow_schema(columns: &[Layout]) -> Arc<Schema> {
    let fields =
        columns.iter().map(|(name, kind, null)| Field::new(*name, arrow_type(*kind), *null));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// The Delta fields of some columns.
pub(super) fn delta_fields(columns: &[Layout]) -> Vec<StructField> {
    let list = |item| DeltaType::from(ArrayType::new(DeltaType::Primitive(item), true));
    let fields = columns.iter().map(|(name, kind, null)| {
        let kind = match kind {
            ColumnType::Bool => DeltaType::Primitive(PrimitiveType::Boolean),
            ColumnType::Int => DeltaType::Primitive(PrimitiveType::Long),
            ColumnType::Float => DeltaType::Primitive(PrimitiveType::Double),
            ColumnType::Time => DeltaType::Primitive(PrimitiveType::Timestamp),
            ColumnType::Id | ColumnType::Str => DeltaType::Primitive(PrimitiveType::String),
            ColumnType::Bytes => DeltaType::Primitive(PrimitiveType::Binary),
            ColumnType::StrList => list(PrimitiveType::String),
            ColumnType::TimeList => list(PrimitiveType::Timestamp),
        };
        StructField::new(*name, kind, *null)
    });
    fields.collect()
}

fn text<'a>(cell: &'a Cell, buffer: &'a mut String) -> Option<&'a str> {
    match cell {
        Cell::Str(text) => Some(text),
        Cell::Id(token) => {
            buffer.clear();
            // Writing to a string can't fail.
            let _ = write!(buffer, "{token}");
            Some(buffer)
        }
        _ => None,
    }
}

/// One column from its cells. A cell of another type than the column's is null.
pub(super) fn array<'a>(kind: ColumnType, cells: impl Iterator<Item = &'a Cell>) -> ArrayRef {
    let mut buffer = String::new();
    match kind {
        ColumnType::Bool => {
            let mut builder = BooleanBuilder::new();
            cells.for_each(|c| {
                builder.append_option(if let Cell::Bool(b) = c { Some(*b) } else { None });
            });
            Arc::new(builder.finish())
        }
        ColumnType::Int => {
            let mut builder = Int64Builder::new();
            cells.for_each(|c| {
                builder.append_option(if let Cell::Int(i) = c { Some(*i) } else { None });
            });
            Arc::new(builder.finish())
        }
        ColumnType::Float => {
            let mut builder = Float64Builder::new();
            for cell in cells {
                let bits = if let Cell::Float(bits) = cell { Some(*bits) } else { None };
                builder.append_option(bits.map(f64::from_bits));
            }
            Arc::new(builder.finish())
        }
        ColumnType::Time => {
            let mut builder = TimestampMicrosecondBuilder::new().with_timezone(utc());
            cells.for_each(|c| {
                builder.append_option(if let Cell::Time(t) = c { Some(*t) } else { None });
            });
            Arc::new(builder.finish())
        }
        ColumnType::Id | ColumnType::Str => {
            let mut builder = StringBuilder::new();
            cells.for_each(|c| builder.append_option(text(c, &mut buffer)));
            Arc::new(builder.finish())
        }
        ColumnType::Bytes => {
            let mut builder = BinaryBuilder::new();
            cells.for_each(|c| {
                builder.append_option(if let Cell::Bytes(b) = c { Some(&**b) } else { None });
            });
            Arc::new(builder.finish())
        }
        ColumnType::StrList => {
            let field = Field::new("element", DataType::Utf8, true);
            let mut builder = ListBuilder::new(StringBuilder::new()).with_field(field);
            for cell in cells {
                let Cell::List(items) = cell else {
                    builder.append_null();
                    continue;
                };
                items.iter().for_each(|c| builder.values().append_option(text(c, &mut buffer)));
                builder.append(true);
            }
            Arc::new(builder.finish())
        }
        ColumnType::TimeList => {
            let kind = DataType::Timestamp(TimeUnit::Microsecond, Some(utc()));
            let values = TimestampMicrosecondBuilder::new().with_timezone(utc());
            let mut builder =
                ListBuilder::new(values).with_field(Field::new("element", kind, true));
            for cell in cells {
                let Cell::List(items) = cell else {
                    builder.append_null();
                    continue;
                };
                for item in items.iter() {
                    let time = if let Cell::Time(t) = item { Some(*t) } else { None };
                    builder.values().append_option(time);
                }
                builder.append(true);
            }
            Arc::new(builder.finish())
        }
    }
}

/// A batch of columns, each given as its cells.
pub(super) fn batch(columns: Vec<(Layout, ArrayRef)>) -> Result<RecordBatch, ArrowError> {
    let (layouts, arrays): (Vec<Layout>, Vec<ArrayRef>) = columns.into_iter().unzip();
    RecordBatch::try_new(arrow_schema(&layouts), arrays)
}

/// The cells of a column of a file that was written by [`array`]; its exact inverse, save that a
/// list of ids comes back as a list of text.
pub(super) fn cells(kind: ColumnType, array: &ArrayRef) -> Option<Vec<Cell>> {
    let rows = 0..array.len();
    let of = |cell: &dyn Fn(usize) -> Option<Cell>| {
        let null = |row| array.is_null(row).then_some(Cell::Null);
        rows.clone().map(|row| null(row).or_else(|| cell(row))).collect::<Option<Vec<Cell>>>()
    };
    match kind {
        ColumnType::Bool => {
            let values = array.as_boolean_opt()?;
            of(&|row| Some(Cell::Bool(values.value(row))))
        }
        ColumnType::Int => {
            let values = array.as_primitive_opt::<Int64Type>()?;
            of(&|row| Some(Cell::Int(values.value(row))))
        }
        ColumnType::Float => {
            let values = array.as_primitive_opt::<Float64Type>()?;
            of(&|row| Some(Cell::float(values.value(row))))
        }
        ColumnType::Time => {
            let values = array.as_primitive_opt::<TimestampMicrosecondType>()?;
            of(&|row| Some(Cell::Time(values.value(row))))
        }
        ColumnType::Id => {
            let values = array.as_string_opt::<i32>()?;
            of(&|row| Some(Cell::Id(Token(u128::from_str_radix(values.value(row), 16).ok()?))))
        }
        ColumnType::Str => {
            let values = array.as_string_opt::<i32>()?;
            let mut last: Arc<str> = Arc::from("");
            let mut text = |row| {
                if *last != *values.value(row) {
                    last = Arc::from(values.value(row));
                }
                Cell::Str(Arc::clone(&last))
            };
            let null = |row| array.is_null(row);
            Some(rows.map(|row| if null(row) { Cell::Null } else { text(row) }).collect())
        }
        ColumnType::Bytes => {
            let values = array.as_binary_opt::<i32>()?;
            of(&|row| Some(Cell::Bytes(Arc::from(values.value(row)))))
        }
        ColumnType::StrList => {
            let values = array.as_list_opt::<i32>()?;
            of(&|row| Some(Cell::List(cells(ColumnType::Str, &values.value(row))?.into())))
        }
        ColumnType::TimeList => {
            let values = array.as_list_opt::<i32>()?;
            of(&|row| Some(Cell::List(cells(ColumnType::Time, &values.value(row))?.into())))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is written is read again, in every type, nulls and odd values included.
    #[test]
    fn cells_come_back() {
        let text = |t: &str| Cell::str(t);
        let columns = [
            (ColumnType::Bool, vec![Cell::Bool(true), Cell::Null, Cell::Bool(false)]),
            (ColumnType::Int, vec![Cell::Int(i64::MIN), Cell::Null, Cell::Int(i64::MAX)]),
            (ColumnType::Float, vec![Cell::float(0.1), Cell::Null, Cell::float(-1e300)]),
            (ColumnType::Time, vec![Cell::Time(i64::MIN), Cell::Null, Cell::Time(7)]),
            (ColumnType::Id, vec![Cell::Id(Token(0)), Cell::Null, Cell::Id(Token(u128::MAX))]),
            (ColumnType::Str, vec![text("a\0b"), Cell::Null, text("")]),
            (
                ColumnType::Bytes,
                vec![Cell::Bytes([0, 255].into()), Cell::Null, Cell::Bytes([].into())],
            ),
            (
                ColumnType::StrList,
                vec![Cell::List([text("a"), Cell::Null].into()), Cell::Null, Cell::List([].into())],
            ),
            (
                ColumnType::TimeList,
                vec![
                    Cell::List([Cell::Time(1), Cell::Null].into()),
                    Cell::Null,
                    Cell::List([].into()),
                ],
            ),
        ];
        for (kind, list) in columns {
            let array = array(kind, list.iter());
            assert_eq!(array.data_type(), &arrow_type(kind));
            assert_eq!(cells(kind, &array), Some(list));
        }
    }
}
