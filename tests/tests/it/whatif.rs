//! `braid whatif`: what it says is the difference of two independent runs, one of the job as it is
//! and one of the changed one.

use std::collections::{BTreeMap, BTreeSet};

use braid_tests::histories::{RULES, records};
use connectors::bindings::{BindingLog as _, FileBindingLog};
use jobs::rebuild::Variant;
use operators::identity::testing::Seeded;
use operators::model::Cell;
use serde_json::Value;

use crate::support::{Job, Table, sources, text, write_part};

fn job_text() -> String {
    sources("whatif") + RULES
}

/// A job that has run, and another one of the changed text over the same epochs.
fn pair(seed: u64, change: &str) -> (Job, Job) {
    let records = records(&mut Seeded(seed), 150);
    let mut variant = Variant::new(&job_text()).unwrap();
    let (key, value) = change.split_once('=').unwrap();
    variant.set(key, value).unwrap();
    let (job, other) = (Job::new(&job_text()), Job::new(&variant.text()));
    for job in [&job, &other] {
        write_part(job, 0, &records);
    }
    job.run(2, 20);
    let (mut log, _) = FileBindingLog::open(&other.out().join("bindings"), None).unwrap();
    for mut binding in FileBindingLog::peek(&job.out().join("bindings")).unwrap() {
        binding.job = other.plan().hash;
        log.append(&binding).unwrap();
    }
    drop(log);
    other.run(1, 20);
    (job, other)
}

