//! A changed job: it computes silently up to what is published, and then publishes the difference
//! between what stands published and what it would have, as an epoch of its own.
//!
//! That epoch has a binding without records, the first with the new job's hash. So it is clear
//! after a crash too what is old and what is new, and an output that has the epoch has the
//! difference.
//!
//! What stands published is read from the changelogs, which say it for every epoch; hence only jobs
//! with tables can be changed, and topics must not be ahead of them. A commit that was cut off
//! leaves some tables further than others, perhaps with half of an earlier difference: each view's
//! difference begins where its own changelog ends. Of changelogs that are gone see `gone.rs`.
//!
//! What is only added to is no difference: what was said when stays said. But where a run did not
//! come to its end, an output lacks the last epochs that are bound; what the changed job says of
//! them there goes with the difference.
//!
//! Memory: until the difference is published, the rows of every view once, and those of one view
//! twice. Of what is only added to, what some output lacks.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use connectors::bindings::Binding;
use connectors::durable;
use connectors::table::{Granularity, TableError, logged, standing};
use foldhash::fast::FixedState;
use operators::model::{Cause, Cell, CellRef, Cells, Change, Epoch, Micros, Row};
use operators::views::catalog::Catalog;

use super::RunError;
use super::became::{Became, Person, Said, beside};
use super::job_file::{self, JobFile, Text};
use super::plan::{self, Plan};

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
    path.parent().map_or(Ok(()), durable::create_folder).map_err(fail)?;
    // It may have secrets that should stand in the environment and do not.
    durable::write(&path, plan.text.as_bytes(), true).map_err(fail)
}

/// A version of the job, if its text is kept.
fn version(plan: &Plan, hash: &str) -> Option<(Text, JobFile)> {
    let path = kept(plan, hash);
    let text = fs::read_to_string(&path).ok()?;
    // Names may be of the environment. Secrets that it has no more don't matter here.
    let env = |name: &str| Some(std::env::var(name).unwrap_or_default());
    job_file::parse(&path, &text, &env).ok()
}

/// The views of an earlier version of the job, if its text is kept.
pub(super) fn views(plan: &Plan, hash: &str) -> Option<BTreeSet<String>> {
    let (text, file) = version(plan, hash)?;
    plan::view_names(&text, &file)
}

/// The version of the job before the one that publishes a difference at an epoch.
pub(super) fn before(bindings: &[Binding], epoch: Epoch) -> Option<&str> {
    let earlier = bindings.iter().rfind(|binding| binding.epoch < epoch);
    earlier.map(|binding| binding.job.as_str())
}

/// Whether an earlier version of the job leaves what this one can go on from: the same sources in
/// its bindings, and tables of the same names and partitions.
pub(super) fn check_change(plan: &Plan, before: &str) -> Result<(), RunError> {
    let out = plan.out.display().to_string();
    let refused = |why: String| Err(RunError::JobChanged { out, why });
    let Some((_, file)) = version(plan, before) else {
        return refused(format!("{} is not there", kept(plan, before).display()));
    };
    let name = file.job.name.get_ref();
    if *name != plan.name {
        let now = &plan.name;
        return refused(format!("its name was {name:?}, and is {now:?}, by which tables know it"));
    }
    let old: Vec<&str> = file.source.iter().map(|source| source.name.get_ref().as_str()).collect();
    let new: Vec<&str> = plan.sources.iter().map(|source| &*source.name).collect();
    if old.len() > new.len() || old.iter().zip(&new).any(|(old, new)| old != new) {
        return refused(format!(
            "its sources were {}, and are {}; keep them in their order, and add new ones behind",
            old.join(", "),
            new.join(", ")
        ));
    }
    if let (Some(old), Some(new)) = (plan::partition(&file), &plan.tables)
        && old != new.partition
    {
        let [old, new] = [old, new.partition].map(Granularity::word);
        return refused(format!("its tables have the partition {old:?}, and not {new:?}"));
    }
    Ok(())
}

/// Rows with how many of each there are.
type Rows = HashMap<Row, i64, FixedState>;

/// What was told of persons since a time, in order, and how many events they had then.
#[derive(Default)]
struct Told {
    said: Vec<Said>,
    stood: BTreeMap<Person, usize>,
}

