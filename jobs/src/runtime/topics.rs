//! The threads that write topics: one for each sink, at its own pace.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use connectors::kafka::{KafkaError, KafkaSink};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use operators::model::{Change, Epoch, Micros};

use super::shown;
use crate::serve::Board;

/// A transaction holds the epochs of this long: a commit costs some 10 ms of a broker's time, and
/// what waits for it is as late as it is long.
const COMMIT_EVERY: Duration = Duration::from_millis(50);
/// A transaction of this size is committed at once.
const COMMIT_BYTES: usize = 16 << 20;
/// Closed epochs that wait for the thread at most, and changes in them. When it stands still, no
/// more epochs count as closed, and in time the sources stop.
const INBOX_MAX: usize = 16;
const CHANGES_MAX: usize = 200_000;
/// How often a full inbox is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// A closed epoch: its changes and the watermark after it.
type Closed = (Epoch, Micros, Vec<Change>);

/// A thread that writes topics.
pub(super) struct TopicWriter {
    inbox: Sender<Closed>,
    /// The last epoch that was committed when it started.
    holds: Option<Epoch>,
    /// Changes in the inbox.
    waiting: Arc<AtomicUsize>,
    thread: JoinHandle<Result<(), KafkaError>>,
}

impl TopicWriter {
    pub(super) fn start(sink: KafkaSink, board: Arc<Board>) -> Self {
        let (inbox, closed) = bounded(INBOX_MAX);
        let holds = sink.committed();
        let waiting: Arc<AtomicUsize> = Arc::default();
        let thread = thread::spawn({
            let waiting = Arc::clone(&waiting);
            move || write(sink, &closed, &waiting, &board)
        });
        Self { inbox, holds, waiting, thread }
    }

    /// The last epoch that was committed when it started.
    pub(super) fn holds(&self) -> Option<Epoch> {
        self.holds
    }

    /// Hands over a closed epoch. Says false when the thread has failed; [`TopicWriter::finish`]
    /// says why.
    pub(super) fn take(&self, epoch: Epoch, watermark: Micros, changes: &[Vec<Change>]) -> bool {
        while self.waiting.load(Ordering::Acquire) > CHANGES_MAX && !self.thread.is_finished() {
            thread::sleep(LOOK_EVERY);
        }
        let changes: Vec<Change> = changes.iter().flatten().cloned().collect();
        self.waiting.fetch_add(changes.len(), Ordering::AcqRel);
        self.inbox.send((epoch, watermark, changes)).is_ok()
    }

    /// Commits what is left.
    pub(super) fn finish(self) -> Result<(), KafkaError> {
        drop(self.inbox);
        self.thread.join().unwrap_or_else(|_| {
            let (what, detail) = ("topics".to_owned(), "internal: a writer stopped".to_owned());
            Err(KafkaError::Client { what, detail })
        })
    }
}

fn write(
    mut sink: KafkaSink,
    closed: &Receiver<Closed>,
    waiting: &AtomicUsize,
    board: &Board,
) -> Result<(), KafkaError> {
    let mut due: Option<Instant> = None;
    loop {
        let wait = due.map_or(COMMIT_EVERY, |due| due.saturating_duration_since(Instant::now()));
        match closed.recv_timeout(wait) {
            Ok((epoch, watermark, changes)) => {
                waiting.fetch_sub(changes.len(), Ordering::AcqRel);
                changes.into_iter().for_each(|change| sink.add(epoch, change));
                sink.close(epoch, watermark)?;
                if sink.pending() > 0 {
                    due.get_or_insert_with(|| Instant::now() + COMMIT_EVERY);
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                return commit(&mut sink, board);
            }
        }
        let now = Instant::now();
        if due.is_some_and(|due| due <= now) || sink.pending_bytes() >= COMMIT_BYTES {
            commit(&mut sink, board)?;
            due = None;
        }
    }
}

/// Commits what is closed, and shows it.
fn commit(sink: &mut KafkaSink, board: &Board) -> Result<(), KafkaError> {
    let begun = Instant::now();
    let sent = sink.commit()?;
    let upto = sink.committed().unwrap_or(0);
    shown::committed(board, sink.prefix(), upto, &sent, begun.elapsed());
    Ok(())
}
