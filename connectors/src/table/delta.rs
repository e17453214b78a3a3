//! One Delta table: files written by us, commits through `deltalake-core`.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use deltalake_core::DeltaTable;
use deltalake_core::kernel::transaction::{CommitBuilder, CommitProperties};
use deltalake_core::kernel::{Action, Add, Remove, Transaction};
use deltalake_core::operations::create::CreateBuilder;
use deltalake_core::protocol::{DeltaOperation, SaveMode};
use deltalake_core::table::builder::DeltaTableBuilder;
use operators::model::Epoch;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use tokio::runtime::Runtime;
use url::Url;

use super::TableError;
use super::columns::{Layout, delta_fields};

/// A partition: column names with values.
pub(super) type Partition = Vec<(&'static str, String)>;

/// A file to add.
pub(super) struct NewFile {
    pub partition: Partition,
    pub batch: RecordBatch,
}

/// A Delta table on the local disk.
pub(super) struct Delta {
    folder: PathBuf,
    app: String,
    table: DeltaTable,
    committed: Option<Epoch>,
    /// Path and size of each file of the table, by partition folder.
    files: BTreeMap<String, Vec<(String, i64)>>,
}

/// A value as it stands in a folder name: everything but letters, digits, `-`, `_` and `.` escaped.
fn escaped(value: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    value
        .bytes()
        .map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}

/// The folder of a partition inside the table.
pub(super) fn folder(partition: &Partition) -> String {
    let parts: Vec<String> =
        partition.iter().map(|(name, value)| format!("{name}={}", escaped(value))).collect();
    parts.join("/")
}

impl Delta {
    /// Opens the table in a folder, or creates it.
    pub(super) fn open(
        runtime: &Runtime,
        path: &Path,
        app: &str,
        columns: &[Layout],
        partition_by: &[&'static str],
    ) -> Result<Self, TableError> {
        fs::create_dir_all(path).map_err(|e| TableError::disk(path, &e))?;
        let folder = path.canonicalize().map_err(|e| TableError::disk(path, &e))?;
        let fail = |e| TableError::delta(path, e);
        let url = Url::from_directory_path(&folder)
            .map_err(|()| TableError::Path { path: folder.clone() })?;
        let mut table = DeltaTableBuilder::from_url(url.clone())
            .and_then(DeltaTableBuilder::build)
            .map_err(fail)?;
        let exists = runtime.block_on(table.verify_deltatable_existence()).map_err(fail)?;
        if exists {
            runtime.block_on(table.load()).map_err(fail)?;
        } else {
            let create = CreateBuilder::new()
                .with_location(url.as_str())
                .with_save_mode(SaveMode::ErrorIfExists)
                .with_columns(delta_fields(columns))
                .with_partition_columns(partition_by.iter().copied());
            table = runtime.block_on(create.into_future()).map_err(fail)?;
        }
        let mut this =
            Self { folder, app: app.to_owned(), table, committed: None, files: BTreeMap::new() };
        this.read(runtime, columns)?;
        Ok(this)
    }

    fn read(&mut self, runtime: &Runtime, columns: &[Layout]) -> Result<(), TableError> {
        let fail = |e| TableError::delta(&self.folder, e);
        let log = self.table.log_store();
        let snapshot = self.table.snapshot().map_err(fail)?;
        let names: Vec<String> =
            snapshot.schema().fields().map(|field| field.name().clone()).collect();
        if !names.iter().map(String::as_str).eq(columns.iter().map(|c| c.0)) {
            return Err(TableError::Schema { path: self.folder.clone(), found: names.join(", ") });
        }
        let version = runtime
            .block_on(snapshot.transaction_version(log.as_ref(), self.app.clone()))
            .map_err(fail)?;
        self.committed = version.and_then(|v| Epoch::try_from(v).ok());
        for file in snapshot.log_data().iter() {
            let path = file.path().into_owned();
            let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
            self.files.entry(folder).or_default().push((path, file.size()));
        }
        Ok(())
    }

    /// The epoch up to which the table is complete.
    pub(super) fn committed(&self) -> Option<Epoch> {
        self.committed
    }

    /// Commits new files; with `replace` each takes the place of its partition's files, and the
    /// partitions in `emptied` lose theirs. Files that are there already stay as they are.
    pub(super) fn commit(
        &mut self,
        runtime: &Runtime,
        upto: Epoch,
        files: &[NewFile],
        emptied: &[Partition],
        replace: bool,
    ) -> Result<(u64, u64), TableError> {
        let mut actions: Vec<Action> = Vec::new();
        let (mut count, mut bytes) = (0, 0);
        let mut next = self.files.clone();
        for partition in emptied {
            for file in next.remove(&folder(partition)).unwrap_or_default() {
                actions.push(remove(&file, partition));
            }
        }
        for file in files {
            let folder = folder(&file.partition);
            let content = encode(&file.batch).map_err(|e| TableError::parquet(&self.folder, &e))?;
            let hash = blake3::hash(&content).to_hex();
            let name = format!("{folder}/part-{}.parquet", &hash.as_str()[..32]);
            let name = name.trim_start_matches('/').to_owned();
            let there = next.entry(folder).or_default();
            if there.iter().any(|(path, _)| *path == name) {
                continue;
            }
            self.write(&name, &content)?;
            if replace {
                actions.extend(there.drain(..).map(|old| remove(&old, &file.partition)));
            }
            let size = content.len() as i64;
            there.push((name.clone(), size));
            actions.push(add(name, size, &file.partition, file.batch.num_rows()));
            count += 1;
            bytes += content.len() as u64;
        }
        let fail = |e| TableError::delta(&self.folder, e);
        let txn = Transaction::new(&self.app, upto as i64);
        let properties = CommitProperties::default().with_application_transaction(txn);
        let operation =
            DeltaOperation::Write { mode: SaveMode::Append, partition_by: None, predicate: None };
        let snapshot = self.table.snapshot().map_err(fail)?;
        let commit = CommitBuilder::from(properties)
            .with_actions(actions)
            .build(Some(snapshot), self.table.log_store(), operation)
            .into_future();
        runtime.block_on(commit).map_err(fail)?;
        runtime.block_on(self.table.update_state()).map_err(fail)?;
        self.files = next;
        self.committed = Some(upto);
        Ok((count, bytes))
    }

    /// Writes a file whole or not at all, durably.
    fn write(&self, name: &str, content: &[u8]) -> Result<(), TableError> {
        let path = self.folder.join(name);
        let fail = |e| TableError::disk(&path, &e);
        let parent = path.parent().unwrap_or(&self.folder);
        fs::create_dir_all(parent).map_err(fail)?;
        let part = path.with_extension("part");
        fs::write(&part, content).map_err(fail)?;
        fs::File::open(&part).and_then(|f| f.sync_data()).map_err(fail)?;
        fs::rename(&part, &path).map_err(fail)
    }
}

fn values(partition: &Partition) -> HashMap<String, Option<String>> {
    partition.iter().map(|(name, value)| ((*name).to_owned(), Some(value.clone()))).collect()
}

fn add(path: String, size: i64, partition: &Partition, rows: usize) -> Action {
    Action::Add(Add {
        path,
        size,
        partition_values: values(partition),
        data_change: true,
        stats: Some(format!("{{\"numRecords\":{rows}}}")),
        ..Add::default()
    })
}

fn remove((path, size): &(String, i64), partition: &Partition) -> Action {
    Action::Remove(Remove {
        path: path.clone(),
        data_change: true,
        deletion_timestamp: Some(0),
        extended_file_metadata: Some(true),
        partition_values: Some(values(partition)),
        size: Some(*size),
        ..Remove::default()
    })
}

/// The bytes of a Parquet file: the same for the same rows.
fn encode(batch: &RecordBatch) -> Result<Vec<u8>, parquet::errors::ParquetError> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_created_by("braid".to_owned())
        .build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties))?;
    writer.write(batch)?;
    writer.into_inner()
}
