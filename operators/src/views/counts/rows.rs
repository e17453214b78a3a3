//! A group's sums as rows.

use std::sync::Arc;

use super::super::catalog::Catalog;
use super::super::contribution::{Decimal, Group};
use super::super::spec::{FunnelSpec, Metric, Period, TrendSpec, ViewSpec};
use super::Sums;
use super::times::{EDGES_S, Times};
use crate::model::{Cell, Micros, Row};

/// The rows of a group: none if nothing counts in it.
pub(super) fn rows(catalog: &mut Catalog, group: &Group, sums: &Sums) -> Vec<Row> {
    if sums.count == 0 {
        return Vec::new();
    }
    let table = catalog.tables[usize::from(group.view)];
    let end = catalog.calendar.end(group.period, group.start);
    match &catalog.specs[usize::from(group.view)] {
        ViewSpec::Trend(trend) => {
            let mut cells = head(group);
            cells.push(Cell::float(value(trend, sums)));
            vec![Row { view: table, cells: cells.into(), final_at: end }]
        }
        ViewSpec::Funnel(funnel) => funnel_rows(funnel, table, group, sums, funnel.final_at(end)),
        ViewSpec::Sessions(_) => Vec::new(),
    }
}

fn head(group: &Group) -> Vec<Cell> {
    let start = match group.period {
        Period::All => Cell::Null,
        _ => Cell::Time(group.start),
    };
    vec![
        Cell::Str(Arc::clone(&group.tenant)),
        Cell::str(group.period.word()),
        start,
        group.breakdown.clone(),
    ]
}

/// A decimal as the nearest real number.
fn real(decimal: Decimal) -> f64 {
    decimal as f64 / 1e9
}

fn value(trend: &TrendSpec, sums: &Sums) -> f64 {
    match trend.metric {
        Metric::Events | Metric::People => sums.count as f64,
        Metric::Sum(_) => real(sums.sum),
        Metric::Avg(_) => real(sums.sum) / sums.count as f64,
        Metric::Min(_) => sums.values.keys().next().map_or(f64::NAN, |v| real(*v)),
        Metric::Max(_) => sums.values.keys().next_back().map_or(f64::NAN, |v| real(*v)),
    }
}

fn funnel_rows(
    funnel: &FunnelSpec,
    table: u16,
    group: &Group,
    sums: &Sums,
    final_at: Micros,
) -> Vec<Row> {
    let reached = |step: usize| sums.steps.get(step).map_or(0, |s| s.count);
    let rate = |part: i64, whole: i64| {
        if whole == 0 { Cell::Null } else { Cell::float(part as f64 / whole as f64) }
    };
    let number = |value: Option<f64>| value.map_or(Cell::Null, Cell::float);
    let mut rows = Vec::new();
    for (step, spec) in funnel.steps.iter().enumerate() {
        let count = reached(step);
        let before = funnel.previous(step);
        let times = sums.steps.get(step).filter(|_| step > 0);
        let previous = times.map(|s| &s.previous);
        let start = if before == Some(0) { previous } else { times.map(|s| &s.start) };
        let mut cells = head(group);
        cells.extend([
            Cell::Int(step as i64 + 1),
            Cell::Str(funnel.label(step)),
            Cell::Int(count),
            rate(count, reached(0)),
            before.map_or(Cell::float(1.0), |before| rate(count, reached(before))),
            number(previous.and_then(Times::average_s)),
            number(previous.and_then(Times::median_s)),
            match before {
                None => Cell::Int(0),
                Some(_) if spec.optional => Cell::Null,
                Some(before) => Cell::Int(reached(before) - count),
            },
            number(start.and_then(Times::average_s)),
            number(start.and_then(Times::median_s)),
        ]);
        rows.push(Row { view: table, cells: cells.into(), final_at });
        let Some(before) = before else { continue };
        bins(&mut rows, (table + 2, final_at), group, (before, step), previous);
        if before > 0 {
            bins(&mut rows, (table + 2, final_at), group, (0, step), start);
        }
    }
    rows
}

/// The histogram of the times from one step to another.
fn bins(
    rows: &mut Vec<Row>,
    (view, final_at): (u16, Micros),
    group: &Group,
    (from, to): (usize, usize),
    times: Option<&Times>,
) {
    for (bin, count) in times.iter().flat_map(|times| times.bins()) {
        let edge = |bin: usize| EDGES_S.get(bin).map_or(Cell::Null, |s| Cell::float(*s as f64));
        let mut cells = head(group);
        cells.extend([Cell::Int(from as i64 + 1), Cell::Int(to as i64 + 1)]);
        cells.extend([edge(bin), edge(bin + 1), Cell::Int(count)]);
        rows.push(Row { view, cells: cells.into(), final_at });
    }
}
