//! Trends: events, people, or sums, means and extremes of a property, by period.

use std::sync::Arc;

use thin_vec::ThinVec;

use super::catalog::Catalog;
use super::contribution::{Contribution, Counted, Decimal, Group, Measure};
use super::funnel::{breakdown_value, with_breakdown};
use super::spec::{Breakdown, Metric, TrendSpec, ViewSpec};
use crate::bytes;
use crate::model::{Cause, Cell, Event, Micros, Value};
use crate::people::PeopleOutput;

/// Numbers beyond this do not count: within it, sums of 10^10 values fit a [`Decimal`], and what is
/// beyond that stops the job instead of wrapping.
const LARGEST: f64 = 9e18;

/// A numeric property with nine decimal places: whole numbers exactly, others rounded half to even.
/// Text counts that spells a number; numbers beyond 9e18 do not.
pub fn decimal(value: &Value) -> Option<Decimal> {
    if let Some(whole) = value.whole() {
        return Some(Decimal::from(whole) * 1_000_000_000);
    }
    // The whole part apart, so that rounding sees the fraction at full precision.
    let number = value.number().filter(|number| number.abs() <= LARGEST)?;
    let whole = number.trunc();
    let fraction = ((number - whole) * 1e9).round_ties_even();
    Some(whole as Decimal * 1_000_000_000 + fraction as Decimal)
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
            event.properties.value(p).and_then(decimal).map(Measure::Number)
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
        let mut run: Option<Run<'_>> = None;
        for (event, diff, cause) in deltas.iter().filter(|d| counts(spec, &d.0)) {
            let Some(measure) = measure(spec.metric, event) else { continue };
            let (start, diff) = (calendar.start(spec.period, event.key.time), i64::from(*diff));
            match &mut run {
                Some(run) if run.takes(spec, event, &measure, (start, *cause)) => run.diff += diff,
                _ => {
                    let next = Run { event, measure, start, diff, cause: *cause };
                    run.replace(next).into_iter().for_each(|run| run.tell(view as u16, spec, out));
                }
            }
        }
        run.into_iter().for_each(|run| run.tell(view as u16, spec, out));
    }
}

/// Events that follow each other and count in the same place.
struct Run<'a> {
    /// The first of them.
    event: &'a Event,
    measure: Measure,
    start: Micros,
    diff: i64,
    cause: Cause,
}

impl Run<'_> {
    fn takes(
        &self,
        spec: &TrendSpec,
        event: &Event,
        measure: &Measure,
        place: (Micros, Cause),
    ) -> bool {
        let same = match spec.breakdown {
            None => true,
            Some(Breakdown::Channel) => self.event.kind.channel == event.kind.channel,
            Some(Breakdown::Property(index)) => {
                self.event.properties.value(index) == event.properties.value(index)
            }
        };
        same && (self.start, self.cause) == place
            && self.measure == *measure
            && self.event.kind.tenant == event.kind.tenant
    }

    fn tell(self, view: u16, spec: &TrendSpec, out: &mut PeopleOutput) {
        let Self { event, measure, start, diff, cause } = self;
        if diff == 0 {
            return;
        }
        let (tenant, period) = (&event.kind.tenant, spec.period);
        with_breakdown(spec.breakdown, event, |breakdown| {
            if measure == Measure::One {
                out.counted.add(&Counted { view, tenant, period, start, breakdown }, diff, cause);
                return;
            }
            let (tenant, breakdown) = (Arc::clone(tenant), breakdown.into());
            let group = Group { view, tenant, period, start, breakdown };
            out.contributions.push(Contribution { group, measure, diff, cause });
        });
    }
}

/// Where an event counts: trend, period start, breakdown value.
type Place = (u16, Micros, Cell);

/// How many events of a person fall in each place where people are counted. In order: most people
/// have few.
#[derive(Debug, Default)]
pub struct Presence(ThinVec<(Place, u32)>);

impl Presence {
    /// Counts more (or fewer) events in a place; returns how many there were and are.
    fn add(&mut self, place: &Place, diff: i64) -> (u32, u32) {
        let found = self.0.binary_search_by(|(there, _)| there.cmp(place));
        let before = found.map_or(0, |at| self.0[at].1);
        let after = before.saturating_add_signed(diff as i32);
        match found {
            Ok(at) if after == 0 => drop(self.0.remove(at)),
            Ok(at) => self.0[at].1 = after,
            Err(_) if after == 0 => {}
            Err(at) => {
                if self.0.len() == self.0.capacity() {
                    self.0.reserve_exact((self.0.len() / 4).max(1));
                }
                self.0.insert(at, (place.clone(), after));
            }
        }
        (before, after)
    }

    /// Memory that it takes, in bytes.
    pub fn bytes(&self) -> usize {
        bytes::thin(&self.0)
    }

    /// Whether a trend counts the person anywhere.
    pub fn is_in(&self, view: u16) -> bool {
        let first = self.0.partition_point(|(place, _)| place.0 < view);
        self.0.get(first).is_some_and(|(place, _)| place.0 == view)
    }
}

/// Counts events of a person in the trends of people: a person counts once while any event does.
pub fn of_person(
    catalog: &mut Catalog,
    deltas: &Deltas,
    presence: &mut Presence,
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
            let (before, after) = presence.add(&key, diff);
            if (before == 0) != (after == 0) {
                let ((view, start, breakdown), tenant) = (&key, &event.kind.tenant);
                let (view, start, breakdown) = (*view, *start, breakdown.as_ref());
                let place = Counted { view, tenant, period: spec.period, start, breakdown };
                out.counted.add(&place, if after > 0 { 1 } else { -1 }, *cause);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Amounts that a source writes as text were left out of sums.
    #[test]
    fn text_that_spells_a_number_counts() {
        let text = |text: &str| decimal(&Value::Str(text.into()));
        assert_eq!(text("20"), decimal(&Value::Int(20)));
        assert_eq!(text(" 19.90"), decimal(&Value::Float(19.9)));
        assert_eq!(text("9007199254740993"), Some(9_007_199_254_740_993_000_000_000));
        for no_number in ["", "5 EUR", "1,5", "inf", "NaN", "1e19"] {
            assert_eq!(text(no_number), None, "{no_number}");
        }
        assert_eq!(decimal(&Value::Bool(true)), None);
    }
}
