//! A job that is changed: what it publishes is the difference, and what stands then is what the
//! changed job says of everything.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use braid_tests::histories::{RULES, records};
use connectors::bindings::{BindingLog as _, FileBindingLog};
use connectors::table::epochs;
use jobs::rebuild::trial;
use jobs::runtime::RunOptions;
use operators::identity::testing::Seeded;
use operators::model::Cell;

use crate::support::{Job, Table, net, source, sources, tree, write_part};

const TREND: &str =
    "[[view]]\nkind = \"trend\"\nname = \"late\"\nmetric = \"events\"\nperiod = \"day\"\n";

/// Changes of a job: what is replaced by what.
const CHANGES: [(&str, &str); 5] = [
    // Who is who.
    ("owners_max = 3", "owners_max = 1"),
    ("degree_max = 3", "degree_max = 1"),
    // What a view means.
    ("funnelWindowInterval = 3", "funnelWindowInterval = 1"),
    ("kind = \"sessions\"", "kind = \"sessions\"\ngap = \"5m\""),
    // Another view.
    ("[[view]]\nkind = \"sessions\"", "@TREND[[view]]\nkind = \"sessions\""),
];

pub(super) fn text(changed: Option<usize>) -> String {
    let text = sources("upgrades") + RULES;
    let Some(changed) = changed else { return text };
    let (from, to) = CHANGES[changed];
    assert!(text.contains(from));
    text.replace(from, to).replace("@TREND", TREND)
}

/// Records in parts, and whether each is marked.
type Parts = Vec<Vec<(bool, String)>>;

/// A job with history, and one that is as the first will be when it is changed, and has the same.
pub(super) fn pair(seed: u64, change: usize) -> (Job, Job, Parts) {
    let records = records(&mut Seeded(seed), 120);
    let parts: Parts = records.chunks(40).map(<[_]>::to_vec).collect();
    (Job::new(&text(None)), holding(&text(Some(change)), &parts), parts)
}

/// A job that has some parts.
pub(super) fn holding(text: &str, parts: &[Vec<(bool, String)>]) -> Job {
    let job = Job::new(text);
    for (part, records) in parts.iter().enumerate() {
        write_part(&job, part, records);
    }
    job
}

fn names(job: &Job) -> Vec<String> {
    job.plan().catalog.schemas.iter().map(|schema| schema.name.to_string()).collect()
}

/// Runs the other job on the same epochs from the first, and compares the current rows.
pub(super) fn assert_alike(job: &Job, calm: &Job) {
    let bindings = FileBindingLog::peek(&job.out().join("bindings")).unwrap();
    let _ = fs::remove_dir_all(calm.out());
    let (mut log, _) = FileBindingLog::open(&calm.out().join("bindings"), None).unwrap();
    let hash = calm.plan().hash;
    assert_eq!(job.plan().hash, hash);
    for mut binding in bindings {
        binding.job.clone_from(&hash);
        log.append(&binding).unwrap();
    }
    drop(log);
    calm.run(2, 10_000);
    let names = names(job);
    let views: Vec<&str> =
        names.iter().map(String::as_str).filter(|view| *view != "id_changes").collect();
    let (is, should) = (job.current(&views), calm.current(&views));
    let differ: Vec<_> = should.keys().filter(|name| is.get(*name) != should.get(*name)).collect();
    assert!(is == should, "{differ:?}");
    let plan = job.plan();
    for schema in plan.catalog.schemas.iter().filter(|schema| !schema.append_only) {
        let own: Vec<&str> = schema.columns.iter().map(|column| column.name).collect();
        let view = &*schema.name;
        assert_eq!(net(job, &plan, view), job.table(view).select(&own), "changelog/{view}");
    }
}

/// The changes of an epoch, by view.
fn changes(job: &Job, epoch: i64) -> BTreeMap<String, Table> {
    let mut views = BTreeMap::new();
    for name in names(job) {
        let mut table = job.changelog(&name);
        let at = table.place("_epoch");
        table.rows.retain(|row| row[at] == Cell::Int(epoch));
        views.insert(name, table);
    }
    views
}

fn last_epoch(job: &Job) -> u64 {
    FileBindingLog::peek(&job.out().join("bindings")).unwrap().last().unwrap().epoch
}

