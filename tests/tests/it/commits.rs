//! The history of a public repository, newest first: 62,658 commits of 3,555 names and emails,
//! which belong to 1,568 people. Whatever the order of the records, the epochs and the workers: the
//! tables are the same, byte by byte.

use std::collections::{BTreeMap, BTreeSet};

use operators::identity::testing::Seeded;
use operators::model::{Cell, SECOND};

use crate::support::{Job, sessions, text, unpacked};

const JOB: &str = r#"
[job]
name = "commits"
out = "out"

[[source]]
name = "history"
connector = "file"
path = "history.tsv"
[source.fields]
messageId = "commit"
event = { const = "commit" }
timestamp = { field = "authored_unix_s", format = "unix_s" }
traits = "."

[time] # the newest comes first: everything else is as late as the history is long
admit = "20000d"
ids = "20000d"
history = "20000d"

[identity]
cluster_max = 4294967295
[[identity.type]]
name = "name"
from = ["traits.name"]
rank = 1
[[identity.type]]
name = "email"
from = ["traits.email"]
rank = 1

[[view]]
kind = "sessions"

[[sink]]
connector = "table"
partition = "month"
"#;

/// The views whose rows do not say when something was found out, as `id_changes` does.
const VIEWS: [&str; 6] =
    ["events", "identifiers", "people", "duplicates", "dead_letters", "sessions"];

#[derive(Clone, Copy, Debug)]
enum Order {
    NewestFirst,
    OldestFirst,
    Shuffled,
}

use Order::{NewestFirst, OldestFirst, Shuffled};

/// The header, and the newest `count` commits in some order.
fn history(order: Order, count: usize) -> String {
    let text = unpacked("commits.tsv.gz");
    let mut lines: Vec<&str> = text.lines().take(count.saturating_add(1)).collect();
    match order {
        NewestFirst => {}
        OldestFirst => lines[1..].reverse(),
        Shuffled => {
            let mut random = Seeded(7);
            for place in (2..lines.len()).rev() {
                lines.swap(place, 1 + random.below(place as u64) as usize);
            }
        }
    }
    lines.join("\n")
}

fn run(order: Order, count: usize, workers: usize, epoch: usize) -> Job {
    let job = Job::new(JOB);
    job.write("history.tsv", history(order, count));
    let summary = job.run(workers, epoch);
    let records = count.min(62_658) as u64;
    assert_eq!((summary.read, summary.admitted), (records, records), "{order:?}");
    // A last one tells that there is no more, where the records fill the one before.
    assert_eq!(summary.epochs, records / epoch as u64 + 1, "{order:?}");
    job
}

/// Runs the newest `count` commits in each of these ways and compares the tables of all.
fn same_tables(count: usize, ways: &[(Order, usize, usize)]) {
    let mut first = None;
    for &(order, workers, epoch) in ways {
        let job = run(order, count, workers, epoch);
        let tables = job.current(&VIEWS);
        let expected = first.get_or_insert_with(|| tables.clone());
        let names = |tables: &BTreeMap<String, Vec<u8>>| tables.keys().cloned().collect::<Vec<_>>();
        let way = format!("{order:?}, {workers} workers, epochs of {epoch}");
        assert_eq!(names(&tables), names(expected), "names are hashes of the content: {way}");
        assert!(tables == *expected, "one name, one content: {way}");
    }
}

#[test]
fn any_order_any_workers_any_epochs() {
    let ways = [
        (NewestFirst, 1, 65_536),
        (NewestFirst, 4, 1000),
        (OldestFirst, 1, 7),
        (OldestFirst, 2, 65_536),
        (Shuffled, 1, 1000),
        (Shuffled, 2, 1000),
        (Shuffled, 4, 65_536),
    ];
    same_tables(usize::MAX, &ways);
}

#[test]
fn small_epochs() {
    let mut ways = vec![(NewestFirst, 1, 65_536)];
    for order in [NewestFirst, OldestFirst, Shuffled] {
        ways.extend([1, 2, 4].map(|workers| (order, workers, 7)));
    }
    same_tables(5000, &ways);
}

#[test]
fn epochs_of_one_record() {
    let mut ways = vec![(NewestFirst, 1, 65_536)];
    for order in [NewestFirst, OldestFirst, Shuffled] {
        ways.extend([1, 2, 4].map(|workers| (order, workers, 1)));
    }
    same_tables(700, &ways);
}

/// A run of a single epoch is written: the first epoch was once taken for none.
#[test]
fn a_run_of_one_epoch_is_written() {
    let job = run(NewestFirst, 10, 1, 65_536);
    assert_eq!(job.table("events").rows.len(), 10);
}

/// The people: commits that are connected through names and emails. Not as the engine finds them.
fn people(lines: &[Vec<&str>]) -> Vec<Vec<usize>> {
    let mut of: BTreeMap<(usize, &str), Vec<usize>> = BTreeMap::new();
    for (commit, fields) in lines.iter().enumerate() {
        for kind in [2, 3] {
            of.entry((kind, fields[kind])).or_default().push(commit);
        }
    }
    let (mut seen, mut people) = (vec![false; lines.len()], Vec::new());
    for start in 0..lines.len() {
        let (mut todo, mut person) = (vec![start], Vec::new());
        while let Some(commit) = todo.pop() {
            if !std::mem::replace(&mut seen[commit], true) {
                person.push(commit);
                // Each identifier is looked at once: then its commits are all seen.
                for kind in [2, 3] {
                    todo.extend(of.remove(&(kind, lines[commit][kind])).unwrap_or_default());
                }
            }
        }
        if !person.is_empty() {
            people.push(person);
        }
    }
    people
}

#[test]
fn people_and_sessions_are_those_of_an_independent_computation() {
    let job = run(NewestFirst, usize::MAX, 2, 4096);
    let text_of_all = unpacked("commits.tsv.gz");
    let lines: Vec<Vec<&str>> =
        text_of_all.lines().skip(1).map(|line| line.split('\t').collect()).collect();
    let people = people(&lines);
    assert_eq!((lines.len(), people.len()), (62_658, 1568));

    let mut found: BTreeMap<Cell, BTreeSet<String>> = BTreeMap::new();
    for row in job.table("events").select(&["person_id", "message_id"]) {
        found.entry(row[0].clone()).or_default().insert(text(&row[1]).to_owned());
    }
    let found: BTreeSet<BTreeSet<String>> = found.into_values().collect();
    let expected: BTreeSet<BTreeSet<String>> = people
        .iter()
        .map(|person| person.iter().map(|&commit| lines[commit][0].to_owned()).collect())
        .collect();
    assert!(found == expected, "the same commits belong together");

    let mut expected = Vec::new();
    for person in &people {
        let times = person.iter().map(|&commit| lines[commit][1].parse::<i64>().unwrap());
        for (start, end, events) in sessions(times.collect(), 1800) {
            let [start, end] = [start, end].map(|at| Cell::Time(at * SECOND));
            expected.push(vec![start, end, Cell::Int(events)]);
        }
    }
    expected.sort_unstable();
    assert_eq!(expected.len(), 43_450);
    let rows = job.table("sessions").select(&["start", "end", "events"]);
    assert!(rows == expected, "the same sessions");
    assert_eq!(job.table("identifiers").rows.len(), 3555);
    assert_eq!(job.table("people").rows.len(), 1568);
}
