//! A view's changelog: every change, appended; and read again by what lags behind it.

use std::path::Path;
use std::sync::Arc;

use operators::model::{CellRef, ColumnType, Epoch, ViewSchema};
use tokio::runtime::Runtime;

use super::changes::{Logged, Place, Waiting, changelog};
use super::columns::Layout;
use super::delta::{Delta, EPOCH, TableLayout};
use super::encode::{Encoded, encode};
use super::replayed::{FINAL_AT, Replayed, STATUS, final_cell};
use super::view::{own_columns, unfit, unique_columns};
use super::{TableError, TableOptions, Written};

/// What a change does.
pub(super) const OP: Layout = ("_op", ColumnType::Str, false);

/// Why.
pub(super) const CAUSE: Layout = ("_cause", ColumnType::Str, true);

/// Rows in a file at most.
const CHANGES_PER_FILE: usize = 1_000_000;

/// The changelog of a view.
pub(super) struct Changelog {
    schema: Arc<ViewSchema>,
    table: Delta,
    /// Hash of the job.
    job: String,
}

pub(super) fn columns(schema: &ViewSchema) -> Vec<Layout> {
    let meta = [
        OP,
        (EPOCH, ColumnType::Int, false),
        STATUS,
        FINAL_AT,
        CAUSE,
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
        let mut files = Vec::new();
        for lines in lines.chunks(CHANGES_PER_FILE) {
            if let (Some(first), Some(last)) = (lines.first(), lines.last()) {
                files.push((self.encoded(lines)?, (first.epoch, last.epoch)));
            }
        }
        self.table.append(runtime, upto, &files, written)
    }

    /// The changes of the epochs after `after` and up to `upto`, to which it is complete; `index`
    /// is the view's place in the job's list.
    pub(super) fn since(
        &self,
        index: u16,
        after: Option<Epoch>,
        upto: Epoch,
    ) -> Result<Replayed, TableError> {
        let mut replayed = Replayed::default();
        let within = |epoch| Some(epoch) > after && epoch <= upto;
        self.table.read_epochs(after, upto, |batch| {
            replayed.read((index, &self.schema), batch, within)
        })?;
        Ok(replayed)
    }

    fn encoded(&self, lines: &[Logged<'_>]) -> Result<Encoded, TableError> {
        let own = self.schema.columns.len();
        let columns = columns(&self.schema);
        let layout = (columns.as_slice(), self.table.plain());
        let encoded = encode(layout, lines, |line, place| match place.checked_sub(own) {
            Some(0) => CellRef::Str(line.op.word()),
            Some(1) => CellRef::Int(line.epoch as i64),
            Some(2) => CellRef::Str(line.status.word()),
            Some(3) => final_cell(line.row.final_at),
            Some(4) => line.cause.word().map_or(CellRef::Null, CellRef::Str),
            Some(_) => CellRef::Str(&self.job),
            None => line.row.cells.get(place),
        });
        encoded.map_err(|e| unfit(&self.schema, &e.to_string()))
    }
}
