//! A view's changelog: every change, appended.

use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use operators::model::{CellRef, ColumnType, Epoch, ViewSchema};
use tokio::runtime::Runtime;

use super::changes::{Logged, Place, Waiting, changelog};
use super::columns::{Layout, batch};
use super::current::STATUS;
use super::delta::{Delta, TableLayout};
use super::view::{own_columns, unfit, unique_columns};
use super::{TableError, TableOptions, Written};

/// Rows in a file at most.
const CHANGES_PER_FILE: usize = 1_000_000;

/// The changelog of a view.
pub(super) struct Changelog {
    schema: Arc<ViewSchema>,
    table: Delta,
    /// Hash of the job.
    job: String,
}

fn columns(schema: &ViewSchema) -> Vec<Layout> {
    let meta = [
        ("_op", ColumnType::Str, false),
        ("_epoch", ColumnType::Int, false),
        STATUS,
        ("_cause", ColumnType::Str, true),
        ("_job", ColumnType::Str, false),
    ];
    own_columns(schema).chain(meta).collect()
}

impl Changelog {
    /// Opens `<out>/changelog/<view>`.
    pub(super) fn open(
        runtime: &Runtime,
        out: &Path,
        schema: &Arc<ViewSchema>,
        options: &TableOptions,
    ) -> Result<Self, TableError> {
        let name = &*schema.name;
        let app = format!("{}/changelog/{name}", options.job);
        let plain = unique_columns(schema);
        let layout = TableLayout { columns: columns(schema), partition_by: Vec::new(), plain };
        let table = Delta::open(runtime, &out.join("changelog").join(name), &app, layout)?;
        Ok(Self { schema: Arc::clone(schema), table, job: options.job_hash.clone() })
    }

    /// Whether a commit up to an epoch is news.
    pub(super) fn is_behind(&self, upto: Epoch) -> bool {
        self.table.is_behind(upto)
    }

    /// The epoch up to which it is complete.
    pub(super) fn committed(&self) -> Option<Epoch> {
        self.table.committed()
    }

    /// Makes it complete up to an epoch; `sorted` has the places of what waits.
    pub(super) fn commit(
        &mut self,
        runtime: &Runtime,
        upto: Epoch,
        (waiting, sorted): (&Waiting, &[Place]),
        written: &mut Written,
    ) -> Result<(), TableError> {
        let new = waiting.after(self.table.committed(), sorted);
        let lines = changelog(&self.schema, waiting, &new);
        written.rows_changelog += lines.len() as u64;
        let files: Result<Vec<RecordBatch>, TableError> =
            lines.chunks(CHANGES_PER_FILE).map(|lines| self.batch(lines)).collect();
        self.table.append(runtime, upto, &files?, written)
    }

    fn batch(&self, lines: &[Logged<'_>]) -> Result<RecordBatch, TableError> {
        let own = self.schema.columns.len();
        let columns = columns(&self.schema);
        let batch = batch(&columns, lines, |line, place| match place.checked_sub(own) {
            Some(0) => CellRef::Str(line.op.word()),
            Some(1) => CellRef::Int(line.epoch as i64),
            Some(2) => CellRef::Str(line.status.word()),
            Some(3) => line.cause.word().map_or(CellRef::Null, CellRef::Str),
            Some(_) => CellRef::Str(&self.job),
            None => line.row.cells.get(place),
        });
        batch.map_err(|e| unfit(&self.schema, &e.to_string()))
    }
}
