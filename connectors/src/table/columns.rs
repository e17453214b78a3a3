//! Rows as Arrow columns and as Delta fields.

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
use operators::model::{Cell, CellRef, ColumnType, Micros, Token, Uuid};

use super::ahead::{AHEAD, read_ahead};

/// A column of a table: name, type, whether it may be null.
pub(super) type Layout = (&'static str, ColumnType, bool);

fn utc() -> Arc<str> {
    "UTC".into()
}

pub(super) fn arrow_type(kind: ColumnType) -> DataType {
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

/// A column that grows by its cells. A cell of another type than the column's is null.
enum Writer {
    Bool(BooleanBuilder),
    Int(Int64Builder),
    Float(Float64Builder),
    Time(TimestampMicrosecondBuilder),
    Text(StringBuilder),
    Bytes(BinaryBuilder),
    Texts(ListBuilder<StringBuilder>),
    Times(ListBuilder<TimestampMicrosecondBuilder>),
}

impl Writer {
    fn new(kind: ColumnType, rows: usize) -> Self {
        let times = |rows| TimestampMicrosecondBuilder::with_capacity(rows).with_timezone(utc());
        let element = || match arrow_type(kind) {
            DataType::List(element) => element,
            kind => Arc::new(Field::new("element", kind, true)),
        };
        match kind {
            ColumnType::Bool => Self::Bool(BooleanBuilder::with_capacity(rows)),
            ColumnType::Int => Self::Int(Int64Builder::with_capacity(rows)),
            ColumnType::Float => Self::Float(Float64Builder::with_capacity(rows)),
            ColumnType::Time => Self::Time(times(rows)),
            ColumnType::Id => Self::Text(StringBuilder::with_capacity(rows, rows * 32)),
            ColumnType::Str => Self::Text(StringBuilder::with_capacity(rows, rows * 16)),
            ColumnType::Bytes => Self::Bytes(BinaryBuilder::new()),
            ColumnType::StrList => {
                Self::Texts(ListBuilder::new(StringBuilder::new()).with_field(element()))
            }
            ColumnType::TimeList => Self::Times(ListBuilder::new(times(0)).with_field(element())),
        }
    }

    fn extend<'a>(&mut self, cells: impl Iterator<Item = CellRef<'a>>) {
        match self {
            Self::Bool(builder) => cells.for_each(|c| {
                builder.append_option(if let CellRef::Bool(b) = c { Some(b) } else { None });
            }),
            Self::Int(builder) => cells.for_each(|c| {
                builder.append_option(if let CellRef::Int(i) = c { Some(i) } else { None });
            }),
            Self::Float(builder) => cells.for_each(|c| {
                let bits = if let CellRef::Float(bits) = c { Some(bits) } else { None };
                builder.append_option(bits.map(f64::from_bits));
            }),
            Self::Time(builder) => cells.for_each(|c| builder.append_option(time(c))),
            Self::Text(builder) => cells.for_each(|c| text(builder, c)),
            Self::Bytes(builder) => cells.for_each(|c| {
                builder.append_option(if let CellRef::Bytes(b) = c { Some(b) } else { None });
            }),
            Self::Texts(builder) => cells.for_each(|c| {
                let CellRef::List(items) = c else { return builder.append_null() };
                items.iter().for_each(|item| text(builder.values(), item.as_ref()));
                builder.append(true);
            }),
            Self::Times(builder) => cells.for_each(|c| {
                let CellRef::List(items) = c else { return builder.append_null() };
                items.iter().for_each(|item| builder.values().append_option(time(item.as_ref())));
                builder.append(true);
            }),
        }
    }

    /// Bytes of the values that have no fixed length, which offsets of 31 bits are of.
    fn bytes(&self) -> usize {
        match self {
            Self::Text(builder) => builder.values_slice().len(),
            Self::Bytes(builder) => builder.values_slice().len(),
            Self::Texts(builder) => builder.values_ref().values_slice().len(),
            Self::Bool(_) | Self::Int(_) | Self::Float(_) | Self::Time(_) | Self::Times(_) => 0,
        }
    }

    fn finish(self) -> ArrayRef {
        match self {
            Self::Bool(mut builder) => Arc::new(builder.finish()),
            Self::Int(mut builder) => Arc::new(builder.finish()),
            Self::Float(mut builder) => Arc::new(builder.finish()),
            Self::Time(mut builder) => Arc::new(builder.finish()),
            Self::Text(mut builder) => Arc::new(builder.finish()),
            Self::Bytes(mut builder) => Arc::new(builder.finish()),
            Self::Texts(mut builder) => Arc::new(builder.finish()),
            Self::Times(mut builder) => Arc::new(builder.finish()),
        }
    }
}

fn time(cell: CellRef<'_>) -> Option<Micros> {
    if let CellRef::Time(at) = cell { Some(at) } else { None }
}

fn text(builder: &mut StringBuilder, cell: CellRef<'_>) {
    match cell {
        CellRef::Str(text) => builder.append_value(text),
        CellRef::Id(token) => builder.append_value(token.hex(&mut [0; 32])),
        CellRef::Uuid(uuid) => builder.append_value(uuid.text(&mut [0; Uuid::TEXT])),
        _ => builder.append_null(),
    }
}

/// When a column of a batch has so many bytes, the batch ends with the block: an array has room for
/// 2 GB, and a cell has as many bytes as a record, or a few times as many where it is one as JSON.
pub(super) const COLUMN_BYTES: usize = 256 << 20;

/// The batch of the first of some lines, and how many these are: all, but where a column gets
/// `bytes` before.
pub(super) fn filled<'a, T>(
    columns: &[Layout],
    lines: &'a [T],
    bytes: usize,
    cell: impl Fn(&'a T, usize) -> CellRef<'a>,
) -> (Result<RecordBatch, ArrowError>, usize) {
    let mut writers: Vec<Writer> =
        columns.iter().map(|layout| Writer::new(layout.1, lines.len())).collect();
    let mut taken = 0;
    // Every column of some lines is written before the next ones are read.
    for block in lines.chunks(AHEAD) {
        for place in 0..columns.len().min(2) {
            read_ahead(block.iter().map(|line| cell(line, place)));
        }
        for (place, writer) in writers.iter_mut().enumerate() {
            writer.extend(block.iter().map(|line| cell(line, place)));
        }
        taken += block.len();
        if writers.iter().any(|writer| writer.bytes() >= bytes) {
            break;
        }
    }
    let arrays = writers.into_iter().map(Writer::finish).collect();
    (RecordBatch::try_new(arrow_schema(columns), arrays), taken)
}

/// A batch of some lines, which are not so many or so long that it has no room for them: `cell`
/// gives a line's value in the column of a place.
///
/// # Errors
///
/// A value is null in a column that has none.
pub(super) fn batch<'a, T>(
    columns: &[Layout],
    lines: &'a [T],
    cell: impl Fn(&'a T, usize) -> CellRef<'a>,
) -> Result<RecordBatch, ArrowError> {
    filled(columns, lines, usize::MAX, cell).0
}

/// All lines in batches of so many rows, and of fewer where a column has so many bytes; see
/// [`COLUMN_BYTES`].
pub(super) fn batches<'a, T>(
    columns: &[Layout],
    lines: &'a [T],
    (rows, bytes): (usize, usize),
    cell: impl Fn(&'a T, usize) -> CellRef<'a>,
) -> impl Iterator<Item = Result<RecordBatch, ArrowError>> {
    let mut rest = lines;
    std::iter::from_fn(move || {
        let next = &rest[..rest.len().min(rows)];
        let (batch, taken) = filled(columns, next, bytes, &cell);
        rest = &rest[taken..];
        (taken > 0).then_some(batch)
    })
}

/// A column of one text.
pub(super) fn constant(text: &str, rows: usize) -> ArrayRef {
    let mut writer = Writer::new(ColumnType::Str, rows);
    writer.extend(std::iter::repeat_n(CellRef::Str(text), rows));
    writer.finish()
}

/// The cells of a column of a file that was written by [`batch`]; its exact inverse, save that a
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
    use operators::model::MessageId;

    use super::*;

    /// Where values are long a batch has fewer lines, and no line is lost.
    #[test]
    fn batches_are_bounded_by_bytes() {
        let columns = [("n", ColumnType::Int, false), ("payload", ColumnType::Bytes, false)];
        let lines: Vec<[Cell; 2]> = (0..3000_i64)
            .map(|n| {
                // From the line 1000 on they are long.
                let payload = vec![7_u8; if n < 1000 { 1 } else { 100 }];
                [Cell::Int(n), Cell::Bytes(payload.into())]
            })
            .collect();
        let cut = |rows, bytes| {
            let batches = batches(&columns, &lines, (rows, bytes), |line, c| line[c].as_ref());
            let (mut sizes, mut numbers) = (Vec::new(), Vec::new());
            for batch in batches.map(Result::unwrap) {
                sizes.push(batch.num_rows());
                numbers.extend(cells(ColumnType::Int, batch.column(0)).unwrap());
            }
            assert!(numbers.into_iter().eq((0..3000).map(Cell::Int)));
            sizes
        };
        assert_eq!(cut(usize::MAX, usize::MAX), [3000]);
        assert_eq!(cut(2000, usize::MAX), [2000, 1000]);
        // 1000 short ones and the first long ones; then 25,600 bytes a block.
        assert_eq!(cut(2000, 20_000), [1280, 256, 256, 256, 256, 256, 256, 184]);
        assert_eq!(cut(1100, 20_000), [1100, 256, 256, 256, 256, 256, 256, 256, 108]);
    }

    /// What is written is read again, in every type, nulls and odd values included.
    #[test]
    fn cells_come_back() {
        let text = |t: &str| Cell::str(t);
        let uuid = || MessageId::from("0123abcd-0000-4000-8000-0123456789ab").as_cell().into();
        let columns = [
            (ColumnType::Bool, vec![Cell::Bool(true), Cell::Null, Cell::Bool(false)]),
            (ColumnType::Int, vec![Cell::Int(i64::MIN), Cell::Null, Cell::Int(i64::MAX)]),
            (ColumnType::Float, vec![Cell::float(0.1), Cell::Null, Cell::float(-1e300)]),
            (ColumnType::Time, vec![Cell::Time(i64::MIN), Cell::Null, Cell::Time(7)]),
            (ColumnType::Id, vec![Cell::Id(Token(0)), Cell::Null, Cell::Id(Token(u128::MAX))]),
            (ColumnType::Str, vec![text("a\0b"), Cell::Null, uuid(), text("")]),
            (
                ColumnType::Bytes,
                vec![Cell::Bytes([0, 255].into()), Cell::Null, Cell::Bytes([].into())],
            ),
            (
                ColumnType::StrList,
                vec![
                    Cell::List([text("a"), Cell::Null, uuid()].into()),
                    Cell::Null,
                    Cell::List([].into()),
                ],
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
            let batch = batch(&[("x", kind, true)], &list, |cell, _| cell.as_ref()).unwrap();
            let array = batch.column(0);
            assert_eq!(array.data_type(), &arrow_type(kind));
            assert_eq!(cells(kind, array), Some(list));
        }
    }
}
