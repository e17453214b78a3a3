//! Reads the archive, epoch after epoch.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use operators::model::{Cell, Epoch, Event, Micros};
use operators::views::predicate::Matcher;

use super::super::batches::batches;
use super::super::columns;
use super::super::delta::{builder, transaction};
use super::super::disk;
use super::super::stats::Stats;
use super::super::{TableError, runtime};
use super::row::{COLUMNS, Names, Reader};
use super::{ARCHIVE, ArchiveError, import, live};
use crate::decode::{Erased, is_erased};

/// The epochs of which an archive has all admitted events.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reach {
    /// The first of them.
    pub first: Epoch,
    /// The last of them; before the first if there is none.
    pub last: Epoch,
}

pub(super) struct ArchiveFile {
    pub path: PathBuf,
    pub epochs: (Epoch, Epoch),
}

impl ArchiveFile {
    /// A file of a folder, as the log has it.
    pub(super) fn new(folder: &Path, path: &str, epochs: Option<(Epoch, Epoch)>) -> Self {
        // Every file was written with them.
        Self { path: folder.join(path), epochs: epochs.unwrap_or((0, Epoch::MAX)) }
    }
}

/// An archive that is being read, as it stood when it was opened.
pub struct Archive {
    reach: Reach,
    /// In the order of their first epochs, the first one last.
    files: Vec<ArchiveFile>,
    /// Events that have been read and are of later epochs.
    read: BTreeMap<Epoch, Vec<Arc<Event>>>,
    names: Names,
    matcher: Arc<Matcher>,
    erased: Arc<Erased>,
}

impl Archive {
    /// Opens the archive of a job of this name below `out`, to make of its events what a job of
    /// these names and predicates asks for; those that are erased are left out.
    ///
    /// # Errors
    ///
    /// There is none, or its table can't be read.
    pub fn open(
        out: &Path,
        job: &str,
        names: Names,
        matcher: Arc<Matcher>,
        erased: Arc<Erased>,
    ) -> Result<Self, ArchiveError> {
        let path = out.join(ARCHIVE);
        if !disk::is_table(&path)? {
            return Err(ArchiveError::None { path });
        }
        let fail = |e| TableError::delta(&path, e);
        let (runtime, (folder, mut table)) = (runtime(out)?, builder(&path)?);
        runtime.block_on(table.load()).map_err(fail)?;
        let mark = |app: String| transaction(&runtime, &table, app).map_err(fail);
        let (live, import) = (live(job), import(job));
        let last = mark(live.clone())?.unwrap_or(0);
        let mut begin = mark(format!("{live}/begin"))?.unwrap_or(0);
        if mark(import.clone())?.is_some_and(|upto| upto >= begin) {
            begin = mark(format!("{import}/begin"))?.unwrap_or(0);
        }
        for app in [live, import] {
            begin = begin.max(mark(format!("{app}/gone"))?.unwrap_or(0));
        }
        let reach = Reach { first: begin + 1, last };
        let mut files = Vec::new();
        for file in table.snapshot().map_err(fail)?.log_data().iter() {
            let stats = file.stats().and_then(|stats| serde_json::from_str::<Stats>(&stats).ok());
            let epochs = stats.as_ref().and_then(Stats::epochs);
            files.push(ArchiveFile::new(&folder, &file.path(), epochs));
        }
        files.sort_by(|a, b| (b.epochs, &b.path).cmp(&(a.epochs, &a.path)));
        Ok(Self { reach, files, read: BTreeMap::new(), names, matcher, erased })
    }

    /// The epochs that it has.
    pub fn reach(&self) -> Reach {
        self.reach
    }

    /// Prepares for reading some epochs.
    ///
    /// # Errors
    ///
    /// It does not have them; events of them lack what the job asks for; a file is not there.
    pub fn begin(&mut self, (from, to): (Epoch, Epoch)) -> Result<(), ArchiveError> {
        let Reach { first, last } = self.reach;
        if from < first || to > last {
            return Err(ArchiveError::Gap { first, last, from, to });
        }
        self.files.retain(|file| file.epochs.1 >= from && file.epochs.0 <= to);
        for file in &self.files {
            let missing = self.missing(file)?;
            if !missing.is_empty() {
                return Err(ArchiveError::Lacks { missing, upto: file.epochs.1 });
            }
        }
        Ok(())
    }

    /// The events of an epoch. Epochs are asked for in order.
    ///
    /// # Errors
    ///
    /// A file is not as it was written.
    pub fn next(&mut self, epoch: Epoch) -> Result<Vec<Arc<Event>>, ArchiveError> {
        while let Some(file) = self.files.pop_if(|file| file.epochs.0 <= epoch) {
            self.load(&file)?;
        }
        self.read = self.read.split_off(&epoch);
        Ok(self.read.remove(&epoch).unwrap_or_default())
    }