fn said(job: &Job, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = job.command("whatif").args(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// Person by a table's key columns.
fn persons(table: &Table, key: [&str; 2]) -> BTreeMap<Vec<Cell>, String> {
    let places: Vec<usize> = ["tenant", key[0], key[1]].map(|name| table.place(name)).into();
    let person = table.place("person_id");
    let rows = table.rows.iter().filter(|row| row[person] != Cell::Null);
    rows.map(|row| {
        let key = places.iter().map(|place| row[*place].clone()).collect();
        (key, format!("{} {}", text(&row[0]), text(&row[person])))
    })
    .collect()
}

/// People before and after that hang together, by taking in neighbours until there are none.
fn groups(pairs: &BTreeSet<(String, String)>) -> Vec<[BTreeSet<String>; 2]> {
    let mut left = pairs.clone();
    let mut groups = Vec::new();
    while let Some((before, after)) = left.pop_first() {
        let mut group = [BTreeSet::from([before]), BTreeSet::from([after])];
        loop {
            let touches = |(b, a): &&(String, String)| group[0].contains(b) || group[1].contains(a);
            let Some(next) = left.iter().find(touches).cloned() else { break };
            left.remove(&next);
            group[0].insert(next.0);
            group[1].insert(next.1);
        }
        groups.push(group);
    }
    groups
}

fn rows(table: &Table, columns: &[&str]) -> BTreeMap<Vec<Cell>, u64> {
    let mut rows = BTreeMap::new();
    for row in table.select(columns) {
        *rows.entry(row).or_default() += 1;
    }
    rows
}

/// Somebody of whom all was too late appears, and merges with nobody.
#[test]
fn who_appears_is_no_merge() {
    let text = sources("whatif") + "[time]\nadmit = \"1d\"\ndisorder = \"1h\"\n";
    let job = Job::new(&text);
    let record = |(day, who): (usize, &str)| {
        let line = format!(
            "{{\"messageId\":\"{who}{day}\",\"userId\":\"{who}\",\"event\":\"a\",\
             \"timestamp\":\"2026-03-{day:02}T10:00:00Z\"}}\n"
        );
        (false, line)
    };
    let early: Vec<_> = (10..19).map(|day| record((day, "u"))).collect();
    write_part(&job, 0, &early);
    job.run(1, 3);
    write_part(&job, 1, &[record((2, "v")), record((19, "u"))]);
    job.run(1, 3);
    let (code, json, err) = said(&job, &["--set", "time.admit=30d", "--json"]);
    assert_eq!(code, Some(0), "{err}");
    let what: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(what["people"]["groups"], serde_json::json!({ "arrival": 1 }), "{json}");
    let (code, out, err) = said(&job, &["--set", "time.admit=30d"]);
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("arrival: nobody -> "), "{out}");
}

#[test]
fn it_is_the_difference_of_two_runs() {
    let changes = [
        "identity.type.email.owners_max=1",
        "identity.type.anonymous_id.degree_max=1",
        "identity.cluster_max=2",
        "identity.type.email.owners_max=100",
        "view.buy.funnelWindowInterval=1",
    ];
    let mut kinds: BTreeSet<String> = BTreeSet::new();
    let mut links = 0;
    for (seed, change) in (0..).zip(changes.iter().cycle().take(10)) {
        let (job, other) = pair(100 + seed, change);
        let (code, json, err) = said(&job, &["--set", change, "--json"]);
        assert_eq!(code, Some(0), "{err}");
        let what: Value = serde_json::from_str(&json).unwrap();
        // Rows.
        for schema in &job.plan().catalog.schemas {
            if schema.append_only {
                continue;
            }
            let columns: Vec<&str> = schema.columns.iter().map(|c| c.name).collect();
            let [was, is] = [&job, &other].map(|job| rows(&job.table(&schema.name), &columns));
            let alike = was.iter().map(|(row, n)| (*n).min(is.get(row).copied().unwrap_or(0)));
            let expected: [u64; 3] = [was.values().sum(), is.values().sum(), alike.sum()];
            assert_eq!(what["rows"][&*schema.name], serde_json::json!(expected), "{}", schema.name);
        }
        // People.
        let (mut pairs, mut all, mut went) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        let mut everybody = [BTreeSet::new(), BTreeSet::new()];
        let mut moved = 0;
        for (view, key) in [("identifiers", ["type", "token"]), ("events", ["message_id", "time"])]
        {
            let [was, is] = [&job, &other].map(|job| persons(&job.table(view), key));
            everybody[0].extend(was.values().cloned());
            everybody[1].extend(is.values().cloned());
            for (key, before) in &was {
                let Some(after) = is.get(key) else { continue };
                all.insert((before.clone(), after.clone()));
                if view == "events" && before != after {
                    went.insert((before.clone(), after.clone()));
                    moved += 1;
                }
            }
        }
        // Those who remain; and those who are on one side only, with whoever has what was theirs.
        let [before, after] = &everybody;
        pairs.extend(before.intersection(after).map(|person| (person.clone(), person.clone())));
        all.retain(|(was, is)| !after.contains(was) || !before.contains(is));
        pairs.extend(all);
        let people = &what["people"];
        let sizes = serde_json::json!(everybody.each_ref().map(BTreeSet::len));
        assert_eq!(people["people"], sizes);
        assert_eq!(people["events_moved"], moved);
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        let mut same = 0;
        let groups = groups(&pairs);
        for [was, is] in &groups {
            match (was.len(), is.len()) {
                (1, 1) if was == is => same += 1,
                (1, 1) => *counts.entry("rename").or_default() += 1,
                (_, 1) => *counts.entry("merge").or_default() += 1,
                (1, _) => *counts.entry("split").or_default() += 1,
                _ => *counts.entry("regroup").or_default() += 1,
            }
        }
        went.retain(|(was, is)| !groups.iter().any(|g| g[0].contains(was) && g[1].contains(is)));
        if !went.is_empty() {
            counts.insert("move", went.len() as u64);
        }
        assert_eq!(people["same"], same, "{change}");
        assert_eq!(people["groups"], serde_json::json!(counts), "{change}");
        for mover in people["movers"].as_array().unwrap() {
            let side = |side: &str| -> BTreeSet<String> {
                let tenant = mover["tenant"].as_str().unwrap();
                let people = mover[side].as_array().unwrap().iter();
                people.map(|p| format!("{tenant} {}", p["person_id"].as_str().unwrap())).collect()
            };
            let (before, after) = (side("before"), side("after"));
            let kind = mover["kind"].as_str().unwrap().to_owned();
            if kind == "move" {
                assert!(
                    went.contains(&(
                        before.first().unwrap().clone(),
                        after.first().unwrap().clone()
                    ))
                );
            } else {
                assert!(groups.contains(&[before, after]), "{mover}");
            }
            kinds.insert(kind);
            links += mover["links"].as_array().unwrap().len();
        }
        // Numbers.
        for view in what["views"].as_array().unwrap() {
            let name = view["view"].as_str().unwrap();
            numbers(&job, &other, name, view["numbers"].as_array().unwrap());
        }
        assert!(what["views"].as_array().unwrap().len() >= 3);
    }
    assert!(["merge", "split", "move"].iter().all(|k| kinds.contains(*k)), "{kinds:?}");
    assert!(links > 10, "{links}");
}

/// Every number of a view is that of the two tables.
fn numbers(job: &Job, other: &Job, view: &str, numbers: &[Value]) {
    let tables = [job.table(view), other.table(view)];
    let find = |side: usize, number: &Value| {
        let table = &tables[side];
        let column = table.place(number["column"].as_str().unwrap());
        let key = number["key"].as_array().unwrap();
        let is = |row: &&Vec<Cell>| {
            key.iter().all(|pair| {
                let cell = &row[table.place(pair[0].as_str().unwrap())];
                shown(cell) == pair[1].as_str().unwrap()
            })
        };
        let mut rows = table.rows.iter().filter(is);
        let row = rows.next();
        assert!(rows.next().is_none(), "one row has the key {key:?}");
        match row.map(|row| &row[column]) {
            Some(Cell::Int(value)) => Value::from(*value as f64),
            Some(Cell::Float(bits)) => Value::from(f64::from_bits(*bits)),
            _ => Value::Null,
        }
    };
    // Reading a number from JSON may change its last digit.
    let alike = |a: &Value, b: &Value| match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => (a - b).abs() <= a.abs() * 1e-12,
        (a, b) => a.is_none() && b.is_none(),
    };
    for number in numbers {
        assert!(alike(&number["before"], &find(0, number)), "{view} {number}");
        assert!(alike(&number["after"], &find(1, number)), "{view} {number}");
    }
    let rows = tables[0].rows.len().max(tables[1].rows.len());
    assert!(numbers.len() >= rows, "{view}: {} numbers of {rows} rows", numbers.len());
}

