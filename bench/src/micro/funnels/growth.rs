//! What more steps, values and funnels cost, over the same events.

use std::sync::Arc;

use operators::identity::testing::Seeded;
use operators::model::{
    Cause, DAY, Event, EventKey, EventKind, Idents, Origin, SECOND, Token, Value,
};
use operators::people::{People, PeopleOutput};
use operators::views::catalog::{BUILT_IN, Catalog};
use operators::views::funnel::spec::{BREAKDOWN_VALUES_MAX, BreakdownBy, FunnelSpec, FunnelStep};
use operators::views::predicate::{Matcher, Predicate};
use operators::views::spec::{Period, ViewSpec};

use super::super::people::{EPOCH, fact, person};
use crate::harness::{Meter, Sample};

/// What is computed.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    steps: usize,
    values: bool,
    funnels: usize,
}

pub(super) const USUAL: Shape = Shape { steps: 3, values: false, funnels: 1 };
pub(super) const STEPS_30: Shape = Shape { steps: 30, ..USUAL };
pub(super) const VALUES_1000: Shape = Shape { values: true, ..USUAL };
pub(super) const TEN: Shape = Shape { funnels: 10, ..USUAL };
pub(super) const FIFTY: Shape = Shape { funnels: 50, ..USUAL };

/// Kinds of events.
const KINDS: usize = 34;
/// Events of a person on average.
const EACH: u64 = 50;

/// Funnel `number` has steps from kind `number` on, each funnel past the last kind others.
fn catalog(shape: Shape) -> Catalog {
    let funnel = |number: usize| {
        // Beyond one round of the kinds, steps lie further apart.
        let stride = 1 + number / KINDS;
        let step = |step: usize| {
            let kind = (number + step * stride) % KINDS;
            FunnelStep::required(&format!("e{kind}"), kind)
        };
        let steps = (0..shape.steps).map(step).collect();
        let mut spec = FunnelSpec::new(&format!("f{number}"), steps, 14 * DAY);
        spec.values_max = BREAKDOWN_VALUES_MAX;
        spec.breakdown.extend(shape.values.then_some(BreakdownBy::Property(0)));
        ViewSpec::Funnel(spec)
    };
    let views = (0..shape.funnels).map(funnel).collect();
    Catalog::new(views, &BUILT_IN.map(str::to_owned), "UTC").expect("every list of zones has UTC")
}

/// Events of 34 kinds and 1,000 values, over 60 days.
fn stream(size: u64) -> Vec<(u64, Arc<Event>)> {
    let mut matcher = Matcher::default();
    let kinds: Vec<Arc<str>> = (0..KINDS).map(|kind| format!("e{kind}").into()).collect();
    for kind in &kinds {
        matcher.index(Predicate { events: vec![Arc::clone(kind)], ..Predicate::default() });
    }
    let matches: Vec<_> = kinds.iter().map(|kind| matcher.matches(kind, "web", &[])).collect();
    let values: Vec<Arc<str>> = (0..1000).map(|value| format!("v{value}").into()).collect();
    let (mut random, people) = (Seeded(1), (size / EACH).max(1));
    let make = |number: u64| {
        let kind = random.below(KINDS as u64) as usize;
        let value = Value::Str(Arc::clone(&values[random.below(1000) as usize]));
        let at = (i128::from(number) * i128::from(60 * DAY) / i128::from(size)) as i64;
        let time = at - random.below(3600) as i64 * SECOND;
        let event = Event {
            kind: EventKind::shared("t", "web", &kinds[kind]),
            key: EventKey { time, seq: 0, id: u128::from(number) },
            message_id: number.to_string().into(),
            origin: Origin::default(),
            idents: Idents::new(),
            special: None,
            matches: matches[kind].clone(),
            properties: [Some(value)].into(),
            content: number,
        };
        (random.below(people), Arc::new(event))
    };
    (0..size).map(make).collect()
}

/// Loads the events in epochs; the answer is what the first funnel says of days with entries, which
/// is the same for all shapes.
pub(super) fn load(size: u64, shape: Shape) -> Sample {
    let list = stream(size);
    let meter = Meter::start();
    let mut people = People::new(&catalog(shape), Vec::new());
    let (mut days, mut out) = (0, PeopleOutput::default());
    for epoch in list.chunks(EPOCH) {
        for (handle, event) in epoch {
            people.update_name(person(*handle), Some(Token(u128::from(*handle))), Cause::Merge);
            people.update_fact(fact(*handle, event, 1, Cause::New));
        }
        people.advance(&mut out);
        let first = out.contributions.iter().filter(|c| c.group.view == 0);
        days += first.filter(|c| c.group.period == Period::Day).map(|c| c.diff).sum::<i64>();
        out.changes.clear();
        out.contributions.clear();
    }
    let sample = meter.stop(size, days as u64);
    let bytes = meter.gained_bytes() / size as f64;
    sample.with("bytes_per_event", bytes)
}
