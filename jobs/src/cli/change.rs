//! `braid plan`: what a run of a job would do to what stands, nothing being touched.

use std::path::Path;

use super::{load, out, usual_workers};
use crate::rebuild::{Trial, trial};
use crate::runtime::{JobChange, Outlook, RunOptions, grouped, outlook, span};
use crate::say;

/// Shows the plan; returns the exit code.
pub(super) fn plan(path: &Path) -> u8 {
    let plan = match load(path) {
        Ok(plan) => plan,
        Err(code) => return code,
    };
    let outlook = match outlook(&plan) {
        Ok(outlook) => outlook,
        Err(error) => {
            say::fail(&error);
            return error.exit_code();
        }
    };
    out::line(format_args!("{}: {}", plan.name, words(&outlook)));
    let Outlook::Changed(change) = outlook else { return 0 };
    for (what, list) in [
        ("changed in the job file", &change.sections),
        ("views that are new", &change.new_views),
        ("views that are no longer kept (their tables stay as they are)", &change.gone_views),
    ] {
        if !list.is_empty() {
            out::line(format_args!("  {what}: {}", list.join(", ")));
        }
    }
    if let Some(events) = change.events {
        out::line(format_args!("  {} events stand in its tables", grouped(events as i64)));
    }
    if let Some(epoch) = change.hydrated {
        out::line(format_args!(
            "  a run begins with a snapshot of the changed job at epoch {epoch}, computes what \
             follows,\n  and publishes the difference as epoch {}, cause `upgrade`",
            change.published + 1
        ));
        return 0;
    }
    out::line(format_args!(
        "  a run computes all {} epochs up to {} anew, from sources or what they still hold of \
         them,\n  and publishes nothing of it but the difference, as epoch {}, cause `upgrade`",
        grouped(change.epochs as i64),
        change.published,
        change.published + 1
    ));
    let options = RunOptions { workers: usual_workers(), epoch_records: None };
    match trial(&plan, options) {
        Ok(trial) => {
            out::line(format_args!("  {}", about(&trial, &change)));
            0
        }
        Err(error) => {
            say::fail(format_args!(
                "how long it takes can't be said, for a trial of it failed, as a run may: {error}"
            ));
            error.exit_code()
        }
    }
}

/// How long it will take.
fn about(trial: &Trial, change: &JobChange) -> String {
    let all = trial.estimate(change.events, change.epochs as u64);
    let (records, took) = (grouped(trial.records as i64), trial.took.as_secs_f64());
    format!(
        "that takes about {}, judged by a trial of {records} records, which took {took:.1} s",
        span(all.as_secs_f64())
    )
}

fn words(outlook: &Outlook) -> String {
    match outlook {
        Outlook::New => "has not run yet; a run begins with the first record".to_owned(),
        Outlook::Unchanged { epoch } => {
            format!("unchanged; a run goes on after epoch {epoch}")
        }
        Outlook::Changed(change) => {
            format!("changed since epoch {}, the last one that is bound", change.published)
        }
    }
}
