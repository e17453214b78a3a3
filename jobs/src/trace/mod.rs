//! The path of some epochs through a job, as traces for a collector of OpenTelemetry.
//!
//! A trace is one epoch, from the reading of its records to the last output that has committed it:
//!
//! ```text
//! epoch ─┬─ read      records are taken from the sources
//!        ├─ bind      the binding waits for those before it, is written and synced
//!        ├─ compute ─┬─ decode   to the last record that a worker has decoded
//!        │           └─ admit    from then to the last word of a worker on what it admitted
//!        └─ publish NAME ─── commit   for each output: from the end of compute; the commit itself
//! ```
//!
//! The job is never held up: traces that are not finished, and those that wait for the collector,
//! are bounded; those that do not fit are dropped, which the figures show.

mod export;
mod otlp;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use operators::model::Epoch;
use url::Url;

use self::export::Exporter;
use crate::serve::Board;

/// Epochs that are followed at the same time at most: current tables take a minute and more.
const FOLLOWED_MAX: usize = 256;

/// Where traces go, and of which epochs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TracePlan {
    /// Where the collector takes traces.
    pub url: Url,
    /// An epoch that begins so long after the last one that was followed is followed too.
    pub every: Duration,
    /// Headers of each request: who we are.
    pub headers: Vec<(String, String)>,
}

/// A moment of the clock, in nanoseconds since 1970.
pub(crate) type Nanos = u64;

/// The clock.
pub(crate) fn clock() -> Nanos {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_nanos() as Nanos)
}

/// Something that took time.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Span {
    name: String,
    /// Place in the list of the span that it is a part of.
    parent: Option<usize>,
    begun: Nanos,
    ended: Nanos,
    numbers: Vec<(&'static str, u64)>,
}

/// The path of an epoch.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Trace {
    epoch: Epoch,
    /// The first is the whole.
    spans: Vec<Span>,
}

/// An epoch that is being followed.
#[derive(Debug)]
struct Followed {
    trace: Trace,
    /// When its records were handed to the workers, and when they said that they were decoded and
    /// admitted.
    handed: Nanos,
    decoded: Nanos,
    admitted: Nanos,
    closed: Option<Nanos>,
    /// Outputs that have not committed it.
    outputs: BTreeSet<String>,
}

impl Followed {
    fn span(&mut self, name: &str, parent: usize, (begun, ended): (Nanos, Nanos)) -> &mut Span {
        // The clock may be set back.
        let (name, ended) = (name.to_owned(), ended.max(begun));
        let whole = &mut self.trace.spans[0];
        whole.ended = whole.ended.max(ended);
        let span = Span { name, parent: Some(parent), begun, ended, numbers: Vec::new() };
        self.trace.spans.push(span);
        let last = self.trace.spans.len() - 1;
        &mut self.trace.spans[last]
    }
}

#[derive(Debug)]
struct Inner {
    every: Duration,
    outputs: BTreeSet<String>,
    last: Mutex<Option<Instant>>,
    followed: Mutex<BTreeMap<Epoch, Followed>>,
    /// How many are followed.
    count: AtomicUsize,
    exporter: Exporter,
}

/// Follows epochs, if the job wants it. Clones follow the same ones.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tracer(Option<Arc<Inner>>);

impl Tracer {
    /// Follows epochs of a run with these outputs, if there is a plan for it.
    ///
    /// # Errors
    /// The thread that sends traces can't be started.
    pub(crate) fn start(
        plan: Option<&TracePlan>,
        (job, generation): (&str, u64),
        outputs: impl IntoIterator<Item = String>,
        board: &Arc<Board>,
    ) -> Result<Self, String> {
        let Some(plan) = plan else { return Ok(Self(None)) };
        let exporter = Exporter::start(plan, job, generation, Arc::clone(board))?;
        Ok(Self(Some(Arc::new(Inner {
            every: plan.every,
            outputs: outputs.into_iter().collect(),
            last: Mutex::default(),
            followed: Mutex::default(),
            count: AtomicUsize::new(0),
            exporter,
        }))))
    }

