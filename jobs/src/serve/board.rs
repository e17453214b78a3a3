//! The figures of a running job: written by the threads that know them, read by whoever asks.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use connectors::kafka::{OpenTransaction, PartitionStatus, Sent};
use crossbeam_channel::{RecvTimeoutError, bounded};
use operators::model::{Epoch, Micros};

/// Times of something that happens again and again.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Histogram {
    /// How many took at most each of [`Histogram::BOUNDS_S`], and how many took longer.
    pub counts: [u64; Histogram::BOUNDS_S.len() + 1],
    /// All of them together, in seconds.
    pub sum_s: f64,
}

impl Histogram {
    /// Bounds in seconds.
    pub const BOUNDS_S: [f64; 12] =
        [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 60.0];

    /// One more.
    pub fn add(&mut self, time: Duration) {
        let time_s = time.as_secs_f64();
        let place = Self::BOUNDS_S.iter().position(|bound| time_s <= *bound);
        self.counts[place.unwrap_or(Self::BOUNDS_S.len())] += 1;
        self.sum_s += time_s;
    }
}

/// A partition of a source.
#[derive(Clone, PartialEq, Debug)]
pub struct PartitionFigures {
    /// How far it is read.
    pub status: PartitionStatus,
    /// The offset from which on a restart reads it.
    pub needed: u64,
}

impl PartitionFigures {
    /// Records that are there and not read, as far as known.
    pub fn lag_records(&self) -> Option<u64> {
        let PartitionStatus { idle, end, next, .. } = self.status;
        if idle { Some(0) } else { Some(end?.saturating_sub(next)) }
    }

    /// Records that are still there before the first one that a restart needs; less than none if
    /// some of those are gone. `None` while it is not known.
    pub fn margin_records(&self) -> Option<i64> {
        Some(self.needed as i64 - self.status.low? as i64)
    }
}

/// How far a source that reads files is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FileFigures {
    /// Files that are read.
    pub read: u64,
    /// Records read of the one after them.
    pub records: u64,
    /// Whether it is at its end.
    pub at_end: bool,
}

/// A source.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct SourceFigures {
    /// Its name.
    pub name: String,
    /// Its partitions, if it reads topics.
    pub partitions: Vec<PartitionFigures>,
    /// How far it is, if it reads files.
    pub files: Option<FileFigures>,
    /// Bytes that have been read ahead and wait to be bound.
    pub bytes_ahead: u64,
    /// What does not work at present and is tried again.
    pub trouble: Option<String>,
    /// Whether that was said.
    pub told: bool,
}

impl SourceFigures {
    /// Records that are there and not read; `None` while that is not known of some partition.
    pub fn lag_records(&self) -> Option<u64> {
        self.partitions.iter().map(PartitionFigures::lag_records).sum()
    }
}

/// A sink.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct SinkFigures {
    /// Everything up to this epoch is committed.
    pub epoch: Epoch,
    /// What topics were sent, all in all.
    pub sent: Sent,
    /// How long commits took.
    pub commits: Histogram,
    /// Bytes of changes that wait for a commit, about.
    pub waiting_bytes: u64,
    /// Transactions that are open in its topics.
    pub open: Vec<OpenTransaction>,
    /// Why it is not known how far it is.
    pub trouble: Option<String>,
}

/// The newest snapshot.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct SnapshotFigures {
    /// Everything up to this epoch is in it.
    pub epoch: Epoch,
    /// The epoch of the newest one that every output has passed: a restart begins there.
    pub usable: Epoch,
    /// When it was taken, in microseconds since 1970.
    pub taken: Micros,
    /// Events in it.
    pub events: u64,
    /// Bytes of it.
    pub bytes: u64,
    /// How long the snapshots of this run took.
    pub times: Histogram,
}

/// What became of the traces of epochs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TraceFigures {
    /// Taken by the collector.
    pub sent: u64,
    /// Not: too many waited, or it did not take them.
    pub dropped: u64,
}

/// What stands for the tables among the outputs: their changelogs, from which they follow.
pub const CHANGELOGS: &str = "changelogs";
/// What stands for the current rows of tables.
pub const TABLES: &str = "tables";
/// What stands for the archive.
pub const ARCHIVE: &str = "archive";
/// Outputs that are no topics. These go by their prefix, so none of them may be one of these words.
pub const NOT_TOPICS: [&str; 3] = [CHANGELOGS, TABLES, ARCHIVE];

