//! A changed job: it computes silently up to what is published, and then publishes the difference
//! between what stands published and what it would have, as an epoch of its own.
//!
//! That epoch has a binding without records, the first with the new job's hash. So it is clear
//! after a crash too what is old and what is new, and an output that has the epoch has the
//! difference.
//!
//! What stands published is read from the changelogs, which say it for every epoch; hence only jobs
//! with tables can be changed, and topics must not be ahead of them.
//!
//! Memory: until the difference is published, the rows of every view once, and those of one view
//! twice.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use connectors::bindings::Binding;
use connectors::durable;
use connectors::table::{TableError, standing};
use foldhash::fast::FixedState;
use operators::model::{Cause, Cell, CellRef, Cells, Change, Epoch, Micros, Row};
use operators::views::catalog::Catalog;

use super::plan::Plan;
use super::{RunError, job_file};

/// The epoch that publishes what a job's last change has changed; `None` if the job has not been
/// changed since its first epoch.
pub(super) fn epoch(bindings: &[Binding], hash: &str) -> Option<Epoch> {
    let (first, last) = (bindings.first()?, bindings.last()?);
    let ours = bindings.iter().rev().take_while(|binding| binding.job == hash).last();
    let epoch = ours.map_or(last.epoch + 1, |binding| binding.epoch);
    (epoch > first.epoch).then_some(epoch)
}

/// Where the text of a version of the job is kept.
pub fn kept(plan: &Plan, hash: &str) -> PathBuf {
    plan.out.join("jobs").join(format!("{hash}.toml"))
}

/// Keeps the text of the job as it is.
pub(super) fn keep(plan: &Plan) -> Result<(), RunError> {
    let path = kept(plan, &plan.hash);
    if path.exists() {
        return Ok(());
    }
    let fail = |e: std::io::Error| RunError::Disk {
        path: path.display().to_string(),
        message: e.to_string(),
    };
    fs::create_dir_all(path.parent().unwrap_or(Path::new(""))).map_err(fail)?;
    // It may have secrets that should stand in the environment and do not.
    durable::write(&path, plan.text.as_bytes(), true).map_err(fail)
}

/// Names of the sources of a version of the job; `None` if its text is not kept.
fn sources(plan: &Plan, hash: &str) -> Option<Vec<String>> {
    let path = kept(plan, hash);
    // Whatever the environment says now: names of sources are not secret.
    let (_, file) =
        job_file::parse(&path, &fs::read_to_string(&path).ok()?, &|_| Some(String::new())).ok()?;
    Some(file.source.into_iter().map(|source| source.name.into_inner()).collect())
}

/// Whether the bindings of an earlier version mean the same sources.
pub(super) fn check_sources(plan: &Plan, before: &str) -> Result<(), RunError> {
    let out = plan.out.display().to_string();
    let Some(old) = sources(plan, before) else {
        let why = format!("{} is not there", kept(plan, before).display());
        return Err(RunError::JobChanged { out, why });
    };
    let new: Vec<&str> = plan.sources.iter().map(|source| &*source.name).collect();
    if old.len() > new.len() || old.iter().zip(&new).any(|(old, new)| old != new) {
        let why = format!(
            "its sources were {}, and are {}; keep them in their order, and add new ones behind",
            old.join(", "),
            new.join(", ")
        );
        return Err(RunError::JobChanged { out, why });
    }
    Ok(())
}

/// Rows with how many of each there are.
type Rows = HashMap<Row, i64, FixedState>;

/// A difference that some outputs lack.
pub(super) struct Upgrade {
    /// The epoch that publishes it.
    pub epoch: Epoch,
    out: PathBuf,
    catalog: Arc<Catalog>,
    /// By view, what the changed job makes of everything up to the epoch.
    rows: Vec<Rows>,
}

impl Upgrade {
    /// The difference to be published at an epoch, if any output lacks it.
    ///
    /// # Errors
    ///
    /// What stands published in an output can't be told.
    pub(super) fn begin(
        plan: &Plan,
        epoch: Epoch,
        outputs: &BTreeMap<String, Option<Epoch>>,
    ) -> Result<Option<Self>, RunError> {
        let lacks = |holds: &Option<Epoch>| *holds < Some(epoch);
        if !outputs.values().any(lacks) {
            return Ok(None);
        }
        let out = plan.out.display().to_string();
        let Some(tables) = outputs.get(crate::serve::CHANGELOGS) else {
            let why = "only tables tell what stands published, and it has none".to_owned();
            return Err(RunError::JobChanged { out, why });
        };
        if let Some((name, holds)) = outputs.iter().find(|(_, h)| lacks(h) && *h > tables) {
            let [holds, tables] = [holds, tables].map(|epoch| epoch.unwrap_or(0));
            let why = format!(
                "{name} holds epoch {holds} and the tables {tables}; run the job as it was until \
                 both are equally far, which it is when it is stopped"
            );
            return Err(RunError::JobChanged { out, why });
        }
        let rows = vec![Rows::default(); plan.catalog.schemas.len()];
        let (out, catalog) = (plan.out.clone(), Arc::clone(&plan.catalog));
        Ok(Some(Self { epoch, out, catalog, rows }))
    }

