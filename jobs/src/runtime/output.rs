//! Threads that write closed epochs, one for each output, so that none waits for another.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use operators::model::{Change, Epoch, Micros, Row};

use super::RunError;

/// How often a full inbox is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// A closed epoch.
pub(super) struct Closed {
    pub epoch: Epoch,
    /// After the epoch.
    pub watermark: Micros,
    pub changes: Vec<Vec<Change>>,
    /// Memory of the changes in bytes, about.
    pub bytes: usize,
}

impl Closed {
    pub(super) fn new(epoch: Epoch, watermark: Micros, changes: Vec<Vec<Change>>) -> Self {
        let more = size_of::<Change>() - size_of::<Row>();
        let bytes = changes.iter().flatten().map(|change| change.row.bytes() + more).sum();
        Self { epoch, watermark, changes, bytes }
    }

    fn count(&self) -> usize {
        self.changes.iter().map(Vec::len).sum()
    }
}

/// What may wait for a thread. When it stands still, no more epochs count as closed, and in time
/// the sources stop.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    /// Closed epochs at most.
    pub epochs: usize,
    /// Changes at most, and an epoch.
    pub changes: usize,
    /// Bytes of them at most, and an epoch: payloads of dead letters are long.
    pub bytes: usize,
}

/// Closed epochs that wait for their thread.
pub(super) struct Inbox {
    closed: Receiver<Closed>,
    waiting: Arc<Waiting>,
}

/// What waits in an inbox.
#[derive(Default)]
struct Waiting {
    changes: AtomicUsize,
    bytes: AtomicUsize,
}

impl Waiting {
    fn is_much(&self, limits: Limits) -> bool {
        self.changes.load(Ordering::Acquire) > limits.changes
            || self.bytes.load(Ordering::Acquire) > limits.bytes
    }

    fn add(&self, closed: &Closed) {
        self.changes.fetch_add(closed.count(), Ordering::AcqRel);
        self.bytes.fetch_add(closed.bytes, Ordering::AcqRel);
    }

    fn remove(&self, closed: &Closed) {
        self.changes.fetch_sub(closed.count(), Ordering::AcqRel);
        self.bytes.fetch_sub(closed.bytes, Ordering::AcqRel);
    }
}

impl Inbox {
    /// Bytes that wait in it, about.
    pub(super) fn bytes(&self) -> usize {
        self.waiting.bytes.load(Ordering::Acquire)
    }

    /// Whether nothing waits in it.
    pub(super) fn is_empty(&self) -> bool {
        self.closed.is_empty()
    }

    /// The next one.
    pub(super) fn next(&self) -> Result<Closed, RecvTimeoutError> {
        Ok(self.took(self.closed.recv()?))
    }

    /// The next one, if it comes in time.
    pub(super) fn next_within(&self, time: Duration) -> Result<Closed, RecvTimeoutError> {
        Ok(self.took(self.closed.recv_timeout(time)?))
    }

    fn took(&self, closed: Closed) -> Closed {
        self.waiting.remove(&closed);
        closed
    }
}

/// A thread that writes an output, and gives `R` in the end.
pub(super) struct Output<R> {
    name: &'static str,
    inbox: Sender<Closed>,
    limits: Limits,
    holds: Option<Epoch>,
    waiting: Arc<Waiting>,
    thread: JoinHandle<R>,
}

impl<R: Send + 'static> Output<R> {
    /// Starts the thread of an output that holds all up to an epoch.
    pub(super) fn start(
        name: &'static str,
        holds: Option<Epoch>,
        limits: Limits,
        write: impl FnOnce(&Inbox) -> R + Send + 'static,
    ) -> Self {
        let (inbox, closed) = bounded(limits.epochs);
        let waiting: Arc<Waiting> = Arc::default();
        let theirs = Inbox { closed, waiting: Arc::clone(&waiting) };
        let thread = thread::spawn(move || write(&theirs));
        Self { name, inbox, limits, holds, waiting, thread }
    }

    /// The last epoch that it held when it started.
    pub(super) fn holds(&self) -> Option<Epoch> {
        self.holds
    }

    /// Hands over a closed epoch. Says false when the thread has failed; [`Output::finish`] says
    /// why.
    pub(super) fn take(&self, closed: Closed) -> bool {
        while self.waiting.is_much(self.limits) && !self.thread.is_finished() {
            thread::sleep(LOOK_EVERY);
        }
        self.waiting.add(&closed);
        self.inbox.send(closed).is_ok()
    }

    /// Whether the thread has failed; [`Output::finish`] says why.
    pub(super) fn has_failed(&self) -> bool {
        self.thread.is_finished()
    }

    /// Lets it write what is left.
    pub(super) fn finish(self) -> Result<R, RunError> {
        drop(self.inbox);
        let stopped = |_| RunError::Worker(format!("the thread that writes {}", self.name));
        self.thread.join().map_err(stopped)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use crossbeam_channel::bounded;
    use operators::model::{Cause, Cell};

    use super::*;

    /// An epoch of one change with a payload.
    fn closed(epoch: Epoch, payload: usize) -> Closed {
        let cells = [Cell::str("t"), Cell::Bytes(vec![0; payload].into())];
        let row = Row { view: 0, cells: cells.into(), final_at: 0 };
        Closed::new(epoch, 0, vec![vec![Change { row, diff: 1, cause: Cause::New }]])
    }

    #[test]
    fn payloads_count() {
        let small = closed(1, 0).bytes;
        assert_eq!(closed(1, 5000).bytes, small + 5000);
    }

    /// Few changes that are long wait for the thread as many short ones do.
    #[test]
    fn what_waits_is_bounded_by_bytes() {
        let limits = Limits { epochs: 100, changes: 100, bytes: 20_000 };
        let (go, gone) = bounded::<()>(0);
        let output = Output::start("test", None, limits, move |inbox| {
            let _ = gone.recv();
            while inbox.next().is_ok() {}
        });
        for epoch in 1..=3 {
            assert!(output.take(closed(epoch, 9_000)));
        }
        let taken = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                assert!(output.take(closed(4, 1)));
                taken.store(true, Ordering::Release);
            });
            thread::sleep(LOOK_EVERY * 50);
            assert!(!taken.load(Ordering::Acquire), "more than the limit waits");
            drop(go);
        });
        assert!(taken.load(Ordering::Acquire));
        assert!(output.finish().is_ok());
    }
}
