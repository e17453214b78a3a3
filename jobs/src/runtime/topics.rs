//! The threads that write topics: one for each sink, at its own pace.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use connectors::kafka::{KafkaError, KafkaSink, OpenTransaction};
use crossbeam_channel::RecvTimeoutError;

use super::output::{Closed, Inbox, Limits, Output};
use super::shown;
use crate::say;
use crate::serve::Board;
use crate::trace::{Tracer, clock};

/// Transactions begin this far apart at least: a commit costs some 10 ms of a broker's time, and
/// what waits for it is as late as it is long.
const COMMIT_EVERY: Duration = Duration::from_millis(50);
/// A pause between two of them is as long as the first one took, but not longer than this: brokers
/// that stood still for minutes are back now.
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// A transaction of this size is committed at once.
const COMMIT_BYTES: usize = 16 << 20;
/// How often it is looked what is open in the topics.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// What may wait for the thread.
const LIMITS: Limits = Limits { epochs: 16, changes: 200_000, bytes: 128 << 20 };

/// A thread that writes topics.
pub(super) type TopicWriter = Output<Result<(), KafkaError>>;

/// Starts it.
pub(super) fn start(sink: KafkaSink, shown: (Arc<Board>, Tracer)) -> TopicWriter {
    let holds = sink.committed();
    Output::start("topics", holds, LIMITS, move |inbox| write(sink, inbox, &shown))
}

fn write(
    mut sink: KafkaSink,
    inbox: &Inbox,
    (board, tracer): &(Arc<Board>, Tracer),
) -> Result<(), KafkaError> {
    let mut due: Option<Instant> = None;
    let mut next = Instant::now();
    let mut looked = Looked::default();
    loop {
        let wait = due.map_or(LOOK_EVERY, |due| due.saturating_duration_since(Instant::now()));
        match inbox.next_within(wait) {
            Ok(Closed { epoch, watermark, changes, .. }) => {
                changes.into_iter().flatten().for_each(|change| sink.add(epoch, change));
                sink.close(epoch, watermark)?;
                if sink.pending() > 0 {
                    due.get_or_insert(next.max(Instant::now()));
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                return commit(&mut sink, board, tracer);
            }
        }
        let now = Instant::now();
        // What has come by then goes along, but not for long.
        let is_due = |due| due <= now && (inbox.is_empty() || due + COMMIT_EVERY <= now);
        if due.is_some_and(is_due) || sink.pending_bytes() >= COMMIT_BYTES {
            commit(&mut sink, board, tracer)?;
            // A broker that is slow gets larger transactions, and fewer.
            let took = now.elapsed();
            (due, next) = (None, now + apart(took));
        }
        shown::waiting(board, sink.prefix(), inbox.bytes() + sink.pending_bytes());
        looked.look(&sink, board);
    }
}

/// How long after the beginning of a transaction that took so long the next one begins.
fn apart(took: Duration) -> Duration {
    COMMIT_EVERY.max(took + took.min(PAUSE_MAX))
}

/// What was seen of transactions in the sink's topics.
#[derive(Default)]
struct Looked {
    last: Option<Instant>,
    /// Those that hang, of which has been told: topic, partition and offset.
    told: BTreeSet<(String, i32, u64)>,
}

impl Looked {
    /// Shows the transactions that are open, and tells of those that hang.
    fn look(&mut self, sink: &KafkaSink, board: &Board) {
        if self.last.is_some_and(|last| last.elapsed() < LOOK_EVERY) {
            return;
        }
        self.last = Some(Instant::now());
        let open = sink.open_transactions();
        for one in open.iter().filter(|one| one.open >= sink.hangs()) {
            if self.told.insert((one.topic.clone(), one.partition, one.offset)) {
                say::fail(format_args!("sink {:?}: {}", sink.prefix(), hanging(one)));
            }
        }
        shown::open_transactions(board, sink.prefix(), open);
    }
}

/// What is told of a transaction that hangs.
pub(super) fn hanging(one: &OpenTransaction) -> String {
    let OpenTransaction { topic, partition, offset, open } = one;
    format!(
        "a transaction is open in topic {topic:?}, partition {partition}, from offset {offset} on, \
         for {} s: nobody can read what follows; see BraidTransactionHangs in the runbook",
        open.as_secs()
    )
}

/// Commits what is closed, and shows it.
fn commit(sink: &mut KafkaSink, board: &Board, tracer: &Tracer) -> Result<(), KafkaError> {
    let (begun, clocked) = (Instant::now(), clock());
    let sent = sink.commit()?;
    let upto = sink.committed().unwrap_or(0);
    shown::committed(board, sink.prefix(), upto, &sent, begun.elapsed());
    tracer.committed(sink.prefix(), upto, (clocked, clock()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_brokers_get_fewer_transactions() {
        let apart = |millis| apart(Duration::from_millis(millis)).as_millis();
        assert_eq!((apart(1), apart(25), apart(40), apart(600)), (50, 50, 80, 1200));
    }

    /// A sink whose brokers had stood still for 45 seconds waited as long again before it went on.
    #[test]
    fn brokers_that_stood_still_are_not_spared_as_slow_ones() {
        let took = Duration::from_secs(45);
        assert_eq!(apart(took), took + PAUSE_MAX);
    }
}
