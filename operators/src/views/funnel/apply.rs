//! From changed units to what is added to and taken from the counts, and the best outcomes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use smallvec::SmallVec;

use super::outcome::{Rank, Touch};
use super::spec::{Attribution, Counting, FunnelSpec};
use super::state::{Best, FunnelState, Scope, key};
use super::units::{Change, Top, Unit, Units};
use crate::model::{Cell, EventKey, Micros};
use crate::time::Calendar;
use crate::views::contribution::{Contribution, Group, Measure};
use crate::views::spec::Period;

/// The best of some units, and what their touches come to.
#[derive(Clone, Copy, Default)]
struct Sum<'a> {
    best: Option<&'a Unit>,
    touch: Option<&'a Touch>,
}

impl<'a> Sum<'a> {
    fn add(&mut self, unit: &'a Unit, spec: &FunnelSpec) {
        if self.best.is_none_or(|best| unit.is_better(best, spec)) {
            self.best = Some(unit);
        }
        self.touch = match (self.touch, unit.touch.as_deref()) {
            (Some(a), Some(b)) if spec.attribution == Attribution::LastTouch => {
                Some(std::cmp::max_by_key(b, a, |touch| touch.key))
            }
            (Some(a), Some(b)) => Some(std::cmp::min_by_key(a, b, |touch| touch.key)),
            (a, b) => a.or(b),
        };
    }

    /// What later changes are compared with.
    fn top(&self) -> Option<Top> {
        let best = self.best?;
        let touch = self.touch.map_or(Micros::MAX, |touch| touch.key.time);
        Some(Top { class: best.class, reached: best.reached, day: best.key.time, touch })
    }

    /// What counts; `None` if the best is excluded or there is none.
    fn found(&self, spec: &FunnelSpec, value: &Cell) -> Option<Best> {
        let best = self.best.filter(|unit| !unit.outcome.excluded)?;
        let outcome = Arc::clone(&best.outcome);
        Some(Best { breakdown: shown(spec, value, self.touch), outcome })
    }
}

/// A stretch of days of a value: a period with something changed in it, or all time.
struct Span {
    period: Period,
    start: Micros,
    end: Micros,
    /// The first change in it, and the one after the last.
    changes: (usize, usize),
}

impl Span {
    /// What counts before and after some changes, all of which are in the span.
    fn both(
        &self,
        units: &Units,
        spec: &FunnelSpec,
        changes: &[Change],
    ) -> (Option<(Option<Best>, Option<Best>)>, Option<Top>) {
        let value = &changes[0].value;
        let (low, high) = match self.period {
            Period::All => (EventKey::MIN, EventKey::MAX),
            _ => (key(self.start), key(self.end)),
        };
        let (mut before, mut after) = (Sum::default(), Sum::default());
        let mut changes = changes.iter().peekable();
        for unit in units.range_of(value, low, high) {
            while let Some(change) = changes.next_if(|change| change.key < unit.key) {
                change.after.iter().for_each(|unit| after.add(unit, spec));
            }
            before.add(unit, spec);
            match changes.next_if(|change| change.key == unit.key) {
                Some(change) => change.after.iter().for_each(|unit| after.add(unit, spec)),
                None => after.add(unit, spec),
            }
        }
        changes.flat_map(|change| &change.after).for_each(|unit| after.add(unit, spec));
        let top = after.top();
        let (before, after) = (before.found(spec, value), after.found(spec, value));
        ((before != after).then_some((before, after)), top)
    }
}

