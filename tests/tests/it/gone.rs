//! Changelogs that somebody has removed: what they told is computed anew, or can't be known.

use std::fs;

use jobs::rebuild::Scope;

use crate::support::replayed::{computed, create};
use crate::support::{Job, write_part};
use crate::upgrades::{CUTS, assert_alike, change_to, holding, killed, pair, sorted, text};

fn remove(job: &Job, view: &str) {
    fs::remove_dir_all(job.out().join("changelog").join(view)).unwrap();
}

fn run(job: &Job, expected: &str) {
    let output = job.execute(&["--epoch-records", "9"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.contains(expected), "{said}");
}

/// Whoever has removed one gets it again, line by line.
#[test]
fn a_changelog_that_is_gone_is_written_again() {
    let (job, calm, parts) = pair(90, 0);
    write_part(&job, 0, &parts[0]);
    job.run(1, 9);
    write_part(&job, 1, &parts[1]);
    job.run(1, 9);
    for (view, moment) in [("events", None), ("sessions", Some("table-committed:1"))] {
        let before = sorted(job.changelog(view));
        assert!(!before.is_empty());
        remove(&job, view);
        if let Some(moment) = moment {
            killed(&job, moment);
        }
        run(
            &job,
            if moment.is_some() { "" } else { "has no events any more: computes everything" },
        );
        assert_eq!(sorted(job.changelog(view)), before, "{view}");
    }
    // Together with a change nobody knows what stood in it.
    remove(&job, "events");
    remove(&job, "dead_letters");
    change_to(&job, &text(Some(0)));
    write_part(&job, 2, &parts[2]);
    run(&job, "has no dead_letters, events any more: begins it anew with the change");
    assert_alike(&job, &calm);
    // After the change, too; and what is said of persons is what the changed job says.
    remove(&job, "events");
    remove(&job, "id_changes");
    run(&job, "any more: computes everything");
    assert_alike(&job, &calm);
    assert_eq!(sorted(job.table("id_changes")), sorted(calm.table("id_changes")));
}

/// Nothing is given up before it is sure that it can be computed.
#[test]
fn a_changelog_of_what_is_gone_too_is_to_be_restored() {
    let job = Job::new(&(text(None) + "[snapshot]\nevery = \"1m\"\n"));
    let (_, _, parts) = pair(91, 0);
    write_part(&job, 0, &parts[0]);
    job.run(1, 9);
    // The snapshot has what was in them.
    for source in ["web", "backend"] {
        fs::remove_dir_all(job.folder().join(source)).unwrap();
    }
    write_part(&job, 1, &parts[1]);
    job.run(1, 9);
    let folder = job.out().join("changelog/events");
    fs::rename(&folder, job.out().join("kept")).unwrap();
    let error = job.try_run(1, 9).unwrap_err();
    assert_eq!(error.exit_code(), 3, "{error}");
    assert!(error.to_string().contains("changelog has no events any more"), "{error}");
    fs::rename(job.out().join("kept"), &folder).unwrap();
    write_part(&job, 2, &parts[2]);
    job.run(1, 9);
}

/// Wherever the run is killed that begins them anew with a change of the job, before anything is
/// committed or between any two tables, the next ones go on with it.
#[test]
fn a_run_that_begins_them_anew_may_be_killed_anywhere() {
    let moments = ["decoded:2", "table-committed:3", "table-committed:7"];
    for (seed, moment) in (100..).zip(moments.iter().chain(&CUTS)) {
        let (job, calm, mut parts) = pair(seed, 0);
        for (part, records) in parts.iter_mut().enumerate() {
            records.push((false, format!("no JSON in {part}\n")));
            write_part(&calm, part, records);
        }
        for part in [0, 1] {
            write_part(&job, part, &parts[part]);
            job.run(1, 9);
        }
        for view in ["events", "sessions", "dead_letters", "id_changes"] {
            remove(&job, view);
        }
        change_to(&job, &text(Some(0)));
        killed(&job, moment);
        if moment.ends_with('1') {
            killed(&job, "decoded:3");
        }
        write_part(&job, 2, &parts[2]);
        run(&job, "");
        assert_alike(&job, &calm);
        for name in ["dead_letters", "id_changes"] {
            let [is, should] = [&job, &calm].map(|job| sorted(job.table(name)));
            assert_eq!(is, should, "{moment}: {name}");
        }
    }
}

/// A commit that was cut off, a change, and the same once more.
#[test]
fn killed_before_a_change_and_in_it() {
    let again = ["table-file:1", "table-committed:1", "table-committed:4", "table-committed:6"];
    for (seed, (before, after)) in (120..).zip(CUTS.iter().zip(again.iter().cycle())) {
        let (job, calm, parts) = pair(seed, 0);
        write_part(&job, 0, &parts[0]);
        job.run(1, 9);
        write_part(&job, 1, &parts[1]);
        killed(&job, before);
        change_to(&job, &text(Some(0)));
        killed(&job, after);
        write_part(&job, 2, &parts[2]);
        job.run(2, 9);
        assert_alike(&job, &calm);
    }
}

/// A change that could not be computed, taken back: they are still gone.
#[test]
fn what_is_gone_stays_gone_when_a_change_is_taken_back() {
    let snapshots = "[snapshot]\nevery = \"1m\"\n";
    let job = Job::new(&(text(None) + snapshots));
    let (_, _, parts) = pair(92, 0);
    let written = write_part(&job, 0, &parts[0]);
    job.run(1, 9);
    let kept = job.out().join("kept");
    let folder = job.out().join("changelog/events");
    fs::rename(&folder, &kept).unwrap();
    // No snapshot is of the changed job.
    let records: Vec<_> = written.iter().map(|path| fs::read(path).unwrap()).collect();
    written.iter().for_each(|path| fs::remove_file(path).unwrap());
    change_to(&job, &(text(Some(0)) + snapshots));
    assert_eq!(job.try_run(1, 9).unwrap_err().exit_code(), 3);
    change_to(&job, &(text(None) + snapshots));
    let error = job.try_run(1, 9).unwrap_err();
    assert!(error.to_string().contains("has no events any more, and it can't"), "{error}");
    assert_eq!(error.exit_code(), 3, "{error}");
    // Either helps: the changelog, or the records.
    fs::remove_dir_all(&folder).unwrap();
    fs::rename(&kept, &folder).unwrap();
    job.run(1, 9);
    fs::rename(&folder, &kept).unwrap();
    written.iter().zip(&records).for_each(|(path, text)| fs::write(path, text).unwrap());
    write_part(&job, 1, &parts[1]);
    run(&job, "has no events any more: computes everything");
    write_part(&job, 2, &parts[2]);
    job.run(1, 9);
    assert_alike(&job, &holding(&text(None), &parts));
}

/// Also when the run is killed that gives up what it has for it.
#[test]
fn killed_after_a_change_was_taken_back() {
    let text = |changed| text(changed) + "[snapshot]\nevery = \"1m\"\n";
    let moments = ["table-commit:1", "table-committed:1", "table-committed:3", "decoded:2"];
    for (seed, moment) in (130..).zip(moments) {
        let (job, _, parts) = pair(seed, 0);
        change_to(&job, &text(None));
        write_part(&job, 0, &parts[0]);
        job.run(1, 9);
        ["events", "dead_letters", "sessions"].iter().for_each(|view| remove(&job, view));
        change_to(&job, &text(Some(0)));
        killed(&job, "decoded:2");
        change_to(&job, &text(None));
        killed(&job, moment);
        write_part(&job, 1, &parts[1]);
        run(&job, "");
        // The changelogs tell of everything again, which the next change goes by.
        change_to(&job, &text(Some(0)));
        write_part(&job, 2, &parts[2]);
        job.run(2, 9);
        assert_alike(&job, &holding(&text(Some(0)), &parts));
    }
}

/// A replay of the changed job has a snapshot, and no snapshot has dead letters.
#[test]
fn what_no_snapshot_has_is_read_again() {
    let (job, calm, mut parts) = pair(95, 0);
    for (part, records) in parts.iter_mut().enumerate() {
        records.push((false, format!("no JSON in {part}\n")));
        write_part(&calm, part, records);
    }
    write_part(&job, 0, &parts[0]);
    write_part(&job, 1, &parts[1]);
    job.run(1, 9);
    let replay = create(&job, "r1", &text(Some(0)), Scope::default());
    assert!(computed(&job, &replay, 1).is_whole());
    remove(&job, "dead_letters");
    change_to(&job, &text(Some(0)));
    write_part(&job, 2, &parts[2]);
    run(&job, "has no dead_letters any more: begins it anew");
    assert_alike(&job, &calm);
    let [is, should] = [&job, &calm].map(|job| sorted(job.table("dead_letters")));
    assert_eq!(is, should);
}

/// What was known before a changelog began anew is gone, and not nothing.
#[test]
fn what_was_known_before_is_refused() {
    let (job, _, parts) = pair(93, 0);
    write_part(&job, 0, &parts[0]);
    job.run(1, 9);
    remove(&job, "events");
    change_to(&job, &text(Some(0)));
    write_part(&job, 1, &parts[1]);
    run(&job, "begins it anew");
    let ask = |view: &str, at: &str| {
        let sql = format!("select count(*) from {view}");
        let output = job.command("query").args([&sql, "--as-known-at", at]).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, said) = ask("events", "2");
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("the changelog of events was removed once and begins with"), "{said}");
    assert_eq!(ask("sessions", "2").0, Some(0));
    let (code, said_too) = ask("changelog_events", "2");
    assert_eq!((code, said_too), (Some(3), said.clone()));
    assert_eq!(ask("changelog_sessions", "2").0, Some(0));
    let began = said.split("begins with epoch ").nth(1).unwrap();
    let began: String = began.chars().take_while(char::is_ascii_digit).collect();
    assert_eq!(ask("events", &began).0, Some(0));
    let ask = ["information_schema.tables", "sessions"].map(|view| ask(view, "2").0);
    assert_eq!(ask, [Some(0); 2], "of others it is known");
    // Neither is it known what would have been different.
    let set = ["--set", "identity.cluster_max=2", "--to", "2"];
    let output = job.command("whatif").args(set).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{said}");
}

