//! `braid query --as-known-at`: at every epoch of random histories the rows are those that the
//! oracle has for what was admitted by then, and those that the tables had when a run ended there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Arc;

use braid_tests::histories::{RULES, later, records};
use jobs::query::explain::{Question, explain};
use jobs::query::{Known, Moment, QueryError, resolve};
use jobs::runtime::{Plan, peek};
use operators::identity::testing::Seeded;
use operators::model::{Cell, Event};
use operators::oracle;

use crate::support::{Job, as_read, ask, events, sources, write_part};

/// A job whose watermark comes close behind the events.
fn job(partition: &str, every: &str) -> Job {
    job_with(partition, every, &RULES.replacen("36500d", "1h", 1))
}

fn job_with(partition: &str, every: &str, rules: &str) -> Job {
    let sink =
        format!("[[sink]]\nconnector = \"table\"\npartition = {partition:?}\nevery = {every:?}\n");
    Job::new(&(sources("known") + &sink + rules))
}

fn known(plan: &Plan, epoch: u64) -> Known {
    resolve(plan, Moment::Epoch(epoch)).unwrap_or_else(|e| panic!("epoch {epoch}: {e}"))
}

/// The rows that the oracle has for some events, with their status at a watermark.
fn expected(
    plan: &Plan,
    events: &[Arc<Event>],
    watermark: i64,
) -> BTreeMap<String, Vec<Vec<Cell>>> {
    let mut views: BTreeMap<String, Vec<Vec<Cell>>> = BTreeMap::new();
    for row in oracle::rows(&plan.job(), events) {
        let mut cells: Vec<Cell> = row.cells.to_vec().iter().map(as_read).collect();
        cells.push(Cell::str(if watermark >= row.final_at { "final" } else { "provisional" }));
        let name = plan.catalog.schemas[usize::from(row.view)].name.to_string();
        views.entry(name).or_default().push(cells);
    }
    views.values_mut().for_each(|rows| rows.sort_unstable());
    views
}

#[test]
fn every_epoch_is_as_the_oracle_has_it() {
    let (mut finals, mut provisionals) = (0, 0);
    for seed in 0..4 {
        // Half a day in any order, then the same some days later: nothing is too late, and rows
        // become final.
        let rules = RULES.replacen("36500d", "1h", 1).replacen("36500d", "12h", 1);
        let job = job_with("day", if seed % 2 == 0 { "60s" } else { "0s" }, &rules);
        let records = records(&mut Seeded(300 + seed), 120);
        for (part, records) in (0..).zip(records.chunks(records.len().div_ceil(4))) {
            let later = |(marked, record): &(bool, String)| (*marked, later(record, 2 * part));
            write_part(&job, part as usize, &records.iter().map(later).collect::<Vec<_>>());
        }
        job.run(2, 5 + seed as usize * 4);
        let plan = job.plan();
        let events = events(&plan);
        let bindings = peek(&plan).unwrap();
        assert!(bindings.len() > 7, "{} epochs", bindings.len());
        for binding in &bindings {
            let upto = binding.sources.iter().zip(&events).flat_map(|(end, events)| {
                let admitted = events.iter().filter(|(place, _)| *place <= end.upper);
                admitted.map(|(_, event)| Arc::clone(event))
            });
            let known = known(&plan, binding.epoch);
            let mut expected = expected(&plan, &upto.collect::<Vec<_>>(), known.watermark);
            for schema in plan.catalog.schemas.iter().filter(|schema| !schema.append_only) {
                let name = &*schema.name;
                let columns: Vec<&str> = schema.columns.iter().map(|c| c.name).collect();
                let columns = columns.join("\", \"");
                let sql = format!("select \"{columns}\", _status from {name}");
                let rows = ask(&plan, &sql, Some(known));
                let expected = expected.remove(name).unwrap_or_default();
                assert_eq!(rows, expected, "{name}, seed {seed}, epoch {}", binding.epoch);
                let last = Cell::str("final");
                let final_now = rows.iter().filter(|row| row.last() == Some(&last)).count();
                finals += final_now;
                provisionals += rows.len() - final_now;
            }
        }
    }
    assert!(finals > 500 && provisionals > 500, "{finals} final, {provisionals} provisional");
}

