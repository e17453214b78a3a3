//! The workers, as whoever feeds them sees them: what is in flight, and when to wait.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use connectors::file::RawBatch;
use crossbeam_channel::Sender;
use operators::graph::Mark;
use operators::model::{Epoch, Micros};
use operators::time::Watermark;

use super::RunError;
use super::feeding::SHOW_EVERY;
use super::worker::{Told, Work};
use crate::cluster::Inbox;
use crate::serve::Board;

/// Bytes of records between binding and the end of the graph at most: a few epochs of usual
/// records, enough to keep the workers busy.
const IN_FLIGHT_BYTES_MAX: usize = 64 << 20;
/// Bytes in flight that a byte of a snapshot counts for, which is compressed.
const RESTORED_PER_BYTE: usize = 4;
/// Bytes of the records of epochs that are made one at most.
const RUN_BYTES_MAX: usize = IN_FLIGHT_BYTES_MAX / 4;

/// Hands records to processes in turn, in each of which any worker may take them, and keeps count
/// of what is in flight.
pub(super) struct Workers {
    inboxes: Vec<Inbox<Work>>,
    next: usize,
    /// Epochs that are ended: what is handed out belongs to the one after them.
    ended: u64,
    shared: Shared,
    in_flight: BTreeMap<Epoch, usize>,
    /// Who is told of runs, if epochs are made one; bytes of the run that is open.
    runs: Option<Sender<Told>>,
    run_bytes: usize,
    /// How long feeding has waited for the workers.
    held: Duration,
}

/// What is known of the workers elsewhere too.
pub(super) struct Shared {
    /// Epochs below it are closed on all workers, and handed on.
    pub closed: Arc<AtomicU64>,
    /// The last epoch all of whose records are handed out: no later one may be published.
    pub complete: Arc<AtomicU64>,
    /// Whether a worker has panicked.
    pub stopped: Arc<AtomicBool>,
    /// Where it is told that waiting for them is no standing still.
    pub board: Arc<Board>,
}

impl Workers {
    /// The workers behind some inboxes. With `runs` epochs are made one, and it is told when.
    pub(super) fn new(
        inboxes: Vec<Inbox<Work>>,
        shared: Shared,
        runs: Option<Sender<Told>>,
    ) -> Self {
        let (in_flight, held) = (BTreeMap::new(), Duration::ZERO);
        Self { inboxes, next: 0, ended: 0, shared, in_flight, runs, run_bytes: 0, held }
    }

