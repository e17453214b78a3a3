//! The threads that write topics: one for each sink, at its own pace.

use std::sync::Arc;
use std::time::{Duration, Instant};

use connectors::kafka::{KafkaError, KafkaSink};
use crossbeam_channel::RecvTimeoutError;

use super::output::{Closed, Inbox, Limits, Output};
use super::shown;
use crate::serve::Board;

/// A transaction holds the epochs of this long: a commit costs some 10 ms of a broker's time, and
/// what waits for it is as late as it is long.
const COMMIT_EVERY: Duration = Duration::from_millis(50);
/// A transaction of this size is committed at once.
const COMMIT_BYTES: usize = 16 << 20;
/// What may wait for the thread.
const LIMITS: Limits = Limits { epochs: 16, changes: 200_000 };

/// A thread that writes topics.
pub(super) type TopicWriter = Output<Result<(), KafkaError>>;

/// Starts it.
pub(super) fn start(sink: KafkaSink, board: Arc<Board>) -> TopicWriter {
    let holds = sink.committed();
    Output::start("topics", holds, LIMITS, move |inbox| write(sink, inbox, &board))
}

fn write(mut sink: KafkaSink, inbox: &Inbox, board: &Board) -> Result<(), KafkaError> {
    let mut due: Option<Instant> = None;
    loop {
        let wait = due.map_or(COMMIT_EVERY, |due| due.saturating_duration_since(Instant::now()));
        match inbox.next_within(wait) {
            Ok(Closed { epoch, watermark, changes }) => {
                changes.into_iter().flatten().for_each(|change| sink.add(epoch, change));
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
