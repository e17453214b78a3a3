//! How long it takes to compute the past of a changed job, by computing the beginning of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use operators::model::Epoch;

use super::RebuildError;
use crate::runtime::{Around, Extent, Past, Plan, Progress, RunOptions, peek_logged, rerun};

/// How long a trial goes on reading.
const TRIAL: Duration = Duration::from_secs(3);

/// What a trial has computed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Trial {
    /// Epochs, from the first.
    pub epochs: Epoch,
    /// Records of them.
    pub records: u64,
    /// How long it took, with its tables written.
    pub took: Duration,
}

impl Trial {
    /// How long it takes to compute so many events, or epochs where their number is not known.
    pub fn estimate(&self, events: Option<u64>, epochs: u64) -> Duration {
        let share = match events {
            Some(events) => events as f64 / self.records.max(1) as f64,
            None => epochs as f64 / self.epochs.max(1) as f64,
        };
        self.took.mul_f64(share.max(1.0))
    }
}

/// Sets `stop` when it has gone on for long enough.
struct Until<'a> {
    begun: Instant,
    stop: &'a AtomicBool,
}

impl Progress for Until<'_> {
    fn begin(&self, _extent: Extent) {}

    fn update(&self, _done: u64, _records: u64) {
        if self.begun.elapsed() >= TRIAL {
            self.stop.store(true, Ordering::Release);
        }
    }

    fn end(&self) {}
}

/// Computes the beginning of a job's past for some seconds, into a folder that is removed.
///
/// # Errors
///
/// What a run would fail with, such as sources that no longer hold it.
pub fn trial(plan: &Plan, options: RunOptions) -> Result<Trial, RebuildError> {
    let disk = |source| RebuildError::Disk { path: std::env::temp_dir(), source };
    let folder = tempfile::tempdir().map_err(disk)?;
    let bindings = peek_logged(plan)?;
    let mut plan = plan.clone();
    folder.path().clone_into(&mut plan.out);
    plan.topics.clear();
    (plan.snapshots, plan.archive, plan.trace) = (None, None, None);
    let past =
        Past { bindings, after: 0, records_per_s_max: None, archive: None, coalesces: false };
    let (begun, stop, board) = (Instant::now(), AtomicBool::new(false), Arc::default());
    let progress = Until { begun, stop: &stop };
    let around = Around { progress: &progress, stop: &stop, board: &board, cluster: None };
    let summary = rerun(&plan, options, around, past)?;
    Ok(Trial { epochs: summary.epochs, records: summary.read, took: begun.elapsed() })
}