    fn load(&mut self, file: &ArchiveFile) -> Result<(), ArchiveError> {
        let damaged = |message: String| damaged(file, message);
        check(file)?;
        let reader = Reader { names: &self.names, matcher: &self.matcher };
        let input = File::open(&file.path).map_err(|e| damaged(e.to_string()))?;
        for batch in batches(input, None).map_err(|e| damaged(e.to_string()))? {
            let batch = batch.map_err(|e| damaged(e.to_string()))?;
            for cells in rows(&batch).ok_or_else(|| damaged("it has other columns".to_owned()))? {
                let (epoch, event) = reader.event(&cells).map_err(&damaged)?;
                if !is_erased(&self.erased, &event) {
                    self.read.entry(epoch).or_default().push(Arc::new(event));
                }
            }
        }
        Ok(())
    }

    /// What the job asks for and events of a file were kept without.
    fn missing(&self, file: &ArchiveFile) -> Result<Vec<String>, ArchiveError> {
        let fail = |message: String| damaged(file, message);
        check(file)?;
        let input = File::open(&file.path).map_err(|e| fail(e.to_string()))?;
        let mut kinds = BTreeSet::new();
        for batch in batches(input, Some(&["kept"])).map_err(|e| fail(e.to_string()))? {
            let batch = batch.map_err(|e| fail(e.to_string()))?;
            let texts = columns::cells(operators::model::ColumnType::Str, batch.column(0));
            for cell in texts.ok_or_else(|| fail("it has other columns".to_owned()))? {
                if !kinds.contains(&cell) {
                    kinds.insert(cell);
                }
            }
        }
        let mut missing = BTreeSet::new();
        for kept in kinds {
            let Cell::Str(text) = kept else { continue };
            let kept: Kept = serde_json::from_str(&text).map_err(|e| fail(e.to_string()))?;
            let lacks = |name: &&str, kept: &[String]| !kept.iter().any(|kept| kept == name);
            let properties = self.names.properties.iter().map(|name| &**name);
            let properties = properties.filter(|name| lacks(name, &kept.properties));
            let types = self.names.identity.types.iter().map(|t| &*t.name);
            let types = types.filter(|name| lacks(name, &kept.types));
            missing.extend(properties.chain(types).map(str::to_owned));
            let Names { rules, time, .. } = &self.names;
            let others = rules.iter().filter(|(name, rule)| kept.rules.get(*name) != Some(rule));
            missing.extend(others.map(|(name, _)| name.clone()));
            // What the job would admit must have been admitted; times of receipt are not kept.
            let admits = [
                ("time.disorder", time.disorder <= kept.disorder),
                ("time.admit", time.admit <= kept.admit),
                ("time.future", time.future == kept.future),
            ];
            missing.extend(admits.iter().filter(|(_, had)| !had).map(|(key, _)| (*key).to_owned()));
        }
        Ok(missing.into_iter().collect())
    }
}

#[derive(serde::Deserialize)]
struct Kept {
    types: Vec<String>,
    properties: Vec<String>,
    rules: BTreeMap<String, String>,
    disorder: Micros,
    admit: Micros,
    future: Micros,
}

/// Whether a file has the content that it is named after. What has another is not even looked at:
/// readers may panic at it.
pub(super) fn check(file: &ArchiveFile) -> Result<(), ArchiveError> {
    let bytes = fs::read(&file.path).map_err(|e| damaged(file, e.to_string()))?;
    let hash = blake3::hash(&bytes).to_hex();
    let name = file.path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    if name.strip_prefix("part-") != Some(&hash.as_str()[..32]) {
        return Err(damaged(file, "its content is not what was written".to_owned()));
    }
    Ok(())
}

pub(super) fn damaged(file: &ArchiveFile, message: String) -> ArchiveError {
    let (first, last) = file.epochs;
    ArchiveError::Damaged { path: file.path.clone(), first, last, message }
}

/// The rows of a batch, as cells in the order of the columns.
fn rows(batch: &RecordBatch) -> Option<Vec<Vec<Cell>>> {
    let mut columns = Vec::new();
    for (name, kind, _) in &COLUMNS[..COLUMNS.len() - 1] {
        columns.push(columns::cells(*kind, batch.column_by_name(name)?)?.into_iter());
    }
    let row = |_| columns.iter_mut().map(|column| column.next().unwrap_or_default()).collect();
    Some((0..batch.num_rows()).map(row).collect())
}
