//! Numbers over people as a naive batch function.

use std::collections::BTreeMap;

use super::super::catalog::Catalog;
use super::super::contribution::{Contribution, Group, Measure};
use super::super::funnel::spec::{BreakdownBy, Counting, FunnelSpec, OTHER};
use super::super::spec::{Metric, Period, ViewSpec};
use super::times::EDGES_S;
use crate::model::{Cell, Micros, Row, SECOND};

/// The rows of all groups, from every contribution so far.
pub fn rows(catalog: &Catalog, contributions: &[Contribution]) -> Vec<Row> {
    let mut net: BTreeMap<(&Group, &Measure), i64> = BTreeMap::new();
    for c in contributions {
        *net.entry((&c.group, &c.measure)).or_default() += c.diff;
    }
    let mut groups: BTreeMap<&Group, Vec<&Measure>> = BTreeMap::new();
    for ((group, measure), count) in net {
        for _ in 0..count {
            groups.entry(group).or_default().push(measure);
        }
    }
    let groups = limited(catalog, &groups);
    let mut calendar = catalog.calendar.clone();
    let mut rows = Vec::new();
    for (group, measures) in &groups {
        let end = calendar.end(group.period, group.start);
        let mut head = vec![Cell::Str(group.tenant.clone()), Cell::str(group.period.word())];
        head.push(if group.period == Period::All { Cell::Null } else { Cell::Time(group.start) });
        head.push(group.breakdown.clone());
        let view = catalog.tables[usize::from(group.view)];
        match &catalog.specs[usize::from(group.view)] {
            ViewSpec::Trend(trend) => {
                let numbers = measures.iter().filter_map(|m| match m {
                    Measure::Number(n) => Some(*n),
                    _ => None,
                });
                let sum: i128 = numbers.clone().sum();
                let value = match trend.metric {
                    Metric::Events | Metric::People => measures.len() as f64,
                    Metric::Sum(_) => sum as f64 / 1e9,
                    Metric::Avg(_) => sum as f64 / 1e9 / measures.len() as f64,
                    Metric::Min(_) => numbers.min().map_or(f64::NAN, |n| n as f64 / 1e9),
                    Metric::Max(_) => numbers.max().map_or(f64::NAN, |n| n as f64 / 1e9),
                };
                head.push(Cell::float(value));
                rows.push(Row { view, cells: head.into(), final_at: end });
            }
            ViewSpec::Funnel(funnel) => {
                let attempts: Vec<&[i64]> = measures
                    .iter()
                    .filter_map(|m| match m {
                        Measure::Attempt(offsets) => Some(offsets.as_slice()),
                        _ => None,
                    })
                    .collect();
                let final_at = final_at(funnel, end);
                rows.extend(of_funnel(funnel, view, &head, &attempts, final_at));
            }
            ViewSpec::Sessions(_) => {}
        }
    }
    rows.sort_unstable();
    rows
}

/// From when on no event changes what is counted in a period of a funnel.
fn final_at(funnel: &FunnelSpec, end: Micros) -> Micros {
    let of_now = |by: &BreakdownBy| match by {
        BreakdownBy::Cohort(_) => true,
        BreakdownBy::Trait { at_event, .. } => !at_event,
        BreakdownBy::Channel | BreakdownBy::Property(_) => false,
    };
    let asked = funnel.filters().flat_map(|filter| &filter.traits);
    match funnel.counting {
        _ if funnel.breakdown.iter().any(of_now) => Micros::MAX,
        _ if asked.into_iter().any(|asked| !asked.at_event) => Micros::MAX,
        Counting::Sessions(spec) => end.saturating_add(spec.cap.max(funnel.window)),
        Counting::Uniques | Counting::Totals => end.saturating_add(funnel.window),
    }
}

