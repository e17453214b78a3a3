//! The supervisor: sources to epochs to workers.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use connectors::bindings::{Binding, Logged};
use connectors::decode::Decoder;
use connectors::file::FileSource;
use connectors::kafka::KafkaSink;
use connectors::table::{Archive, ArchiveSink, TableSink};
use crossbeam_channel::{Sender, bounded, unbounded};
use operators::graph::Job;
use operators::model::{Epoch, Micros};
use replay::history::Source;
use replay::snapshot::{Begin, Counts, Place};
use timely::worker::Worker;

use super::archive::ArchiveWriter;
use super::bound::Bound;
use super::feeding::{Feeding, Pace, now};
use super::plan::Plan;
use super::progress::{Extent, Progress};
use super::sink::Sink;
use super::snapshots::{self, SnapshotWriter};
use super::summary::{Summary, grouped};
use super::threads::{self, Team};
use super::upgrade::{self, Upgrade};
use super::worker::{Told, Work, work};
use super::workers::{Shared, Workers};
use super::{RunError, RunOptions, bound, gone, shown};
use crate::cluster::{self, Addressed, Cluster, Inbox, Peers, Seat, Seated};
use crate::serve::{ARCHIVE, Board, CHANGELOGS, TABLES};
use crate::trace::Tracer;

/// Messages that wait for the workers of another process at most.
const INBOX_MAX: usize = 64;

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

impl Around<'_> {
    /// Passes on what threads of the run have said.
    pub(super) fn pass_on(&self) {
        self.board.said().iter().for_each(|words| self.progress.note(words));
    }
}

/// Runs a job to the end of its sources, or until it is stopped. What has been read by then is
/// computed and written.
pub fn run_until(
    plan: &Plan,
    options: RunOptions,
    around: Around<'_>,
) -> Result<Summary, RunError> {
    run_held(plan, options, around, || {})
}

/// As [`run_until`]; `held` is called when no other run of the job can go on.
pub fn run_held(
    plan: &Plan,
    options: RunOptions,
    around: Around<'_>,
    held: impl FnOnce(),
) -> Result<Summary, RunError> {
    let (bound, place) = begin(plan)?;
    held();
    compute(plan, options, around, History { bound, place, next: Next::Mint, archive: None })
}

/// Opens the bindings of a job that may have changed since, and the place of its snapshots.
fn begin(plan: &Plan) -> Result<(Bound, Option<Place>), RunError> {
    let place = snapshots::place(plan)?;
    let bound = Bound::open(plan, snapshots::beginning(plan, place.as_ref())?.as_ref())?;
    if let Some(before) = bound.last().filter(|binding| binding.job != plan.hash) {
        upgrade::check_change(plan, &before.job)?;
    }
    upgrade::keep(plan)?;
    Ok((bound, place))
}

/// Publishes what a change of the job changes, and nothing more: no record that is not bound is
/// read. `held` is called when no other run of the job can go on, with what was bound last.
pub fn change(
    plan: &Plan,
    options: RunOptions,
    around: Around<'_>,
    held: impl FnOnce(Option<&Binding>) -> Result<(), RunError>,
) -> Result<Summary, RunError> {
    let (bound, place) = begin(plan)?;
    held(bound.last())?;
    compute(plan, options, around, History { bound, place, next: Next::Change, archive: None })
}

/// What a job is computed anew from: epochs that another run has bound, or is binding.
pub struct Past {
    /// All of them, from the first.
    pub bindings: Vec<Logged>,
    /// Nothing up to this epoch is read; 0 to begin at the beginning.
    pub after: Epoch,
    /// Records read in a second at most.
    pub records_per_s_max: Option<u64>,
    /// Where the records are read from instead of the sources.
    pub archive: Option<Archive>,
    /// Whether small epochs are made one: what is computed is the same and known of fewer epochs.
    pub coalesces: bool,
}

/// Computes bound epochs anew, into the folder and the topics of the plan, which are not those of
/// the run that binds them. Nothing is bound. What the outputs hold is not written again.
pub fn rerun(
    plan: &Plan,
    options: RunOptions,
    around: Around<'_>,
    past: Past,
) -> Result<Summary, RunError> {
    let Past { bindings, after, records_per_s_max, archive, coalesces } = past;
    let begun = Instant::now();
    let next = Next::End(Pace { after, records_per_s_max, coalesces, begun });
    let (bound, place) = (Bound::past(bindings), snapshots::place(plan)?);
    compute(plan, options, around, History { bound, place, next, archive })
}

/// What is bound when a run begins, and what follows it.
struct History {
    bound: Bound,
    /// Where snapshots are, if any are taken.
    place: Option<Place>,
    next: Next,
    archive: Option<Archive>,
}

enum Next {
    /// Epochs that the run mints and binds.
    Mint,
    /// The epoch that publishes what a change of the job has changed.
    Change,
    /// Nothing.
    End(Pace),
}

