//! The command killed with -9, anywhere and again and again: it ends with the tables of an
//! undisturbed run, byte by byte, and each change stands in the changelog once.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use operators::identity::testing::Seeded;

use crate::support::{Job, net, unpacked};

const JOB: &str = r#"
[job]
name = "crash"
out = "out"

[[source]]
name = "history"
connector = "file"
path = "history/*.tsv"
[source.fields]
messageId = "commit"
event = { const = "commit" }
timestamp = { field = "authored_unix_s", format = "unix_s" }
traits = "."

[time]
admit = "20000d"
ids = "20000d"
history = "20000d"

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
[[view]]
kind = "trend"
name = "people"
metric = "people"
period = "month"

[[sink]]
connector = "arrow"
partition = "month"
"#;

/// All views but `id_changes`: which epoch a merge is found in depends on the epochs.
const VIEWS: [&str; 7] =
    ["events", "identifiers", "people", "dead_letters", "duplicates", "sessions", "trend_people"];
/// The tables in the order in which they are committed: of each view the changelog, then the rows.
const COMMITTED: [&str; 8] = [
    "events",
    "identifiers",
    "people",
    "id_changes",
    "dead_letters",
    "duplicates",
    "sessions",
    "trend_people",
];

/// Commits in all.
const COMMITS: usize = 6000;
/// Records in an epoch where all runs have the same.
const EPOCH: &str = "50";

/// A part of the history, oldest first, as a file of the job.
fn add(job: &Job, part: usize, parts: usize) {
    let text = unpacked("commits.tsv.gz");
    let mut lines = text.lines();
    let header = lines.next().unwrap();
    let mut lines: Vec<&str> = lines.take(COMMITS).collect();
    lines.reverse();
    let size = COMMITS / parts;
    let part_lines = lines[part * size..(part + 1) * size].join("\n");
    job.write(&format!("history/{part}.tsv"), format!("{header}\n{part_lines}\n"));
}

fn job() -> Job {
    let job = Job::new(JOB);
    (0..3).for_each(|part| add(&job, part, 3));
    job
}

fn finish(job: &Job, more: &[&str]) {
    let output = job.execute(more);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
}

/// An undisturbed run.
fn calm() -> Job {
    let job = job();
    finish(&job, &["-w", "2", "--epoch-records", EPOCH]);
    job
}

/// Kills a run as soon as something is so; false if it came to its end before.
fn kill_when(job: &Job, more: &[&str], so: impl Fn() -> bool) -> bool {
    let mut child = job.start(more);
    loop {
        if so() {
            child.kill().unwrap();
            child.wait().unwrap();
            return true;
        }
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "{status}");
            return false;
        }
        thread::sleep(Duration::from_micros(200));
    }
}

fn bindings(job: &Job) -> u64 {
    fs::metadata(job.out().join("bindings")).map_or(0, |file| file.len())
}

/// Whether a table has a version.
fn has_version(table: &Path, version: usize) -> bool {
    table.join("_delta_log").join(format!("{version:020}.json")).exists()
}

/// Names and bytes of the Arrow files.
fn arrow_files(job: &Job) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for view in VIEWS {
        let path = job.out().join(format!("arrow/{view}.arrow"));
        files.insert(view.to_owned(), fs::read(path).unwrap());
    }
    files
}

/// The job has the rows of the calm one, and its changelogs lead to them.
fn assert_same(job: &Job, calm: &Job) {
    let (tables, expected) = (job.current(&VIEWS), calm.current(&VIEWS));
    let names: Vec<_> = expected.keys().filter(|name| !tables.contains_key(*name)).collect();
    assert!(tables == expected, "{} files, not these: {names:?}", tables.len());
    assert!(arrow_files(job) == arrow_files(calm), "the Arrow files");
    let plan = job.plan();
    for schema in &plan.catalog.schemas {
        let columns: Vec<&str> = schema.columns.iter().map(|c| c.name).collect();
        let rows = job.table(&schema.name).select(&columns);
        assert!(net(job, &plan, &schema.name) == rows, "{}: changelog and rows", schema.name);
    }
}

/// As [`assert_same`], and each change is the same, in the same epoch.
fn assert_same_changes(job: &Job, calm: &Job) {
    assert_same(job, calm);
    for view in COMMITTED {
        let (log, expected) = (job.changelog(view), calm.changelog(view));
        assert!(log == expected, "{view}: {} and {} changes", log.rows.len(), expected.rows.len());
    }
}

#[test]
fn killed_while_it_reads() {
    let calm = calm();
    let all = bindings(&calm);
    let mut kills = 0;
    for seed in 0..6 {
        let (job, mut random) = (job(), Seeded(seed));
        loop {
            let workers = random.pick(&["1", "2", "4"]);
            let target = bindings(&job) + 1 + random.below(all / 3);
            let more = ["-w", workers, "--epoch-records", EPOCH];
            if !kill_when(&job, &more, || bindings(&job) >= target) {
                break;
            }
            kills += 1;
        }
        assert_same_changes(&job, &calm);
    }
    assert!(kills >= 6, "{kills} kills");
}

