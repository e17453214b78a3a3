//! How the cost of funnels grows: with events of a person, steps, values of a breakdown, funnels.
//!
//! `cargo run --release -p braid-bench --example funnel [events]`
//!
//! Each line: what grows, its size, events loaded a second, and the median and 99th percentile of a
//! single update (an event comes at a random moment, or goes) in microseconds.

use std::sync::Arc;
use std::time::Instant;

use operators::identity::testing::Seeded;
use operators::model::{Cause, DAY, Event, EventKey, EventKind, Origin, SECOND, Token, Value};
use operators::people::{People, PeopleOutput};
use operators::store::{Fact, PersonRef};
use operators::views::catalog::Catalog;
use operators::views::counts::Counts;
use operators::views::funnel::spec::{BreakdownBy, FunnelSpec, FunnelStep};
use operators::views::predicate::{Matcher, Predicate};
use operators::views::spec::ViewSpec;

/// A workload: people, events of each, steps, values of the breakdown, funnels.
#[derive(Clone, Copy)]
struct Size {
    people: u64,
    events: u64,
    steps: u64,
    values: u64,
    funnels: u64,
}

/// Span of time that the events of a person lie in.
const SPAN: i64 = 365 * DAY;
/// Single updates that are measured.
const UPDATES: u64 = 2000;

fn event(random: &mut Seeded, matcher: &Matcher, size: Size, number: u64) -> Arc<Event> {
    let name = format!("e{}", random.below(size.steps + 4));
    let value = Value::Str(format!("v{}", random.below(size.values)).into());
    let properties = [Some(value)];
    let time = random.below((SPAN / SECOND) as u64) as i64 * SECOND;
    Arc::new(Event {
        kind: EventKind::shared("t", "web", &name),
        key: EventKey { time, seq: 0, id: u128::from(number) },
        message_id: number.to_string().into(),
        matches: matcher.matches(&name, "web", &properties),
        origin: Origin::default(),
        idents: smallvec::SmallVec::new(),
        special: None,
        properties: properties.into(),
        content: number,
    })
}

fn measure(what: &str, size: Size) {
    let mut matcher = Matcher::default();
    let steps: Vec<FunnelStep> = (0..size.steps)
        .map(|step| {
            let name = format!("e{step}");
            let events = vec![name.as_str().into()];
            FunnelStep::required(&name, matcher.index(Predicate { events, ..Predicate::default() }))
        })
        .collect();
    let views = (0..size.funnels).map(|number| {
        let mut spec = FunnelSpec::new(&format!("f{number}"), steps.clone(), DAY);
        spec.values_max = 1000;
        spec.breakdown.extend((size.values > 1).then_some(BreakdownBy::Property(0)));
        ViewSpec::Funnel(spec)
    });
    let catalog = Catalog::new(views.collect(), &[], "UTC").expect("UTC is there");
    let (mut people, mut counts) = (People::new(&catalog, Vec::new()), Counts::new(&catalog));
    let mut random = Seeded(1);
    let mut number = 0;
    let mut make = |random: &mut Seeded| {
        number += 1;
        event(random, &matcher, size, number)
    };
    let all: Vec<Vec<Arc<Event>>> =
        (0..size.people).map(|_| (0..size.events).map(|_| make(&mut random)).collect()).collect();
    let mut advance = |people: &mut People| {
        let mut out = PeopleOutput::default();
        people.advance(&mut out);
        out.contributions.into_iter().for_each(|c| counts.update(c));
        let mut rows = Vec::new();
        counts.advance(&mut rows);
        rows.len()
    };
    let begun = Instant::now();
    for (handle, events) in all.iter().enumerate() {
        let person = PersonRef { tenant: 1, handle: handle as u64 };
        people.update_name(person, Some(Token(handle as u128)), Cause::Merge);
        for event in events {
            let event = Arc::clone(event);
            people.update_fact(Fact { person: Some(person), event, diff: 1, cause: Cause::New });
        }
    }
    advance(&mut people);
    let rate = (size.people * size.events) as f64 / begun.elapsed().as_secs_f64();
    let mut took: Vec<f64> = Vec::new();
    for _ in 0..UPDATES {
        let handle = random.below(size.people);
        let (person, diff) =
            (PersonRef { tenant: 1, handle }, if random.once_in(2) { 1 } else { -1 });
        let event = if diff > 0 {
            make(&mut random)
        } else {
            let list = &all[handle as usize];
            Arc::clone(&list[random.below(list.len() as u64) as usize])
        };
        let begun = Instant::now();
        people.update_fact(Fact { person: Some(person), event, diff, cause: Cause::Late });
        advance(&mut people);
        took.push(begun.elapsed().as_secs_f64() * 1e6);
    }
    took.sort_by(f64::total_cmp);
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize];
    let size = match what {
        "events" => size.events,
        "people" => size.people,
        "steps" => size.steps,
        "values" => size.values,
        _ => size.funnels,
    };
    println!("{what:8} {size:>9} {rate:>12.0}/s {:>10.1} us {:>10.1} us", at(0.5), at(0.99));
}

fn main() {
    let most = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(1_000_000);
    let usual = Size { people: 2000, events: 50, steps: 3, values: 1, funnels: 1 };
    for events in [1000, 10_000, 100_000, 1_000_000].into_iter().filter(|n| *n <= most) {
        measure("events", Size { people: 1, events, ..usual });
    }
    for people in [2000, 20_000] {
        measure("people", Size { people, ..usual });
    }
    for steps in [2, 5, 10, 20, 30] {
        measure("steps", Size { steps, ..usual });
    }
    for values in [1, 10, 100, 1000] {
        measure("values", Size { values, ..usual });
    }
    for funnels in [1, 10, 50] {
        measure("funnels", Size { funnels, ..usual });
    }
}
