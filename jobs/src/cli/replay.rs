//! `braid replay`: the past computed anew, beside the live job.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args;
use connectors::bindings::Binding;
use operators::model::Epoch;

use super::{leave_note, out, read, usual_workers};
use crate::query::Moment;
use crate::rebuild::{
    Reading, RebuildError, Replay, Scope, Variant, before, compute, settled, switch, view_names,
};
use crate::runtime::{
    Around, Plan, Progress, RunOptions, Silent, Summary, Terminal, grouped, peek,
};
use crate::say;
use crate::serve::Board;

/// What is to be computed anew.
#[derive(Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
pub(super) struct Options {
    /// The job file.
    job: PathBuf,
    /// The replay's name; without one, all replays are listed.
    name: Option<String>,
    /// The first epoch whose records are read, or that of the first one bound at a time or later.
    #[arg(long, value_name = "EPOCH|TIME", requires = "name")]
    from: Option<Moment>,
    /// The last epoch, or the last one bound by a time; by default the last one that is bound, each
    /// time that the replay is run.
    #[arg(long, value_name = "EPOCH|TIME", requires = "name")]
    to: Option<Moment>,
    /// Only this view; may be given again.
    #[arg(long, value_name = "VIEW", requires = "name")]
    view: Vec<String>,
    #[command(flatten)]
    change: Change,
    /// Also writes topics, whose names begin with this instead of what the live ones begin with.
    #[arg(long, requires = "name")]
    prefix: Option<String>,
    /// Reads the job's archive instead of its sources.
    #[arg(long, requires = "name")]
    archive: bool,
    /// Makes small epochs one, which is faster: the current rows are the same, changelogs and
    /// `id_changes` know of fewer epochs.
    #[arg(long, requires = "name")]
    coalesce: bool,
    /// Reads at most so many records in a second.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..), value_name = "RECORDS")]
    #[arg(requires = "name")]
    rate: Option<u64>,
    /// Makes its job the live one. The live one must be stopped, and its file be that of the
    /// replay.
    #[arg(long, conflicts_with_all = ["from", "to", "view", "set", "changed", "prefix", "drop"])]
    #[arg(requires = "name")]
    switch: bool,
    /// Makes what was there before the last switch the live job again.
    #[arg(long, conflicts_with_all = ["name", "switch", "from", "to", "view", "set", "prefix"])]
    back: bool,
    /// Removes it.
    #[arg(long, requires = "name")]
    drop: bool,
    /// Worker threads; by default one per core, at most 8.
    #[arg(short, long, value_parser = super::worker_count)]
    workers: Option<usize>,
    /// The summary as JSON on standard output.
    #[arg(long)]
    json: bool,
    /// For tests of crashes, as of `run`.
    #[arg(long, hide = true, value_parser = super::crash::parse)]
    crash_at: Option<super::crash::CrashAt>,
}

/// What is another than in the job file.
#[derive(Args)]
pub(super) struct Change {
    /// With the job of this file, as if it stood in the place of the job file.
    #[arg(long = "change", value_name = "FILE", id = "changed")]
    file: Option<PathBuf>,
    /// With another value of a key, such as `identity.type.email.owners_max=3` or
    /// `view.purchase.funnelWindowInterval=7`; may be given again.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl Change {
    /// The changed text of a job file.
    pub(super) fn of(&self, live: &Plan) -> Result<Variant, RebuildError> {
        let text = match &self.file {
            None => live.text.clone(),
            Some(path) => fs::read_to_string(path).map_err(|error| {
                RebuildError::Usage(format!("can't read {}: {error}", path.display()))
            })?,
        };
        let mut variant = Variant::new(&text).map_err(RebuildError::Usage)?;
        for change in &self.set {
            let (key, value) = change.split_once('=').ok_or_else(|| {
                let message = format!("{change:?} has no value; write KEY=VALUE");
                RebuildError::Usage(message)
            })?;
            variant.set(key.trim(), value.trim()).map_err(RebuildError::Usage)?;
        }
        Ok(variant)
    }

    /// Whether nothing is another.
    pub(super) fn is_none(&self) -> bool {
        self.file.is_none() && self.set.is_empty()
    }
}

/// Computes a replay, or what else is asked; returns the exit code.
pub(super) fn replay(options: &Options) -> u8 {
    options.crash_at.into_iter().for_each(super::crash::CrashAt::arm);
    let live = match read(&options.job) {
        Ok(live) => live,
        Err(code) => return code,
    };
    let stop = match super::stop_on_signals() {
        Ok(stop) => stop,
        Err(error) => {
            say::fail(format_args!("can't listen to signals: {error}"));
            return 1;
        }
    };
    match act(options, &live, &stop) {
        Ok(code) => code,
        Err(error) => {
            say::fail(&error);
            error.exit_code()
        }
    }
}

