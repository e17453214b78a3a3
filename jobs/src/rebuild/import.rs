//! Archives what a job admitted before it had an archive.

use std::path::Path;

use connectors::table::import_app;
use operators::views::catalog::BUILT_IN;

use super::{Computed, Reading, RebuildError, Replay, Scope, Variant, compute};
use crate::runtime::{Around, Plan, RunError, RunOptions, open_archive};

/// The replay that an import is.
const IMPORT: &str = "archive-import";

/// Reads the job's sources from the beginning and archives what comes before its archive. `None` if
/// that is there already. The live job may go on meanwhile.
///
/// # Errors
///
/// Also that the job has no archive yet, and that records are gone.
pub fn import(
    (job, live): (&Path, &Plan),
    options: RunOptions,
    around: Around<'_>,
) -> Result<Option<Computed>, RebuildError> {
    let Some(plan) = &live.archive else {
        let message = "the job has no archive; add a [[sink]] with connector = \"archive\"";
        return Err(RebuildError::Usage(message.to_owned()));
    };
    let archived = open_archive((&live.out, &live.name), live).map_err(RunError::from)?;
    let begin = archived.reach().first - 1;
    if begin == 0 {
        return Ok(None);
    }
    let mut replay = if let Some(replay) = Replay::open(job, live, IMPORT)? {
        replay
    } else {
        let mut variant = Variant::new(&live.text).map_err(RebuildError::Usage)?;
        variant.leave_out(|_| false, &BUILT_IN);
        let scope = Scope { to: Some(begin), ..Scope::default() };
        Replay::create((job, &variant.text()), live, (IMPORT, Some(&live.hash)), scope)?
    };
    // What events are to be kept with is what the live job asks for.
    replay.plan.sources.clone_from(&live.sources);
    replay.plan.hash.clone_from(&live.hash);
    replay.plan.archive = Some(super::ArchivePlan { app: import_app(&live.name), ..plan.clone() });
    let scope = replay.scope.clone();
    let computed = compute(live, (&replay, &scope), options, Reading::default(), around)?;
    if computed.is_whole() {
        replay.drop()?;
    }
    Ok(Some(computed))
}
