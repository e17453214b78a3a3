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
    /// What waits for a commit.
    waiting: Waiting,
}

/// What a commit writes, for both tables.
pub(super) struct Commit {
    waiting: Waiting,
    /// Made by the table that is first to need it.
    sorted: OnceLock<Vec<Place>>,
    upto: Epoch,
    watermark: Micros,
}

/// A table and what is to be written to it.
pub(super) enum Task<'a> {
    Current(&'a mut Current),
    Changelog(&'a mut Changelog),
}

impl Task<'_> {
    /// Whether the table has it all already.
    fn is_done(&self, upto: Epoch) -> bool {
        match self {
            Self::Current(table) => !table.is_behind(upto),
            Self::Changelog(table) => !table.is_behind(upto),
        }
    }

    /// Writes the table. What comes again after a crash is passed over.
    pub(super) fn run(
        self,
        runtime: &Runtime,
        schema: &ViewSchema,
        commit: &Commit,
        written: &mut Written,
    ) -> Result<(), TableError> {
        if self.is_done(commit.upto) {
            return Ok(());
        }
        let sorted = commit.sorted.get_or_init(|| sorted(schema, &commit.waiting));
        let new = (&commit.waiting, sorted.as_slice());
        match self {
            Self::Current(table) => {
                table.commit(runtime, (commit.upto, commit.watermark), new, written)
            }
            Self::Changelog(table) => table.commit(runtime, commit.upto, new, written),
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
        Ok(Self { schema, current, changelog, waiting: Waiting::default() })
    }

    /// The view's name.
    pub(super) fn name(&self) -> &str {
        &self.schema.name
    }

    /// The epoch up to which both tables are complete.
    pub(super) fn committed(&self) -> Option<Epoch> {
        self.current.committed().min(self.changelog.committed())
    }

    /// The last epoch that either table holds.
    pub(super) fn newest(&self) -> Option<Epoch> {
        self.current.committed().max(self.changelog.committed())
    }

    /// Takes in a change of an epoch; whether it is new to either table.
    pub(super) fn add(&mut self, epoch: Epoch, watermark: Micros, change: Change) -> bool {
        let new = self.committed().is_none_or(|done| epoch > done);
        if new {
            self.waiting.push(epoch, watermark, change);
        }
        new
    }

    /// What makes both tables complete up to an epoch. Without `all`, a view that nothing happened
    /// to is left as it is: no epoch since its last commit has a change of it.
    pub(super) fn commit(&mut self, upto: Epoch, watermark: Micros, all: bool) -> Option<Commit> {
        let waiting = std::mem::take(&mut self.waiting);
        let idle = waiting.is_empty() && !self.current.is_due(watermark) && !all;
        let sorted = OnceLock::new();
        (!idle).then_some(Commit { waiting, sorted, upto, watermark })
    }

    /// The tables of a commit, to be written in any order or side by side.
    pub(super) fn tasks(&mut self) -> (&ViewSchema, [Task<'_>; 2]) {
        let Self { schema, current, changelog, .. } = self;
        (schema, [Task::Changelog(changelog), Task::Current(current)])
    }
}

impl Commit {
    /// Number of changes.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }
}