/// The groups with rows: of a funnel's breakdown the values that are counted most, and the rest.
fn limited<'a>(
    catalog: &Catalog,
    groups: &BTreeMap<&Group, Vec<&'a Measure>>,
) -> BTreeMap<Group, Vec<&'a Measure>> {
    let other = Cell::str(OTHER);
    let mut list: BTreeMap<Group, Vec<&Measure>> = BTreeMap::new();
    for (group, measures) in groups {
        let spec = catalog.specs[usize::from(group.view)].funnel();
        let spec = spec.filter(|f| !f.breakdown.is_empty());
        let mut group = (*group).clone();
        if let Some(funnel) = spec {
            // How many are counted more often, or as often and come first.
            let size = measures.len();
            let ahead = groups.iter().filter(|(g, m)| {
                g.home() == group.home()
                    && g.breakdown != other
                    && (m.len() > size || m.len() == size && g.breakdown < group.breakdown)
            });
            if ahead.count() >= funnel.values_max {
                group.breakdown = other.clone();
            }
        }
        list.entry(group).or_default().extend(measures);
    }
    list
}

fn of_funnel(
    funnel: &FunnelSpec,
    view: u16,
    head: &[Cell],
    attempts: &[&[i64]],
    final_at: i64,
) -> Vec<Row> {
    let mut rows = Vec::new();
    let took = |a: &[i64], step: usize| a.get(step).is_some_and(|at| *at != Measure::SKIPPED);
    let reached = |step: usize| attempts.iter().filter(|a| took(a, step)).count();
    let rate = |part: usize, whole: usize| match whole {
        0 => Cell::Null,
        _ => Cell::float(part as f64 / whole as f64),
    };
    for step in 0..funnel.steps.len() {
        let required: Vec<usize> = (0..step).filter(|s| !funnel.steps[*s].optional).collect();
        let before = required.last().copied();
        let spans = |from: usize| -> Vec<i64> {
            let here = attempts.iter().filter(|a| took(a, step));
            let mut spans: Vec<i64> = here.map(|a| a[step] - a[from]).collect();
            spans.sort_unstable();
            spans
        };
        let mut cells = head.to_vec();
        cells.push(Cell::Int(step as i64 + 1));
        cells.push(Cell::Str(funnel.label(step)));
        cells.push(Cell::Int(reached(step) as i64));
        cells.push(rate(reached(step), reached(0)));
        let Some(before) = before else {
            cells.extend([Cell::float(1.0), Cell::Null, Cell::Null, Cell::Int(0)]);
            cells.extend([Cell::Null, Cell::Null]);
            rows.push(Row { view, cells: cells.into(), final_at });
            continue;
        };
        cells.push(rate(reached(step), reached(before)));
        cells.extend(middles(&spans(before)));
        let dropped = || Cell::Int(reached(before) as i64 - reached(step) as i64);
        cells.push(if funnel.steps[step].optional { Cell::Null } else { dropped() });
        cells.extend(middles(&spans(0)));
        rows.push(Row { view, cells: cells.into(), final_at });
        let froms = if before == 0 { vec![0] } else { vec![before, 0] };
        for from in froms {
            for (bin, low) in EDGES_S.iter().enumerate() {
                let high = EDGES_S.get(bin + 1);
                let inside = |span: &&i64| {
                    **span >= low * SECOND && high.is_none_or(|high| **span < high * SECOND)
                };
                let count = spans(from).iter().filter(inside).count();
                let mut cells = head.to_vec();
                cells.extend([Cell::Int(from as i64 + 1), Cell::Int(step as i64 + 1)]);
                cells.push(Cell::float(*low as f64));
                cells.push(high.map_or(Cell::Null, |high| Cell::float(*high as f64)));
                cells.push(Cell::Int(count as i64));
                let row = Row { view: view + 2, cells: cells.into(), final_at };
                rows.extend((count > 0).then_some(row));
            }
        }
    }
    rows
}

/// Mean and median in seconds.
fn middles(sorted: &[i64]) -> [Cell; 2] {
    let n = sorted.len();
    if n == 0 {
        return [Cell::Null, Cell::Null];
    }
    let sum: i128 = sorted.iter().map(|t| i128::from(*t)).sum();
    let middle = (i128::from(sorted[(n - 1) / 2]) + i128::from(sorted[n / 2])) as f64;
    [Cell::float(sum as f64 / 1e6 / n as f64), Cell::float(middle / 2.0 / 1e6)]
}
