//! New epochs: what the sources have is read, bound and fed to the workers.
//!
//! Sources without an end are read on while bindings are made durable, by a thread beside. A disk
//! or a broker that takes its time then makes those epochs late, and does not also make the next
//! one large. What has been read by the time that it is ready is bound in one go.

use std::collections::BTreeSet;
use std::iter;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use connectors::bindings::Binding;
use connectors::file::RawBatch;
use connectors::kafka::{KafkaSource, PartitionId, PartitionStatus};
use connectors::moments::{Moment, reach};
use crossbeam_channel::{Receiver, unbounded};
use operators::model::Epoch;
use replay::history::{Source, marks};

use super::bound::Bound;
use super::feeding::{Feeding, SHOW_EVERY, bytes_read, now};
use super::gather::gather;
use super::retention::{Retention, positions};
use super::topics::hanging;
use super::workers::Workers;
use super::{RunError, shown};
use crate::trace::{Nanos, clock};

/// Without an end to wait for, an epoch is minted this long after the one before: more would cost
/// more in bindings and commits than in time saved.
const EPOCH_EVERY: Duration = Duration::from_millis(50);
/// How long one of several sources without an end is waited for before the others are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Bytes of records of epochs that are read and not fed at most; a single epoch may have more.
const AHEAD_BYTES_MAX: usize = 16 << 20;
/// How often it is looked whether there is room for one more.
const ROOM_EVERY: Duration = Duration::from_millis(1);

/// An epoch whose records are read.
struct Minted {
    binding: Binding,
    batches: Vec<RawBatch>,
    /// Bytes of the sources that are behind.
    bytes_read: u64,
    /// When reading began and ended.
    read: (Nanos, Nanos),
}

impl Minted {
    fn records(&self) -> usize {
        self.batches.iter().map(RawBatch::len).sum()
    }

    fn bytes(&self) -> usize {
        self.batches.iter().map(|batch| batch.bytes).sum()
    }
}

