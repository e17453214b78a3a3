//! Ordered funnels: how far each person got, and how long it took.
//!
//! An *entry* is an event that takes the first step. Its outcome is the chain of first next steps:
//! the first later event (in the total order) that takes step 2, the first after that which takes
//! step 3, and so on, each at most the window after the entry, inclusive. Other events may stand
//! between; one event takes at most one step of a chain. So an outcome depends only on the entry and
//! its window.
//!
//! A person counts once per entry period and breakdown value (of the entry), with the *best* entry
//! in it: the furthest, and of those the earliest. Days are kept per person; weeks, months and all
//! time follow from them.

use std::collections::BTreeMap;
use std::sync::Arc;

use smallvec::SmallVec;

use super::contribution::{Contribution, Group, Measure};
use super::spec::{Breakdown, FunnelSpec, Period};
use crate::model::{Cause, Cell, Event, EventKey, Micros, Row, Token};
use crate::people::SortedChunks;
use crate::time::Calendar;

/// The events that took the steps of an entry, the entry first. Its length is the furthest step.
pub type Chain = SmallVec<[Arc<Event>; 3]>;

/// A person's best entries by day and breakdown value.
pub type Days = BTreeMap<(Micros, Cell), Chain>;

/// The breakdown's value of an event, as text.
pub fn breakdown_value(breakdown: Option<Breakdown>, event: &Event) -> Cell {
    match breakdown {
        None => Cell::Null,
        Some(Breakdown::Channel) => Cell::Str(Arc::clone(&event.channel)),
        Some(Breakdown::Property(index)) => match &event.properties[index] {
            None => Cell::Null,
            Some(crate::model::Value::Str(text)) => Cell::Str(Arc::clone(text)),
            Some(value) => Cell::str(&value.to_string()),
        },
    }
}

/// Whether chain `a` counts rather than `b`.
fn better(a: &Chain, b: &Chain) -> bool {
    a.len() > b.len() || (a.len() == b.len() && a[0].key < b[0].key)
}

fn keep_best<K: Ord>(best: &mut BTreeMap<K, Chain>, key: K, chain: &Chain) {
    let entry = best.entry(key).or_insert_with(|| chain.clone());
    if better(chain, entry) {
        chain.clone_into(entry);
    }
}

/// Whether an event takes any step of a funnel.
pub fn concerns(spec: &FunnelSpec, event: &Event) -> bool {
    spec.steps.iter().any(|step| event.matches.has(step.predicate))
}

/// The best entries by day, of events in the total order: the specification in code.
pub fn oracle(spec: &FunnelSpec, calendar: &mut Calendar, events: &[Arc<Event>]) -> Days {
    let mut days = Days::new();
    for (place, entry) in events.iter().enumerate() {
        if !entry.matches.has(spec.steps[0].predicate) {
            continue;
        }
        let mut chain = Chain::from_iter([Arc::clone(entry)]);
        for event in &events[place + 1..] {
            let within = event.key.time.saturating_sub(entry.key.time) <= spec.window;
            if let Some(step) = spec.steps.get(chain.len())
                && within
                && event.matches.has(step.predicate)
            {
                chain.push(Arc::clone(event));
            }
        }
        let day = calendar.start(Period::Day, entry.key.time);
        keep_best(&mut days, (day, breakdown_value(spec.breakdown, entry)), &chain);
    }
    days
}

/// Brings a person's days up to date after facts at `changed` keys, in order, came or went.
///
/// Looks at the days whose entries can see a changed event, and at one window after them.
pub fn update(
    spec: &FunnelSpec,
    calendar: &mut Calendar,
    facts: &SortedChunks<Arc<Event>>,
    days: &mut Days,
    changed: &[EventKey],
) {
    let mut next = 0;
    while let Some(key) = changed.get(next) {
        let low = calendar.start(Period::Day, key.time.saturating_sub(spec.window));
        let mut day = calendar.start(Period::Day, key.time);
        let mut high = calendar.end(Period::Day, day);
        next += 1;
        // Changes whose days overlap are one range.
        while let Some(more) = changed.get(next) {
            if more.time.saturating_sub(spec.window) >= high {
                break;
            }
            day = calendar.start(Period::Day, more.time);
            high = calendar.end(Period::Day, day);
            next += 1;
        }
        days.retain(|(day, _), _| *day < low || *day >= high);
        entries(spec, calendar, facts, low, high, days);
    }
}

