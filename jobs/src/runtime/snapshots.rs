//! The thread that takes snapshots, and where a run begins.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use operators::graph::Mark;
use operators::model::{Epoch, Event};
use operators::time::Watermark;
use replay::snapshot::{Begin, Counts, SnapshotError, Writer};

use super::feeding::now;
use super::plan::Plan;
use super::summary::Summary;
use super::{RunError, shown};
use crate::serve::Board;

/// Kept epochs that wait for the thread at most. When it stands still, no more epochs count as
/// closed, and in time the sources stop.
const INBOX_MAX: usize = 256;
/// How often the outputs' progress is looked at, which makes snapshots usable.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The folder of replays in a job's `out`.
pub const REPLAYS: &str = "replays";
/// The folder of snapshots in a job's `out`, and in that of a replay.
const FOLDER: &str = "snapshots";

/// Where a job's snapshots are.
pub fn place(plan: &Plan) -> PathBuf {
    plan.out.join(FOLDER)
}

/// The watermark that a run begins with.
pub(super) fn watermark(plan: &Plan, begin: Option<&Begin>) -> Watermark {
    let new = || Watermark::new(plan.time.disorder, plan.sources.len() as u16);
    begin.map_or_else(new, |begin| begin.manifest.watermark.clone())
}

/// The newest snapshot that bindings and every output have passed. Why others are passed over is
/// said to `note`.
pub(super) fn find(
    plan: &Plan,
    bound: Epoch,
    outputs: &BTreeMap<String, Option<Epoch>>,
    note: impl Fn(&str),
) -> Result<Option<Begin>, SnapshotError> {
    let passed = outputs.values().map(|epoch| epoch.unwrap_or(0)).min().unwrap_or(bound);
    let upto = passed.min(bound);
    if upto == 0 {
        return Ok(None);
    }
    let own = plan.snapshots.map(|_| place(plan));
    let mut newest: Option<Begin> = None;
    for root in own.into_iter().chain(of_replays(plan)) {
        let found = replay::snapshot::find(&root, &plan.hash, upto)?;
        for words in found.passed_over {
            note(&format!("passes over a snapshot: {words}"));
        }
        let at = |begin: &Option<Begin>| begin.as_ref().map(|begin| begin.manifest.epoch);
        if at(&found.begin) > at(&newest) {
            newest = found.begin;
        }
    }
    Ok(newest)
}

/// Where the snapshots of replays are: of the same job, from the first epoch on, they are as good
/// as its own.
fn of_replays(plan: &Plan) -> Vec<PathBuf> {
    let replays = fs::read_dir(plan.out.join(REPLAYS)).into_iter().flatten().flatten();
    let mut places: Vec<PathBuf> = replays.map(|entry| entry.path().join(FOLDER)).collect();
    places.retain(|place| place.is_dir());
    places.sort();
    places
}

/// What was counted so far, as snapshots have it.
pub(super) fn counts(summary: &Summary) -> Counts {
    Counts {
        read: summary.read,
        admitted: summary.admitted,
        erased: summary.erased,
        merges: summary.merges,
        splits: summary.splits,
        dead_letters: summary.dead_letters.clone(),
    }
}

/// A summary that goes on from what a snapshot has counted.
pub(super) fn resumed(counts: &Counts) -> Summary {
    Summary {
        read: counts.read,
        admitted: counts.admitted,
        erased: counts.erased,
        merges: counts.merges,
        splits: counts.splits,
        dead_letters: counts.dead_letters.clone(),
        ..Summary::default()
    }
}

/// What snapshots keep of a closed epoch.
#[derive(Default)]
pub(super) struct Kept {
    pub epoch: Epoch,
    pub records: Vec<Vec<Arc<Event>>>,
    /// What made the watermark: more than one list if several epochs were made one.
    pub marks: Vec<Vec<Mark>>,
    /// What was counted up to it.
    pub counts: Counts,
}

/// A thread that takes snapshots.
pub(super) struct SnapshotWriter {
    inbox: Sender<Kept>,
    thread: JoinHandle<Result<(), SnapshotError>>,
}

impl SnapshotWriter {
    /// Begins the folder of a run.
    pub(super) fn start(
        plan: &Plan,
        every: Duration,
        generation: u64,
        mut begin: Option<&mut Begin>,
        board: Arc<Board>,
    ) -> Result<Self, SnapshotError> {
        let writer = Writer::open(&place(plan), &plan.hash, generation, begin.as_deref_mut())?;
        let (inbox, closed) = bounded(INBOX_MAX);
        let taking = Taking {
            writer,
            board,
            watermark: watermark(plan, begin.as_deref()),
            last: None,
            every,
            due: Instant::now() + every,
        };
        let thread = thread::spawn(move || taking.run(&closed));
        Ok(Self { inbox, thread })
    }

    /// Hands over a closed epoch. Says false when the thread has failed;
    /// [`SnapshotWriter::finish`] says why.
    pub(super) fn take(&self, closed: Kept) -> bool {
        self.inbox.send(closed).is_ok()
    }

    /// Takes the last snapshot, when everything is written.
    pub(super) fn finish(self) -> Result<(), RunError> {
        drop(self.inbox);
        let stopped = |_| RunError::Worker("the thread that takes snapshots".to_owned());
        Ok(self.thread.join().map_err(stopped)??)
    }
}

struct Taking {
    writer: Writer,
    board: Arc<Board>,
    watermark: Watermark,
    /// The last epoch that was handed over, with what was counted up to it, if no snapshot has it.
    last: Option<(Epoch, Counts)>,
    every: Duration,
    due: Instant,
}

impl Taking {
    fn run(mut self, inbox: &Receiver<Kept>) -> Result<(), SnapshotError> {
        let mut look = Instant::now();
        loop {
            match inbox.recv_timeout(LOOK_EVERY) {
                Ok(closed) => self.add(closed)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    self.take()?;
                    return self.writer.passed(self.board.published());
                }
            }
            if Instant::now() >= self.due {
                self.take()?;
            }
            if look.elapsed() >= LOOK_EVERY {
                self.writer.passed(self.board.published())?;
                shown::usable(&self.board, self.writer.usable());
                look = Instant::now();
            }
        }
    }

    fn add(&mut self, closed: Kept) -> Result<(), SnapshotError> {
        for marks in closed.marks {
            for mark in marks {
                self.watermark.observe(mark.lane, mark.largest, mark.quiet);
            }
            self.watermark.advance();
        }
        let events = closed.records.into_iter().flatten();
        self.writer.add(events)?;
        self.last = Some((closed.epoch, closed.counts));
        Ok(())
    }

    fn take(&mut self) -> Result<(), SnapshotError> {
        if let Some((epoch, counts)) = self.last.take() {
            let begun = Instant::now();
            let manifest = self.writer.take(epoch, now(), &self.watermark, &counts)?;
            shown::snapshot(&self.board, &manifest, Some(begun.elapsed()));
        }
        self.due = Instant::now() + self.every;
        Ok(())
    }
}
