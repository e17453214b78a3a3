//! Rows as the bytes of a Parquet file.

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use operators::model::CellRef;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};

use super::columns::{Layout, arrow_schema, batch};

/// Rows that are columns at once. A multiple of what the encoder looks at between two pages, so
/// that it makes no difference to the bytes.
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
    (columns, plain): (&[Layout], &[&'static str]),
    all: &RecordBatch,
) -> Result<Encoded, ParquetError> {
    let mut writer = writer(columns, plain)?;
    for from in (0..all.num_rows()).step_by(rows) {
        writer.write(&all.slice(from, rows.min(all.num_rows() - from)))?;
        writer.flush()?;
    }
    Ok(Encoded { content: writer.into_inner()?, rows: all.num_rows() as u64 })
}

/// The file of rows that are columns already, in batches of [`ROWS_AT_ONCE`].
///
/// # Errors
///
/// A value is null in a column that has none.
pub(super) fn encode_batches(
    (columns, plain): (&[Layout], &[&'static str]),
    batches: impl Iterator<Item = Result<RecordBatch, ArrowError>>,
) -> Result<Encoded, ParquetError> {
    let (mut writer, mut rows) = (writer(columns, plain)?, 0);
    for batch in batches {
        let batch = batch?;
        rows += batch.num_rows() as u64;
        writer.write(&batch)?;
    }
    Ok(Encoded { content: writer.into_inner()?, rows })
}

fn encode_by<'a, T>(
    (at_once, in_groups): (usize, bool),
    (columns, plain): (&[Layout], &[&'static str]),
    lines: &'a [T],
    cell: impl Fn(&'a T, usize) -> CellRef<'a>,
) -> Result<Encoded, ParquetError> {
    let mut writer = writer(columns, plain)?;
    for lines in lines.chunks(at_once) {
        writer.write(&batch(columns, lines, &cell)?)?;
        if in_groups {
            writer.flush()?;
        }
    }
    Ok(Encoded { content: writer.into_inner()?, rows: lines.len() as u64 })
}

fn writer(
    columns: &[Layout],
    plain: &[&'static str],
) -> Result<ArrowWriter<Vec<u8>>, ParquetError> {
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        // Room for the ids of the people of a large file: an index into them is a tenth of one.
        .set_dictionary_page_size_limit(8 << 20)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_created_by("braid".to_owned());
    for name in plain {
        properties = properties.set_column_dictionary_enabled((*name).into(), false);
    }
    ArrowWriter::try_new(Vec::new(), arrow_schema(columns), Some(properties.build()))
}

#[cfg(test)]
mod tests {
    use operators::model::ColumnType;

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
}
