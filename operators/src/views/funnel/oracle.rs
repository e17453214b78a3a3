//! Funnels as naive functions over all events of a person: `SPEC.md` in code, line by line.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::outcome::{Chain, Outcome, Touch, instant, value};
use super::spec::{Attribution, Counting, Filter, FunnelSpec, Order};
use super::state::Best;
use super::traits::Traits;
use crate::model::{Cell, Event, EventKey, Micros};
use crate::time::Calendar;
use crate::views::contribution::Measure;
use crate::views::sessions;
use crate::views::spec::Period;

/// What a person adds to one row of numbers.
pub type Number = (Period, Micros, Cell, Measure);

/// An outcome with its first or last touch, and the value and the moment it ends at.
#[derive(Clone, Debug)]
struct Found {
    outcome: Outcome,
    value: Cell,
    touch: Option<Touch>,
    until: EventKey,
}

/// The events that a chain may be made of, in the total order.
struct Part<'a> {
    spec: &'a FunnelSpec,
    /// All of the person: which one is the first, and what the traits are, follows from all.
    all: &'a [Arc<Event>],
    events: Vec<Arc<Event>>,
    traits: &'a Traits,
}

/// All that a person (or a group) with these events, in the total order, adds to the counts, and
/// its best outcomes. `reached` is how far it got in each view that a cohort is of.
pub fn of_person(
    spec: &FunnelSpec,
    calendar: &mut Calendar,
    events: &[Arc<Event>],
    reached: &BTreeMap<u16, usize>,
) -> (Vec<Number>, Vec<Best>) {
    let mut traits = Traits::default();
    reached.iter().for_each(|(view, steps)| traits.set_reached(*view, *steps));
    for (property, _) in spec.traits() {
        for event in events {
            traits.update(property, event, 1);
        }
    }
    let sessions: Vec<Vec<Arc<Event>>> = match spec.counting {
        Counting::Sessions(sessions) => {
            let list = sessions::oracle(&sessions, events.iter().map(|e| &**e));
            let mut rest = events;
            let mut cut = |n: u64| {
                let (first, others) = rest.split_at(n as usize);
                rest = others;
                first.to_vec()
            };
            list.iter().map(|s| cut(s.events)).collect()
        }
        Counting::Uniques | Counting::Totals => vec![events.to_vec()],
    };
    let mut numbers = Vec::new();
    let mut bests = BTreeMap::new();
    let mut of_uniques: Vec<Found> = Vec::new();
    for events_of in sessions {
        let mut found = Vec::new();
        for (value, list) in apart(spec, &traits, &events_of) {
            let part = Part { spec, all: events, events: list, traits: &traits };
            found.extend(part.found(&value));
        }
        match spec.counting {
            Counting::Uniques => of_uniques.extend(found),
            // An attempt counts by itself.
            Counting::Totals => {
                for one in found {
                    count(spec, calendar, &[one], &mut numbers, &mut bests);
                }
            }
            Counting::Sessions(_) => count(spec, calendar, &found, &mut numbers, &mut bests),
        }
    }
    if spec.counting == Counting::Uniques {
        uniques(spec, calendar, &of_uniques, &mut numbers, &mut bests);
    }
    numbers.sort_unstable();
    let bests = bests.into_iter().map(|(breakdown, best)| Best { breakdown, outcome: best });
    (numbers, bests.collect())
}

/// The values that attribution tells apart before chains are made, each with its events.
fn apart(
    spec: &FunnelSpec,
    traits: &Traits,
    events: &[Arc<Event>],
) -> BTreeMap<Cell, Vec<Arc<Event>>> {
    let mut parts: BTreeMap<Cell, Vec<Arc<Event>>> = BTreeMap::new();
    for event in events {
        let value = match spec.attribution {
            Attribution::AllEvents => value(spec, traits, event),
            _ => Cell::Null,
        };
        parts.entry(value).or_default().push(Arc::clone(event));
    }
    parts
}

/// A person once in each period, and value that attribution tells apart.
fn uniques(
    spec: &FunnelSpec,
    calendar: &mut Calendar,
    found: &[Found],
    numbers: &mut Vec<Number>,
    bests: &mut BTreeMap<Cell, Arc<Outcome>>,
) {
    let mut by_span: BTreeMap<(Period, Micros, Cell), Vec<Found>> = BTreeMap::new();
    let mut by_value: BTreeMap<Cell, Vec<Found>> = BTreeMap::new();
    for one in found {
        for &period in &spec.periods {
            let start = calendar.start(period, one.outcome.entry().time);
            by_span.entry((period, start, one.value.clone())).or_default().push(one.clone());
        }
        by_value.entry(one.value.clone()).or_default().push(one.clone());
    }
    for ((period, start, _), list) in by_span {
        if let Some((value, best)) = best(spec, &list) {
            numbers.push((period, start, value, best.measure()));
        }
    }
    for list in by_value.values() {
        if let Some((value, best)) = best(spec, list) {
            bests.insert(value, Arc::new(best));
        }
    }
}

