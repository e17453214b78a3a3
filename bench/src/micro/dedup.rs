//! Dedup beside a hash set of the same ids.

use std::collections::HashSet;
use std::sync::Arc;

use foldhash::fast::FixedState;
use operators::dedup::{Admitted, Changes, Dedup};
use operators::identity::testing::Seeded;
use operators::model::{DAY, Event, Micros};

use crate::harness::{Bench, By, Case, Goal, Meter, RATE, RATIO, Sample};
use crate::workload::events::Maker;

/// Dedup.
pub const DEDUP: Bench = Bench {
    name: "dedup",
    about: "which records count, beside a hash set of the same 128-bit ids",
    unit: "ids",
    size: 4_000_000,
    cases: &[
        Case::limit("hash set", "std HashSet of tenant and id, with the product's hasher", |n| {
            Ok(set(n))
        }),
        Case::ours(
            "dedup",
            "one record in 20 is a duplicate; epochs of 65,536; the horizon beyond the data",
            "hash set",
            &[Goal::Min(RATE, 8.0), Goal::Max("bytes_per_id", 32.0), Goal::Min(RATIO, 0.8)],
            |n| Ok(dedup(n)),
        ),
    ],
    by: By::Cpu,
};

const EPOCH: usize = 65_536;
/// An event each millisecond.
const STEP: Micros = 1_000;

/// Events, held here as the store holds them; one in 20 comes twice.
fn records(size: u64) -> Vec<Arc<Event>> {
    let (mut maker, mut random) = (Maker::new(5), Seeded(6));
    let mut list: Vec<Arc<Event>> = Vec::with_capacity(size as usize);
    for number in 0..size {
        if random.once_in(20) && !list.is_empty() {
            let back = random.below(list.len().min(1_000_000) as u64) as usize;
            list.push(Arc::clone(&list[list.len() - 1 - back]));
        } else {
            list.push(Arc::new(maker.event(number as Micros * STEP)));
        }
    }
    list
}

fn finish(sample: Sample, bytes: f64, ids: u64) -> Sample {
    sample.with("bytes_per_id", bytes / ids as f64)
}

fn set(size: u64) -> Sample {
    let records = records(size);
    let meter = Meter::start();
    let mut ids: HashSet<u128, FixedState> = HashSet::default();
    for event in &records {
        ids.insert(event.key.id);
    }
    let sample = meter.stop(size, ids.len() as u64);
    finish(sample, meter.gained_bytes(), ids.len() as u64)
}

fn dedup(size: u64) -> Sample {
    let records = records(size);
    let meter = Meter::start();
    let mut dedup = Dedup::new(30 * DAY);
    let (mut count, mut duplicates) = (0, 0);
    for epoch in records.chunks(EPOCH) {
        for event in epoch {
            dedup.update(Admitted { event: Arc::clone(event), late: false });
        }
        let mut changes = Changes::default();
        dedup.advance(&mut changes);
        count += changes.counted.iter().map(|c| i64::from(c.diff)).sum::<i64>();
        duplicates += changes.recounts.len();
    }
    let sample = meter.stop(size, count as u64);
    let sample = sample.with("recounts", duplicates as f64);
    finish(sample, meter.gained_bytes(), count as u64)
}
