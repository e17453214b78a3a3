//! Sessions and funnels of people beside one pass over sorted events.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use operators::identity::testing::Seeded;
use operators::model::{Cause, Event, Micros, SECOND, Token};
use operators::people::{People, PeopleOutput};
use operators::store::{Fact, PersonRef};
use operators::time::Calendar;
use operators::views::sessions;
use operators::views::spec::Period;

use crate::harness::{Bench, By, Case, Goal, Meter, RATE, Sample, percentile};
use crate::workload::events::{self, Maker};

/// People.
pub const PEOPLE: Bench = Bench {
    name: "people",
    about: "sessions and two funnels kept up to date, beside one pass over sorted events",
    unit: "events",
    size: 2_000_000,
    cases: &[
        Case::limit(
            "one pass",
            "sessions and chains over each person's events, sorted beforehand",
            pass,
        ),
        Case::ours(
            "people",
            "epochs of 65,536 events; one in 20 late by up to a day; one person in 20 is merged",
            "one pass",
            &[Goal::Min(RATE, 1.5)],
            |size| Ok(people(size)),
        ),
        Case {
            name: "late event",
            about: "one late event of somebody at a time, with its rows",
            limit: None,
            goals: &[Goal::Max("update_us_p50", 10.0)],
            run: |size| Ok(late(size)),
        },
        Case {
            name: "late event of one person",
            about: "one late event at a time of a person with half as many events as the size",
            limit: None,
            goals: &[Goal::Max("update_us_p50", 200.0)],
            run: |size| Ok(late_of_one((size / 2).max(1))),
        },
    ],
    by: By::Cpu,
};

pub(super) const EPOCH: usize = 65_536;
/// Events of a person on average.
const EACH: u64 = 20;
/// Late events that are timed.
pub(super) const UPDATES: usize = 2_000;
/// Begin of the data: 2026-01-01.
const BEGIN: Micros = 1_767_225_600 * SECOND;

pub(super) fn person(handle: u64) -> PersonRef {
    PersonRef { tenant: 1, handle }
}

pub(super) fn fact(handle: u64, event: &Arc<Event>, diff: i8, cause: Cause) -> Fact {
    Fact { person: Some(person(handle)), event: Arc::clone(event), diff, cause }
}

/// Events with the people who have them in the end, in the order of arrival: the clock of each
/// person jumps by minutes, now and then by days.
pub(super) fn stream(size: u64) -> Vec<(u64, Arc<Event>)> {
    let (mut maker, mut random) = (Maker::new(8), Seeded(9));
    let people = (size / EACH).max(1);
    let span = 30 * 86_400 * SECOND;
    let mut list = Vec::with_capacity(size as usize);
    for number in 0..size {
        let handle = random.below(people);
        let now = BEGIN + (i128::from(number) * i128::from(span) / i128::from(size)) as Micros;
        let late = if random.once_in(20) { random.below(86_400) as Micros * SECOND } else { 0 };
        list.push((handle, Arc::new(maker.event(now - late))));
    }
    list
}

/// A number that follows from how many sessions and how many funnel entries by day there are.
fn answer(sessions: i64, days: i64) -> u64 {
    (sessions * 1_000_003 + days) as u64
}

fn pass(size: u64) -> Result<Sample, String> {
    let mut list = stream(size);
    list.sort_by_key(|(handle, event)| (*handle, event.key));
    let (handles, list): (Vec<u64>, Vec<Arc<Event>>) = list.into_iter().unzip();
    let mut calendar = Calendar::new("UTC").map_err(|e| e.to_string())?;
    let (spec, funnels) = (events::sessions(), events::funnels());
    let meter = Meter::start();
    let (mut first, mut found, mut days) = (0, 0, 0);
    while first < list.len() {
        let length = handles[first..].partition_point(|h| *h == handles[first]);
        let own = &list[first..first + length];
        found += sessions::oracle(&spec, own.iter().map(|e| &**e)).len() as i64;
        for (funnel, steps) in funnels.iter().zip(events::STEPS) {
            days += funnel_pass((steps, funnel.window), &mut calendar, own) as i64;
        }
        first += length;
    }
    Ok(meter.stop(size, answer(found, days)))
}

/// Days with entries of an ordered funnel, each entry followed through its window.
pub(super) fn funnel_pass(
    (steps, window): (&[usize], Micros),
    calendar: &mut Calendar,
    events: &[Arc<Event>],
) -> usize {
    let takes = |step: usize, event: &Event| event.matches.has(steps[step]);
    let mut best: BTreeMap<Micros, usize> = BTreeMap::new();
    for (place, entry) in events.iter().enumerate().filter(|(_, e)| takes(0, e)) {
        let mut step = 1;
        for event in &events[place + 1..] {
            if step == steps.len() || event.key.time - entry.key.time > window {
                break;
            }
            step += usize::from(takes(step, event));
        }
        let furthest = best.entry(calendar.start(Period::Day, entry.key.time)).or_default();
        *furthest = step.max(*furthest);
    }
    best.len()
}

