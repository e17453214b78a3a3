//! Rows in Delta tables: for each view a changelog and the current rows.
//!
//! Exactly once: a commit carries the table's `txn` with the epoch that it is complete up to. After
//! a crash the rows of the same epochs come again; what a table has committed is passed over, table
//! by table, so a crash between two of them does no harm.
//!
//! - `<out>/<view>`: the current rows, one file per partition (tenant, and date where rows have one),
//!   rewritten as a whole when a row in it changes or becomes final. File names are hashes of the
//!   content: the same rows give the same bytes and names.
//! - `<out>/changelog/<view>`: every change, with `_op`, `_epoch`, `_status`, `_cause`, `_job`.
//!
//! The current rows are also held in memory, to be rewritten from there.

mod columns;
mod delta;
mod ipc;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use deltalake_core::DeltaTableError;
use operators::model::{Cell, Change, ColumnType, DAY, Epoch, Micros, Row, Status, ViewSchema};
use thiserror::Error;
use tokio::runtime::{Builder, Runtime};

use self::columns::{Layout, batch};
use self::delta::{Delta, NewFile, Partition};

/// How finely tables with a date are partitioned.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Granularity {
    /// By UTC day.
    #[default]
    Day,
    /// By the first day of the UTC month.
    Month,
    /// Not by date.
    None,
}

/// What tables are called and how they are laid out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TableOptions {
    /// Name of the job: part of the application id of `txn`.
    pub job: String,
    /// Hash of the job: the `_job` column of the changelog.
    pub job_hash: String,
    /// Partitions by date.
    pub partition: Granularity,
    /// Whether the current rows are also written as Arrow IPC files, `<out>/arrow/<view>.arrow`.
    pub arrow: bool,
}

/// What a commit wrote.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Written {
    /// Rows added to changelogs.
    pub rows_changelog: u64,
    /// Rows in the files of current tables that were rewritten.
    pub rows_current: u64,
    /// Files.
    pub files: u64,
    /// Bytes of them.
    pub bytes: u64,
}

/// Why a table could not be written.
#[derive(Debug, Error)]
pub enum TableError {
    /// The disk is full, or a folder may not be written.
    #[error("can't write {path}: {message}")]
    Disk {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        message: String,
    },
    /// The output folder has no absolute name.
    #[error("{path} can't be the place of a table")]
    Path {
        /// The folder.
        path: PathBuf,
    },
    /// Delta's log could not be read or committed to.
    #[error("the table {path}: {source}")]
    Delta {
        /// The table.
        path: PathBuf,
        /// What is wrong.
        source: Box<DeltaTableError>,
    },
    /// A file could not be encoded.
    #[error("the table {path}: {message}")]
    Encode {
        /// The table.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// A table of other columns stands there.
    #[error("{path} has other columns ({found}); write to another `out`, or remove it")]
    Schema {
        /// The table.
        path: PathBuf,
        /// Its columns.
        found: String,
    },
    /// A row goes that is not there: the program is wrong.
    #[error("internal: a row of {view} goes that is not there: {row:?}")]
    Inconsistent {
        /// The view.
        view: String,
        /// The row.
        row: Box<Row>,
    },
}

impl TableError {
    fn disk(path: &Path, error: &std::io::Error) -> Self {
        Self::Disk { path: path.into(), message: error.to_string() }
    }

    fn delta(path: &Path, error: DeltaTableError) -> Self {
        Self::Delta { path: path.into(), source: Box::new(error) }
    }

    fn parquet(path: &Path, error: &parquet::errors::ParquetError) -> Self {
        Self::Encode { path: path.into(), message: error.to_string() }
    }
}

/// The rows of one partition of a current table.
#[derive(Debug, Default)]
struct Part {
    rows: BTreeMap<Row, u64>,
    touched: bool,
    /// The earliest moment at which a row that was written as provisional becomes final.
    pending: Option<Micros>,
}

struct View {
    schema: ViewSchema,
    current: Delta,
    changelog: Delta,
    current_columns: Vec<Layout>,
    changelog_columns: Vec<Layout>,
    parts: BTreeMap<Partition, Part>,
    changes: Vec<(Epoch, Change)>,
}

/// All tables of a job.
pub struct TableSink {
    out: PathBuf,
    options: TableOptions,
    runtime: Runtime,
    views: Vec<View>,
    pending: usize,
}

/// Rows in a batch of the changelog at most.
const CHANGES_PER_FILE: usize = 1_000_000;

impl TableSink {
    /// Opens the tables below `out`, creating those that are not there.
    pub fn open(
        out: &Path,
        schemas: &[ViewSchema],
        options: TableOptions,
    ) -> Result<Self, TableError> {
        let runtime =
            Builder::new_current_thread().build().map_err(|e| TableError::disk(out, &e))?;
        let mut views = Vec::new();
        for schema in schemas {
            let mut columns: Vec<Layout> =
                schema.columns.iter().map(|c| (c.name, c.kind, c.nullable)).collect();
            let mut changelog_columns = columns.clone();
            changelog_columns.extend([
                ("_op", ColumnType::Str, false),
                ("_epoch", ColumnType::Int, false),
                ("_status", ColumnType::Str, false),
                ("_cause", ColumnType::Str, true),
                ("_job", ColumnType::Str, false),
            ]);
            columns.push(("_status", ColumnType::Str, false));
            let dated = schema.date.is_some() && options.partition != Granularity::None;
            let mut partition_by = vec!["tenant"];
            if dated {
                columns.push(("date", ColumnType::Str, false));
                partition_by.push("date");
            }
            let name = &*schema.name;
            let app = |kind: &str| format!("{}/{kind}{name}", options.job);
            let path = out.join(name);
            let current = Delta::open(&runtime, &path, &app(""), &columns, &partition_by)?;
            let path = out.join("changelog").join(name);
            let app = app("changelog/");
            let changelog = Delta::open(&runtime, &path, &app, &changelog_columns, &[])?;
            views.push(View {
                schema: schema.clone(),
                current,
                changelog,
                current_columns: columns,
                changelog_columns,
                parts: BTreeMap::new(),
                changes: Vec::new(),
            });
        }
        Ok(Self { out: out.into(), options, runtime, views, pending: 0 })
    }

