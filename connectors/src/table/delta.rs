//! One Delta table: files written by us, commits through `deltalake-core`.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use arrow::array::RecordBatch;
use deltalake_core::kernel::transaction::{CommitBuilder, CommitProperties};
use deltalake_core::kernel::{Action, Add, Remove, Transaction};
use deltalake_core::operations::create::CreateBuilder;
use deltalake_core::protocol::{DeltaOperation, SaveMode};
use deltalake_core::table::builder::DeltaTableBuilder;
use deltalake_core::{DeltaTable, DeltaTableError};
use operators::model::Epoch;
use tokio::runtime::Runtime;
use url::Url;

use super::batches::{batches, read_all};
use super::columns::{Layout, delta_fields};
use super::disk;
use super::encode::Encoded;
use super::stats::Stats;
use super::{TableError, Written};
use crate::durable;
use crate::moments::{Moment, reach};

/// The values of a table's partition columns.
pub(super) type Partition = Vec<String>;

/// A file that a partition gets, with the first and the last epoch of its rows.
pub(super) type Part = (Partition, Encoded, (Epoch, Epoch));

/// A file of a table: its path as the log has it, and its size.
#[derive(Clone, Debug)]
pub(super) struct TableFile {
    pub path: String,
    bytes: i64,
    pub rows: u64,
    /// The first and the last epoch that its rows are of, where they say so.
    pub epochs: Option<(Epoch, Epoch)>,
}

/// The column that says of which epoch a row is.
pub(super) const EPOCH: &str = "_epoch";

/// How a table is laid out.
pub(super) struct TableLayout {
    pub columns: Vec<Layout>,
    /// Columns that stand in the names of folders and in the log instead of the files.
    pub partition_by: Vec<&'static str>,
    /// Columns that are written without a dictionary, since hardly two rows have the same value.
    pub plain: Vec<&'static str>,
}

/// Partitions that get other rows, of one commit.
#[derive(Default)]
pub(super) struct Replacing {
    actions: Vec<Action>,
    changed: Vec<(Partition, Option<TableFile>)>,
}

/// A Delta table on the local disk.
pub(super) struct Delta {
    folder: PathBuf,
    app: String,
    table: DeltaTable,
    committed: Option<Epoch>,
    layout: TableLayout,
    files: BTreeMap<Partition, Vec<TableFile>>,
}

/// Milliseconds since 1970, for readers that clean up by age.
fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

impl Delta {
    /// Opens the table in a folder, or creates it.
    pub(super) fn open(
        runtime: &Runtime,
        path: &Path,
        app: &str,
        layout: TableLayout,
    ) -> Result<Self, TableError> {
        durable::finish_removal(path)
            .and_then(|()| durable::create_folder(path))
            .map_err(|e| TableError::disk(path, &e))?;
        let fail = |e| TableError::delta(path, e);
        let (folder, mut table) = builder(path)?;
        let exists = runtime.block_on(table.verify_deltatable_existence()).map_err(fail)?;
        if exists {
            runtime.block_on(table.load()).map_err(fail)?;
        } else {
            let create = CreateBuilder::new()
                .with_location(url(&folder)?.as_str())
                .with_save_mode(SaveMode::ErrorIfExists)
                .with_columns(delta_fields(&layout.columns))
                .with_partition_columns(layout.partition_by.iter().copied());
            table = runtime.block_on(create.into_future()).map_err(fail)?;
            disk::sync_created(&folder)?;
        }
        let mut this = Self {
            folder,
            app: app.to_owned(),
            table,
            committed: None,
            layout,
            files: BTreeMap::new(),
        };
        this.take_stock(runtime)?;
        Ok(this)
    }

    /// As [`Delta::open`], for a table that one application writes: what another has written into
    /// it would stand there twice.
    pub(super) fn open_own(
        runtime: &Runtime,
        path: &Path,
        app: &str,
        layout: TableLayout,
    ) -> Result<Self, TableError> {
        let this = Self::open(runtime, path, app, layout)?;
        if this.committed.is_some() || this.files.is_empty() {
            return Ok(this);
        }
        let writer = disk::writer(&this.folder).unwrap_or_default();
        let job = writer.split('/').next().unwrap_or_default().to_owned();
        Err(TableError::Foreign { path: this.folder, job })
    }