#[expect(clippy::too_many_lines, reason = "a run from its bindings to its end, step by step")]
fn compute(
    plan: &Plan,
    options: RunOptions,
    around: Around<'_>,
    history: History,
) -> Result<Summary, RunError> {
    let begun = Instant::now();
    let History { mut bound, place, next, archive: mut kept } = history;
    let past = match &next {
        Next::Mint | Next::Change => None,
        Next::End(pace) => Some(*pace),
    };
    let generation = bound.last().map_or(1, |binding| binding.generation + 1);
    around.board.figures().begin(&plan.name, generation, Some(bound.epoch()));
    let after = past.map_or(0, |past| past.after);
    let reads = gone::Reads { changes: past.is_none(), after, archive: kept.as_ref() };
    let anew = gone::make_up(plan, &mut bound, &reads, around)?;
    let (mut tables, topics) = around.board.beating(|| sinks(plan, bound.epoch(), generation))?;
    let archive = plan.archive.as_ref().map(|archive| {
        ArchiveSink::open(&archive.out, plan.archive_spec(archive))
            .map(|sink| (sink, archive.every))
    });
    let archive = archive.transpose()?;
    let mut outputs = outputs(tables.as_ref(), &topics);
    let tracer = tracer(plan, generation, &outputs, around.board)?;
    outputs.iter().for_each(|(name, holds)| shown::opened(around.board, name, *holds));
    let (last, published) = (bound.epoch(), outputs.clone());
    // One that has not begun begins wherever the run does.
    if let Some(epoch) = archive.as_ref().and_then(|(sink, _)| sink.committed()) {
        outputs.insert(ARCHIVE.to_owned(), Some(epoch));
        shown::opened(around.board, ARCHIVE, Some(epoch));
    }
    let newest = |bound: &Bound| {
        if anew.from_first {
            return Ok(None);
        }
        snapshots::newest(plan, place.as_ref(), (bound, &outputs), Some(around))
    };
    let mut begin = newest(&bound)?;
    if begin.is_none() && !bound.whole {
        bound.read()?;
        begin = newest(&bound)?;
    }
    let upgrade = match upgrade::epoch(&bound.bindings, &plan.hash).filter(|_| past.is_none()) {
        Some(epoch) => {
            let logged = tables.as_ref().map(TableSink::logged).unwrap_or_default();
            Upgrade::begin(plan, (epoch, &bound.bindings), (&published, logged), &anew.views)?
        }
        None => None,
    };
    if let (Some(_), Some(tables)) = (&upgrade, &mut tables) {
        tables.go_back()?;
    }
    say_begin(around, upgrade.as_ref(), begin.as_ref());
    let (done, counts) = match &begin {
        Some(begin) => (begin.manifest.epoch, begin.manifest.counts.clone()),
        None => (after, Counts::default()),
    };
    let watermark = snapshots::watermark(plan, begin.as_ref(), (&bound, done));
    let mut sources = Vec::new();
    let mut decoders = Vec::new();
    for source in &plan.sources {
        if kept.is_none() {
            // A file that is read from its middle on is read up to there first.
            let open = || Source::open(&source.records, &bound.bindings, done);
            sources.push(around.board.beating(open)?);
        }
        decoders.push(Decoder::new(&source.decode)?);
    }
    say_longer(around, &sources);
    if let Some(kept) = kept.as_mut().filter(|_| done < last) {
        kept.begin((done + 1, last))?;
    }
    let take = |place: &Place| {
        let (board, beginning) = (Arc::clone(around.board), bound.beginning(done));
        let from = (generation, watermark.clone());
        SnapshotWriter::start(plan, place, from, (begin.as_mut(), beginning), board)
    };
    let snapshots = place.as_ref().map(take).transpose()?;
    let keeps = snapshots.as_ref().map(SnapshotWriter::bindings);
    let team = match around.cluster {
        Some(cluster) => Some((cluster, cluster.begin(generation).map_err(RunError::Cluster)?)),
        None => None,
    };
    let processes = around.cluster.map_or(1, Cluster::processes);
    let extent = match past {
        None => Extent::Bytes(sources.iter().map(Source::bytes_total).sum()),
        Some(past) => Extent::Epochs(last.saturating_sub(past.after)),
    };
    let (told, heard) = unbounded();
    let coalesces = past.is_some_and(|past| past.coalesces);
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
        keeps: plan.job().keeps_records,
        coalesces,
        upgrade,
        tracer: tracer.clone(),
    };
    let archive = archive
        .map(|(sink, every)| ArchiveWriter::start(sink, done, every, Arc::clone(around.board)))
        .transpose()?;
    let collector = thread::spawn({
        let closed = Arc::clone(&closed);
        move || {
            let result = sink.run(&heard, tables, topics, (snapshots, archive));
            // Whoever waits for epochs to close waits no longer.
            closed.store(Epoch::MAX, Ordering::Release);
            result
        }
    });
    let stopped = Arc::default();
    let mut job = plan.job();
    Arc::make_mut(&mut job).coalesces = coalesces;
    let runs = coalesces.then(|| told.clone());
    let (inboxes, guards) = start(job, &decoders, (options.workers, team), &told, &stopped)?;
    drop(told);
    let shared = Shared { closed, complete, stopped, board: Arc::clone(around.board) };
    let mut workers = Workers::new(inboxes, shared, runs);
    let size = options.epoch_records.unwrap_or(plan.epoch_records).max(1);
    let names = plan.sources.iter().map(|source| source.name.to_string()).collect();
    let feeding = Feeding {
        job: &plan.hash,
        generation,
        size,
        records: &records,
        names,
        keeps,
        since: since(&bound.bindings, done),
        snapshots: plan.snapshots.is_some(),
        tracer,
        around,
        past,
    };
    let fed = workers
        .begin(&watermark)
        .and_then(|()| match &begin {
            Some(begin) => feeding.restore(begin, &mut workers),
            // The next epoch is the first one that anything is of.
            None if done > 0 => workers.close(done, &[], || {}).map(|()| true),
            None => Ok(true),
        })
        .and_then(|whole| {
            if whole {
                around.progress.begin(extent);
                let later = (&bound, done);
                match &mut kept {
                    None => feeding.replay(later, &mut sources, &mut workers)?,
                    Some(kept) => feeding.replay_kept(later, (kept, plan), &mut workers)?,
                }
                if past.is_none() && !around.stop.load(Ordering::Acquire) {
                    feeding.change(&mut bound, &mut workers)?;
                    if matches!(next, Next::Mint) {
                        feeding.mint(&mut bound, &mut sources, &mut workers)?;
                    }
                }
            }
            Ok(())
        });
    drop(workers); // hangs up: the workers finish what they have
    let mut summary = ended(guards, collector, around, fed)?;
    summary.bytes_read = sources.iter().map(Source::bytes_read).sum();
    summary.seconds = begun.elapsed().as_secs_f64();
    summary.events_per_s = summary.read as f64 / summary.seconds.max(1e-9);
    Ok(summary)
}