pub(super) fn change_to(job: &Job, text: &str) {
    job.write("job.toml", text);
}

#[test]
fn what_stands_after_a_change_is_what_the_changed_job_says() {
    for (change, replaced) in CHANGES.iter().enumerate() {
        let (job, calm, parts) = pair(30 + change as u64, change);
        write_part(&job, 0, &parts[0]);
        job.run(1, 7);
        write_part(&job, 1, &parts[1]);
        job.run(2, 9);
        let before = last_epoch(&job);
        change_to(&job, &text(Some(change)));
        write_part(&job, 2, &parts[2]);
        job.run(2, 5);
        let published = changes(&job, before as i64 + 1);
        let count: usize = published.values().map(|table| table.rows.len()).sum();
        assert!(count > 0, "{replaced:?} changes nothing");
        for (view, table) in &published {
            let cause = table.place("_cause");
            assert!(table.rows.iter().all(|row| row[cause] == Cell::str("upgrade")), "{view}");
        }
        assert_alike(&job, &calm);
        // And back: nothing is left of it.
        let again = last_epoch(&job);
        change_to(&job, &text(None));
        job.run(1, 100);
        assert_eq!(last_epoch(&job), again + 1);
        let old = Job::new(&text(None));
        for (part, records) in parts.iter().enumerate() {
            write_part(&old, part, records);
        }
        assert_alike(&job, &old);
    }
}

/// What does not change is not published again.
#[test]
fn a_change_without_effect_publishes_nothing() {
    let (job, _, parts) = pair(40, 0);
    write_part(&job, 0, &parts[0]);
    job.run(1, 7);
    let before = last_epoch(&job);
    let more = "[job]\nfacts_per_second_max = 1000000\n";
    change_to(&job, &text(None).replace("[job]\n", more));
    job.run(1, 7);
    let published = changes(&job, before as i64 + 1);
    let rows: Vec<_> = published.values().flat_map(|table| &table.rows).collect();
    assert!(rows.is_empty(), "{rows:?}");
    assert_eq!(last_epoch(&job), before + 1);
}

/// Who became whom is told too, and once.
#[test]
fn killed_while_a_difference_is_published() {
    let moments =
        ["bound:1", "table-file:3", "table-commit:1", "table-committed:4", "table-committed:7"];
    for (seed, moment) in (50..).zip(moments) {
        let [(job, calm, parts), (twin, ..)] = [pair(seed, 0), pair(seed, 0)];
        for job in [&job, &twin] {
            for (part, records) in parts.iter().take(2).enumerate() {
                write_part(job, part, records);
            }
            job.run(2, 9);
            change_to(job, &text(Some(0)));
        }
        let output = job.execute(&["-w", "2", "--crash-at", &format!("{moment}:kill")]);
        assert_eq!(output.status.code(), None, "{moment}");
        twin.run(2, 9);
        for job in [&job, &twin] {
            write_part(job, 2, &parts[2]);
            job.run(1, 9);
        }
        assert_alike(&job, &calm);
        let [is, should] = [&job, &twin].map(|job| sorted(job.changelog("id_changes")));
        assert_eq!(is, should, "{moment}");
    }
}

/// The rows of a table, in an order of their own.
pub(super) fn sorted(table: Table) -> Vec<Vec<Cell>> {
    let mut rows = table.rows;
    rows.sort();
    rows
}

/// Bindings tell sources apart by their place.
#[test]
fn sources_may_be_added_and_not_taken_away() {
    let (job, _, parts) = pair(60, 0);
    write_part(&job, 0, &parts[0]);
    job.run(1, 7);
    change_to(&job, &text(None).replacen(&source("web"), "", 1));
    let output = job.execute(&[]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("its sources were web, backend, and are backend"), "{said}");
    change_to(&job, &text(None).replace("[time]", &format!("{}[time]", source("app"))));
    job.write("app/000.ndjson", parts[1].iter().map(|r| r.1.as_str()).collect::<String>());
    let summary = job.run(1, 7);
    assert_eq!(summary.read, (parts[0].len() + parts[1].len()) as u64);
    let kept: Vec<PathBuf> =
        fs::read_dir(job.out().join("jobs")).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(kept.len(), 2, "each version of the job is kept");
}

