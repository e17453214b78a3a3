//! Rows as the bytes of a Parquet file.

use std::collections::HashSet;

use arrow::array::{Array as _, AsArray as _, RecordBatch};
use arrow::datatypes::{Float64Type, Int64Type, TimestampMicrosecondType};
use arrow::error::ArrowError;
use foldhash::fast::FixedState;
use operators::model::CellRef;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};

use super::columns::{COLUMN_BYTES, Layout, arrow_schema, batches};

/// Rows that are columns at once. A multiple of what the encoder looks at between two pages, so
/// that it makes no difference to the bytes. Where rows are long, fewer are.
pub(super) const ROWS_AT_ONCE: usize = 65_536;

/// The content of a file.
pub(super) struct Encoded {
    pub content: Vec<u8>,
    pub rows: u64,
}

/// The file of some lines: the same bytes for the same lines. `cell` gives a line's value in the
/// column of a place; columns in `plain` have no dictionary.
///
/// # Errors
///
/// A value is null in a column that has none.
pub(super) fn encode<'a, T>(
    (columns, plain): (&[Layout], &[&'static str]),
    lines: &'a [T],
    cell: impl Fn(&'a T, usize) -> CellRef<'a>,
) -> Result<Encoded, ParquetError> {
    encode_by((ROWS_AT_ONCE, false), (columns, plain), lines, cell)
}

/// As [`encode`], in groups of so many rows that can be read each by itself.
pub(super) fn encode_in_groups<'a, T>(
    rows: usize,
    (columns, plain): (&[Layout], &[&'static str]),
    lines: &'a [T],
    cell: impl Fn(&'a T, usize) -> CellRef<'a>,
) -> Result<Encoded, ParquetError> {
    encode_by((rows, true), (columns, plain), lines, cell)
}

/// The file of some rows that are columns already, in groups of so many rows.
///
/// # Errors
///
/// A value is null in a column that has none.
pub(super) fn encode_columns(
    rows: usize,
    layout: (&[Layout], &[&'static str]),
    all: &RecordBatch,
) -> Result<Encoded, ParquetError> {
    let starts = (0..all.num_rows()).step_by(rows);
    let groups = starts.map(|from| Ok(all.slice(from, rows.min(all.num_rows() - from))));
    write(layout, (all.num_rows(), true), groups)
}

/// The file of rows that are columns already, in batches of [`ROWS_AT_ONCE`]; memory is taken for
/// about so many rows.
///
/// # Errors
///
/// A value is null in a column that has none.
pub(super) fn encode_batches(
    rows: usize,
    layout: (&[Layout], &[&'static str]),
    batches: impl Iterator<Item = Result<RecordBatch, ArrowError>>,
) -> Result<Encoded, ParquetError> {
    write(layout, (rows, false), batches)
}

fn encode_by<'a, T>(
    (at_once, in_groups): (usize, bool),
    (columns, plain): (&[Layout], &[&'static str]),
    lines: &'a [T],
    cell: impl Fn(&'a T, usize) -> CellRef<'a>,
) -> Result<Encoded, ParquetError> {
    let batches = batches(columns, lines, (at_once, COLUMN_BYTES), cell);
    write((columns, plain), (lines.len(), in_groups), batches)
}

/// Writes about so many rows in batches, each of them a group if `in_groups`. How rows are cut into
/// batches makes no difference to the bytes otherwise.
fn write(
    (columns, plain): (&[Layout], &[&'static str]),
    (rows, in_groups): (usize, bool),
    mut batches: impl Iterator<Item = Result<RecordBatch, ArrowError>>,
) -> Result<Encoded, ParquetError> {
    let (mut first, mut sampled) = (Vec::new(), 0);
    while sampled < SAMPLE {
        let Some(batch) = batches.next().transpose()? else { break };
        sampled += batch.num_rows();
        first.push(batch);
    }
    // Room for most files: as one that grows, the content would be copied again and again.
    let content = Vec::with_capacity(rows * BYTES_BY_ROW);
    let mut writer = writer(content, (columns, plain), &unlike(&first))?;
    let mut rows = 0;
    for batch in first.into_iter().map(Ok).chain(batches) {
        let batch = batch?;
        rows += batch.num_rows();
        writer.write(&batch)?;
        if in_groups {
            writer.flush()?;
        }
    }
    Ok(Encoded { content: writer.into_inner()?, rows: rows as u64 })
}

/// Bytes of a row in a file, of a larger kind.
const BYTES_BY_ROW: usize = 40;
/// Rows that are looked at to find columns that need no dictionary; files of fewer rows have one
/// for all. Tests do with few, to come by both ways.
const SAMPLE: usize = if cfg!(test) { 16 } else { 1024 };

/// Columns of numbers and times of which most values are seen once: a dictionary of them would be
/// larger than they are, and takes much longer to make than to do without. What stands where a
/// value is null does not count: it depends on where the column comes from.
fn unlike(batches: &[RecordBatch]) -> Vec<String> {
    let Some(schema) = batches.first().map(RecordBatch::schema) else { return Vec::new() };
    let is_unlike = |place: usize| {
        let mut seen = HashSet::with_hasher(FixedState::default());
        let mut left = SAMPLE;
        for batch in batches {
            let column = batch.column(place).slice(0, left.min(batch.num_rows()));
            left -= column.len();
            if let Some(times) = column.as_primitive_opt::<TimestampMicrosecondType>() {
                seen.extend(times.iter().flatten().map(|time| time as u64));
            } else if let Some(numbers) = column.as_primitive_opt::<Int64Type>() {
                seen.extend(numbers.iter().flatten().map(|number| number as u64));
            } else if let Some(numbers) = column.as_primitive_opt::<Float64Type>() {
                seen.extend(numbers.iter().flatten().map(f64::to_bits));
            }
        }
        left == 0 && seen.len() * 4 >= SAMPLE * 3
    };
    let fields = schema.fields().iter().enumerate();
    fields.filter(|(place, _)| is_unlike(*place)).map(|(_, field)| field.name().clone()).collect()
}

fn writer(
    content: Vec<u8>,
    (columns, plain): (&[Layout], &[&'static str]),
    unlike: &[String],
) -> Result<ArrowWriter<Vec<u8>>, ParquetError> {
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        // Room for the ids of the people of a large file: an index into them is a tenth of one.
        .set_dictionary_page_size_limit(8 << 20)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_created_by("braid".to_owned());
    for name in plain.iter().copied().chain(unlike.iter().map(String::as_str)) {
        properties = properties.set_column_dictionary_enabled(name.into(), false);
    }
    ArrowWriter::try_new(content, arrow_schema(columns), Some(properties.build()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array};
    use arrow::buffer::NullBuffer;
    use operators::model::ColumnType;
    use parquet::file::reader::{FileReader as _, SerializedFileReader};

    use super::*;

    #[test]
    fn columns_at_once_make_no_difference() {
        let lines: Vec<(i64, String)> =
            (0..300_000).map(|n| (n * n % 1013, format!("{:x}", n * 7_919_777))).collect();
        let kinds = [("a", ColumnType::Int), ("b", ColumnType::Str), ("c", ColumnType::Str)];
        let columns = kinds.map(|(name, kind)| (name, kind, false));
        let content = |at_once: usize| {
            let cell = |line: &'static (i64, String), place: usize| match place {
                0 => CellRef::Int(line.0),
                _ => CellRef::Str(&line.1),
            };
            let lines: &'static [(i64, String)] = lines.clone().leak();
            encode_by((at_once, false), (&columns, &["c"]), lines, cell).unwrap().content
        };
        let whole = content(usize::MAX);
        assert!(content(ROWS_AT_ONCE) == whole);
        assert!(content(1024) == whole);
    }

    /// A column has a dictionary if its values come again, and in a small file anyway.
    #[test]
    fn what_is_seen_once_has_no_dictionary() {
        let columns = [
            ("time", ColumnType::Time, false),
            ("price", ColumnType::Float, true),
            ("text", ColumnType::Str, false),
        ];
        let with_dictionary = |rows: i64| {
            let lines: Vec<(i64, String)> = (0..rows).map(|n| (n * 7, n.to_string())).collect();
            let cell = |line: &'static (i64, String), place: usize| match place {
                0 => CellRef::Time(line.0),
                1 if line.0 % 3 == 0 => CellRef::Null,
                1 => CellRef::Float((line.0 % 100) as f64 as u64),
                _ => CellRef::Str(&line.1),
            };
            let lines: &'static [(i64, String)] = lines.leak();
            let content = encode((&columns, &[]), lines, cell).unwrap().content;
            let reader = SerializedFileReader::new(bytes::Bytes::from(content)).unwrap();
            let group = reader.metadata().row_group(0);
            let has = |place| group.column(place).dictionary_page_offset().is_some();
            [0, 1, 2].map(has)
        };
        assert_eq!(with_dictionary(SAMPLE as i64), [false, true, true]);
        assert_eq!(with_dictionary(SAMPLE as i64 - 1), [true, true, true]);
    }

    /// What stands in the place of a null is nobody's affair.
    #[test]
    fn nulls_are_no_values() {
        let rows = SAMPLE as i64;
        let column = |is_valid: bool| {
            let nulls = NullBuffer::from(vec![is_valid; SAMPLE]);
            Int64Array::new((0..rows).collect(), Some(nulls))
        };
        let batch = |is_valid| {
            let array: ArrayRef = Arc::new(column(is_valid));
            RecordBatch::try_from_iter_with_nullable([("count", array, true)]).unwrap()
        };
        assert_eq!(unlike(&[batch(true)]), ["count"]);
        assert!(unlike(&[batch(false)]).is_empty());
    }
}
