//! Tables as the engine of the SQL reads them: those columns that a question asks for, a file at a
//! time.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use connectors::table::{Granularity, Stored, TableError, known};
use datafusion::arrow::array::{AsArray as _, BooleanArray, RecordBatch};
use datafusion::arrow::compute::filter_record_batch;
use datafusion::arrow::datatypes::{Int64Type, SchemaRef};
use datafusion::arrow::error::ArrowError;
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use futures::stream;
use operators::model::{Epoch, ViewSchema};

use super::Known;

/// Files of a table are read in so many threads at most.
const PARTS_MAX: usize = 8;

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

#[async_trait]
impl TableProvider for Provider {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let columns = projection.cloned().unwrap_or((0..self.schema.fields().len()).collect());
        let schema = Arc::new(self.schema.project(&columns)?);
        let files = match &self.content {
            Content::None => Vec::new(),
            Content::Stored { stored, upto: Some(upto) } => stored.files_upto(*upto).collect(),
            Content::Stored { stored, upto: None } => (0..stored.files()).collect(),
            Content::Known { .. } => vec![0],
        };
        let size = files.len().div_ceil(PARTS_MAX).max(1);
        let part = |files: &[usize]| {
            let (columns, files) = (columns.clone(), files.to_vec());
            let (schema, content) = (Arc::clone(&schema), self.content.clone());
            Arc::new(Part { schema, columns, content, files }) as Arc<dyn PartitionStream>
        };
        let mut parts: Vec<_> = files.chunks(size).map(part).collect();
        if parts.is_empty() {
            parts.push(part(&[]));
        }
        let plan = StreamingTableExec::try_new(Arc::clone(&schema), parts, None, [], false, limit)?;
        Ok(Arc::new(plan))
    }
}

/// A part of a table: some of its files.
struct Part {
    schema: SchemaRef,
    /// Places of the columns.
    columns: Vec<usize>,
    content: Content,
    files: Vec<usize>,
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} files", self.files.len())
    }
}

type Batches = Box<dyn Iterator<Item = Result<RecordBatch>> + Send>;

fn unread(error: TableError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

impl PartitionStream for Part {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let (content, columns) = (self.content.clone(), self.columns.clone());
        let read = move |file| read(&content, file, &columns);
        let batches = self.files.clone().into_iter().flat_map(read);
        let schema = Arc::clone(&self.schema);
        Box::pin(RecordBatchStreamAdapter::new(schema, stream::iter(batches)))
    }
}

/// The rows of a file.
fn read(content: &Content, file: usize, columns: &[usize]) -> Batches {
    let batches: Result<Batches, TableError> = match content {
        Content::None => return Box::new(std::iter::empty()),
        Content::Stored { stored, upto: None } => stored.read(file, columns).map(|batches| {
            let batches: Batches = Box::new(batches.map(|batch| batch.map_err(unread)));
            batches
        }),
        Content::Stored { stored, upto: Some(upto) } => read_upto(stored, file, columns, *upto),
        Content::Known { changelog, index, schema, granularity, known: at } => {
            let view = (*index, &**schema);
            known(changelog, view, *granularity, (at.epoch, at.watermark)).map(|batches| {
                let columns = columns.to_vec();
                let batches = batches.into_iter().map(move |batch| Ok(batch.project(&columns)?));
                let batches: Batches = Box::new(batches);
                batches
            })
        }
    };
    batches.unwrap_or_else(|error| Box::new(std::iter::once(Err(unread(error)))))
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