/// A difference that some outputs lack.
pub(super) struct Upgrade {
    /// The epoch that publishes it.
    pub epoch: Epoch,
    out: PathBuf,
    catalog: Arc<Catalog>,
    /// By view, what the changed job makes of everything up to the epoch.
    rows: Vec<Rows>,
    /// By view, the epoch up to which its changelog tells what stands in the tables.
    logged: Vec<Option<Epoch>>,
    /// Up to this epoch every output has what is only added to.
    said: Option<Epoch>,
    /// What was added to such views later, and when.
    added: Vec<(Epoch, Change)>,
    /// Whether the version before had events: else nobody can tell whose they were.
    had_events: bool,
}

impl Upgrade {
    /// The difference to be published at an epoch, if any output lacks it. `outputs` are complete
    /// up to their epochs; `logged` is, by view, how far the changelogs are; the tables of views
    /// that are `gone` begin anew.
    ///
    /// # Errors
    ///
    /// What stands published in an output can't be told.
    pub(super) fn begin(
        plan: &Plan,
        (epoch, bindings): (Epoch, &[Binding]),
        (outputs, mut logged): (&BTreeMap<String, Option<Epoch>>, Vec<Option<Epoch>>),
        gone: &BTreeSet<String>,
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
        let before = before(bindings, epoch);
        if let Some((name, holds)) = outputs.iter().find(|(_, h)| lacks(h) && *h > tables) {
            let [holds, tables] = [holds, tables].map(|epoch| epoch.unwrap_or(0));
            let why = format!(
                "{name} holds epoch {holds} and the tables {tables}; run the job as it was{} until \
                 both are equally far, which it is when it is stopped",
                as_it_was(plan, before)
            );
            return Err(RunError::JobChanged { out, why });
        }
        let mut said = outputs.values().filter(|holds| lacks(holds)).min().copied().flatten();
        for (schema, logged) in plan.catalog.schemas.iter().zip(&mut logged) {
            if gone.contains(&*schema.name) {
                (*logged, said) = (None, None);
            }
        }
        let rows = vec![Rows::default(); plan.catalog.schemas.len()];
        let (out, catalog) = (plan.out.clone(), Arc::clone(&plan.catalog));
        let events = catalog.built_in.events.map(|view| &*catalog.schemas[usize::from(view)].name);
        let views = before.and_then(|before| views(plan, before));
        let had_events = views.zip(events).is_some_and(|(views, events)| views.contains(events));
        Ok(Some(Self { epoch, out, catalog, rows, logged, said, added: Vec::new(), had_events }))
    }