#[test]
fn an_epoch_is_as_the_tables_were_when_a_run_ended_there() {
    for (seed, partition) in [(1, "day"), (2, "month"), (3, "none")] {
        let job = job(partition, "60s");
        let mut random = Seeded(seed);
        let records = records(&mut random, 150);
        let mut then = Vec::new();
        for (part, records) in records.chunks(records.len().div_ceil(6)).enumerate() {
            write_part(&job, part, records);
            job.run(1 + part % 3, 9);
            let plan = job.plan();
            let mut tables = Vec::new();
            for schema in &plan.catalog.schemas {
                let sql = format!("select * from {}", schema.name);
                let rows = ask(&plan, &sql, None);
                let mut by_the_letter = job.table(&schema.name).rows;
                by_the_letter.sort_unstable();
                assert_eq!(rows, by_the_letter, "{}", schema.name);
                tables.push((sql, rows));
            }
            let changes = ask(&plan, "select * from changelog_events", None);
            tables.push(("select * from changelog_events".to_owned(), changes));
            tables.push((
                "select * from epochs".to_owned(),
                ask(&plan, "select * from epochs", None),
            ));
            then.push((peek(&plan).unwrap().last().unwrap().epoch, tables));
        }
        let plan = job.plan();
        assert_eq!(then.len(), 6);
        for (epoch, tables) in then {
            for (sql, rows) in tables {
                assert_eq!(ask(&plan, &sql, Some(known(&plan, epoch))), rows, "{sql} at {epoch}");
            }
        }
    }
}

#[test]
fn any_sql_works_on_the_past() {
    let job = job("day", "60s");
    write_part(&job, 0, &records(&mut Seeded(9), 150));
    job.run(2, 20);
    let plan = job.plan();
    let half = known(&plan, 4);
    let one = |sql: &str, known| ask(&plan, sql, known)[0].clone();
    let now = one("select count(*), count(distinct person_id) from events", None);
    let then = one("select count(*), count(distinct person_id) from events", Some(half));
    assert!(then[0] < now[0] && then[0] > Cell::Int(0), "{then:?} {now:?}");
    let joined = "with p as (select person_id, events from people where events > 0) \
                  select count(*) - sum(p.events) / 1000000 from events e join p using (person_id)";
    let counted = "select count(*) from events where person_id is not null";
    assert_eq!(one(joined, Some(half)), one(counted, Some(half)));
    let times = "select max(watermark) from epochs where _epoch <= 4";
    assert_eq!(one(times, None), [Cell::Time(half.watermark)]);
    let at = peek(&plan).unwrap()[3].wall_time;
    assert_eq!(resolve(&plan, Moment::Time(at)).unwrap(), half);
    let channels = "select count(*) from people where array_has(channels, 'web')";
    assert_ne!(one(channels, None), [Cell::Int(0)]);
}

#[test]
fn questions_that_have_no_answer_say_why() {
    let job = job("day", "60s");
    write_part(&job, 0, &records(&mut Seeded(9), 60));
    let plan = job.plan();
    let not_yet = resolve(&plan, Moment::Epoch(1));
    assert!(matches!(not_yet, Err(QueryError::NotYet { upto: 0, .. })), "{not_yet:?}");
    assert_eq!(ask(&plan, "select * from events", None), Vec::<Vec<Cell>>::new());
    job.run(2, 20);
    let first = peek(&plan).unwrap()[0].wall_time;
    let cases = [
        (
            "select * from evnts",
            None,
            "there is no view evnts; did you mean events? there are events,",
        ),
        ("select nothing from events", None, "nothing"),
        ("select * from events where", None, "Expected: an expression, found: EOF"),
        ("selec 1", None, "Line: 1, Column: 1"),
        ("drop table events", None, "DDL not supported"),
        ("copy (select 1) to 'x.csv'", None, "not supported"),
        ("select * from events", Some("99"), "epoch 99 is not in the tables yet: the changelogs"),
        ("select * from events", Some("0"), "epoch 0 is before the job's first epoch, 1"),
        (
            "select * from events",
            Some("1999-01-01"),
            "is before the job's first epoch, 1, bound at",
        ),
        ("select * from events", Some("soon"), "write an epoch, such as 12, or a time"),
    ];
    for (sql, at, expected) in cases {
        let mut command = job.command("query");
        command.arg(sql);
        command.args(at.iter().flat_map(|at| ["--as-known-at", at]));
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{sql}: {said}");
        assert!(said.contains(expected), "{sql}: {said}");
    }
    assert!(matches!(resolve(&plan, Moment::Time(first - 1)), Err(QueryError::Before { .. })));
}

/// Rows say of which file they are by its place in its source.
#[test]
fn files_have_their_places() {
    let job = job("day", "60s");
    let mut letters = Vec::new();
    for part in 0..3 {
        let mut records = records(&mut Seeded(7), 20 * (part as u64 + 1));
        records.push((false, "no JSON\n".to_owned()));
        letters.extend(write_part(&job, part, &records));
        job.run(1, 20);
    }
    let plan = job.plan();
    letters.retain(|path| fs::read_to_string(path).unwrap().contains("no JSON"));
    let sql = "select path, \"offset\" from dead_letters join files using (source, \"partition\") \
               where detail like 'expected ident%' order by \"partition\"";
    let told: Vec<Vec<Cell>> = ask(&plan, sql, None);
    let should: Vec<Vec<Cell>> = letters
        .iter()
        .map(|path| {
            let lines = fs::read_to_string(path).unwrap().lines().count();
            vec![Cell::str(path.to_str().unwrap()), Cell::Int(lines as i64)]
        })
        .collect();
    assert_eq!(told, should);
    let known = resolve(&plan, Moment::Epoch(1)).unwrap();
    let count = "select count(*) from files where source = 'web'";
    assert_eq!(ask(&plan, count, Some(known)), [[Cell::Int(1)]]);
    assert_eq!(ask(&plan, count, None), [[Cell::Int(3)]]);
}