#[test]
fn killed_with_other_epochs_each_time() {
    let calm = calm();
    let all = bindings(&calm);
    for seed in 100..103 {
        let (job, mut random) = (job(), Seeded(seed));
        loop {
            let epoch = random.pick(&["17", "50", "400"]);
            let target = bindings(&job) + 1 + random.below(all / 3);
            let more = ["-w", "2", "--epoch-records", epoch];
            if !kill_when(&job, &more, || bindings(&job) >= target) {
                break;
            }
        }
        assert_same(&job, &calm);
    }
}

/// A run commits its tables one after the other: it is killed after each of them.
#[test]
fn killed_between_two_tables() {
    let calm = calm();
    let more = ["-w", "2", "--epoch-records", EPOCH];
    for (place, view) in COMMITTED.iter().enumerate() {
        for folder in ["changelog", "."] {
            // While the tables are made, and while they are committed.
            let version = usize::from(place % 2 == 0 || folder == ".");
            let job = job();
            let table = job.out().join(folder).join(view);
            kill_when(&job, &more, || has_version(&table, version));
            assert!(has_version(&table, version));
            finish(&job, &more);
            assert_same_changes(&job, &calm);
            for view in COMMITTED {
                for table in [job.out().join(view), job.out().join("changelog").join(view)] {
                    assert!(has_version(&table, 1) && !has_version(&table, 2), "one commit each");
                }
            }
        }
    }
}

/// Where tables are committed after each epoch, and current rows follow changelogs when there is
/// time: runs are killed at any moment of that.
#[test]
fn killed_while_current_rows_follow() {
    let calm = calm();
    let every = JOB.replace("connector = \"arrow\"", "connector = \"arrow\"\nevery = \"0s\"");
    let (mut kills, mut behind) = (0, 0);
    for seed in 200..203 {
        let (job, mut random) = (Job::new(&every), Seeded(seed));
        (0..3).for_each(|part| add(&job, part, 3));
        loop {
            let moment = random.pick(&["table-file", "table-commit", "table-committed"]);
            let crash = format!("{moment}:{}:kill", 1 + random.below(400));
            let workers = random.pick(&["1", "2"]);
            let more = ["-w", workers, "--epoch-records", EPOCH, "--crash-at", &crash];
            if job.execute(&more).status.success() {
                break;
            }
            kills += 1;
            let versions =
                |folder: &Path| (1..10_000).take_while(|v| has_version(folder, *v)).count();
            let table = versions(&job.out().join("events"));
            behind += i32::from(table < versions(&job.out().join("changelog/events")));
        }
        assert_same_changes(&job, &calm);
        let mut of_events = job.changelog("events").column("_epoch");
        of_events.sort_unstable();
        of_events.dedup();
        let epochs = job.table("epochs").column("_epoch");
        assert!(of_events.iter().all(|epoch| epochs.contains(epoch)));
        assert_eq!(epochs.len(), COMMITS / 50 + 1, "each once");
    }
    assert!(kills >= 6 && behind >= 3, "{kills} kills, {behind} of them with rows behind");
}

/// Files that appear between two runs are read after the others, also when the run that finds them
/// is killed while it commits.
#[test]
fn killed_with_new_files() {
    let calm = calm();
    for (seed, view) in [(1, "events"), (2, "people"), (3, "trend_people")] {
        let (job, mut random) = (Job::new(JOB), Seeded(seed));
        for part in 0..3 {
            add(&job, part, 3);
            let table = job.out().join(random.pick(&["changelog", "."])).join(view);
            kill_when(&job, &["-w", "1"], || has_version(&table, part + 1));
            finish(&job, &["-w", "2"]);
        }
        assert_same(&job, &calm);
    }
}

/// The end of the bindings may be torn: it was not used.
#[test]
fn a_torn_end_of_the_bindings() {
    let calm = calm();
    let more = ["-w", "2", "--epoch-records", EPOCH];
    for seed in 0..4 {
        let (job, mut random) = (job(), Seeded(seed));
        let path = job.out().join("bindings");
        let target = 500 + random.below(bindings(&calm) / 2);
        assert!(kill_when(&job, &more, || bindings(&job) >= target));
        let mut log = fs::read(&path).unwrap();
        if random.once_in(2) {
            log.truncate(log.len() - 1 - random.below(300) as usize);
        } else {
            let torn = fs::read(calm.out().join("bindings")).unwrap();
            log.extend(&torn[8..8 + 1 + random.below(90) as usize]);
        }
        fs::write(&path, log).unwrap();
        finish(&job, &more);
        assert_same_changes(&job, &calm);
    }
}
