//! Writes the archive.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use operators::model::{Cell, Epoch, Event, Micros};
use tokio::runtime::Runtime;

use super::super::delta::{Delta, Partition, TableLayout};
use super::super::encode::encode_in_groups;
use super::super::{TableError, Written, runtime};
use super::merge::{ROWS_MAX, candidates, merge};
use super::row::{COLUMNS, cells, date};
use super::{ARCHIVE, ArchiveError, ArchiveSpec, Names};

/// Rows of a group, which is read as a whole: a person's history is in one or two of a file.
pub(super) const GROUP_ROWS: usize = 16_384;
/// Of these columns hardly two rows have the same value.
pub(super) const PLAIN: [&str; 2] = ["message_id", "offset"];

/// The archive of a job that is being written.
pub struct ArchiveSink {
    spec: ArchiveSpec,
    runtime: Runtime,
    table: Delta,
    /// The last epoch before its first one; none until it has one.
    begin: Option<Epoch>,
    /// The last epoch of which retention has removed something.
    gone: Epoch,
    waiting: Vec<(Epoch, Arc<Event>)>,
    closed: Option<(Epoch, Micros)>,
    /// Days that got files since it was last looked whether these are too many.
    grown: BTreeSet<Partition>,
    /// Files that can't be read, as the log has them.
    damaged: BTreeSet<PathBuf>,
}

impl ArchiveSink {
    /// Opens `<out>/archive`, creating it if it is not there.
    ///
    /// # Errors
    ///
    /// Its table can't be used.
    pub fn open(out: &Path, spec: ArchiveSpec) -> Result<Self, ArchiveError> {
        let runtime = runtime(out)?;
        let layout = TableLayout {
            columns: COLUMNS.to_vec(),
            partition_by: vec!["date"],
            plain: PLAIN.to_vec(),
        };
        let table = Delta::open(&runtime, &out.join(ARCHIVE), &spec.app, layout)?;
        let begin = table.mark(&runtime, "begin")?;
        let gone = table.mark(&runtime, "gone")?.unwrap_or(0);
        let grown = table.partitions().into_iter().collect();
        let (waiting, closed, damaged) = (Vec::new(), None, BTreeSet::new());
        Ok(Self { spec, runtime, table, begin, gone, waiting, closed, grown, damaged })
    }

    /// The epoch up to which it is complete; none if it has not begun.
    pub fn committed(&self) -> Option<Epoch> {
        self.table.committed()
    }

    /// Events that wait for a commit.
    pub fn pending(&self) -> usize {
        self.waiting.len()
    }

    /// A new archive begins after this epoch: the next commit says so, if nothing comes before it.
    pub fn begin(&mut self, after: Epoch) {
        self.begin.get_or_insert(after);
        self.closed.get_or_insert((after, Micros::MIN));
    }

    /// Takes in events of an epoch, unless it has them.
    pub fn add(&mut self, epoch: Epoch, events: impl IntoIterator<Item = Arc<Event>>) {
        if self.table.is_behind(epoch) {
            self.waiting.extend(events.into_iter().map(|event| (epoch, event)));
        }
    }

    /// All events of an epoch, and of those before it, have been taken in; the watermark after it.
    pub fn close(&mut self, epoch: Epoch, watermark: Micros) {
        self.closed = Some((epoch, watermark));
    }