/// A source that is added holds up nothing of what was before: what was too late stays so.
#[test]
fn what_was_too_late_stays_so_when_a_source_is_added() {
    let record = |day: usize, id: &str| {
        let line = format!(
            "{{\"messageId\":\"{id}\",\"userId\":\"u\",\"event\":\"a\",\
             \"timestamp\":\"2026-03-{day:02}T10:00:00Z\"}}\n"
        );
        (false, line)
    };
    let text = sources("upgrades") + "[time]\nadmit = \"1d\"\ndisorder = \"1h\"\n";
    let job = Job::new(&text);
    let early: Vec<_> = (10..19).map(|day| record(day, &format!("m{day}"))).collect();
    write_part(&job, 0, &early);
    job.run(1, 3);
    write_part(&job, 1, &[record(2, "late"), record(19, "m19")]);
    job.run(1, 3);
    let letters = |job: &Job| job.table("dead_letters").select(&["offset", "reason"]);
    let before = (job.table("events").select(&["message_id"]), letters(&job));
    assert_eq!((before.0.len(), before.1.len()), (10, 1));
    change_to(&job, &text.replace("[time]", &format!("{}[time]", source("app"))));
    job.write("app/000.ndjson", record(20, "app").1);
    job.run(1, 3);
    let events = job.table("events").select(&["message_id"]);
    assert_eq!(events.len(), 11, "{events:?}");
    assert!(before.0.iter().all(|event| events.contains(event)));
    assert_eq!(letters(&job), before.1);
}

/// Runs a job of another text, which is refused.
fn refused(job: &Job, text: &str, why: &str) {
    change_to(job, text);
    let output = job.execute(&[]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains(why), "{said}");
}

/// Tables know the job by its name, and find rows by their partitions.
#[test]
fn the_name_and_partitions_stay() {
    let (job, _, parts) = pair(61, 0);
    write_part(&job, 0, &parts[0]);
    job.run(1, 7);
    let before = tree(&job.out());
    for other in ["month", "none"] {
        let sink = format!("[[sink]]\nconnector = \"table\"\npartition = {other:?}\n");
        let why = format!("its tables have the partition \"day\", and not {other:?}");
        refused(&job, &(text(None) + &sink), &why);
    }
    let others = text(None).replace("name = \"upgrades\"", "name = \"others\"");
    refused(&job, &others, "its name was \"upgrades\", and is \"others\"");
    assert!(tree(&job.out()) == before);
    // Where nothing else tells it, the tables do.
    fs::remove_file(job.out().join("bindings")).unwrap();
    refused(&job, &others, "was written by the job \"upgrades\"");
}

/// Where a commit of tables may be cut off: before, between and after files and versions of logs.
pub(super) const CUTS: [&str; 6] = [
    "table-file:2",
    "table-commit:1",
    "table-committed:1",
    "table-committed:2",
    "table-committed:5",
    "table-committed:9",
];

pub(super) fn killed(job: &Job, moment: &str) {
    let arguments = ["--epoch-records", "9", "--crash-at", &format!("{moment}:kill")];
    let output = job.execute(&arguments);
    assert_eq!(output.status.code(), None, "{moment}");
}

/// Then some tables are further than others, current rows perhaps than their changelog.
#[test]
fn a_commit_that_was_cut_off_is_in_no_changes_way() {
    for (seed, moment) in (70..).zip(CUTS) {
        let (job, calm, parts) = pair(seed, 0);
        write_part(&job, 0, &parts[0]);
        job.run(1, 9);
        write_part(&job, 1, &parts[1]);
        killed(&job, moment);
        let committed = epochs(&job.out()).unwrap().last().unwrap().0;
        let told = job.changelog("id_changes");
        change_to(&job, &text(Some(0)));
        write_part(&job, 2, &parts[2]);
        job.run(2, 9);
        assert_alike(&job, &calm);
        // What the half of the commit has told is not told again.
        let (epoch, cause) = (told.place("_epoch"), told.place("_cause"));
        let is_later = |row: &&Vec<Cell>| row[epoch] > Cell::Int(committed as i64);
        let pairs = told.rows.iter().filter(is_later).map(|row| row[..3].to_vec());
        let pairs: Vec<Vec<Cell>> = pairs.collect();
        for row in job.changelog("id_changes").rows {
            assert!(row[cause] != Cell::str("upgrade") || !pairs.contains(&row[..3].to_vec()));
        }
    }
}

