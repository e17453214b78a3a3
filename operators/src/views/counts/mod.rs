//! Numbers over people: trends and funnels, from what each person adds.
//!
//! What comes in: [`Contribution`]s. What goes out, per [`Counts::advance`]: the net changes of the
//! rows of each touched group. Sums are whole numbers of a fixed unit, so that what is taken back
//! leaves no trace; extremes and medians come from multisets.

mod behind;
mod multiset;
pub mod oracle;
mod rows;
#[cfg(test)]
mod tests;
mod times;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use foldhash::fast::FixedState;

pub use self::behind::{count_of, counts_in, group_of};
use self::times::Times;
pub use self::times::{EDGES_S, bin};
use super::catalog::Catalog;
use super::contribution::{Contribution, Decimal, Group, Measure};
use super::funnel::spec::{FunnelSpec, OTHER};
use super::spec::{Metric, Period, ViewSpec};
use crate::bytes;
use crate::model::{Cause, Cell, Change, Micros, Row};
use crate::people::difference;

/// Attempts that reached a step, and how long they took.
#[derive(Clone, Debug, Default)]
struct Step {
    count: i64,
    /// From the last step before that has to be taken.
    previous: Times,
    /// From the first step; empty where that is the step before.
    start: Times,
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
    /// [`Sums::bytes`] as it was last counted.
    held: usize,
}

impl Sums {
    /// Memory that it refers to, in bytes, about.
    fn bytes(&self) -> usize {
        let values = bytes::tree(self.values.len(), size_of::<(Decimal, i64)>());
        let times = self.steps.iter().map(|step| step.previous.bytes() + step.start.bytes());
        let rows: usize = self.shown.iter().map(Row::bytes).sum();
        values + times.sum::<usize>() + bytes::list(&self.steps) + rows
    }

    fn add(&mut self, measure: &Measure, diff: i64, spec: &ViewSpec) {
        self.count += diff;
        match (measure, spec) {
            (Measure::Number(value), _) => {
                self.sum += value * Decimal::from(diff);
                if matches!(spec, ViewSpec::Trend(t) if extremes(t.metric)) {
                    let times = self.values.entry(*value).or_default();
                    *times += diff;
                    if *times == 0 {
                        self.values.remove(value);
                    }
                }
            }
            (Measure::Attempt(offsets), ViewSpec::Funnel(funnel)) => {
                self.attempt(offsets, diff, funnel);
            }
            (Measure::One | Measure::Attempt(_), _) => {}
        }
    }

    fn attempt(&mut self, offsets: &[Micros], diff: i64, funnel: &FunnelSpec) {
        if self.steps.len() < offsets.len() {
            self.steps.resize_with(offsets.len(), Step::default);
        }
        for (place, offset) in offsets.iter().enumerate() {
            if *offset == Measure::SKIPPED {
                continue;
            }
            let step = &mut self.steps[place];
            step.count += diff;
            let Some(before) = funnel.previous(place) else { continue };
            step.previous.add(offset.saturating_sub(offsets[before]), diff);
            if before > 0 {
                step.start.add(*offset, diff);
            }
        }
    }

    /// Adds all that another holds `sign` times.
    fn merge(&mut self, other: &Self, sign: i64) {
        self.count += other.count * sign;
        if self.steps.len() < other.steps.len() {
            self.steps.resize_with(other.steps.len(), Step::default);
        }
        for (step, more) in self.steps.iter_mut().zip(&other.steps) {
            step.count += more.count * sign;
            step.previous.merge(&more.previous, sign);
            step.start.merge(&more.start, sign);
        }
    }
}

fn extremes(metric: Metric) -> bool {
    matches!(metric, Metric::Min(_) | Metric::Max(_))
}

/// View, tenant, period and start: the groups of one breakdown.
type Home = (u16, Arc<str>, Period, Micros);

/// The values of a funnel's breakdown in one period, and which have rows of their own.
#[derive(Debug, Default)]
struct Ranking {
    /// Most counted first, then by value.
    order: BTreeSet<(Reverse<i64>, Cell)>,
    own: BTreeSet<Cell>,
    touched: Option<Cause>,
}

/// The numbers of one shard.
#[derive(Debug)]
pub struct Counts {
    catalog: Catalog,
    groups: std::collections::HashMap<Group, Sums, FixedState>,
    rankings: std::collections::HashMap<Home, Ranking, FixedState>,
    touched: Vec<Group>,
    homes: Vec<Home>,
    /// Bytes of what all groups refer to.
    held: usize,
}

