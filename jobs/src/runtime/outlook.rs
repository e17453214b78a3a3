//! What a run of a job would begin with: what `braid plan` says.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use connectors::table::{Granularity, Stored, Which};
use operators::model::Epoch;

use super::bound::Bound;
use super::plan::Plan;
use super::upgrade::{check_change, kept};
use super::{RunError, gone, peek_logged, snapshots};

/// What a run of a job would begin with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outlook {
    /// The job has not run.
    New,
    /// It goes on.
    Unchanged {
        /// The last epoch that is bound.
        epoch: Epoch,
    },
    /// It publishes a difference.
    Changed(JobChange),
}

/// What has changed in a job.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JobChange {
    /// The last epoch that is bound.
    pub published: Epoch,
    /// Epochs that are computed anew, those up to `hydrated` from a snapshot.
    pub epochs: usize,
    /// Up to this epoch a replay of the changed job has a snapshot, if there is one.
    pub hydrated: Option<Epoch>,
    /// Events in the job's tables, if it has a table of events.
    pub events: Option<u64>,
    /// Where the job file says something else, such as `identity` or `view sessions`.
    pub sections: Vec<String>,
    /// Names of views that there are now and were not.
    pub new_views: Vec<String>,
    /// Names of views that there were.
    pub gone_views: Vec<String>,
}

/// Says what a run would begin with. Nothing is written.
///
/// # Errors
///
/// Bindings that can't be read; a change that can't be carried over.
pub fn outlook(plan: &Plan) -> Result<Outlook, RunError> {
    let mut bound = Bound::past(peek_logged(plan)?);
    let Some(last) = bound.last().cloned() else { return Ok(Outlook::New) };
    if last.job == plan.hash {
        return Ok(Outlook::Unchanged { epoch: last.epoch });
    }
    check_change(plan, &last.job)?;
    if plan.tables.is_none() {
        let why = "only tables tell what stands published, and it has none".to_owned();
        return Err(RunError::JobChanged { out: plan.out.display().to_string(), why });
    }
    let from_first = gone::check(plan, &mut bound)?;
    let old = fs::read_to_string(kept(plan, &last.job)).unwrap_or_default();
    let changed = sections_changed(&old, &plan.text);
    let (old, new) = (sections(&old), sections(&plan.text));
    let views = |of: &BTreeMap<String, toml::Value>| -> BTreeSet<String> {
        of.keys().filter_map(|name| Some(name.strip_prefix("view ")?.to_owned())).collect()
    };
    let (were, are) = (views(&old), views(&new));
    let place = snapshots::place(plan)?;
    let begin = snapshots::newest(plan, place.as_ref(), (&bound, &BTreeMap::new()), None)?;
    let events = plan.catalog.built_in.events.map(|view| &plan.catalog.schemas[usize::from(view)]);
    let events = match events {
        Some(schema) => {
            let granularity = plan.tables.as_ref().map_or(Granularity::Day, |t| t.partition);
            Stored::open(&plan.out, Which::Current(schema, granularity))?.map(|table| table.rows())
        }
        None => None,
    };
    Ok(Outlook::Changed(JobChange {
        published: last.epoch,
        epochs: bound.bindings.len(),
        hydrated: begin.filter(|_| !from_first).map(|begin| begin.manifest.epoch),
        events,
        sections: changed,
        new_views: are.difference(&were).cloned().collect(),
        gone_views: were.difference(&are).cloned().collect(),
    }))
}

/// Where two job files say different things, such as `identity` or `view sessions`.
pub fn sections_changed(old: &str, new: &str) -> Vec<String> {
    let (old, new) = (sections(old), sections(new));
    let differs = |name: &&String| old.get(*name) != new.get(*name);
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    names.into_iter().filter(differs).cloned().collect()
}

/// The parts of a job file by name: of lists, each table by its own name or kind.
fn sections(text: &str) -> BTreeMap<String, toml::Value> {
    let mut parts = BTreeMap::new();
    let file: toml::Table = text.parse().unwrap_or_default();
    for (key, value) in file {
        let toml::Value::Array(list) = value else {
            parts.insert(key, value);
            continue;
        };
        for (place, item) in list.into_iter().enumerate() {
            let word = |word| item.get(word).and_then(toml::Value::as_str);
            let kind = word("kind").unwrap_or_default();
            let own = match (word("name"), word("prefix")) {
                (Some(name), _) if kind.is_empty() => name.to_owned(),
                (Some(name), _) => format!("{kind}_{name}"),
                (None, Some(prefix)) => prefix.to_owned(),
                (None, None) if kind.is_empty() => format!("{}", place + 1),
                (None, None) => kind.to_owned(),
            };
            parts.insert(format!("{key} {own}"), item);
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_job_file_have_names() {
        let text = r#"
            [job]
            name = "a"
            [[view]]
            kind = "sessions"
            [[view]]
            kind = "trend"
            name = "x"
            [[source]]
            name = "web"
            [[sink]]
            connector = "table"
        "#;
        let names: Vec<String> = sections(text).into_keys().collect();
        assert_eq!(names, ["job", "sink 1", "source web", "view sessions", "view trend_x"]);
    }
}