fn act(options: &Options, live: &Plan, stop: &AtomicBool) -> Result<u8, RebuildError> {
    if options.back {
        let Some(name) = before(live)? else {
            let message = "nothing has been switched: there is nothing to go back to".to_owned();
            return Err(RebuildError::Usage(message));
        };
        return change_over(options, live, &name, stop);
    }
    let Some(name) = &options.name else {
        if !options.change.is_none() {
            let message = "a replay with a change needs a name; write it behind the job file";
            return Err(RebuildError::Usage(message.to_owned()));
        }
        return list(options, live);
    };
    if options.switch {
        return change_over(options, live, name, stop);
    }
    let found = Replay::open(&options.job, live, name)?;
    if options.drop {
        let Some(found) = found else { return Err(unknown(live, name)?) };
        found.drop()?;
        out::line(format_args!("{name} is removed"));
        return Ok(0);
    }
    let replay = match found {
        Some(found) => same(options, live, found)?,
        None => create(options, live, name)?,
    };
    let Options { rate: records_per_s_max, archive, coalesce: coalesces, .. } = *options;
    let reading = Reading { records_per_s_max, archive, coalesces };
    with(options, stop, |run, around| {
        let computed = compute(live, (&replay, &replay.scope), run, reading, around)?;
        let out = replay.plan.out.display();
        if !computed.is_whole() {
            say::note(format_args!(
                "stopped at epoch {} of {}; run it again to go on",
                computed.summary.epochs, computed.upto
            ));
            return Ok(1);
        }
        show(&computed.summary, options.json);
        if !options.json {
            out::line(format_args!(
                "\n  {name} is complete up to epoch {}, in {out}",
                computed.upto
            ));
        }
        Ok(0)
    })
}

