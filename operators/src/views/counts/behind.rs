//! What is behind a row of numbers: which contributions count in it.

use super::super::catalog::Catalog;
use super::super::contribution::{Group, Measure};
use super::super::funnel::spec::OTHER;
use super::super::spec::{Metric, Period, ViewSpec};
use super::Counts;
use super::times::{EDGES_S, bin};
use crate::model::{Cell, CellRef, Row};

/// Columns of a row of numbers over people, after tenant, period, start and breakdown.
const STEP: usize = 4;
const TO_STEP: usize = 5;
const FROM_S: usize = 6;
const TIMES_COUNT: usize = 8;
const STEP_COUNT: usize = 6;
const VALUE: usize = 4;
/// How far behind a funnel's own table that of times is.
const TIMES: u16 = 2;

impl Counts {
    /// The group in whose rows what is added to a group counts: its own, or that of all values
    /// without rows of their own. As of the last advance.
    pub fn shown_in(&self, group: &Group) -> Group {
        if self.has_rows(group) {
            return group.clone();
        }
        Group { breakdown: Cell::str(OTHER), ..group.clone() }
    }

    /// The rows of a group as of the last advance.
    pub fn rows_of(&self, group: &Group) -> Vec<Row> {
        self.groups.get(group).map(|sums| sums.shown.clone()).unwrap_or_default()
    }
}

/// The place of a column of a row as a number from 0; columns of steps count from 1.
fn step(row: &Row, column: usize) -> Option<usize> {
    match row.cells.get(column) {
        CellRef::Int(step) => usize::try_from(step).ok()?.checked_sub(1),
        _ => None,
    }
}

/// Whether what is added to a row's group counts in the row.
pub fn counts_in(catalog: &Catalog, row: &Row, measure: &Measure) -> bool {
    let Some((view, table)) = catalog.view_of(row.view) else { return false };
    let took = |offsets: &[i64], step: usize| {
        offsets.get(step).copied().filter(|offset| *offset != Measure::SKIPPED)
    };
    match (&catalog.specs[usize::from(view)], measure) {
        (ViewSpec::Trend(_), _) => true,
        (ViewSpec::Funnel(_), Measure::Attempt(offsets)) if table == 0 => {
            step(row, STEP).is_some_and(|step| took(offsets, step).is_some())
        }
        (ViewSpec::Funnel(_), Measure::Attempt(offsets)) if table == TIMES => {
            let at = |column| took(offsets, step(row, column)?);
            let (Some(from), Some(to)) = (at(STEP), at(TO_STEP)) else { return false };
            let edge = EDGES_S[bin(to.saturating_sub(from))];
            let from_s = row.cells.get(FROM_S);
            matches!(from_s, CellRef::Float(bits) if bits == (edge as f64).to_bits())
        }
        _ => false,
    }
}

/// How many contributions count in a row, as it says itself; none where it says something else,
/// such as a sum.
pub fn count_of(catalog: &Catalog, row: &Row) -> Option<i64> {
    let (view, table) = catalog.view_of(row.view)?;
    let column = match &catalog.specs[usize::from(view)] {
        ViewSpec::Trend(trend) if matches!(trend.metric, Metric::Events | Metric::People) => VALUE,
        ViewSpec::Funnel(_) if table == 0 => STEP_COUNT,
        ViewSpec::Funnel(_) if table == TIMES => TIMES_COUNT,
        _ => return None,
    };
    match row.cells.get(column) {
        CellRef::Int(count) => Some(count),
        CellRef::Float(bits) => Some(f64::from_bits(bits) as i64),
        _ => None,
    }
}

/// The group that a row is of; none if it is no row of numbers over people.
pub fn group_of(catalog: &Catalog, row: &Row) -> Option<Group> {
    let (view, _) = catalog.view_of(row.view)?;
    let (CellRef::Str(tenant), CellRef::Str(word)) = (row.cells.get(0), row.cells.get(1)) else {
        return None;
    };
    let start = match row.cells.get(2) {
        CellRef::Time(start) => start,
        _ => 0,
    };
    Some(Group {
        view,
        tenant: tenant.into(),
        period: Period::ALL.into_iter().find(|period| period.word() == word)?,
        start,
        breakdown: row.cells.get(3).into(),
    })
}