/// Everything that is shown.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Figures {
    /// Name of the job.
    pub job: String,
    /// Which run of it.
    pub generation: u64,
    /// The last epoch that earlier runs have bound, which are computed again; `None` before that is
    /// known, and where nothing is counted.
    pub earlier: Option<Epoch>,
    /// Whether the epochs of earlier runs have been read again.
    pub replayed: bool,
    /// The last epoch that is bound.
    pub bound: Epoch,
    /// Epochs below this one are closed.
    pub closed: Epoch,
    /// Bytes of records between binding and the end of the graph.
    pub bytes_in_flight: u64,
    /// How often, and how long in all, sources had to wait because too much was in flight.
    pub held_s: f64,
    /// The watermark, in microseconds since 1970; `None` before there is one.
    pub watermark: Option<Micros>,
    /// Records read, and those admitted.
    pub records: u64,
    /// Records admitted.
    pub events: u64,
    /// Records that can't be used, by reason.
    pub letters: BTreeMap<String, u64>,
    /// Copies, by cause.
    pub duplicates: BTreeMap<String, i64>,
    /// Times that two people became one.
    pub merges: u64,
    /// Times that one became two.
    pub splits: u64,
    /// The sources, in their order.
    pub sources: Vec<SourceFigures>,
    /// Processes that are connected, this one included; 0 if there is no cluster.
    pub processes: usize,
    /// How long each other process has said nothing, in seconds.
    pub silent_s: BTreeMap<usize, f64>,
    /// The sinks: those of [`NOT_TOPICS`] that there are, and topics by prefix.
    pub sinks: BTreeMap<String, SinkFigures>,
    /// The newest snapshot, if the job takes any.
    pub snapshot: Option<SnapshotFigures>,
    /// Bytes that the workers hold, about, by operator.
    pub state_bytes: BTreeMap<&'static str, u64>,
    /// What became of the traces of epochs.
    pub traces: TraceFigures,
    /// When the first record was bound that a restart needs of topics, in microseconds since 1970.
    pub needed_since: Option<Micros>,
    /// Snapshots that could not be taken for the time being.
    pub snapshot_failures: u64,
}

impl Figures {
    /// A run begins, after epochs that earlier ones have bound.
    pub fn begin(&mut self, job: &str, generation: u64, earlier: Option<Epoch>) {
        *self = Self { job: job.to_owned(), generation, earlier, ..Self::default() };
    }

    /// Whether what is counted from the first epoch on, such as records, has everything that
    /// earlier runs had: what is less would look as if counting began anew.
    pub fn counted(&self) -> bool {
        self.earlier.is_some_and(|earlier| earlier == 0 || self.closed > earlier)
    }

    /// Whether what comes in goes out at once: earlier epochs have been read again, and no source
    /// is further behind than this many records.
    pub fn caught_up(&self, records_max: u64) -> bool {
        let near = |s: &SourceFigures| s.lag_records().is_some_and(|lag| lag <= records_max);
        self.replayed && self.sources.iter().all(near)
    }
}

/// Where figures are written and read.
#[derive(Debug)]
pub struct Board {
    figures: Mutex<Figures>,
    alive: Mutex<Instant>,
    said: Mutex<Vec<String>>,
}

/// A run whose feeding has not come by for so long stands still.
const STANDS_STILL: Duration = Duration::from_mins(2);
/// How often something that takes its time comes by.
const BEAT_EVERY: Duration = Duration::from_secs(1);
/// Further behind than an epoch of usual size is not caught up.
const BEHIND_RECORDS: u64 = 65_536;

impl Default for Board {
    fn default() -> Self {
        let (figures, said) = (Mutex::default(), Mutex::default());
        Self { figures, alive: Mutex::new(Instant::now()), said }
    }
}

impl Board {
    /// The figures, to be written. What a thread that panicked has left is still shown.
    pub fn figures(&self) -> MutexGuard<'_, Figures> {
        self.figures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The run goes on.
    pub fn beat(&self) {
        *self.alive.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Does what takes as long as it takes, such as the last commit of a run, and beats meanwhile.
    pub fn beating<R>(&self, act: impl FnOnce() -> R) -> R {
        let (done, over) = bounded::<()>(0);
        let beat = move || {
            while over.recv_timeout(BEAT_EVERY) == Err(RecvTimeoutError::Timeout) {
                self.beat();
            }
        };
        self.beat();
        thread::scope(|scope| {
            // Without a thread it is as if nobody beat.
            let beats = thread::Builder::new().name("beat".to_owned()).spawn_scoped(scope, beat);
            let result = act();
            drop(done);
            drop(beats);
            result
        })
    }

    /// Says something that a person should know. Whoever says it again and again says it once.
    pub fn say(&self, words: &str) {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).push(words.to_owned());
    }