impl Counts {
    /// No numbers yet.
    pub fn new(catalog: &Catalog) -> Self {
        Self {
            catalog: catalog.clone(),
            groups: std::collections::HashMap::default(),
            rankings: std::collections::HashMap::default(),
            touched: Vec::new(),
            homes: Vec::new(),
            held: 0,
        }
    }

    /// Memory that is held, in bytes, about; the order of breakdowns' values is left out.
    pub fn bytes(&self) -> usize {
        bytes::map(self.groups.capacity(), size_of::<(Group, Sums)>()) + self.held
    }

    fn touch(&mut self, group: &Group, cause: Cause) -> &mut Sums {
        let sums = self.groups.entry(group.clone()).or_default();
        if sums.touched.is_none() {
            self.touched.push(group.clone());
        }
        sums.touched = sums.touched.max(Some(cause));
        sums
    }

    /// Takes in a contribution.
    pub fn update(&mut self, contribution: Contribution) {
        let Contribution { group, measure, diff, cause } = contribution;
        let specs = std::mem::take(&mut self.catalog.specs);
        let spec = &specs[usize::from(group.view)];
        let sums = self.touch(&group, cause);
        let before = sums.count;
        sums.add(&measure, diff, spec);
        let after = sums.count;
        if ranked(spec) && group.breakdown != Cell::str(OTHER) {
            let (view, tenant, period, start) = group.home();
            let home = (view, Arc::clone(tenant), period, start);
            let ranking = self.rankings.entry(home.clone()).or_default();
            if ranking.touched.is_none() {
                self.homes.push(home);
            }
            ranking.touched = ranking.touched.max(Some(cause));
            ranking.order.remove(&(Reverse(before), group.breakdown.clone()));
            if after != 0 {
                ranking.order.insert((Reverse(after), group.breakdown.clone()));
            }
            if !ranking.own.contains(&group.breakdown) {
                let other = Group { breakdown: Cell::str(OTHER), ..group };
                self.touch(&other, cause).add(&measure, diff, spec);
            }
        }
        self.catalog.specs = specs;
    }

    /// Decides anew which values have rows of their own.
    fn rank(&mut self) {
        for home in std::mem::take(&mut self.homes) {
            let Some(ranking) = self.rankings.get_mut(&home) else { continue };
            let cause = ranking.touched.take().unwrap_or_default();
            let spec = self.catalog.specs[usize::from(home.0)].funnel();
            let limit = spec.map_or(usize::MAX, |f| f.values_max);
            let own: BTreeSet<Cell> =
                ranking.order.iter().take(limit).map(|(_, v)| v.clone()).collect();
            let before = std::mem::replace(&mut ranking.own, own.clone());
            if own.is_empty() {
                self.rankings.remove(&home);
            }
            let (view, tenant, period, start) = home;
            for value in before.symmetric_difference(&own) {
                let tenant = Arc::clone(&tenant);
                let group = Group { view, tenant, period, start, breakdown: value.clone() };
                let sums = self.touch(&group, cause).clone();
                let sign = if own.contains(value) { -1 } else { 1 };
                if sums.count != 0 {
                    let other = Group { breakdown: Cell::str(OTHER), ..group };
                    self.touch(&other, cause).merge(&sums, sign);
                }
            }
        }
    }

    /// Whether a group has rows of its own.
    fn has_rows(&self, group: &Group) -> bool {
        if !ranked(&self.catalog.specs[usize::from(group.view)]) {
            return true;
        }
        let (view, tenant, period, start) = group.home();
        let ranking = self.rankings.get(&(view, Arc::clone(tenant), period, start));
        group.breakdown == Cell::str(OTHER)
            || ranking.is_some_and(|r| r.own.contains(&group.breakdown))
    }

    /// Brings the rows of touched groups up to date and adds what changed to `out`.
    pub fn advance(&mut self, out: &mut Vec<Change>) {
        self.rank();
        for group in std::mem::take(&mut self.touched) {
            let has_rows = self.has_rows(&group);
            let Some(sums) = self.groups.get_mut(&group) else { continue };
            let cause = sums.touched.take().unwrap_or_default();
            let rows =
                if has_rows { rows::rows(&mut self.catalog, &group, sums) } else { Vec::new() };
            let before = std::mem::replace(&mut sums.shown, rows.clone());
            difference(before, rows, |row, diff| out.push(Change { row, diff, cause }));
            let bytes = if sums.count == 0 { 0 } else { sums.bytes() };
            self.held = self.held + bytes - std::mem::replace(&mut sums.held, bytes);
            if sums.count == 0 {
                self.groups.remove(&group);
            }
        }
    }
}

/// Whether only some values of a view's breakdown have rows of their own.
fn ranked(spec: &ViewSpec) -> bool {
    spec.funnel().is_some_and(|funnel| !funnel.breakdown.is_empty())
}
