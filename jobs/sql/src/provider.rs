//! A table as the engine of the SQL reads it: the columns that a question asks for, its files in a
//! few threads.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use futures::stream;

use crate::Table;

/// Files of a table are read in so many threads at most.
const PARTS_MAX: usize = 8;

/// A table, as the engine wants it.
#[derive(Debug)]
pub(crate) struct Provider(pub Arc<dyn Table>);

#[async_trait]
impl TableProvider for Provider {
    fn schema(&self) -> SchemaRef {
        self.0.schema()
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
        let whole = self.0.schema();
        let columns = projection.cloned().unwrap_or((0..whole.fields().len()).collect());
        let schema = Arc::new(whole.project(&columns)?);
        let files = self.0.files();
        let size = files.len().div_ceil(PARTS_MAX).max(1);
        let part = |files: &[usize]| {
            let (schema, columns) = (Arc::clone(&schema), columns.clone());
            let (table, files) = (Arc::clone(&self.0), files.to_vec());
            Arc::new(Part { schema, columns, table, files }) as Arc<dyn PartitionStream>
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
    table: Arc<dyn Table>,
    files: Vec<usize>,
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} files", self.files.len())
    }
}

impl PartitionStream for Part {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let (table, columns) = (Arc::clone(&self.table), self.columns.clone());
        let read = move |file| table.read(file, &columns);
        let batches = self.files.clone().into_iter().flat_map(read);
        let batches = batches.map(|batch| batch.map_err(DataFusionError::External));
        let schema = Arc::clone(&self.schema);
        Box::pin(RecordBatchStreamAdapter::new(schema, stream::iter(batches)))
    }
}
