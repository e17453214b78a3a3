//! Random histories end to end: files in, tables out, equal to the oracle whatever the order of the
//! records, the workers and the epochs.

use std::collections::BTreeMap;
use std::sync::Arc;

use braid_tests::histories::{RULES, records};
use jobs::runtime::Plan;
use operators::identity::testing::Seeded;
use operators::model::Event;
use operators::oracle;

use crate::support::{Job, as_read, events, sources, write_part};

/// The rows of every view as the oracle has them, as text.
fn expected(plan: &Plan) -> BTreeMap<String, Vec<String>> {
    let events = events(plan).into_iter().flatten().map(|(_, event)| event);
    let events: Vec<Arc<Event>> = events.collect();
    let mut views: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for schema in &plan.catalog.schemas {
        views.insert(schema.name.to_string(), Vec::new());
    }
    for row in oracle::rows(&plan.job(), &events) {
        let schema = &plan.catalog.schemas[usize::from(row.view)];
        let line = format!("{:?}", row.cells.to_vec().iter().map(as_read).collect::<Vec<_>>());
        views.get_mut(&*schema.name).unwrap().push(line);
    }
    views.values_mut().for_each(|rows| rows.sort());
    views
}

fn check(seed: u64, count: u64, runs: &[(usize, usize)]) {
    let job = Job::new(&(sources("histories") + RULES));
    let mut random = Seeded(seed);
    let records = records(&mut random, count);
    write_part(&job, 0, &records);
    let plan = job.plan();
    let expected = expected(&plan);
    for &(workers, epoch) in runs {
        let _ = std::fs::remove_dir_all(job.out());
        job.run(workers, epoch);
        for schema in &plan.catalog.schemas {
            if schema.append_only {
                continue; // tells what happened when
            }
            let columns: Vec<&str> = schema.columns.iter().map(|c| c.name).collect();
            let rows = job.table(&schema.name).select(&columns);
            let mut rows: Vec<String> = rows.iter().map(|row| format!("{row:?}")).collect();
            rows.sort();
            let name = &*schema.name;
            assert_eq!(rows, expected[name], "{name}, seed {seed}, {workers} workers, {epoch}");
        }
    }
}

#[test]
fn one_worker_ends_with_the_oracles_rows() {
    for seed in 0..12 {
        check(seed, 120, &[(1, 1 + seed as usize * 9)]);
    }
}

#[test]
fn any_workers_and_epochs_end_with_the_oracles_rows() {
    for seed in 100..103 {
        check(seed, 150, &[(1, 1), (2, 7), (4, 7), (4, 10_000)]);
    }
}
