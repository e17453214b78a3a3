//! The thread that writes tables, at its own pace: while it commits, the next epochs wait for it.
//!
//! Changelogs are appended to when a million changes or 128 MB wait, or after a minute. Current
//! tables cost what stands in them, so they are rewritten by the clock, but for no more than a
//! fifth of the time, and when they lack as many changes as they have rows: then all rewriting
//! together costs a fixed multiple of all changes. So they are at most a minute old and the time of
//! a commit; where rewriting takes longer than 15 s, five times as long as it takes.

use std::sync::Arc;
use std::time::Instant;

use connectors::kafka::Sent;
use connectors::table::{TableError, TableSink, Written};
use crossbeam_channel::RecvTimeoutError;
use operators::model::Epoch;

use super::output::{Closed, Inbox, Limits, Output};
use super::shown;
use super::threads::go_behind;
use crate::serve::{Board, CHANGELOGS, TABLES};
use crate::trace::{Tracer, clock};

/// After a rewriting of the current tables, this many times what it took passes until the next.
const REWRITE_PAUSE: u32 = 4;
/// Changes that wait for a commit at most, and an epoch.
const COMMIT_CHANGES: usize = 1_000_000;
/// Bytes of them: about so many changes, but for dead letters, which have their payload.
const COMMIT_BYTES: usize = 128 << 20;
/// Bytes of changes that are kept in memory for current rows when changelogs have them.
const KEPT_BYTES: usize = 512 << 20;
/// Changes that current tables may lack, however few rows they have: to rewrite small tables again
/// and again while much comes in would be for nothing.
const LACKING_CHANGES: u64 = 4_000_000;
/// What may wait for the thread: what comes in while a commit is being written. Epochs come 20
/// times a second where records are few.
const LIMITS: Limits = Limits { epochs: 4096, changes: 500_000, bytes: 256 << 20 };

/// A thread that writes tables; it gives what it has written in all.
pub(super) type TableWriter = Output<Result<Written, TableError>>;

/// Starts it; `behind` others, where somebody waits for what those do.
pub(super) fn start(sink: TableSink, shown: (Arc<Board>, Tracer), behind: bool) -> TableWriter {
    let holds = sink.committed();
    Output::start("tables", holds, LIMITS, move |inbox| {
        if behind {
            go_behind();
        }
        Writing::new(sink, shown).write(inbox)
    })
}

/// Tables that are being written.
struct Writing {
    sink: TableSink,
    board: Arc<Board>,
    tracer: Tracer,
    /// The last closed epoch, and whether no commit has it.
    closed: Epoch,
    news: bool,
    /// When the next commit is due, and the next rewriting of current tables.
    due: Instant,
    rows_due: Instant,
    written: Written,
    /// Bytes of changes that wait for changelogs, and of those that are kept for current rows.
    pending_bytes: usize,
    kept_bytes: usize,
}

impl Writing {
    fn new(sink: TableSink, (board, tracer): (Arc<Board>, Tracer)) -> Self {
        let due = Instant::now() + sink.every();
        let written = Written::default();
        let (pending_bytes, kept_bytes) = (0, 0);
        Self {
            sink,
            board,
            tracer,
            closed: 0,
            news: false,
            due,
            rows_due: due,
            written,
            pending_bytes,
            kept_bytes,
        }
    }

