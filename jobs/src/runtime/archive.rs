//! The archive: the thread that writes it, and who reads it.

use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use connectors::kafka::Sent;
use connectors::table::{Archive, ArchiveError, ArchiveSink};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use operators::model::{Epoch, Event, Micros};

use super::{Plan, RunError, shown};
use crate::serve::{ARCHIVE, Board};

/// Closed epochs that wait for the thread at most. When it stands still, no more epochs count as
/// closed, and in time the sources stop.
const INBOX_MAX: usize = 256;
/// Events that wait for a commit at most, and an epoch.
const COMMIT_EVENTS: usize = 500_000;

/// The archive of a job of this name whose results are in `out`, read as a job, perhaps a changed
/// one, asks for its events.
///
/// # Errors
///
/// There is none, or it can't be read.
pub fn open_archive((out, name): (&Path, &str), job: &Plan) -> Result<Archive, ArchiveError> {
    let decode = job.sources.first().map(|source| &source.decode);
    let (matcher, erased) = decode.map_or_else(Default::default, |decode| {
        (Arc::clone(&decode.matcher), Arc::clone(&decode.erased))
    });
    Archive::open(out, name, job.names(), matcher, erased)
}

/// A closed epoch with the events that were admitted in it.
pub(super) struct Admitted {
    pub epoch: Epoch,
    /// After the epoch.
    pub watermark: Micros,
    pub events: Vec<Vec<Arc<Event>>>,
}

/// A thread that writes the archive.
pub(super) struct ArchiveWriter {
    inbox: Sender<Admitted>,
    thread: JoinHandle<Result<(), ArchiveError>>,
}

impl ArchiveWriter {
    /// Starts it. A new archive begins after the epoch `done`.
    pub(super) fn start(
        mut sink: ArchiveSink,
        done: Epoch,
        every: Duration,
        board: Arc<Board>,
    ) -> Result<Self, ArchiveError> {
        if sink.committed().is_none() {
            // At once, so that what comes next waits for it: a crash must not let it begin later.
            sink.begin(done);
            commit(&mut sink, &board)?;
        }
        let (inbox, closed) = bounded(INBOX_MAX);
        let thread = thread::spawn(move || write(sink, every, &closed, &board));
        Ok(Self { inbox, thread })
    }

    /// Hands over a closed epoch. Says false when the thread has failed; [`ArchiveWriter::finish`]
    /// says why.
    pub(super) fn take(&self, closed: Admitted) -> bool {
        self.inbox.send(closed).is_ok()
    }

    /// Whether the thread has failed.
    pub(super) fn has_failed(&self) -> bool {
        self.thread.is_finished()
    }

    /// Lets it write what is left.
    pub(super) fn finish(self) -> Result<(), RunError> {
        drop(self.inbox);
        let stopped = |_| RunError::Worker("the thread that writes the archive".to_owned());
        Ok(self.thread.join().map_err(stopped)??)
    }
}

fn write(
    mut sink: ArchiveSink,
    every: Duration,
    inbox: &Receiver<Admitted>,
    board: &Board,
) -> Result<(), ArchiveError> {
    let mut due = Instant::now() + every;
    loop {
        match inbox.recv_timeout(due.saturating_duration_since(Instant::now())) {
            Ok(Admitted { epoch, watermark, events }) => {
                sink.add(epoch, events.into_iter().flatten());
                sink.close(epoch, watermark);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return commit(&mut sink, board),
        }
        if Instant::now() >= due || sink.pending() >= COMMIT_EVENTS {
            commit(&mut sink, board)?;
            due = Instant::now() + every;
        }
    }
}

fn commit(sink: &mut ArchiveSink, board: &Board) -> Result<(), ArchiveError> {
    let begun = Instant::now();
    let mut written = sink.commit()?;
    match sink.merge() {
        Ok(more) => written.add(more),
        // What comes in is archived all the same.
        Err(error) if error.is_gone() => board.say(&error.to_string()),
        Err(error) => return Err(error),
    }
    if let Some(upto) = sink.committed() {
        let sent = Sent { bytes: written.bytes, ..Sent::default() };
        shown::committed(board, ARCHIVE, upto, &sent, begun.elapsed());
    }
    Ok(())
}
