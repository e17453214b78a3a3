//! Trends: events, people, or sums, means and extremes of a property, by period.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::catalog::Catalog;
use super::contribution::{Contribution, Decimal, Group, Measure};
use super::funnel::breakdown_value;
use super::spec::{Metric, TrendSpec, ViewSpec};
use crate::model::{Cause, Cell, Event, Micros, Value};
use crate::people::PeopleOutput;

/// Numbers beyond this do not count: within it, sums of 2^64 values fit a [`Decimal`].
const LARGEST: f64 = 9e18;

/// A numeric property with nine decimal places: whole numbers exactly, others rounded half to even.
/// Text and numbers beyond 9e18 are no numbers here.
pub fn decimal(value: &Value) -> Option<Decimal> {
    match value {
        Value::Int(i) => Some(Decimal::from(*i) * 1_000_000_000),
        // The whole part apart, so that rounding sees the fraction at full precision.
        Value::Float(f) if f.abs() <= LARGEST => {
            let whole = f.trunc();
            let fraction = ((f - whole) * 1e9).round_ties_even();
            Some(whole as Decimal * 1_000_000_000 + fraction as Decimal)
        }
        Value::Float(_) | Value::Bool(_) | Value::Str(_) => None,
    }
}

/// Whether a trend looks at an event.
pub fn counts(spec: &TrendSpec, event: &Event) -> bool {
    spec.filter.is_none_or(|predicate| event.matches.has(predicate))
}

/// What an event adds to its trend, unless the trend counts people.
pub fn measure(metric: Metric, event: &Event) -> Option<Measure> {
    match metric {
        Metric::Events => Some(Measure::One),
        Metric::People => None,
        Metric::Sum(p) | Metric::Avg(p) | Metric::Min(p) | Metric::Max(p) => {
            event.properties[p].as_ref().and_then(decimal).map(Measure::Number)
        }
    }
}

/// Events that come and go: facts of one person in their order, or single events of nobody.
type Deltas = [(Arc<Event>, i8, Cause)];

/// Adds events to the trends of events and values, or takes them away. Events that follow each
/// other and count in the same place are one contribution.
pub fn of_events(catalog: &mut Catalog, deltas: &Deltas, out: &mut PeopleOutput) {
    let Catalog { specs, calendar, .. } = catalog;
    for (view, spec) in specs.iter().enumerate() {
        let ViewSpec::Trend(spec) = spec else { continue };
        let mut run: Option<Contribution> = None;
        for (event, diff, cause) in deltas.iter().filter(|d| counts(spec, &d.0)) {
            let Some(measure) = measure(spec.metric, event) else { continue };
            let (start, breakdown) = (
                calendar.start(spec.period, event.key.time),
                breakdown_value(spec.breakdown, event),
            );
            let diff = i64::from(*diff);
            match &mut run {
                Some(run)
                    if run.group.start == start
                        && run.cause == *cause
                        && run.measure == measure
                        && run.group.breakdown == breakdown
                        && run.group.tenant == event.tenant =>
                {
                    run.diff += diff;
                }
                _ => {
                    let (view, tenant) = (view as u16, Arc::clone(&event.tenant));
                    let group = Group { view, tenant, period: spec.period, start, breakdown };
                    let next = Contribution { group, measure, diff, cause: *cause };
                    out.contribute(run.replace(next));
                }
            }
        }
        out.contribute(run);
    }
}

/// Counts events of a person in the trends of people: a person counts once while any event does.
pub fn of_person(
    catalog: &mut Catalog,
    deltas: &Deltas,
    presence: &mut BTreeMap<(u16, Micros, Cell), u32>,
    out: &mut PeopleOutput,
) {
    let Catalog { specs, calendar, .. } = catalog;
    for (view, spec) in specs.iter().enumerate() {
        let ViewSpec::Trend(spec) = spec else { continue };
        if spec.metric != Metric::People {
            continue;
        }
        let mut rest = deltas.iter().filter(|d| counts(spec, &d.0)).peekable();
        while let Some((event, diff, cause)) = rest.next() {
            let mut place = |event: &Event| {
                let start = calendar.start(spec.period, event.key.time);
                (view as u16, start, breakdown_value(spec.breakdown, event))
            };
            let key = place(event);
            let mut diff = i64::from(*diff);
            while let Some((_, more, _)) = rest.next_if(|d| d.2 == *cause && place(&d.0) == key) {
                diff += i64::from(*more);
            }
            let events = presence.entry(key.clone()).or_default();
            let before = *events;
            let after = before.saturating_add_signed(diff as i32);
            *events = after;
            if after == 0 {
                presence.remove(&key);
            }
            if (before == 0) != (after == 0) {
                let (view, start, breakdown) = key;
                let tenant = Arc::clone(&event.tenant);
                let group = Group { view, tenant, period: spec.period, start, breakdown };
                let diff = if after > 0 { 1 } else { -1 };
                let measure = Measure::One;
                out.contribute(Some(Contribution { group, measure, diff, cause: *cause }));
            }
        }
    }
}