    /// Takes in what the changed job says of an epoch.
    pub(super) fn add(&mut self, changes: Vec<Vec<Change>>) {
        for change in changes.into_iter().flatten() {
            let view = usize::from(change.row.view);
            if self.catalog.schemas[view].append_only {
                continue; // what was said when stays said
            }
            let rows = &mut self.rows[view];
            match rows.entry(change.row) {
                Entry::Vacant(entry) => drop(entry.insert(change.diff)),
                Entry::Occupied(mut entry) => {
                    *entry.get_mut() += change.diff;
                    if *entry.get() == 0 {
                        entry.remove();
                    }
                }
            }
        }
    }

    /// What an output that holds everything up to `holds` is told.
    pub(super) fn changes(&self, holds: Option<Epoch>) -> Result<Vec<Change>, TableError> {
        let mut changes = Vec::new();
        for (view, schema) in (0..).zip(&self.catalog.schemas) {
            if schema.append_only {
                continue;
            }
            let mut rows = self.rows[usize::from(view)].clone();
            if let Some(holds) = holds {
                for row in standing(&self.out, (view, schema), holds)? {
                    *rows.entry(row).or_default() -= 1;
                }
            }
            rows.retain(|_, diff| *diff != 0);
            if Some(view) == self.catalog.built_in.events {
                self.id_changes(&rows, &mut changes);
            }
            let change = |(row, diff)| Change { row, diff, cause: Cause::Upgrade };
            changes.extend(rows.into_iter().map(change));
        }
        Ok(changes)
    }

    /// Whose events are somebody else's now: who became whom.
    fn id_changes(&self, events: &Rows, changes: &mut Vec<Change>) {
        let Some(view) = self.catalog.built_in.id_changes else { return };
        let mut persons: BTreeMap<(Cell, Cell, Cell), [Option<Cell>; 2]> = BTreeMap::new();
        for (row, diff) in events {
            let [tenant, message, time, person] =
                [0, 1, 2, 5].map(|column| Cell::from(row.cells.get(column)));
            let place = usize::from(*diff > 0);
            persons.entry((tenant, message, time)).or_default()[place] = Some(person);
        }
        let mut pairs: BTreeMap<(Cell, Cell, Cell), Cell> = BTreeMap::new();
        for ((tenant, message, _), [before, now]) in persons {
            if let (Some(before @ Cell::Id(_)), Some(now @ Cell::Id(_))) = (before, now)
                && before != now
            {
                pairs.entry((tenant, before, now)).or_insert(message);
            }
        }
        let all = &self.rows[usize::from(self.catalog.built_in.events.unwrap_or(view))];
        let people = all.keys().map(|row| row.cells.get(5)).filter(|_| !pairs.is_empty());
        let left: HashSet<CellRef<'_>> = people.collect();
        for ((tenant, before, now), message) in pairs {
            let kind = if left.contains(&before.as_ref()) { "split" } else { "merge" };
            let cells = [
                tenant,
                before,
                now,
                Cell::str(kind),
                Cell::Int(self.epoch as i64),
                Cause::Upgrade.word().map_or(Cell::Null, Cell::str),
                message,
            ];
            let row = Row { view, cells: Cells::from(cells), final_at: Micros::MIN };
            changes.push(Change { row, diff: 1, cause: Cause::Upgrade });
        }
    }
}

#[cfg(test)]
mod tests {
    use connectors::bindings::Binding;

    use super::*;

    fn binding(epoch: Epoch, job: &str) -> Binding {
        Binding::new(epoch, 1, 0, job)
    }

    #[test]
    fn a_difference_has_the_first_epoch_of_the_last_version() {
        let of = |jobs: &str, hash: &str| {
            let bindings: Vec<Binding> =
                (1..).zip(jobs.chars()).map(|(n, job)| binding(n, &job.to_string())).collect();
            epoch(&bindings, hash)
        };
        assert_eq!(of("", "a"), None);
        assert_eq!(of("aaa", "a"), None);
        assert_eq!(of("aaa", "b"), Some(4));
        assert_eq!(of("aaab", "b"), Some(4));
        assert_eq!(of("aaabb", "b"), Some(4));
        assert_eq!(of("aabba", "a"), Some(5));
        assert_eq!(of("aabb", "a"), Some(5));
    }
}
