//! Runs that begin with a snapshot say what they would have said from the beginning.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use braid_tests::histories::{RULES, records};
use jobs::runtime::Summary;
use operators::identity::testing::Seeded;

use crate::support::{Job, Table, sources, write_part};

/// A job that takes a snapshot at the end of each run, and one that takes none.
fn pair() -> (Job, Job) {
    let text = sources("snapshots") + RULES;
    (Job::new(&format!("{text}[snapshot]\nevery = \"1h\"\n")), Job::new(&text))
}

/// Whether one of several things that happened to a person in one epoch is named in a column.
fn names_one(view: &str, column: &str) -> bool {
    column == "_cause" || (view == "id_changes" && ["cause", "message_id"].contains(&column))
}

fn views(job: &Job) -> Vec<String> {
    job.plan().catalog.schemas.iter().map(|schema| schema.name.to_string()).collect()
}

/// Everything that a job has published.
fn results(job: &Job) -> (BTreeMap<String, Vec<u8>>, BTreeMap<String, Table>) {
    let views = views(job);
    // What its rows say is compared below.
    let names = views.iter().map(String::as_str).filter(|view| *view != "id_changes");
    let names: Vec<&str> = names.collect();
    let changelogs = views.iter().map(|view| (view.clone(), job.changelog(view))).collect();
    (job.current(&names), changelogs)
}

/// Runs the calm job on the same epochs, and compares what both have published.
fn assert_alike(job: &Job, calm: &Job) -> Summary {
    fs::create_dir_all(calm.out()).unwrap();
    fs::copy(job.out().join("bindings"), calm.out().join("bindings")).unwrap();
    let summary = calm.run(2, 10_000);
    let ((rows, changes), (calm_rows, calm_changes)) = (results(job), results(calm));
    for (name, bytes) in &calm_rows {
        assert!(rows.get(name) == Some(bytes), "{name}");
    }
    assert_eq!(rows.len(), calm_rows.len());
    for (view, table) in &calm_changes {
        let [is, should] = [&changes[view], table].map(|table| {
            let columns = table.columns.iter().map(String::as_str);
            table.select(&columns.filter(|c| !names_one(view, c)).collect::<Vec<_>>())
        });
        assert!(is == should, "changelog/{view}");
    }
    summary
}

/// The folders of snapshots.
fn folders(job: &Job) -> Vec<PathBuf> {
    let folders = fs::read_dir(job.out().join("snapshots")).unwrap();
    folders.map(|entry| entry.unwrap().path()).collect()
}

fn without_time(summary: &Summary) -> Summary {
    Summary {
        seconds: 0.0,
        events_per_s: 0.0,
        bytes_read: 0,
        rows_written: 0,
        files_written: 0,
        ..summary.clone()
    }
}

/// What a snapshot holds need not be there any more.
#[test]
fn each_run_goes_on_from_the_snapshot_of_the_last() {
    for seed in 0..8 {
        let (job, calm) = pair();
        let mut random = Seeded(seed);
        let records = records(&mut random, 160);
        let (mut last, mut old) = (Summary::default(), Vec::new());
        for (part, chunk) in records.chunks(20).enumerate() {
            old.drain(..).for_each(|path: PathBuf| fs::remove_file(path).unwrap());
            old = write_part(&job, part, chunk);
            write_part(&calm, part, chunk);
            last = job.run([1, 2, 3][part % 3], 1 + random.below(12) as usize);
            assert_eq!(folders(&job).len(), 1);
        }
        let whole = assert_alike(&job, &calm);
        assert_eq!(without_time(&last), without_time(&whole), "seed {seed}");
    }
}

fn parts(job: &Job, calm: &Job, seed: u64) -> Vec<Vec<(bool, String)>> {
    let records = records(&mut Seeded(seed), 90);
    let parts: Vec<_> = records.chunks(30).map(<[_]>::to_vec).collect();
    for (part, chunk) in parts.iter().enumerate() {
        write_part(calm, part, chunk);
    }
    write_part(job, 0, &parts[0]);
    parts
}

fn run(job: &Job, code: i32) -> String {
    let output = job.execute(&["-w", "2", "--epoch-records", "10"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{said}");
    said
}

/// The last file of a folder whose name begins so.
fn newest(folder: &Path, prefix: &str) -> PathBuf {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let named = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with(prefix);
    files.filter(named).max().unwrap()
}

#[test]
fn a_damaged_snapshot_is_passed_over_with_a_word() {
    for damaged in ["manifest-", "segment-"] {
        let (job, calm) = pair();
        let parts = parts(&job, &calm, 7);
        assert!(!run(&job, 0).contains("snapshot"));
        write_part(&job, 1, &parts[1]);
        assert!(run(&job, 0).contains("begins with the snapshot at epoch "));
        write_part(&job, 2, &parts[2]);
        let path = newest(&folders(&job)[0], damaged);
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 4;
        fs::write(&path, bytes).unwrap();
        let said = run(&job, 0);
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        assert!(said.contains("passes over a snapshot: the snapshot "), "{said}");
        assert!(said.contains(&name) && said.contains(" is damaged: "), "{said}");
        assert_alike(&job, &calm);
    }
}

/// Tables that were removed are made anew, from the beginning.
#[test]
fn tables_that_are_gone_are_made_from_the_beginning() {
    let (job, calm) = pair();
    let parts = parts(&job, &calm, 8);
    run(&job, 0);
    write_part(&job, 1, &parts[1]);
    run(&job, 0);
    for entry in fs::read_dir(job.out()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("snapshots") {
            fs::remove_dir_all(path).unwrap();
        }
    }
    write_part(&job, 2, &parts[2]);
    assert!(!run(&job, 0).contains("begins with the snapshot"));
    assert_alike(&job, &calm);
}

#[test]
fn killed_while_a_snapshot_is_taken() {
    for moment in ["snapshot-part", "snapshot-manifest", "snapshot-taken"] {
        let (job, calm) = pair();
        let parts = parts(&job, &calm, 9);
        for (part, records) in parts.iter().enumerate().skip(1) {
            let output = job.execute(&["-w", "2", "--crash-at", &format!("{moment}:1:kill")]);
            assert_eq!(output.status.code(), None, "{moment}");
            run(&job, 0);
            write_part(&job, part, records);
        }
        run(&job, 0);
        assert_alike(&job, &calm);
    }
}
