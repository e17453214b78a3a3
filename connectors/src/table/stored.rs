//! Tables as they stand, opened to be read while others write: of each the version that was the
//! last one when it was opened.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::Schema;
use operators::model::{Epoch, ViewSchema};
use tokio::runtime::Builder;

use super::batches::batches;
use super::columns::{Layout, arrow_schema, constant};
use super::delta::builder;
use super::stats::Stats;
use super::{Granularity, TableError, changelog, current, disk, epochs};

/// Which table.
#[derive(Clone, Copy, Debug)]
pub enum Which<'a> {
    /// The current rows of a view.
    Current(&'a ViewSchema, Granularity),
    /// Its changes.
    Changelog(&'a ViewSchema),
    /// The epochs.
    Epochs,
}

impl Which<'_> {
    fn path(self, out: &Path) -> PathBuf {
        match self {
            Self::Current(schema, _) => out.join(&*schema.name),
            Self::Changelog(schema) => out.join("changelog").join(&*schema.name),
            Self::Epochs => out.join(epochs::EPOCHS),
        }
    }

    /// Whether there is one below `out`: its log has a version.
    ///
    /// # Errors
    ///
    /// The folder can't be read.
    pub fn exists(self, out: &Path) -> Result<bool, TableError> {
        disk::is_table(&self.path(out))
    }

    fn columns(self) -> Vec<Layout> {
        match self {
            Self::Current(schema, granularity) => current::columns(schema, granularity).0,
            Self::Changelog(schema) => changelog::columns(schema),
            Self::Epochs => epochs::COLUMNS.to_vec(),
        }
    }

    /// The columns of the table.
    pub fn schema(self) -> Arc<Schema> {
        arrow_schema(&self.columns())
    }
}

#[derive(Clone, Debug)]
struct StoredFile {
    path: PathBuf,
    /// Values that stand in the log instead of the file, by column.
    values: BTreeMap<String, String>,
    rows: u64,
    epochs: Option<(Epoch, Epoch)>,
}

/// A table in one version.
#[derive(Clone, Debug)]
pub struct Stored {
    schema: Arc<Schema>,
    files: Vec<StoredFile>,
}

impl Stored {
    /// Opens a table below `out` as it stands; `None` if it has not been written yet.
    ///
    /// # Errors
    ///
    /// It can't be read, or has other columns.
    pub fn open(out: &Path, which: Which<'_>) -> Result<Option<Self>, TableError> {
        let path = which.path(out);
        if !which.exists(out)? {
            return Ok(None);
        }
        let fail = |e| TableError::delta(&path, e);
        let runtime =
            Builder::new_current_thread().build().map_err(|e| TableError::disk(&path, &e))?;
        let (folder, mut table) = builder(&path)?;
        runtime.block_on(table.load()).map_err(fail)?;
        let snapshot = table.snapshot().map_err(fail)?;
        let schema = which.schema();
        let names: Vec<String> =
            snapshot.schema().fields().map(|field| field.name().clone()).collect();
        if !names.iter().eq(schema.fields().iter().map(|field| field.name())) {
            return Err(TableError::Schema { path: folder, found: names.join(", ") });
        }
        let mut files = Vec::new();
        for file in snapshot.log_data().iter() {
            let values = file.partition_values_map().into_iter();
            let values = values.map(|(name, value)| (name, value.unwrap_or_default()));
            let stats = file.stats().and_then(|stats| serde_json::from_str::<Stats>(&stats).ok());
            files.push(StoredFile {
                path: folder.join(&*file.path()),
                values: values.collect(),
                rows: stats.as_ref().map_or(0, |stats| stats.num_records),
                epochs: stats.as_ref().and_then(Stats::epochs),
            });
        }
        files.sort_by(|a, b| a.epochs.cmp(&b.epochs).then_with(|| a.path.cmp(&b.path)));
        Ok(Some(Self { schema, files }))
    }

    /// The columns.
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// Number of files.
    pub fn files(&self) -> usize {
        self.files.len()
    }

    /// Number of rows.
    pub fn rows(&self) -> u64 {
        self.files.iter().map(|file| file.rows).sum()
    }

    /// The first epoch that its rows are of, as far as they say so.
    pub fn first_epoch(&self) -> Option<Epoch> {
        self.files.iter().filter_map(|file| file.epochs).map(|(first, _)| first).min()
    }

    /// The files that may have rows of epochs up to this one.
    pub fn files_upto(&self, epoch: Epoch) -> impl Iterator<Item = usize> {
        let within = move |file: &StoredFile| file.epochs.is_none_or(|(first, _)| first <= epoch);
        (0..).zip(&self.files).filter(move |(_, file)| within(file)).map(|(place, _)| place)
    }

    /// The rows of a file, a batch at a time; of each the columns of these places.
    ///
    /// # Errors
    ///
    /// There is no such file, or it can't be read.
    pub fn read(
        &self,
        file: usize,
        columns: &[usize],
    ) -> Result<impl Iterator<Item = Result<RecordBatch, TableError>> + Send + use<>, TableError>
    {
        let path = &self.files[file].path;
        let input = File::open(path).map_err(|e| TableError::disk(path, &e))?;
        self.read_from(input, file, columns)
    }

    /// The rows of a file, a batch at a time, with all columns. It must be as it was written: what
    /// is read is to be written on.
    pub(super) fn read_whole(
        &self,
        file: usize,
    ) -> Result<impl Iterator<Item = Result<RecordBatch, TableError>> + use<>, TableError> {
        let columns: Vec<usize> = (0..self.schema.fields().len()).collect();
        self.read_from(disk::open(&self.files[file].path)?, file, &columns)
    }

    fn read_from(
        &self,
        input: File,
        file: usize,
        columns: &[usize],
    ) -> Result<impl Iterator<Item = Result<RecordBatch, TableError>> + Send + use<>, TableError>
    {
        let StoredFile { path, values, .. } = self.files[file].clone();
        let schema = self.schema.project(columns).map_err(|e| wrong(&path, &e.to_string()))?;
        let schema = Arc::new(schema);
        let names = schema.fields().iter().map(|field| field.name().as_str());
        let names: Vec<&str> = names.filter(|name| !values.contains_key(*name)).collect();
        let batches = batches(input, Some(&names)).map_err(|e| TableError::parquet(&path, &e))?;
        Ok(batches.map(move |batch| {
            let batch = batch.map_err(|e| wrong(&path, &e.to_string()))?;
            let mut arrays: Vec<ArrayRef> = Vec::new();
            for field in schema.fields() {
                let name = field.name();
                arrays.push(match (values.get(name), batch.column_by_name(name)) {
                    (Some(value), _) => constant(value, batch.num_rows()),
                    (None, Some(array)) => Arc::clone(array),
                    (None, None) => return Err(wrong(&path, &format!("there is no {name}"))),
                });
            }
            let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
            RecordBatch::try_new_with_options(Arc::clone(&schema), arrays, &options)
                .map_err(|e| wrong(&path, &e.to_string()))
        }))
    }
}

fn wrong(path: &Path, message: &str) -> TableError {
    TableError::Encode { path: path.into(), message: message.to_owned() }
}
