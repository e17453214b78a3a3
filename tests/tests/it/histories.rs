//! Random histories through whole jobs: identifiers that are shared, merged and kept apart, records
//! late, shuffled, redelivered and re-stamped, channels that shadow each other. The tables at the end
//! are the rows that the oracle finds in the set of admitted records, for any number of workers and
//! any epochs; the changelogs lead to them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use connectors::decode::{Decoded, Decoder};
use connectors::file::{FileSource, Position};
use jobs::runtime::Plan;
use operators::identity::testing::Seeded;
use operators::model::{Cell, Event, Micros, Status};
use operators::oracle;

use crate::support::{Job, net};

/// Seconds that a history spans, after midnight.
const SPAN_S: u64 = 120;

fn time(random: &mut Seeded) -> String {
    let second = random.below(SPAN_S);
    let fraction = random.pick(&["", "", ".000001", ".5"]);
    // Around midnight, so that there are two days.
    let (day, second) =
        if second < SPAN_S / 3 { (1, 86_400 - SPAN_S / 3 + second) } else { (2, second) };
    let (hour, minute) = (second / 3600, second / 60 % 60);
    format!("2026-03-{day:02}T{hour:02}:{minute:02}:{:02}{fraction}Z", second % 60)
}

/// The job file of a seed. `tight` admits and recognises only what is close in time.
fn job_file(random: &mut Seeded, sources: usize, tight: bool) -> String {
    let mut text =
        String::from("[job]\nname = \"histories\"\nout = \"out\"\nzone = \"Europe/Berlin\"\n");
    for source in 0..sources {
        let channel = ["web", "backend"][source];
        write!(
            text,
            "[[source]]\nname = \"s{source}\"\nconnector = \"file\"\npath = \"s{source}/*.ndjson\"\n\
             channel = \"{channel}\"\n"
        )
        .unwrap();
    }
    let (disorder, admit) = match tight {
        true => (random.pick(&["0s", "5s", "30s"]), random.pick(&["0s", "5s", "20s"])),
        false => ("0s", "9999d"),
    };
    let ids = if tight { "20s" } else { "9999d" };
    write!(
        text,
        "[time]\ndisorder = \"{disorder}\"\nadmit = \"{admit}\"\nfuture = \"9999d\"\n\
         ids = \"{ids}\"\nhistory = \"9999d\"\n[identity]\ncluster_max = {}\n",
        random.pick(&[1_000_000, 1_000_000, 2, 4])
    )
    .unwrap();
    let limited = random.once_in(2);
    for (name, from) in [("user", "userId"), ("mail", "traits.email"), ("device", "anonymousId")] {
        let rank = random.below(3);
        let field = random.pick(&["traits.emails", "context.ids"]);
        writeln!(
            text,
            "[[identity.type]]\nname = \"{name}\"\nfrom = [\"{from}\", \"{field}.{name}\"]\n\
             rank = {rank}"
        )
        .unwrap();
        if limited {
            for (key, values) in [("degree_max", ["", "1", "3"]), ("owners_max", ["", "1", "2"])] {
                let value = random.pick(&values);
                if !value.is_empty() {
                    writeln!(text, "{key} = {value}").unwrap();
                }
            }
            for key in ["forward", "back"] {
                let value = random.pick(&["", "0s", "10s", "60s"]);
                if !value.is_empty() {
                    writeln!(text, "{key} = \"{value}\"").unwrap();
                }
            }
            writeln!(text, "own = \"{}\"", random.pick(&["time", "time", "first", "last"]))
                .unwrap();
        }
    }
    if random.once_in(2) {
        text.push_str("[dedup]\nbusiness_key = \"properties.order\"\nstrongest = [\"backend\"]\n");
    }
    text + &views(random)
}