    /// Reads the log: the columns, what is committed, the files.
    fn take_stock(&mut self, runtime: &Runtime) -> Result<(), TableError> {
        let fail = |e| TableError::delta(&self.folder, e);
        let snapshot = self.table.snapshot().map_err(fail)?;
        let names: Vec<String> =
            snapshot.schema().fields().map(|field| field.name().clone()).collect();
        if !names.iter().map(String::as_str).eq(self.layout.columns.iter().map(|c| c.0)) {
            return Err(TableError::Schema { path: self.folder.clone(), found: names.join(", ") });
        }
        self.committed = transaction(runtime, &self.table, self.app.clone()).map_err(fail)?;
        for file in snapshot.log_data().iter() {
            let values = file.partition_values_map();
            let value = |name: &&str| values.get(*name).cloned().flatten().unwrap_or_default();
            let partition = self.layout.partition_by.iter().map(value).collect();
            // Statistics that are not as they were written are as good as none.
            let stats = file.stats().and_then(|stats| serde_json::from_str::<Stats>(&stats).ok());
            let file = TableFile {
                path: file.path().into_owned(),
                bytes: file.size(),
                rows: stats.as_ref().map_or(0, |stats| stats.num_records),
                epochs: stats.as_ref().and_then(Stats::epochs),
            };
            self.files.entry(partition).or_default().push(file);
        }
        Ok(())
    }

    /// Columns that are written without a dictionary.
    pub(super) fn plain(&self) -> &[&'static str] {
        &self.layout.plain
    }

    /// The epoch up to which the table is complete.
    pub(super) fn committed(&self) -> Option<Epoch> {
        self.committed
    }

    /// Whether the table is not yet complete up to an epoch.
    pub(super) fn is_behind(&self, upto: Epoch) -> bool {
        self.committed.is_none_or(|done| upto > done)
    }

    /// The partitions that have rows.
    pub(super) fn partitions(&self) -> Vec<Partition> {
        self.files.keys().cloned().collect()
    }

    /// The rows of a partition; with `only`, these columns of them. Whole rows are read to be
    /// written again, so the files must be as they were written.
    pub(super) fn read(
        &self,
        partition: &Partition,
        only: Option<&[&str]>,
    ) -> Result<Vec<RecordBatch>, TableError> {
        let mut batches = Vec::new();
        for file in self.files.get(partition).into_iter().flatten() {
            let path = self.folder.join(&file.path);
            let input = match only {
                None => disk::open(&path)?,
                Some(_) => fs::File::open(&path).map_err(|e| TableError::disk(&path, &e))?,
            };
            read_all(input, only, &mut batches).map_err(|e| TableError::parquet(&path, &e))?;
        }
        Ok(batches)
    }

    /// Reads all files that may have rows of an epoch after `after` and up to `upto`, a batch at a
    /// time.
    pub(super) fn read_epochs(
        &self,
        after: Option<Epoch>,
        upto: Epoch,
        mut each: impl FnMut(&RecordBatch) -> Result<(), TableError>,
    ) -> Result<(), TableError> {
        let within = |file: &&TableFile| {
            file.epochs.is_none_or(|(first, last)| Some(last) > after && first <= upto)
        };
        for file in self.files.values().flatten().filter(within) {
            let path = self.folder.join(&file.path);
            let fail = |e| TableError::parquet(&path, &e);
            let input = disk::open(&path)?;
            for batch in batches(input, None).map_err(fail)? {
                each(&batch.map_err(|e| fail(e.into()))?)?;
            }
        }
        Ok(())
    }

    /// Number of rows.
    pub(super) fn rows(&self) -> u64 {
        self.files.values().flatten().map(|file| file.rows).sum()
    }

    /// Adds rows, and makes the table complete up to an epoch. Beside each file's content
    /// stand the first and the last epoch of its rows.
    pub(super) fn append(
        &mut self,
        runtime: &Runtime,
        upto: Epoch,
        contents: &[(Encoded, (Epoch, Epoch))],
        written: &mut Written,
    ) -> Result<(), TableError> {
        let mut actions = Vec::new();
        let mut files = Vec::new();
        for (content, epochs) in contents {
            let content = (content, Some(*epochs));
            files.extend(self.write_file(&Partition::new(), content, &mut actions, written)?);
        }
        self.commit(runtime, upto, actions, &[])?;
        if !files.is_empty() {
            self.files.entry(Partition::new()).or_default().extend(files);
        }
        Ok(())
    }

