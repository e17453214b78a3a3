//! Changelogs that are gone: somebody has removed their folders.
//!
//! They are what current tables, later versions of the job and who looks into the past go by. One
//! that is gone is computed anew: the table of epochs is given up, so that everything is computed
//! from the first epoch on, and each other table passes over what it has. That stands through a
//! crash; the new folder would not tell, for a view to which nothing happens lags behind without
//! lacking anything.
//!
//! Where the job has changed and the difference is not published yet, nobody can say what stood in
//! it: its tables begin anew with the difference, which is written down before anything else
//! ([`Begins`]). Topics can't begin anew, so they must have the difference.

use std::collections::BTreeSet;
use std::path::PathBuf;

use connectors::bindings::Binding;
use connectors::durable;
use connectors::kafka::{KafkaSink, KafkaSinkSpec};
use connectors::table::{
    Archive, ArchiveError, Begins, Reach, Stored, Which, changelogs_gone, committed_epochs,
    committed_rows, give_up_epochs,
};
use operators::model::Epoch;
use replay::history::Source;

use super::bound::Bound;
use super::plan::Plan;
use super::upgrade::{self, kept};
use super::{Around, RunError};

/// What a run reads.
pub(super) struct Reads<'a> {
    /// Whether it publishes a change of the job.
    pub changes: bool,
    /// Nothing up to this epoch is read.
    pub after: Epoch,
    /// What is read instead of the sources.
    pub archive: Option<&'a Archive>,
}

/// Changelogs that are gone.
struct Gone {
    /// The views.
    names: BTreeSet<String>,
    begins: Begins,
    /// The epoch that publishes the job's last change, if there is one.
    change: Option<Epoch>,
    /// Whether it is not published in the tables yet.
    changing: bool,
    /// Whether rows of one of them are only added to, which no snapshot has.
    from_first: bool,
}

/// What a run begins anew.
#[derive(Default)]
pub(super) struct Anew {
    /// Views whose tables begin anew with a change of the job.
    pub views: BTreeSet<String>,
    /// Whether one of them has what no snapshot has: rows that are only added to.
    pub from_first: bool,
}

/// Makes up for changelogs that are gone, before tables are opened.
///
/// # Errors
///
/// They can't be computed anew, or topics lack a change of what they told.
pub(super) fn make_up(
    plan: &Plan,
    bound: &mut Bound,
    reads: &Reads<'_>,
    around: Around<'_>,
) -> Result<Anew, RunError> {
    let Some(options) = &plan.tables else { return Ok(Anew::default()) };
    let Some(mut gone) = find(plan, bound, reads.changes)? else {
        if epochs_are_gone(plan)? {
            let words = format!("{} has no epochs any more", plan.out.display());
            check_readable(plan, bound, reads, &words, around)?;
            around.progress.note(&format!("{words}: computes everything from the first epoch on"));
        }
        return Ok(Anew::default());
    };
    let names = gone.names.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    let words = format!("{} has no {names} any more", folder(plan).display());
    if !gone.changing || gone.from_first {
        check_readable(plan, bound, reads, &words, around)?;
    }
    if gone.changing {
        gone.begins.set(&gone.names, gone.change)?;
        around.progress.note(&format!("{words}: begins it anew with the change of the job"));
        return Ok(Anew { views: gone.names, from_first: gone.from_first });
    }
    // Of a change that was taken back there may be some that have nothing.
    for name in &gone.names {
        let path = folder(plan).join(name);
        durable::remove_folder(&path).map_err(|e| RunError::Disk {
            path: path.display().to_string(),
            message: e.to_string(),
        })?;
    }
    gone.begins.set(&gone.names, gone.change)?;
    give_up_epochs(&plan.out, (&plan.catalog.schemas, &gone.names), options)?;
    around
        .progress
        .note(&format!("{words}: computes everything from the first epoch on to write it again"));
    Ok(Anew::default())
}

/// Where changelogs are.
fn folder(plan: &Plan) -> PathBuf {
    plan.out.join("changelog")
}

/// Whether a run would begin with the first epoch because of changelogs that are gone.
///
/// # Errors
///
/// It is refused.
pub(super) fn check(plan: &Plan, bound: &mut Bound) -> Result<bool, RunError> {
    Ok(find(plan, bound, true)?.is_some_and(|gone| gone.from_first))
}

