//! `braid explain`: why numbers changed, and why a person is who they are.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::out;
use super::query::{replayed, run};
use crate::provenance::number::{BehindSaid, behind};
use crate::provenance::past::{Of, Past};
use crate::provenance::person::{Asked, Whom, explain as explain_person};
use crate::query::explain::{Explained, Question, explain};
use crate::query::{Known, Moment, QueryError, last, resolve};
use crate::rebuild::Replay;
use crate::runtime::{Plan, Terminal};

/// What stands in place of a view where a person is asked for.
const PERSON: &str = "person";

/// What is to be explained.
#[derive(Args)]
pub(super) struct Explain {
    /// The job file.
    job: PathBuf,
    /// The view; or `person`.
    view: String,
    /// Of `person`: a `person_id`, or the token of an identifier.
    id: Option<String>,
    /// Of `person`, instead of an id: an identifier as senders write it, such as
    /// email=anna@shop.example.
    #[arg(long, value_name = "TYPE=VALUE", value_parser = identifier, conflicts_with = "id")]
    identifier: Option<(String, String)>,
    /// Of `person`: the tenant, where several know the identifier.
    #[arg(long)]
    tenant: Option<String>,
    /// Of a view: changes after this epoch or time.
    #[arg(long, value_name = "EPOCH|TIME")]
    since: Option<Moment>,
    /// As known after this epoch or time.
    #[arg(long, value_name = "EPOCH|TIME")]
    until: Option<Moment>,
    /// Of a view: rows with a value in a column, such as period=all,step=2; may be given again.
    #[arg(long, value_name = "COLUMN=VALUE", value_parser = pairs)]
    key: Vec<Pairs>,
    /// What this replay has instead of what is live.
    #[arg(long, value_name = "NAME")]
    replay: Option<String>,
    /// Reads the job's archive instead of its sources.
    #[arg(long)]
    archive: bool,
    /// Lines of each list at most.
    #[arg(long, default_value_t = 10, value_name = "LINES")]
    limit: usize,
    /// As JSON, with all lines.
    #[arg(long)]
    json: bool,
    /// Of `person`: also writes a picture of the identifiers to this file.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

/// Numbers: what changed them, and who is behind them.
#[derive(Serialize)]
struct Numbers {
    #[serde(flatten)]
    changed: Explained,
    behind: Vec<BehindSaid>,
}

/// Pairs of a column and a value with commas between; what follows a comma and has no `=` belongs
/// to the value before.
#[derive(Clone)]
struct Pairs(Vec<(String, String)>);

fn pairs(text: &str) -> Result<Pairs, String> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    for part in text.split(',') {
        match (part.split_once('='), pairs.last_mut()) {
            (Some((column, value)), _) => pairs.push((column.trim().to_owned(), value.to_owned())),
            (None, Some((_, value))) => *value = format!("{value},{part}"),
            (None, None) => return Err("write a column and its value, such as step=2".to_owned()),
        }
    }
    Ok(Pairs(pairs))
}

fn identifier(text: &str) -> Result<(String, String), String> {
    let words = "write a type and a value, such as email=anna@shop.example";
    let pair = text.split_once('=').ok_or(words)?;
    Ok((pair.0.to_owned(), pair.1.to_owned()))
}

/// Refuses options that are for the other kind of question.
fn refuse(kind: &str, others: &[(&str, bool)]) -> Result<(), QueryError> {
    match others.iter().find(|(_, given)| *given) {
        Some((option, _)) => {
            Err(QueryError::Usage(format!("{option} is not for {kind}; leave it out")))
        }
        None => Ok(()),
    }
}

impl Explain {
    fn until(&self, plan: &Plan) -> Result<Option<Known>, QueryError> {
        self.until.map(|moment| resolve(plan, moment)).transpose()
    }

    fn of<'a>(&'a self, live: &'a Plan, replay: Option<&'a Replay>) -> Of<'a> {
        let plan = replay.map_or(live, |replay| &replay.plan);
        let replay = replay.map(|replay| replay.scope.after());
        Of { path: &self.job, plan, replay, archive: self.archive }
    }

    fn of_person(&self, of: &Of<'_>) -> Result<(), QueryError> {
        let others = [("--since", self.since.is_some()), ("--key", !self.key.is_empty())];
        refuse("a person", &others)?;
        let whom = match (&self.id, &self.identifier) {
            (Some(id), _) => Whom::Id(id.clone()),
            (None, Some((kind, value))) => Whom::Identifier(kind.clone(), value.clone()),
            (None, None) => {
                let message = "who? write a person_id behind it, or --identifier TYPE=VALUE";
                return Err(QueryError::Usage(message.to_owned()));
            }
        };
        let asked = Asked { whom, tenant: self.tenant.clone(), until: self.until(of.plan)? };
        let said = explain_person(of, &asked, &Terminal::new())?;
        if let Some(file) = &self.svg {
            let words =
                |e: std::io::Error| QueryError::Run(format!("can't write {}: {e}", file.display()));
            std::fs::write(file, said.picture()).map_err(words)?;
        }
        self.print(&said, || said.text(self.limit))
    }

    fn of_view(&self, of: &Of<'_>) -> Result<(), QueryError> {
        let plan = of.plan;
        let others = [
            ("an id", self.id.is_some()),
            ("--identifier", self.identifier.is_some()),
            ("--tenant", self.tenant.is_some()),
            ("--svg", self.svg.is_some()),
        ];
        refuse("a view", &others)?;
        // Before the first epoch nothing stands.
        let since = self.since.filter(|since| *since != Moment::Epoch(0));
        let since = since.map(|moment| resolve(plan, moment)).transpose()?;
        let until = self.until(plan)?;
        let key: Vec<_> = self.key.iter().flat_map(|key| key.0.clone()).collect();
        if self.since.is_some() || key.is_empty() {
            let explained = explain(plan, &self.view, &Question { since, until, key })?;
            return self.print(&explained, || explained.text());
        }
        // What is behind numbers is told by the version of the job that stands.
        let until = until.map_or_else(|| last(plan), Ok)?;
        let past = Past::open(of, Some(until))?;
        let question = Question { since, until: Some(until), key };
        let changed = explain(&past.plan, &self.view, &question)?;
        let behind = behind(&past, &changed.rows, &Terminal::new())?;
        let said = Numbers { changed, behind };
        self.print(&said, || {
            let mut lines = vec![said.changed.text()];
            lines.extend(said.behind.iter().map(|behind| behind.text(self.limit)));
            lines.join("\n")
        })
    }

    fn print(
        &self,
        said: &impl Serialize,
        text: impl FnOnce() -> String,
    ) -> Result<(), QueryError> {
        let text = if self.json {
            serde_json::to_string_pretty(said).map_err(|e| QueryError::Run(e.to_string()))?
        } else {
            text()
        };
        out::line(text);
        Ok(())
    }
}

/// Explains; returns the exit code.
pub(super) fn why(why: &Explain) -> u8 {
    run(&why.job, |live| {
        let replay = replayed(&why.job, live, why.replay.as_deref())?;
        let of = why.of(live, replay.as_ref());
        if why.view == PERSON { why.of_person(&of) } else { why.of_view(&of) }
    })
}