#[test]
fn answers_come_in_three_forms() {
    let job = job("day", "60s");
    write_part(&job, 0, &records(&mut Seeded(9), 60));
    job.run(1, 20);
    let answer = |format: &str, at: &str| {
        let sql = "select 1 as n, 'a\"b,' as t, null as x, [1, 2] as l, epochs._epoch as e \
                   from epochs order by e desc limit 1";
        let arguments = [sql, "--format", format, "--as-known-at", at];
        let output = job.command("query").args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(answer("csv", "2"), "n,t,x,l,e\n1,\"a\"\"b,\",,\"[1, 2]\",2\n");
    let row: serde_json::Value = serde_json::from_str(&answer("json", "2")).unwrap();
    assert_eq!(row, serde_json::json!({"n": 1, "t": "a\"b,", "x": null, "l": [1, 2], "e": 2}));
    assert!(
        answer("table", "1").contains("| n | t    | x | l      | e |"),
        "{}",
        answer("table", "1")
    );
}

/// The numbers of a view by key and column, as text.
fn numbers(plan: &Plan, view: &str, known: Option<Known>) -> BTreeMap<(String, String), f64> {
    let schema = plan.catalog.schemas.iter().find(|schema| *schema.name == *view).unwrap();
    let columns: Vec<&str> = schema.columns.iter().map(|c| c.name).collect();
    let sql = format!("select \"{}\" from {view}", columns.join("\", \""));
    let mut numbers = BTreeMap::new();
    for row in ask(plan, &sql, known) {
        let key: Vec<&Cell> = schema.key.iter().map(|c| &row[*c]).collect();
        for (place, cell) in row.iter().enumerate().filter(|(c, _)| !schema.key.contains(c)) {
            let number = match cell {
                Cell::Int(n) => *n as f64,
                Cell::Float(bits) => f64::from_bits(*bits),
                _ => continue,
            };
            numbers.insert((format!("{key:?}"), columns[place].to_owned()), number);
        }
    }
    numbers
}

#[test]
fn what_explains_numbers_adds_up() {
    let job = job("day", "0s");
    write_part(&job, 0, &records(&mut Seeded(17), 200));
    job.run(2, 10);
    let plan = job.plan();
    let (since, until) = (known(&plan, 4), known(&plan, 12));
    let mut causes: BTreeMap<&str, u64> = BTreeMap::new();
    for view in ["people", "sessions", "trend_price", "funnel_buy"] {
        let question = Question { since: Some(since), until: Some(until), key: Vec::new() };
        let explained = explain(&plan, view, &question).unwrap();
        let before = numbers(&plan, view, Some(since));
        let after = numbers(&plan, view, Some(until));
        let places: BTreeSet<_> = before.keys().chain(after.keys()).collect();
        let changed = places.into_iter().filter(|place| before.get(place) != after.get(place));
        assert_eq!(explained.numbers.len(), changed.count(), "{view}");
        for number in &explained.numbers {
            let by: f64 = number.causes.values().map(|cause| cause.by).sum();
            let expected = number.after.unwrap_or(0.0) - number.before.unwrap_or(0.0);
            assert!((by - expected).abs() < 1e-6, "{view}: {number:?}");
            let most = number.contributors.first().unwrap();
            assert!(most.epoch > 4 && most.epoch <= 12 && number.contributors.len() <= 3);
            for (cause, of_cause) in &number.causes {
                *causes.entry(cause).or_default() += of_cause.changes;
            }
        }
        assert!(explained.text().lines().count() > explained.numbers.len());
    }
    assert!(["new", "late", "merge"].iter().all(|cause| causes[cause] > 5), "{causes:?}");
    let one = |arguments: &[&str]| job.command("explain").args(arguments).output().unwrap();
    let output = one(&["funnel_buy", "--key", "period=all", "--key", "step=1", "--json"]);
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let counts = said["numbers"].as_array().unwrap().iter();
    let counts: Vec<_> = counts.filter(|number| number["column"] == "count").collect();
    assert_eq!((counts.len(), &counts[0]["before"]), (1, &serde_json::Value::Null), "{said}");
    for (arguments, expected) in [
        (
            ["funnel_by", "--json"].as_slice(),
            "there is no view funnel_by; did you mean funnel_buy?",
        ),
        (&["people", "--key", "evnts=3"], "people has no column \"evnts\"; did you mean events?"),
        (&["people", "--key", "events"], "write a column and its value"),
        (&["people", "--until", "99"], "epoch 99 is not in the tables yet"),
    ] {
        let output = one(arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
}
