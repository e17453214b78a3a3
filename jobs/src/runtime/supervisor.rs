//! The supervisor: sources to epochs to workers.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use connectors::bindings::{Binding, BindingLog as _, FileBindingLog, SourceEnd};
use connectors::decode::Decoder;
use connectors::file::{FileSource, RawBatch};
use connectors::table::TableSink;
use crossbeam_channel::{Sender, bounded, unbounded};
use operators::graph::Job;
use operators::model::{Epoch, Micros};
use replay::history;

use super::plan::Plan;
use super::progress::Progress;
use super::sink::Sink;
use super::summary::Summary;
use super::worker::{Told, Work, work};
use super::{RunError, RunOptions, threads};

/// Bytes of records between binding and the end of the graph at most: a few epochs of usual
/// records, enough to keep the workers busy.
const IN_FLIGHT_BYTES_MAX: usize = 64 << 20;
/// Messages that wait for one worker at most.
const INBOX_MAX: usize = 64;
/// Records handed to a worker at once: enough to outweigh the hand-over.
const BATCH_RECORDS: usize = 4096;

/// Hands records to workers in turn and keeps count of what is in flight.
struct Workers {
    inboxes: Vec<Sender<Work>>,
    next: usize,
    closed: Arc<AtomicU64>,
    /// The last epoch all of whose records are handed out: no later one may be published.
    complete: Arc<AtomicU64>,
    /// Whether a worker has panicked.
    stopped: Arc<AtomicBool>,
    in_flight: BTreeMap<Epoch, usize>,
}

impl Workers {
    fn send(&mut self, worker: usize, work: Work) -> Result<(), RunError> {
        let gone = |_| RunError::Worker("it no longer takes records".to_owned());
        self.inboxes[worker].send(work).map_err(gone)
    }

    fn batch(&mut self, epoch: Epoch, batch: RawBatch, received: Micros) -> Result<(), RunError> {
        *self.in_flight.entry(epoch).or_default() += batch.bytes;
        self.next = (self.next + 1) % self.inboxes.len();
        self.send(self.next, Work::Batch(batch, received))
    }

