//! The supervisor: sources to epochs to workers.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use connectors::bindings::Binding;
use connectors::decode::Decoder;
use connectors::file::RawBatch;
use connectors::kafka::KafkaSink;
use connectors::table::TableSink;
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use operators::graph::{Job, Mark};
use operators::model::{Epoch, Micros};
use operators::time::Watermark;
use replay::history::Source;
use replay::snapshot::Begin;
use timely::worker::Worker;

use super::feeding::{Feeding, SHOW_EVERY};
use super::plan::Plan;
use super::progress::Progress;
use super::sink::Sink;
use super::snapshots::{self, SnapshotWriter};
use super::summary::{Summary, grouped};
use super::threads::{self, Team};
use super::upgrade::{self, Upgrade};
use super::worker::{Told, Work, work};
use super::{RunError, RunOptions, bound, shown};
use crate::cluster::{Addressed, Cluster, Inbox, Peers};
use crate::serve::Board;

/// Bytes of records between binding and the end of the graph at most: a few epochs of usual
/// records, enough to keep the workers busy.
const IN_FLIGHT_BYTES_MAX: usize = 64 << 20;
/// Bytes in flight that a byte of a snapshot counts for, which is compressed.
const RESTORED_PER_BYTE: usize = 4;
/// Messages that wait for one worker at most.
const INBOX_MAX: usize = 64;

/// What stands for the tables among the outputs.
pub(super) const CHANGELOGS: &str = "changelogs";

/// Hands records to workers in turn and keeps count of what is in flight.
pub(super) struct Workers {
    inboxes: Vec<Inbox<Work>>,
    next: usize,
    closed: Arc<AtomicU64>,
    /// The last epoch all of whose records are handed out: no later one may be published.
    complete: Arc<AtomicU64>,
    /// Whether a worker has panicked.
    stopped: Arc<AtomicBool>,
    in_flight: BTreeMap<Epoch, usize>,
    /// How long feeding has waited for the workers.
    held: Duration,
}

impl Workers {
    /// Bytes of records between binding and the end of the graph.
    pub(super) fn bytes_in_flight(&self) -> usize {
        self.in_flight.values().sum()
    }

    /// How long feeding has waited because too much was in flight.
    pub(super) fn held(&self) -> Duration {
        self.held
    }

    fn send(&mut self, worker: usize, work: Work) -> Result<(), RunError> {
        let gone = || RunError::Worker("it no longer takes records".to_owned());
        self.inboxes[worker].send(work).then_some(()).ok_or_else(gone)
    }

    /// Gives the next worker records of the epoch that is open.
    pub(super) fn batch(
        &mut self,
        epoch: Epoch,
        batch: RawBatch,
        received: Micros,
    ) -> Result<(), RunError> {
        *self.in_flight.entry(epoch).or_default() += batch.bytes;
        self.next = (self.next + 1) % self.inboxes.len();
        self.send(self.next, Work::Batch(batch, received))
    }

    /// Gives a worker the watermark to go on from.
    fn begin(&mut self, watermark: &Watermark) -> Result<(), RunError> {
        (0..self.inboxes.len())
            .try_for_each(|worker| self.send(worker, Work::Begin(Box::new(watermark.clone()))))
    }

    /// Gives the next worker a block of a snapshot, in the epoch that is open.
    pub(super) fn restore(&mut self, epoch: Epoch, block: Vec<u8>) -> Result<(), RunError> {
        *self.in_flight.entry(epoch).or_default() += block.len() * RESTORED_PER_BYTE;
        self.next = (self.next + 1) % self.inboxes.len();
        self.send(self.next, Work::Restore(block))
    }

