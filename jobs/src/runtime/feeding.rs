//! Feeds the workers the epochs of earlier runs again.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use connectors::bindings::{Binding, Logged};
use connectors::kafka::Replayed;
use connectors::moments::{Moment, reach};
use connectors::table::Archive;
use crossbeam_channel::Sender;
use operators::graph::Mark;
use operators::model::{Epoch, Micros, Origin};
use operators::time::Lane;
use replay::history::{Source, marks};
use replay::snapshot::{Begin, encode, events_in};

use super::bound::Bound;
use super::gather::BATCH_RECORDS;
use super::plan::Plan;
use super::progress::Extent;
use super::retention::Retention;
use super::supervisor::Around;
use super::workers::Workers;
use super::{RunError, shown};
use crate::trace::Tracer;

/// Events of a snapshot that are one epoch at least.
const RESTORED_EVENTS: u64 = 65_536;
/// How long a run that is held back may take to see that it is to end.
const STOP_WITHIN: Duration = Duration::from_millis(100);
/// How often other tools are shown how far topics are read.
pub(super) const SHOW_EVERY: Duration = Duration::from_secs(1);

/// What feeding needs to know.
pub(super) struct Feeding<'a> {
    /// Hash of the job.
    pub job: &'a str,
    pub generation: u64,
    /// Records in an epoch at most.
    pub size: usize,
    pub records: &'a AtomicU64,
    /// The sources' names.
    pub names: Vec<String>,
    /// When the epoch was bound after which a restart begins.
    pub since: Micros,
    /// Whether it takes snapshots.
    pub snapshots: bool,
    /// Follows some epochs.
    pub tracer: Tracer,
    /// Where bindings go that snapshots stand for.
    pub keeps: Option<Sender<Logged>>,
    pub around: Around<'a>,
    /// If bound epochs are all that is computed: where that begins, and how fast it may go.
    pub past: Option<Pace>,
}

/// How bound epochs are read when nothing follows them.
#[derive(Clone, Copy)]
pub(super) struct Pace {
    /// The last epoch before them.
    pub after: Epoch,
    /// Records in a second at most.
    pub records_per_s_max: Option<u64>,
    /// Whether small epochs are made one.
    pub coalesces: bool,
    /// When reading began.
    pub begun: Instant,
}

impl Pace {
    /// How long to wait after so many records.
    fn wait(&self, records: u64) -> Duration {
        let due = self.records_per_s_max.map_or(0.0, |most| records as f64 / most.max(1) as f64);
        Duration::from_secs_f64(due).saturating_sub(self.begun.elapsed())
    }
}

