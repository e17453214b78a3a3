//! `braid explain`: people and numbers of random histories against the tables, and the records that
//! are named against the lines of the files that they are said to be in.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use braid_tests::delta::cells;
use braid_tests::histories::{RULES, records};
use connectors::bindings::FileBindingLog;
use jobs::provenance::number::{BehindSaid, Who, behind};
use jobs::provenance::past::{Of, Past};
use jobs::provenance::person::{Asked, Whom, explain};
use jobs::provenance::said::{EventSaid, Name, PersonSaid, Witness};
use jobs::query::explain::{Question, explain as explain_numbers};
use jobs::query::{Known, Moment, resolve, rows};
use jobs::rebuild::{Replay, Scope};
use jobs::runtime::{Plan, Silent, peek};
use operators::identity::testing::Seeded;
use operators::model::Cell;
use serde_json::Value;

use crate::support::{Job, replayed, sources, text, tree, write_part};

/// A job that has run several times over a random history, so that the past has changed.
fn job(seed: u64, more: &str) -> Job {
    // In clusters of five no link counts for long: devices are few.
    let clusters = if seed == 3 { "cluster_max = 100" } else { "cluster_max = 5" };
    let rules = RULES.replacen("cluster_max = 5", clusters, 1);
    let job = Job::new(&(sources("explained") + more + &rules));
    let records = records(&mut Seeded(seed), 160);
    for (part, records) in records.chunks(60).enumerate() {
        write_part(&job, part, records);
        job.run(1 + part, 9);
    }
    job
}

fn ask(job: &Job, person: &str, until: Option<Known>) -> PersonSaid {
    let asked = Asked { whom: Whom::Id(person.to_owned()), tenant: None, until };
    let path = job.folder().join("job.toml");
    explain(&Of::job(&path, &job.plan()), &asked, &Silent)
        .unwrap_or_else(|e| panic!("{person}: {e}"))
}

/// The rows of an answer; ids are text.
fn query(job: &Job, sql: &str, known: Option<Known>) -> Vec<Vec<Cell>> {
    rows_of(&job.plan(), sql, known)
}

fn rows_of(plan: &Plan, sql: &str, known: Option<Known>) -> Vec<Vec<Cell>> {
    let mut all = Vec::new();
    for batch in rows(plan, sql, known).unwrap_or_else(|e| panic!("{sql}: {e}")) {
        let columns: Vec<Vec<Cell>> = batch.columns().iter().map(cells).collect();
        let row = |row: usize| columns.iter().map(|column| column[row].clone()).collect();
        all.extend((0..batch.num_rows()).map(row));
    }
    all
}

/// The people of the tables.
fn people(job: &Job, known: Option<Known>) -> BTreeSet<String> {
    let sql = "select person_id from events where person_id is not null \
               union select person_id from identifiers";
    query(job, sql, known).iter().map(|row| text(&row[0]).to_owned()).collect()
}

/// The line that a record is said to be in has its message id.
fn is_there(files: &mut BTreeMap<String, Vec<String>>, record: &Witness) {
    let lines = files.entry(record.part.clone()).or_insert_with(|| {
        let content = fs::read_to_string(&record.part);
        content.unwrap_or_else(|e| panic!("{record:?}: {e}")).lines().map(str::to_owned).collect()
    });
    let line: Value = serde_json::from_str(&lines[record.offset as usize - 1]).unwrap();
    assert_eq!(line["messageId"], *record.message_id, "{record:?}");
    assert_eq!(line["timestamp"], *record.time, "{record:?}");
    assert!(record.part.contains(&format!("/{}/", record.source)), "{record:?}");
}

/// All records that are named.
fn named(said: &PersonSaid) -> Vec<&Witness> {
    let events = said.events.iter().chain(&said.shadowed);
    let of_events = events.flat_map(|event| {
        let through = event.through.iter().map(|step| &step.record);
        [&event.record].into_iter().chain(through).chain(&event.copies)
    });
    let of_identifiers = said.identifiers.iter().flat_map(|i| i.first.iter().chain(&i.last));
    let of_links = said.links.iter().flat_map(|link| &link.witnesses);
    let of_claims = said.claims.iter().flat_map(|claim| &claim.witnesses);
    let of_commands = said.commands.iter().map(|command| &command.record);
    of_events.chain(of_identifiers).chain(of_links).chain(of_claims).chain(of_commands).collect()
}

