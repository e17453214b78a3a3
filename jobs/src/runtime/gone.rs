//! Changelogs that are gone: somebody has removed their folders.
//!
//! They are what current tables, later versions of the job and who looks into the past go by. One
//! that is gone is computed anew: the table of epochs is given up, so that everything is computed
//! from the first epoch on, and each other table passes over what it has. That stands through a
//! crash; the new folder would not tell, for a view to which nothing happens lags behind without
//! lacking anything.
//!
//! Where the job has changed and the difference is not published yet, nobody can say what stood in
//! it: its tables begin anew with the difference. Topics can't, so they must have it.

use connectors::bindings::Binding;
use connectors::kafka::KafkaSink;
use connectors::table::{changelogs_gone, epochs, give_up_epochs};
use operators::model::Epoch;
use replay::history::Source;

use super::bound::Bound;
use super::plan::Plan;
use super::upgrade::{self, kept};
use super::{Around, RunError};

/// Changelogs that are gone.
struct Gone {
    /// The views.
    names: Vec<String>,
    /// Whether the job's change is not published in the tables yet.
    changing: bool,
}

/// Makes up for changelogs that are gone, before tables are opened; returns the views whose tables
/// begin anew with a change of the job. `changes` is whether the run publishes one, `archived`
/// whether it reads the archive instead of the sources.
///
/// # Errors
///
/// They can't be computed anew, or topics lack a change of what they told.
pub(super) fn make_up(
    plan: &Plan,
    bound: &mut Bound,
    (changes, archived): (bool, bool),
    around: Around<'_>,
) -> Result<Vec<String>, RunError> {
    let Some(options) = &plan.tables else { return Ok(Vec::new()) };
    let Some(gone) = find(plan, bound, changes)? else { return Ok(Vec::new()) };
    let (names, folder) = (gone.names.join(", "), plan.out.join("changelog"));
    let changelogs = folder.display().to_string();
    if gone.changing {
        around.progress.note(&format!(
            "{changelogs} has no {names} any more: begins it anew with the change of the job"
        ));
        return Ok(gone.names);
    }
    for source in plan.sources.iter().filter(|_| !archived) {
        let opened = || Source::open(&source.records, &bound.bindings, 0);
        if let Err(error) = around.board.beating(opened) {
            let error = Box::new(error.into());
            return Err(RunError::ChangelogGone { changelogs, names, error });
        }
    }
    give_up_epochs(&plan.out, &plan.catalog.schemas, options)?;
    around.progress.note(&format!(
        "{changelogs} has no {names} any more: computes everything from the first epoch on to \
         write it again"
    ));
    Ok(Vec::new())
}

/// Whether what a run makes of changelogs that are gone is refused.
///
/// # Errors
///
/// It is.
pub(super) fn check(plan: &Plan, bound: &mut Bound) -> Result<(), RunError> {
    find(plan, bound, true).map(drop)
}

fn find(plan: &Plan, bound: &mut Bound, changes: bool) -> Result<Option<Gone>, RunError> {
    if plan.tables.is_none() {
        return Ok(None);
    }
    let mut names = changelogs_gone(&plan.out, &plan.catalog.schemas)?;
    if names.is_empty() {
        return Ok(None);
    }
    bound.read()?;
    let change = upgrade::epoch(&bound.bindings, &plan.hash).filter(|_| changes);
    let committed = epochs(&plan.out)?.last().map(|(epoch, _)| *epoch);
    let changing = change.is_some_and(|change| committed < Some(change));
    if let Some(change) = change.filter(|_| changing) {
        // Those of views that are new are not there yet.
        let before = upgrade::before(&bound.bindings, change);
        let were = before.and_then(|before| upgrade::views(plan, before));
        names.retain(|name| were.as_ref().is_none_or(|were| were.contains(name)));
    }
    if names.is_empty() {
        return Ok(None);
    }
    if let Some(change) = change {
        have_told(plan, &bound.bindings, (change, &names))?;
    }
    Ok(Some(Gone { names, changing }))
}

/// Topics that have been told something must have been told a change too: what differs can't be
/// said any more.
fn have_told(
    plan: &Plan,
    bindings: &[Binding],
    (change, names): (Epoch, &[String]),
) -> Result<(), RunError> {
    for topics in &plan.topics {
        let holds = KafkaSink::peek(topics)?.and_then(|claim| claim.epoch);
        let Some(holds) = holds.filter(|holds| (1..change).contains(holds)) else { continue };
        let folder = plan.out.join("changelog");
        // As long as nothing of the change is bound, the job as it was can write them again.
        let before = upgrade::before(bindings, change);
        let unbound = before == bindings.last().map(|binding| binding.job.as_str());
        let as_it_was = before.filter(|_| unbound).map(|before| {
            let kept = kept(plan, before);
            format!(
                "; or run the job once as it was, as {} has it, with the erased list and schemas \
                 of then, which writes them again",
                kept.display()
            )
        });
        let why = format!(
            "{} holds epoch {holds}, and the changelogs of {} are gone, which tell what stands \
             there; restore them in {}{}; or give the sink another prefix, under which everything \
             is written anew",
            topics.prefix,
            names.join(", "),
            folder.display(),
            as_it_was.unwrap_or_default()
        );
        return Err(RunError::JobChanged { out: plan.out.display().to_string(), why });
    }
    Ok(())
}
