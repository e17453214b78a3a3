//! Makes a replay's job the live one.
//!
//! The replay is brought up to the present while the live job goes on. What is left then takes as
//! long as a restart: the live job being stopped, its tables and topics get the difference, one
//! commit for each table and one transaction for each set of topics, as an epoch of its own with
//! the cause `upgrade`. What stood before stays as a replay, `before-<epoch>`, that can be asked
//! and switched to.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use connectors::bindings::Binding;
use connectors::table::Begins;
use replay::snapshot::{Shelf, find};

use super::folder::Scope;
use super::{Reading, RebuildError, Replay, compute};
use crate::runtime::{
    Around, Plan, RunError, RunOptions, Summary, change, job_text_of, peek, snapshots_of,
};

/// What the names of replays begin with that hold what stood before a switch.
const BEFORE: &str = "before-";

/// What a switch has done.
#[derive(Clone, Debug)]
pub struct Switched {
    /// The replay that holds what stood before.
    pub before: String,
    /// What was counted.
    pub summary: Summary,
}

/// Makes the job of a replay the live one. The live job must be stopped, and its file must be that
/// of the replay. `held` is called when no other run of the job can go on.
///
/// # Errors
///
/// Also that the job file is another one, that it is the live one already, and that a run of the
/// job is on.
pub fn switch(
    (job, live): (&Path, &Plan),
    replay: &Replay,
    options: RunOptions,
    around: Around<'_>,
    held: impl FnOnce(),
) -> Result<Switched, RebuildError> {
    check(job, live, replay)?;
    let whole = Scope { to: None, ..replay.scope.clone() };
    let computed = compute(live, (replay, &whole), options, Reading::default(), around)?;
    if !computed.is_whole() {
        return Err(RebuildError::Usage("stopped before it was at the present".to_owned()));
    }
    let mut before = Ok(String::new());
    let summary = change(live, options, around, |last| {
        held();
        before = keep((job, live), last);
        // What stands is kept before anything changes, or nothing changes.
        match &before {
            Ok(_) => Ok(()),
            Err(error) => Err(RunError::Disk {
                path: live.out.display().to_string(),
                message: error.to_string(),
            }),
        }
    })?;
    Ok(Switched { before: before?, summary })
}

/// The replay that holds what stood before the last switch.
pub fn before(live: &Plan) -> Result<Option<String>, RebuildError> {
    let epoch = |name: &String| name.strip_prefix(BEFORE)?.parse::<u64>().ok();
    let names = Replay::names(live)?.into_iter();
    Ok(names.filter(|name| epoch(name).is_some()).max_by_key(epoch))
}

fn check(job: &Path, live: &Plan, replay: &Replay) -> Result<(), RebuildError> {
    let name = &replay.name;
    let text = replay.plan.out.join("job.toml");
    let (text, job) = (text.display(), job.display());
    let wrong = |message: String| Err(RebuildError::Usage(message));
    if let Some(from) = replay.scope.from {
        return wrong(format!(
            "{name} begins at epoch {from}, and so would lose what was before; make one without \
             --from"
        ));
    }
    if live.hash != replay.plan.hash {
        return wrong(format!(
            "{job} is not the job of {name}, which is the one that would run from now on; put \
             {text} in its place"
        ));
    }
    if live.tables.is_none() {
        return wrong("only tables tell what stands published, and the job has none".to_owned());
    }
    match peek(live)?.last() {
        Some(last) if last.job == live.hash => wrong(format!(
            "the job of {name} is the live one: there is nothing to switch. A switch that was \
                 cut off comes to its end with `braid run {job}`"
        )),
        _ => Ok(()),
    }
}

/// Keeps what stands as a replay: its job, its tables, its newest snapshot. Files that are never
/// changed are linked.
fn keep((job, live): (&Path, &Plan), last: Option<&Binding>) -> Result<String, RebuildError> {
    let (epoch, hash) = last.map_or((0, ""), |last| (last.epoch, &last.job));
    let generation = last.map_or(1, |last| last.generation);
    let name = format!("{BEFORE}{epoch}");
    if let Some(half) = Replay::open(job, live, &name)? {
        half.drop()?; // of a switch that did not come to its end
    }
    let text = job_text_of(live, hash);
    let text = fs::read_to_string(&text).map_err(RebuildError::disk(&text))?;
    let before = Replay::create((job, &text), live, (&name, Some(hash)), Scope::default())?;
    let places = [snapshots_of(live)?, snapshots_of(&before.plan)?];
    if let [Some(from), Some(to)] = &places
        && let Some(mut begin) = find(from, hash, epoch, |_| Some(true), |_, _| {})?.begin
    {
        Shelf::open(to, hash, generation, Some(&mut begin))?;
    }
    let views = before.plan.catalog.schemas.iter().map(|schema| PathBuf::from(&*schema.name));
    let views: Vec<PathBuf> = views.collect();
    let logs = views.iter().map(|view| Path::new("changelog").join(view));
    let tables = views.iter().cloned().chain(logs).chain([PathBuf::from("epochs")]);
    for table in tables {
        let (from, to) = (live.out.join(&table), before.plan.out.join(&table));
        link(&from, &to).map_err(RebuildError::disk(&to))?;
    }
    let begins = Begins::read(&live.out, &live.catalog.schemas).map_err(RunError::from)?;
    begins.copy(&before.plan.out).map_err(RunError::from)?;
    Ok(name)
}

/// Puts a table's files into another folder too. Those of its log may be replaced, so they are
/// copied.
fn link(from: &Path, to: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(from) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    fs::create_dir_all(to)?;
    let is_log = from.ends_with("_delta_log");
    for entry in entries {
        let entry = entry?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            link(&from, &to)?;
        } else if is_log || fs::hard_link(&from, &to).is_err() {
            // Where there are no links, a copy does as well.
            fs::copy(&from, &to)?;
        }
    }
    Ok(())
}
