//! The collector's thread: closed epochs to whoever writes them, and the counts of the summary.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use connectors::kafka::KafkaSink;
use connectors::table::{TableError, TableSink};
use crossbeam_channel::{Receiver, RecvTimeoutError};
use operators::graph::{Emitted, Mark, STATEFUL};
use operators::model::{Cell, CellRef, Change, Epoch, Event, Micros, Reason};
use operators::views::catalog::Catalog;
use operators::views::spec::{FunnelSpec, ViewSpec};
use replay::snapshot::Counts;

use super::archive::{Admitted, ArchiveWriter};
use super::output::Closed;
use super::snapshots::{self, Kept, SnapshotWriter};
use super::summary::{FunnelStep, FunnelSummary, FunnelValue, Summary};
use super::tables::{self, TableWriter};
use super::topics::{self, TopicWriter};
use super::upgrade::Upgrade;
use super::worker::Told;
use super::{RunError, shown};
use crate::serve::Board;
use crate::trace::Tracer;

/// Rows that stand in each table, and in funnels over all time.
#[derive(Default)]
struct Standing {
    rows: Vec<i64>,
    /// Whether a table is that of a funnel's counts.
    is_funnel: Vec<bool>,
    /// By table, value of the breakdown and step.
    funnels: BTreeMap<(u16, Cell, i64), StandingStep>,
}

/// Rows of a step as they come and go: the count, and each median as often as it stands.
#[derive(Default)]
struct StandingStep {
    count: i64,
    medians: BTreeMap<Cell, i64>,
}

/// Records of an epoch that were decoded.
#[derive(Default)]
struct Tally {
    records: u64,
    admitted: u64,
    letters: BTreeMap<Reason, u64>,
    erased: u64,
}

impl Tally {
    fn letter(&mut self, reason: Reason, count: u64) {
        *self.letters.entry(reason).or_default() += count;
        // Those that the watermark or the clock refuses were events before.
        if matches!(reason, Reason::TooEarly | Reason::TooLate) {
            self.admitted = self.admitted.wrapping_sub(count);
        }
    }

    fn add(&mut self, other: Self) {
        self.records += other.records;
        self.admitted = self.admitted.wrapping_add(other.admitted);
        self.erased += other.erased;
        for (reason, count) in other.letters {
            *self.letters.entry(reason).or_default() += count;
        }
    }

    fn add_to(self, summary: &mut Summary) {
        summary.read += self.records;
        summary.admitted = summary.admitted.wrapping_add(self.admitted);
        summary.erased += self.erased;
        for (reason, count) in self.letters.into_iter().filter(|(_, count)| *count > 0) {
            *summary.dead_letters.entry(reason.word().to_owned()).or_default() += count;
        }
    }
}

/// What workers have told of epochs that are not closed.
#[derive(Default)]
struct Open {
    changes: BTreeMap<Epoch, Vec<Vec<Change>>>,
    watermarks: BTreeMap<Epoch, Micros>,
    tallies: BTreeMap<Epoch, Tally>,
    /// For snapshots.
    records: BTreeMap<Epoch, Vec<Vec<Arc<Event>>>>,
    /// A list for each epoch.
    marks: BTreeMap<Epoch, Vec<Vec<Mark>>>,
    /// The last epochs of runs of epochs that are made one.
    runs: BTreeSet<Epoch>,
    /// Epochs below it are of runs that were made one.
    folded: Epoch,
}

/// All that there is up to an epoch, in order, under that epoch.
fn fold<T>(of: &mut BTreeMap<Epoch, T>, upto: Epoch, mut join: impl FnMut(&mut T, T)) {
    let later = of.split_off(&(upto + 1));
    let parts = std::mem::replace(of, later).into_values();
    let whole = parts.reduce(|mut whole, part| {
        join(&mut whole, part);
        whole
    });
    whole.into_iter().for_each(|whole| drop(of.insert(upto, whole)));
}

impl Open {
    /// Makes the epochs of runs that end below `upto` one each. Returns the epoch after the last of
    /// them: what is closed of a run that is not closed as a whole does not count.
    fn fold_runs(&mut self, upto: Epoch) -> Epoch {
        while let Some(last) = self.runs.first().copied().filter(|last| *last < upto) {
            self.runs.remove(&last);
            fold(&mut self.changes, last, Vec::extend);
            fold(&mut self.watermarks, last, |at, later| *at = later);
            fold(&mut self.tallies, last, Tally::add);
            fold(&mut self.records, last, Vec::extend);
            fold(&mut self.marks, last, Vec::extend);
            self.folded = last + 1;
        }
        self.folded
    }

    /// The first epoch below `upto` of which there is anything.
    fn first(&self, upto: Epoch) -> Option<Epoch> {
        let firsts =
            [self.changes.keys().next(), self.watermarks.keys().next(), self.tallies.keys().next()];
        firsts.into_iter().flatten().min().copied().filter(|epoch| *epoch < upto)
    }
}