impl Feeding<'_> {
    /// Mints epochs until every source is at its end, or until stopped.
    pub(super) fn mint(
        &self,
        bound: &mut Bound,
        sources: &mut [Source],
        workers: &mut Workers,
    ) -> Result<(), RunError> {
        let last = bound.epoch();
        let health = workers.health();
        if sources.iter().all(Source::is_bounded) {
            return self.read(last, sources, health, |minted, held| {
                self.bind(vec![minted], (bound, workers), held).map(|()| true)
            });
        }
        let (hand, minted) = unbounded();
        let ahead = &AtomicUsize::new(0);
        thread::scope(|scope| {
            let bind = move || self.bind_as_they_come(&minted, ahead, (bound, workers));
            let binder = thread::Builder::new().name("bindings".to_owned());
            let binder = binder.spawn_scoped(scope, bind);
            let binder = binder.map_err(|e| RunError::Worker(format!("bindings: {e}")))?;
            let health = || {
                let bound = || RunError::Worker("the bindings".to_owned());
                if binder.is_finished() { Err(bound()) } else { health() }
            };
            let read = self.read(last, sources, health, |minted, held| {
                let bytes = minted.bytes();
                wait_for_room(ahead, bytes, || binder.is_finished(), held);
                ahead.fetch_add(bytes, Ordering::AcqRel);
                // Who has failed says so below.
                Ok(hand.send(minted).is_ok())
            });
            drop(hand);
            let bound = binder.join().map_err(|_| RunError::Worker("the bindings".to_owned()))?;
            bound.and(read)
        })
    }

    /// Reads epochs after the `last` one and hands each on, with what shows how far sources are
    /// while it is held up; until that says false, or `health` that it is of no use any more.
    fn read(
        &self,
        last: Epoch,
        sources: &mut [Source],
        health: impl Fn() -> Result<(), RunError>,
        mut hand: impl FnMut(Minted, &mut dyn FnMut()) -> Result<bool, RunError>,
    ) -> Result<(), RunError> {
        let mut epoch = last;
        let bounded = sources.iter().all(Source::is_bounded);
        let mut shown = Instant::now();
        let mut retention = Retention::new(self.since, self.snapshots);
        let mut hanging = BTreeSet::new();
        shown::sources(self.around.board, &self.names, sources, &retention);
        self.around.board.figures().replayed = true;
        while !self.stopped() {
            health()?;
            let begun = clock();
            let (batches, mut failed) =
                if bounded { gather(sources, self.size) } else { self.gather_for_a_while(sources) };
            if let Some(error) = failed.take_if(|_| batches.is_empty()) {
                return Err(error);
            }
            let mut binding = Binding::new(epoch + 1, self.generation, now(), self.job);
            let mut news = !batches.is_empty();
            for source in &mut *sources {
                news |= source.bind(&mut binding);
            }
            if news {
                epoch += 1;
                // How far behind sources are is shown above all while they are held up.
                retention.bound(epoch, binding.wall_time, || positions(sources));
                let (bytes_read, read) = (bytes_read(sources), (begun, clock()));
                let minted = Minted { binding, batches, bytes_read, read };
                let show = || shown::sources(self.around.board, &self.names, sources, &retention);
                if !hand(minted, &mut { show })? {
                    return Ok(());
                }
            }
            if let Some(error) = failed {
                return Err(error);
            }
            if sources.iter().all(Source::at_end) {
                return Ok(());
            }
            if shown.elapsed() >= SHOW_EVERY {
                sources.iter().filter_map(Source::topics).for_each(KafkaSource::show_progress);
                let usable = self.around.board.figures().snapshot.as_ref().map_or(0, |s| s.usable);
                retention.usable(usable);
                shown::sources(self.around.board, &self.names, sources, &retention);
                self.tell_hanging(sources, &mut hanging);
                self.around.board.beat();
                self.around.pass_on();
                shown = Instant::now();
            }
        }
        Ok(())
    }

    /// Binds what has been read as often as the last bindings are durable.
    fn bind_as_they_come(
        &self,
        minted: &Receiver<Minted>,
        ahead: &AtomicUsize,
        (bound, workers): (&mut Bound, &mut Workers),
    ) -> Result<(), RunError> {
        while let Ok(first) = minted.recv() {
            let all: Vec<Minted> = iter::once(first).chain(minted.try_iter()).collect();
            let bytes: usize = all.iter().map(Minted::bytes).sum();
            self.bind(all, (bound, workers), &mut || {})?;
            ahead.fetch_sub(bytes, Ordering::AcqRel);
        }
        Ok(())
    }

    /// Makes bindings durable, then feeds their records. `held` is called now and then while too
    /// much is in flight.
    fn bind(
        &self,
        all: Vec<Minted>,
        (bound, workers): (&mut Bound, &mut Workers),
        held: &mut dyn FnMut(),
    ) -> Result<(), RunError> {
        let bindings: Vec<Binding> = all.iter().map(|minted| minted.binding.clone()).collect();
        reach(Moment::Binding);
        let places = bound.append_all(&bindings)?;
        reach(Moment::Bound);
        let durable = clock();
        for (minted, at) in all.into_iter().zip(places) {
            let records = minted.records() as u64;
            let Minted { binding, batches, bytes_read, read } = minted;
            let epoch = binding.epoch;
            self.keep(at, &binding);
            if self.tracer.wants() {
                self.tracer.bound(epoch, records, read, (read.1, durable));
            }
            for batch in batches {
                workers.batch(epoch, batch, binding.wall_time)?;
            }
            workers.close(epoch, &marks(&binding), &mut *held)?;
            reach(Moment::Fed);
            self.show(bytes_read, workers, epoch);
        }
        Ok(())
    }

    /// Tells of transactions that hold up a source and are ended by nobody, once of each.
    fn tell_hanging(&self, sources: &[Source], told: &mut BTreeSet<(String, PartitionId, u64)>) {
        for (topics, name) in sources.iter().map(Source::topics).zip(&self.names) {
            let Some(topics) = topics else { continue };
            for PartitionStatus { id, open, .. } in topics.status() {
                let Some(open) = open.filter(|open| open.open >= topics.hangs()) else { continue };
                if told.insert((name.clone(), id, open.offset)) {
                    self.around.progress.note(&format!("source {name:?}: {}", hanging(&open)));
                }
            }
        }
    }

    /// Reads the records of one epoch as they come: for [`EPOCH_EVERY`], or until it is full.
    fn gather_for_a_while(&self, sources: &mut [Source]) -> (Vec<RawBatch>, Option<RunError>) {
        let end = Instant::now() + EPOCH_EVERY;
        let (mut batches, mut left) = (Vec::new(), self.size);
        while left > 0 && Instant::now() < end && !self.stopped() {
            let (more, failed) = gather(sources, left);
            if more.is_empty() && failed.is_none() {
                let left = end.saturating_duration_since(Instant::now());
                let mut open = sources.iter().filter(|source| !source.is_bounded());
                match (open.next(), open.next()) {
                    (Some(source), None) => source.wait(left),
                    (Some(source), Some(_)) => source.wait(LOOK_EVERY.min(left)),
                    (None, _) => {}
                }
            }
            left -= more.iter().map(RawBatch::len).sum::<usize>().min(left);
            batches.extend(more);
            if failed.is_some() {
                return (batches, failed);
            }
        }
        (batches, None)
    }
}

