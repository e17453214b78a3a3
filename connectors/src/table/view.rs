//! The two tables of a view, and a commit to them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use operators::model::{
    Cell, CellRef, Change, Column, ColumnType, Epoch, Micros, Row, Status, ViewSchema,
};
use tokio::runtime::Runtime;

use super::changes::{Logged, Net, Waiting, by_partition, changelog, merge, sorted, status};
use super::columns::{Layout, arrow_schema, batch, cells, constant};
use super::delta::{Delta, Partition, Replacing, TableLayout};
use super::{Granularity, TableError, TableOptions, Written};

/// Rows in a file of the changelog at most.
const CHANGES_PER_FILE: usize = 1_000_000;

const STATUS: Layout = ("_status", ColumnType::Str, false);
const FINAL_AT: Layout = ("_final_at", ColumnType::Time, true);

fn own_columns(schema: &ViewSchema) -> impl Iterator<Item = Layout> {
    schema.columns.iter().map(|c| (c.name, c.kind, c.nullable))
}

fn logged_columns(schema: &ViewSchema) -> Vec<Layout> {
    let meta = [
        ("_op", ColumnType::Str, false),
        ("_epoch", ColumnType::Int, false),
        STATUS,
        ("_cause", ColumnType::Str, true),
        ("_job", ColumnType::Str, false),
    ];
    own_columns(schema).chain(meta).collect()
}

/// The columns in which hardly two rows have the same: ids in the key.
fn unique_columns(schema: &ViewSchema) -> Vec<&'static str> {
    let columns = schema.key.iter().map(|c| &schema.columns[*c]);
    let id = |c: &&Column| c.kind == ColumnType::Id || c.name == "message_id";
    columns.filter(id).map(|c| c.name).collect()
}

/// A view's current rows and changelog.
pub(super) struct View {
    schema: ViewSchema,
    index: u16,
    granularity: Granularity,
    current: Delta,
    changelog: Delta,
    /// What waits for a commit.
    waiting: Waiting,
    /// Partitions with rows that were written as provisional, and when the first of them becomes
    /// final.
    due: BTreeMap<Partition, Micros>,
}

