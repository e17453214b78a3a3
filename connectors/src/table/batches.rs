//! Rows of a table's files.

use std::fs::File;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, RowGroupMetaData};

use crate::caught::caught;

/// Rows that are read at once.
const ROWS: usize = 8192;
/// Rows that are one batch where more might have more bytes than an array has room for: a cell has
/// at most some times [`operators::model::Reason::MAX_BYTES`]. Tests do with few, to come by both
/// ways.
pub(super) const ROWS_LONG: usize = if cfg!(test) { 3 } else { 256 };

/// How many rows of a file are read at once: so many, if no so many in a row may have more bytes in
/// a column than `bytes`.
fn at_once(groups: &[RowGroupMetaData], (rows, bytes): (usize, i64)) -> usize {
    let of_group = |group: &RowGroupMetaData| -> i64 {
        let columns = group.columns().iter();
        columns.filter_map(ColumnChunkMetaData::unencoded_byte_array_data_bytes).sum()
    };
    let is_long = |first: usize| {
        // They begin in a group, and go on in the next ones.
        let (mut later, mut sum) = (0, of_group(&groups[first]));
        for group in &groups[first + 1..] {
            if later >= rows as i64 {
                break;
            }
            later += group.num_rows();
            sum += of_group(group);
        }
        sum > bytes
    };
    if (0..groups.len()).any(is_long) { ROWS_LONG } else { rows }
}

/// All rows of a file; with `only`, these columns of them.
pub(super) fn read_all(
    input: File,
    only: Option<&[&str]>,
    all: &mut Vec<RecordBatch>,
) -> Result<(), ParquetError> {
    for batch in batches(input, only)? {
        all.push(batch?);
    }
    Ok(())
}

/// The rows of a file, a batch at a time; with `only`, these columns of them.
pub(super) fn batches(input: File, only: Option<&[&str]>) -> Result<Batches, ParquetError> {
    let reader = caught(|| {
        let mut builder = ParquetRecordBatchReaderBuilder::try_new(input)?;
        let rows = at_once(builder.metadata().row_groups(), (ROWS, i64::from(i32::MAX)));
        builder = builder.with_batch_size(rows);
        if let Some(names) = only {
            let mask = ProjectionMask::columns(builder.parquet_schema(), names.iter().copied());
            builder = builder.with_projection(mask);
        }
        builder.build()
    });
    reader.map(|reader| Batches(Some(reader)))
}

/// The rows of a file. After an error there are none.
pub(super) struct Batches(Option<ParquetRecordBatchReader>);

impl Iterator for Batches {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        let reader = self.0.as_mut()?;
        match caught(|| Ok(reader.next())) {
            Ok(next) => next,
            Err(error) => {
                self.0 = None;
                Some(Err(ArrowError::from(error)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use operators::model::{CellRef, ColumnType};
    use parquet::file::reader::{FileReader as _, SerializedFileReader};

    use super::super::encode::encode_in_groups;
    use super::*;

    /// However little room they take in the file, for they are all the same.
    #[test]
    fn long_rows_are_read_a_few_at_a_time() {
        let columns = [("n", ColumnType::Int, false), ("payload", ColumnType::Bytes, false)];
        let (lines, payload) = ((0..2000).collect::<Vec<i64>>(), [7_u8; 1000]);
        let encoded = encode_in_groups(100, (&columns, &[]), &lines, |line, column| match column {
            0 => CellRef::Int(*line),
            _ => CellRef::Bytes(&payload),
        });
        let content = bytes::Bytes::from(encoded.unwrap().content);
        assert!(content.len() < 100_000);
        let reader = SerializedFileReader::new(content).unwrap();
        let groups = reader.metadata().row_groups();
        assert_eq!(groups.len(), 20);
        // 300 rows are of four groups at most.
        assert_eq!(at_once(groups, (300, 400_000)), 300);
        assert_eq!(at_once(groups, (300, 399_999)), ROWS_LONG);
        assert_eq!(at_once(groups, (ROWS, 2_000_000)), ROWS);
        assert_eq!(at_once(groups, (ROWS, 1_999_999)), ROWS_LONG);
        assert_eq!(at_once(&[], (ROWS, 0)), ROWS);
    }
}