/// Who became whom after an epoch, as the table tells it.
fn told(job: &Job, after: u64) -> Vec<(Cell, Cell)> {
    let told = job.changelog("id_changes");
    let epoch = told.place("_epoch");
    let later = told.rows.iter().filter(|row| row[epoch] > Cell::Int(after as i64));
    later.map(|row| (row[1].clone(), row[2].clone())).collect()
}

/// Half of its difference may stand in tables.
#[test]
fn a_change_that_was_cut_off_can_be_taken_back() {
    let mut taken_back = 0;
    for (seed, moment) in (80..).zip(CUTS) {
        let (job, _, parts) = pair(seed, 0);
        write_part(&job, 0, &parts[0]);
        write_part(&job, 1, &parts[1]);
        job.run(1, 9);
        let before = last_epoch(&job);
        change_to(&job, &text(Some(0)));
        killed(&job, moment);
        let told = told(&job, before);
        change_to(&job, &text(None));
        write_part(&job, 2, &parts[2]);
        job.run(2, 9);
        // Whoever follows persons gets back to where they were.
        let told_since = self::told(&job, before);
        taken_back += told.len();
        for (before, now) in told {
            assert!(told_since.contains(&(now, before)), "{moment}");
        }
        assert_alike(&job, &holding(&text(None), &parts));
    }
    assert!(taken_back > 0, "something was told before it was taken back");
}

/// What a run found that was killed before it committed anything is found again by the changed job,
/// dead letters too.
#[test]
fn dead_letters_of_a_run_that_was_killed_are_not_lost() {
    let (job, calm, mut parts) = pair(71, 0);
    for (part, records) in parts.iter_mut().enumerate() {
        records.push((false, format!("no JSON in {part}\n")));
        write_part(&calm, part, records);
    }
    write_part(&job, 0, &parts[0]);
    job.run(1, 9);
    write_part(&job, 1, &parts[1]);
    let output = job.execute(&["--epoch-records", "9", "--crash-at", "table-file:1:kill"]);
    assert_eq!(output.status.code(), None);
    change_to(&job, &text(Some(0)));
    write_part(&job, 2, &parts[2]);
    job.run(2, 9);
    assert_alike(&job, &calm);
    let letters = job.table("dead_letters").column("payload");
    let told = job.changelog("dead_letters").column("payload");
    for part in 0..parts.len() {
        let payload = Cell::Bytes(format!("no JSON in {part}").into_bytes().into());
        for list in [&letters, &told] {
            assert_eq!(list.iter().filter(|cell| **cell == payload).count(), 1, "{payload:?}");
        }
    }
}

/// How long a changed job takes is judged by computing the beginning of its past, which leaves
/// nothing behind.
#[test]
fn a_plan_says_how_long_a_change_takes() {
    let (job, _, parts) = pair(41, 0);
    let mut written = Vec::new();
    for (part, records) in parts.iter().enumerate() {
        written = write_part(&job, part, records);
    }
    job.run(1, 7);
    change_to(&job, &text(Some(0)));
    let before = tree(&job.out());
    let tried = trial(&job.plan(), RunOptions { workers: 2, epoch_records: None }).unwrap();
    assert_eq!(tree(&job.out()), before);
    // So little is computed whole.
    assert_eq!((tried.epochs, tried.records), (last_epoch(&job), 120));
    assert_eq!(tried.estimate(Some(120), 1), tried.took);
    assert_eq!(tried.estimate(Some(360), 1), tried.took * 3);
    assert_eq!(tried.estimate(None, tried.epochs * 2), tried.took * 2);
    // What a run could not read, a trial can't.
    written.iter().for_each(|path| fs::remove_file(path).unwrap());
    let gone = trial(&job.plan(), RunOptions { workers: 1, epoch_records: None }).unwrap_err();
    assert_eq!(gone.exit_code(), 3, "{gone}");
}