/// The views that a job may have.
const VIEWS: [&str; 8] = [
    "kind = 'sessions'\ngap = '5s'\ncap = '20s'\n",
    "kind = 'trend'\nname = 'events'\nperiod = 'hour'\nbreakdown = 'kind'\n",
    "kind = 'trend'\nname = 'people'\nmetric = 'people'\nfilter = { events = ['a', 'b'] }\n",
    "kind = 'trend'\nname = 'sum'\nmetric = 'sum'\nproperty = 'price'\nperiod = 'all'\n\
     breakdown = 'channel'\n",
    "kind = 'trend'\nname = 'max'\nmetric = 'max'\nproperty = 'price'\nperiod = 'week'\n",
    "kind = 'funnel'\nname = 'ordered'\nsteps = [{ event = 'a' }, { event = 'b' }, \
     { event = 'c', properties = [{ key = 'price', operator = 'gt', value = 2 }] }]\n\
     funnelWindowInterval = 20\nfunnelWindowIntervalUnit = 'second'\nbreakdown = 'kind'\n",
    "kind = 'funnel'\nname = 'strict'\nsteps = [{ event = 'a' }, { event = 'b' }]\n\
     funnelOrderType = 'strict'\nfunnelWindowInterval = 1\nfunnelWindowIntervalUnit = 'minute'\n\
     periods = ['day', 'all']\n",
    "kind = 'funnel'\nname = 'unordered'\nsteps = [{ event = 'a' }, { event = 'b' }, \
     { channel = 'backend' }]\nfunnelOrderType = 'unordered'\nfunnelWindowInterval = 40\n\
     funnelWindowIntervalUnit = 'second'\n",
];

/// Some of the views, as there are tables to write and to read for each.
fn views(random: &mut Seeded) -> String {
    let mut text = String::new();
    for view in VIEWS {
        if random.once_in(3) {
            write!(text, "[[view]]\n{view}").unwrap();
        }
    }
    text + "[[sink]]\nconnector = 'table'\npartition = 'month'\n"
}

fn identifier(random: &mut Seeded) -> (&'static str, String) {
    let name = random.pick(&["user", "mail", "device"]);
    (name, format!("{}{}", &name[..1], random.below(4)))
}

/// A record with a message id of its own.
fn record(random: &mut Seeded, id: usize) -> String {
    let mut line = format!("{{\"messageId\":\"m{id}\",\"timestamp\":\"{}\"", time(random));
    if random.once_in(3) {
        write!(line, ",\"seq\":{}", random.below(3)).unwrap();
    }
    if random.once_in(5) {
        write!(line, ",\"tenant\":\"acme\"").unwrap();
    }
    if random.once_in(8) {
        let ((a, x), (b, y)) = (identifier(random), identifier(random));
        let named =
            |kind: &str, value: &str| format!("{{\"type\":\"{kind}\",\"value\":\"{value}\"}}");
        match random.below(3) {
            0 => write!(line, ",\"type\":\"alias\",\"previousId\":\"{x}\",\"userId\":\"{y}\""),
            n => {
                let kind = ["", "merge", "unmerge"][n as usize];
                let pair = [named(a, &x), named(b, &y)].join(",");
                write!(line, ",\"type\":\"{kind}\",\"identifiers\":[{pair}]")
            }
        }
        .unwrap();
        return line + "}";
    }
    write!(line, ",\"event\":\"{}\"", random.pick(&["a", "b", "c", "d"])).unwrap();
    for (name, field) in [("user", "userId"), ("device", "anonymousId")] {
        if random.once_in(2) {
            write!(line, ",\"{field}\":\"{}{}\"", &name[..1], random.below(4)).unwrap();
        }
    }
    if random.once_in(4) {
        write!(line, ",\"traits\":{{\"email\":\"m{}\"}}", random.below(4)).unwrap();
    }
    if random.once_in(8) {
        let list =
            [identifier(random), identifier(random)].map(|(_, value)| format!("\"{value}\""));
        let (name, _) = identifier(random);
        write!(line, ",\"context\":{{\"ids\":{{\"{name}\":[{}]}}}}", list.join(",")).unwrap();
    }
    let price = random.pick(&["1", "2.5", "3", "-4", "\"5\"", "null", "1e300", "0.1"]);
    let kind = random.pick(&["\"x\"", "\"y\"", "true", "7", "null"]);
    let order = random.pick(&["", "", ",\"order\":\"o1\"", ",\"order\":\"o2\""]);
    write!(line, ",\"properties\":{{\"price\":{price},\"kind\":{kind}{order}}}}}").unwrap();
    line
}

/// The lines of a history: some again, some again with another time or content.
fn lines(random: &mut Seeded, count: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for id in 0..count {
        let line = match random.below(6) {
            0 if id > 0 => lines[random.below(id as u64) as usize].clone(),
            1 if id > 0 => {
                let again = random.below(id as u64) as usize;
                record(random, again)
            }
            _ => record(random, id),
        };
        lines.push(line);
    }
    if random.once_in(2) {
        // Oldest first, as far as copies allow.
        lines.sort_by_key(|line| line.split("\"timestamp\":").nth(1).map(str::to_owned));
    }
    lines
}

