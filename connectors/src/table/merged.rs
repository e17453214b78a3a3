//! The current rows of a partition and what happens to them, merged without making rows of those
//! that stay: these go from the columns of the old file to those of the new one.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{
    Array as _, ArrayData, ArrayRef, MutableArrayData, RecordBatch, StringArray, StringBuilder,
    TimestampMicrosecondArray, make_array,
};
use arrow::error::ArrowError;
use operators::model::{CellRef, Micros, Row, Status, ViewSchema};

use super::TableError;
use super::batches::ROWS_LONG;
use super::changes::status;
use super::columns::{Layout, arrow_schema, batch, filled};
use super::replayed::{FINAL_AT, STATUS, final_cell};
use super::values::{Values, bytes as cell_bytes};
use super::view::{own_columns, unfit};

/// What happens to the rows of a key.
pub(super) struct Step<'a> {
    /// The row that comes or goes.
    pub row: &'a Row,
    /// How many rows go.
    pub goes: usize,
    /// How many times the row comes.
    pub comes: usize,
    /// Whether what goes is known by its key only: then `row` is what takes its place.
    pub by_key: bool,
}

/// Rows of the new file.
#[derive(Clone, Copy)]
pub(super) enum Run<'a> {
    /// The old rows of a batch, from one up to another.
    Old { batch: usize, from: usize, to: usize },
    /// A row that comes.
    New(&'a Row),
}

impl Run<'_> {
    /// Number of rows.
    pub(super) fn len(self) -> usize {
        match self {
            Self::Old { from, to, .. } => to - from,
            Self::New(_) => 1,
        }
    }
}

/// Rows in parts of so many.
fn cut<'a>(
    mut rest: impl Iterator<Item = Run<'a>>,
    rows: usize,
) -> impl Iterator<Item = Vec<Run<'a>>> {
    let mut cut: Option<Run<'a>> = None;
    std::iter::from_fn(move || {
        let (mut part, mut left) = (Vec::new(), rows);
        while let Some(run) = cut.take().or_else(|| rest.next()) {
            match run {
                Run::Old { batch, from, to } if to - from > left => {
                    part.push(Run::Old { batch, from, to: from + left });
                    cut = Some(Run::Old { batch, from: from + left, to });
                    left = 0;
                }
                run => {
                    part.push(run);
                    left -= run.len();
                }
            }
            if left == 0 {
                break;
            }
        }
        (!part.is_empty()).then_some(part)
    })
}

/// The rows among runs that come.
fn new_rows<'a>(runs: &[Run<'a>]) -> Vec<&'a Row> {
    let new = |run: &Run<'a>| match run {
        Run::New(row) => Some(*row),
        Run::Old { .. } => None,
    };
    runs.iter().filter_map(new).collect()
}

/// A batch of old rows.
struct Old {
    /// As the file has them, in the order of its layout.
    arrays: Vec<ArrayData>,
    /// The view's columns but the tenant, which is that of the partition.
    own: Vec<Values>,
    states: StringArray,
    final_at: TimestampMicrosecondArray,
}

impl Old {
    fn rows(&self) -> usize {
        self.final_at.len()
    }

    /// When a row is final; see [`super::replayed::final_moment`].
    fn final_moment(&self, row: usize) -> Micros {
        if self.final_at.is_valid(row) {
            self.final_at.value(row)
        } else if self.states.value(row) == Status::Provisional.word() {
            Micros::MAX
        } else {
            Micros::MIN
        }
    }
}

/// A place among old rows: batch and row.
type At = (usize, usize);

/// The current rows of a partition, in order.
pub(super) struct Held<'s> {
    schema: &'s ViewSchema,
    layout: Vec<Layout>,
    batches: Vec<Old>,
}

impl<'s> Held<'s> {
    /// The rows of a partition's files.
    ///
    /// # Errors
    ///
    /// They have not the columns that they were written with.
    pub(super) fn new(schema: &'s ViewSchema, batches: &[RecordBatch]) -> Result<Self, TableError> {
        let layout: Vec<Layout> = own_columns(schema).skip(1).chain([STATUS, FINAL_AT]).collect();
        let mut held = Self { schema, layout, batches: Vec::new() };
        for batch in batches.iter().filter(|batch| batch.num_rows() > 0) {
            held.batches.push(held.old(batch)?);
        }
        Ok(held)
    }

    fn old(&self, batch: &RecordBatch) -> Result<Old, TableError> {
        let wrong = |name| unfit(self.schema, &format!("column {name} is not as it was written"));
        let (mut arrays, mut values) = (Vec::new(), Vec::new());
        for (name, kind, _) in &self.layout {
            let array = batch.column_by_name(name).ok_or_else(|| wrong(name))?;
            values.push(Values::of(*kind, array).ok_or_else(|| wrong(name))?);
            arrays.push(array.to_data());
        }
        match (values.pop(), values.pop()) {
            (Some(Values::Time(final_at)), Some(Values::Text(states))) => {
                Ok(Old { arrays, own: values, states, final_at })
            }
            _ => Err(wrong(&STATUS.0)),
        }
    }

