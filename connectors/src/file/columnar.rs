//! Rows of a Parquet file, as Arrow batches.

use std::fs::File;
use std::path::Path;

use arrow::array::RecordBatch;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::errors::{ParquetError, Result};

use super::BATCH_BYTES_MAX;
use crate::caught::caught;

/// Rows read at once at most.
const ROWS_MAX: usize = 8192;

/// A Parquet file at some row.
pub(super) struct ParquetReader {
    reader: ParquetRecordBatchReader,
    /// Rows read but not handed out.
    rest: Option<RecordBatch>,
    /// Rows in the file.
    pub(super) rows: u64,
}

impl ParquetReader {
    /// Opens a file after its first `skip` rows. Row groups before that are not read.
    pub(super) fn open(path: &Path, skip: u64) -> Result<Self> {
        caught(|| Self::begin(path, skip))
    }

    fn begin(path: &Path, skip: u64) -> Result<Self> {
        let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(path)?)?;
        let metadata = builder.metadata().clone();
        let (mut groups, mut offset, mut rows, mut bytes) = (Vec::new(), 0, 0, 0);
        for (index, group) in metadata.row_groups().iter().enumerate() {
            let before = rows;
            rows += u64::try_from(group.num_rows()).unwrap_or(0);
            bytes += u64::try_from(group.total_byte_size()).unwrap_or(0);
            if rows > skip {
                if groups.is_empty() {
                    offset = skip - before;
                }
                groups.push(index);
            }
        }
        let row_bytes = (bytes / rows.max(1)).max(1);
        let batch = (BATCH_BYTES_MAX as u64 / row_bytes).clamp(1, ROWS_MAX as u64);
        let reader = builder
            .with_row_groups(groups)
            .with_offset(offset as usize)
            .with_batch_size(batch as usize)
            .build()?;
        Ok(Self { reader, rest: None, rows })
    }

    /// Up to `max_rows` more rows; `None` at the end.
    pub(super) fn read(&mut self, max_rows: usize) -> Result<Option<RecordBatch>> {
        while self.rest.as_ref().is_none_or(|rest| rest.num_rows() == 0) {
            match caught(|| self.reader.next().transpose().map_err(ParquetError::from))? {
                None => return Ok(None),
                batch => self.rest = batch,
            }
        }
        Ok(self.rest.take().map(|rest| {
            let count = rest.num_rows().min(max_rows);
            let batch = rest.slice(0, count);
            if count < rest.num_rows() {
                self.rest = Some(rest.slice(count, rest.num_rows() - count));
            }
            batch
        }))
    }
}