impl Feeding<'_> {
    pub(super) fn show(&self, bytes: u64, workers: &Workers, epoch: Epoch) {
        let done = match self.past {
            Some(past) => epoch.saturating_sub(past.after),
            None => bytes,
        };
        self.around.progress.update(done, self.records.load(Ordering::Relaxed));
        shown::bound(self.around.board, epoch, workers.bytes_in_flight(), workers.held());
    }

    /// Hands a binding to whoever takes snapshots, before its epoch closes.
    pub(super) fn keep(&self, at: u64, binding: &Binding) {
        if let Some(keeps) = &self.keeps {
            // Who has failed says so elsewhere.
            let _ = keeps.send(Logged { at, binding: binding.clone() });
        }
    }

    pub(super) fn stopped(&self) -> bool {
        self.around.stop.load(Ordering::Acquire)
    }

    /// Feeds what a snapshot holds, as epochs up to its own. Returns false when stopped before it
    /// is whole: nothing can go on from there.
    pub(super) fn restore(&self, begin: &Begin, workers: &mut Workers) -> Result<bool, RunError> {
        let manifest = &begin.manifest;
        // As large as epochs were at most, so there are not more of them than there were.
        let size = RESTORED_EVENTS.max(manifest.events().div_ceil(manifest.epoch.max(1)));
        let (mut epoch, mut events) = (1, 0);
        let (mut bytes, mut restored) = (0, 0);
        self.around.progress.begin(Extent::Bytes(manifest.bytes()));
        for segment in 0..manifest.segments.len() {
            let mut blocks = begin.blocks(segment)?;
            while let Some(block) = blocks.next()? {
                if self.stopped() {
                    return Ok(false);
                }
                if events >= size && epoch < manifest.epoch {
                    workers.close(epoch, &[], || {})?;
                    (epoch, events) = (epoch + 1, 0);
                    self.around.board.beat();
                }
                events += events_in(&block);
                (bytes, restored) = (bytes + block.len() as u64, restored + events_in(&block));
                self.around.progress.update(bytes, restored);
                workers.restore(epoch, block)?;
            }
        }
        workers.close(manifest.epoch, &[], || {})?;
        Ok(true)
    }

    /// Feeds the epochs of earlier runs after `done` again, from their sources.
    pub(super) fn replay(
        &self,
        later: (&Bound, Epoch),
        sources: &mut [Source],
        workers: &mut Workers,
    ) -> Result<(), RunError> {
        let (health, mut shown) = (workers.health(), Instant::now());
        self.each_bound(later, workers, |binding, workers| {
            let mut records = 0;
            for place in 0..sources.len() {
                loop {
                    match sources[place].replay(binding, BATCH_RECORDS)? {
                        Replayed::Batch(batch) => {
                            records += batch.len();
                            workers.batch(binding.epoch, batch, binding.wall_time)?;
                        }
                        // Half an epoch is never closed, so nothing of it comes out.
                        Replayed::Waiting if self.stopped() => return Ok(None),
                        Replayed::Waiting => {
                            health()?;
                            self.show_waiting(sources, &mut shown);
                        }
                        Replayed::Done => break,
                    }
                }
            }
            Ok(Some(Fed { records, marks: marks(binding), bytes: bytes_read(sources) }))
        })
    }

    /// Shows now and then what is in the way of sources that are waited for.
    fn show_waiting(&self, sources: &[Source], shown: &mut Instant) {
        self.around.board.beat();
        if shown.elapsed() >= SHOW_EVERY {
            let retention = Retention::new(self.since, self.snapshots);
            shown::sources(self.around.board, &self.names, sources, &retention);
            self.around.pass_on();
            *shown = Instant::now();
        }
    }

    /// As [`Feeding::replay`], with the events that an archive has kept.
    pub(super) fn replay_kept(
        &self,
        later: (&Bound, Epoch),
        (archive, plan): (&mut Archive, &Plan),
        workers: &mut Workers,
    ) -> Result<(), RunError> {
        self.each_bound(later, workers, |binding, workers| {
            let events = archive.next(binding.epoch)?;
            let mut largest: BTreeMap<Lane, Micros> = BTreeMap::new();
            for event in &events {
                let Origin { source, partition, .. } = event.origin;
                let partition = if plan.has_partitions(source) { partition } else { 0 };
                let most = largest.entry(Lane { source, partition }).or_insert(Micros::MIN);
                *most = { event.key.time }.max(*most);
            }
            for events in events.chunks(BATCH_RECORDS) {
                let block = encode(events).map_err(RunError::Worker)?;
                workers.kept(binding.epoch, block)?;
            }
            let mark = |(lane, largest)| Mark { lane, largest: Some(largest), quiet: None };
            // As a worker does: first how far it is, then what is quiet.
            let all = largest.into_iter().map(mark).chain(marks(binding)).collect();
            Ok(Some(Fed { records: events.len(), marks: all, bytes: 0 }))
        })
    }

    /// Feeds each epoch after `done` by `feed`, which says nothing when it was stopped in the
    /// middle of one. Otherwise, when stopped, it ends with an epoch.
    fn each_bound(
        &self,
        (bound, done): (&Bound, Epoch),
        workers: &mut Workers,
        mut feed: impl FnMut(&Binding, &mut Workers) -> Result<Option<Fed>, RunError>,
    ) -> Result<(), RunError> {
        let (mut records, mut run) = (0, 0);
        let bindings = bound.bindings.iter().zip(&bound.places);
        for (binding, at) in bindings.filter(|(binding, _)| binding.epoch > done) {
            self.keep(*at, binding);
            let Some(fed) = feed(binding, workers)? else { return Ok(()) };
            records += fed.records as u64;
            run += fed.records;
            self.close((binding, &bound.bindings), &fed.marks, &mut run, workers)?;
            self.show(fed.bytes, workers, binding.epoch);
            self.hold_back(records);
            if self.stopped() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Ends an epoch of several; one of a run, if small ones are made one and there is room in it
    /// for more than the `run` records that are in it.
    fn close(
        &self,
        (binding, bindings): (&Binding, &[Binding]),
        marks: &[Mark],
        run: &mut usize,
        workers: &mut Workers,
    ) -> Result<(), RunError> {
        let is_last = bindings.last().is_some_and(|last| last.epoch == binding.epoch);
        let full = *run >= self.size || workers.is_run_full();
        let goes_on = self.past.is_some_and(|past| past.coalesces) && !full && !is_last;
        if goes_on && !self.stopped() {
            return workers.close_within(binding.epoch, marks);
        }
        *run = 0;
        workers.close(binding.epoch, marks, || {})
    }

    /// Waits if it goes faster than it may.
    fn hold_back(&self, records: u64) {
        let Some(past) = self.past else { return };
        loop {
            let wait = past.wait(records).min(STOP_WITHIN);
            if wait.is_zero() || self.stopped() {
                return;
            }
            self.around.board.beat();
            thread::sleep(wait);
        }
    }

    /// Mints the epoch that publishes what a change of the job has changed: one without records.
    pub(super) fn change(&self, bound: &mut Bound, workers: &mut Workers) -> Result<(), RunError> {
        let Some(last) = bound.last().filter(|last| last.job != self.job) else { return Ok(()) };
        let mut binding = Binding::new(last.epoch + 1, self.generation, now(), self.job);
        binding.sources.clone_from(&last.sources);
        reach(Moment::Binding);
        let at = bound.append(&binding)?;
        reach(Moment::Bound);
        self.keep(at, &binding);
        workers.close(binding.epoch, &[], || {})?;
        reach(Moment::Fed);
        bound.places.push(at);
        bound.bindings.push(binding);
        Ok(())
    }
}

/// What was fed of an epoch.
struct Fed {
    records: usize,
    /// What it says to the watermark.
    marks: Vec<Mark>,
    /// Bytes of sources that are behind.
    bytes: u64,
}

pub(super) fn bytes_read(sources: &[Source]) -> u64 {
    sources.iter().map(Source::bytes_read).sum()
}

/// The wall clock, in microseconds since 1970.
pub fn now() -> Micros {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_micros() as Micros)
}