/// Whether links and merges that count connect some identifiers.
fn connected(said: &PersonSaid, of: &BTreeSet<&Name>) -> bool {
    let links = said.links.iter().filter(|link| link.counts).map(|link| (&link.x, &link.y));
    let merges = said.commands.iter().filter(|c| c.counts && c.kind == "merge");
    let edges: Vec<(&Name, &Name)> = links.chain(merges.map(|c| (&c.x, &c.y))).collect();
    let mut reached: BTreeSet<&Name> = of.first().copied().into_iter().collect();
    loop {
        let next = edges.iter().flat_map(|(x, y)| [(*x, *y), (*y, *x)]);
        let next = next.filter(|(x, y)| reached.contains(x) && of.contains(y));
        let next: Vec<&Name> = next.map(|(_, y)| y).filter(|y| !reached.contains(y)).collect();
        if next.is_empty() {
            return reached == *of;
        }
        reached.extend(next);
    }
}

/// Everything said of a person is what the tables say, as known at an epoch.
fn check(job: &Job, person: &str, known: Option<Known>) -> PersonSaid {
    let said = ask(job, person, known);
    assert_eq!((said.person_id.as_str(), &said.asked), (person, &None));
    let sql = format!("select message_id, channel, event from events where person_id = '{person}'");
    let mut expected: Vec<[String; 3]> = query(job, &sql, known)
        .iter()
        .map(|row| [0, 1, 2].map(|column| text(&row[column]).to_owned()))
        .collect();
    let event = |e: &EventSaid| [e.record.message_id.clone(), e.channel.clone(), e.event.clone()];
    let mut events: Vec<[String; 3]> = said.events.iter().map(event).collect();
    expected.sort_unstable();
    events.sort_unstable();
    assert_eq!(events, expected, "events of {person}");
    let sql = format!("select type, token, public from identifiers where person_id = '{person}'");
    let expected: BTreeSet<(String, String, bool)> = query(job, &sql, known)
        .iter()
        .map(|row| (text(&row[0]).to_owned(), text(&row[1]).to_owned(), row[2] == Cell::Bool(true)))
        .collect();
    let here = said.identifiers.iter().filter(|identifier| identifier.person_id == person);
    let here = here.map(|i| (i.name.kind.clone(), i.name.token.clone(), i.public));
    assert_eq!(here.collect::<BTreeSet<_>>(), expected, "identifiers of {person}");
    let mut clusters: BTreeMap<&Name, BTreeSet<&Name>> = BTreeMap::new();
    for identifier in said.identifiers.iter().filter(|i| i.part != "seen") {
        clusters.entry(&identifier.cluster).or_default().insert(&identifier.name);
        assert_eq!(identifier.why.is_some(), identifier.public);
    }
    assert!(clusters.values().all(|members| connected(&said, members)), "{:?}", said.links);
    said
}

