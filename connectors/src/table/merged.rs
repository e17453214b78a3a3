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
use super::columns::{Layout, arrow_schema, batch};
use super::replayed::{FINAL_AT, STATUS, final_cell};
use super::values::{Values, bytes};
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
        let parts = cut(runs.iter().copied(), rows).flat_map(move |part| {
            let rows = if self.bytes(&part) > bytes { ROWS_LONG } else { rows };
            cut(part.into_iter(), rows)
        });
        parts.map(move |part| self.batch(&part, watermark))
    }

    /// Bytes of the values of some rows that have no fixed length.
    fn bytes(&self, runs: &[Run<'_>]) -> usize {
        let of_run = |run: &Run<'_>| match run {
            Run::Old { batch, from, to } => {
                self.batches[*batch].own.iter().map(|values| values.bytes(*from, *to)).sum()
            }
            Run::New(row) => row.cells.iter().skip(1).map(bytes).sum::<usize>(),
        };
        runs.iter().map(of_run).sum()
    }

    fn batch(&self, runs: &[Run<'_>], watermark: Micros) -> Result<RecordBatch, ArrowError> {
        let own = self.layout.len() - 2;
        let new: Vec<&Row> = runs
            .iter()
            .filter_map(|run| match run {
                Run::New(row) => Some(*row),
                Run::Old { .. } => None,
            })
            .collect();
        let news = batch(&self.layout, &new, |row, place| match place.checked_sub(own) {
            Some(0) => CellRef::Str(status(row.final_at, watermark).word()),
            Some(_) => final_cell(row.final_at),
            None => row.cells.get(place + 1),
        })?;
        if new.len() == runs.len() {
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
mod tests {
    use operators::identity::testing::Seeded;
    use operators::model::{Cell, Column, ColumnType, Token};

    use super::super::changes::order;
    use super::super::encode::{encode, encode_batches};
    use super::*;

    const KINDS: [(&str, ColumnType); 8] = [
        ("tenant", ColumnType::Str),
        ("names", ColumnType::StrList),
        ("id", ColumnType::Id),
        ("at", ColumnType::Time),
        ("value", ColumnType::Float),
        ("count", ColumnType::Int),
        ("flag", ColumnType::Bool),
        ("times", ColumnType::TimeList),
    ];

    fn schema(append_only: bool) -> ViewSchema {
        let column = |(name, kind)| Column { name, kind, nullable: true };
        ViewSchema {
            name: "things".into(),
            columns: KINDS.map(column).to_vec(),
            key: vec![0, 2, 3],
            date: None,
            append_only,
        }
    }

    fn row(random: &mut Seeded, ids: u64) -> Row {
        let maybe =
            |random: &mut Seeded, cell: Cell| if random.once_in(4) { Cell::Null } else { cell };
        let time = |random: &mut Seeded| Cell::Time(random.below(4) as i64 - 1);
        let items = |random: &mut Seeded| 0..random.below(3);
        let names = items(random).map(|n| Cell::str(["a", "b", ""][n as usize])).collect();
        let times: Vec<Cell> = items(random).map(|_| time(random)).collect();
        let times = times.into_iter().map(|cell| maybe(random, cell)).collect();
        // Of many identifiers the numbers are mostly seen once.
        let values = if ids > 20 { 10_000 } else { 5 };
        let cells = [
            Cell::str("t"),
            Cell::List(names),
            Cell::Id(Token(u128::from(random.below(ids)) << 90)),
            time(random),
            Cell::float(random.below(values) as f64 - 2.0),
            Cell::Int(random.below(values) as i64 - 1),
            Cell::Bool(random.once_in(2)),
            Cell::List(times),
        ];
        let cells: Vec<Cell> = cells
            .into_iter()
            .enumerate()
            .map(|(place, cell)| if place < 4 && place != 1 { cell } else { maybe(random, cell) })
            .collect();
        let final_at = random.pick(&[Micros::MIN, 3, 9, Micros::MAX]);
        Row { view: 0, cells: cells.into(), final_at }
    }

    fn key(row: &Row) -> [Cell; 2] {
        [2, 3].map(|column| Cell::from(row.cells.get(column)))
    }

    /// The file of some rows, each made by itself.
    fn encoded(held: &Held<'_>, rows: &[Row], watermark: Micros) -> Vec<u8> {
        let own = held.layout.len() - 2;
        let cell = |row: &Row, place: usize| match place.checked_sub(own) {
            Some(0) => Cell::str(status(row.final_at, watermark).word()),
            Some(_) => final_cell(row.final_at).into(),
            None => row.cells.get(place + 1).into(),
        };
        let line = |row: &Row| (0..own + 2).map(|place| cell(row, place)).collect();
        let lines: Vec<Vec<Cell>> = rows.iter().map(line).collect();
        let encoded = encode((&held.layout, &["id"]), &lines, |line, place| line[place].as_ref());
        encoded.unwrap().content
    }

    /// The old rows in batches of some rows.
    fn held<'s>(schema: &'s ViewSchema, rows: &[Row], random: &mut Seeded) -> Held<'s> {
        let mut held = Held::new(schema, &[]).unwrap();
        let mut rest = rows;
        while !rest.is_empty() {
            let size = 1 + random.below(rest.len().min(9) as u64) as usize;
            let (now, later) = rest.split_at(size);
            let new: Vec<Run<'_>> = now.iter().map(Run::New).collect();
            let batch = held.batch(&new, 5).unwrap();
            held.batches.push(held.old(&batch).unwrap());
            rest = later;
        }
        held
    }

    /// The merged file is, byte by byte, that of the rows that stand, whether what happened is told
    /// by rows or by keys, and whatever batches the old rows come in.
    #[test]
    fn the_file_is_that_of_the_rows() {
        for seed in 0..300 {
            let mut random = Seeded(seed);
            let append_only = random.once_in(4);
            let schema = schema(append_only);
            let ids = random.pick(&[2, 10, 40]);
            let mut old: Vec<Row> = (0..random.below(60)).map(|_| row(&mut random, ids)).collect();
            old.sort_by(|a, b| order(&schema, a, b));
            if !append_only {
                old.dedup_by(|a, b| key(a) == key(b));
            }
            let held = held(&schema, &old, &mut random);
            let (mut new, mut changes) = (old.clone(), Vec::new());
            for _ in 0..random.below(30) {
                let came = row(&mut random, ids);
                if random.once_in(3) && !new.is_empty() && !append_only {
                    let at = random.below(new.len() as u64) as usize;
                    changes.push((new.remove(at), -1));
                } else {
                    let same = new.iter().position(|there| key(there) == key(&came));
                    if let Some(at) = same.filter(|_| !append_only) {
                        changes.push((new.remove(at), -1));
                    }
                    new.push(came.clone());
                    changes.push((came, 1));
                }
            }
            new.sort_by(|a, b| order(&schema, a, b));
            let mut net: Vec<(Row, i64)> = Vec::new();
            changes.sort_by(|a, b| order(&schema, &a.0, &b.0));
            for (row, diff) in changes {
                match net.last_mut().filter(|(last, _)| *last == row) {
                    Some((_, sum)) => *sum += diff,
                    None => net.push((row, diff)),
                }
            }
            net.retain(|(_, diff)| *diff != 0);
            let by_key = !append_only && random.once_in(2);
            let same = |a: &(Row, i64), b: &(Row, i64)| by_key && key(&a.0) == key(&b.0);
            let steps = net.chunk_by(same).map(|of_key| {
                let of = |sign: i64| of_key.iter().find(|(_, diff)| diff * sign > 0);
                let count = |one: Option<&(Row, i64)>| one.map_or(0, |(_, n)| n.unsigned_abs());
                let (goes, comes) = (count(of(-1)) as usize, count(of(1)) as usize);
                let row = &of(1).unwrap_or(&of_key[0]).0;
                Step { row, goes, comes, by_key }
            });
            let watermark = random.pick(&[0, 5, 20]);
            let runs = held.merge(steps).unwrap();
            let layout = (held.layout(), ["id"].as_slice());
            let at_once = (random.pick(&[1, 2, 9, 99]), random.pick(&[0, 50, usize::MAX]));
            let merged =
                encode_batches(0, layout, held.batches(&runs, watermark, at_once)).unwrap();
            assert!(merged.content == encoded(&held, &new, watermark), "seed {seed}");
            let mut moments = Vec::new();
            held.each_final(&runs, |at| moments.push(at));
            assert!(moments.into_iter().eq(new.iter().map(|row| row.final_at)), "seed {seed}");
        }
    }

    /// What goes and is not there is told.
    #[test]
    fn a_row_that_is_not_there_is_told() {
        let (schema, mut random) = (schema(false), Seeded(1));
        let mut rows: Vec<Row> = (0..20).map(|_| row(&mut random, 9)).collect();
        rows.sort_by(|a, b| order(&schema, a, b));
        rows.dedup_by(|a, b| key(a) == key(b));
        let gone = rows.remove(rows.len() / 2);
        let held = held(&schema, &rows, &mut random);
        for by_key in [true, false] {
            let step = Step { row: &gone, goes: 1, comes: 0, by_key };
            assert_eq!(held.merge([step]).err(), Some(Box::new(gone.clone())));
        }
    }
}
