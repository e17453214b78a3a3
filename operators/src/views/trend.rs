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

fn counts(spec: &TrendSpec, event: &Event) -> bool {
    spec.filter.is_none_or(|predicate| event.matches.has(predicate))
}

/// What an event adds to its trend, unless the trend counts people.
fn measure(metric: Metric, event: &Event) -> Option<Measure> {
    match metric {
        Metric::Events => Some(Measure::One),
        Metric::People => None,
        Metric::Sum(p) | Metric::Avg(p) | Metric::Min(p) | Metric::Max(p) => {
            event.properties[p].as_ref().and_then(decimal).map(Measure::Number)
        }
    }
}

/// Adds an event to the trends of events and values, or takes it away.
pub fn of_event(
    catalog: &mut Catalog,
    event: &Event,
    diff: i64,
    cause: Cause,
    out: &mut PeopleOutput,
) {
    let Catalog { specs, calendar, .. } = catalog;
    for (view, spec) in specs.iter().enumerate() {
        let ViewSpec::Trend(spec) = spec else { continue };
        if !counts(spec, event) {
            continue;
        }
        if let Some(measure) = measure(spec.metric, event) {
            let group = Group {
                view: view as u16,
                tenant: Arc::clone(&event.tenant),
                period: spec.period,
                start: calendar.start(spec.period, event.key.time),
                breakdown: breakdown_value(spec.breakdown, event),
            };
            out.contributions.push(Contribution { group, measure, diff, cause });
        }
    }
}

/// Counts an event of a person in the trends of people: a person counts once while any event does.
pub fn of_person(
    catalog: &mut Catalog,
    event: &Event,
    diff: i8,
    cause: Cause,
    presence: &mut BTreeMap<(u16, Micros, Cell), u32>,
    out: &mut PeopleOutput,
) {
    let Catalog { specs, calendar, .. } = catalog;
    for (view, spec) in specs.iter().enumerate() {
        let ViewSpec::Trend(spec) = spec else { continue };
        if spec.metric != Metric::People || !counts(spec, event) {
            continue;
        }
        let start = calendar.start(spec.period, event.key.time);
        let breakdown = breakdown_value(spec.breakdown, event);
        let key = (view as u16, start, breakdown);
        let events = presence.entry(key.clone()).or_default();
        let before = *events;
        *events = if diff > 0 { before + 1 } else { before - 1 };
        let after = *events;
        if after == 0 {
            presence.remove(&key);
        }
        if (before == 0) != (after == 0) {
            let tenant = Arc::clone(&event.tenant);
            let (view, start, breakdown) = key;
            let group = Group { view, tenant, period: spec.period, start, breakdown };
            let diff = i64::from(diff);
            out.contributions.push(Contribution { group, measure: Measure::One, diff, cause });
        }
    }
}
