//! A view's current rows, rewritten partition by partition.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use operators::model::{Cell, ColumnType, Epoch, Micros, ViewSchema};
use tokio::runtime::Runtime;

use super::changelog::Changelog;
use super::changes::{Net, Place, Waiting, by_partition};
use super::columns::{COLUMN_BYTES, Layout, arrow_schema, cells, constant};
use super::delta::{Delta, Partition, Replacing, TableLayout};
use super::encode::{Encoded, ROWS_AT_ONCE, encode_batches};
use super::merged::{Held, Run, Step};
use super::replayed::{FINAL_AT, Outcome, STATUS, outcomes, provisional};
use super::view::{own_columns, unfit, unique_columns};
use super::{Granularity, TableError, TableOptions, Written};
use crate::durable;

/// The file of a table that says that what stands in it does not count.
const ANEW: &str = "_anew";

/// What happened to the rows of a partition, in order.
enum Changes<'a> {
    /// By row, as changes in memory say it.
    Net(Net<'a>),
    /// By key, as the changelog says it.
    Outcomes(Vec<Outcome<'a>>),
}

impl<'a> Changes<'a> {
    /// The same, as steps of a merge.
    fn steps(self) -> Box<dyn Iterator<Item = Step<'a>> + 'a> {
        let count = |diff: i64| usize::try_from(diff).unwrap_or(0);
        match self {
            Self::Net(net) => Box::new(net.into_iter().map(move |(row, diff)| {
                let (goes, comes) = (count(-diff), count(diff));
                Step { row, goes, comes, by_key: false }
            })),
            Self::Outcomes(outcomes) => Box::new(outcomes.into_iter().map(Outcome::step)),
        }
    }
}

/// The current rows of a view.
pub(super) struct Current {
    schema: Arc<ViewSchema>,
    index: u16,
    granularity: Granularity,
    table: Delta,
    /// Partitions with rows that were written as provisional, and when the first of them becomes
    /// final.
    due: BTreeMap<Partition, Micros>,
    /// If what stands does not count, the epoch that it is of.
    anew: Option<Epoch>,
}

/// The columns of a table of current rows, and those by which it is partitioned.
pub(super) fn columns(
    schema: &ViewSchema,
    granularity: Granularity,
) -> (Vec<Layout>, Vec<&'static str>) {
    let mut columns: Vec<Layout> = own_columns(schema).chain([STATUS, FINAL_AT]).collect();
    let mut partition_by = vec!["tenant"];
    if schema.date.is_some() && granularity != Granularity::None {
        columns.push(("date", ColumnType::Str, false));
        partition_by.push("date");
    }
    (columns, partition_by)
}

impl Current {
    /// Opens `<out>/<view>`; `index` is the view's place in the job's list.
    pub(super) fn open(
        runtime: &Runtime,
        out: &Path,
        (index, schema): (u16, &Arc<ViewSchema>),
        options: &TableOptions,
    ) -> Result<Self, TableError> {
        let (columns, partition_by) = columns(schema, options.partition);
        let name = &*schema.name;
        let layout = TableLayout { columns, partition_by, plain: unique_columns(schema) };
        let app = format!("{}/{name}", options.job);
        let table = Delta::open_own(runtime, &out.join(name), &app, layout)?;
        let (schema, granularity) = (Arc::clone(schema), options.partition);
        let noted = table.folder().join(ANEW).exists();
        let (due, anew) = (BTreeMap::new(), table.committed().filter(|_| noted));
        let mut current = Self { schema, index, granularity, table, due, anew };
        current.find_due()?;
        Ok(current)
    }

    /// Whether a commit up to an epoch is news. What does not count stands until there is something
    /// of the same time to take its place.
    pub(super) fn is_behind(&self, upto: Epoch) -> bool {
        self.anew.map_or_else(|| self.table.is_behind(upto), |stands| upto >= stands)
    }

    /// The epoch up to which they are complete.
    pub(super) fn committed(&self) -> Option<Epoch> {
        self.table.committed().filter(|_| self.anew.is_none())
    }

    /// The epoch of what stands, whether it counts or not.
    pub(super) fn newest(&self) -> Option<Epoch> {
        self.table.committed()
    }

    /// From now on nothing counts that stands, also after a crash: the next commit that comes up to
    /// it makes all anew of the changelog. Readers see what stands until then.
    pub(super) fn begin_anew(&mut self) -> Result<(), TableError> {
        let path = self.note();
        durable::write(&path, b"", false).map_err(|e| TableError::disk(&path, &e))?;
        self.anew = self.table.committed();
        Ok(())
    }

    fn note(&self) -> PathBuf {
        self.table.folder().join(ANEW)
    }

    /// Whether the next commit makes all anew.
    pub(super) fn is_anew(&self) -> bool {
        self.anew.is_some()
    }

    /// Number of rows.
    pub(super) fn rows(&self) -> u64 {
        self.table.rows()
    }

    /// Whether a row becomes final at a watermark that was written as provisional.
    pub(super) fn is_due(&self, watermark: Micros) -> bool {
        self.due.values().any(|at| watermark >= *at)
    }

    /// Makes them complete up to an epoch; `sorted` has the places of what waits.
    pub(super) fn commit(
        &mut self,
        runtime: &Runtime,
        (upto, watermark): (Epoch, Micros),
        (waiting, sorted): (&Waiting, &[Place]),
        written: &mut Written,
    ) -> Result<(), TableError> {
        let new = waiting.after(self.committed(), sorted);
        let schema = Arc::clone(&self.schema);
        let net = by_partition(&schema, self.granularity, waiting, &new);
        let net = net.into_iter().map(|(partition, net)| (partition, Changes::Net(net)));
        self.rewrite(runtime, (upto, watermark), net.collect(), written)
    }

    /// Makes them complete up to an epoch to which the changelog is.
    pub(super) fn catch_up(
        &mut self,
        runtime: &Runtime,
        (upto, watermark): (Epoch, Micros),
        changelog: &Changelog,
        written: &mut Written,
    ) -> Result<(), TableError> {
        let replayed = changelog.since(self.index, self.committed(), upto)?;
        let schema = Arc::clone(&self.schema);
        let outcomes = outcomes(&schema, self.granularity, &replayed).into_iter();
        let outcomes = outcomes.map(|(partition, list)| (partition, Changes::Outcomes(list)));
        self.rewrite(runtime, (upto, watermark), outcomes.collect(), written)
    }

    /// Writes the partitions anew in which a row changed or became final.
    fn rewrite(
        &mut self,
        runtime: &Runtime,
        (upto, watermark): (Epoch, Micros),
        mut changes: BTreeMap<Partition, Changes<'_>>,
        written: &mut Written,
    ) -> Result<(), TableError> {
        let due = self.due.iter().filter(|(_, at)| watermark >= **at).map(|(p, _)| p.clone());
        let mut touched: BTreeSet<Partition> = due.chain(changes.keys().cloned()).collect();
        if self.is_anew() {
            touched.extend(self.table.partitions());
        }
        let mut next_due = Vec::new();
        let mut replacing = Replacing::default();
        for partition in touched {
            let changes = changes.remove(&partition).unwrap_or(Changes::Net(Vec::new()));
            let stands =
                if self.is_anew() { Vec::new() } else { self.table.read(&partition, None)? };
            let held = Held::new(&self.schema, &stands)?;
            let runs = held.merge(changes.steps()).map_err(|row| TableError::Inconsistent {
                view: self.schema.name.to_string(),
                row,
            })?;
            let mut due: Option<Micros> = None;
            held.each_final(&runs, |at| {
                if at > watermark && at < Micros::MAX {
                    due = Some(due.map_or(at, |first| first.min(at)));
                }
            });
            let encoded = || self.encoded(&held, &runs, watermark);
            let content = (!runs.is_empty()).then(encoded).transpose()?;
            written.rows_current += content.as_ref().map_or(0, |content| content.rows);
            self.table.put(&mut replacing, &partition, content.as_ref(), written)?;
            next_due.push((partition, due));
        }
        self.table.replace(runtime, upto, replacing)?;
        if self.is_anew() {
            // If a crash brings it back, all is made anew once more.
            let path = self.note();
            fs::remove_file(&path).map_err(|e| TableError::disk(&path, &e))?;
            self.anew = None;
        }
        for (partition, due) in next_due {
            match due {
                Some(at) => drop(self.due.insert(partition, at)),
                None => drop(self.due.remove(&partition)),
            }
        }
        Ok(())
    }

    fn encoded(
        &self,
        held: &Held<'_>,
        runs: &[Run<'_>],
        watermark: Micros,
    ) -> Result<Encoded, TableError> {
        let layout = (held.layout(), self.table.plain());
        let rows = runs.iter().map(|run| run.len()).sum();
        let batches = held.batches(runs, watermark, (ROWS_AT_ONCE, COLUMN_BYTES));
        let encoded = encode_batches(rows, layout, batches);
        encoded.map_err(|e| unfit(&self.schema, &e.to_string()))
    }

    /// Finds the partitions with provisional rows in tables of an earlier run.
    fn find_due(&mut self) -> Result<(), TableError> {
        for partition in self.table.partitions() {
            let mut first: Option<Micros> = None;
            for batch in self.table.read(&partition, Some(&[STATUS.0, FINAL_AT.0]))? {
                let column = |layout: Layout| {
                    batch.column_by_name(layout.0).and_then(|array| cells(layout.1, array))
                };
                let (Some(states), Some(at)) = (column(STATUS), column(FINAL_AT)) else {
                    return Err(unfit(&self.schema, "columns are missing in a file"));
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
        self.table.partitions().into_iter().flat_map(move |partition| {
            let schema = Arc::clone(&schema);
            let with_tenant = |batch: RecordBatch| {
                let tenant = partition.first().map_or("", String::as_str);
                let mut columns = vec![constant(tenant, batch.num_rows())];
                columns.extend(batch.columns().iter().cloned());
                RecordBatch::try_new(Arc::clone(&schema), columns)
                    .map_err(|e| unfit(&self.schema, &e.to_string()))
            };
            match self.table.read(&partition, None) {
                Ok(batches) => batches.into_iter().map(with_tenant).collect::<Vec<_>>(),
                Err(error) => vec![Err(error)],
            }
        })
    }
}
