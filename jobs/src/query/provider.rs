//! Tables as questions read them: those columns that are asked for, a file at a time.

use std::sync::Arc;

use arrow::array::{AsArray as _, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Int64Type, SchemaRef};
use arrow::error::ArrowError;
use connectors::table::{Granularity, Stored, TableError, known};
use operators::model::{Epoch, ViewSchema};
use sql::{Batches, ReadError, Table};

use super::Known;

/// Where the rows of a table are.
#[derive(Clone, Debug)]
pub(super) enum Content {
    /// It has not been written yet.
    None,
    /// In its files; with `upto`, those of epochs up to this one.
    Stored {
        /// The files.
        stored: Arc<Stored>,
        /// The epoch.
        upto: Option<Epoch>,
    },
    /// In memory.
    Rows(RecordBatch),
    /// In the changelog of its view.
    Known {
        /// The changelog.
        changelog: Arc<Stored>,
        /// Place of the view.
        index: u16,
        /// The view.
        schema: Arc<ViewSchema>,
        /// Whether there is a column `date`, and of what.
        granularity: Granularity,
        /// As of when.
        known: Known,
    },
}

/// A table.
#[derive(Debug)]
pub(super) struct Provider {
    schema: SchemaRef,
    content: Content,
}

impl Provider {
    pub(super) fn new(schema: SchemaRef, content: Content) -> Self {
        Self { schema, content }
    }
}

impl Table for Provider {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn files(&self) -> Vec<usize> {
        match &self.content {
            Content::None => Vec::new(),
            Content::Stored { stored, upto: Some(upto) } => stored.files_upto(*upto).collect(),
            Content::Stored { stored, upto: None } => (0..stored.files()).collect(),
            Content::Rows(_) | Content::Known { .. } => vec![0],
        }
    }

    fn read(&self, file: usize, columns: &[usize]) -> Batches {
        let batches: Result<Batches, TableError> = match &self.content {
            Content::None => return Box::new(std::iter::empty()),
            Content::Rows(rows) => {
                let rows = rows.project(columns).map_err(Into::into);
                return Box::new(std::iter::once(rows));
            }
            Content::Stored { stored, upto: None } => stored.read(file, columns).map(|batches| {
                let batches: Batches = Box::new(batches.map(|batch| batch.map_err(unread)));
                batches
            }),
            Content::Stored { stored, upto: Some(upto) } => read_upto(stored, file, columns, *upto),
            Content::Known { changelog, index, schema, granularity, known: at } => {
                let view = (*index, &**schema);
                known(changelog, view, *granularity, (at.epoch, at.watermark)).map(|batches| {
                    let columns = columns.to_vec();
                    let projected = move |batch: RecordBatch| Ok(batch.project(&columns)?);
                    let batches: Batches = Box::new(batches.into_iter().map(projected));
                    batches
                })
            }
        };
        batches.unwrap_or_else(|error| Box::new(std::iter::once(Err(unread(error)))))
    }
}

fn unread(error: TableError) -> ReadError {
    Box::new(error)
}

/// The rows of a file that are of epochs up to one.
fn read_upto(
    stored: &Stored,
    file: usize,
    columns: &[usize],
    upto: Epoch,
) -> Result<Batches, TableError> {
    let place = stored.schema().column_with_name("_epoch").map_or(0, |(place, _)| place);
    let mut wanted = columns.to_vec();
    wanted.push(place);
    let columns: Vec<usize> = (0..columns.len()).collect();
    let batches = stored.read(file, &wanted)?.map(move |batch| {
        let batch = batch.map_err(unread)?;
        let epochs = batch.columns().last().and_then(|last| last.as_primitive_opt::<Int64Type>());
        let epochs = epochs.ok_or_else(|| {
            ArrowError::SchemaError("the column _epoch is not as it was written".to_owned())
        })?;
        let within: BooleanArray =
            epochs.iter().map(|epoch| epoch.map(|epoch| epoch as Epoch <= upto)).collect();
        Ok(filter_record_batch(&batch, &within)?.project(&columns)?)
    });
    Ok(Box::new(batches))
}