    /// Whether an epoch that begins now is to be followed.
    pub(crate) fn wants(&self) -> bool {
        let Some(inner) = &self.0 else { return false };
        let mut last = inner.last.lock().unwrap_or_else(PoisonError::into_inner);
        let due = last.is_none_or(|last| last.elapsed() >= inner.every);
        if due {
            *last = Some(Instant::now());
        }
        due
    }

    /// Follows an epoch that is bound: its records were read in the first span of time, and its
    /// binding written in the second.
    pub(crate) fn bound(
        &self,
        epoch: Epoch,
        records: u64,
        read: (Nanos, Nanos),
        bind: (Nanos, Nanos),
    ) {
        let Some(inner) = &self.0 else { return };
        let mut all = inner.followed();
        if all.len() >= FOLLOWED_MAX {
            return inner.exporter.drop_one();
        }
        let whole = Span {
            name: "epoch".to_owned(),
            parent: None,
            begun: read.0,
            ended: read.0,
            numbers: vec![("braid.epoch", epoch), ("braid.records", records)],
        };
        let trace = Trace { epoch, spans: vec![whole] };
        let (handed, outputs) = (bind.1, inner.outputs.clone());
        let (decoded, admitted, closed) = (handed, handed, None);
        let mut followed = Followed { trace, handed, decoded, admitted, closed, outputs };
        followed.span("read", 0, read).numbers.push(("braid.records", records));
        followed.span("bind", 0, bind);
        all.insert(epoch, followed);
        inner.count.store(all.len(), Ordering::Release);
    }

    /// Calls `act` for an epoch, if it is followed.
    fn with(&self, epoch: Epoch, act: impl FnOnce(&mut Followed)) {
        let Some(inner) = &self.0 else { return };
        if inner.count.load(Ordering::Acquire) > 0
            && let Some(followed) = inner.followed().get_mut(&epoch)
        {
            act(followed);
        }
    }

    /// A worker has decoded some records of an epoch.
    pub(crate) fn decoded(&self, epoch: Epoch) {
        self.with(epoch, |followed| followed.decoded = followed.decoded.max(clock()));
    }

    /// A worker has said what it admitted of an epoch.
    pub(crate) fn admitted(&self, epoch: Epoch) {
        self.with(epoch, |followed| followed.admitted = followed.admitted.max(clock()));
    }

    /// An epoch is computed, and about to be handed to the outputs.
    pub(crate) fn closed(&self, epoch: Epoch) {
        self.with(epoch, |followed| {
            let now = clock();
            let (handed, decoded) = (followed.handed, followed.decoded);
            let compute = followed.trace.spans.len();
            followed.span("compute", 0, (handed, now));
            followed.span("decode", compute, (handed, decoded));
            if followed.admitted > handed {
                let admitted = followed.admitted;
                followed.span("admit", compute, (decoded.min(admitted), admitted));
            }
            followed.closed = Some(now);
        });
        self.finish_whole();
    }

    /// An output has committed everything up to an epoch, which took this span of time.
    pub(crate) fn committed(&self, output: &str, upto: Epoch, commit: (Nanos, Nanos)) {
        let Some(inner) = &self.0 else { return };
        if inner.count.load(Ordering::Acquire) == 0 {
            return;
        }
        for (_, followed) in inner.followed().range_mut(..=upto) {
            let Some(closed) = followed.closed else { continue };
            if followed.outputs.remove(output) {
                let publish = followed.trace.spans.len();
                followed.span(&format!("publish {output}"), 0, (closed.min(commit.0), commit.1));
                followed.span("commit", publish, commit).numbers.push(("braid.upto", upto));
            }
        }
        self.finish_whole();
    }

    /// Hands on the traces to which nothing more comes.
    fn finish_whole(&self) {
        let Some(inner) = &self.0 else { return };
        let mut all = inner.followed();
        let whole = |followed: &Followed| followed.closed.is_some() && followed.outputs.is_empty();
        let epochs: Vec<Epoch> =
            all.iter().filter(|(_, f)| whole(f)).map(|(epoch, _)| *epoch).collect();
        for followed in epochs.iter().filter_map(|epoch| all.remove(epoch)) {
            inner.exporter.send(followed.trace);
        }
        inner.count.store(all.len(), Ordering::Release);
    }
}

impl Inner {
    fn followed(&self) -> MutexGuard<'_, BTreeMap<Epoch, Followed>> {
        self.followed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