    /// Adds files to partitions and removes those of others, of which it tells the last epoch;
    /// makes the table complete up to an epoch, with what `marks` makes of that.
    pub(super) fn add_parts<'m>(
        &mut self,
        runtime: &Runtime,
        upto: Epoch,
        (parts, is_gone): (Vec<Part>, impl Fn(&Partition) -> bool),
        marks: impl FnOnce(Option<Epoch>) -> Vec<(&'m str, Epoch)>,
        written: &mut Written,
    ) -> Result<Option<Epoch>, TableError> {
        let (mut actions, mut files, mut last) = (Vec::new(), Vec::new(), None);
        for (partition, content, epochs) in parts {
            let content = (&content, Some(epochs));
            let file = self.write_file(&partition, content, &mut actions, written)?;
            files.extend(file.map(|file| (partition, file)));
        }
        let gone: Vec<Partition> = self.files.keys().filter(|p| is_gone(p)).cloned().collect();
        for partition in &gone {
            for file in self.files.get(partition).into_iter().flatten() {
                actions.push(self.remove(file, partition));
                last = last.max(file.epochs.map(|epochs| epochs.1));
            }
        }
        self.commit(runtime, upto, actions, &marks(last))?;
        gone.iter().for_each(|partition| drop(self.files.remove(partition)));
        for (partition, file) in files {
            self.files.entry(partition).or_default().push(file);
        }
        Ok(last)
    }

    /// Where its files are.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The files of a partition.
    pub(super) fn files(&self, partition: &Partition) -> &[TableFile] {
        self.files.get(partition).map_or(&[], Vec::as_slice)
    }

    /// Puts one file in the place of some of a partition that have the same rows.
    pub(super) fn merge(
        &mut self,
        runtime: &Runtime,
        partition: &Partition,
        (olds, content, epochs): (&[TableFile], &Encoded, (Epoch, Epoch)),
        written: &mut Written,
    ) -> Result<(), TableError> {
        let Some(committed) = self.committed else { return Ok(()) };
        let mut actions = Vec::new();
        let new = self.write_file(partition, (content, Some(epochs)), &mut actions, written)?;
        actions.extend(olds.iter().map(|old| self.remove(old, partition)));
        for action in &mut actions {
            match action {
                Action::Add(add) => add.data_change = false,
                Action::Remove(remove) => remove.data_change = false,
                _ => {}
            }
        }
        self.commit(runtime, committed, actions, &[])?;
        let files = self.files.entry(partition.clone()).or_default();
        files.retain(|file| olds.iter().all(|old| old.path != file.path));
        files.extend(new);
        Ok(())
    }

    /// What stands in the log under a name of the table's own.
    pub(super) fn mark(&self, runtime: &Runtime, name: &str) -> Result<Option<Epoch>, TableError> {
        let app = format!("{}/{name}", self.app);
        transaction(runtime, &self.table, app).map_err(|e| TableError::delta(&self.folder, e))
    }

    /// Writes the file that a partition gets; `None` if it has no rows any more. One whose rows are
    /// the same keeps its file.
    pub(super) fn put(
        &self,
        replacing: &mut Replacing,
        partition: &Partition,
        content: Option<&Encoded>,
        written: &mut Written,
    ) -> Result<(), TableError> {
        let new = match content {
            Some(content) => {
                let content = (content, None);
                match self.write_file(partition, content, &mut replacing.actions, written)? {
                    Some(file) => Some(file),
                    None => return Ok(()),
                }
            }
            None => None,
        };
        for old in self.files.get(partition).into_iter().flatten() {
            replacing.actions.push(self.remove(old, partition));
        }
        replacing.changed.push((partition.clone(), new));
        Ok(())
    }

    /// Replaces the rows of the partitions, and makes the table complete up to an epoch.
    pub(super) fn replace(
        &mut self,
        runtime: &Runtime,
        upto: Epoch,
        replacing: Replacing,
    ) -> Result<(), TableError> {
        self.commit(runtime, upto, replacing.actions, &[])?;
        for (partition, new) in replacing.changed {
            match new {
                Some(file) => drop(self.files.insert(partition, vec![file])),
                None => drop(self.files.remove(&partition)),
            }
        }
        Ok(())
    }

