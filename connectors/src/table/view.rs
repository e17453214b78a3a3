//! The two tables of a view, and a commit to them.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use operators::model::{Change, Column, ColumnType, Epoch, Micros, ViewSchema};
use tokio::runtime::Runtime;

use super::changelog::Changelog;
use super::changes::{Place, Waiting, sorted};
use super::columns::Layout;
use super::current::Current;
use super::{TableError, TableOptions, Written};

/// The columns of a view as its tables have them.
pub(super) fn own_columns(schema: &ViewSchema) -> impl Iterator<Item = Layout> {
    schema.columns.iter().map(|c| (c.name, c.kind, c.nullable))
}

/// The columns in which hardly two rows have the same: ids in the key.
pub(super) fn unique_columns(schema: &ViewSchema) -> Vec<&'static str> {
    let columns = schema.key.iter().map(|c| &schema.columns[*c]);
    let id = |c: &&Column| c.kind == ColumnType::Id || c.name == "message_id";
    columns.filter(id).map(|c| c.name).collect()
}

pub(super) fn unfit(schema: &ViewSchema, message: &str) -> TableError {
    TableError::Encode { path: schema.name.as_ref().into(), message: message.to_owned() }
}

/// A view's current rows and changelog.
pub(super) struct View {
    schema: Arc<ViewSchema>,
    pub(super) current: Current,
    changelog: Changelog,
    /// What waits for a commit, of the current rows at least.
    waiting: Waiting,
    /// The first so many of it are in the changelog.
    logged: usize,
    /// Whether that is all that the current rows lack; else they take it from the changelog.
    whole: bool,
    /// Changes that this run has put into the changelog and not into the current rows.
    lacking: usize,
}

/// What a commit is to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Scope {
    /// Changelogs only.
    Changelogs,
    /// Current rows too, where something happened.
    Rows,
    /// Everything says that it is complete.
    End,
}

/// What a commit writes, for both tables.
pub(super) struct Commit {
    waiting: Waiting,
    /// Made by the table that is first to need it.
    sorted: OnceLock<Vec<Place>>,
    /// The first change that it sorts.
    first: usize,
    upto: Epoch,
    watermark: Micros,
    scope: Scope,
    /// Changes that are news to a table.
    size: usize,
}

/// A table and what is to be written to it.
pub(super) enum Task<'a> {
    Changelog(&'a mut Changelog),
    Current(&'a mut Current),
    /// The changelog, and then the current rows out of it.
    Both(&'a mut Changelog, &'a mut Current),
}

impl Task<'_> {
    /// Writes the table. What comes again after a crash is passed over.
    pub(super) fn run(
        self,
        runtime: &Runtime,
        schema: &ViewSchema,
        commit: &Commit,
        written: &mut Written,
    ) -> Result<(), TableError> {
        match self {
            Self::Changelog(table) => commit.log(table, runtime, schema, written),
            Self::Current(table) if table.is_behind(commit.upto) => {
                let new = (&commit.waiting, commit.sorted(schema));
                table.commit(runtime, (commit.upto, commit.watermark), new, written)
            }
            Self::Current(_) => Ok(()),
            Self::Both(changelog, current) => {
                commit.log(changelog, runtime, schema, written)?;
                let is_whole = changelog.committed() <= Some(commit.upto);
                if !current.is_behind(commit.upto) || (current.is_anew() && !is_whole) {
                    return Ok(());
                }
                current.catch_up(runtime, (commit.upto, commit.watermark), changelog, written)
            }
        }
    }
}

impl View {
    /// Opens both tables; `index` is the view's place in the job's list.
    pub(super) fn open(
        runtime: &Runtime,
        out: &Path,
        (index, schema): (u16, &ViewSchema),
        options: &TableOptions,
    ) -> Result<Self, TableError> {
        let schema = Arc::new(schema.clone());
        let current = Current::open(runtime, out, (index, &schema), options)?;
        let changelog = Changelog::open(runtime, out, &schema, options)?;
        let whole = changelog.committed() <= current.committed();
        let waiting = Waiting::default();
        Ok(Self { schema, current, changelog, waiting, logged: 0, whole, lacking: 0 })
    }

    /// The view's name.
    pub(super) fn name(&self) -> &str {
        &self.schema.name
    }

