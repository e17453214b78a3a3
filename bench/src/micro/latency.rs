//! One link or cut at a time on a loaded identity graph.

use std::time::Instant;

use operators::identity::engine::Incremental;
use operators::identity::testing::Seeded;
use operators::identity::{Engine as _, Resolution};

use super::connectivity::{STEP, load, sighting};
use crate::harness::{Bench, By, Case, Goal, Meter, RATIO, Sample, percentile};
use crate::workload::graphs::{self, Edge};

/// Latency of identity.
pub const LATENCY: Bench = Bench {
    name: "latency",
    about: "one event that joins two people or parts them, with its report, on a loaded graph",
    unit: "changes",
    size: 10_000_000,
    cases: &[
        Case {
            name: "persons",
            about: "an event links two people at random; then it goes again",
            limit: None,
            goals: &[
                Goal::Max("merge_us_p50", 5.0),
                Goal::Max("merge_us_p99", 20.0),
                Goal::Max("split_us_p50", 5.0),
                Goal::Max("split_us_p99", 20.0),
            ],
            run: |size| Ok(on_persons(size as usize)),
        },
        Case::limit("chain of 1,000", CHAIN, |_| Ok(on_chain(1_000))),
        Case::ours("chain of 10,000", CHAIN, "chain of 1,000", &[], |_| Ok(on_chain(10_000))),
        Case::limit("star of 10,000", "a leaf of the hub goes and comes back", |_| {
            Ok(on_star(10_000))
        }),
        Case::ours(
            "star of 100,000",
            "a leaf of a hub of ten times the degree",
            "star of 10,000",
            &[Goal::Min(RATIO, 0.5)],
            |_| Ok(on_star(100_000)),
        ),
    ],
    by: By::Cpu,
};

const CHAIN: &str = "an edge of the path goes, at a random place, and comes back";
/// Changes of each kind that are timed.
const CHANGES: usize = 20_000;
/// Changes of a chain: each costs its shorter side.
const CHAIN_CHANGES: usize = 400;

/// Times of both kinds, in microseconds.
#[derive(Default)]
struct Times {
    come: Vec<f64>,
    go: Vec<f64>,
    assigns: u64,
}

impl Times {
    fn one(&mut self, engine: &mut Incremental, (at, number): (i64, usize), edge: Edge, diff: i8) {
        let mut resolution = Resolution::default();
        let begun = Instant::now();
        engine.update(sighting(at, number, edge), diff);
        engine.advance(&mut resolution);
        let us = begun.elapsed().as_secs_f64() * 1e6;
        self.assigns += resolution.assigns.len() as u64;
        if diff > 0 { self.come.push(us) } else { self.go.push(us) }
    }

    fn finish(mut self, meter: &Meter) -> Sample {
        let items = (self.come.len() + self.go.len()) as u64;
        let seconds = (self.come.iter().sum::<f64>() + self.go.iter().sum::<f64>()) / 1e6;
        let mut sample = meter.stop(items, 0);
        sample.seconds = seconds;
        sample = sample.with("assigns_per_change", self.assigns as f64 / items as f64);
        for (name, list) in [("merge", &mut self.come), ("split", &mut self.go)] {
            sample = sample
                .with(&format!("{name}_us_p50"), percentile(list, 0.5))
                .with(&format!("{name}_us_p99"), percentile(list, 0.99))
                .with(&format!("{name}_us_max"), percentile(list, 1.0));
        }
        sample
    }
}

fn on_persons(edges: usize) -> Sample {
    let edges = graphs::persons(1, edges);
    let (mut engine, ..) = load(&edges);
    let mut random = Seeded(7);
    let (mut times, meter) = (Times::default(), Meter::start());
    for change in 0..CHANGES {
        let end = |random: &mut Seeded| edges[random.below(edges.len() as u64) as usize].0;
        let link = (end(&mut random), end(&mut random));
        if link.0 != link.1 {
            // Somewhere in the time that is loaded, as a late event would be.
            let at = random.below(edges.len() as u64) as i64 * STEP + 1;
            let key = (at, edges.len() + change);
            times.one(&mut engine, key, link, 1);
            times.one(&mut engine, key, link, -1);
        }
    }
    times.finish(&meter)
}

/// Takes edges of a loaded graph away and puts them back.
fn cuts(edges: &[Edge], changes: usize) -> Sample {
    let (mut engine, ..) = load(edges);
    let mut random = Seeded(7);
    let (mut times, meter) = (Times::default(), Meter::start());
    for _ in 0..changes {
        let number = random.below(edges.len() as u64) as usize;
        let key = (number as i64 * STEP, number);
        times.one(&mut engine, key, edges[number], -1);
        times.one(&mut engine, key, edges[number], 1);
    }
    times.finish(&meter)
}

fn on_chain(edges: usize) -> Sample {
    cuts(&graphs::chain(2, edges), CHAIN_CHANGES)
}

fn on_star(edges: usize) -> Sample {
    cuts(&graphs::star(3, edges), CHANGES)
}