    /// Writes a file of a partition; `None` if the table has that very file.
    fn write_file(
        &self,
        partition: &Partition,
        (encoded, epochs): (&Encoded, Option<(Epoch, Epoch)>),
        actions: &mut Vec<Action>,
        written: &mut Written,
    ) -> Result<Option<TableFile>, TableError> {
        let (content, rows) = (&encoded.content, encoded.rows);
        let mut path = String::new();
        // Writing to a string can't fail.
        for (name, value) in self.layout.partition_by.iter().zip(partition) {
            let _ = write!(path, "{name}={}/", disk::escaped(value));
        }
        path.push_str(&disk::name(content));
        let there = self.files.get(partition);
        if there.is_some_and(|files| files.iter().any(|file| file.path == path)) {
            return Ok(None);
        }
        disk::write(&self.folder, &path, content)?;
        reach(Moment::TableFile);
        written.files += 1;
        written.bytes += content.len() as u64;
        let file = TableFile { path, bytes: content.len() as i64, rows, epochs };
        let stats = serde_json::to_string(&Stats::new(rows, epochs));
        actions.push(Action::Add(Add {
            path: file.path.clone(),
            size: file.bytes,
            partition_values: self.values(partition),
            modification_time: now_ms(),
            data_change: true,
            stats: stats.ok(),
            ..Add::default()
        }));
        Ok(Some(file))
    }

    fn remove(&self, file: &TableFile, partition: &Partition) -> Action {
        Action::Remove(Remove {
            path: file.path.clone(),
            data_change: true,
            deletion_timestamp: Some(now_ms()),
            extended_file_metadata: Some(true),
            partition_values: Some(self.values(partition)),
            size: Some(file.bytes),
            ..Remove::default()
        })
    }

    fn values(&self, partition: &Partition) -> HashMap<String, Option<String>> {
        let pairs = self.layout.partition_by.iter().zip(partition);
        pairs.map(|(name, value)| ((*name).to_owned(), Some(value.clone()))).collect()
    }

    fn commit(
        &mut self,
        runtime: &Runtime,
        upto: Epoch,
        actions: Vec<Action>,
        marks: &[(&str, Epoch)],
    ) -> Result<(), TableError> {
        let fail = |e| TableError::delta(&self.folder, e);
        let own = Transaction::new(&self.app, upto as i64);
        let mark = |(name, epoch): &(&str, Epoch)| {
            Transaction::new(format!("{}/{name}", self.app), *epoch as i64)
        };
        let all = std::iter::once(own).chain(marks.iter().map(mark)).collect();
        let properties = CommitProperties::default().with_application_transactions(all);
        let operation =
            DeltaOperation::Write { mode: SaveMode::Append, partition_by: None, predicate: None };
        disk::sync_added(&self.folder, &actions)?;
        let snapshot = self.table.snapshot().map_err(fail)?;
        let commit = CommitBuilder::from(properties)
            .with_actions(actions)
            .build(Some(snapshot), self.table.log_store(), operation)
            .into_future();
        reach(Moment::TableCommit);
        let done = runtime.block_on(commit).map_err(fail)?;
        disk::sync_version(&self.folder, done.version())?;
        reach(Moment::TableCommitted);
        runtime.block_on(self.table.update_state()).map_err(fail)?;
        self.committed = Some(upto);
        Ok(())
    }
}

fn url(folder: &Path) -> Result<Url, TableError> {
    Url::from_directory_path(folder).map_err(|()| TableError::Path { path: folder.into() })
}

/// A table that is not loaded, and its folder's absolute path.
pub(super) fn builder(path: &Path) -> Result<(PathBuf, DeltaTable), TableError> {
    let folder = path.canonicalize().map_err(|e| TableError::disk(path, &e))?;
    let table = DeltaTableBuilder::from_url(url(&folder)?).and_then(DeltaTableBuilder::build);
    Ok((folder, table.map_err(|e| TableError::delta(path, e))?))
}

/// The epoch that a table's log has for an application.
pub(super) fn transaction(
    runtime: &Runtime,
    table: &DeltaTable,
    app: String,
) -> Result<Option<Epoch>, DeltaTableError> {
    let log = table.log_store();
    let version = runtime.block_on(table.snapshot()?.transaction_version(log.as_ref(), app))?;
    Ok(version.and_then(|version| Epoch::try_from(version).ok()))
}