/// All events of the sources with the epoch of each, and how many records are none.
fn events(plan: &Plan, epoch_records: usize) -> (Vec<(usize, Arc<Event>)>, usize) {
    let (mut all, mut letters) = (Vec::new(), 0);
    for source in &plan.sources {
        let mut files = FileSource::open(&source.file, Position::default()).unwrap();
        let mut decoder = Decoder::new(&source.decode).unwrap();
        let mut record = 0;
        while let Some(batch) = files.next(1).unwrap() {
            let mut decoded = Decoded::default();
            decoder.decode(&batch, 0, &mut decoded);
            let events = decoded.events.into_iter();
            all.extend(events.map(|(event, _)| (record / epoch_records, Arc::new(event))));
            letters += decoded.letters.len();
            record += 1;
        }
    }
    (all, letters)
}

/// What is admitted, and the watermark at the end, of one source or where all is admitted.
fn admitted(plan: &Plan, events: &[(usize, Arc<Event>)]) -> (Vec<Arc<Event>>, Micros) {
    let watermark = |epoch: usize| {
        let before = events.iter().filter(|(e, _)| *e < epoch).map(|(_, event)| event.key.time);
        before.max().map_or(Micros::MIN, |largest| largest - plan.time.disorder)
    };
    let kept = events.iter().filter(|(epoch, event)| {
        event.key.time >= watermark(*epoch).saturating_sub(plan.time.admit)
    });
    (kept.map(|(_, event)| Arc::clone(event)).collect(), watermark(usize::MAX))
}

/// Cells as tables show them: ids are text.
fn shown(cell: &Cell) -> Cell {
    match cell {
        Cell::Id(token) => Cell::str(&token.to_string()),
        Cell::List(list) => Cell::List(list.iter().map(shown).collect()),
        other => other.clone(),
    }
}

fn compare(seed: u64, tight: bool) {
    let mut random = Seeded(seed);
    let sources = if tight { 1 } else { 1 + random.below(2) as usize };
    let job = Job::new(&job_file(&mut random, sources, tight));
    for source in 0..sources {
        let count = 20 + random.below(40) as usize;
        let lines = lines(&mut random, count);
        let (first, second) = lines.split_at(random.below(lines.len() as u64) as usize);
        job.write(&format!("s{source}/1.ndjson"), first.join("\n"));
        job.write(&format!("s{source}/2.ndjson"), second.join("\n"));
    }
    let workers = [1, 2, 4][seed as usize % 3];
    let epoch = [1, 7, 10_000][seed as usize / 3 % 3];
    job.run(workers, epoch);

    let plan = job.plan();
    let (events, letters) = events(&plan, epoch);
    let (records, watermark) = admitted(&plan, &events);
    let mut expected: BTreeMap<u16, Vec<Vec<Cell>>> = BTreeMap::new();
    for row in oracle::rows(&plan.job(), &records) {
        let mut cells: Vec<Cell> = row.cells.iter().map(shown).collect();
        let is_final = watermark >= row.final_at;
        let status = if is_final { Status::Final } else { Status::Provisional };
        cells.push(Cell::str(status.word()));
        expected.entry(row.view).or_default().push(cells);
    }
    let what = format!("seed {seed}, {workers} workers, epochs of {epoch}, in {sources} sources");
    for (view, schema) in plan.catalog.schemas.iter().enumerate() {
        let mut columns: Vec<&str> = schema.columns.iter().map(|c| c.name).collect();
        let net = net(&job, &plan, &schema.name);
        assert_eq!(net, job.table(&schema.name).select(&columns), "{} of {what}", schema.name);
        if ["id_changes", "dead_letters"].contains(&&*schema.name) {
            continue;
        }
        columns.push("_status");
        let rows = job.table(&schema.name).select(&columns);
        let mut expected = expected.remove(&(view as u16)).unwrap_or_default();
        expected.sort_unstable();
        assert_eq!(rows, expected, "{} of {what}", schema.name);
    }
    let late = events.len() - records.len();
    assert_eq!(job.table("dead_letters").rows.len(), letters + late, "dead letters of {what}");
}

#[test]
fn tables_are_the_rows_of_the_oracle() {
    (0..250).for_each(|seed| compare(seed, false));
}

#[test]
fn tables_are_the_rows_of_the_oracle_where_much_is_too_late() {
    (1000..1120).for_each(|seed| compare(seed, true));
}