    /// The epoch up to which every table is complete.
    pub fn committed(&self) -> Option<Epoch> {
        let all = self.views.iter().flat_map(|v| [v.current.committed(), v.changelog.committed()]);
        all.min().flatten()
    }

    /// Changes that wait for a commit.
    pub fn pending(&self) -> usize {
        self.pending
    }

    /// Takes in a change. All changes from the first epoch on are taken in, also those committed in
    /// an earlier run: the current rows follow from them.
    pub fn add(&mut self, epoch: Epoch, change: Change) -> Result<(), TableError> {
        let granularity = self.options.partition;
        let Some(view) = self.views.get_mut(usize::from(change.row.view)) else { return Ok(()) };
        let partition = partition(&view.schema, &change.row, granularity);
        let part = view.parts.entry(partition).or_default();
        part.touched = true;
        let times = part.rows.entry(change.row.clone()).or_default();
        let Some(now) = times.checked_add_signed(change.diff) else {
            let view = view.schema.name.to_string();
            return Err(TableError::Inconsistent { view, row: Box::new(change.row) });
        };
        *times = now;
        if now == 0 {
            part.rows.remove(&change.row);
        }
        if view.changelog.committed().is_none_or(|done| epoch > done) {
            view.changes.push((epoch, change));
            self.pending += 1;
        }
        Ok(())
    }

    /// Makes all tables complete up to an epoch, all changes of which have been taken in.
    pub fn commit(&mut self, upto: Epoch, watermark: Micros) -> Result<Written, TableError> {
        let mut written = Written::default();
        for view in &mut self.views {
            if view.changelog.committed().is_none_or(|done| upto > done) {
                let job = &self.options.job_hash;
                view.commit_changes(&self.runtime, upto, watermark, job, &mut written)?;
            }
            if view.current.committed().is_none_or(|done| upto > done) {
                view.commit_current(&self.runtime, upto, watermark, &mut written)?;
            }
        }
        self.pending = 0;
        Ok(written)
    }

    /// Writes what stands at the end of a bounded run for consumers of Arrow files.
    pub fn finish(&mut self, watermark: Micros) -> Result<(), TableError> {
        if self.options.arrow {
            for view in &self.views {
                let rows = view.parts.values().flat_map(|part| part.cells(watermark));
                let columns = &view.current_columns[..=view.schema.columns.len()];
                ipc::write(&self.out, &view.schema.name, columns, rows.collect())?;
            }
        }
        Ok(())
    }
}

fn unfit(schema: &ViewSchema, error: &arrow::error::ArrowError) -> TableError {
    TableError::Encode { path: PathBuf::from(&*schema.name), message: error.to_string() }
}

fn status(row: &Row, watermark: Micros) -> Status {
    if watermark >= row.final_at { Status::Final } else { Status::Provisional }
}

impl Part {
    /// The rows in order, with their status.
    fn cells(&self, watermark: Micros) -> Vec<Vec<Cell>> {
        let mut all = Vec::with_capacity(self.rows.len());
        for (row, times) in &self.rows {
            let mut cells = row.cells.to_vec();
            cells.push(Cell::str(status(row, watermark).word()));
            all.extend((0..*times).map(|_| cells.clone()));
        }
        all
    }
}

impl View {
    fn commit_current(
        &mut self,
        runtime: &Runtime,
        upto: Epoch,
        watermark: Micros,
        written: &mut Written,
    ) -> Result<(), TableError> {
        let (mut files, mut emptied) = (Vec::new(), Vec::new());
        for (partition, part) in &mut self.parts {
            let due = part.pending.is_some_and(|at| watermark >= at);
            if !part.touched && !due {
                continue;
            }
            part.touched = false;
            let finals = part.rows.keys().map(|row| row.final_at);
            part.pending = finals.filter(|at| *at > watermark && *at < Micros::MAX).min();
            if part.rows.is_empty() {
                emptied.push(partition.clone());
                continue;
            }
            // Partition columns stand in the folder's name, not in the file.
            let kept = |name: &str| !partition.iter().any(|(column, _)| *column == name);
            let places: Vec<usize> = (0..=self.schema.columns.len())
                .filter(|&place| kept(self.current_columns[place].0))
                .collect();
            let columns: Vec<Layout> = places.iter().map(|&p| self.current_columns[p]).collect();
            let rows: Vec<Vec<Cell>> = part
                .cells(watermark)
                .into_iter()
                .map(|cells| places.iter().map(|&p| cells[p].clone()).collect())
                .collect();
            written.rows_current += rows.len() as u64;
            let batch = batch(&columns, &rows).map_err(|e| unfit(&self.schema, &e))?;
            files.push(NewFile { partition: partition.clone(), batch });
        }
        let (count, bytes) = self.current.commit(runtime, upto, &files, &emptied, true)?;
        written.files += count;
        written.bytes += bytes;
        Ok(())
    }