    /// Ends an epoch, and waits while too much is in flight; meanwhile `held` is called now and
    /// then.
    pub(super) fn close(
        &mut self,
        epoch: Epoch,
        marks: &[Mark],
        mut held: impl FnMut(),
    ) -> Result<(), RunError> {
        let mut shown = Instant::now();
        self.complete.store(epoch, Ordering::Release);
        for worker in 0..self.inboxes.len() {
            // One worker's word on what is quiet is enough.
            let marks = if worker == 0 { marks.to_vec() } else { Vec::new() };
            self.send(worker, Work::Close(epoch, marks))?;
        }
        loop {
            let closed = self.closed.load(Ordering::Acquire);
            if closed == Epoch::MAX {
                return Err(RunError::Worker("what comes out can't be written".to_owned()));
            }
            if self.stopped.load(Ordering::Acquire) {
                return Err(RunError::Worker("it has given up".to_owned()));
            }
            self.in_flight = self.in_flight.split_off(&closed);
            if self.bytes_in_flight() <= IN_FLIGHT_BYTES_MAX {
                return Ok(());
            }
            if shown.elapsed() >= SHOW_EVERY {
                held();
                shown = Instant::now();
            }
            self.held += Duration::from_millis(1);
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Runs a job whose sources are bounded to its end.
pub fn run(plan: &Plan, options: RunOptions, progress: &dyn Progress) -> Result<Summary, RunError> {
    let (stop, board) = (AtomicBool::new(false), Arc::default());
    run_until(plan, options, Around { progress, stop: &stop, board: &board, cluster: None })
}

/// Who follows a run, and ends it.
#[derive(Clone, Copy)]
pub struct Around<'a> {
    /// Whoever wants to know how far it is.
    pub progress: &'a dyn Progress,
    /// Set when it is to end.
    pub stop: &'a AtomicBool,
    /// Where its figures are shown.
    pub board: &'a Arc<Board>,
    /// The other processes, if there are any; this one is process 0.
    pub cluster: Option<&'a Cluster>,
}

/// Runs a job to the end of its sources, or until it is stopped. What has been read by then is
/// computed and written.
pub fn run_until(
    plan: &Plan,
    options: RunOptions,
    around: Around<'_>,
) -> Result<Summary, RunError> {
    let begun = Instant::now();
    let (mut log, mut bindings) = bound::open(plan)?;
    if let Some(before) = bindings.last().filter(|binding| binding.job != plan.hash) {
        upgrade::check_sources(plan, &before.job)?;
    }
    upgrade::keep(plan)?;
    let generation = bindings.last().map_or(1, |binding| binding.generation + 1);
    around.board.figures().begin(&plan.name, generation);
    let (tables, topics) = sinks(plan, &bindings, generation)?;
    let outputs = outputs(tables.as_ref(), &topics);
    outputs.iter().for_each(|(name, holds)| shown::opened(around.board, name, *holds));
    let bound = bindings.last().map_or(0, |binding| binding.epoch);
    let upgrade = match upgrade::epoch(&bindings, &plan.hash) {
        Some(epoch) => Upgrade::begin(plan, epoch, &outputs)?,
        None => None,
    };
    let mut begin = snapshots::find(plan, bound, &outputs, |words| around.progress.note(words))?;
    say_begin(around, upgrade.as_ref(), begin.as_ref());
    let (done, counts) = begin.as_ref().map_or_else(Default::default, |begin| {
        (begin.manifest.epoch, begin.manifest.counts.clone())
    });
    let watermark = snapshots::watermark(plan, begin.as_ref());
    let mut sources = Vec::new();
    let mut decoders = Vec::new();
    for source in &plan.sources {
        sources.push(Source::open(&source.records, &bindings, done)?);
        decoders.push(Decoder::new(&source.decode)?);
    }
    let take = |every| {
        let board = Arc::clone(around.board);
        SnapshotWriter::start(plan, every, generation, begin.as_mut(), board)
    };
    let snapshots = plan.snapshots.map(take).transpose()?;
    let team = match around.cluster {
        Some(cluster) => Some((cluster, cluster.begin(generation).map_err(RunError::Cluster)?)),
        None => None,
    };
    let processes = around.cluster.map_or(1, Cluster::processes);
    around.progress.begin(sources.iter().map(Source::bytes_total).sum());

    let (told, heard) = unbounded();
    let (closed, complete) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let records = Arc::new(AtomicU64::new(0));
    let sink = Sink {
        catalog: Arc::clone(&plan.catalog),
        workers: options.workers * processes,
        closed: Arc::clone(&closed),
        complete: Arc::clone(&complete),
        board: Arc::clone(around.board),
        records: Arc::clone(&records),
        begin: (done, counts),
        watermark: watermark.current(),
        upgrade,
    };
    let collector = thread::spawn({
        let closed = Arc::clone(&closed);
        move || {
            let result = sink.run(&heard, tables, topics, snapshots);
            // Whoever waits for epochs to close waits no longer.
            closed.store(Epoch::MAX, Ordering::Release);
            result
        }
    });
    let stopped = Arc::default();
    let (inboxes, guards) = start(plan.job(), &decoders, (options.workers, team), &told, &stopped)?;
    drop(told);
    let (in_flight, held) = (BTreeMap::new(), Duration::ZERO);
    let mut workers = Workers { inboxes, next: 0, closed, complete, stopped, in_flight, held };
    let size = options.epoch_records.unwrap_or(plan.epoch_records).max(1);
    let names = plan.sources.iter().map(|source| source.name.to_string()).collect();
    let feeding = Feeding { job: &plan.hash, generation, size, records: &records, names, around };
    let fed = workers
        .begin(&watermark)
        .and_then(|()| begin.map_or(Ok(true), |begin| feeding.restore(&begin, &mut workers)))
        .and_then(|whole| {
            if whole {
                feeding.replay((&bindings, done), &mut sources, &mut workers)?;
                if !around.stop.load(Ordering::Acquire) {
                    feeding.change(&mut bindings, &mut *log, &mut workers)?;
                }
                feeding.mint(&bindings, &mut *log, &mut sources, &mut workers)?;
            }
            Ok(())
        });
    drop(workers); // hangs up: the workers finish what they have
    let ends = guards.join();
    let collected = collector.join().map_err(|_| RunError::Worker("the sink".to_owned()))?;
    around.progress.end();
    // What came first: a panic or an output that can't be written is why feeding could not go on.
    for end in ends {
        if let Some(words) = end.map_err(RunError::Worker)? {
            return Err(RunError::Worker(words));
        }
    }
    let mut summary = collected?;
    fed?;
    summary.bytes_read = sources.iter().map(Source::bytes_read).sum();
    summary.seconds = begun.elapsed().as_secs_f64();
    summary.events_per_s = summary.read as f64 / summary.seconds.max(1e-9);
    Ok(summary)
}

/// Says what a run begins with.
fn say_begin(around: Around<'_>, upgrade: Option<&Upgrade>, begin: Option<&Begin>) {
    if let Some(Upgrade { epoch, .. }) = upgrade {
        around.progress.note(&format!(
            "the job has changed: computes it up to epoch {}, and publishes the difference as \
             epoch {epoch}",
            epoch - 1
        ));
    }
    if let Some(Begin { manifest, .. }) = begin {
        shown::snapshot(around.board, manifest, None);
        let (epoch, events) = (manifest.epoch, grouped(manifest.events() as i64));
        around
            .progress
            .note(&format!("begins with the snapshot at epoch {epoch}, {events} events"));
    }
}

/// Opens the outputs; none of them may be ahead of the bindings.
fn sinks(
    plan: &Plan,
    bindings: &[Binding],
    generation: u64,
) -> Result<(Option<TableSink>, Vec<KafkaSink>), RunError> {
    let bound = bindings.last().map_or(0, |binding| binding.epoch);
    let check = |what: String, holds: Option<Epoch>| match holds {
        Some(epoch) if epoch > bound => {
            let bindings = bound::place(plan);
            Err(RunError::BindingsLost { bindings, bound, what, epoch })
        }
        _ => Ok(()),
    };
    let tables = match &plan.tables {
        Some(options) => Some(TableSink::open(&plan.out, &plan.catalog.schemas, options.clone())?),
        None => None,
    };
    if let Some(tables) = &tables {
        check(format!("a table in {}", plan.out.display()), tables.newest())?;
    }
    let mut topics = Vec::new();
    for spec in &plan.topics {
        let mut spec = spec.clone();
        spec.generation = generation;
        let sink = KafkaSink::open(&spec, &plan.catalog.schemas)?;
        check(format!("topic {}", spec.topic("progress")), sink.committed())?;
        topics.push(sink);
    }
    Ok((tables, topics))
}

/// The outputs by name, each with the last epoch that it holds. Current tables are none of their
/// own: they get from the changelogs what they lack.
fn outputs(tables: Option<&TableSink>, topics: &[KafkaSink]) -> BTreeMap<String, Option<Epoch>> {
    let topics = topics.iter().map(|sink| (sink.prefix().to_owned(), sink.committed()));
    topics.chain(tables.map(|tables| (CHANGELOGS.to_owned(), tables.committed()))).collect()
}

type Guards = timely::communication::WorkerGuards<Option<String>>;

fn start(
    job: Arc<Job>,
    decoders: &[Decoder],
    (workers, team): (usize, Option<(&Cluster, Peers)>),
    told: &Sender<Told>,
    stopped: &Arc<AtomicBool>,
) -> Result<(Vec<Inbox<Work>>, Guards), RunError> {
    let (here, seats) = seats(workers, decoders, told);
    let mut inboxes: Vec<Inbox<Work>> = here.into_iter().map(Inbox::Here).collect();
    let team = match team {
        None => Team::Alone(workers),
        Some((cluster, mut peers)) => {
            for process in 1..cluster.processes() {
                let (sender, receiver) = bounded::<Addressed<Work>>(INBOX_MAX);
                let there = |worker| Inbox::There(sender.clone(), worker as u32);
                inboxes.extend((0..workers).map(there));
                let told = told.clone();
                // The sink hangs up only when the run has failed; then nothing matters any more.
                cluster.exchange(&mut peers, process, receiver, move |t| drop(told.send(t)));
            }
            let allocators = cluster.allocators(&mut peers).map_err(RunError::Cluster)?;
            Team::Across(allocators, Box::new(cluster.fail()))
        }
    };
    Ok((inboxes, threads::start(team, stopped, seated(job, seats)).map_err(RunError::Worker)?))
}

type Seat = (Receiver<Work>, Vec<Decoder>, Sender<Told>);

/// What each worker of a process needs, and the other ends of their inboxes.
pub(super) fn seats(
    workers: usize,
    decoders: &[Decoder],
    told: &Sender<Told>,
) -> (Vec<Sender<Work>>, Vec<Option<Seat>>) {
    let seat = |_| {
        let (sender, receiver) = bounded(INBOX_MAX);
        (sender, Some((receiver, decoders.to_vec(), told.clone())))
    };
    (0..workers).map(seat).unzip()
}

/// The part of a worker of this process: it takes its seat.
pub(super) fn seated(
    job: Arc<Job>,
    seats: Vec<Option<Seat>>,
) -> impl Fn(&mut Worker) + Send + Sync + 'static {
    let (count, seats) = (seats.len(), Mutex::new(seats));
    move |worker| {
        let place = worker.index() % count;
        let seat = seats.lock().ok().and_then(|mut seats| seats[place].take());
        if let Some((inbox, decoders, told)) = seat {
            work(worker, &job, decoders, &inbox, &told);
        }
    }
}