fn shown(cell: &Cell) -> String {
    match cell {
        Cell::Null => String::new(),
        Cell::Int(value) => value.to_string(),
        Cell::Id(id) => id.to_string(),
        Cell::Time(at) => jiff::Timestamp::from_microsecond(*at).unwrap().to_string(),
        Cell::Str(text) => text.to_string(),
        other => panic!("{other:?} in a key"),
    }
}

#[test]
fn it_is_told_and_drawn() {
    let change = "identity.type.anonymous_id.degree_max=1";
    let (job, _) = pair(7, change);
    let page = job.folder().join("page.html");
    let arguments = ["--set", change, "--html"];
    let arguments = [&arguments[..], &[page.to_str().unwrap()]].concat();
    let (code, words, err) = said(&job, &arguments);
    assert_eq!(code, Some(0), "{err}");
    for expected in ["with a change of identity, as of epoch", "people ", "who moves most", "split"]
    {
        assert!(words.contains(expected), "{expected}: {words}");
    }
    assert!(words.contains("through message m"), "{words}");
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"));
    assert!(page.contains("<svg") && page.contains("funnel_buy") && page.contains("Who moves"));
    for tag in ["table", "svg", "div", "h2", "p", "tr", "td"] {
        let open =
            page.matches(&format!("<{tag}>")).count() + page.matches(&format!("<{tag} ")).count();
        assert_eq!(open, page.matches(&format!("</{tag}>")).count(), "{tag}");
    }
    // What is not touched stays, and what would not change is said.
    let (code, words, err) = said(&job, &["--set", "job.facts_per_second_max=1000000"]);
    assert_eq!(code, Some(0), "{err}");
    assert!(words.contains("nothing would be another"), "{words}");
}

#[test]
fn what_can_not_be_answered_is_said() {
    let job = Job::new(&job_text());
    write_part(&job, 0, &records(&mut Seeded(8), 60));
    let set = ["--set", "identity.cluster_max=2"];
    assert!(said(&job, &set).2.contains("has no tables yet; run it first"));
    job.run(1, 20);
    for (arguments, expected) in [
        (&[][..], "nothing would be another; write what"),
        (&[set[0], set[1], "--to", "99"], "the tables know of epochs up to"),
        (&["--set", "identity.cluster_max=many"], "job.toml:"),
        (&["--set", "source.web.name=other"], "the job's sources are web, backend, those of"),
        (&[set[0], set[1], "--archive"], "the job has no archive"),
    ] {
        let (code, _, err) = said(&job, arguments);
        assert_eq!(code, Some(2), "{arguments:?} {err}");
        assert!(err.contains(expected), "{arguments:?} {err}");
    }
}