    /// What was said since the last time.
    pub fn said(&self) -> Vec<String> {
        std::mem::take(&mut self.said.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The epoch up to which every output holds everything, if only in a changelog: current tables
    /// get there without an epoch coming again.
    pub fn published(&self) -> Epoch {
        let figures = self.figures();
        let sinks = figures.sinks.iter().filter(|(name, _)| *name != TABLES);
        sinks.map(|(_, sink)| sink.epoch).min().unwrap_or(figures.closed.saturating_sub(1))
    }

    /// Whether the run goes on.
    pub fn is_healthy(&self) -> bool {
        self.alive.lock().unwrap_or_else(PoisonError::into_inner).elapsed() < STANDS_STILL
    }

    /// Whether it is healthy and has caught up.
    pub fn is_ready(&self) -> bool {
        self.is_healthy() && self.figures().caught_up(BEHIND_RECORDS)
    }
}

#[cfg(test)]
impl Board {
    /// Nobody has come by for as long as makes a run stand still.
    pub(crate) fn stand_still(&self) {
        let then = Instant::now().checked_sub(STANDS_STILL).expect("it runs for longer");
        *self.alive.lock().expect("nobody panics while holding it") = then;
        assert!(!self.is_healthy());
    }
}

#[cfg(test)]
pub(super) mod tests {
    use connectors::kafka::PartitionId;

    use super::*;

    /// What waits by design is well.
    #[test]
    fn what_takes_its_time_beats() {
        let board = Board::default();
        board.stand_still();
        board.beating(|| {
            assert!(board.is_healthy());
            board.stand_still();
            let begun = Instant::now();
            while !board.is_healthy() && begun.elapsed() < 20 * BEAT_EVERY {
                thread::sleep(Duration::from_millis(10));
            }
            assert!(board.is_healthy());
        });
    }

    /// Counters begin where earlier runs have left them.
    #[test]
    fn what_is_computed_again_is_not_counted() {
        let mut figures = Figures::default();
        assert!(!figures.counted(), "nothing is known yet");
        for (earlier, closed, counted) in [
            (Some(0), 0, true),
            (Some(7), 0, false),
            (Some(7), 7, false),
            (Some(7), 8, true),
            // Another process of the cluster counts.
            (None, 8, false),
        ] {
            figures.begin("shop", 2, earlier);
            figures.closed = closed;
            assert_eq!(figures.counted(), counted, "{earlier:?}, {closed}");
        }
    }

    pub(crate) fn partition(next: u64, end: Option<u64>, idle: bool) -> PartitionFigures {
        let status = PartitionStatus {
            id: PartitionId::new(0, 2),
            topic: "in".to_owned(),
            partition: 2,
            next,
            end,
            reachable: end.is_some(),
            idle,
            bytes_queued: 700,
            first: 0,
            low: Some(3),
            open: None,
        };
        PartitionFigures { status, needed: 7 }
    }

    #[test]
    fn a_margin_is_what_may_still_go() {
        let mut partition = partition(9, Some(10), false);
        assert_eq!((partition.margin_records(), partition.lag_records()), (Some(4), Some(1)));
        partition.status.low = Some(8);
        assert_eq!(partition.margin_records(), Some(-1), "a record that is needed is gone");
        (partition.status.low, partition.status.end) = (None, None);
        assert_eq!((partition.margin_records(), partition.lag_records()), (None, None));
    }

    #[test]
    fn ready_means_caught_up() {
        let mut figures = Figures::default();
        assert!(!figures.caught_up(10), "nothing was read again");
        figures.replayed = true;
        assert!(figures.caught_up(10), "files are read as they are");
        for (next, end, idle, ready) in [
            (5, Some(100), false, false),
            (90, Some(100), false, true),
            (5, None, false, false),
            // Behind the last record stand only markers.
            (5, Some(100), true, true),
        ] {
            let partitions = vec![partition(next, end, idle)];
            figures.sources = vec![SourceFigures { partitions, ..SourceFigures::default() }];
            assert_eq!(figures.caught_up(10), ready, "{next} of {end:?}");
        }
    }

    #[test]
    fn times_are_counted_once() {
        let mut histogram = Histogram::default();
        for ms in [1, 5, 6, 70_000] {
            histogram.add(Duration::from_millis(ms));
        }
        assert_eq!((histogram.counts[0], histogram.counts[1], histogram.counts[12]), (2, 1, 1));
        assert!((histogram.sum_s - 70.012).abs() < 1e-9);
    }
}
