//! How the rows and numbers of a view would change.

use std::collections::{BTreeMap, HashMap};

use foldhash::fast::FixedState;
use operators::model::{Cell, CellRef, Row, ViewSchema};
use serde::Serialize;

use super::words;

/// A number before and after.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Number {
    /// The key of its row: column and value.
    pub key: Vec<(&'static str, String)>,
    /// Its column.
    pub column: &'static str,
    /// What it is; none if there is no row, or no value in it.
    pub before: Option<f64>,
    /// What it would be.
    pub after: Option<f64>,
}

impl Number {
    /// Whether it would change.
    pub fn changes(&self) -> bool {
        self.before != self.after
    }

    /// By how much it would change.
    pub fn by(&self) -> f64 {
        self.after.unwrap_or(0.0) - self.before.unwrap_or(0.0)
    }

    /// By which part of what it is it would change; 1 for one that is not there, or is 0.
    pub fn part(&self) -> f64 {
        match self.before {
            Some(before) if before != 0.0 => self.by() / before.abs(),
            _ => 1.0,
        }
    }

    /// The value of a column of the key.
    pub fn of(&self, column: &str) -> Option<&str> {
        self.key.iter().find(|(name, _)| *name == column).map(|(_, value)| value.as_str())
    }
}

/// How the numbers of a view would change.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct ViewChange {
    /// The view.
    pub view: String,
    /// All its numbers in the order of their keys, also those that remain.
    pub numbers: Vec<Number>,
}

impl ViewChange {
    /// Those that would change: those of all time first, counts before times, and of these those
    /// that change most for what they are.
    pub fn changed(&self) -> Vec<&Number> {
        let mut changed: Vec<&Number> = self.numbers.iter().filter(|n| n.changes()).collect();
        let detail = |n: &Number| (n.of("period") != Some("all"), n.column.ends_with("_s"));
        changed.sort_by(|a, b| {
            detail(a).cmp(&detail(b)).then_with(|| b.part().abs().total_cmp(&a.part().abs()))
        });
        changed
    }
}

fn number(row: Option<&Row>, column: usize) -> Option<f64> {
    match row?.cells.get(column) {
        CellRef::Int(value) => Some(value as f64),
        CellRef::Float(bits) => Some(f64::from_bits(bits)),
        _ => None,
    }
}

/// The numbers of a view, if it is one of numbers; and how many rows there are before, after, and
/// alike in both.
pub(super) fn compare(
    schema: &ViewSchema,
    before: Vec<Row>,
    after: Vec<Row>,
    is_numbers: bool,
) -> (Option<ViewChange>, [u64; 3]) {
    let mut counts = [before.len() as u64, after.len() as u64, 0];
    let mut left: HashMap<Vec<Cell>, i64, FixedState> = HashMap::default();
    for row in &before {
        *left.entry(row.cells.to_vec()).or_default() += 1;
    }
    for row in &after {
        if let Some(count) = left.get_mut(&row.cells.to_vec()).filter(|count| **count > 0) {
            *count -= 1;
            counts[2] += 1;
        }
    }
    drop(left);
    if !is_numbers {
        return (None, counts);
    }
    // Columns that are numbers and no part of the key.
    let columns: Vec<usize> = (0..schema.columns.len())
        .filter(|column| !schema.key.contains(column))
        .filter(|column| before.iter().chain(&after).any(|r| number(Some(r), *column).is_some()))
        .collect();
    let mut rows: BTreeMap<Vec<Cell>, [Option<Row>; 2]> = BTreeMap::new();
    for (side, list) in [before, after].into_iter().enumerate() {
        for row in list {
            let key: Vec<Cell> =
                schema.key.iter().map(|column| row.cells.get(*column).into()).collect();
            rows.entry(key).or_default()[side] = Some(row);
        }
    }
    let mut numbers = Vec::new();
    for (key, [was, is]) in rows {
        let named = schema.key.iter().zip(&key);
        let key: Vec<_> = named
            .map(|(column, cell)| (schema.columns[*column].name, words(cell.as_ref())))
            .collect();
        for column in &columns {
            let (before, after) = (number(was.as_ref(), *column), number(is.as_ref(), *column));
            if before.is_some() || after.is_some() {
                let column = schema.columns[*column].name;
                numbers.push(Number { key: key.clone(), column, before, after });
            }
        }
    }
    (Some(ViewChange { view: schema.name.to_string(), numbers }), counts)
}
