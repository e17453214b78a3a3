//! Random histories end to end: files in, tables out, equal to the oracle whatever the order of the
//! records, the workers and the epochs.

use std::collections::BTreeMap;
use std::sync::Arc;

use braid_tests::histories::{RULES, records};
use connectors::decode::{Decoded, Decoder};
use connectors::file::{FileSource, Position};
use jobs::runtime::Plan;
use operators::identity::testing::Seeded;
use operators::model::{Cell, Event};
use operators::oracle;

use crate::support::Job;

const SOURCES: &str = r#"
[job]
name = "histories"
out = "out"
zone = "Europe/Berlin"
[[source]]
name = "web"
connector = "file"
path = "web.ndjson"
channel = "web"
[[source]]
name = "backend"
connector = "file"
path = "backend.ndjson"
channel = "backend"
"#;

fn write(job: &Job, records: &[(bool, String)]) {
    for (name, backend) in [("web.ndjson", false), ("backend.ndjson", true)] {
        let lines = records.iter().filter(|r| r.0 == backend).map(|r| r.1.as_str());
        job.write(name, lines.collect::<String>());
    }
}

/// The rows of every view as the oracle has them, as text.
fn expected(plan: &Plan) -> BTreeMap<String, Vec<String>> {
    let mut events: Vec<Arc<Event>> = Vec::new();
    for source in &plan.sources {
        let files = source.records.files().expect("files");
        let mut files = FileSource::open(files, Position::default()).unwrap();
        let mut decoder = Decoder::new(&source.decode).unwrap();
        while let Some(batch) = files.next(1000).unwrap() {
            let mut decoded = Decoded::default();
            decoder.decode(&batch, 0, &mut decoded);
            events.extend(decoded.events.into_iter().map(|(event, _)| Arc::new(event)));
        }
    }
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

/// A cell as a table gives it: ids are text.
fn as_read(cell: &Cell) -> Cell {
    match cell {
        Cell::Id(id) => Cell::str(&id.to_string()),
        Cell::List(items) => Cell::List(items.iter().map(as_read).collect()),
        other => other.clone(),
    }
}

fn check(seed: u64, count: u64, runs: &[(usize, usize)]) {
    let job = Job::new(&format!("{SOURCES}{RULES}"));
    let mut random = Seeded(seed);
    let records = records(&mut random, count);
    write(&job, &records);
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