/// One session or attempt: the best outcome of each value.
fn count(
    spec: &FunnelSpec,
    calendar: &mut Calendar,
    found: &[Found],
    numbers: &mut Vec<Number>,
    bests: &mut BTreeMap<Cell, Arc<Outcome>>,
) {
    let mut by_value: BTreeMap<Cell, Vec<Found>> = BTreeMap::new();
    for one in found {
        by_value.entry(one.value.clone()).or_default().push(one.clone());
    }
    for list in by_value.values() {
        let Some((value, outcome)) = best(spec, list) else { continue };
        for &period in &spec.periods {
            let start = calendar.start(period, outcome.entry().time);
            numbers.push((period, start, value.clone(), outcome.measure()));
        }
        let rank = outcome.rank(spec.order);
        if bests.get(&value).is_none_or(|there| rank < there.rank(spec.order)) {
            bests.insert(value, Arc::new(outcome));
        }
    }
}

/// The best of some outcomes, with the value that it counts under; `None` if it is excluded.
fn best(spec: &FunnelSpec, list: &[Found]) -> Option<(Cell, Outcome)> {
    let best = list.iter().min_by_key(|one| one.outcome.rank(spec.order))?;
    let touches = list.iter().filter_map(|one| one.touch.clone());
    let touch = match spec.attribution {
        Attribution::FirstTouch => touches.min_by_key(|t| t.key),
        Attribution::LastTouch => touches.max_by_key(|t| t.key),
        Attribution::AllEvents | Attribution::Step(_) => None,
    };
    let value = touch.map_or_else(|| best.value.clone(), |touch| touch.value);
    (!best.outcome.excluded).then(|| (value, best.outcome.clone()))
}

