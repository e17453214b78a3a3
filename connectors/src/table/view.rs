//! The two tables of a view, and a commit to them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use operators::model::{Cell, ColumnType, Epoch, Micros, Row, Status, ViewSchema};
use tokio::runtime::Runtime;

use super::changes::{Entry, Logged, Net, by_partition, changelog, merge, sorted, status};
use super::columns::{Layout, array, arrow_schema, batch, cells};
use super::delta::{Delta, Partition};
use super::{Granularity, TableError, TableOptions, Written};

/// Rows in a file of the changelog at most.
const CHANGES_PER_FILE: usize = 1_000_000;

const STATUS: Layout = ("_status", ColumnType::Str, false);
const FINAL_AT: Layout = ("_final_at", ColumnType::Time, true);

/// A view's current rows and changelog.
pub(super) struct View {
    schema: ViewSchema,
    index: u16,
    granularity: Granularity,
    current: Delta,
    changelog: Delta,
    /// What waits for a commit.
    entries: Vec<Entry>,
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
        let columns: Vec<Layout> =
            schema.columns.iter().map(|c| (c.name, c.kind, c.nullable)).collect();
        let mut logged = columns.clone();
        logged.extend([
            ("_op", ColumnType::Str, false),
            ("_epoch", ColumnType::Int, false),
            STATUS,
            ("_cause", ColumnType::Str, true),
            ("_job", ColumnType::Str, false),
        ]);
        let mut current = columns;
        current.extend([STATUS, FINAL_AT]);
        let mut partition_by = vec!["tenant"];
        if schema.date.is_some() && options.partition != Granularity::None {
            current.push(("date", ColumnType::Str, false));
            partition_by.push("date");
        }
        let name = &*schema.name;
        let app = |kind: &str| format!("{}/{kind}{name}", options.job);
        let folder = out.join(name);
        let current = Delta::open(runtime, &folder, &app(""), &current, &partition_by)?;
        let folder = out.join("changelog").join(name);
        let changelog = Delta::open(runtime, &folder, &app("changelog/"), &logged, &[])?;
        let mut view = Self {
            schema: schema.clone(),
            index,
            granularity: options.partition,
            current,
            changelog,
            entries: Vec::new(),
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

    /// Takes in a change; whether it is new to either table.
    pub(super) fn add(&mut self, entry: Entry) -> bool {
        let new = self.committed().is_none_or(|done| entry.epoch > done);
        if new {
            self.entries.push(entry);
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
        let entries = std::mem::take(&mut self.entries);
        let due = self.due.values().any(|at| watermark >= *at);
        if entries.is_empty() && !due && !all {
            return Ok(());
        }
        let mut sorted = sorted(&self.schema, &entries);
        let done = self.changelog.committed();
        if done.is_none_or(|done| upto > done) {
            let mut new = sorted.clone();
            new.retain(|&index| done.is_none_or(|done| entries[index as usize].epoch > done));
            let logged = changelog(&self.schema, &entries, &new);
            written.rows_changelog += logged.len() as u64;
            let files: Result<Vec<RecordBatch>, TableError> =
                logged.chunks(CHANGES_PER_FILE).map(|lines| self.logged(lines, job)).collect();
            self.changelog.append(runtime, upto, &files?, written)?;
        }
        let done = self.current.committed();
        if done.is_none_or(|done| upto > done) {
            sorted.retain(|&index| done.is_none_or(|done| entries[index as usize].epoch > done));
            let net = by_partition(&self.schema, self.granularity, entries, &sorted);
            self.rewrite(runtime, (upto, watermark), net, written)?;
        }
        Ok(())
    }

    fn logged(&self, lines: &[Logged<'_>], job: &str) -> Result<RecordBatch, TableError> {
        let mut columns = Vec::new();
        for (place, column) in self.schema.columns.iter().enumerate() {
            let cells = lines.iter().map(|line| &line.row.cells[place]);
            columns.push(((column.name, column.kind, column.nullable), array(column.kind, cells)));
        }
        let mut meta = |layout: Layout, cell: &dyn Fn(&Logged<'_>) -> Cell| {
            let cells: Vec<Cell> = lines.iter().map(cell).collect();
            columns.push((layout, array(layout.1, cells.iter())));
        };
        // Each word is one shared text: a row costs a reference.
        let word = |list: [&'static str; 3]| list.map(|w| (w, Cell::str(w)));
        let of = |words: &[(&str, Cell)], wanted: &str| {
            words.iter().find(|w| w.0 == wanted).map_or(Cell::Null, |w| w.1.clone())
        };
        let ops = word(["insert", "update", "delete"]);
        let states = Status::ALL.map(|s| (s.word(), Cell::str(s.word())));
        meta(("_op", ColumnType::Str, false), &|line| of(&ops, line.op));
        meta(("_epoch", ColumnType::Int, false), &|line| Cell::Int(line.epoch as i64));
        meta(STATUS, &|line| of(&states, line.status.word()));
        let cause = |line: &Logged<'_>| line.cause.word().map_or(Cell::Null, Cell::str);
        meta(("_cause", ColumnType::Str, true), &cause);
        let job = Cell::str(job);
        meta(("_job", ColumnType::Str, false), &|_| job.clone());
        batch(columns).map_err(|e| self.unfit(&e.to_string()))
    }

    /// Writes the partitions anew in which a row changed or became final.
    fn rewrite(
        &mut self,
        runtime: &Runtime,
        (upto, watermark): (Epoch, Micros),
        mut net: BTreeMap<Partition, Net>,
        written: &mut Written,
    ) -> Result<(), TableError> {
        let due = self.due.iter().filter(|(_, at)| watermark >= **at).map(|(p, _)| p.clone());
        let touched: BTreeSet<Partition> = due.chain(net.keys().cloned()).collect();
        let mut parts = Vec::new();
        let mut next_due = Vec::new();
        for partition in touched {
            let changes = net.remove(&partition).unwrap_or_default();
            let rows = merge(&self.schema, self.rows(&partition)?, changes).map_err(|row| {
                TableError::Inconsistent { view: self.schema.name.to_string(), row }
            })?;
            let open = rows.iter().map(|row| row.final_at);
            next_due.push(open.filter(|at| *at > watermark && *at < Micros::MAX).min());
            written.rows_current += rows.len() as u64;
            let batch =
                if rows.is_empty() { None } else { Some(self.current_batch(&rows, watermark)?) };
            parts.push((partition, batch));
        }
        self.current.replace(runtime, upto, &parts, written)?;
        for ((partition, _), due) in parts.into_iter().zip(next_due) {
            match due {
                Some(at) => drop(self.due.insert(partition, at)),
                None => drop(self.due.remove(&partition)),
            }
        }
        Ok(())
    }

    /// The columns of a file of current rows: those by which the table is partitioned stand in the
    /// log instead.
    fn stored(&self) -> impl Iterator<Item = (usize, Layout)> {
        let columns = self.schema.columns.iter().enumerate();
        columns.skip(1).map(|(place, c)| (place, (c.name, c.kind, c.nullable)))
    }

    fn current_batch(&self, rows: &[Row], watermark: Micros) -> Result<RecordBatch, TableError> {
        let mut columns = Vec::new();
        for (place, layout) in self.stored() {
            columns.push((layout, array(layout.1, rows.iter().map(|row| &row.cells[place]))));
        }
        let states = Status::ALL.map(|s| (s, Cell::str(s.word())));
        let state = |row: &Row| usize::from(states[0].0 != status(row.final_at, watermark));
        columns.push((STATUS, array(STATUS.1, rows.iter().map(|row| &states[state(row)].1))));
        let final_at: Vec<Cell> = rows.iter().map(|row| final_cell(row.final_at)).collect();
        columns.push((FINAL_AT, array(FINAL_AT.1, final_at.iter())));
        batch(columns).map_err(|e| self.unfit(&e.to_string()))
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
            for (_, layout) in self.stored() {
                columns.push(column(layout)?.into_iter());
            }
            let final_at = column(FINAL_AT)?.into_iter().zip(column(STATUS)?);
            for (at, state) in final_at {
                let cells = columns.iter_mut().map(|c| c.next().unwrap_or_default());
                let cells = std::iter::once(tenant.clone()).chain(cells).collect();
                let final_at = final_moment(&at, &state);
                rows.push(Row { view: self.index, cells, final_at });
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
        let columns = self.schema.columns.iter().map(|c| (c.name, c.kind, c.nullable));
        arrow_schema(&columns.chain([STATUS, FINAL_AT]).collect::<Vec<_>>())
    }

    /// The current rows as a stream of batches, with their tenant.
    pub(super) fn stream(&self) -> impl Iterator<Item = Result<RecordBatch, TableError>> {
        let schema = self.stream_schema();
        self.current.partitions().into_iter().flat_map(move |partition| {
            let schema = Arc::clone(&schema);
            let with_tenant = |batch: RecordBatch| {
                let tenant = Cell::str(partition.first().map_or("", String::as_str));
                let tenants = std::iter::repeat_n(&tenant, batch.num_rows());
                let mut columns = vec![array(ColumnType::Str, tenants)];
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
fn final_cell(at: Micros) -> Cell {
    if at == Micros::MIN || at == Micros::MAX { Cell::Null } else { Cell::Time(at) }
}

/// The inverse of [`final_cell`]: the status tells at once from never.
fn final_moment(at: &Cell, state: &Cell) -> Micros {
    match at {
        Cell::Time(at) => *at,
        _ if *state == provisional() => Micros::MAX,
        _ => Micros::MIN,
    }
}