/// Whether changelogs have rows, and the table that says of which epochs is not there.
fn epochs_are_gone(plan: &Plan) -> Result<bool, RunError> {
    if Which::Epochs.exists(&plan.out)? {
        return Ok(false);
    }
    for schema in &plan.catalog.schemas {
        let changelog = Stored::open(&plan.out, Which::Changelog(schema))?;
        if changelog.is_some_and(|changelog| changelog.rows() > 0) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Nothing is given up before it is sure that it can be computed anew.
fn check_readable(
    plan: &Plan,
    bound: &Bound,
    reads: &Reads<'_>,
    words: &str,
    around: Around<'_>,
) -> Result<(), RunError> {
    let gone = |error: RunError| match error {
        error if error.is_gone() => {
            RunError::ChangelogGone { words: words.to_owned(), error: Box::new(error) }
        }
        error => error,
    };
    let (from, to) = (reads.after + 1, bound.epoch());
    if let Some(archive) = reads.archive {
        let Reach { first, last } = archive.reach();
        if from <= to && (from < first || to > last) {
            return Err(gone(ArchiveError::Gap { first, last, from, to }.into()));
        }
        return Ok(());
    }
    for source in &plan.sources {
        let open = || Source::open(&source.records, &bound.bindings, reads.after);
        around.board.beating(open).map_err(|error| gone(error.into()))?;
    }
    Ok(())
}

fn find(plan: &Plan, bound: &mut Bound, changes: bool) -> Result<Option<Gone>, RunError> {
    let Some(options) = &plan.tables else { return Ok(None) };
    let Some(committed) = committed_epochs(&plan.out, &options.job)? else { return Ok(None) };
    let schemas = &plan.catalog.schemas;
    let begins = Begins::read(&plan.out, schemas)?;
    let mut names = changelogs_gone(&plan.out, (schemas, &begins), committed)?;
    let topics = if changes { topics(plan, (&names, &begins))? } else { Vec::new() };
    if names.is_empty() && topics.is_empty() {
        return Ok(None);
    }
    bound.read()?;
    let change = upgrade::epoch(&bound.bindings, &plan.hash).filter(|_| changes);
    let changing = change.is_some_and(|change| committed < change);
    if let Some(change) = change.filter(|_| changing) {
        // Those of views that are new are not there yet.
        let before = upgrade::before(&bound.bindings, change);
        let were = before.and_then(|before| upgrade::views(plan, before));
        for schema in schemas {
            let was = were.as_ref().is_none_or(|were| were.contains(&*schema.name));
            if !was && committed_rows(&plan.out, &options.job, &schema.name)?.is_none() {
                names.remove(&*schema.name);
            }
        }
    }
    if let Some(change) = change {
        have_told(plan, &bound.bindings, change, (&names, &begins, topics))?;
    }
    let mut lost = schemas.iter().filter(|schema| names.contains(&*schema.name));
    let from_first = lost.any(|schema| schema.append_only);
    Ok((!names.is_empty()).then_some(Gone { names, begins, change, changing, from_first }))
}

/// Topics with the epochs that they hold, of which changelogs may not tell what stood then.
fn topics<'a>(
    plan: &'a Plan,
    (names, begins): (&BTreeSet<String>, &Begins),
) -> Result<Vec<(&'a KafkaSinkSpec, Epoch)>, RunError> {
    let mut told = Vec::new();
    if names.is_empty() && begins.after(0).next().is_none() {
        return Ok(told);
    }
    for topics in &plan.topics {
        let holds = KafkaSink::peek(topics)?.and_then(|claim| claim.epoch).filter(|h| *h > 0);
        let untold = |holds: &Epoch| !names.is_empty() || begins.after(*holds).next().is_some();
        told.extend(holds.filter(untold).map(|holds| (topics, holds)));
    }
    Ok(told)
}

/// Topics that have been told something must have been told a change too where the changelogs
/// don't tell what stood then: what differs can't be said any more.
fn have_told(
    plan: &Plan,
    bindings: &[Binding],
    change: Epoch,
    (names, begins, topics): (&BTreeSet<String>, &Begins, Vec<(&KafkaSinkSpec, Epoch)>),
) -> Result<(), RunError> {
    for (topics, holds) in topics.into_iter().filter(|(_, holds)| *holds < change) {
        let views = plan.catalog.schemas.iter().map(|schema| &*schema.name);
        let begun: BTreeSet<&str> = begins.after(holds).collect();
        let lost: Vec<&str> =
            views.filter(|view| names.contains(*view) || begun.contains(view)).collect();
        if lost.is_empty() {
            continue;
        }
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
            lost.join(", "),
            folder(plan).display(),
            as_it_was.unwrap_or_default()
        );
        return Err(RunError::JobChanged { out: plan.out.display().to_string(), why });
    }
    Ok(())
}
