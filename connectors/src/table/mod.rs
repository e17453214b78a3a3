//! Rows in Delta tables: for each view a changelog and the current rows.
//!
//! Exactly once: a commit carries the table's `txn` with the epoch that it is complete up to. After
//! a crash the rows of the same epochs come again; what a table has committed is passed over, table
//! by table, so a crash between two of them does no harm.
//!
//! - `<out>/changelog/<view>`: every change, with `_op`, `_epoch`, `_status` (as of that epoch),
//!   `_final_at`, `_cause`, `_job`.
//! - `<out>/<view>`: the current rows, one file per partition (tenant, and date where rows have
//!   one), rewritten as a whole when a row in it changes or becomes final. File names are hashes of
//!   the content: the same rows give the same bytes and names. Beside the view's columns stand
//!   `_status` and `_final_at`: the row becomes final when the watermark gets there (null: at once,
//!   or never).
//! - `<out>/epochs`: the epochs with the watermark after each, committed after the changelogs.
//!
//! Changelogs are only appended to, so they can be committed often. Current rows are rewritten when
//! the caller says so; then they take what they lack from the files of the changelog, or from
//! memory if it is only what waits. Each table knows by its `txn` how far it is: after a crash the
//! epochs up to [`TableSink::committed`] need not come again for the tables' sake.
//!
//! A commit is durable when it returns: its files, their names, and the version of the log.
//!
//! Memory: what waits for a commit, and while one goes on, for each thread what the current rows of
//! a view lack and the rows of one partition. Rows that stand are read from the table's own files.

mod ahead;
mod archive;
mod batches;
mod begins;
mod changelog;
mod changes;
mod columns;
mod current;
mod delta;
mod disk;
mod encode;
mod epochs;
mod ipc;
mod known;
mod merged;
mod progress;
mod read;
mod replayed;
mod stats;
mod stored;
#[cfg(test)]
mod tests;
mod values;
mod view;

use std::cmp::Reverse;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use deltalake_core::DeltaTableError;
use operators::model::{Change, Epoch, Micros, Row, ViewSchema};
use thiserror::Error;
use tokio::runtime::{Builder, Runtime};

pub use self::archive::{Archive, ArchiveError, ArchiveSink, ArchiveSpec, Names, Reach};
pub use self::archive::{import as import_app, live as archive_app};
pub use self::begins::Begins;
use self::epochs::Epochs;
pub use self::epochs::give_up_epochs;
pub use self::known::{LoggedChange, changelogs_gone, epochs, known, logged, standing};
pub use self::progress::{TableProgress, committed_epochs, committed_rows};
pub use self::read::read;
pub use self::stored::{Stored, Which};
use self::view::{Scope, View};

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

impl Granularity {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Day, Self::Month, Self::None];

    /// How it is written in a job file.
    pub fn word(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Month => "month",
            Self::None => "none",
        }
    }

    /// The one that is written so.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|granularity| granularity.word() == word)
    }
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
    /// How often whoever holds the tables is to commit them.
    pub every: Duration,
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

