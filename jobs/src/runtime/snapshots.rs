//! The threads that take snapshots, and where a run begins.
//!
//! One thread writes down what was admitted, one brings it to the place where snapshots are. If
//! that place, an object store, can't be reached, the run goes on: what is written down waits for
//! the next snapshot, and nothing depends on there being one but how long a start takes, and what
//! sources must still have by then.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use connectors::bindings::Logged;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};
use operators::graph::Mark;
use operators::model::{Epoch, Event};
use operators::time::Watermark;
use replay::history;
use replay::snapshot::{
    Begin, Counts, Part, Place, PlaceSpec, Shelf, SnapshotError, Taken, Writer, find, oldest,
};

use super::bound::Bound;
use super::feeding::now;
use super::plan::Plan;
use super::progress::Extent;
use super::summary::Summary;
use super::supervisor::Around;
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

/// The watermark that a run begins with, which reads nothing up to the epoch `done`.
pub(super) fn watermark(
    plan: &Plan,
    begin: Option<&Begin>,
    (bound, done): (&Bound, Epoch),
) -> Watermark {
    let new = || history::watermark(plan.time.disorder, &bound.bindings, done);
    begin.map_or_else(new, |begin| begin.manifest.watermark.clone())
}

/// Where snapshots are that are in an `out`.
pub fn within(out: &Path) -> PlaceSpec {
    PlaceSpec::Folder(out.join(FOLDER))
}

/// Where a job's snapshots are, if it takes any.
pub fn place(plan: &Plan) -> Result<Option<Place>, SnapshotError> {
    plan.snapshots.as_ref().map(|snapshots| Place::open(&snapshots.place)).transpose()
}

/// What stands for the bindings that no run needs which begins with a snapshot.
pub(super) fn beginning(
    plan: &Plan,
    place: Option<&Place>,
) -> Result<Option<Logged>, SnapshotError> {
    place.map_or(Ok(None), |place| oldest(place, &plan.hash))
}

/// Shows how many bytes of how many of a snapshot have been looked at.
fn looking(around: Option<Around<'_>>) -> impl FnMut(u64, u64) {
    let mut all = 0;
    move |bytes, of| {
        let Some(Around { progress, board, .. }) = around else { return };
        // A large one takes long, and that is no standing still.
        board.beat();
        if all != of {
            progress.begin(Extent::Bytes(of));
            all = of;
        }
        progress.update(bytes, 0);
    }
}

