//! `braid whatif`: what would change if the job were another one.

use std::fs;
use std::path::PathBuf;

use clap::Args;
use operators::model::Epoch;

use super::replay::{Change, HasRun, last, with};
use super::{out, read};
use crate::query::{Moment, are_told};
use crate::rebuild::{Reading, RebuildError, Replay, Scope, compute};
use crate::runtime::{Plan, peek};
use crate::say;
use crate::whatif::{compare, page, text};

/// What would be another.
#[derive(Args)]
pub(super) struct Options {
    /// The job file.
    job: PathBuf,
    #[command(flatten)]
    change: Change,
    /// As of this epoch or time; by default of the last epoch in the job's tables.
    #[arg(long, value_name = "EPOCH|TIME")]
    to: Option<Moment>,
    /// Reads the job's archive instead of its sources.
    #[arg(long)]
    archive: bool,
    /// Also writes a page with charts.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// As JSON.
    #[arg(long)]
    json: bool,
    /// Worker threads; by default one per core, at most 8.
    #[arg(short, long)]
    workers: Option<usize>,
}

impl HasRun for Options {
    fn workers(&self) -> Option<usize> {
        self.workers
    }

    fn json(&self) -> bool {
        self.json
    }
}

/// Says what would change; returns the exit code.
pub(super) fn whatif(options: &Options) -> u8 {
    let live = match read(&options.job) {
        Ok(live) => live,
        Err(code) => return code,
    };
    match act(options, &live) {
        Ok(code) => code,
        Err(error) => {
            say::fail(&error);
            error.exit_code()
        }
    }
}

fn act(options: &Options, live: &Plan) -> Result<u8, RebuildError> {
    if options.change.is_none() {
        let message = "nothing would be another; write what, such as --set \
                       identity.type.email.owners_max=3, or --change FILE";
        return Err(RebuildError::Usage(message.to_owned()));
    }
    if live.tables.is_none() {
        let message = "only tables say what stands now, and the job has none";
        return Err(RebuildError::Usage(message.to_owned()));
    }
    let epoch = epoch(options, live)?;
    let without = |plan: &Plan| {
        plan.catalog.built_in.identifiers.is_none() || plan.catalog.built_in.events.is_none()
    };
    let text_of = options.change.of(live)?.text();
    let replay = named((&options.job, live), &text_of)?;
    if without(live) || without(&replay.plan) {
        let message = "who would be who is told by the views identifiers and events; take them out \
                       of `without`";
        return Err(RebuildError::Usage(message.to_owned()));
    }
    let scope = Scope { to: Some(epoch), ..Scope::default() };
    let reading = Reading { archive: options.archive, ..Reading::default() };
    let stop = super::stop_on_signals()
        .map_err(|source| RebuildError::Disk { path: "signals".into(), source })?;
    let computed =
        with(options, &stop, |run, around| compute(live, (&replay, &scope), run, reading, around))?;
    if !computed.is_whole() {
        say::note(format_args!(
            "stopped at epoch {} of {}; run it again to go on",
            computed.summary.epochs, computed.upto
        ));
        return Ok(1);
    }
    let what = compare(live, &replay.plan, epoch)?;
    if options.json {
        out::line(serde_json::to_string_pretty(&what).unwrap_or_default());
    } else {
        out::text(text(&what));
    }
    if let Some(path) = &options.html {
        fs::write(path, page(&what))
            .map_err(|source| RebuildError::Disk { path: path.clone(), source })?;
        say::note(format_args!("the page is {}", path.display()));
    }
    if !options.json {
        let (job, name) = (options.job.display(), &replay.name);
        let file = replay.plan.out.join("job.toml");
        if !what.is_nothing() {
            out::line("\n  why somebody would be who they are:");
            out::line(format_args!("  braid explain {job} person ID --replay {name}"));
        }
        out::line(format_args!("\n  to make it so: stop the job, put {} in", file.display()));
        out::line(format_args!("  the place of {job}, and: braid replay {job} {name} --switch"));
        out::line(format_args!("  to forget it: braid replay {job} {name} --drop"));
    }
    Ok(0)
}

/// The epoch of which it is asked.
fn epoch(options: &Options, live: &Plan) -> Result<Epoch, RebuildError> {
    let known = connectors::table::epochs(&live.out)?.last().map_or(0, |last| last.0);
    let epoch = match options.to {
        None => known,
        Some(to) => last(&peek(live)?, to)?,
    };
    if known == 0 {
        let message = format!("{} has no tables yet; run it first", live.name);
        return Err(RebuildError::Usage(message));
    }
    if epoch > known {
        let message = format!("the tables know of epochs up to {known}; ask for one of them");
        return Err(RebuildError::Usage(message));
    }
    are_told(live, live.catalog.schemas.iter().map(|schema| &*schema.name), epoch)?;
    Ok(epoch)
}

/// The replay of a changed job: the same change has the same one.
fn named((job, live): (&PathBuf, &Plan), text: &str) -> Result<Replay, RebuildError> {
    let hash = crate::rebuild::hash((job, text))?;
    let name = format!("whatif-{}", hash.get(..8).unwrap_or(&hash));
    match Replay::open(job, live, &name)? {
        Some(replay) => Ok(replay),
        None => Replay::create((job, text), live, (&name, None), Scope::default()),
    }
}