#[test]
fn every_person_is_as_the_tables_have_it() {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for (seed, more) in [(1, ""), (2, "[snapshot]\nevery = \"1m\"\n"), (3, "")] {
        let job = job(seed, more);
        let mut files = BTreeMap::new();
        let mut events = 0;
        for person in people(&job, None) {
            let said = check(&job, &person, None);
            events += said.events.len();
            named(&said).into_iter().for_each(|record| is_there(&mut files, record));
            let sql = format!(
                "select epoch from id_changes where person_id = '{person}' or other_person_id = \
                 '{person}'"
            );
            let ours = |change: &&jobs::provenance::said::ChangeSaid| {
                [&change.person_id, &change.other_person_id].contains(&&person)
            };
            let changes = said.id_changes.iter().filter(ours).count();
            assert_eq!(changes, query(&job, &sql, None).len(), "changes of {person}");
            let words = said.text(3);
            assert!(words.contains(&person) && words.contains("/jobs/"), "{words}");
            let svg = said.picture();
            let drawn = said.identifiers.iter().map(|i| &i.name.token[..10]);
            assert!(drawn.into_iter().all(|token| svg.contains(token)), "{svg}");
            let mut count = |what, times| *seen.entry(what).or_default() += times;
            count("public", said.identifiers.iter().filter(|i| i.public).count());
            count("claimed", said.identifiers.iter().filter(|i| i.part == "claimed").count());
            count("link", said.links.iter().filter(|link| link.counts).count());
            count("no link", said.links.iter().filter(|link| !link.counts).count());
            count("claim", said.claims.iter().filter(|claim| claim.counts).count());
            count("no claim", said.claims.iter().filter(|claim| !claim.counts).count());
            count("merge", said.commands.iter().filter(|c| c.kind == "merge").count());
            count("unmerge", said.commands.iter().filter(|c| c.kind == "unmerge").count());
            count("copy", said.events.iter().map(|event| event.copies.len()).sum());
            count("shadowed", said.shadowed.len());
            count("split", said.id_changes.iter().filter(|c| c.change_type == "split").count());
        }
        let all = query(&job, "select 1 from events where person_id is not null", None);
        assert_eq!(events, all.len(), "each event once");
    }
    assert_eq!(seen.len(), 11);
    assert!(seen.values().all(|times| *times > 3), "{seen:?}");
}

#[test]
fn people_are_explained_as_they_were_known() {
    let job = job(4, "");
    let epochs: Vec<u64> = peek(&job.plan()).unwrap().iter().map(|b| b.epoch).collect();
    let mut different = BTreeSet::new();
    for epoch in epochs.iter().skip(2).step_by(5) {
        let known = resolve(&job.plan(), Moment::Epoch(*epoch)).unwrap();
        for person in people(&job, Some(known)).into_iter().step_by(3) {
            let said = check(&job, &person, Some(known));
            assert_eq!(said.upto, *epoch);
            assert!(said.id_changes.iter().all(|change| change.epoch <= *epoch));
            different.insert(format!("{person} {:?}", said.identifiers));
        }
    }
    assert!(different.len() > 10, "{} states", different.len());
}

#[test]
fn a_job_that_runs_and_one_that_has_changed_are_explained_as_they_stand() {
    let job = job(5, "");
    let before = tree(&job.out());
    let held = FileBindingLog::open(&job.out().join("bindings"), None).unwrap();
    let everybody = people(&job, None);
    let standing: Vec<PersonSaid> = everybody.iter().map(|p| check(&job, p, None)).collect();
    drop(held);
    assert_eq!(tree(&job.out()), before, "nothing is written");
    // Another rule, which has not run.
    let changed = sources("explained") + &RULES.replacen("rank = 1\nowners_max = 2", "rank = 1", 1);
    let earlier = fs::read_to_string(job.folder().join("job.toml")).unwrap();
    job.write("job.toml", &changed);
    let again: Vec<PersonSaid> = everybody.iter().map(|p| check(&job, p, None)).collect();
    assert_eq!(again, standing);
    assert_eq!(fs::read_to_string(&standing[0].file).unwrap(), earlier, "the version is kept");
    job.run(2, 20);
    let mut news = 0;
    for person in people(&job, None) {
        let said = check(&job, &person, None);
        assert_ne!(said.version, standing[0].version);
        news += usize::from(standing.iter().all(|before| before.events != said.events));
    }
    assert!(news > 0, "the change changes somebody");
}

/// What stands in a column of each row of a view, by key.
fn numbers(job: &Job, view: &str, column: &str) -> BTreeMap<BTreeMap<String, String>, f64> {
    let plan = job.plan();
    let question = Question::default();
    let explained = explain_numbers(&plan, view, &question).unwrap();
    let of_column = explained.numbers.into_iter().filter(|number| number.column == column);
    of_column.map(|number| (number.key, number.after.unwrap_or(0.0))).collect()
}

