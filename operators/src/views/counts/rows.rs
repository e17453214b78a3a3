//! A group's sums as rows.

use std::sync::Arc;

use super::super::catalog::Catalog;
use super::super::contribution::{Decimal, Group};
use super::super::spec::{FunnelSpec, Metric, Period, TrendSpec, ViewSpec};
use super::Sums;
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
        ViewSpec::Funnel(funnel) => {
            funnel_rows(funnel, table, group, sums, end.saturating_add(funnel.window))
        }
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
    view: u16,
    group: &Group,
    sums: &Sums,
    final_at: Micros,
) -> Vec<Row> {
    let reached = |step: usize| sums.steps.get(step).map_or(0, |s| s.count);
    let rate = |part: i64, whole: i64| {
        if whole == 0 { Cell::Null } else { Cell::float(part as f64 / whole as f64) }
    };
    let row = |(step, spec): (usize, &super::super::spec::FunnelStep)| {
        let count = reached(step);
        let mut cells = head(group);
        cells.extend([
            Cell::Int(step as i64 + 1),
            Cell::Str(Arc::clone(&spec.label)),
            Cell::Int(count),
            rate(count, reached(0)),
            if step == 0 { Cell::float(1.0) } else { rate(count, reached(step - 1)) },
        ]);
        let times = sums.steps.get(step).filter(|s| step > 0 && s.count > 0);
        cells.push(
            times.map_or(Cell::Null, |s| Cell::float(s.sum_us as f64 / 1e6 / s.count as f64)),
        );
        let median = times.and_then(|s| s.times_us.median());
        cells.push(median.map_or(Cell::Null, |us| Cell::float(us / 1e6)));
        Row { view, cells: cells.into(), final_at }
    };
    funnel.steps.iter().enumerate().map(row).collect()
}
