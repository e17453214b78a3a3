//! Funnels alone: beside one pass over sorted events and differential's own operators; and how
//! their cost grows.

mod differential;
mod growth;

use std::sync::Arc;

use operators::model::{Cause, Event, Micros, SECOND, Token};
use operators::people::{People, PeopleOutput};
use operators::time::Calendar;
use operators::views::catalog::{BUILT_IN, Catalog};
use operators::views::spec::{Period, ViewSpec};

use self::growth::{FIFTY, STEPS_30, TEN, USUAL, VALUES_1000};
use super::people::{
    EPOCH, HALF, HALVED_ONE_IN, fact, funnel_pass, of_one, person, stream, updates,
};
use crate::harness::{Bench, By, Case, Goal, Meter, RATE, Sample};
use crate::workload::events;

/// Funnels.
pub const FUNNELS: Bench = Bench {
    name: "funnels",
    about: "two funnels beside one pass and differential; 30 steps, 1,000 values, 50 funnels",
    unit: "events",
    size: 2_000_000,
    cases: &[
        Case::limit("one pass", "chains over each person's events, sorted beforehand", pass),
        Case::ours(
            "funnels",
            "epochs of 65,536 events; one in 20 late by up to a day; one person in 20 is merged",
            "one pass",
            &[Goal::Min(RATE, 1.5)],
            |size| Ok(funnels(size)),
        ),
        Case::ours(
            "differential",
            "its join of events with people and reduce of each person; no times, no witnesses",
            "one pass",
            &[],
            |size| Ok(differential::load(size)),
        ),
        Case {
            name: "late event",
            about: "one late event of somebody at a time",
            limit: None,
            goals: &[Goal::Max("update_us_p50", 10.0)],
            run: |size| Ok(late(size)),
        },
        Case {
            name: "late event, differential",
            about: "the same by its join and reduce",
            limit: None,
            goals: &[],
            run: |size| Ok(differential::late(size)),
        },
        Case {
            name: "late event of one person",
            about: "one late event at a time of a person with half as many events as the size",
            limit: None,
            goals: &[Goal::Max("update_us_p50", 200.0)],
            run: |size| Ok(late_of_one((size / 2).max(1))),
        },
        Case::limit("3 steps", "one funnel over 34 kinds of events, 14 days", |size| {
            Ok(growth::load(size, USUAL))
        }),
        Case::ours("30 steps", "the same with 30 steps", "3 steps", &[], |size| {
            Ok(growth::load(size, STEPS_30))
        }),
        Case::ours("1,000 values", "the same broken down", "3 steps", &[], |size| {
            Ok(growth::load(size, VALUES_1000))
        }),
        Case::ours("10 funnels", "of different steps", "3 steps", &[], |size| {
            Ok(growth::load(size, TEN))
        }),
        Case::ours("50 funnels", "of different steps", "3 steps", &[], |size| {
            Ok(growth::load(size, FIFTY))
        }),
    ],
    by: By::Cpu,
};

fn catalog() -> Catalog {
    let views = events::funnels().into_iter().map(ViewSpec::Funnel).collect();
    Catalog::new(views, &BUILT_IN.map(str::to_owned), "UTC").expect("every list of zones has UTC")
}

fn pass(size: u64) -> Result<Sample, String> {
    let mut list = stream(size);
    list.sort_by_key(|(handle, event)| (*handle, event.key));
    let (handles, list): (Vec<u64>, Vec<Arc<Event>>) = list.into_iter().unzip();
    let mut calendar = Calendar::new("UTC").map_err(|e| e.to_string())?;
    let funnels = events::funnels();
    let meter = Meter::start();
    let (mut first, mut days) = (0, 0);
    while first < list.len() {
        let length = handles[first..].partition_point(|h| *h == handles[first]);
        let own = &list[first..first + length];
        for (funnel, steps) in funnels.iter().zip(events::STEPS) {
            days += funnel_pass((steps, funnel.window), &mut calendar, own) as u64;
        }
        first += length;
    }
    Ok(meter.stop(size, days))
}

/// Days with entries, net of what changed.
fn days(out: &PeopleOutput) -> i64 {
    out.contributions.iter().filter(|c| c.group.period == Period::Day).map(|c| c.diff).sum()
}

/// The half of a person that an event of the stream comes to at first, if it is the second.
fn half(number: usize, size: usize, handle: u64, event: &Event) -> bool {
    number < size / 2 && handle.is_multiple_of(HALVED_ONE_IN) && event.content.is_multiple_of(2)
}

fn funnels(size: u64) -> Sample {
    let list = stream(size);
    let meter = Meter::start();
    let mut people = People::new(&catalog(), Vec::new());
    let (mut standing, mut out) = (0, PeopleOutput::default());
    let mut halves: Vec<(u64, Arc<Event>)> = Vec::new();
    for (number, (handle, event)) in list.iter().enumerate() {
        let mut own = *handle;
        if half(number, list.len(), *handle, event) {
            halves.push((*handle, Arc::clone(event)));
            own += HALF;
        }
        people.update_name(person(own), Some(Token(u128::from(*handle))), Cause::Merge);
        people.update_fact(fact(own, event, 1, Cause::New));
        if number + 1 == list.len() / 2 {
            for (handle, event) in halves.drain(..) {
                people.update_fact(fact(handle + HALF, &event, -1, Cause::Merge));
                people.update_fact(fact(handle, &event, 1, Cause::Merge));
                people.update_name(person(handle), Some(Token(u128::from(handle))), Cause::Merge);
            }
        }
        if (number + 1) % EPOCH == 0 || number + 1 == list.len() {
            people.advance(&mut out);
            standing += days(&out);
            out.changes.clear();
            out.contributions.clear();
        }
    }
    let sample = meter.stop(size, standing as u64);
    let bytes = meter.gained_bytes() / size as f64;
    sample.with("bytes_per_event", bytes)
}

fn loaded(list: &[(u64, Arc<Event>)]) -> People {
    let mut people = People::new(&catalog(), Vec::new());
    for (handle, event) in list {
        people.update_name(person(*handle), Some(Token(u128::from(*handle))), Cause::Merge);
        people.update_fact(fact(*handle, event, 1, Cause::New));
    }
    people.advance(&mut PeopleOutput::default());
    people
}

/// Where the late events of a stream come: an hour at most after another of the same person.
fn late_places(list: &[(u64, Arc<Event>)]) -> impl FnMut() -> (u64, Micros) {
    let mut random = operators::identity::testing::Seeded(11);
    move || {
        let (handle, event) = &list[random.below(list.len() as u64) as usize];
        (*handle, event.key.time + random.below(3_600) as Micros * SECOND)
    }
}

fn late(size: u64) -> Sample {
    let list = stream(size);
    updates(&mut loaded(&list), late_places(&list))
}

fn late_of_one(size: u64) -> Sample {
    let list = of_one(size);
    let mut random = operators::identity::testing::Seeded(13);
    let first = list.first().map_or(0, |(_, event)| event.key.time);
    updates(&mut loaded(&list), || (0, first + random.below(size * 20) as Micros * SECOND))
}