    fn write(mut self, inbox: &Inbox) -> Result<Written, TableError> {
        loop {
            match self.next(inbox) {
                Ok(closed) => self.take(closed),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    self.commit(true, TableSink::finish)?;
                    return Ok(self.written);
                }
            }
            self.commit_due(Instant::now())?;
            shown::waiting(&self.board, CHANGELOGS, inbox.bytes() + self.pending_bytes);
            shown::waiting(&self.board, TABLES, self.kept_bytes);
        }
    }

    /// Takes in a closed epoch.
    fn take(&mut self, closed: Closed) {
        let Closed { epoch, watermark, changes, bytes } = closed;
        for change in changes.into_iter().flatten() {
            self.sink.add(epoch, watermark, change);
        }
        self.sink.close(epoch, watermark);
        // What a table has is passed over, and does not wait.
        self.pending_bytes = if self.sink.pending() == 0 { 0 } else { self.pending_bytes + bytes };
        (self.closed, self.news) = (epoch, true);
    }

    /// Commits what is due, or too much.
    fn commit_due(&mut self, now: Instant) -> Result<(), TableError> {
        let lacking = (self.sink.pending() + self.sink.lacking()) as u64;
        let much = lacking > LACKING_CHANGES && lacking > self.sink.rows();
        let rows_due = now >= self.rows_due && (self.news || lacking > 0);
        let full = self.sink.pending() > COMMIT_CHANGES || self.pending_bytes > COMMIT_BYTES;
        if rows_due || much {
            self.commit(true, TableSink::commit)
        } else if now >= self.due && self.news || full {
            self.commit(false, TableSink::commit_changelogs)
        } else {
            Ok(())
        }
    }

    /// The next closed epoch, if it comes before something is due.
    fn next(&self, inbox: &Inbox) -> Result<Closed, RecvTimeoutError> {
        let due = match (self.news, self.sink.lacking() > 0) {
            (true, _) => self.due.min(self.rows_due),
            (false, true) => self.rows_due,
            (false, false) => return inbox.next(),
        };
        inbox.next_within(due.saturating_duration_since(Instant::now()))
    }

    /// Commits, changelogs only or current tables too, and shows it.
    fn commit(
        &mut self,
        rows: bool,
        commit: impl FnOnce(&mut TableSink) -> Result<Written, TableError>,
    ) -> Result<(), TableError> {
        let (begun, clocked) = (Instant::now(), clock());
        self.written.add(commit(&mut self.sink)?);
        let (now, took) = (Instant::now(), begun.elapsed());
        self.news = false;
        self.kept_bytes += std::mem::take(&mut self.pending_bytes);
        if self.kept_bytes > KEPT_BYTES {
            self.sink.forget();
        }
        if self.sink.kept() == 0 {
            self.kept_bytes = 0;
        }
        self.due = now + self.sink.every();
        if rows {
            self.rows_due = now + self.sink.every().max(took * REWRITE_PAUSE);
        }
        if self.closed > 0 {
            for sink in [CHANGELOGS, TABLES].into_iter().take(if rows { 2 } else { 1 }) {
                shown::committed(&self.board, sink, self.closed, &Sent::default(), took);
                self.tracer.committed(sink, self.closed, (clocked, clock()));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use connectors::table::{Granularity, TableOptions};
    use operators::model::{Cause, Cell, Change, Row};
    use operators::views::catalog::Catalog;

    use super::*;

    /// A dead letter, as if it took so many bytes.
    fn letter(epoch: Epoch, bytes: usize) -> Closed {
        let cells = [
            Cell::str("t"),
            Cell::str("web"),
            Cell::Int(0),
            Cell::Int(epoch as i64),
            Cell::str("malformed"),
            Cell::str("no JSON"),
            Cell::Bytes([7].into()),
        ];
        let row = Row { view: 0, cells: cells.into(), final_at: 0 };
        let change = Change { row, diff: 1, cause: Cause::New };
        Closed { bytes, ..Closed::new(epoch, 0, vec![vec![change]]) }
    }

    /// A few changes that are long are committed, and given up, as many short ones are.
    #[test]
    fn bytes_are_as_good_as_changes() {
        let without = ["events", "identifiers", "people", "id_changes", "duplicates"];
        let without = without.map(str::to_owned);
        let catalog = Catalog::new(Vec::new(), &without, "UTC").unwrap();
        let options = TableOptions {
            job: "job".into(),
            job_hash: "h".into(),
            partition: Granularity::Day,
            arrow: false,
            every: Duration::from_hours(1),
        };
        let folder = tempfile::tempdir().unwrap();
        let open = || TableSink::open(folder.path(), &catalog.schemas, options.clone()).unwrap();
        let mut writing = Writing::new(open(), (Arc::default(), Tracer::default()));
        let mut take = |epoch, bytes| {
            writing.take(letter(epoch, bytes));
            writing.commit_due(Instant::now()).unwrap();
            (writing.sink.committed(), writing.sink.kept(), writing.kept_bytes)
        };
        assert_eq!(take(1, COMMIT_BYTES), (None, 0, 0));
        assert_eq!(take(2, 1), (Some(2), 2, COMMIT_BYTES + 1));
        assert_eq!(take(3, KEPT_BYTES), (Some(3), 0, 0));
        assert_eq!(take(4, 1), (Some(3), 0, 0));
        writing.commit(true, TableSink::finish).unwrap();
        assert_eq!((writing.sink.committed(), writing.sink.rows()), (Some(4), 4));
        // What comes again does not wait.
        let mut writing = Writing::new(open(), (Arc::default(), Tracer::default()));
        writing.take(letter(4, COMMIT_BYTES + 1));
        assert_eq!((writing.pending_bytes, writing.sink.pending()), (0, 0));
    }
}