/// Waits until so many bytes may be read beyond those that are `ahead`, or it is `over`; `held` is
/// called now and then.
fn wait_for_room(
    ahead: &AtomicUsize,
    bytes: usize,
    over: impl Fn() -> bool,
    held: &mut dyn FnMut(),
) {
    let mut shown = Instant::now();
    loop {
        let before = ahead.load(Ordering::Acquire);
        if before == 0 || before + bytes <= AHEAD_BYTES_MAX || over() {
            return;
        }
        if shown.elapsed() >= SHOW_EVERY {
            held();
            shown = Instant::now();
        }
        thread::sleep(ROOM_EVERY);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU64};
    use std::sync::{Arc, Mutex};

    use connectors::bindings::{BindingError, BindingLog, Logged};
    use connectors::file::{RawRecords, Rows};

    use super::*;
    use crate::cluster::{Inbox, seats};
    use crate::runtime::progress::Silent;
    use crate::runtime::supervisor::Around;
    use crate::runtime::worker::Work;
    use crate::runtime::workers::Shared;
    use crate::trace::Tracer;

    /// Notes how many bindings are added at once, and fails at the second time if it is to.
    struct Noting {
        added: Arc<Mutex<Vec<usize>>>,
        fails: bool,
    }

    impl BindingLog for Noting {
        fn append_all(&mut self, bindings: &[Binding]) -> Result<Vec<u64>, BindingError> {
            let mut added = self.added.lock().unwrap();
            if self.fails && !added.is_empty() {
                return Err(BindingError::Disk { path: "bindings".into(), message: "full".into() });
            }
            added.push(bindings.len());
            Ok(bindings.iter().map(|binding| binding.epoch * 10).collect())
        }

        fn read(&mut self) -> Result<Vec<Logged>, BindingError> {
            Ok(Vec::new())
        }
    }

    /// An epoch of one record.
    fn minted(epoch: Epoch) -> Minted {
        let mut rows = Rows::default();
        rows.push(b"{}");
        let batch = RawBatch {
            source: 0,
            partition: 0,
            first: epoch,
            offsets: None,
            records: RawRecords::Json(Arc::new(rows)),
            bytes: 100,
        };
        let binding = Binding::new(epoch, 1, 0, "job");
        Minted { binding, batches: vec![batch], bytes_read: 0, read: (0, 0) }
    }

    /// Three epochs are there, then two more when these are bound. Returns how it ended, how many
    /// were bound at once, what a worker was given, and the bytes that are not fed.
    fn bind(fails: bool) -> (Result<(), RunError>, Vec<usize>, Vec<String>, usize) {
        let (added, stop) = (Arc::default(), AtomicBool::new(false));
        let log = Noting { added: Arc::clone(&added), fails };
        let mut bound = Bound {
            log: Some(Box::new(log)),
            bindings: Vec::new(),
            places: Vec::new(),
            whole: true,
        };
        let shared = Shared {
            closed: Arc::default(),
            complete: Arc::default(),
            stopped: Arc::default(),
            board: Arc::default(),
        };
        let (seated, seat) = seats(1).remove(0);
        let mut workers = Workers::new(vec![Inbox::Here(seated)], shared, None);
        let (hand, taken) = unbounded();
        let ahead = AtomicUsize::new(500);
        (1..=3).for_each(|epoch| hand.send(minted(epoch)).unwrap());
        let (keeps, kept) = unbounded();
        let feeding = Feeding {
            job: "job",
            generation: 1,
            size: 10,
            records: &AtomicU64::new(0),
            names: Vec::new(),
            since: 0,
            snapshots: true,
            tracer: Tracer::default(),
            keeps: Some(keeps),
            around: Around {
                progress: &Silent,
                stop: &stop,
                board: &Arc::default(),
                cluster: None,
            },
            past: None,
        };
        let ended = thread::scope(|scope| {
            scope.spawn(|| {
                // Those of the first time are bound when the last of them is kept.
                kept.iter().take(3).for_each(drop);
                (4..=5).for_each(|epoch| hand.send(minted(epoch)).unwrap());
                drop(hand);
            });
            feeding.bind_as_they_come(&taken, &ahead, (&mut bound, &mut workers))
        });
        drop(workers);
        let word = |work| match work {
            Work::Batch(batch, _) => format!("batch {}", batch.first),
            Work::Close(epoch, ..) => format!("close {epoch}"),
            _ => "other".to_owned(),
        };
        let mut given = Vec::new();
        for stage in 0.. {
            given.extend(std::iter::from_fn(|| seat.next_of(stage)).map(word));
            let Some(work) = seat.wait() else { break };
            given.push(word(work));
        }
        let added = added.lock().unwrap().clone();
        (ended, added, given, ahead.load(Ordering::Acquire))
    }

    /// What was read while bindings were written is bound in one go, and fed in its order.
    #[test]
    fn what_waits_is_bound_at_once() {
        let (ended, added, given, ahead) = bind(false);
        ended.unwrap();
        assert_eq!(added[0], 3, "{added:?}");
        assert_eq!(added.iter().sum::<usize>(), 5);
        let all = (1..=5).flat_map(|epoch| [format!("batch {epoch}"), format!("close {epoch}")]);
        assert_eq!(given, all.collect::<Vec<_>>());
        assert_eq!(ahead, 0);
    }

    /// Nothing is fed that is not durable.
    #[test]
    fn what_is_not_bound_is_not_fed() {
        let (ended, added, given, _) = bind(true);
        assert!(matches!(ended, Err(RunError::Binding(_))), "{ended:?}");
        assert_eq!(added, [3]);
        assert_eq!(given.len(), 6, "{given:?}");
    }
}