    /// An old row beside another of the partition, by the key.
    fn by_key(&self, (batch, at): At, row: &Row) -> Ordering {
        let own = &self.batches[batch].own;
        let key = self.schema.key.iter().filter_map(|column| column.checked_sub(1));
        let orders = key.map(|place| own[place].cmp(at, row.cells.get(place + 1)));
        orders.into_iter().find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
    }

    /// The same in the order of rows; see [`super::changes::order`].
    fn order(&self, (batch, at): At, row: &Row) -> Ordering {
        let old = &self.batches[batch];
        let rest = || {
            let orders = (1..).zip(&old.own).map(|(c, values)| values.cmp(at, row.cells.get(c)));
            orders.into_iter().find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
        };
        let by_key = self.by_key((batch, at), row);
        by_key.then_with(rest).then_with(|| old.final_moment(at).cmp(&row.final_at))
    }

    /// The first place from `at` on that is not before something.
    fn seek(&self, (mut batch, mut from): At, before: impl Fn(At) -> bool) -> At {
        while let Some(rows) = self.batches.get(batch).map(Old::rows) {
            if from < rows && !before((batch, rows - 1)) {
                break;
            }
            (batch, from) = (batch + 1, 0);
        }
        let Some(rows) = self.batches.get(batch).map(Old::rows) else { return (batch, 0) };
        // Most places are near the last one.
        let mut reach = 1;
        while from + reach < rows && before((batch, from + reach - 1)) {
            from += reach;
            reach *= 2;
        }
        let mut to = (from + reach).min(rows);
        while from < to {
            let middle = from + (to - from) / 2;
            if before((batch, middle)) { from = middle + 1 } else { to = middle }
        }
        (batch, from)
    }

    /// Adds the old rows between two places.
    fn keep(&self, (mut batch, mut from): At, to: At, runs: &mut Vec<Run<'_>>) {
        while batch < to.0 {
            runs.push(Run::Old { batch, from, to: self.batches[batch].rows() });
            (batch, from) = (batch + 1, 0);
        }
        runs.push(Run::Old { batch, from, to: to.1 });
    }

