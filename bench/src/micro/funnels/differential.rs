//! The same funnels by differential dataflow's own operators: events joined with the people whose
//! they are, a reduce over each person, and a count of days and furthest steps.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Instant;

use differential_dataflow::input::InputSession;
use operators::model::{DAY, Event, Micros};
use timely::dataflow::operators::probe::Handle as Probe;
use timely::worker::Worker;

use super::super::people::{EPOCH, HALF, HALVED_ONE_IN, UPDATES, stream, timed};
use super::{half, late_places};
use crate::harness::{Meter, Sample};
use crate::workload::events::{self, Maker};

/// Time, id and which of the names it has, as bits.
type Small = (Micros, u64, u8);

fn small(event: &Event) -> Small {
    let names = (0..5).filter(|name| event.matches.has(*name)).fold(0, |all, name| all | 1 << name);
    (event.key.time, event.content, names)
}

struct Graph {
    facts: InputSession<u64, (u64, Small), isize>,
    owners: InputSession<u64, (u64, u64), isize>,
    probe: Probe<u64>,
    /// Days with entries.
    days: Rc<Cell<i64>>,
    epoch: u64,
}

/// The furthest step of each day's entries.
fn furthest(
    input: &[(&Small, isize)],
    funnel: u8,
    steps: &[usize],
    window: Micros,
) -> Vec<(u8, Micros, u8)> {
    let mut out: Vec<(u8, Micros, u8)> = Vec::new();
    for (place, (entry, _)) in input.iter().enumerate().filter(|(_, e)| e.0.2 >> steps[0] & 1 == 1)
    {
        let mut step = 1;
        for (event, _) in &input[place + 1..] {
            if step == steps.len() || event.0 - entry.0 > window {
                break;
            }
            step += usize::from(event.2 >> steps[step] & 1 == 1);
        }
        let day = entry.0.div_euclid(DAY) * DAY;
        match out.last_mut() {
            Some(last) if last.1 == day => last.2 = last.2.max(step as u8),
            _ => out.push((funnel, day, step as u8)),
        }
    }
    out
}

impl Graph {
    fn new(worker: &mut Worker) -> Self {
        let (mut facts, mut owners) = (InputSession::new(), InputSession::new());
        let (probe, days) = (Probe::new(), Rc::new(Cell::new(0)));
        let counter = Rc::clone(&days);
        let windows: Vec<Micros> = events::funnels().iter().map(|f| f.window).collect();
        worker.dataflow(|scope| {
            let facts = facts.to_collection(scope);
            let owners = owners.to_collection(scope);
            facts
                .join_map(owners, |_, event: &Small, person: &u64| (*person, *event))
                .reduce(move |_, input, output| {
                    for (number, steps) in events::STEPS.iter().enumerate() {
                        let days = furthest(input, number as u8, steps, windows[number]);
                        output.extend(days.into_iter().map(|day| (day, 1)));
                    }
                })
                .inspect(move |(_, _, diff): &(_, _, isize)| {
                    counter.set(counter.get() + *diff as i64);
                })
                .map(|(_, day)| day)
                .count()
                .probe_with(&probe);
        });
        Self { facts, owners, probe, days, epoch: 0 }
    }

    /// Makes all that was told visible.
    fn advance(&mut self, worker: &mut Worker) {
        self.epoch += 1;
        self.facts.advance_to(self.epoch);
        self.owners.advance_to(self.epoch);
        self.facts.flush();
        self.owners.flush();
        worker.step_while(|| self.probe.less_than(&self.epoch));
    }
}

/// Loads the stream in epochs, with people in two halves that are found to be one.
pub(super) fn load(size: u64) -> Sample {
    let list = stream(size);
    timely::execute_directly(move |worker| {
        let meter = Meter::start();
        let mut graph = Graph::new(worker);
        let people = 1 + list.iter().map(|(handle, _)| *handle).max().unwrap_or(0);
        for handle in 0..people {
            graph.owners.insert((handle, handle));
            if handle % HALVED_ONE_IN == 0 {
                graph.owners.insert((handle + HALF, handle + HALF));
            }
        }
        for (number, (handle, event)) in list.iter().enumerate() {
            let second = half(number, list.len(), *handle, event);
            graph.facts.insert((*handle + if second { HALF } else { 0 }, small(event)));
            if number + 1 == list.len() / 2 {
                for handle in (0..people).filter(|handle| handle % HALVED_ONE_IN == 0) {
                    graph.owners.remove((handle + HALF, handle + HALF));
                    graph.owners.insert((handle + HALF, handle));
                }
            }
            if (number + 1) % EPOCH == 0 || number + 1 == list.len() {
                graph.advance(worker);
            }
        }
        let sample = meter.stop(size, graph.days.get() as u64);
        let bytes = meter.gained_bytes() / size as f64;
        sample.with("bytes_per_event", bytes)
    })
}

/// Times one late event at a time.
pub(super) fn late(size: u64) -> Sample {
    let list = stream(size);
    timely::execute_directly(move |worker| {
        let mut graph = Graph::new(worker);
        let people = 1 + list.iter().map(|(handle, _)| *handle).max().unwrap_or(0);
        (0..people).for_each(|handle| graph.owners.insert((handle, handle)));
        for epoch in list.chunks(EPOCH) {
            epoch.iter().for_each(|(handle, event)| graph.facts.insert((*handle, small(event))));
            graph.advance(worker);
        }
        let (mut maker, mut next) = (Maker::new(10), late_places(&list));
        let (mut times, meter) = (Vec::new(), Meter::start());
        for _ in 0..UPDATES {
            let (handle, time) = next();
            let event = small(&maker.event(time));
            let begun = Instant::now();
            graph.facts.insert((handle, event));
            graph.advance(worker);
            times.push(begun.elapsed().as_secs_f64() * 1e6);
        }
        timed(&meter, times)
    })
}
