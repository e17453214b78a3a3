//! The reference against the oracle.

use std::sync::Mutex;

use timely::dataflow::operators::{Input as _, Probe as _};
use timely::dataflow::{InputHandleVec, ProbeHandle};
use timely::worker::Worker;

use super::*;
use crate::identity::testing::{History, Seeded, compare};

/// What was reported, by tenant and epoch.
type Reports = Arc<Mutex<std::collections::BTreeMap<(Arc<str>, Epoch), Resolution>>>;

/// Feeds a worker's share of the histories, each of a tenant of its own, epoch by epoch.
fn feed(worker: &mut Worker, histories: &[(Arc<str>, History)], pause: usize, reports: &Reports) {
    let reports = Arc::clone(reports);
    let config = Arc::new(histories[0].1.config.clone());
    let (mut input, probe) = worker.dataflow::<Epoch, _, _>(|scope| {
        let (input, seen): (InputHandleVec<Epoch, Seen>, _) = scope.new_input();
        let probe = ProbeHandle::new();
        resolve(seen, &config)
            .unary::<CapacityContainerBuilder<Vec<()>>, _, _, _>(Pipeline, "Collect", |_, _| {
                move |input, _output| {
                    input.for_each_stamp(|capability, data| {
                        let epoch = *capability.stamp().iter().next().unwrap();
                        for (name, resolution) in data.flat_map(std::mem::take) {
                            let before = reports.lock().unwrap().insert((name, epoch), resolution);
                            assert!(before.is_none(), "one report an epoch");
                        }
                    });
                }
            })
            .probe_with(&probe);
        (input, probe)
    });
    let epochs = histories.iter().map(|(_, h)| h.epochs.len()).max().unwrap();
    for epoch in 0..epochs {
        for (name, history) in histories {
            let batch = history.epochs.get(epoch).map_or(&[][..], Vec::as_slice);
            for (place, (sighting, diff)) in batch.iter().enumerate() {
                if place % worker.peers() == worker.index() {
                    input.send((Arc::clone(name), sighting.clone(), *diff));
                }
            }
        }
        input.advance_to(epoch as Epoch + 1);
        // Some epochs stand together in the graph, others are waited for.
        while epoch % pause == 0 && probe.less_than(&(epoch as Epoch + 1)) {
            worker.step();
        }
    }
}

/// Compares what is reported with the oracle. The seed says how many epochs may stand together.
fn check(histories: Vec<History>, workers: usize, seed: u64) {
    let pause = [3, 10, 100][seed as usize % 3];
    let histories: Vec<(Arc<str>, History)> =
        histories.into_iter().enumerate().map(|(n, h)| (format!("tenant {n}").into(), h)).collect();
    let reports = Reports::default();
    let (shared, all) = (Arc::clone(&reports), histories.clone());
    if workers == 1 {
        timely::execute_directly(move |worker| feed(worker, &all, pause, &shared));
    } else {
        let config = timely::Config::process(workers);
        let guards =
            timely::execute(config, move |worker| feed(worker, &all, pause, &shared)).unwrap();
        for result in guards.join() {
            result.unwrap();
        }
    }
    let reports = reports.lock().unwrap();
    for (name, history) in histories {
        let epochs = 0..history.epochs.len() as Epoch;
        let of = |epoch| reports.get(&(Arc::clone(&name), epoch)).cloned().unwrap_or_default();
        compare(&history, &epochs.map(of).collect::<Vec<_>>());
    }
}

/// Four tenants under the same rules.
fn histories(seed: u64) -> Vec<History> {
    let first = History::new(seed, 60);
    let others: Vec<History> = (1..4).map(|n| first.like(seed ^ n << 32, 60)).collect();
    [vec![first], others].concat()
}

/// Random histories, compared after every epoch.
#[test]
fn agrees_with_the_oracle() {
    for seed in 0..300 {
        let run = std::panic::catch_unwind(|| check(histories(seed), 1, seed));
        assert!(run.is_ok(), "seed {seed}");
    }
}

#[test]
fn several_workers_agree_with_the_oracle() {
    for seed in 300..330 {
        let workers = [2, 4][seed as usize % 2];
        let run = std::panic::catch_unwind(|| check(histories(seed), workers, seed));
        assert!(run.is_ok(), "seed {seed}");
    }
}

#[test]
fn what_is_erased_was_never_there() {
    for seed in 0..40 {
        let mut histories = histories(seed);
        for history in &mut histories {
            history.erase(&mut Seeded(seed));
        }
        let run = std::panic::catch_unwind(|| check(histories, 1, seed));
        assert!(run.is_ok(), "seed {seed}");
    }
}

/// Found by random histories: a hub is public also where nothing is stronger than its rank.
#[test]
fn a_hub_of_the_strongest_rank_is_public() {
    check(vec![History::new(18, 60), History::new(18, 60).like(!18, 30)], 1, 0);
}