/// Waits for the workers and the sink. Of several failures it gives the one that came first: a
/// panic or an output that can't be written is why feeding could not go on.
fn ended(
    guards: Guards,
    collector: JoinHandle<Result<Summary, RunError>>,
    around: Around<'_>,
    fed: Result<(), RunError>,
) -> Result<Summary, RunError> {
    // What is left to compute and to write may take its time.
    let (ends, collected) = around.board.beating(|| (guards.join(), collector.join()));
    let collected = collected.map_err(|_| RunError::Worker("the sink".to_owned()))?;
    around.pass_on();
    around.progress.end();
    for end in ends {
        if let Some(words) = end.map_err(RunError::Worker)? {
            return Err(RunError::Worker(words));
        }
    }
    let summary = collected?;
    fed.map(|()| summary)
}

/// What follows some epochs on their way to the outputs, if the job wants it.
fn tracer(
    plan: &Plan,
    generation: u64,
    outputs: &BTreeMap<String, Option<Epoch>>,
    board: &Arc<Board>,
) -> Result<Tracer, RunError> {
    let named = outputs.keys().cloned().chain(plan.tables.is_some().then(|| TABLES.to_owned()));
    let tracer = Tracer::start(plan.trace.as_ref(), (&plan.name, generation), named, board);
    tracer.map_err(RunError::Worker)
}

/// When the epoch was bound after which a restart begins.
fn since(bindings: &[Binding], done: Epoch) -> Micros {
    let begun = bindings.iter().rfind(|binding| binding.epoch <= done).or(bindings.first());
    begun.map_or_else(now, |binding| binding.wall_time)
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

/// Says which files have become longer since they were listed: what was added is not read.
fn say_longer(around: Around<'_>, sources: &[Source]) {
    for (file, bytes) in sources.iter().filter_map(Source::files).flat_map(FileSource::longer) {
        around.progress.note(&format!(
            "{} is {bytes} bytes longer than when it was first read; they are not read: a file \
             must be whole when it appears, so write more into a new one",
            file.display()
        ));
    }
}

/// Opens the outputs; none of them may be ahead of the bindings.
fn sinks(
    plan: &Plan,
    bound: Epoch,
    generation: u64,
) -> Result<(Option<TableSink>, Vec<KafkaSink>), RunError> {
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

/// What a worker needs.
type Chair = (Seat<Work>, Vec<Decoder>, Sender<Told>);

/// What each worker of a process needs, and the other ends of their inboxes.
pub(super) fn seats(
    workers: usize,
    decoders: &[Decoder],
    told: &Sender<Told>,
) -> (Vec<Seated<Work>>, Vec<Option<Chair>>) {
    let place = |(seated, seat)| (seated, Some((seat, decoders.to_vec(), told.clone())));
    cluster::seats(workers).into_iter().map(place).unzip()
}

/// The part of a worker of this process: it takes its place.
pub(super) fn seated(
    job: Arc<Job>,
    places: Vec<Option<Chair>>,
) -> impl Fn(&mut Worker) + Send + Sync + 'static {
    let (count, places) = (places.len(), Mutex::new(places));
    move |worker| {
        let index = worker.index() % count;
        let place = places.lock().ok().and_then(|mut places| places[index].take());
        if let Some((inbox, decoders, told)) = place {
            work(worker, &job, decoders, &inbox, &told);
        }
    }
}