impl Top {
    /// Whether the best of all days and the first touch stay what they are.
    fn stands(&self, spec: &FunnelSpec, units: &Units, changes: &[Change]) -> bool {
        let is_later = |unit: &Unit| unit.touch.as_ref().is_none_or(|t| t.key.time > self.touch);
        let touched = |change: &Change| {
            let there = units.of(&change.value).and_then(|units| units.get(change.key));
            there.is_none_or(is_later) && change.after.as_ref().is_none_or(is_later)
        };
        let worse = |change: &Change| {
            let mine = (self.class, self.reached);
            change.key.time != self.day
                && change.after.as_ref().is_none_or(|unit| (unit.class, unit.reached) > mine)
        };
        let touches = match spec.attribution {
            _ if spec.breakdown.is_empty() => true,
            Attribution::FirstTouch => changes.iter().all(touched),
            Attribution::LastTouch => false,
            // The value is that of the units.
            Attribution::AllEvents | Attribution::Step(_) => true,
        };
        touches && changes.iter().all(worse)
    }
}

/// The periods that some changes of one value lie in.
fn spans(
    spec: &FunnelSpec,
    calendar: &mut Calendar,
    changes: &[Change],
    from: usize,
) -> SmallVec<[Span; 4]> {
    let mut spans: SmallVec<[Span; 4]> = SmallVec::new();
    for &period in spec.periods.iter().filter(|period| **period != Period::All) {
        let mut end = Micros::MIN;
        for (at, change) in changes.iter().enumerate() {
            if change.key.time >= end {
                let start = calendar.start(period, change.key.time);
                end = calendar.end(period, start);
                spans.push(Span { period, start, end, changes: (from + at, from + at) });
            }
            // One was pushed for the first change.
            if let Some(span) = spans.last_mut() {
                span.changes.1 += 1;
            }
        }
    }
    spans
}

/// What counts in a period before and after.
type Moved = (Period, Micros, (Option<Best>, Option<Best>));

impl FunnelState {
    /// Applies changes of days, in order.
    pub(super) fn apply_days(
        &mut self,
        scope: &mut Scope<'_>,
        changes: Vec<Change>,
    ) -> (Vec<Best>, Vec<Best>) {
        let spec = scope.spec;
        let mut moved: SmallVec<[Moved; 4]> = SmallVec::new();
        let mut tops: SmallVec<[(Cell, Option<Top>); 1]> = SmallVec::new();
        let mut from = 0;
        for own in changes.chunk_by(|a, b| a.value == b.value) {
            let value = &own[0].value;
            let stands =
                self.units.top(value).is_some_and(|top| top.stands(spec, &self.units, own));
            if !stands {
                let all = (from, from + own.len());
                let span = Span { period: Period::All, start: 0, end: Micros::MAX, changes: all };
                let (both, top) = span.both(&self.units, spec, own);
                moved.extend(both.map(|both| (span.period, span.start, both)));
                tops.push((value.clone(), top));
            }
            for span in spans(spec, scope.calendar, own, from) {
                let (low, high) = span.changes;
                let (both, _) = span.both(&self.units, spec, &changes[low..high]);
                moved.extend(both.map(|both| (span.period, span.start, both)));
            }
            from += own.len();
        }
        for change in changes {
            self.units.apply(change);
        }
        for (value, top) in tops {
            self.units.set_top(&value, top);
        }
        let (mut gone, mut come) = (Vec::new(), Vec::new());
        for (period, start, (before, after)) in moved {
            if period != Period::All || spec.periods.contains(&Period::All) {
                let number = |best: &Best| (best.breakdown.clone(), best.outcome.measure());
                let numbers = (before.as_ref().map(number), after.as_ref().map(number));
                if numbers.0 != numbers.1 {
                    emit(scope, period, start, numbers.0, -1);
                    emit(scope, period, start, numbers.1, 1);
                }
            }
            if period == Period::All {
                gone.extend(before);
                come.extend(after);
            }
        }
        (gone, come)
    }