impl Written {
    /// Adds what another commit wrote.
    pub fn add(&mut self, other: Self) {
        self.rows_changelog += other.rows_changelog;
        self.rows_current += other.rows_current;
        self.files += other.files;
        self.bytes += other.bytes;
    }
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
    /// A file is not as it was written.
    #[error("{path} is damaged: its content is not what it is named after; {}", mended(.path))]
    Damaged {
        /// The file.
        path: PathBuf,
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
    /// A table of another job stands there.
    #[error(
        "{path} was written by {}, and this job would add all its rows to those that stand there; \
         give this job that name again, or another `out`",
        named(.job)
    )]
    Foreign {
        /// The table.
        path: PathBuf,
        /// Name of the job that wrote it last; empty if its log does not say.
        job: String,
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

/// What a job is called in a message.
fn named(job: &str) -> String {
    if job.is_empty() { "another job".to_owned() } else { format!("the job {job:?}") }
}

/// How a damaged file is mended: what its table is made of is kept elsewhere.
fn mended(path: &Path) -> String {
    // The folder of a table is above those of its partitions.
    let table = path.ancestors().find(|folder| folder.join("_delta_log").is_dir());
    let table = table.unwrap_or(path);
    let is = |path: Option<&Path>, name: &str| {
        path.and_then(Path::file_name).is_some_and(|last| last == name)
    };
    let from_sources = is(table.parent(), "changelog") || is(Some(table), epochs::EPOCHS);
    let from = if from_sources { "computes it anew from the sources" } else { "writes it anew" };
    format!("restore it, or move {} away: the next run {from}", table.display())
}

impl TableError {
    /// Whether the job asks for what there can't be.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Schema { .. } | Self::Foreign { .. })
    }

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

/// Changes that are kept in memory for current rows when changelogs have them: about 512 MB.
/// To read them back costs about as much as to write them. Tests do with few, to come by both ways.
const KEPT_CHANGES: usize = if cfg!(test) { 20 } else { 4_000_000 };
/// Tables that are written at the same time at most: each holds the rows of a partition.
const THREADS_MAX: usize = 4;

/// What drives the commits of a thread.
fn runtime(out: &Path) -> Result<Runtime, TableError> {
    Builder::new_current_thread().build().map_err(|e| TableError::disk(out, &e))
}

/// Does some work on each of some things in so many threads, which take them in their order; gives
/// what comes of each.
fn side_by_side<T: Send, R: Send>(
    out: &Path,
    threads: usize,
    things: Vec<T>,
    work: impl Fn(&Runtime, T) -> Result<R, TableError> + Sync,
) -> Result<Vec<R>, TableError> {
    let things = Mutex::new(things.into_iter().enumerate());
    let work = || -> Result<Vec<(usize, R)>, TableError> {
        let (runtime, mut done) = (runtime(out)?, Vec::new());
        loop {
            let next = things.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((place, thing)) = next else { return Ok(done) };
            done.push((place, work(&runtime, thing)?));
        }
    };
    let parts: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(thread::ScopedJoinHandle::join).collect()
    });
    let mut done = Vec::new();
    for part in parts {
        // A panic is the program's mistake: it goes on to who started it.
        done.extend(part.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
    }
    done.sort_by_key(|(place, _)| *place);
    Ok(done.into_iter().map(|(_, result)| result).collect())
}

/// All tables of a job.
pub struct TableSink {
    out: PathBuf,
    options: TableOptions,
    views: Vec<View>,
    epochs: Epochs,
    /// The last closed epoch, with the watermark after it.
    closed: Option<(Epoch, Micros)>,
    pending: usize,
}

impl TableSink {
    /// Opens the tables below `out`, creating those that are not there.
    pub fn open(
        out: &Path,
        schemas: &[ViewSchema],
        options: TableOptions,
    ) -> Result<Self, TableError> {
        // Each that is made waits for the disk several times.
        let places = (0..).zip(schemas).collect();
        let open = |runtime: &Runtime, place| View::open(runtime, out, place, &options);
        let views = side_by_side(out, THREADS_MAX, places, open)?;
        let epochs = Epochs::open(&runtime(out)?, out, &options.job)?;
        Ok(Self { out: out.into(), options, views, epochs, closed: None, pending: 0 })
    }

    /// How often they are to be committed.
    pub fn every(&self) -> Duration {
        self.options.every
    }

    /// The epoch up to which every changelog is complete: current rows can get there without the
    /// changes coming again.
    pub fn committed(&self) -> Option<Epoch> {
        self.epochs.committed()
    }

    /// For each view the epoch up to which its changelog is complete: further than
    /// [`TableSink::committed`] if a commit was cut off.
    pub fn logged(&self) -> Vec<Option<Epoch>> {
        let committed = self.committed();
        self.views.iter().map(|view| view.logged().max(committed)).collect()
    }