    /// Makes it complete up to the last closed epoch, and removes what is older than its retention.
    ///
    /// # Errors
    ///
    /// Its table can't be written.
    pub fn commit(&mut self) -> Result<Written, ArchiveError> {
        let mut written = Written::default();
        let Some((upto, watermark)) = self.closed.filter(|(upto, _)| self.table.is_behind(*upto))
        else {
            return Ok(written);
        };
        let mut days: BTreeMap<String, Vec<(Epoch, Arc<Event>)>> = BTreeMap::new();
        for (epoch, event) in self.waiting.drain(..) {
            days.entry(date(event.key.time)).or_default().push((epoch, event));
        }
        let (kept, job) =
            (Cell::str(&kept(&self.spec)), Cell::Str(Arc::clone(&self.spec.job_hash)));
        let (mut parts, mut grown) = (Vec::new(), BTreeSet::new());
        for (day, mut events) in days {
            events.sort_by(|(_, a), (_, b)| order(a).cmp(&order(b)));
            let epochs = events.iter().map(|(epoch, _)| *epoch);
            let epochs = (epochs.clone().min().unwrap_or(upto), epochs.max().unwrap_or(upto));
            let rows: Vec<Vec<Cell>> = events
                .iter()
                .map(|(epoch, event)| cells(event, *epoch, (&self.spec.names, &kept, &job)))
                .collect();
            let columns = &COLUMNS[..COLUMNS.len() - 1];
            let content =
                encode_in_groups(GROUP_ROWS, (columns, &PLAIN), &rows, |row, c| row[c].as_ref());
            let content = content.map_err(|e| TableError::parquet(Path::new(ARCHIVE), &e))?;
            grown.insert(Partition::from([day.clone()]));
            parts.push((Partition::from([day]), content, epochs));
        }
        let old = self.spec.retention.filter(|_| watermark > Micros::MIN);
        let old = old.map(|retention| date(watermark.saturating_sub(retention)));
        let is_old = |partition: &Partition| {
            old.as_ref().is_some_and(|old| partition.first().is_some_and(|day| day < old))
        };
        let marks = |gone: Epoch| vec![("begin", self.begin.unwrap_or(0)), ("gone", gone)];
        let gone = self.table.add_parts(
            &self.runtime,
            upto,
            (parts, is_old),
            |gone| marks(gone.unwrap_or(0).max(self.gone)),
            &mut written,
        )?;
        self.gone = gone.unwrap_or(0).max(self.gone);
        self.grown.extend(grown);
        Ok(written)
    }

    /// Makes small files of a day one, where it has got too many of them: some at a time, so that
    /// what comes in does not wait for long. A crash in the middle leaves them as they were.
    ///
    /// # Errors
    ///
    /// [`ArchiveError::Damaged`] if one of them is not as it was written, which is told once: it
    /// stays as it is, and others can be made one all the same. Its table can't be written.
    pub fn merge(&mut self) -> Result<Written, ArchiveError> {
        let (mut written, mut rows) = (Written::default(), 0);
        while rows < ROWS_MAX
            && let Some(day) = self.grown.last().cloned()
        {
            let small = candidates(self.table.files(&day), &self.damaged);
            if small.is_empty() {
                self.grown.pop_last();
                continue;
            }
            let (content, epochs) = match merge(self.table.folder(), &small) {
                Err(ArchiveError::Damaged { path, first, last, message }) => {
                    let within = path.strip_prefix(self.table.folder()).unwrap_or(&path);
                    self.damaged.insert(within.to_owned());
                    return Err(ArchiveError::Damaged { path, first, last, message });
                }
                merged => merged?,
            };
            rows += content.rows;
            self.table.merge(&self.runtime, &day, (&small, &content, epochs), &mut written)?;
        }
        Ok(written)
    }
}

/// The order of rows: those of one person by time beside each other.
fn order(event: &Event) -> (&str, Option<operators::model::Token>, operators::model::EventKey) {
    (&event.kind.tenant, event.idents.first().map(|first| first.token), event.key)
}

/// What events are kept with, as JSON.
fn kept(spec: &ArchiveSpec) -> String {
    let types: Vec<&str> = spec.names.identity.types.iter().map(|t| &*t.name).collect();
    let Names { properties, rules, time, .. } = &spec.names;
    let properties: Vec<&str> = properties.iter().map(|name| &**name).collect();
    let (disorder, admit, future) = (time.disorder, time.admit, time.future);
    serde_json::json!({
        "types": types, "properties": properties, "rules": rules,
        "disorder": disorder, "admit": admit, "future": future,
    })
    .to_string()
}
