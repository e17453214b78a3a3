//! Time at ten times the size: no step is quadratic. And of as many events of ten times the
//! tenants: none costs much by itself.

use operators::model::Cause;
use operators::people::{People, PeopleOutput};
use operators::store::{Fact, PersonRef};

use super::connectivity::load;
use super::people::of_one;
use crate::harness::{Bench, By, Case, Goal, Meter, RATIO, Sample};
use crate::whole::of_tenants;
use crate::workload::{events, graphs};

/// Growth.
pub const GROWTH: Bench = Bench {
    name: "growth",
    about: "time at ten times the size beside time at the size, 10 is linear; of tenants as many \
            events of ten times as many, 1 is for nothing",
    unit: "events",
    size: 100_000,
    cases: &[
        Case::limit("people: events", "identity: events of people, 33 each", |n| {
            Ok(stitch(&graphs::persons(1, n as usize)))
        }),
        Case::ours("people: 10x events", "and people", "people: events", LINEAR, |n| {
            Ok(stitch(&graphs::persons(1, 10 * n as usize)))
        }),
        Case::limit("hub: links", "identity: links of one identifier", |n| {
            Ok(stitch(&graphs::star(1, n as usize)))
        }),
        Case::ours("hub: 10x links", "", "hub: links", LINEAR, |n| {
            Ok(stitch(&graphs::star(1, 10 * n as usize)))
        }),
        Case::limit("chain: length", "identity: a path that grows at random places", |n| {
            Ok(stitch(&graphs::chain(1, n as usize)))
        }),
        Case::ours("chain: 10x length", "", "chain: length", LINEAR, |n| {
            Ok(stitch(&graphs::chain(1, 10 * n as usize)))
        }),
        Case::limit("one person: events", "views: events of one person, in 100 epochs", |n| {
            Ok(one_person(n))
        }),
        Case::ours("one person: 10x events", "", "one person: events", LINEAR, |n| {
            Ok(one_person(10 * n))
        }),
        Case::limit("tenants: 100", "a whole job of 100 tenants", |n| of_tenants(3 * n, 100)),
        Case::ours("tenants: 1,000", "as many events of more", "tenants: 100", TENANTS, |n| {
            of_tenants(3 * n, 1000)
        }),
    ],
    by: By::Growth,
};

/// Ten times the data in eleven times the time.
const LINEAR: &[Goal] = &[Goal::Max(RATIO, 11.0)];

/// As many events of ten times the tenants in four times the time: each has people, tables and
/// numbers of its own.
const TENANTS: &[Goal] = &[Goal::Max(RATIO, 4.0)];

fn stitch(edges: &[graphs::Edge]) -> Sample {
    let meter = Meter::start();
    let (_, people) = load(edges);
    meter.stop(edges.len() as u64, people as u64)
}

/// One person's events, of which each epoch brings a run.
fn one_person(size: u64) -> Sample {
    let list = of_one(size);
    let meter = Meter::start();
    let mut people = People::new(&events::catalog(), Vec::new());
    let (person, mut out) = (PersonRef { tenant: 1, handle: 0 }, PeopleOutput::default());
    people.update_name(person, Some(operators::model::Token(1)), Cause::Merge);
    for epoch in list.chunks((list.len() / 100).max(1)) {
        for (_, event) in epoch {
            let event = std::sync::Arc::clone(event);
            people.update_fact(Fact { person: Some(person), event, diff: 1, cause: Cause::New });
        }
        people.advance(&mut out);
    }
    meter.stop(size, out.changes.len() as u64)
}