/// Adds the best entries of the days from `low` to before `high`.
fn entries(
    spec: &FunnelSpec,
    calendar: &mut Calendar,
    facts: &SortedChunks<Arc<Event>>,
    low: Micros,
    high: Micros,
    days: &mut Days,
) {
    let end = high.saturating_add(spec.window);
    let events: Vec<&Arc<Event>> = facts
        .from(EventKey { time: low, ..EventKey::MIN })
        .take_while(|event| event.key.time <= end)
        .filter(|event| concerns(spec, event))
        .collect();
    // Where each step is taken, so that a hop along a chain is a search.
    let places: Vec<Vec<usize>> = spec
        .steps
        .iter()
        .map(|step| (0..events.len()).filter(|&i| events[i].matches.has(step.predicate)).collect())
        .collect();
    for &place in &places[0] {
        let entry = events[place];
        if entry.key.time >= high {
            break;
        }
        let mut chain = Chain::from_iter([Arc::clone(entry)]);
        let mut at = place;
        for step in &places[1..] {
            let Some(&hop) = step.get(step.partition_point(|&p| p <= at)) else { break };
            if events[hop].key.time.saturating_sub(entry.key.time) > spec.window {
                break;
            }
            chain.push(Arc::clone(events[hop]));
            at = hop;
        }
        let day = calendar.start(Period::Day, entry.key.time);
        keep_best(days, (day, breakdown_value(spec.breakdown, entry)), &chain);
    }
}

/// The best entry per period and breakdown value.
pub fn by_period(
    spec: &FunnelSpec,
    calendar: &mut Calendar,
    days: &Days,
) -> BTreeMap<(Period, Micros, Cell), Chain> {
    let mut best = BTreeMap::new();
    for ((day, value), chain) in days {
        for &period in &spec.periods {
            let start = calendar.start(period, *day);
            keep_best(&mut best, (period, start, value.clone()), chain);
        }
    }
    best
}

/// The best entry per breakdown value over all time.
pub fn over_all(days: &Days) -> BTreeMap<Cell, Chain> {
    let mut best = BTreeMap::new();
    for ((_, value), chain) in days {
        keep_best(&mut best, value.clone(), chain);
    }
    best
}

/// A chain as what it adds to its group.
pub fn measure(chain: &Chain) -> Measure {
    let start = chain.first().map_or(0, |entry| entry.key.time);
    Measure::Attempt(chain.iter().map(|event| event.key.time.saturating_sub(start)).collect())
}

/// What changes in the counts when a person's days change.
pub fn contributions(
    spec: &FunnelSpec,
    view: u16,
    tenant: &Arc<str>,
    calendar: &mut Calendar,
    (before, after): (&Days, &Days),
    cause: Cause,
    out: &mut Vec<Contribution>,
) {
    let before = by_period(spec, calendar, before);
    let after = by_period(spec, calendar, after);
    let mut emit = |key: &(Period, Micros, Cell), measure: Measure, diff: i64| {
        let (period, start, breakdown) = key.clone();
        let group = Group { view, tenant: Arc::clone(tenant), period, start, breakdown };
        out.push(Contribution { group, measure, diff, cause });
    };
    for (key, chain) in &before {
        let old = measure(chain);
        if after.get(key).map(measure).as_ref() != Some(&old) {
            emit(key, old, -1);
        }
    }
    for (key, chain) in &after {
        let new = measure(chain);
        if before.get(key).map(measure).as_ref() != Some(&new) {
            emit(key, new, 1);
        }
    }
}

/// A person's rows in `funnel_<name>_people`.
pub fn people_rows(view: u16, tenant: &Arc<str>, person: Token, days: &Days) -> Vec<Row> {
    over_all(days)
        .into_iter()
        .map(|(breakdown, chain)| Row {
            view,
            cells: Box::new([
                Cell::Str(Arc::clone(tenant)),
                Cell::Id(person),
                breakdown,
                Cell::Int(chain.len() as i64),
                Cell::List(chain.iter().map(|event| Cell::Time(event.key.time)).collect()),
                Cell::List(chain.iter().map(|event| Cell::str(&event.message_id)).collect()),
            ]),
            // A later entry may go further at any time.
            final_at: Micros::MAX,
        })
        .collect()
}