fn all_behind(job: &Job, view: &str) -> Vec<BehindSaid> {
    let plan = job.plan();
    let rows = explain_numbers(&plan, view, &Question::default()).unwrap().rows;
    let past = Past::open(&Of::job(&job.folder().join("job.toml"), &plan), None).unwrap();
    behind(&past, &rows, &Silent).unwrap_or_else(|e| panic!("{view}: {e}"))
}

#[test]
fn those_behind_a_number_add_up_to_it() {
    let trends = "[[view]]\nkind = \"trend\"\nname = \"seen\"\nfilter = { event = \"see\" }\n\
                  breakdown = \"channel\"\n";
    let views = [
        ("funnel_buy", "count"),
        ("funnel_buy_times", "count"),
        ("funnel_buy_people", "furthest_step"),
        ("trend_people", "value"),
        ("trend_seen", "value"),
        ("trend_price", "value"),
        ("sessions", "events"),
        ("people", "events"),
    ];
    for seed in 6..9 {
        let job = job(seed, trends);
        let mut of_person: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for row in query(&job, "select person_id, message_id from events", None) {
            let person = if row[0] == Cell::Null { "" } else { text(&row[0]) };
            of_person.entry(person.to_owned()).or_default().insert(text(&row[1]).to_owned());
        }
        let mut files = BTreeMap::new();
        for (view, column) in views {
            let mut expected = numbers(&job, view, column);
            let said = all_behind(&job, view);
            // All that happens is of one week, and of two channels.
            let least = if view.starts_with("trend_") { 1 } else { 3 };
            assert!(said.len() >= least, "{view} has {} rows", said.len());
            for row in said {
                let number = expected.remove(&row.key).unwrap_or(0.0);
                let steps = || row.parts[0].witnesses[0].len() as f64;
                let sum = || row.parts.iter().filter_map(|part| part.sum).sum::<f64>();
                let counts: usize = row.parts.iter().map(|part| part.counts).sum();
                assert_eq!(counts, row.counts);
                let comes_to = match view {
                    "trend_price" => sum(),
                    "funnel_buy_people" => steps(),
                    _ => counts as f64,
                };
                assert!((comes_to - number).abs() < 1e-6, "{view} {:?}: {number}", row.key);
                for part in &row.parts {
                    assert_eq!(part.counts, part.witnesses.len());
                    let person = match &part.who {
                        Who::PersonId(id) => id.as_str(),
                        Who::Nobody => "",
                        Who::GroupId(id) => panic!("there are no groups, and yet {id}"),
                    };
                    for record in part.witnesses.iter().flatten().flatten() {
                        assert!(of_person[person].contains(&record.message_id), "{part:?}");
                        is_there(&mut files, record);
                    }
                }
                assert!(row.text(2).lines().count() <= 4);
            }
            let left: Vec<_> = expected.iter().filter(|(_, number)| **number != 0.0).collect();
            assert!(left.is_empty(), "{view}: {left:?}");
        }
    }
}

/// A row of a person is of all time, also where a funnel counts by day only.
#[test]
fn people_are_behind_their_rows_of_a_funnel_by_day() {
    let funnel = "[[view]]\nkind = \"funnel\"\nname = \"by_day\"\nperiods = [\"day\"]\n\
                  steps = [{ event = \"a\" }, { event = \"b\" }]\nbreakdown = \"browser\"\n\
                  breakdownAttributionType = \"first_touch\"\n";
    let job = Job::new(&(sources("explained") + funnel));
    let record = |(id, event, time, browser): (&str, &str, &str, &str)| {
        let line = format!(
            "{{\"messageId\":\"{id}\",\"userId\":\"u\",\"event\":\"{event}\",\
             \"timestamp\":\"2026-03-{time}Z\",\"properties\":{{\"browser\":\"{browser}\"}}}}\n"
        );
        (false, line)
    };
    let records = [
        ("1", "a", "01T10:00:00", "chrome"),
        ("2", "a", "02T10:00:00", "safari"),
        ("3", "b", "02T10:05:00", "safari"),
    ];
    write_part(&job, 0, &records.map(record));
    job.run(1, 9);
    let said = all_behind(&job, "funnel_by_day_people");
    let ids = |row: &BehindSaid| -> Vec<String> {
        let witnesses = row.parts[0].witnesses.iter().flatten().flatten();
        witnesses.map(|record| record.message_id.clone()).collect()
    };
    assert_eq!(said.iter().map(ids).collect::<Vec<_>>(), [["2", "3"]]);
    assert_eq!(said[0].key["breakdown"], "chrome");
}