    fn commit_changes(
        &mut self,
        runtime: &Runtime,
        upto: Epoch,
        watermark: Micros,
        job: &str,
        written: &mut Written,
    ) -> Result<(), TableError> {
        let changes = std::mem::take(&mut self.changes);
        let rows = changelog(&self.schema, changes, watermark, job);
        written.rows_changelog += rows.len() as u64;
        let mut files = Vec::new();
        for rows in rows.chunks(CHANGES_PER_FILE) {
            let batch =
                batch(&self.changelog_columns, rows).map_err(|e| unfit(&self.schema, &e))?;
            files.push(NewFile { partition: Vec::new(), batch });
        }
        let (count, bytes) = self.changelog.commit(runtime, upto, &files, &[], false)?;
        written.files += count;
        written.bytes += bytes;
        Ok(())
    }
}

/// Changes as rows of the changelog, in order: net per epoch; of one key in one epoch a delete and
/// an insert are an update.
fn changelog(
    schema: &ViewSchema,
    changes: Vec<(Epoch, Change)>,
    watermark: Micros,
    job: &str,
) -> Vec<Vec<Cell>> {
    let mut net: BTreeMap<(Epoch, Row), (i64, operators::model::Cause)> = BTreeMap::new();
    for (epoch, change) in changes {
        let entry = net.entry((epoch, change.row)).or_default();
        entry.0 += change.diff;
        entry.1 = entry.1.max(change.cause);
    }
    net.retain(|_, (diff, _)| *diff != 0);
    let key = |epoch: Epoch, row: &Row| {
        (epoch, schema.key.iter().map(|&c| row.cells[c].clone()).collect::<Vec<_>>())
    };
    let of = |sign: i64| -> BTreeSet<_> {
        net.iter().filter(|e| e.1.0.signum() == sign).map(|((e, r), _)| key(*e, r)).collect()
    };
    let (gone, come) = (of(-1), of(1));
    let job = Cell::str(job);
    let mut rows = Vec::with_capacity(net.len());
    for ((epoch, row), (diff, cause)) in &net {
        let key = key(*epoch, row);
        let op = match (*diff > 0, gone.contains(&key), come.contains(&key)) {
            (true, true, _) => "update",
            (true, false, _) => "insert",
            (false, _, true) => continue, // the new row says it
            (false, ..) => "delete",
        };
        let mut cells = row.cells.to_vec();
        cells.extend([
            Cell::str(op),
            Cell::Int(*epoch as i64),
            Cell::str(status(row, watermark).word()),
            cause.word().map_or(Cell::Null, Cell::str),
            job.clone(),
        ]);
        rows.extend((0..diff.abs()).map(|_| cells.clone()));
    }
    rows
}

/// The partition of a row.
fn partition(schema: &ViewSchema, row: &Row, granularity: Granularity) -> Partition {
    let tenant = match &row.cells[0] {
        Cell::Str(tenant) => tenant.to_string(),
        _ => String::new(),
    };
    let mut partition: Partition = vec![("tenant", tenant)];
    if let (Some(column), true) = (schema.date, granularity != Granularity::None) {
        let time = if let Cell::Time(time) = row.cells[column] { time } else { 0 };
        partition.push(("date", date(time, granularity)));
    }
    partition
}

/// The UTC date of a moment as text.
fn date(time: Micros, granularity: Granularity) -> String {
    let days = time.div_euclid(DAY);
    let epoch = jiff::civil::date(1970, 1, 1);
    let span = jiff::Span::new().try_days(days);
    // Beyond the calendar all is one partition.
    let Some(date) = span.and_then(|span| epoch.checked_add(span)).ok() else {
        return "0000-00-00".to_owned();
    };
    match granularity {
        Granularity::Month => date.first_of_month().to_string(),
        Granularity::Day | Granularity::None => date.to_string(),
    }
}