    /// Whether the changelog goes further than the current rows.
    pub(super) fn is_behind(&self) -> bool {
        self.changelog.committed() > self.current.committed()
    }

    /// The last epoch that either table holds.
    pub(super) fn newest(&self) -> Option<Epoch> {
        self.current.newest().max(self.changelog.committed())
    }

    /// The epoch up to which its changelog is complete, if that tells.
    pub(super) fn logged(&self) -> Option<Epoch> {
        self.changelog.committed()
    }

    /// Makes current rows that are further than the changelog anew of it.
    pub(super) fn go_back(&mut self) -> Result<(), TableError> {
        if self.current.committed() > self.changelog.committed() {
            self.current.begin_anew()?;
            self.whole = !self.is_behind();
        }
        Ok(())
    }

    /// Changes that the current rows lack.
    pub(super) fn lacking(&self) -> usize {
        self.lacking
    }

    /// Takes in a change of an epoch; whether it is new. What the changelog has is not, for current
    /// rows can take it from there.
    pub(super) fn add(&mut self, epoch: Epoch, watermark: Micros, change: Change) -> bool {
        let new = self.changelog.is_behind(epoch);
        if new {
            self.waiting.push(epoch, watermark, change);
        }
        new
    }

    /// What a commit up to an epoch writes. But at the end, a view that nothing happened to is left
    /// as it is: no epoch since its last commit has a change of it.
    pub(super) fn commit(
        &mut self,
        upto: Epoch,
        watermark: Micros,
        scope: Scope,
    ) -> Option<Commit> {
        let new = self.waiting.len() - self.logged;
        let (first, size) = match scope {
            Scope::Changelogs => (self.logged, new),
            Scope::Rows | Scope::End => (0, new + self.lacking),
        };
        let busy = match scope {
            Scope::Changelogs => new > 0,
            Scope::Rows => {
                let lacks = new > 0 || self.is_behind();
                lacks || self.current.is_anew() || self.current.is_due(watermark)
            }
            Scope::End => true,
        };
        let waiting = || std::mem::take(&mut self.waiting);
        let commit = |waiting| {
            let sorted = OnceLock::new();
            Commit { waiting, sorted, first, upto, watermark, scope, size }
        };
        busy.then(waiting).map(commit)
    }

    /// A commit is done.
    pub(super) fn done(&mut self, commit: Commit) {
        if commit.scope == Scope::Changelogs {
            self.lacking += commit.size;
            self.logged = commit.waiting.len();
            self.waiting = commit.waiting;
        } else {
            // What stands may still wait for something of the same time.
            (self.lacking, self.logged) = (usize::from(self.current.is_anew()), 0);
            self.whole = !self.is_behind();
        }
    }

    /// Gives up what the changelog has.
    pub(super) fn forget(&mut self) {
        if self.logged > 0 && self.logged == self.waiting.len() {
            (self.waiting, self.logged, self.whole) = (Waiting::default(), 0, false);
        }
    }

    /// Changes in memory that the changelog has.
    pub(super) fn kept(&self) -> usize {
        self.logged
    }

    /// The tables of a commit, to be written in any order or side by side.
    pub(super) fn tasks(&mut self, commit: &Commit) -> (&ViewSchema, Vec<Task<'_>>) {
        let Self { schema, current, changelog, whole, .. } = self;
        let tasks = match commit.scope {
            Scope::Changelogs => vec![Task::Changelog(changelog)],
            _ if !*whole => vec![Task::Both(changelog, current)],
            _ => vec![Task::Changelog(changelog), Task::Current(current)],
        };
        (schema, tasks)
    }
}

impl Commit {
    /// Number of changes.
    pub(super) fn len(&self) -> usize {
        self.size
    }

    fn sorted(&self, schema: &ViewSchema) -> &[Place] {
        self.sorted.get_or_init(|| sorted(schema, &self.waiting, self.first))
    }

    fn log(
        &self,
        table: &mut Changelog,
        runtime: &Runtime,
        schema: &ViewSchema,
        written: &mut Written,
    ) -> Result<(), TableError> {
        if !table.is_behind(self.upto) {
            return Ok(());
        }
        table.commit(runtime, self.upto, (&self.waiting, self.sorted(schema)), written)
    }
}