    /// Takes in what the changed job says of an epoch.
    pub(super) fn add(&mut self, epoch: Epoch, changes: Vec<Vec<Change>>) {
        for change in changes.into_iter().flatten() {
            let view = usize::from(change.row.view);
            if self.catalog.schemas[view].append_only {
                if Some(epoch) > self.said {
                    self.added.push((epoch, change));
                }
                continue;
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

    /// What the tables are told.
    pub(super) fn of_tables(&self) -> Result<Vec<Change>, TableError> {
        self.changes(|view| self.logged[view])
    }

    /// What a topic is told that holds everything up to an epoch.
    pub(super) fn of_topic(&self, holds: Option<Epoch>) -> Result<Vec<Change>, TableError> {
        self.changes(|_| holds)
    }

    fn changes(&self, holds: impl Fn(usize) -> Option<Epoch>) -> Result<Vec<Change>, TableError> {
        let holds = |view: u16| holds(usize::from(view));
        let lacks = |view: u16| holds(view) < Some(self.epoch);
        let added = self.added.iter().filter(|(epoch, c)| Some(*epoch) > holds(c.row.view));
        let mut changes: Vec<Change> = added.map(|(_, change)| change.clone()).collect();
        let built_in = self.catalog.built_in;
        for (view, schema) in (0..).zip(&self.catalog.schemas) {
            if schema.append_only {
                continue;
            }
            let mut rows = None;
            if lacks(view) {
                rows = Some(self.difference(view, holds(view))?);
            }
            // Persons are told from where both begin: a commit may have been cut off between them.
            let told = built_in
                .id_changes
                .filter(|told| Some(view) == built_in.events && self.had_events && lacks(*told));
            if let Some(told) = told
                && let Some(base) = holds(view).min(holds(told))
            {
                let since = match holds(told) {
                    Some(upto) if upto > base => self.told_since(told, view, (base, upto))?,
                    _ => Told::default(),
                };
                match &rows {
                    Some(rows) if holds(view) == Some(base) => {
                        self.id_changes(rows, &since, &mut changes);
                    }
                    _ => {
                        let rows = self.difference(view, Some(base))?;
                        self.id_changes(&rows, &since, &mut changes);
                    }
                }
            }
            let change = |(row, diff)| Change { row, diff, cause: Cause::Upgrade };
            changes.extend(rows.into_iter().flatten().map(change));
        }
        Ok(changes)
    }

    /// What the changed job makes of a view, less what stood after an epoch.
    fn difference(&self, view: u16, epoch: Option<Epoch>) -> Result<Rows, TableError> {
        let mut rows = self.rows[usize::from(view)].clone();
        if let Some(epoch) = epoch {
            let schema = &self.catalog.schemas[usize::from(view)];
            for row in standing(&self.out, (view, schema), epoch)? {
                *rows.entry(row).or_default() -= 1;
            }
        }
        rows.retain(|_, diff| *diff != 0);
        Ok(rows)
    }

    /// What the table of `id_changes`, `told`, has of the epochs after one and up to another.
    fn told_since(
        &self,
        told: u16,
        events: u16,
        (after, upto): (Epoch, Epoch),
    ) -> Result<Told, TableError> {
        let schema = |view: u16| &self.catalog.schemas[usize::from(view)];
        let lines = logged(&self.out, (told, schema(told)), upto)?.into_iter();
        let said = lines.filter(|line| line.epoch > after).map(|line| {
            let cell = |place: usize| Cell::from(line.row.cells.get(place));
            let (from, is_merge) = ((cell(0), cell(1)), cell(3) == Cell::str("merge"));
            Said { epoch: cell(4), from, to: cell(2), is_merge, message: cell(6) }
        });
        let mut said: Vec<Said> = said.collect();
        // A difference tells of several epochs.
        said.sort_by(|one, other| one.epoch.cmp(&other.epoch));
        let mut stood = BTreeMap::new();
        if !said.is_empty() {
            let ends = said.iter().map(|said| (said.from.0.clone(), said.to.clone()));
            let of: BTreeSet<Person> =
                said.iter().map(|said| said.from.clone()).chain(ends).collect();
            for row in standing(&self.out, (events, schema(events)), after)? {
                let person = (row.cells.get(0).into(), row.cells.get(5).into());
                if of.contains(&person) {
                    *stood.entry(person).or_default() += 1;
                }
            }
        }
        Ok(Told { said, stood })
    }

    /// Whose events are somebody else's now: who became whom, but for what is told already.
    fn id_changes(&self, events: &Rows, told: &Told, changes: &mut Vec<Change>) {
        let Some(view) = self.catalog.built_in.id_changes else { return };
        let mut persons: BTreeMap<(Cell, Cell, Cell), [Option<Cell>; 2]> = BTreeMap::new();
        for (row, diff) in events {
            let [tenant, message, time, person] =
                [0, 1, 2, 5].map(|column| Cell::from(row.cells.get(column)));
            let place = usize::from(*diff > 0);
            persons.entry((tenant, message, time)).or_default()[place] = Some(person);
        }
        let (mut became, mut kept) = (Became::new(), BTreeSet::new());
        let mut stood = told.stood.clone();
        for ((tenant, message, _), [before, now]) in persons {
            let Some(before @ Cell::Id(_)) = before else { continue };
            let before = (tenant, before);
            if let Some(count) = stood.get_mut(&before) {
                *count = count.saturating_sub(1);
            }
            match now {
                Some(now) if now == before.1 => drop(kept.insert(before)),
                Some(now @ Cell::Id(_)) => {
                    became.entry(before).or_default().entry(now).or_insert(message);
                }
                _ => {}
            }
        }
        let stays = |(person, count): (Person, usize)| {
            let stays = count > 0 || kept.contains(&person);
            (person, stays)
        };
        let mut pairs = beside(became, &told.said, &stood.into_iter().map(stays).collect());
        let all = &self.rows[usize::from(self.catalog.built_in.events.unwrap_or(view))];
        let people = all.keys().map(|row| row.cells.get(5)).filter(|_| !pairs.is_empty());
        let left: HashSet<CellRef<'_>> = people.collect();
        for row in changes.iter().map(|change| &change.row).filter(|row| row.view == view) {
            let [tenant, before, now] = [0, 1, 2].map(|c| Cell::from(row.cells.get(c)));
            // One that is no more is not told by what says that it is divided.
            if row.cells.get(3) == CellRef::Str("merge") || left.contains(&before.as_ref()) {
                pairs.remove(&(tenant, before, now));
            }
        }
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

/// Where the job file of a version is kept, as words in a message.
fn as_it_was(plan: &Plan, before: Option<&str>) -> String {
    let kept = before.map(|before| kept(plan, before)).filter(|path| path.exists());
    kept.map_or_else(String::new, |path| format!(", as {} has it,", path.display()))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use connectors::bindings::Binding;
    use operators::model::Token;

    use super::*;

    /// A difference at epoch 9 of a job with the built-in views, of which nothing is published.
    fn upgrade(folder: &Path) -> Upgrade {
        let catalog = Arc::new(Catalog::new(Vec::new(), &[], "UTC").unwrap());
        let rows = vec![Rows::default(); catalog.schemas.len()];
        let (logged, added) = (vec![None; rows.len()], Vec::new());
        let (out, said, had_events) = (folder.into(), Some(3), true);
        Upgrade { epoch: 9, out, catalog, rows, logged, said, added, had_events }
    }

    fn change(view: Option<u16>, cells: Vec<Cell>) -> Change {
        let row = Row { view: view.unwrap(), cells: cells.into(), final_at: Micros::MIN };
        Change { row, diff: 1, cause: Cause::New }
    }

    /// Each output gets what is only added to from where it ends.
    #[test]
    fn what_was_added_goes_to_those_who_lack_it() {
        let folder = tempfile::tempdir().unwrap();
        let mut upgrade = upgrade(folder.path());
        let letters = upgrade.catalog.built_in.dead_letters;
        for epoch in 1..=6 {
            let mut cells = vec![Cell::Null; 7];
            cells[3] = Cell::Int(epoch as i64);
            upgrade.add(epoch, vec![Vec::new(), vec![change(letters, cells)]]);
        }
        let told = |holds: Epoch| -> Vec<Cell> {
            let changes = upgrade.of_topic(Some(holds)).unwrap();
            changes.iter().map(|change| Cell::from(change.row.cells.get(3))).collect()
        };
        assert_eq!(told(3), [4, 5, 6].map(Cell::Int));
        assert_eq!(told(5), [6].map(Cell::Int));
        assert_eq!(told(8), []);
        assert_eq!(upgrade.added.len(), 3, "what all have is not kept");
    }

    /// Who became whom in an epoch that an output lacks is not told once more.
    #[test]
    fn a_change_of_a_person_is_told_once() {
        let folder = tempfile::tempdir().unwrap();
        let upgrade = upgrade(folder.path());
        let [events, view] = [upgrade.catalog.built_in.events, upgrade.catalog.built_in.id_changes];
        let person = |n: u128| Cell::Id(Token(n));
        let event = |n: u128| {
            let text = Cell::str;
            let cells =
                vec![text("t"), text("m"), Cell::Time(1), text("web"), text("e"), person(n)];
            change(events, cells).row
        };
        let rows: Rows = [(event(1), -1), (event(2), 1)].into_iter().collect();
        let told = |mut changes: Vec<Change>| {
            upgrade.id_changes(&rows, &Told::default(), &mut changes);
            changes.len()
        };
        let by_itself = |before: u128, now: u128| {
            let mut cells = vec![Cell::str("t"), person(before), person(now), Cell::str("merge")];
            cells.extend([Cell::Int(5), Cell::Null, Cell::str("m")]);
            change(view, cells)
        };
        assert_eq!(told(Vec::new()), 1);
        assert_eq!(told(vec![by_itself(1, 2)]), 1);
        assert_eq!(told(vec![by_itself(1, 3)]), 2);
        // Nor is what stands in the table already.
        for (before, now, count) in [(1, 2, 0), (2, 1, 1), (1, 3, 1)] {
            let [before, now] = [before, now].map(person);
            let (from, message, epoch) = ((Cell::str("t"), before), Cell::str("m"), Cell::Int(5));
            let stood = [(from.clone(), 1)].into_iter().collect();
            let said = vec![Said { epoch, from, to: now, is_merge: true, message }];
            let told = Told { said, stood };
            let mut changes = Vec::new();
            upgrade.id_changes(&rows, &told, &mut changes);
            assert_eq!(changes.len(), count);
        }
    }

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
