//! How long a run takes to be ready again, by how much it has to hold.

use std::fs;

use super::job::Shop;
use crate::harness::{Bench, By, Case, Goal, Meter, RATIO, Sample};

/// Recovery.
pub const RECOVERY: Bench = Bench {
    name: "recovery",
    about: "from the start of a run to all that earlier runs have admitted being in place",
    unit: "events",
    size: 250_000,
    cases: &[
        Case::limit("250k", "from a snapshot", from_snapshot),
        Case::ours("500k", "twice as much", "250k", LINEAR, |n| from_snapshot(2 * n)),
        Case::ours("1M", "twice as much", "500k", LINEAR, |n| from_snapshot(4 * n)),
        Case::ours("2M", "twice as much", "1M", LINEAR, |n| from_snapshot(8 * n)),
        Case::ours("1M, no snapshot", "records read and decoded again", "1M", &[], |n| {
            from_sources(4 * n)
        }),
    ],
    by: By::Growth,
};

/// Twice the data in little more than twice the time.
const LINEAR: &[Goal] = &[Goal::Max(RATIO, 2.3)];

fn from_snapshot(events: u64) -> Result<Sample, String> {
    let shop = Shop::new(events, 1)?;
    shop.add_to_job("\n[snapshot]\nevery = \"1h\"\n")?;
    let first = shop.run(2)?;
    let mut bytes = 0;
    for run in fs::read_dir(shop.out().join("snapshots")).map_err(|e| e.to_string())? {
        let run = run.map_err(|e| e.to_string())?.path();
        for file in fs::read_dir(run).map_err(|e| e.to_string())? {
            bytes += file.and_then(|f| f.metadata()).map_err(|e| e.to_string())?.len();
        }
    }
    let sample = again(&shop, first.admitted)?;
    Ok(sample.with("snapshot_bytes_per_event", bytes as f64 / first.admitted as f64))
}

fn from_sources(events: u64) -> Result<Sample, String> {
    let shop = Shop::new(events, 1)?;
    let first = shop.run(2)?;
    again(&shop, first.admitted)
}

/// A run that has nothing new to read: it ends when all is in place.
fn again(shop: &Shop, admitted: u64) -> Result<Sample, String> {
    let meter = Meter::start();
    let summary = shop.run(2)?;
    if summary.admitted != admitted {
        return Err(format!("{} events came back of {admitted}", summary.admitted));
    }
    Ok(meter.stop(summary.admitted, summary.people as u64))
}
