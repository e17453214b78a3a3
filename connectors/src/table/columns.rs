//! Rows as Arrow columns and as Delta fields.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanBuilder, Float64Builder, Int64Builder, ListBuilder,
    RecordBatch, StringBuilder, TimestampMicrosecondBuilder,
};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use arrow::error::ArrowError;
use deltalake_core::kernel::{ArrayType, DataType as DeltaType, PrimitiveType, StructField};
use operators::model::{Cell, ColumnType};

/// A column of a table: name, type, whether it may be null.
pub(super) type Layout = (&'static str, ColumnType, bool);

fn utc() -> Option<Arc<str>> {
    Some("UTC".into())
}

fn arrow_type(kind: ColumnType) -> DataType {
    let list = |item| DataType::List(Arc::new(Field::new("element", item, true)));
    let time = || DataType::Timestamp(TimeUnit::Microsecond, utc());
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
fn array<'a>(kind: ColumnType, cells: impl Iterator<Item = &'a Cell>) -> ArrayRef {
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
            let mut builder = TimestampMicrosecondBuilder::new().with_timezone_opt(utc());
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
            let kind = DataType::Timestamp(TimeUnit::Microsecond, utc());
            let values = TimestampMicrosecondBuilder::new().with_timezone_opt(utc());
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

/// Rows as a batch; every row has a cell for each column.
pub(super) fn batch(columns: &[Layout], rows: &[Vec<Cell>]) -> Result<RecordBatch, ArrowError> {
    let arrays = columns
        .iter()
        .enumerate()
        .map(|(place, (_, kind, _))| array(*kind, rows.iter().map(|row| &row[place])))
        .collect();
    RecordBatch::try_new(arrow_schema(columns), arrays)
}