    /// Ends an epoch, and waits while too much is in flight.
    fn close(&mut self, epoch: Epoch, ended: &[u16]) -> Result<(), RunError> {
        self.complete.store(epoch, Ordering::Release);
        for worker in 0..self.inboxes.len() {
            // One worker's word that a source has ended is enough.
            let ended = if worker == 0 { ended.to_vec() } else { Vec::new() };
            self.send(worker, Work::Close(epoch, ended))?;
        }
        loop {
            let closed = self.closed.load(Ordering::Acquire);
            if closed == Epoch::MAX {
                return Err(RunError::Worker("the tables can't be written".to_owned()));
            }
            if self.stopped.load(Ordering::Acquire) {
                return Err(RunError::Worker("it has given up".to_owned()));
            }
            self.in_flight = self.in_flight.split_off(&closed);
            if self.in_flight.values().sum::<usize>() <= IN_FLIGHT_BYTES_MAX {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Runs a job whose sources are bounded to its end.
pub fn run(plan: &Plan, options: RunOptions, progress: &dyn Progress) -> Result<Summary, RunError> {
    let begun = Instant::now();
    let (mut log, bindings) = FileBindingLog::open(&plan.out.join("bindings"))?;
    if bindings.last().is_some_and(|binding| binding.job != plan.hash) {
        return Err(RunError::JobChanged { out: plan.out.display().to_string() });
    }
    let mut sources = Vec::new();
    let mut decoders = Vec::new();
    for source in &plan.sources {
        sources.push(history::open(&source.file, &bindings)?);
        decoders.push(Decoder::new(&source.decode)?);
    }
    let tables = match &plan.tables {
        Some(options) => Some(TableSink::open(&plan.out, &plan.catalog.schemas, options.clone())?),
        None => None,
    };
    let bound = bindings.last().map_or(0, |binding| binding.epoch);
    if let Some(epoch) = tables.as_ref().and_then(TableSink::newest).filter(|e| *e > bound) {
        let out = plan.out.display().to_string();
        return Err(RunError::BindingsLost { out, bound, epoch });
    }
    progress.begin(sources.iter().map(FileSource::bytes_total).sum());

    let (told, heard) = unbounded();
    let closed = Arc::new(AtomicU64::new(0));
    let complete = Arc::new(AtomicU64::new(0));
    let records = Arc::new(AtomicU64::new(0));
    let sink = Sink {
        catalog: Arc::clone(&plan.catalog),
        tables,
        workers: options.workers,
        closed: Arc::clone(&closed),
        complete: Arc::clone(&complete),
        records: Arc::clone(&records),
    };
    let collector = thread::spawn({
        let closed = Arc::clone(&closed);
        move || {
            let result = sink.run(&heard);
            // Whoever waits for epochs to close waits no longer.
            closed.store(Epoch::MAX, Ordering::Release);
            result
        }
    });
    let stopped = Arc::default();
    let (inboxes, guards) = start(plan.job(), &decoders, options.workers, &told, &stopped)?;
    drop(told);
    let mut workers =
        Workers { inboxes, next: 0, closed, complete, stopped, in_flight: BTreeMap::new() };
    let size = options.epoch_records.unwrap_or(plan.epoch_records).max(1);
    let feeding = Feeding { plan, size, progress, records: &records };
    let fed = feeding
        .replay(&bindings, &mut sources, &mut workers)
        .and_then(|()| feeding.mint(&bindings, &mut log, &mut sources, &mut workers));
    drop(workers); // hangs up: the workers finish what they have
    let ends = guards.join();
    let collected = collector.join().map_err(|_| RunError::Worker("the sink".to_owned()))?;
    progress.end();
    // What came first: a panic or a table that can't be written is why feeding could not go on.
    for end in ends {
        if let Some(words) = end.map_err(RunError::Worker)? {
            return Err(RunError::Worker(words));
        }
    }
    let mut summary = collected?;
    fed?;
    summary.bytes_read = sources.iter().map(FileSource::bytes_read).sum();
    summary.seconds = begun.elapsed().as_secs_f64();
    summary.events_per_s = summary.read as f64 / summary.seconds.max(1e-9);
    Ok(summary)
}

type Guards = timely::communication::WorkerGuards<Option<String>>;

fn start(
    job: Arc<Job>,
    decoders: &[Decoder],
    workers: usize,
    told: &Sender<Told>,
    stopped: &Arc<AtomicBool>,
) -> Result<(Vec<Sender<Work>>, Guards), RunError> {
    let (mut inboxes, mut seats) = (Vec::new(), Vec::new());
    for _ in 0..workers {
        let (sender, receiver) = bounded(INBOX_MAX);
        inboxes.push(sender);
        seats.push(Some((receiver, decoders.to_vec(), told.clone())));
    }
    let seats = Mutex::new(seats);
    let guards = threads::start(workers, stopped, move |worker| {
        let seat = seats.lock().ok().and_then(|mut seats| seats[worker.index()].take());
        if let Some((inbox, decoders, told)) = seat {
            work(worker, &job, decoders, &inbox, &told);
        }
    });
    Ok((inboxes, guards.map_err(RunError::Worker)?))
}

struct Feeding<'a> {
    plan: &'a Plan,
    size: usize,
    progress: &'a dyn Progress,
    records: &'a AtomicU64,
}

impl Feeding<'_> {
    fn show(&self, sources: &[FileSource]) {
        let bytes = sources.iter().map(FileSource::bytes_read).sum();
        self.progress.update(bytes, self.records.load(Ordering::Relaxed));
    }

    /// Feeds the epochs of earlier runs again.
    fn replay(
        &self,
        bindings: &[Binding],
        sources: &mut [FileSource],
        workers: &mut Workers,
    ) -> Result<(), RunError> {
        for binding in bindings {
            let mut sent = Ok(());
            history::feed(binding, sources, BATCH_RECORDS, |batch| {
                if sent.is_ok() {
                    sent = workers.batch(binding.epoch, batch, binding.wall_time);
                }
            })?;
            sent?;
            workers.close(binding.epoch, &ended(&binding.sources))?;
            self.show(sources);
        }
        Ok(())
    }

    /// Mints epochs until every source is at its end.
    fn mint(
        &self,
        bindings: &[Binding],
        log: &mut FileBindingLog,
        sources: &mut [FileSource],
        workers: &mut Workers,
    ) -> Result<(), RunError> {
        let last = bindings.last();
        let mut epoch = last.map_or(0, |binding| binding.epoch);
        let generation = last.map_or(1, |binding| binding.generation + 1);
        let mut ends: Vec<bool> = match last {
            Some(binding) => binding.sources.iter().map(|s| s.at_end).collect(),
            None => vec![false; sources.len()],
        };
        let mut listed: Vec<usize> = (0..sources.len())
            .map(|source| history::recorded(bindings, source as u16).len())
            .collect();
        loop {
            let (batches, mut failed) = gather(sources, &mut ends, self.size);
            if let Some(error) = failed.take_if(|_| batches.is_empty()) {
                return Err(error);
            }
            let news = listed.iter().zip(sources.iter()).any(|(n, s)| *n < s.files().len());
            let told = last.is_some_and(|binding| {
                epoch == binding.epoch && binding.sources.iter().all(|source| source.at_end)
            });
            if batches.is_empty() && told && !news {
                return Ok(()); // nothing since the last run
            }
            epoch += 1;
            let mut files = Vec::new();
            for (index, source) in sources.iter().enumerate() {
                let new = &source.files()[listed[index]..];
                files.extend(new.iter().map(|entry| (index as u16, entry.clone())));
                listed[index] = source.files().len();
            }
            let binding = Binding {
                epoch,
                generation,
                wall_time: now(),
                sources: sources
                    .iter()
                    .zip(&ends)
                    .map(|(s, at_end)| SourceEnd { upper: s.position(), at_end: *at_end })
                    .collect(),
                files,
                job: self.plan.hash.clone(),
            };
            log.append(&binding)?;
            for batch in batches {
                workers.batch(epoch, batch, binding.wall_time)?;
            }
            workers.close(epoch, &ended(&binding.sources))?;
            self.show(sources);
            if let Some(error) = failed {
                return Err(error);
            }
            if ends.iter().all(|end| *end) {
                return Ok(());
            }
        }
    }
}

fn ended(sources: &[SourceEnd]) -> Vec<u16> {
    (0u16..).zip(sources).filter(|(_, end)| end.at_end).map(|(source, _)| source).collect()
}

/// Reads the records of one epoch, a batch from each source in turn. Those before an error count:
/// they are good, and what is bound is not lost.
fn gather(
    sources: &mut [FileSource],
    ends: &mut [bool],
    size: usize,
) -> (Vec<RawBatch>, Option<RunError>) {
    let (mut batches, mut left) = (Vec::new(), size);
    let share = (size / sources.len().max(1)).clamp(1, BATCH_RECORDS);
    let mut open = true;
    while left > 0 && open {
        open = false;
        for (source, end) in sources.iter_mut().zip(ends.iter_mut()) {
            if left == 0 {
                break;
            }
            match source.next(share.min(left)) {
                Ok(Some(batch)) => {
                    open = true;
                    *end = false;
                    left -= batch.len();
                    batches.push(batch);
                }
                Ok(None) => *end = true,
                Err(error) => return (batches, Some(error.into())),
            }
        }
    }
    (batches, None)
}

/// The wall clock, in microseconds since 1970.
fn now() -> Micros {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_micros() as Micros)
}
