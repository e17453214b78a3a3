//! Rows of a table's files.

use std::fs::File;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::errors::ParquetError;

use crate::caught::caught;

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
        let mut builder = ParquetRecordBatchReaderBuilder::try_new(input)?.with_batch_size(8192);
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
