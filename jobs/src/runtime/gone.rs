//! Changelogs that are gone: somebody has removed their folders.
//!
//! They are what current tables, later versions of the job and who looks into the past go by. While
//! the job stays as it is, one that is gone is made up for: the table of epochs is given up, so that
//! all is computed from the first epoch on, and each other table passes over what it has. (That
//! stands through a crash. The new folder does not tell: a view to which nothing happens lags behind
//! without lacking anything.) When the job has changed at the same time nobody can tell what stands
//! published.

use connectors::bindings::Binding;
use connectors::table::{changelogs_gone, epochs, forget_epochs};

use super::RunError;
use super::plan::Plan;
use super::upgrade::{self, kept};

/// Makes up for changelogs that are gone; says so. `changes` is whether the run publishes what a
/// change of the job has changed.
///
/// # Errors
///
/// The job has changed, and what an earlier version has published is gone.
pub(super) fn make_up(
    plan: &Plan,
    bindings: &[Binding],
    changes: bool,
) -> Result<Option<String>, RunError> {
    let gone = check(plan, bindings, changes)?;
    if gone.is_empty() {
        return Ok(None);
    }
    forget_epochs(&plan.out)?;
    let (names, out) = (gone.join(", "), plan.out.join("changelog"));
    Ok(Some(format!(
        "{} has no {names} any more: computes everything from the first epoch on to write it again",
        out.display()
    )))
}

/// The views whose changelogs are gone and can be computed anew.
///
/// # Errors
///
/// As for [`make_up`].
pub(super) fn check(
    plan: &Plan,
    bindings: &[Binding],
    changes: bool,
) -> Result<Vec<String>, RunError> {
    if plan.tables.is_none() {
        return Ok(Vec::new());
    }
    let mut gone = changelogs_gone(&plan.out, &plan.catalog.schemas)?;
    if gone.is_empty() {
        return Ok(gone);
    }
    let committed = epochs(&plan.out)?.last().map(|(epoch, _)| *epoch);
    let change = upgrade::epoch(bindings, &plan.hash);
    let Some(change) = change.filter(|epoch| changes && committed < Some(*epoch)) else {
        return Ok(gone);
    };
    // Those of views that are new are not there yet.
    let before = upgrade::before(bindings, change).unwrap_or_default();
    let were = upgrade::views(plan, before);
    gone.retain(|name| were.as_ref().is_none_or(|were| were.contains(name)));
    if gone.is_empty() {
        return Ok(gone);
    }
    let why = format!(
        "the changelog of {} is gone, which tells what stands published; run the job once as it \
         was, as {} has it, which writes it again",
        gone.join(", "),
        kept(plan, before).display()
    );
    Err(RunError::JobChanged { out: plan.out.display().to_string(), why })
}