/// How often it is looked whether an output has failed.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Where closed epochs go: each to a thread of its own.
struct Outputs {
    tables: Option<TableWriter>,
    topics: Vec<TopicWriter>,
    snapshots: Option<SnapshotWriter>,
    archive: Option<ArchiveWriter>,
}

impl Outputs {
    /// What is told next, until workers hang up or an output has failed, which is looked at now and
    /// then: a job to which nothing comes would run on without it.
    fn hear(&self, told: &Receiver<Told>, looked: &mut Instant) -> Option<Told> {
        loop {
            let heard = told.recv_timeout(LOOK_EVERY);
            if looked.elapsed() >= LOOK_EVERY {
                *looked = Instant::now();
                if self.have_failed() {
                    return None;
                }
            }
            match heard {
                Ok(told) => return Some(told),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    fn have_failed(&self) -> bool {
        self.tables.as_ref().is_some_and(TableWriter::has_failed)
            || self.topics.iter().any(TopicWriter::has_failed)
            || self.snapshots.as_ref().is_some_and(SnapshotWriter::has_failed)
            || self.archive.as_ref().is_some_and(ArchiveWriter::has_failed)
    }

    /// Hands what was admitted in a closed epoch to those who keep it. Says false when one has
    /// failed.
    fn keep(&self, kept: Kept, watermark: Micros) -> bool {
        let epoch = kept.epoch;
        let archived = self.archive.as_ref().is_none_or(|archive| {
            archive.take(Admitted { epoch, watermark, events: kept.records.clone() })
        });
        archived && self.snapshots.as_ref().is_none_or(|snapshots| snapshots.take(kept))
    }

    /// Hands the changes of a closed epoch to tables and topics. Says false when one has failed.
    fn take(&self, epoch: Epoch, watermark: Micros, changes: Vec<Vec<Change>>) -> bool {
        let closed = |changes| Closed::new(epoch, watermark, changes);
        self.topics.iter().all(|topic| topic.take(closed(changes.clone())))
            && self.tables.as_ref().is_none_or(|tables| tables.take(closed(changes)))
    }

    /// Hands each output what a change of the job makes of what it holds; the archive, that nothing
    /// was admitted in the epoch which says so.
    fn publish(&self, upgrade: &Upgrade, watermark: Micros) -> Result<bool, TableError> {
        let admitted = || Admitted { epoch: upgrade.epoch, watermark, events: Vec::new() };
        if !self.archive.as_ref().is_none_or(|archive| archive.take(admitted())) {
            return Ok(false);
        }
        let closed = |changes| Closed::new(upgrade.epoch, watermark, vec![changes]);
        for topic in &self.topics {
            if !topic.take(closed(upgrade.of_topic(topic.holds())?)) {
                return Ok(false);
            }
        }
        let Some(tables) = &self.tables else { return Ok(true) };
        Ok(tables.take(closed(upgrade.of_tables()?)))
    }
}

/// Collects what the workers tell until they hang up; returns the counts.
pub(super) struct Sink {
    pub catalog: Arc<Catalog>,
    pub workers: usize,
    /// Epochs below this are closed on all workers: what the supervisor waits for.
    pub closed: Arc<AtomicU64>,
    /// Epochs above this are not whole, whatever the workers say: a run that fails hangs up in the
    /// middle of one.
    pub complete: Arc<AtomicU64>,
    /// What the run shows.
    pub board: Arc<Board>,
    /// Records decoded, for the progress.
    pub records: Arc<AtomicU64>,
    /// Up to this epoch a snapshot has it all, with what was counted: rows up to it are published.
    pub begin: (Epoch, Counts),
    /// The watermark after that epoch.
    pub watermark: Micros,
    /// Whether workers tell what was admitted.
    pub keeps: bool,
    /// Whether epochs are made one in runs.
    pub coalesces: bool,
    /// If the job has changed, what is published of everything up to its epoch.
    pub upgrade: Option<Upgrade>,
    /// Follows some epochs.
    pub tracer: Tracer,
}

impl Sink {
    /// Hands closed epochs to the threads that write tables, topics and snapshots.
    pub(super) fn run(
        mut self,
        told: &Receiver<Told>,
        tables: Option<TableSink>,
        topics: Vec<KafkaSink>,
        (snapshots, archive): (Option<SnapshotWriter>, Option<ArchiveWriter>),
    ) -> Result<Summary, RunError> {
        let shown = || (Arc::clone(&self.board), self.tracer.clone());
        // Who reads topics reads them at once; tables are minutes old by nature.
        let behind = !topics.is_empty();
        let tables = tables.map(|sink| tables::start(sink, shown(), behind));
        let start = |sink| topics::start(sink, shown());
        let topics: Vec<TopicWriter> = topics.into_iter().map(start).collect();
        let outputs = Outputs { tables, topics, snapshots, archive };
        if let (Some(tables), epoch @ 1.., None) = (&outputs.tables, self.begin.0, &self.upgrade) {
            // No epoch up to it comes again, and current rows may lack some. If the thread has
            // failed, it says so in the end.
            tables.take(Closed::new(epoch, self.watermark, Vec::new()));
        }
        let mut summary = self.collect(told, &outputs)?;
        let Outputs { tables, topics, snapshots, archive } = outputs;
        // An output that can't be written is why nothing more was taken in.
        let written = tables.map(TableWriter::finish);
        for writer in topics {
            writer.finish()??;
        }
        if let Some(written) = written {
            summary.count_written(written??);
        }
        if let Some(archive) = archive {
            archive.finish()?;
        }
        // The last, so that it knows that all others have everything.
        if let Some(snapshots) = snapshots {
            snapshots.finish()?;
        }
        Ok(summary)
    }

    fn collect(&mut self, told: &Receiver<Told>, outputs: &Outputs) -> Result<Summary, TableError> {
        let mut summary = snapshots::resumed(&self.begin.1);
        let mut standing = Standing::default();
        standing.rows.resize(self.catalog.schemas.len(), 0);
        standing.is_funnel.resize(self.catalog.schemas.len(), false);
        for (table, spec) in self.catalog.tables.iter().zip(&self.catalog.specs) {
            standing.is_funnel[usize::from(*table)] = spec.funnel().is_some();
        }
        let mut open = Open::default();
        let mut closed = vec![0; self.workers];
        let mut held = vec![[0; STATEFUL.len()]; self.workers];
        let (mut done, mut watermark) = (0, self.watermark);
        let mut looked = Instant::now();
        while let Some(message) = outputs.hear(told, &mut looked) {
            let (worker, emitted) = match message {
                Told::Run(last) => {
                    open.runs.insert(last);
                    continue;
                }
                Told::Graph(worker, emitted) => (worker, emitted),
                Told::Held(worker, bytes) => {
                    held[worker] = bytes;
                    shown::held(&self.board, &held);
                    continue;
                }
                Told::Decoded { epoch, records, events, letters, erased } => {
                    self.records.fetch_add(records, Ordering::Relaxed);
                    self.tracer.decoded(epoch);
                    let tally = open.tallies.entry(epoch).or_default();
                    tally.records += records;
                    tally.admitted = tally.admitted.wrapping_add(events);
                    tally.erased += erased;
                    letters.into_iter().for_each(|(reason, count)| tally.letter(reason, count));
                    continue;
                }
            };
            match emitted {
                Emitted::Changes(epoch, changes) => {
                    open.changes.entry(epoch).or_default().push(changes);
                }
                Emitted::Watermark(epoch, at) => {
                    open.watermarks.insert(epoch, at);
                }
                Emitted::Admitted(epoch, _, late) => {
                    self.tracer.admitted(epoch);
                    open.tallies.entry(epoch).or_default().letter(Reason::TooLate, late);
                }
                Emitted::Records(epoch, records) => {
                    open.records.entry(epoch).or_default().push(records);
                }
                Emitted::Marks(epoch, marks) => open.marks.entry(epoch).or_default().push(marks),
                Emitted::Closed(upto) => {
                    closed[worker] = upto;
                    let whole = self.complete.load(Ordering::Acquire).saturating_add(1);
                    let upto = closed.iter().copied().min().unwrap_or(0).min(whole);
                    let upto = if self.coalesces { open.fold_runs(upto) } else { upto };
                    while let Some(epoch) = open.first(upto) {
                        if let Some(upgrade) = self.upgrade.take_if(|u| u.epoch < epoch)
                            && !outputs.publish(&upgrade, watermark)?
                        {
                            return Ok(summary);
                        }
                        watermark = open.watermarks.remove(&epoch).unwrap_or(watermark);
                        if let Some(tally) = open.tallies.remove(&epoch) {
                            tally.add_to(&mut summary);
                        }
                        let changes = open.changes.remove(&epoch).unwrap_or_default();
                        self.count_changes(epoch, &changes, &mut standing, &mut summary);
                        done = epoch;
                        self.tracer.closed(epoch);
                        let mut taken = true;
                        if self.keeps && epoch > self.begin.0 {
                            let records = open.records.remove(&epoch).unwrap_or_default();
                            let marks = open.marks.remove(&epoch).unwrap_or_default();
                            let counts = snapshots::counts(&summary);
                            taken = outputs.keep(Kept { epoch, records, marks, counts }, watermark);
                        }
                        if let Some(upgrade) = &mut self.upgrade {
                            upgrade.add(epoch, changes);
                        } else if epoch > self.begin.0 {
                            taken &= outputs.take(epoch, watermark, changes);
                        }
                        if !taken {
                            return Ok(summary);
                        }
                    }
                    if let Some(upgrade) = self.upgrade.take_if(|u| u.epoch < upto) {
                        done = upgrade.epoch;
                        if !outputs.publish(&upgrade, watermark)? {
                            return Ok(summary);
                        }
                    }
                    self.closed.fetch_max(upto, Ordering::Release);
                    shown::computed(&self.board, &summary, upto, watermark);
                }
            }
        }
        // What a snapshot has is behind the run too.
        summary.epochs = done.max(self.begin.0);
        self.count(&standing, &mut summary);
        Ok(summary)
    }

    fn count_changes(
        &self,
        epoch: Epoch,
        changes: &[Vec<Change>],
        standing: &mut Standing,
        summary: &mut Summary,
    ) {
        let built_in = self.catalog.built_in;
        for change in changes.iter().flatten() {
            let view = change.row.view;
            let cells = &change.row.cells;
            standing.rows[usize::from(view)] += change.diff;
            if Some(view) == built_in.id_changes {
                // Those of restored events have been counted.
                if epoch <= self.begin.0 {
                    continue;
                }
                match cells.get(3) {
                    CellRef::Str("merge") => summary.merges += 1,
                    _ => summary.splits += 1,
                }
            } else if Some(view) == built_in.duplicates {
                if let (CellRef::Str(cause), CellRef::Int(copies)) = (cells.get(2), cells.get(3)) {
                    let count = summary.duplicates.entry(cause.to_string()).or_default();
                    *count += copies * change.diff;
                }
            } else if standing.is_funnel[usize::from(view)]
                && cells.get(1) == CellRef::Str("all")
                && let (CellRef::Int(step), CellRef::Int(count)) = (cells.get(4), cells.get(6))
            {
                let key = (view, cells.get(3).into(), step);
                let standing = standing.funnels.entry(key).or_default();
                standing.count += count * change.diff;
                *standing.medians.entry(cells.get(10).into()).or_default() += change.diff;
                standing.medians.retain(|_, times| *times != 0);
            }
        }
    }

    /// Fills in what follows from the rows that stand at the end.
    fn count(&self, standing: &Standing, summary: &mut Summary) {
        let rows = |view: Option<u16>| view.map_or(0, |v| standing.rows[usize::from(v)]);
        summary.people = rows(self.catalog.built_in.people);
        summary.identifiers = rows(self.catalog.built_in.identifiers);
        for (place, spec) in self.catalog.specs.iter().enumerate() {
            let table = self.catalog.tables[place];
            match spec {
                ViewSpec::Sessions(_) => summary.sessions = rows(Some(table)),
                ViewSpec::Funnel(funnel) => {
                    summary.funnels.push(of_funnel(funnel, table, standing));
                }
                ViewSpec::Trend(_) => {}
            }
        }
        summary.duplicates.retain(|_, count| *count != 0);
        for schema in &self.catalog.schemas {
            summary.tables.push(schema.name.to_string());
        }
    }
}

/// A funnel over all time, as its rows stand.
fn of_funnel(funnel: &FunnelSpec, table: u16, standing: &Standing) -> FunnelSummary {
    let mut values: BTreeMap<&Cell, Vec<i64>> = BTreeMap::new();
    let mut medians = vec![None; funnel.steps.len()];
    for ((view, value, step), here) in &standing.funnels {
        let place = *step as usize - 1;
        if *view != table || place >= funnel.steps.len() {
            continue;
        }
        values.entry(value).or_insert_with(|| vec![0; funnel.steps.len()])[place] = here.count;
        // Of several tenants each has its own.
        medians[place] = match here.medians.first_key_value() {
            Some((Cell::Float(bits), 1)) if here.medians.len() == 1 => Some(f64::from_bits(*bits)),
            _ => None,
        };
    }
    values.retain(|_, counts| counts.iter().any(|count| *count != 0));
    let broken = !funnel.breakdown.is_empty();
    let steps = (0..funnel.steps.len()).map(|step| FunnelStep {
        label: funnel.label(step).to_string(),
        count: values.values().map(|counts| counts[step]).sum(),
        // A median of several medians is none.
        median_s: medians[step].filter(|_| !broken),
    });
    let steps = steps.collect();
    let mut list: Vec<FunnelValue> = Vec::new();
    for (value, counts) in values.into_iter().filter(|_| broken) {
        let value = match value {
            Cell::Str(text) => text.to_string(),
            _ => "(none)".to_owned(),
        };
        list.push(FunnelValue { value, counts });
    }
    list.sort_by(|a, b| b.counts[0].cmp(&a.counts[0]).then_with(|| a.value.cmp(&b.value)));
    FunnelSummary { name: funnel.name.to_string(), steps, values: list }
}