#[test]
fn the_command_answers_or_says_what_to_write() {
    let job = job(9, "");
    let command = |arguments: &[&str]| {
        let output = job.command("explain").args(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), said)
    };
    let json = |arguments: &[&str]| -> Value {
        let (code, said, errors) = command(arguments);
        assert_eq!(code, Some(0), "{errors}");
        serde_json::from_str(&said).unwrap()
    };
    // From the number to a person, and from the person to the records.
    let said = json(&["funnel_buy", "--key", "period=all,step=1", "--json"]);
    let numbers = said["numbers"].as_array().unwrap();
    let count = numbers.iter().find(|number| number["column"] == "count").unwrap();
    assert_eq!(said["behind"][0]["counts"].as_f64(), count["after"].as_f64(), "{said}");
    let person = said["behind"][0]["parts"][0]["who"]["person_id"].as_str().unwrap();
    let (_, words, _) = command(&["funnel_buy", "--key", "step=1", "--key", "period=all"]);
    assert!(words.contains(&format!("person {person}")), "{words}");
    let svg = job.folder().join("person.svg");
    let said = json(&["person", person, "--json", "--svg", svg.to_str().unwrap()]);
    assert_eq!(said["person_id"], person);
    assert!(fs::read_to_string(svg).unwrap().starts_with("<svg"));
    // Columns that are no part of the key.
    let said = json(&["sessions", "--key", &format!("person_id={person}"), "--json"]);
    let behind = said["behind"].as_array().unwrap();
    let whose = |said: &Value| said["parts"][0]["who"]["person_id"] == person;
    assert!(!behind.is_empty() && behind.iter().all(whose), "{said}");
    // An identifier as senders write it.
    let (_, words, _) = command(&["person", "--identifier", "user_id=u1"]);
    let sql = "select distinct person_id from identifiers where type = 'user_id'";
    let known = query(&job, sql, None);
    let asked = |row: &Vec<Cell>| words.contains(&format!("person {} (tenant", text(&row[0])));
    assert!(words.starts_with("user_id ") || known.iter().any(asked), "{words}");
    assert!(known.iter().any(asked), "{words}");
    let nobody = "00000000000000000000000000000000";
    for (arguments, expected) in [
        (["funnel_buy", "--key", "stp=1"].as_slice(), "no column \"stp\"; did you mean step?"),
        (&["funnel_buy", "--key", "step"], "write a column and its value, such as step=2"),
        (&["funnel_buy", nobody], "an id is not for a view; leave it out"),
        (&["person"], "who? write a person_id behind it, or --identifier TYPE=VALUE"),
        (&["person", "anna"], "\"anna\" is no person id: write the 32 hexadecimal digits"),
        (&["person", nobody], "nobody is 00000000000000000000000000000000; give a person_id"),
        (&["person", nobody, "--tenant", "x"], "nobody is 0000"),
        (&["person", nobody, "--since", "1"], "--since is not for a person; leave it out"),
        (&["person", "--identifier", "emial=e1"], "no type \"emial\"; did you mean email?"),
        (&["person", "--identifier", "email"], "write a type and a value"),
        (&["person", "--identifier", "email=null"], "\"null\" is no identifier: the job blocks it"),
        (&["person", "--identifier", "email=nobody@x.example"], "nobody is email "),
        (&["person", nobody, "--until", "99"], "epoch 99 is not in the tables yet"),
    ] {
        let (code, _, said) = command(arguments);
        assert_eq!(code, Some(2), "{arguments:?}: {said}");
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
    // What was read is not there any more.
    fs::remove_file(job.folder().join("web/000.ndjson")).unwrap();
    assert_eq!(command(&["person", person]).0, Some(3));
    let fresh = Job::new(&(sources("fresh") + RULES));
    write_part(&fresh, 0, &[]);
    let output = fresh.command("explain").args(["person", nobody]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("nothing is published yet: run the job"), "{said}");
}