    pub(super) fn apply_units(
        &mut self,
        scope: &mut Scope<'_>,
        changes: Vec<Change>,
    ) -> (Vec<Best>, Vec<Best>) {
        let spec = scope.spec;
        let mut values: BTreeSet<Cell> = BTreeSet::new();
        let mut moved: Vec<(Cell, Unit, i64)> = Vec::new();
        for change in &changes {
            let value = &change.value;
            let there = self.units.of(value).and_then(|units| units.get(change.key));
            for (unit, diff) in [(there, -1), (change.after.as_ref(), 1)] {
                let Some(unit) = unit.filter(|unit| counts(spec, unit)) else { continue };
                values.insert(shown(spec, value, unit.touch.as_deref()));
                moved.push((value.clone(), unit.clone(), diff));
            }
        }
        let gone = self.firsts_of(&values);
        for (value, unit, diff) in moved {
            let shown = shown(spec, &value, unit.touch.as_deref());
            let time = unit.outcome.entry().time;
            for &period in &spec.periods {
                let start = scope.calendar.start(period, time);
                let number = Some((shown.clone(), unit.outcome.measure()));
                emit(scope, period, start, number, diff);
            }
            let ranked = (shown, unit.rank(spec), (value, unit.key));
            let kept = &mut self.several.get_or_insert_default().ranked;
            if diff > 0 {
                kept.insert(ranked);
            } else {
                kept.remove(&ranked);
            }
        }
        for change in changes {
            self.units.apply(change);
        }
        (gone, self.firsts_of(&values))
    }

    /// The best attempt or session under each of some values.
    fn firsts_of(&self, values: &BTreeSet<Cell>) -> Vec<Best> {
        let best = |value: &Cell| {
            let least = (value.clone(), Rank::LEAST, (Cell::Null, EventKey::MIN));
            let (shown, _, place) = self.several.as_ref()?.ranked.range(least..).next()?;
            (shown == value).then(|| self.best_at(shown, place))?
        };
        values.iter().filter_map(best).collect()
    }

    fn best_at(&self, shown: &Cell, (value, key): &(Cell, EventKey)) -> Option<Best> {
        let outcome = Arc::clone(&self.units.of(value)?.get(*key)?.outcome);
        Some(Best { breakdown: shown.clone(), outcome })
    }

    /// All that counts: the period, its start, and the outcome with the value it counts under.
    pub fn counted(
        &self,
        spec: &FunnelSpec,
        calendar: &mut Calendar,
    ) -> Vec<(Period, Micros, Best)> {
        let mut all = Vec::new();
        for value in self.units.values() {
            let Some(units) = self.units.of(value) else { continue };
            for &period in &spec.periods {
                if spec.counting == Counting::Uniques {
                    let mut sums: BTreeMap<Micros, Sum<'_>> = BTreeMap::new();
                    for unit in units.iter() {
                        let start = calendar.start(period, unit.key.time);
                        sums.entry(start).or_default().add(unit, spec);
                    }
                    let found = sums.iter().map(|(start, sum)| (*start, sum.found(spec, value)));
                    all.extend(found.filter_map(|(start, best)| Some((period, start, best?))));
                    continue;
                }
                for unit in units.iter().filter(|unit| counts(spec, unit)) {
                    let outcome = Arc::clone(&unit.outcome);
                    let start = calendar.start(period, outcome.entry().time);
                    let breakdown = shown(spec, value, unit.touch.as_deref());
                    all.push((period, start, Best { breakdown, outcome }));
                }
            }
        }
        all
    }

    /// The person's best outcome under each value of the breakdown.
    pub fn bests(&self, spec: &FunnelSpec) -> Vec<Best> {
        if spec.counting == Counting::Uniques {
            let all = |value| {
                let mut sum = Sum::default();
                let units = self.units.of(value)?;
                units.iter().for_each(|unit| sum.add(unit, spec));
                sum.found(spec, value)
            };
            return self.units.values().filter_map(all).collect();
        }
        let mut list: Vec<Best> = Vec::new();
        for (shown, _, place) in self.several.iter().flat_map(|kept| &kept.ranked) {
            if list.last().is_none_or(|best| best.breakdown != *shown) {
                list.extend(self.best_at(shown, place));
            }
        }
        list
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

/// The value that units of a value are shown under.
fn shown(spec: &FunnelSpec, value: &Cell, touch: Option<&Touch>) -> Cell {
    let touch = || touch.map_or(Cell::Null, |touch| touch.value.clone());
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
