//! Computes a replay, as far as its scope and the live job's bindings go.

use connectors::bindings::{Logged, first_after};
use connectors::kafka::KafkaError;
use connectors::table::epochs;
use operators::model::Epoch;
use replay::history::ReadError;

use super::{RebuildError, Replay, Scope};
use crate::runtime::{
    Around, Past, Plan, RunError, RunOptions, Summary, open_archive, peek, peek_logged, rerun,
};

/// What a replay has come to.
#[derive(Clone, Debug)]
pub struct Computed {
    /// The last epoch that it was to compute.
    pub upto: Epoch,
    /// What was counted.
    pub summary: Summary,
}

impl Computed {
    /// Whether it has computed all that it was to; it has not when it was stopped.
    pub fn is_whole(&self) -> bool {
        self.summary.epochs >= self.upto
    }
}

/// How the past is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Reading {
    /// Records in a second at most.
    pub records_per_s_max: Option<u64>,
    /// From the live job's archive instead of the sources.
    pub archive: bool,
    /// With small epochs made one.
    pub coalesces: bool,
}

/// Computes a replay as far as a scope goes, from where it was before.
///
/// # Errors
///
/// Also that the live job has not bound what its scope asks for, that it was computed with another
/// erased list, and that another process works on it.
pub fn compute(
    live: &Plan,
    (replay, scope): (&Replay, &Scope),
    options: RunOptions,
    reading: Reading,
    around: Around<'_>,
) -> Result<Computed, RebuildError> {
    replay.is_as_it_was()?;
    let _lock = replay.lock()?;
    let mut reach = scope.clone();
    // What it has computed before may be more: it can't go back.
    let holds = epochs(&replay.plan.out)?.last().map(|last| last.0);
    reach.to = reach.to.map(|to| holds.map_or(to, |holds| holds.max(to)));
    let bindings = bound(live, &reach)?;
    let upto = bindings.last().map_or(0, |last| last.binding.epoch);
    let archive = if reading.archive {
        around.progress.note(
            "reads the archive, which has no records that could not be used: there will be no dead \
             letters",
        );
        let archive = open_archive((&live.out, &live.name), &replay.plan);
        Some(archive.map_err(RunError::from)?)
    } else {
        None
    };
    let Reading { records_per_s_max, coalesces, .. } = reading;
    let past = Past { bindings, after: scope.after(), records_per_s_max, archive, coalesces };
    let summary = rerun(&replay.plan, options, around, past);
    let summary = summary.map_err(|error| gone(live, error))?;
    Ok(Computed { upto, summary })
}

/// Where records are gone: from which epoch on none of them is needed.
fn gone(live: &Plan, error: RunError) -> RebuildError {
    let first = |error: &RunError| match error {
        RunError::Source(ReadError::Topics(KafkaError::Gone {
            topic, partition, first, ..
        })) => first_after(&peek(live).ok()?, (topic, *partition), (*first)?),
        _ => None,
    };
    match first(&error) {
        Some(from) => RebuildError::Gone { error, from },
        None => error.into(),
    }
}

/// Whether the live job has bound what a scope asks for.
///
/// # Errors
///
/// It has not.
pub fn settled(live: &Plan, scope: &Scope) -> Result<(), RebuildError> {
    bound(live, scope).map(drop)
}

/// The epochs up to the end of a scope.
fn bound(live: &Plan, scope: &Scope) -> Result<Vec<Logged>, RebuildError> {
    let mut bindings = peek_logged(live)?;
    let last = bindings.last().map_or(0, |last| last.binding.epoch);
    let first = scope.after() + 1;
    let wrong = |message: String| Err(RebuildError::Usage(message));
    if last == 0 {
        return wrong(format!("{} has not run yet: there is nothing to replay", live.name));
    }
    if let Some(to) = scope.to.filter(|to| *to > last) {
        return wrong(format!("epoch {to} is not bound yet, the last one is {last}"));
    }
    let to = scope.to.unwrap_or(last);
    if first > to {
        return wrong(format!("there is no epoch from {first} to {to}"));
    }
    bindings.retain(|logged| logged.binding.epoch <= to);
    Ok(bindings)
}