/// From the archive, the sources being gone, and of a replay, also one that begins later: the same
/// answers as from the sources.
#[test]
fn people_are_explained_from_the_archive_and_of_a_replay() {
    let sinks = "[[sink]]\nconnector = \"table\"\n[[sink]]\nconnector = \"archive\"\n\
                 [snapshot]\nevery = \"never\"\n";
    let job = job(6, sinks);
    let (path, plan) = (replayed::path(&job), job.plan());
    let of_all = |of: Of<'_>, sql: &str| -> Vec<PersonSaid> {
        let everybody = rows_of(of.plan, sql, None);
        assert!(everybody.len() > 5);
        let said = |row: &Vec<Cell>| {
            let whom = Whom::Id(text(&row[0]).to_owned());
            explain(&of, &Asked { whom, tenant: None, until: None }, &Silent)
        };
        everybody.iter().map(said).collect::<Result<_, _>>().unwrap_or_else(|e| panic!("{e}"))
    };
    let sql = "select person_id from events where person_id is not null \
               union select person_id from identifiers order by 1";
    let live = Of::job(&path, &plan);
    let should = of_all(live, sql);
    let alike = replayed::create(&job, "alike", &plan.text, Scope::default());
    let later = Scope { from: Some(9), ..Scope::default() };
    let later = replayed::create(&job, "later", &plan.text, later);
    let changed = plan.text.replacen("owners_max = 2", "owners_max = 1", 1);
    let changed = replayed::create(&job, "changed", &changed, Scope::default());
    let of = |replay: &'_ Replay, archive: bool| {
        replayed::computed(&job, replay, 2);
        let (plan, after) = (replay.plan.clone(), Some(replay.scope.after()));
        let mut said = of_all(Of { path: &path, plan: &plan, replay: after, archive }, sql);
        // Its job file is its own.
        for said in &mut said {
            let text = fs::read_to_string(&said.file).unwrap();
            assert_eq!(text, plan.text);
            said.file.clone_from(&should[0].file);
        }
        said
    };
    assert_eq!(of(&alike, false), should);
    assert_eq!(of(&alike, true), should);
    let (of_later, of_changed) = (of(&later, false), of(&changed, false));
    assert!(of_later != should && of_changed != should);
    assert!(of(&later, true) == of_later && of(&changed, true) == of_changed);
    // What is told of the events is what stands in the replay's own tables.
    for (replay, said) in [(&later, &of_later), (&changed, &of_changed)] {
        let sql = "select message_id, person_id from events where person_id is not null order by 1";
        let told = said.iter().flat_map(|said| {
            let id = |e: &EventSaid| (e.record.message_id.clone(), said.person_id.clone());
            said.events.iter().map(id)
        });
        let mut told: Vec<(String, String)> = told.collect();
        told.sort_unstable();
        let rows = rows_of(&replay.plan, sql, None);
        let stands: Vec<_> =
            rows.iter().map(|r| (text(&r[0]).to_owned(), text(&r[1]).to_owned())).collect();
        assert_eq!(told, stands, "{}", replay.name);
    }
    for channel in ["web", "backend"] {
        let _ = fs::remove_dir_all(job.folder().join(channel));
    }
    assert!(of_all(Of { archive: true, ..live }, sql) == should);
    let asked = Asked { whom: Whom::Id(should[0].person_id.clone()), tenant: None, until: None };
    assert_eq!(explain(&live, &asked, &Silent).unwrap_err().exit_code(), 3, "the sources are gone");
}