    /// The rows after some steps, which are in order.
    ///
    /// # Errors
    ///
    /// The first row that goes, or changes, and is not there.
    pub(super) fn merge<'a>(
        &self,
        steps: impl IntoIterator<Item = Step<'a>>,
    ) -> Result<Vec<Run<'a>>, Box<Row>> {
        let (mut runs, mut at) = (Vec::new(), (0, 0));
        for Step { row, goes, comes, by_key } in steps {
            let by_key = by_key && goes > 0;
            let compare = |at: At| if by_key { self.by_key(at, row) } else { self.order(at, row) };
            let next = self.seek(at, |at| compare(at).is_lt());
            self.keep(at, next, &mut runs);
            at = next;
            for _ in 0..goes {
                at = self.seek(at, |_| false);
                if at.0 == self.batches.len() || compare(at).is_ne() {
                    return Err(Box::new(row.clone()));
                }
                at.1 += 1;
            }
            runs.extend(std::iter::repeat_n(Run::New(row), comes));
        }
        self.keep(at, (self.batches.len(), 0), &mut runs);
        runs.retain(|run| run.len() > 0);
        Ok(runs)
    }

    /// The columns of the new file.
    pub(super) fn layout(&self) -> &[Layout] {
        &self.layout
    }

    /// The new rows in batches of so many, with their states at a watermark. Where such a batch
    /// would have more bytes than `bytes`, it is cut into small ones. Both follow from the rows.
    pub(super) fn batches<'a>(
        &'a self,
        runs: &'a [Run<'a>],
        watermark: Micros,
        (rows, bytes): (usize, usize),
    ) -> impl Iterator<Item = Result<RecordBatch, ArrowError>> + 'a {
        cut(runs.iter().copied(), rows).flat_map(move |part| {
            let parts: Box<dyn Iterator<Item = _> + 'a> =
                match self.news(&part, watermark, bytes).transpose() {
                    Some(news) => {
                        let whole = news.and_then(|news| self.batch(&part, watermark, news));
                        Box::new(std::iter::once(whole))
                    }
                    None => Box::new(cut(part.into_iter(), ROWS_LONG).map(move |part| {
                        self.batch(&part, watermark, self.all_news(&part, watermark)?)
                    })),
                };
            parts
        })
    }

    /// Bytes of the values of old rows that have no fixed length.
    fn old_bytes(&self, runs: &[Run<'_>]) -> usize {
        let of_run = |run: &Run<'_>| match run {
            Run::Old { batch, from, to } => {
                self.batches[*batch].own.iter().map(|values| values.bytes(*from, *to)).sum()
            }
            Run::New(_) => 0,
        };
        runs.iter().map(of_run).sum()
    }

    /// The columns of the rows that come, unless those that have no fixed length have more than so
    /// many bytes together with those of the old rows.
    fn news(
        &self,
        runs: &[Run<'_>],
        watermark: Micros,
        bytes: usize,
    ) -> Result<Option<RecordBatch>, ArrowError> {
        let Some(left) = bytes.checked_sub(self.old_bytes(runs)) else { return Ok(None) };
        let new = new_rows(runs);
        // No column gets so large that it has no room, however long the rows are.
        let most = left.saturating_add(1);
        let (news, taken) =
            filled(&self.layout, &new, most, |row, place| self.cell(row, place, watermark));
        let own = self.layout.len() - 2;
        if taken < new.len() {
            // Perhaps only the states are longer.
            let all = new.iter().flat_map(|row| row.cells.iter().skip(1).map(cell_bytes));
            let fits = all.sum::<usize>() <= left;
            return fits.then(|| self.all_news(runs, watermark)).transpose();
        }
        let news = news?;
        let of_column = |(layout, array): (&Layout, &ArrayRef)| {
            Values::of(layout.1, array).map_or(0, |values| values.bytes(0, new.len()))
        };
        let all = self.layout.iter().zip(news.columns()).take(own).map(of_column);
        Ok((all.sum::<usize>() <= left).then_some(news))
    }

    /// The columns of the rows that come.
    fn all_news(&self, runs: &[Run<'_>], watermark: Micros) -> Result<RecordBatch, ArrowError> {
        batch(&self.layout, &new_rows(runs), |row, place| self.cell(row, place, watermark))
    }

    /// The value of a row that comes in a column of the file.
    fn cell<'a>(&self, row: &'a Row, place: usize, watermark: Micros) -> CellRef<'a> {
        match place.checked_sub(self.layout.len() - 2) {
            Some(0) => CellRef::Str(status(row.final_at, watermark).word()),
            Some(_) => final_cell(row.final_at),
            None => row.cells.get(place + 1),
        }
    }

    /// Old rows, and those that come, whose columns are `news`.
    fn batch(
        &self,
        runs: &[Run<'_>],
        watermark: Micros,
        news: RecordBatch,
    ) -> Result<RecordBatch, ArrowError> {
        let own = self.layout.len() - 2;
        if news.num_rows() == runs.len() {
            return Ok(news);
        }
        // Runs are in the order of batches.
        let batches = runs.iter().filter_map(|run| match run {
            Run::Old { batch, .. } => Some(*batch),
            Run::New(_) => None,
        });
        let first = batches.clone().next().unwrap_or(0);
        let olds = &self.batches[first..=batches.max().unwrap_or(first)];
        let rows = runs.iter().map(|run| run.len()).sum();
        let mut arrays: Vec<ArrayRef> = Vec::new();
        for (place, news) in news.columns().iter().enumerate() {
            if place == own {
                arrays.push(self.states(runs, watermark, rows));
                continue;
            }
            let news = news.to_data();
            let mut sources: Vec<&ArrayData> = olds.iter().map(|old| &old.arrays[place]).collect();
            sources.push(&news);
            let (mut column, mut next) = (MutableArrayData::new(sources, false, rows), 0);
            for run in runs {
                match run {
                    Run::Old { batch, from, to } => column.try_extend(batch - first, *from, *to)?,
                    Run::New(_) => {
                        column.try_extend(olds.len(), next, next + 1)?;
                        next += 1;
                    }
                }
            }
            arrays.push(make_array(column.freeze()));
        }
        RecordBatch::try_new(arrow_schema(&self.layout), arrays)
    }

    fn states(&self, runs: &[Run<'_>], watermark: Micros, rows: usize) -> ArrayRef {
        let mut states = StringBuilder::with_capacity(rows, rows * 16);
        self.each_final(runs, |at| states.append_value(status(at, watermark).word()));
        Arc::new(states.finish())
    }

    /// Tells of each row when it is final.
    pub(super) fn each_final(&self, runs: &[Run<'_>], mut tell: impl FnMut(Micros)) {
        for run in runs {
            match run {
                Run::Old { batch, from, to } => {
                    let old = &self.batches[*batch];
                    (*from..*to).for_each(|row| tell(old.final_moment(row)));
                }
                Run::New(row) => tell(row.final_at),
            }
        }
    }
}

#[cfg(test)]
mod tests;