impl View {
    /// Opens both tables; `index` is the view's place in the job's list.
    pub(super) fn open(
        runtime: &Runtime,
        out: &Path,
        (index, schema): (u16, &ViewSchema),
        options: &TableOptions,
    ) -> Result<Self, TableError> {
        let logged = logged_columns(schema);
        let mut current: Vec<Layout> = own_columns(schema).collect();
        current.extend([STATUS, FINAL_AT]);
        let mut partition_by = vec!["tenant"];
        if schema.date.is_some() && options.partition != Granularity::None {
            current.push(("date", ColumnType::Str, false));
            partition_by.push("date");
        }
        let name = &*schema.name;
        let app = |kind: &str| format!("{}/{kind}{name}", options.job);
        let folder = out.join(name);
        let plain = unique_columns(schema);
        let current = TableLayout { columns: current, partition_by, plain: plain.clone() };
        let current = Delta::open(runtime, &folder, &app(""), current)?;
        let folder = out.join("changelog").join(name);
        let logged = TableLayout { columns: logged, partition_by: Vec::new(), plain };
        let changelog = Delta::open(runtime, &folder, &app("changelog/"), logged)?;
        let mut view = Self {
            schema: schema.clone(),
            index,
            granularity: options.partition,
            current,
            changelog,
            waiting: Waiting::default(),
            due: BTreeMap::new(),
        };
        view.find_due()?;
        Ok(view)
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

    /// How much waits for a commit.
    pub(super) fn pending(&self) -> usize {
        self.waiting.len()
    }

    /// Takes in a change of an epoch; whether it is new to either table.
    pub(super) fn add(&mut self, epoch: Epoch, watermark: Micros, change: Change) -> bool {
        let new = self.committed().is_none_or(|done| epoch > done);
        if new {
            self.waiting.push(epoch, watermark, change);
        }
        new
    }

    /// Makes both tables complete up to an epoch. Without `all`, a view that nothing happened to is
    /// left as it is: no epoch since its last commit has a change of it.
    pub(super) fn commit(
        &mut self,
        runtime: &Runtime,
        (upto, watermark): (Epoch, Micros),
        job: &str,
        all: bool,
        written: &mut Written,
    ) -> Result<(), TableError> {
        let waiting = std::mem::take(&mut self.waiting);
        let due = self.due.values().any(|at| watermark >= *at);
        if waiting.is_empty() && !due && !all {
            return Ok(());
        }
        let mut sorted = sorted(&self.schema, &waiting);
        let done = self.changelog.committed();
        if done.is_none_or(|done| upto > done) {
            let mut new = sorted.clone();
            waiting.after(done, &mut new);
            let logged = changelog(&self.schema, &waiting, &new);
            written.rows_changelog += logged.len() as u64;
            let files: Result<Vec<RecordBatch>, TableError> =
                logged.chunks(CHANGES_PER_FILE).map(|lines| self.logged(lines, job)).collect();
            self.changelog.append(runtime, upto, &files?, written)?;
        }
        let done = self.current.committed();
        if done.is_none_or(|done| upto > done) {
            waiting.after(done, &mut sorted);
            let net = by_partition(&self.schema, self.granularity, &waiting, &sorted);
            self.rewrite(runtime, (upto, watermark), net, written)?;
        }
        Ok(())
    }

    fn logged(&self, lines: &[Logged<'_>], job: &str) -> Result<RecordBatch, TableError> {
        let own = self.schema.columns.len();
        let columns = logged_columns(&self.schema);
        let batch = batch(&columns, lines, |line, place| match place.checked_sub(own) {
            Some(0) => CellRef::Str(line.op.word()),
            Some(1) => CellRef::Int(line.epoch as i64),
            Some(2) => CellRef::Str(line.status.word()),
            Some(3) => line.cause.word().map_or(CellRef::Null, CellRef::Str),
            Some(_) => CellRef::Str(job),
            None => line.row.cells.get(place),
        });
        batch.map_err(|e| self.unfit(&e.to_string()))
    }

    /// Writes the partitions anew in which a row changed or became final.
    fn rewrite(
        &mut self,
        runtime: &Runtime,
        (upto, watermark): (Epoch, Micros),
        mut net: BTreeMap<Partition, Net<'_>>,
        written: &mut Written,
    ) -> Result<(), TableError> {
        let due = self.due.iter().filter(|(_, at)| watermark >= **at).map(|(p, _)| p.clone());
        let touched: BTreeSet<Partition> = due.chain(net.keys().cloned()).collect();
        let mut next_due = Vec::new();
        let mut replacing = Replacing::default();
        for partition in touched {
            let changes = net.remove(&partition).unwrap_or_default();
            let old = self.rows(&partition)?;
            let rows = merge(&self.schema, &old, changes).map_err(|row| {
                TableError::Inconsistent { view: self.schema.name.to_string(), row }
            })?;
            let open = rows.iter().map(|row| row.final_at);
            let due = open.filter(|at| *at > watermark && *at < Micros::MAX).min();
            written.rows_current += rows.len() as u64;
            let batch =
                if rows.is_empty() { None } else { Some(self.current_batch(&rows, watermark)?) };
            self.current.put(&mut replacing, &partition, batch.as_ref(), written)?;
            next_due.push((partition, due));
        }
        self.current.replace(runtime, upto, replacing)?;
        for (partition, due) in next_due {
            match due {
                Some(at) => drop(self.due.insert(partition, at)),
                None => drop(self.due.remove(&partition)),
            }
        }
        Ok(())
    }

    /// The columns of a file of current rows: those by which the table is partitioned stand in the
    /// log instead.
    fn stored(&self) -> impl Iterator<Item = Layout> {
        own_columns(&self.schema).skip(1)
    }

    fn current_batch(&self, rows: &[&Row], watermark: Micros) -> Result<RecordBatch, TableError> {
        let own = self.schema.columns.len();
        let columns: Vec<Layout> = self.stored().chain([STATUS, FINAL_AT]).collect();
        let batch = batch(&columns, rows, |row, place| match (place + 1).checked_sub(own) {
            Some(0) => CellRef::Str(status(row.final_at, watermark).word()),
            Some(_) => final_cell(row.final_at),
            None => row.cells.get(place + 1),
        });
        batch.map_err(|e| self.unfit(&e.to_string()))
    }

    /// The current rows of a partition, in order.
    fn rows(&self, partition: &Partition) -> Result<Vec<Row>, TableError> {
        let tenant = Cell::str(partition.first().map_or("", String::as_str));
        let mut rows = Vec::new();
        for batch in self.current.read(partition, None)? {
            let column = |layout: Layout| {
                let wrong = || self.unfit(&format!("column {} is not as it was written", layout.0));
                let array = batch.column_by_name(layout.0).ok_or_else(wrong)?;
                cells(layout.1, array).ok_or_else(wrong)
            };
            let mut columns = Vec::new();
            for layout in self.stored() {
                columns.push(column(layout)?.into_iter());
            }
            let final_at = column(FINAL_AT)?.into_iter().zip(column(STATUS)?);
            for (at, state) in final_at {
                let cells = columns.iter_mut().map(|c| c.next().unwrap_or_default());
                let cells: Vec<Cell> = std::iter::once(tenant.clone()).chain(cells).collect();
                let final_at = final_moment(&at, &state);
                rows.push(Row { view: self.index, cells: cells.into(), final_at });
            }
        }
        Ok(rows)
    }

    /// Finds the partitions with provisional rows in tables of an earlier run.
    fn find_due(&mut self) -> Result<(), TableError> {
        for partition in self.current.partitions() {
            let mut first: Option<Micros> = None;
            for batch in self.current.read(&partition, Some(&[STATUS.0, FINAL_AT.0]))? {
                let column = |layout: Layout| {
                    batch.column_by_name(layout.0).and_then(|array| cells(layout.1, array))
                };
                let (Some(states), Some(at)) = (column(STATUS), column(FINAL_AT)) else {
                    return Err(self.unfit("columns are missing in a file"));
                };
                for (state, at) in states.iter().zip(at) {
                    if let (Cell::Time(at), true) = (at, *state == provisional()) {
                        first = Some(first.map_or(at, |first| first.min(at)));
                    }
                }
            }
            if let Some(at) = first {
                self.due.insert(partition, at);
            }
        }
        Ok(())
    }

    /// The schema of the current rows as one stream: without the date of the partition.
    pub(super) fn stream_schema(&self) -> Arc<Schema> {
        arrow_schema(&own_columns(&self.schema).chain([STATUS, FINAL_AT]).collect::<Vec<_>>())
    }

    /// The current rows as a stream of batches, with their tenant.
    pub(super) fn stream(&self) -> impl Iterator<Item = Result<RecordBatch, TableError>> {
        let schema = self.stream_schema();
        self.current.partitions().into_iter().flat_map(move |partition| {
            let schema = Arc::clone(&schema);
            let with_tenant = |batch: RecordBatch| {
                let tenant = partition.first().map_or("", String::as_str);
                let mut columns = vec![constant(tenant, batch.num_rows())];
                columns.extend(batch.columns().iter().cloned());
                RecordBatch::try_new(Arc::clone(&schema), columns)
                    .map_err(|e| self.unfit(&e.to_string()))
            };
            match self.current.read(&partition, None) {
                Ok(batches) => batches.into_iter().map(with_tenant).collect::<Vec<_>>(),
                Err(error) => vec![Err(error)],
            }
        })
    }

    fn unfit(&self, message: &str) -> TableError {
        TableError::Encode { path: self.schema.name.as_ref().into(), message: message.to_owned() }
    }
}

fn provisional() -> Cell {
    Cell::str(Status::Provisional.word())
}

/// A row's `final_at` as its column has it: null for at once and for never.
fn final_cell(at: Micros) -> CellRef<'static> {
    if at == Micros::MIN || at == Micros::MAX { CellRef::Null } else { CellRef::Time(at) }
}

/// The inverse of [`final_cell`]: the status tells at once from never.
fn final_moment(at: &Cell, state: &Cell) -> Micros {
    match at {
        Cell::Time(at) => *at,
        _ if *state == provisional() => Micros::MAX,
        _ => Micros::MIN,
    }
}