impl Part<'_> {
    fn holds(&self, filter: &Filter, event: &Event) -> bool {
        filter.holds(event, self.traits)
    }

    fn takes(&self, step: usize, event: &Event) -> bool {
        let step = &self.spec.steps[step];
        let first = step.first.as_ref().is_none_or(|filter| {
            let first = self.all.iter().find(|e| self.holds(filter, e));
            first.is_some_and(|first| first.key == event.key)
        });
        first && self.holds(&step.filter, event)
    }

    fn value(&self, event: &Event) -> Cell {
        value(self.spec, self.traits, event)
    }

    /// Whether an event may be in the chain of an entry at all.
    fn may(&self, entry: &Event, event: &Event) -> bool {
        let held = |p: &usize| {
            let text = |event: &Event| event.properties.value(*p).map(ToString::to_string);
            text(event).is_some_and(|value| Some(value) == text(entry))
        };
        event.key.time.saturating_sub(entry.key.time) <= self.spec.window
            && self.spec.hold.iter().all(held)
    }

    fn enters(&self, event: &Event) -> bool {
        let steps = match self.spec.order {
            Order::Unordered => 0..self.spec.steps.len(),
            Order::Ordered | Order::Strict => 0..1,
        };
        steps.into_iter().any(|step| self.takes(step, event)) && self.may(event, event)
    }

    /// What comes of every entry, or of every attempt.
    fn found(&self, value: &Cell) -> Vec<Found> {
        let entries: Vec<&Arc<Event>> = self.events.iter().filter(|e| self.enters(e)).collect();
        let Attribution::Step(step) = self.spec.attribution else {
            return self.one_each(&entries, None, value);
        };
        if self.spec.breakdown.is_empty() {
            return self.one_each(&entries, None, value);
        }
        let reached = |found: &Found| found.outcome.chain.get(step).is_some_and(Option::is_some);
        if self.spec.counting == Counting::Totals {
            let mut list = self.one_each(&entries, None, value);
            list.retain(reached);
            for found in &mut list {
                if let Some(Some(event)) = found.outcome.chain.get(step) {
                    found.value = self.value(event);
                }
            }
            return list;
        }
        let mut values: Vec<Cell> = self.events.iter().map(|e| self.value(e)).collect();
        values.sort_unstable();
        values.dedup();
        let of = |value: &Cell| self.one_each(&entries, Some((step, value)), value);
        values.iter().flat_map(of).filter(reached).collect()
    }

    fn one_each(
        &self,
        entries: &[&Arc<Event>],
        need: Option<(usize, &Cell)>,
        value: &Cell,
    ) -> Vec<Found> {
        let mut list: Vec<Found> = Vec::new();
        for entry in entries {
            let until = list.last().map(|found| found.until);
            let busy = until.is_some_and(|until| entry.key <= until);
            let wrong = need.is_some_and(|(s, v)| s == 0 && self.value(entry) != *v);
            if wrong || busy && self.spec.counting == Counting::Totals {
                continue;
            }
            list.push(self.outcome(entry, need, value));
        }
        list
    }

    fn outcome(&self, entry: &Arc<Event>, need: Option<(usize, &Cell)>, value: &Cell) -> Found {
        let mut chain = match self.spec.order {
            Order::Unordered => self.any_order(entry, need),
            Order::Ordered | Order::Strict => self.in_order(entry, need),
        };
        let unordered = self.spec.order == Order::Unordered;
        let exclusion = self.exclusion(entry, &chain);
        if let Some(x) = &exclusion {
            let mut cut = Chain::new();
            for event in &chain {
                cut.push(event.clone());
                if event.as_ref().is_some_and(|e| instant(e) > instant(x)) {
                    if unordered {
                        cut.pop();
                    }
                    break;
                }
            }
            chain = cut;
        }
        let set = chain.iter().flatten().filter(|e| self.value(e) != Cell::Null);
        let touch = match self.spec.attribution {
            Attribution::FirstTouch => set.min_by_key(|e| e.key),
            Attribution::LastTouch => set.max_by_key(|e| e.key),
            Attribution::AllEvents | Attribution::Step(_) => None,
        };
        let touch = touch.map(|e| Touch { key: e.key, value: self.value(e) });
        let complete = chain.len() == self.spec.steps.len();
        let until = match &exclusion {
            Some(x) => x.key,
            None if complete || self.spec.order == Order::Strict => {
                chain.iter().flatten().map(|e| e.key).max().unwrap_or(entry.key)
            }
            None => {
                let time = entry.key.time.saturating_add(self.spec.window);
                EventKey { time, ..EventKey::MAX }
            }
        };
        let outcome = Outcome { chain, excluded: exclusion.is_some() };
        Found { outcome, value: value.clone(), touch, until }
    }

    fn in_order(&self, entry: &Arc<Event>, need: Option<(usize, &Cell)>) -> Chain {
        let steps = &self.spec.steps;
        let mut chain = Chain::from_iter([Some(Arc::clone(entry))]);
        let mut last = Arc::clone(entry);
        while chain.len() < steps.len() {
            let next = chain.len();
            let required = (next..steps.len()).find(|s| !steps[*s].optional).unwrap_or(next);
            let fits = |step: usize, event: &Arc<Event>| {
                self.takes(step, event)
                    && need.is_none_or(|(s, v)| s != step || self.value(event) == *v)
                    && !chain.iter().flatten().any(|e| e.key == event.key)
                    && self.may(entry, event)
            };
            let mut instants: Vec<_> = self.events.iter().map(|e| instant(e)).collect();
            instants.retain(|at| *at >= instant(&last));
            instants.dedup();
            if self.spec.order == Order::Strict {
                instants.truncate(2);
            }
            let found = instants.into_iter().find_map(|at| {
                let mut here = self.events.iter().filter(|e| instant(e) == at);
                let optional = (next..required).find_map(|step| {
                    let mut here = here.clone();
                    let event = here.find(|e| fits(step, e) && !self.takes(required, e))?;
                    Some((step, event))
                });
                optional.or_else(|| Some((required, here.find(|e| fits(required, e))?)))
            });
            let Some((step, event)) = found else { break };
            chain.resize(step, None);
            chain.push(Some(Arc::clone(event)));
            last = Arc::clone(event);
        }
        chain
    }

    fn any_order(&self, entry: &Arc<Event>, need: Option<(usize, &Cell)>) -> Chain {
        let mut chain = Chain::new();
        let mut taken: Vec<&Arc<Event>> = Vec::new();
        for event in self.events.iter().filter(|e| e.key >= entry.key && self.may(entry, e)) {
            let wrong = need.is_some_and(|(s, v)| s == taken.len() && self.value(event) != *v);
            taken.push(event);
            if !wrong && self.each_has_a_step(&taken, 0) {
                chain.push(Some(Arc::clone(event)));
            } else {
                taken.pop();
            }
        }
        chain
    }

    /// Whether these events can each be given a step that none of them has yet.
    fn each_has_a_step(&self, events: &[&Arc<Event>], used: u32) -> bool {
        let Some((first, rest)) = events.split_first() else { return true };
        (0..self.spec.steps.len()).any(|step| {
            used >> step & 1 == 0
                && self.takes(step, first)
                && self.each_has_a_step(rest, used | 1 << step)
        })
    }

    /// The first event that must not be where it is.
    fn exclusion(&self, entry: &Arc<Event>, chain: &Chain) -> Option<Arc<Event>> {
        let cuts = |event: &&Arc<Event>| {
            self.spec.exclusions.iter().any(|rule| {
                let after = chain.iter().take(rule.from + 1).flatten().next_back();
                let before = chain.iter().skip(rule.to).flatten().next();
                self.holds(&rule.filter, event)
                    && chain.len() > rule.from
                    && after.is_some_and(|a| instant(event) > instant(a))
                    && before.is_none_or(|b| instant(event) < instant(b))
                    && event.key.time.saturating_sub(entry.key.time) <= self.spec.window
            })
        };
        self.events.iter().find(cuts).cloned()
    }
}
