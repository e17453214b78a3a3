//! From changed units to what is added to and taken from the counts, and the best outcomes.

use std::collections::BTreeSet;
use std::ops::Bound::{Excluded, Included, Unbounded};
use std::sync::Arc;

use super::outcome::Rank;
use super::spec::{Attribution, Counting, FunnelSpec};
use super::state::{Best, Changes, FunnelState, Scope, Unit, key};
use crate::model::{Cell, EventKey};
use crate::views::contribution::{Contribution, Group, Measure};
use crate::views::spec::Period;

impl FunnelState {
    /// The best of the units of a range of days.
    pub(super) fn best(
        &self,
        spec: &FunnelSpec,
        value: &Cell,
        low: EventKey,
        high: EventKey,
    ) -> Option<Unit> {
        let range = (Included((value.clone(), low)), Excluded((value.clone(), high)));
        let mut best: Option<Unit> = None;
        for (_, unit) in self.units.range(range) {
            match &mut best {
                Some(best) => merge(spec, best, unit.clone()),
                None => best = Some(unit.clone()),
            }
        }
        best.filter(|unit| !unit.outcome.excluded)
    }

    pub(super) fn apply_days(
        &mut self,
        scope: &mut Scope<'_>,
        changes: &Changes,
    ) -> (Vec<Best>, Vec<Best>) {
        let spec = scope.spec;
        let mut spans: BTreeSet<(Cell, Period, i64, i64)> = BTreeSet::new();
        let mut values: BTreeSet<&Cell> = BTreeSet::new();
        for (value, day) in changes.keys() {
            values.insert(value);
            for &period in &spec.periods {
                let start = scope.calendar.start(period, day.time);
                spans.insert((value.clone(), period, start, scope.calendar.end(period, start)));
            }
        }
        let numbers = |state: &Self| -> Vec<Option<(Cell, Measure)>> {
            let number = |(value, period, start, end): &(Cell, Period, i64, i64)| {
                let low = if *period == Period::All { EventKey::MIN } else { key(*start) };
                let best = state.best(spec, value, low, key(*end))?;
                Some((shown(spec, value, &best), best.outcome.measure()))
            };
            spans.iter().map(number).collect()
        };
        let bests = |state: &Self| -> Vec<Best> {
            let best = |value: &&Cell| {
                let best = state.best(spec, value, EventKey::MIN, EventKey::MAX)?;
                Some(Best { breakdown: shown(spec, value, &best), outcome: best.outcome })
            };
            values.iter().filter_map(best).collect()
        };
        let (before, gone) = (numbers(self), bests(self));
        for (key, (_, after)) in changes {
            match after {
                Some(unit) => drop(self.units.insert(key.clone(), unit.clone())),
                None => drop(self.units.remove(key)),
            }
        }
        let (after, come) = (numbers(self), bests(self));
        for (((_, period, start, _), before), after) in spans.iter().zip(before).zip(after) {
            if before != after {
                for (number, diff) in [(before, -1), (after, 1)] {
                    emit(scope, *period, *start, number, diff);
                }
            }
        }
        (gone, come)
    }

