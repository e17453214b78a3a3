//! Small files of a day made one, so that a long life does not leave a file for each commit.
//!
//! Files of a day are of classes by their rows, each class some times the one before. Eight of one
//! class become a file, those that came first, so an event is written again once for each class at
//! most. What is read does not change; files that are no longer named stay on the disk until the
//! table is vacuumed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::{SortColumn, concat_batches, lexsort_to_indices, take};
use operators::model::Epoch;
use parquet::errors::ParquetError;

use super::super::TableError;
use super::super::batches::read_all;
use super::super::columns::arrow_schema;
use super::super::delta::TableFile;
use super::super::encode::{Encoded, encode_columns};
use super::ArchiveError;
use super::read::{ArchiveFile, check, damaged};
use super::row::COLUMNS;
use super::write::{GROUP_ROWS, PLAIN};

/// Files of one class that become one: fewer would be written again more often, more would be
/// opened for each day that is read.
const FILES: usize = 8;
/// A file has this many rows at most, for a reader holds those of later epochs in memory. When so
/// many have been written, the rest waits for the next commit.
pub(super) const ROWS_MAX: u64 = 500_000;
/// What rows of the archive are sorted by.
const ORDER: [&str; 5] = ["tenant", "identifier", "time", "seq", "message_id"];

/// Files of a day that are to become one, if there are any; those in `damaged` stay as they are.
pub(super) fn candidates(files: &[TableFile], damaged: &BTreeSet<PathBuf>) -> Vec<TableFile> {
    let mut classes: BTreeMap<u32, Vec<&TableFile>> = BTreeMap::new();
    let small = files.iter().filter(|file| file.rows <= ROWS_MAX / 2);
    for file in small.filter(|file| !damaged.contains(Path::new(&file.path))) {
        classes.entry(file.rows.max(1).ilog2() / FILES.ilog2()).or_default().push(file);
    }
    let Some(mut class) = classes.into_values().find(|class| class.len() >= FILES) else {
        return Vec::new();
    };
    class.sort_by(|a, b| (a.epochs, &a.path).cmp(&(b.epochs, &b.path)));
    let mut rows = 0;
    let fits = class.into_iter().take(FILES).take_while(|file| {
        rows += file.rows;
        rows <= ROWS_MAX
    });
    fits.cloned().collect()
}

/// The rows of some files of a day as those of one, and their epochs.
pub(super) fn merge(
    folder: &Path,
    files: &[TableFile],
) -> Result<(Encoded, (Epoch, Epoch)), ArchiveError> {
    let mut epochs = (Epoch::MAX, 0);
    let mut batches = Vec::new();
    for file in files {
        let file = ArchiveFile::new(folder, &file.path, file.epochs);
        check(&file)?;
        epochs = (epochs.0.min(file.epochs.0), epochs.1.max(file.epochs.1));
        let input = File::open(&file.path).map_err(|e| damaged(&file, e.to_string()))?;
        read_all(input, None, &mut batches).map_err(|e| damaged(&file, e.to_string()))?;
    }
    let encoded = sorted(&batches).and_then(|rows| {
        let columns = &COLUMNS[..COLUMNS.len() - 1];
        encode_columns(GROUP_ROWS, (columns, &PLAIN), &rows)
    });
    Ok((encoded.map_err(|e| TableError::parquet(folder, &e))?, epochs))
}

/// All rows in the archive's order.
fn sorted(batches: &[RecordBatch]) -> Result<RecordBatch, ParquetError> {
    let schema = arrow_schema(&COLUMNS[..COLUMNS.len() - 1]);
    let all = concat_batches(&schema, batches)?;
    let by = ORDER.iter().filter_map(|name| all.column_by_name(name));
    let by: Vec<SortColumn> =
        by.map(|values| SortColumn { values: Arc::clone(values), options: None }).collect();
    let order = lexsort_to_indices(&by, None)?;
    let columns = all.columns().iter().map(|column| take(column, &order, None));
    Ok(RecordBatch::try_new(schema, columns.collect::<Result<Vec<ArrayRef>, _>>()?)?)
}