    /// Makes current rows that are further than their changelog anew of it, with the next commit. A
    /// commit leaves such that was cut off, and whoever goes on does not say again what led there.
    /// It stands before anything is written to the changelogs, which then tell no more.
    pub fn go_back(&mut self) -> Result<(), TableError> {
        self.views.iter_mut().try_for_each(View::go_back)
    }

    /// The last epoch that any table holds.
    pub fn newest(&self) -> Option<Epoch> {
        self.views.iter().filter_map(View::newest).max().max(self.committed())
    }

    /// Changes that wait for a commit.
    pub fn pending(&self) -> usize {
        self.pending
    }

    /// Changes that this run has put into changelogs and not into current rows.
    pub fn lacking(&self) -> usize {
        self.views.iter().map(View::lacking).sum()
    }

    /// Those of them that are in memory.
    pub fn kept(&self) -> usize {
        self.views.iter().map(View::kept).sum()
    }

    /// Gives up what it keeps in memory for current rows: they take it from the changelogs.
    pub fn forget(&mut self) {
        self.views.iter_mut().for_each(View::forget);
    }

    /// Current rows of all views.
    pub fn rows(&self) -> u64 {
        self.views.iter().map(|view| view.current.rows()).sum()
    }

    /// Takes in a change of an epoch, with the watermark after that epoch. Epochs come in order;
    /// one that a table has committed is passed over.
    pub fn add(&mut self, epoch: Epoch, watermark: Micros, change: Change) {
        if let Some(view) = self.views.get_mut(usize::from(change.row.view)) {
            self.pending += usize::from(view.add(epoch, watermark, change));
        }
    }

    /// All changes of an epoch, and of those before it, have been taken in.
    pub fn close(&mut self, epoch: Epoch, watermark: Micros) {
        self.epochs.close(epoch, watermark);
        self.closed = Some((epoch, watermark));
    }

    /// Makes the changelogs complete up to the last closed epoch.
    pub fn commit_changelogs(&mut self) -> Result<Written, TableError> {
        self.commit_scope(Scope::Changelogs)
    }

    /// Makes changelogs and current rows complete up to the last closed epoch.
    pub fn commit(&mut self) -> Result<Written, TableError> {
        self.commit_scope(Scope::Rows)
    }

    fn commit_scope(&mut self, scope: Scope) -> Result<Written, TableError> {
        let Some((upto, watermark)) = self.closed else { return Ok(Written::default()) };
        let mut commits = Vec::new();
        for view in &mut self.views {
            if let Some(commit) = view.commit(upto, watermark, scope) {
                commits.push((view, commit));
            }
        }
        let mut tasks = Vec::new();
        for (view, commit) in &mut commits {
            let commit = &*commit;
            let (schema, tables) = view.tasks(commit);
            tasks.extend(tables.into_iter().map(|task| (task, schema, commit)));
        }
        // The largest first: the others fill the time that it takes.
        tasks.sort_by_key(|(_, _, commit)| Reverse(commit.len()));
        let threads = thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
        let parts = side_by_side(&self.out, threads, tasks, |runtime, (task, schema, commit)| {
            let mut written = Written::default();
            task.run(runtime, schema, commit, &mut written)?;
            Ok(written)
        })?;
        let mut written = Written::default();
        parts.into_iter().for_each(|part| written.add(part));
        for (view, commit) in commits {
            view.done(commit);
        }
        if self.kept() > KEPT_CHANGES {
            self.forget();
        }
        self.epochs.commit(&runtime(&self.out)?, &mut written)?;
        self.pending = 0;
        Ok(written)
    }

    /// The last commit of a bounded run: every table says that it is complete up to the last closed
    /// epoch, and what stands is written for consumers of Arrow files. Without a closed epoch there
    /// is nothing to say.
    pub fn finish(&mut self) -> Result<Written, TableError> {
        let written = self.commit_scope(Scope::End)?;
        if self.options.arrow && self.closed.is_some() {
            for view in &self.views {
                ipc::write(
                    &self.out,
                    view.name(),
                    &view.current.stream_schema(),
                    view.current.stream(),
                )?;
            }
        }
        Ok(written)
    }
}