    pub(super) fn apply_units(
        &mut self,
        scope: &mut Scope<'_>,
        changes: Changes,
    ) -> (Vec<Best>, Vec<Best>) {
        let spec = scope.spec;
        let mut values: BTreeSet<Cell> = BTreeSet::new();
        for ((value, _), (before, after)) in &changes {
            let units = before.iter().chain(after);
            values.extend(units.filter(|u| counts(spec, u)).map(|u| shown(spec, value, u)));
        }
        let bests = |state: &Self| -> Vec<Best> {
            let best = |value: &Cell| {
                let least = (value.clone(), Rank::LEAST, (Cell::Null, EventKey::MIN));
                let (shown, _, key) = state.ranked.range(least..).next()?;
                let outcome = Arc::clone(&state.units.get(key)?.outcome);
                (shown == value).then(|| Best { breakdown: value.clone(), outcome })
            };
            values.iter().filter_map(best).collect()
        };
        let gone = bests(self);
        for (key, (before, after)) in changes {
            for (unit, diff) in [(&before, -1), (&after, 1)] {
                let Some(unit) = unit.as_ref().filter(|u| counts(spec, u)) else { continue };
                let shown = shown(spec, &key.0, unit);
                let time = unit.outcome.entry().time;
                for &period in &spec.periods {
                    let start = scope.calendar.start(period, time);
                    let number = Some((shown.clone(), unit.outcome.measure()));
                    emit(scope, period, start, number, diff);
                }
                let ranked = (shown, unit.outcome.rank(spec.order), key.clone());
                if diff > 0 {
                    self.ranked.insert(ranked);
                } else {
                    self.ranked.remove(&ranked);
                }
            }
            match after {
                Some(unit) => drop(self.units.insert(key, unit)),
                None => drop(self.units.remove(&key)),
            }
        }
        (gone, bests(self))
    }

    /// The person's best outcome under each value of the breakdown.
    pub fn bests(&self, spec: &FunnelSpec) -> Vec<Best> {
        let mut list: Vec<Best> = Vec::new();
        if spec.counting == Counting::Uniques {
            let mut value = self.units.keys().next().map(|k| k.0.clone());
            while let Some(v) = value {
                if let Some(best) = self.best(spec, &v, EventKey::MIN, EventKey::MAX) {
                    list.push(Best { breakdown: shown(spec, &v, &best), outcome: best.outcome });
                }
                let after = (Excluded((v, EventKey::MAX)), Unbounded);
                value = self.units.range(after).next().map(|(k, _)| k.0.clone());
            }
        } else {
            for (shown, _, key) in &self.ranked {
                if list.last().is_none_or(|best| best.breakdown != *shown)
                    && let Some(unit) = self.units.get(key)
                {
                    let outcome = Arc::clone(&unit.outcome);
                    list.push(Best { breakdown: shown.clone(), outcome });
                }
            }
        }
        list
    }
}

/// The better outcome, and the first or last touch of both.
pub(super) fn merge(spec: &FunnelSpec, into: &mut Unit, other: Unit) {
    let earlier = match (&into.touch, &other.touch) {
        (Some(a), Some(b)) => b.key < a.key,
        (None, Some(_)) => true,
        _ => false,
    };
    let last = spec.attribution == Attribution::LastTouch;
    let takes = match (&into.touch, &other.touch) {
        (Some(a), Some(b)) if last => b.key > a.key,
        _ => earlier,
    };
    if takes {
        into.touch = other.touch;
    }
    if other.outcome.rank(spec.order) < into.outcome.rank(spec.order) {
        (into.outcome, into.until) = (other.outcome, other.until);
    }
}

/// Whether an attempt or a session counts.
fn counts(spec: &FunnelSpec, unit: &Unit) -> bool {
    let named = spec.counting != Counting::Totals
        || !matches!(spec.attribution, Attribution::Step(_))
        || spec.breakdown.is_empty()
        || unit.touch.is_some();
    named && !unit.outcome.excluded
}

/// The value that a unit is shown under.
fn shown(spec: &FunnelSpec, value: &Cell, unit: &Unit) -> Cell {
    let touch = || unit.touch.as_ref().map_or(Cell::Null, |touch| touch.value.clone());
    match spec.attribution {
        Attribution::FirstTouch | Attribution::LastTouch => touch(),
        Attribution::Step(_) if spec.counting == Counting::Totals => touch(),
        Attribution::AllEvents | Attribution::Step(_) => value.clone(),
    }
}

fn emit(
    scope: &mut Scope<'_>,
    period: Period,
    start: i64,
    number: Option<(Cell, Measure)>,
    diff: i64,
) {
    let Some((breakdown, measure)) = number else { return };
    let tenant = Arc::clone(scope.tenant);
    let group = Group { view: scope.view, tenant, period, start, breakdown };
    scope.out.push(Contribution { group, measure, diff, cause: scope.cause });
}
