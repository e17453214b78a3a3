//! The epochs that the changelogs hold, with the watermark after each: what `_epoch` refers to.
//!
//! It is committed after the changelogs, so whatever epoch it has is whole in all of them.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use operators::model::{Cell, CellRef, ColumnType, Epoch, Micros, ViewSchema};
use tokio::runtime::Runtime;

use super::changelog::Changelog;
use super::columns::{Layout, cells};
use super::delta::{Delta, EPOCH, TableLayout};
use super::encode::encode;
use super::{TableError, TableOptions, Written};
use crate::durable;

/// Name of the table.
pub(super) const EPOCHS: &str = "epochs";
/// The columns. The watermark is null before there is one.
pub(super) const COLUMNS: [Layout; 2] =
    [(EPOCH, ColumnType::Int, false), ("watermark", ColumnType::Time, true)];

/// The epochs of a batch, with the watermark after each.
pub(super) fn lines(batch: &RecordBatch) -> Vec<(Epoch, Micros)> {
    let column = |place: usize| {
        let array = batch.columns().get(place);
        array.and_then(|array| cells(COLUMNS[place].1, array)).unwrap_or_default()
    };
    let line = |(epoch, watermark)| match (epoch, watermark) {
        (Cell::Int(epoch), Cell::Time(watermark)) => Some((epoch as Epoch, watermark)),
        (Cell::Int(epoch), _) => Some((epoch as Epoch, Micros::MIN)),
        _ => None,
    };
    column(0).into_iter().zip(column(1)).filter_map(line).collect()
}

/// Gives up the table below `out`, as if no epoch had been committed, whatever happens meanwhile.
/// Each changelog that is not `gone` knows by itself then how far it is.
///
/// # Errors
///
/// A changelog can't be written, or the table not be removed.
pub fn give_up_epochs(
    out: &Path,
    (schemas, gone): (&[ViewSchema], &BTreeSet<String>),
    options: &TableOptions,
) -> Result<(), TableError> {
    let runtime = super::runtime(out)?;
    let committed = Epochs::open(&runtime, out, &options.job)?.committed();
    for schema in schemas.iter().filter(|schema| !gone.contains(&*schema.name)) {
        let schema = Arc::new(schema.clone());
        let mut changelog = Changelog::open(&runtime, out, &schema, options)?;
        changelog.settle(&runtime, committed)?;
    }
    let path = out.join(EPOCHS);
    durable::remove_folder(&path).map_err(|e| TableError::disk(&path, &e))
}

/// The table `<out>/epochs`.
pub(super) struct Epochs {
    table: Delta,
    /// Closed epochs that wait for a commit.
    waiting: Vec<(Epoch, Micros)>,
}

impl Epochs {
    /// Opens the table of a job.
    pub(super) fn open(runtime: &Runtime, out: &Path, job: &str) -> Result<Self, TableError> {
        let app = format!("{job}/{EPOCHS}");
        let (columns, partition_by) = (COLUMNS.to_vec(), Vec::new());
        let layout = TableLayout { columns, partition_by, plain: Vec::new() };
        let table = Delta::open_own(runtime, &out.join(EPOCHS), &app, layout)?;
        Ok(Self { table, waiting: Vec::new() })
    }

    /// The epoch up to which every changelog is complete.
    pub(super) fn committed(&self) -> Option<Epoch> {
        self.table.committed()
    }

    /// Takes in a closed epoch, unless it is there.
    pub(super) fn close(&mut self, epoch: Epoch, watermark: Micros) {
        if self.table.is_behind(epoch) {
            self.waiting.push((epoch, watermark));
        }
    }

    /// Adds what waits.
    pub(super) fn commit(
        &mut self,
        runtime: &Runtime,
        written: &mut Written,
    ) -> Result<(), TableError> {
        let (Some(first), Some(last)) = (self.waiting.first(), self.waiting.last()) else {
            return Ok(());
        };
        let layout = (COLUMNS.as_slice(), self.table.plain());
        let lines = encode(layout, &self.waiting, |(epoch, watermark), place| match place {
            0 => CellRef::Int(*epoch as i64),
            _ if *watermark == Micros::MIN || *watermark == Micros::MAX => CellRef::Null,
            _ => CellRef::Time(*watermark),
        });
        let lines = lines.map_err(|e| TableError::parquet(Path::new(EPOCHS), &e))?;
        self.table.append(runtime, last.0, &[(lines, (first.0, last.0))], written)?;
        self.waiting.clear();
        Ok(())
    }
}