/// Counts what stands, from the changes.
#[derive(Default)]
struct Standing {
    sessions: i64,
    days: i64,
}

impl Standing {
    fn count(&mut self, out: &PeopleOutput) {
        let sessions = out.changes.iter().filter(|c| c.row.view == 0);
        self.sessions += sessions.map(|c| c.diff).sum::<i64>();
        let day = Period::Day;
        let days = out.contributions.iter().filter(|c| c.group.period == day);
        self.days += days.map(|c| c.diff).sum::<i64>();
    }
}

/// One person in this many is in two halves at first.
pub(super) const HALVED_ONE_IN: u64 = 20;
/// Added to the handle of a person's second half.
pub(super) const HALF: u64 = 1 << 40;

fn people(size: u64) -> Sample {
    let list = stream(size);
    let meter = Meter::start();
    let mut people = People::new(&events::catalog(), Vec::new());
    let mut standing = Standing::default();
    let mut halves: Vec<(u64, Arc<Event>)> = Vec::new();
    let (mut named, mut out) = (Vec::new(), PeopleOutput::default());
    named.resize((size / EACH).max(1) as usize, false);
    for (number, (handle, event)) in list.iter().enumerate() {
        let first_half = number < list.len() / 2;
        let own = if first_half && handle % HALVED_ONE_IN == 0 && event.content % 2 == 0 {
            halves.push((*handle, Arc::clone(event)));
            handle + HALF
        } else {
            *handle
        };
        if !std::mem::replace(&mut named[*handle as usize], true) {
            people.update_name(person(*handle), Some(Token(u128::from(*handle))), Cause::Merge);
            people.update_name(
                person(handle + HALF),
                Some(Token(u128::from(*handle))),
                Cause::Merge,
            );
        }
        people.update_fact(fact(own, event, 1, Cause::New));
        if number + 1 == list.len() / 2 {
            for (handle, event) in halves.drain(..) {
                people.update_fact(fact(handle + HALF, &event, -1, Cause::Merge));
                people.update_fact(fact(handle, &event, 1, Cause::Merge));
            }
        }
        if (number + 1) % EPOCH == 0 || number + 1 == list.len() {
            people.advance(&mut out);
            standing.count(&out);
            out.changes.clear();
            out.contributions.clear();
        }
    }
    let sample = meter.stop(size, answer(standing.sessions, standing.days));
    let bytes = meter.gained_bytes() / size as f64;
    sample.with("bytes_per_event", bytes)
}

fn loaded(list: &[(u64, Arc<Event>)]) -> People {
    let mut people = People::new(&events::catalog(), Vec::new());
    for (handle, event) in list {
        people.update_name(person(*handle), Some(Token(u128::from(*handle))), Cause::Merge);
        people.update_fact(fact(*handle, event, 1, Cause::New));
    }
    people.advance(&mut PeopleOutput::default());
    people
}

/// Times one late event at a time.
pub(super) fn updates(people: &mut People, mut next: impl FnMut() -> (u64, Micros)) -> Sample {
    let mut maker = Maker::new(10);
    let (mut times, meter) = (Vec::new(), Meter::start());
    for _ in 0..UPDATES {
        let (handle, time) = next();
        let event = Arc::new(maker.event(time));
        let mut out = PeopleOutput::default();
        let begun = Instant::now();
        people.update_fact(fact(handle, &event, 1, Cause::Late));
        people.advance(&mut out);
        times.push(begun.elapsed().as_secs_f64() * 1e6);
    }
    timed(&meter, times)
}

/// What single updates took, in microseconds each.
pub(super) fn timed(meter: &Meter, mut times: Vec<f64>) -> Sample {
    let mut sample = meter.stop(times.len() as u64, 0);
    sample.seconds = times.iter().sum::<f64>() / 1e6;
    sample
        .with("update_us_p50", percentile(&mut times, 0.5))
        .with("update_us_p99", percentile(&mut times, 0.99))
        .with("update_us_max", percentile(&mut times, 1.0))
}

fn late(size: u64) -> Sample {
    let list = stream(size);
    let mut people = loaded(&list);
    let mut random = Seeded(11);
    updates(&mut people, || {
        let (handle, event) = &list[random.below(list.len() as u64) as usize];
        (*handle, event.key.time + random.below(3_600) as Micros * SECOND)
    })
}

/// One person who does something every 20 s.
pub(super) fn of_one(size: u64) -> Vec<(u64, Arc<Event>)> {
    let mut maker = Maker::new(12);
    (0..size).map(|n| (0, Arc::new(maker.event(BEGIN + n as Micros * 20 * SECOND)))).collect()
}

fn late_of_one(size: u64) -> Sample {
    let mut people = loaded(&of_one(size));
    let mut random = Seeded(13);
    updates(&mut people, || (0, BEGIN + random.below(size * 20) as Micros * SECOND))
}