/// Runs something with all that follows a run.
pub(super) fn with<R>(
    options: &impl HasRun,
    stop: &AtomicBool,
    run: impl FnOnce(RunOptions, Around<'_>) -> R,
) -> R {
    let (silent, terminal) = (Silent, Terminal::new());
    let progress: &dyn Progress = if options.json() { &silent } else { &terminal };
    let workers = options.workers().unwrap_or_else(usual_workers).max(1);
    let board: Arc<Board> = Arc::default();
    let around = Around { progress, stop, board: &board, cluster: None };
    run(RunOptions { workers, epoch_records: None }, around)
}

/// Options of a command that runs a job.
pub(super) trait HasRun {
    /// Worker threads.
    fn workers(&self) -> Option<usize>;
    /// Whether only a program reads what it says.
    fn json(&self) -> bool;
}

impl HasRun for Options {
    fn workers(&self) -> Option<usize> {
        self.workers
    }

    fn json(&self) -> bool {
        self.json
    }
}

fn show(summary: &Summary, json: bool) {
    if json {
        out::line(serde_json::to_string_pretty(summary).unwrap_or_default());
    } else {
        out::text(summary.text());
    }
}

/// A replay that is there, if it is the one that is asked for.
fn same(options: &Options, live: &Plan, mut found: Replay) -> Result<Replay, RebuildError> {
    let asked = scope(options, live)?;
    let other = Scope { to: None, ..asked.clone() } != Scope { to: None, ..found.scope.clone() };
    let says = !options.view.is_empty() || !options.change.is_none();
    let text = if says { Some(text(options, live)?) } else { None };
    if other && (asked.from, &asked.prefix) != (None, &None)
        || text.is_some_and(|text| text != found.plan.text)
    {
        let message = format!(
            "{} is there and of something else; give this one another name, or remove it: braid \
             replay {} {} --drop",
            found.name,
            options.job.display(),
            found.name
        );
        return Err(RebuildError::Usage(message));
    }
    if asked.to.is_some() {
        found.scope.to = asked.to;
    }
    Ok(found)
}

fn create(options: &Options, live: &Plan, name: &str) -> Result<Replay, RebuildError> {
    let scope = scope(options, live)?;
    let text = text(options, live)?;
    settled(live, &scope)?;
    Replay::create((&options.job, &text), live, (name, None), scope)
}

/// The text of the replay's job.
fn text(options: &Options, live: &Plan) -> Result<String, RebuildError> {
    let mut variant = options.change.of(live)?;
    if !options.view.is_empty() {
        let names = view_names((&options.job, &variant.text()))?;
        if let Some(unknown) = options.view.iter().find(|view| !names.all.contains(view)) {
            let message = format!("there is no view {unknown}; there are {}", names.all.join(", "));
            return Err(RebuildError::Usage(message));
        }
        let left = |name: &&str| !options.view.iter().any(|view| view == name);
        let without: Vec<&str> = names.built_in.iter().copied().filter(left).collect();
        // A funnel has several tables: those of its people and times begin with its own name.
        let parts = |table: &str| {
            let of = |view: &String| {
                view.strip_prefix(table).map(|rest| rest.is_empty() || rest.starts_with('_'))
            };
            options.view.iter().any(|view| of(view) == Some(true))
        };
        variant.leave_out(parts, &without);
    }
    Ok(variant.text())
}

fn scope(options: &Options, live: &Plan) -> Result<Scope, RebuildError> {
    let bindings = match (options.from, options.to) {
        (None, None) => Vec::new(),
        _ => peek(live)?,
    };
    let from = options.from.map(|from| first(&bindings, from)).transpose()?;
    let to = options.to.map(|to| last(&bindings, to)).transpose()?;
    Ok(Scope { from, to, prefix: options.prefix.clone() })
}

/// The first epoch of a moment or later.
fn first(bindings: &[Binding], moment: Moment) -> Result<Epoch, RebuildError> {
    let time = match moment {
        Moment::Epoch(epoch) => return Ok(epoch.max(1)),
        Moment::Time(time) => time,
    };
    let first = bindings.iter().find(|binding| binding.wall_time >= time);
    first.map(|first| first.epoch).ok_or_else(|| {
        RebuildError::Usage("no epoch was bound then or later; give an earlier --from".to_owned())
    })
}

/// The last epoch of a moment or earlier.
pub(super) fn last(bindings: &[Binding], moment: Moment) -> Result<Epoch, RebuildError> {
    let time = match moment {
        Moment::Epoch(epoch) => return Ok(epoch),
        Moment::Time(time) => time,
    };
    let last = bindings.iter().rfind(|binding| binding.wall_time <= time);
    last.map(|last| last.epoch).ok_or_else(|| {
        RebuildError::Usage("no epoch was bound by then; give a later --to".to_owned())
    })
}

fn unknown(live: &Plan, name: &str) -> Result<RebuildError, RebuildError> {
    let names = Replay::names(live)?;
    let there = if names.is_empty() {
        "there is none".to_owned()
    } else {
        format!("there are {}", names.join(", "))
    };
    Ok(RebuildError::Usage(format!("there is no replay {name}; {there}")))
}

/// Makes the job of a replay the live one.
fn change_over(
    options: &Options,
    live: &Plan,
    name: &str,
    stop: &AtomicBool,
) -> Result<u8, RebuildError> {
    let Some(replay) = Replay::open(&options.job, live, name)? else {
        return Err(unknown(live, name)?);
    };
    with(options, stop, |run, around| {
        let switched =
            switch((&options.job, live), &replay, run, around, || leave_note(live, None))?;
        if stop.load(Ordering::Acquire) {
            say::note("stopped, perhaps before the end; run the job to go on");
            return Ok(1);
        }
        show(&switched.summary, options.json);
        if !options.json {
            out::line(format_args!(
                "\n  the job of {name} is the live one; what was before is the replay {}, which \
                 --back goes back to",
                switched.before
            ));
        }
        Ok(0)
    })
}

fn list(options: &Options, live: &Plan) -> Result<u8, RebuildError> {
    let names = Replay::names(live)?;
    if names.is_empty() {
        out::line(format_args!("{} has no replays; give one a name to make it", live.name));
        return Ok(0);
    }
    for name in names {
        let Some(replay) = Replay::open(&options.job, live, &name)? else { continue };
        let upto = connectors::table::epochs(&replay.plan.out)?;
        let upto = upto.last().map_or(0, |last| last.0);
        let Scope { from, to, prefix } = &replay.scope;
        let mut words = vec![format!("complete up to epoch {}", grouped(upto as i64))];
        words.extend(from.map(|from| format!("from epoch {from} on")));
        words.extend(to.map(|to| format!("to epoch {to}")));
        words.extend(prefix.as_ref().map(|prefix| format!("topics {prefix}.*")));
        if replay.plan.hash == live.hash {
            words.push("the job as its file says".to_owned());
        }
        out::line(format_args!("{name}: {}", words.join(", ")));
    }
    Ok(0)
}
