//! Numbers over people as a naive batch function.

use std::collections::BTreeMap;

use super::super::catalog::Catalog;
use super::super::contribution::{Contribution, Group, Measure};
use super::super::spec::{Metric, Period, ViewSpec};
use crate::model::{Cell, Row};

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
    let mut calendar = catalog.calendar.clone();
    let mut rows = Vec::new();
    for (group, measures) in groups {
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
                let reached = |n: usize| attempts.iter().filter(|a| a.len() > n).count();
                for (step, spec) in funnel.steps.iter().enumerate() {
                    let mut took: Vec<i64> = attempts
                        .iter()
                        .filter(|a| step > 0 && a.len() > step)
                        .map(|a| a[step] - a[step - 1])
                        .collect();
                    took.sort_unstable();
                    let rate = |whole: usize| match whole {
                        0 => Cell::Null,
                        _ => Cell::float(reached(step) as f64 / whole as f64),
                    };
                    let mut cells = head.clone();
                    cells.push(Cell::Int(step as i64 + 1));
                    cells.push(Cell::Str(spec.label.clone()));
                    cells.push(Cell::Int(reached(step) as i64));
                    cells.push(rate(reached(0)));
                    cells.push(rate(reached(step.saturating_sub(1))));
                    let (n, sum) = (took.len(), took.iter().map(|t| i128::from(*t)).sum::<i128>());
                    if n == 0 {
                        cells.extend([Cell::Null, Cell::Null]);
                    } else {
                        cells.push(Cell::float(sum as f64 / 1e6 / n as f64));
                        let middle =
                            (i128::from(took[(n - 1) / 2]) + i128::from(took[n / 2])) as f64;
                        cells.push(Cell::float(middle / 2.0 / 1e6));
                    }
                    let final_at = end.saturating_add(funnel.window);
                    rows.push(Row { view, cells: cells.into(), final_at });
                }
            }
            ViewSpec::Sessions(_) => {}
        }
    }
    rows.sort_unstable();
    rows
}