    /// Asks whether outputs or workers have failed, for who feeds them nothing.
    pub(super) fn health(&self) -> impl Fn() -> Result<(), RunError> + 'static {
        let closed = Arc::clone(&self.shared.closed);
        let stopped = Arc::clone(&self.shared.stopped);
        move || failed(closed.load(Ordering::Acquire), &stopped)
    }

    /// Bytes of records between binding and the end of the graph.
    pub(super) fn bytes_in_flight(&self) -> usize {
        self.in_flight.values().sum()
    }

    /// How long feeding has waited because too much was in flight.
    pub(super) fn held(&self) -> Duration {
        self.held
    }

    fn send(&mut self, worker: usize, work: Work) -> Result<(), RunError> {
        self.inboxes[worker].send(work).then_some(()).ok_or_else(gone)
    }

    /// Sends what any worker may do; whose turn it is says in which process.
    fn hand_out(&mut self, work: Work) -> Result<(), RunError> {
        self.next = (self.next + 1) % self.inboxes.len();
        self.inboxes[self.next].pile(self.ended, work).then_some(()).ok_or_else(gone)
    }

    /// Gives a worker records of the epoch that is open.
    pub(super) fn batch(
        &mut self,
        epoch: Epoch,
        batch: RawBatch,
        received: Micros,
    ) -> Result<(), RunError> {
        *self.in_flight.entry(epoch).or_default() += batch.bytes;
        self.run_bytes += batch.bytes;
        self.hand_out(Work::Batch(batch, received))
    }

    /// Gives a worker the watermark to go on from.
    pub(super) fn begin(&mut self, watermark: &Watermark) -> Result<(), RunError> {
        (0..self.inboxes.len())
            .try_for_each(|worker| self.send(worker, Work::Begin(Box::new(watermark.clone()))))
    }

    /// Gives a worker a block of a snapshot, in the epoch that is open.
    pub(super) fn restore(&mut self, epoch: Epoch, block: Vec<u8>) -> Result<(), RunError> {
        *self.in_flight.entry(epoch).or_default() += block.len() * RESTORED_PER_BYTE;
        self.hand_out(Work::Restore(block))
    }

    /// Gives a worker a block of archived events of the epoch that is open.
    pub(super) fn kept(&mut self, epoch: Epoch, block: Vec<u8>) -> Result<(), RunError> {
        *self.in_flight.entry(epoch).or_default() += block.len() * RESTORED_PER_BYTE;
        self.run_bytes += block.len() * RESTORED_PER_BYTE;
        self.hand_out(Work::Kept(block))
    }

    /// Whether the run that is open is as large as it may be.
    pub(super) fn is_run_full(&self) -> bool {
        self.run_bytes >= RUN_BYTES_MAX
    }

    /// Ends an epoch that goes on as one with the next ones.
    pub(super) fn close_within(&mut self, epoch: Epoch, marks: &[Mark]) -> Result<(), RunError> {
        self.tell_closed(epoch, marks, false)
    }

    fn tell_closed(&mut self, epoch: Epoch, marks: &[Mark], ends: bool) -> Result<(), RunError> {
        for worker in 0..self.inboxes.len() {
            // One worker's word on what is quiet is enough.
            let marks = if worker == 0 { marks.to_vec() } else { Vec::new() };
            self.send(worker, Work::Close(epoch, marks, ends))?;
        }
        self.ended += 1;
        Ok(())
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
        self.shared.complete.store(epoch, Ordering::Release);
        self.run_bytes = 0;
        if let Some(runs) = &self.runs {
            // The sink hangs up only when the run has failed; then nothing matters any more.
            let _ = runs.send(Told::Run(epoch));
        }
        self.tell_closed(epoch, marks, true)?;
        loop {
            let closed = self.shared.closed.load(Ordering::Acquire);
            failed(closed, &self.shared.stopped)?;
            self.in_flight = self.in_flight.split_off(&closed);
            if self.bytes_in_flight() <= IN_FLIGHT_BYTES_MAX {
                return Ok(());
            }
            if shown.elapsed() >= SHOW_EVERY {
                self.shared.board.beat();
                held();
                shown = Instant::now();
            }
            self.held += Duration::from_millis(1);
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Whether outputs or workers have failed.
fn failed(closed: Epoch, stopped: &AtomicBool) -> Result<(), RunError> {
    if closed == Epoch::MAX {
        return Err(RunError::Worker("what comes out can't be written".to_owned()));
    }
    if stopped.load(Ordering::Acquire) {
        return Err(RunError::Worker("it has given up".to_owned()));
    }
    Ok(())
}

fn gone() -> RunError {
    RunError::Worker("it no longer takes records".to_owned())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use connectors::file::{RawRecords, Rows};

    use super::*;
    use crate::cluster::seats;

    /// While a long commit holds everything up, the run goes on.
    #[test]
    fn waiting_for_the_workers_is_no_standing_still() {
        let board: Arc<Board> = Arc::default();
        let closed = Arc::new(AtomicU64::new(0));
        let shared = Shared {
            closed: Arc::clone(&closed),
            complete: Arc::default(),
            stopped: Arc::default(),
            board: Arc::clone(&board),
        };
        let (seated, _seat) = seats(1).remove(0);
        let mut workers = Workers::new(vec![Inbox::Here(seated)], shared, None);
        let batch = RawBatch {
            source: 0,
            partition: 0,
            first: 0,
            offsets: None,
            records: RawRecords::Json(Arc::new(Rows::default())),
            bytes: IN_FLIGHT_BYTES_MAX + 1,
        };
        workers.batch(1, batch, 0).unwrap();
        board.stand_still();
        let healthy = thread::scope(|scope| {
            let commit = scope.spawn(|| {
                let begun = Instant::now();
                while !board.is_healthy() && begun.elapsed() < 20 * SHOW_EVERY {
                    thread::sleep(Duration::from_millis(10));
                }
                closed.store(2, Ordering::Release);
                board.is_healthy()
            });
            workers.close(1, &[], || {}).unwrap();
            commit.join().unwrap()
        });
        assert!(healthy);
        assert!(workers.held() > Duration::ZERO);
    }
}
