//! Numbers over people: trends and funnels, from what each person adds.
//!
//! What comes in: [`Contribution`]s. What goes out, per [`Counts::advance`]: the net changes of the
//! rows of each touched group. Sums are whole numbers of a fixed unit, so that what is taken back
//! leaves no trace; extremes and medians come from multisets.

mod multiset;
pub mod oracle;
mod rows;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use foldhash::fast::FixedState;

use self::multiset::Multiset;
use super::catalog::Catalog;
use super::contribution::{Contribution, Decimal, Group, Measure};
use super::spec::{Metric, ViewSpec};
use crate::model::{Cause, Change, Row};

/// People who reached a step, and how long they took from the step before.
#[derive(Clone, Debug, Default)]
struct Step {
    count: i64,
    sum_us: i128,
    times_us: Multiset,
}

/// What a group holds.
#[derive(Clone, Debug, Default)]
struct Sums {
    /// Contributions of any kind: a group without has no row.
    count: i64,
    sum: Decimal,
    /// Only for smallest and largest values.
    values: BTreeMap<Decimal, i64>,
    steps: Vec<Step>,
    touched: Option<Cause>,
    shown: Vec<Row>,
}

impl Sums {
    fn add(&mut self, measure: &Measure, diff: i64, extremes: bool) {
        self.count += diff;
        match measure {
            Measure::One => {}
            Measure::Number(value) => {
                self.sum += value * Decimal::from(diff);
                if extremes {
                    let times = self.values.entry(*value).or_default();
                    *times += diff;
                    if *times == 0 {
                        self.values.remove(value);
                    }
                }
            }
            Measure::Attempt(offsets) => {
                if self.steps.len() < offsets.len() {
                    self.steps.resize_with(offsets.len(), Step::default);
                }
                for (place, step) in self.steps.iter_mut().enumerate().take(offsets.len()) {
                    step.count += diff;
                    if let Some(before) = place.checked_sub(1) {
                        let took = offsets[place].saturating_sub(offsets[before]);
                        step.sum_us += i128::from(took) * i128::from(diff);
                        step.times_us.add(took, diff);
                    }
                }
            }
        }
    }
}

/// The numbers of one shard.
#[derive(Debug)]
pub struct Counts {
    catalog: Catalog,
    groups: std::collections::HashMap<Group, Sums, FixedState>,
    touched: Vec<Group>,
}

impl Counts {
    /// No numbers yet.
    pub fn new(catalog: &Catalog) -> Self {
        Self {
            catalog: catalog.clone(),
            groups: std::collections::HashMap::default(),
            touched: Vec::new(),
        }
    }

    /// Takes in a contribution.
    pub fn update(&mut self, contribution: Contribution) {
        let Contribution { group, measure, diff, cause } = contribution;
        let extremes = matches!(
            &self.catalog.specs[usize::from(group.view)],
            ViewSpec::Trend(trend) if matches!(trend.metric, Metric::Min(_) | Metric::Max(_))
        );
        let sums = self.groups.entry(group.clone()).or_default();
        sums.add(&measure, diff, extremes);
        if sums.touched.is_none() {
            self.touched.push(group);
        }
        sums.touched = sums.touched.max(Some(cause));
    }

    /// Brings the rows of touched groups up to date and adds what changed to `out`.
    pub fn advance(&mut self, out: &mut Vec<Change>) {
        for group in std::mem::take(&mut self.touched) {
            let Some(sums) = self.groups.get_mut(&group) else { continue };
            let cause = sums.touched.take().unwrap_or_default();
            let rows = rows::rows(&mut self.catalog, &group, sums);
            let before = std::mem::take(&mut sums.shown);
            for row in before.iter().filter(|row| !rows.contains(row)) {
                out.push(Change { row: row.clone(), diff: -1, cause });
            }
            for row in rows.iter().filter(|row| !before.contains(row)) {
                out.push(Change { row: row.clone(), diff: 1, cause });
            }
            if rows.is_empty() && sums.count == 0 {
                self.groups.remove(&group);
            } else {
                sums.shown = rows;
            }
        }
    }
}