/// A view that is new has no changelog yet, and nothing of it is gone.
#[test]
fn a_new_view_of_which_one_table_was_made() {
    let (job, calm, parts) = pair(97, 4);
    write_part(&job, 0, &parts[0]);
    job.run(1, 9);
    change_to(&job, &text(Some(4)));
    killed(&job, "decoded:1");
    assert!(job.out().join("trend_late/_delta_log").is_dir());
    remove(&job, "trend_late");
    write_part(&job, 1, &parts[1]);
    write_part(&job, 2, &parts[2]);
    let output = job.execute(&["--epoch-records", "9"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && !said.contains("any more"), "{said}");
    assert_alike(&job, &calm);
}

/// Whoever restores it has it again.
#[test]
fn what_is_restored_counts() {
    let (job, _, parts) = pair(96, 0);
    write_part(&job, 0, &parts[0]);
    job.run(1, 9);
    let (kept, folder) = (job.out().join("kept"), job.out().join("changelog/events"));
    fs::rename(&folder, &kept).unwrap();
    change_to(&job, &text(Some(0)));
    killed(&job, "decoded:2");
    fs::remove_dir_all(&folder).unwrap();
    fs::rename(&kept, &folder).unwrap();
    write_part(&job, 1, &parts[1]);
    run(&job, "the job has changed");
    let sql = "select count(*) from events";
    let output = job.command("query").args([sql, "--as-known-at", "2"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_alike(&job, &holding(&text(Some(0)), &parts[..2]));
}

/// Without the table of epochs everything is computed anew too, if that can be.
#[test]
fn the_table_of_epochs_is_gone() {
    let (job, _, parts) = pair(94, 0);
    let written = write_part(&job, 0, &parts[0]);
    job.run(1, 9);
    let logs = ["events", "sessions", "people"].map(|view| sorted(job.changelog(view)));
    fs::rename(job.out().join("epochs"), job.out().join("kept")).unwrap();
    let records: Vec<_> = written.iter().map(|path| fs::read(path).unwrap()).collect();
    written.iter().for_each(|path| fs::remove_file(path).unwrap());
    let error = job.try_run(1, 9).unwrap_err();
    assert!(error.to_string().contains("has no epochs any more, and it can't"), "{error}");
    assert_eq!(error.exit_code(), 3, "{error}");
    written.iter().zip(&records).for_each(|(path, text)| fs::write(path, text).unwrap());
    run(&job, "has no epochs any more: computes everything");
    let again = ["events", "sessions", "people"].map(|view| sorted(job.changelog(view)));
    assert_eq!(logs, again);
}