/// The newest snapshot that bindings and every output have passed. Why others are passed over is
/// told to those `around`.
pub(super) fn newest(
    plan: &Plan,
    place: Option<&Place>,
    (bound, outputs): (&Bound, &BTreeMap<String, Option<Epoch>>),
    around: Option<Around<'_>>,
) -> Result<Option<Begin>, SnapshotError> {
    let passed = outputs.values().map(|epoch| epoch.unwrap_or(0)).min();
    let upto = passed.unwrap_or(Epoch::MAX).min(bound.epoch());
    if upto == 0 {
        return Ok(None);
    }
    let mut newest: Option<Begin> = None;
    for place in place.into_iter().chain(&of_replays(plan)?) {
        let found = find(place, &plan.hash, upto, |sum| bound.begins(sum), looking(around))?;
        for words in found.passed_over {
            if let Some(around) = around {
                around.progress.note(&format!("passes over a snapshot: {words}"));
            }
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
fn of_replays(plan: &Plan) -> Result<Vec<Place>, SnapshotError> {
    let replays = fs::read_dir(plan.out.join(REPLAYS)).into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = replays.map(|entry| entry.path().join(FOLDER)).collect();
    folders.retain(|folder| folder.is_dir());
    folders.sort();
    folders.into_iter().map(|folder| Place::open(&PlaceSpec::Folder(folder))).collect()
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

/// The threads that take snapshots.
pub(super) struct SnapshotWriter {
    inbox: Sender<Kept>,
    bindings: Sender<Logged>,
    threads: [JoinHandle<Result<(), SnapshotError>>; 2],
}

impl SnapshotWriter {
    /// Begins the folder of a run, which goes on from a watermark, a snapshot, and what stands for
    /// the bindings up to it.
    pub(super) fn start(
        plan: &Plan,
        place: &Place,
        (generation, watermark): (u64, Watermark),
        (begin, beginning): (Option<&mut Begin>, Option<Logged>),
        board: Arc<Board>,
    ) -> Result<Self, SnapshotError> {
        let every = plan.snapshots.as_ref().map(|snapshots| snapshots.every).unwrap_or_default();
        let shelf = Shelf::open(place, &plan.hash, generation, begin)?;
        let writer = shelf.writer();
        let (inbox, closed) = bounded(INBOX_MAX);
        let (cuts, cut) = bounded(1);
        // As many as there are epochs between binding and close, which is bounded elsewhere.
        let (bindings, bound) = unbounded();
        let taking = Taking { shelf, board, owed: None, every };
        let writing = Writing {
            writer,
            cuts,
            watermark,
            bound,
            beginning,
            next: None,
            last: None,
            every,
            due: Instant::now() + every,
        };
        let threads =
            [thread::spawn(move || writing.run(&closed)), thread::spawn(move || taking.run(&cut))];
        Ok(Self { inbox, bindings, threads })
    }

    /// Where each binding goes before its epoch closes.
    pub(super) fn bindings(&self) -> Sender<Logged> {
        self.bindings.clone()
    }

    /// Hands over a closed epoch. Says false when a thread has failed;
    /// [`SnapshotWriter::finish`] says why.
    pub(super) fn take(&self, closed: Kept) -> bool {
        self.inbox.send(closed).is_ok()
    }

    /// Whether one of its threads has failed.
    pub(super) fn has_failed(&self) -> bool {
        self.threads.iter().any(JoinHandle::is_finished)
    }

    /// Takes the last snapshot, when everything is written.
    pub(super) fn finish(self) -> Result<(), RunError> {
        drop(self.inbox);
        let stopped = |_| RunError::Worker("a thread that takes snapshots".to_owned());
        for thread in self.threads {
            thread.join().map_err(stopped)??;
        }
        Ok(())
    }
}

/// What a snapshot is to be taken of.
struct Cut {
    parts: Vec<Part>,
    taken: Taken,
    begun: Instant,
}

/// The thread that writes down what was admitted.
struct Writing {
    writer: Writer,
    cuts: Sender<Cut>,
    watermark: Watermark,
    bound: Receiver<Logged>,
    /// What stands for the bindings up to the last epoch that was handed over.
    beginning: Option<Logged>,
    /// A binding of a later one.
    next: Option<Logged>,
    /// The last epoch that was handed over, with what was counted up to it, if no cut has it.
    last: Option<(Epoch, Counts)>,
    every: Duration,
    due: Instant,
}

impl Writing {
    fn run(mut self, inbox: &Receiver<Kept>) -> Result<(), SnapshotError> {
        loop {
            let wait = self.due.saturating_duration_since(Instant::now());
            match inbox.recv_timeout(wait.max(LOOK_EVERY)) {
                Ok(closed) => self.add(closed)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.cut().map(drop),
            }
            // While one is being taken, the next grows.
            if Instant::now() >= self.due && self.cuts.is_empty() && !self.cut()? {
                return Ok(()); // the other thread says why
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
        while let Some(logged) = self.next.take().or_else(|| self.bound.try_recv().ok()) {
            if logged.binding.epoch > closed.epoch {
                self.next = Some(logged);
                break;
            }
            match &mut self.beginning {
                Some(beginning) => beginning.extend(logged),
                None => self.beginning = Some(logged),
            }
        }
        self.last = Some((closed.epoch, closed.counts));
        Ok(())
    }

    /// Hands over what came since the last time. Says false if nobody takes it.
    fn cut(&mut self) -> Result<bool, SnapshotError> {
        self.due = Instant::now() + self.every;
        let (Some((epoch, counts)), Some(beginning)) = (self.last.take(), self.beginning.clone())
        else {
            return Ok(true);
        };
        let begun = Instant::now();
        let parts = self.writer.cut()?;
        let (at, watermark) = (now(), self.watermark.clone());
        let taken = Taken { epoch, at, watermark, counts, beginning };
        Ok(self.cuts.send(Cut { parts, taken, begun }).is_ok())
    }
}

/// The thread that takes snapshots.
struct Taking {
    shelf: Shelf,
    board: Arc<Board>,
    /// The last snapshot that could not be taken, and when it is tried again.
    owed: Option<(Taken, Instant)>,
    every: Duration,
}

impl Taking {
    fn run(mut self, cuts: &Receiver<Cut>) -> Result<(), SnapshotError> {
        loop {
            match cuts.recv_timeout(LOOK_EVERY) {
                Ok(Cut { parts, taken, begun }) => self.take(parts, taken, begun)?,
                Err(RecvTimeoutError::Timeout) => self.retry(|due| due <= Instant::now())?,
                Err(RecvTimeoutError::Disconnected) => {
                    self.retry(|_| true)?;
                    if let Some((taken, _)) = &self.owed {
                        let epoch = taken.epoch;
                        self.board.say(&format!("ends without a snapshot at epoch {epoch}"));
                    }
                    return self.tidy();
                }
            }
            self.tidy()?;
        }
    }

    /// Tries again what could not be taken, if it is time.
    fn retry(&mut self, is_time: impl Fn(Instant) -> bool) -> Result<(), SnapshotError> {
        match self.owed.clone() {
            Some((taken, due)) if is_time(due) => self.take(Vec::new(), taken, Instant::now()),
            _ => Ok(()),
        }
    }

    fn take(
        &mut self,
        parts: Vec<Part>,
        taken: Taken,
        begun: Instant,
    ) -> Result<(), SnapshotError> {
        match self.shelf.take(parts, taken.clone()) {
            Ok(manifest) => {
                if self.owed.take().is_some() {
                    self.board.say("snapshots are taken again");
                }
                shown::snapshot(&self.board, &manifest, Some(begun.elapsed()));
                Ok(())
            }
            Err(error) if error.is_passing() => {
                if self.owed.is_none() {
                    self.board.say(&format!("{error}; the run goes on, and tries it again"));
                }
                self.board.figures().snapshot_failures += 1;
                self.owed = Some((taken, Instant::now() + self.every));
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Removes what is no longer needed, if it can be reached.
    fn tidy(&mut self) -> Result<(), SnapshotError> {
        match self.shelf.passed(self.board.published()) {
            Err(error) if !error.is_passing() => return Err(error),
            // What can't be removed is removed later.
            _ => shown::usable(&self.board, self.shelf.usable()),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::runtime::progress::Silent;

    /// A large snapshot is looked through before anything else is done.
    #[test]
    fn looking_through_snapshots_is_no_standing_still() {
        let (stop, board) = (AtomicBool::new(false), Arc::new(Board::default()));
        let around = Around { progress: &Silent, stop: &stop, board: &board, cluster: None };
        let mut looked = looking(Some(around));
        for bytes in [10, 20] {
            board.stand_still();
            looked(bytes, 20);
            assert!(board.is_healthy(), "{bytes}");
        }
    }
}
