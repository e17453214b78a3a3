//! Random histories end to end: files in, tables out, equal to the oracle whatever the order of the
//! records, the workers and the epochs.

use std::collections::BTreeMap;
use std::sync::Arc;

use connectors::decode::{Decoded, Decoder};
use connectors::file::{FileSource, Position};
use jobs::runtime::Plan;
use operators::identity::testing::Seeded;
use operators::model::{Cell, Event};
use operators::oracle;

use crate::support::Job;

const JOB: &str = r#"
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
[time]
disorder = "36500d"
admit = "36500d"
future = "36500d"
ids = "36500d"
history = "36500d"
[dedup]
business_key = "properties.order"
strongest = ["backend"]
[identity]
cluster_max = 5
[[identity.type]]
name = "user_id"
from = ["userId"]
rank = 0
[[identity.type]]
name = "email"
from = ["traits.email"]
rank = 1
owners_max = 2
[[identity.type]]
name = "anonymous_id"
from = ["anonymousId"]
rank = 2
degree_max = 3
owners_max = 3
forward = "2h"
back = "3h"
[[identity.type]]
name = "device"
from = ["context.device.id"]
rank = 2
own = "last"
[[view]]
kind = "sessions"
[[view]]
kind = "trend"
name = "price"
metric = "sum"
property = "price"
breakdown = "channel"
[[view]]
kind = "trend"
name = "people"
metric = "people"
period = "week"
[[view]]
kind = "funnel"
name = "buy"
steps = [{ event = "see" }, { event = "cart" }, { event = "buy" }]
funnelWindowInterval = 3
funnelWindowIntervalUnit = "hour"
"#;

fn record(random: &mut Seeded, number: u64) -> String {
    let at = 1_760_000_000_000_000 + random.below(400) as i64 * 97_000_000;
    let at = jiff::Timestamp::from_microsecond(at).unwrap();
    let user = random.below(5);
    let pick = |random: &mut Seeded| match random.below(3) {
        0 => format!(r#"{{"type":"user_id","value":"u{}"}}"#, random.below(5)),
        1 => format!(r#"{{"type":"email","value":"e{}"}}"#, random.below(6)),
        _ => format!(r#"{{"type":"anonymous_id","value":"a{}"}}"#, random.below(12)),
    };
    let mut fields = vec![format!(r#""messageId":"m{number}","timestamp":"{at}""#)];
    match random.below(24) {
        0 => fields.push(format!(
            r#""type":"merge","identifiers":[{},{}]"#,
            pick(random),
            pick(random)
        )),
        1 => fields.push(format!(
            r#""type":"unmerge","identifiers":[{},{}]"#,
            pick(random),
            pick(random)
        )),
        2 => {
            let previous = random.below(12);
            fields.push(format!(r#""type":"alias","userId":"u{user}","previousId":"a{previous}""#));
        }
        _ => {
            fields.push(format!(r#""event":"{}""#, random.pick(&["see", "cart", "buy", "page"])));
            if random.once_in(4) {
                fields.push(format!(r#""userId":"u{user}""#));
            }
            if random.once_in(5) {
                fields.push(format!(r#""traits":{{"email":"e{}"}}"#, random.below(6)));
            }
            if !random.once_in(6) {
                fields.push(format!(r#""anonymousId":"a{}""#, random.below(12)));
            }
            if random.once_in(4) {
                fields.push(format!(r#""context":{{"device":{{"id":"d{}"}}}}"#, random.below(3)));
            }
            let order = random.once_in(6).then(|| format!(r#","order":"o{}""#, random.below(4)));
            let price = random.below(100) as f64 / 8.0;
            let order = order.unwrap_or_default();
            fields.push(format!(r#""properties":{{"price":{price}{order}}}"#));
        }
    }
    format!("{{{}}}\n", fields.join(","))
}

/// Records of both files: late, doubled, stamped anew, in any order.
fn records(random: &mut Seeded, count: u64) -> Vec<(bool, String)> {
    let mut all: Vec<(bool, String)> = Vec::new();
    for number in 0..count {
        match random.below(12) {
            0 if !all.is_empty() => {
                let again = all[random.below(all.len() as u64) as usize].clone();
                all.push(again);
            }
            1 if number > 0 => {
                // The id of an earlier message with other content.
                let earlier = random.below(number);
                all.push((random.once_in(2), record(random, earlier)));
            }
            _ => all.push((random.once_in(3), record(random, number))),
        }
    }
    for place in (1..all.len()).rev() {
        all.swap(place, random.below(place as u64 + 1) as usize);
    }
    all
}

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
        let mut files = FileSource::open(&source.file, Position::default()).unwrap();
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
    let job = Job::new(JOB);
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
