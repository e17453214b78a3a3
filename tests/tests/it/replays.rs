//! `braid replay`: the past computed anew is what the live job has, however it is computed; and a
//! changed job is switched to and back.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use braid_tests::delta;
use braid_tests::histories::records;
use connectors::bindings::FileBindingLog;
use jobs::query::{Moment, resolve};
use jobs::rebuild::{Reading, RebuildError, Replay, Scope, Variant, before, compute, switch};
use operators::identity::testing::Seeded;
use operators::model::Cell;

use crate::support::replayed::{
    assert_same, calm, changelogs, computed, create, current, job_text, path, with,
};
use crate::support::{Job, ask, tree, write_part};

/// A job that has run a few times over a random history.
fn ran(seed: u64, parts: usize) -> Job {
    let job = Job::new(&job_text());
    let records = records(&mut Seeded(seed), 120);
    for (part, records) in records.chunks(records.len().div_ceil(parts)).enumerate() {
        write_part(&job, part, records);
        job.run(1 + part % 3, 5 + part * 4);
    }
    job
}

#[test]
fn a_replay_is_what_the_live_job_has() {
    for (seed, workers) in [(70, 1), (71, 2), (72, 3)] {
        let job = ran(seed, 3);
        let plan = job.plan();
        // The live job goes on meanwhile: it holds its bindings.
        let (live, _) = FileBindingLog::open(&job.out().join("bindings"), None).unwrap();
        let replay = create(&job, "again", &plan.text, Scope::default());
        computed(&job, &replay, workers);
        drop(live);
        let (is, should) = (current(&replay.plan.out, &plan), current(&job.out(), &plan));
        assert_same(&is, &should, "current rows");
        assert_eq!(changelogs(&replay.plan.out, &plan), changelogs(&job.out(), &plan));
    }
}

/// What is left of a replay whose removal was killed has no say in the next one of its name.
#[test]
fn a_replay_has_nothing_of_one_that_was_half_removed() {
    let job = ran(76, 2);
    let plan = job.plan();
    let changed = create(&job, "r1", &changed_text(), Scope::default());
    computed(&job, &changed, 1);
    let old = current(&changed.plan.out, &plan);
    // The first thing that a removal does.
    fs::remove_file(changed.plan.out.join("replay.json")).unwrap();
    let replay = create(&job, "r1", &plan.text, Scope::default());
    computed(&job, &replay, 1);
    let (is, should) = (current(&replay.plan.out, &plan), current(&job.out(), &plan));
    assert_ne!(old, should);
    assert_same(&is, &should, "current rows");
}

/// Outputs are told apart by name, topics by their prefix.
#[test]
fn a_replays_topics_are_not_called_as_another_output() {
    let sink = "[[sink]]\nconnector = \"kafka\"\nbrokers = \"localhost:1\"\n";
    let job = Job::new(&format!("{}{sink}", job_text()));
    write_part(&job, 0, &records(&mut Seeded(77), 10));
    let plan = job.plan();
    let made = |prefix: &str| {
        let scope = Scope { prefix: Some(prefix.to_owned()), ..Scope::default() };
        Replay::create((&path(&job), &plan.text), &plan, ("r1", None), scope)
    };
    for prefix in ["archive", "changelogs", "tables", "a b"] {
        let Err(RebuildError::Usage(words)) = made(prefix) else { panic!("{prefix} is taken") };
        assert!(words.starts_with(&format!("{prefix:?} can't begin the names of")), "{words}");
    }
    assert!(!job.out().join("replays").exists(), "nothing is made");
    assert!(made("other").is_ok());
}

/// With small epochs made one the current rows are the same, also after a crash.
#[test]
fn a_replay_may_make_small_epochs_one() {
    for seed in 120..124 {
        let job = Job::new(&job_text().replacen("[job]\n", "[job]\nepoch_records = 23\n", 1));
        write_part(&job, 0, &records(&mut Seeded(seed), 160));
        job.run(1, 2);
        let mut plan = job.plan();
        let replay = create(&job, "r1", &plan.text, Scope::default());
        let killed = ["r1", "--coalesce", "-w", "2", "--crash-at", "table-commit:4:kill"];
        if seed % 2 == 0 {
            let output = job.command("replay").args(killed).output().unwrap();
            assert_eq!(output.status.code(), None, "{output:?}");
        }
        let (scope, coalesces) = (Scope::default(), true);
        let computed = with(1 + seed as usize % 3, |run, around| {
            let reading = Reading { coalesces, ..Reading::default() };
            compute(&plan, (&replay, &scope), run, reading, around)
        });
        assert!(computed.unwrap().is_whole());
        let known = connectors::table::epochs(&replay.plan.out).unwrap().len();
        let bound = FileBindingLog::peek(&job.out().join("bindings")).unwrap().len();
        assert!(known < bound / 5, "{known} of {bound} epochs are known");
        let stays = |s: &operators::model::ViewSchema| &*s.name != "id_changes";
        std::sync::Arc::make_mut(&mut plan.catalog).schemas.retain(stays);
        let (is, should) = (current(&replay.plan.out, &plan), current(&job.out(), &plan));
        assert_same(&is, &should, "current rows");
    }
}

/// A replay follows the live job each time that it is run.
#[test]
fn a_replay_follows_and_ends_where_it_is_told() {
    let job = Job::new(&job_text());
    let records = records(&mut Seeded(73), 150);
    let parts: Vec<_> = records.chunks(50).collect();
    write_part(&job, 0, parts[0]);
    job.run(1, 7);
    let plan = job.plan();
    let follows = create(&job, "follows", &plan.text, Scope::default());
    computed(&job, &follows, 2);
    let ends = create(&job, "ends", &plan.text, Scope { to: Some(4), ..Scope::default() });
    computed(&job, &ends, 1);
    for (part, records) in parts.iter().enumerate().skip(1) {
        write_part(&job, part, records);
        job.run(2, 9);
        let before = computed(&job, &follows, 1 + part % 2);
        assert!(before.summary.epochs > 4);
        assert_same(&current(&follows.plan.out, &plan), &current(&job.out(), &plan), "follows");
        computed(&job, &ends, 2);
    }
    // What it has at its end is what was known then.
    let known = resolve(&plan, Moment::Epoch(4)).unwrap();
    for schema in &plan.catalog.schemas {
        let columns: Vec<&str> = schema.columns.iter().map(|c| c.name).collect();
        let list = columns.join("\", \"");
        let sql = format!("select \"{list}\", _status from {}", schema.name);
        assert_eq!(ask(&ends.plan, &sql, None), ask(&plan, &sql, Some(known)), "{}", schema.name);
    }
}

/// Who has been erased since stands in what it has computed: it does not go on from there.
#[test]
fn a_replay_does_not_outlive_the_erased_list() {
    let text = job_text().replace("[identity]\n", "[identity]\nerased = \"erased\"\n");
    assert_ne!(text, job_text());
    let job = Job::new(&text);
    job.write("erased", "");
    write_part(&job, 0, &records(&mut Seeded(79), 60));
    job.run(1, 7);
    let replay = |arguments: &[&str]| {
        let output = job.command("replay").args(arguments).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert_eq!(replay(&["r1"]).0, Some(0));
    assert_eq!(replay(&["r1"]).0, Some(0));
    job.write("erased", "{\"type\": \"user_id\", \"value\": \"u1\"}\n");
    let (code, said) = replay(&["r1"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("r1 was computed with another erased list"), "{said}");
    assert_eq!(replay(&["r1", "--drop"]).0, Some(0));
    assert_eq!(replay(&["r1"]).0, Some(0));
}

#[test]
fn a_replay_that_was_killed_goes_on() {
    let moments = ["decoded:3", "table-file:5", "table-commit:2", "snapshot-taken:1"];
    for (seed, moment) in (74..).zip(moments) {
        let job = ran(seed, 2);
        let plan = job.plan();
        let arguments = ["r1", "-w", "2", "--crash-at", &format!("{moment}:kill")];
        let output = job.command("replay").args(arguments).output().unwrap();
        assert_eq!(output.status.code(), None, "{moment} {output:?}");
        let output = job.command("replay").args(["r1", "-w", "1"]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let out = job.out().join("replays/r1");
        assert_same(&current(&out, &plan), &current(&job.out(), &plan), moment);
        assert_eq!(changelogs(&out, &plan), changelogs(&job.out(), &plan), "{moment}");
    }
}

#[test]
fn a_changed_job_is_replayed_and_nothing_live_is_touched() {
    let changes = [
        ("identity.type.email.owners_max", "1"),
        ("view.sessions.gap", "5m"),
        ("view.buy.funnelWindowInterval", "1"),
        ("time.admit", "90d"),
    ];
    for (seed, (key, value)) in (80..).zip(changes) {
        let records = records(&mut Seeded(seed), 120);
        let parts: Vec<_> = records.chunks(40).map(<[_]>::to_vec).collect();
        let job = Job::new(&job_text());
        for (part, records) in parts.iter().enumerate() {
            write_part(&job, part, records);
            job.run(1, 9);
        }
        let live = tree(&job.out());
        let mut variant = Variant::new(&job.plan().text).unwrap();
        variant.set(key, value).unwrap();
        let changed = variant.text();
        let replay = create(&job, "changed", &changed, Scope::default());
        assert_ne!(replay.plan.hash, job.plan().hash);
        computed(&job, &replay, 2);
        let calm = calm(&job, &changed, &parts);
        let is = current(&replay.plan.out, &calm.plan());
        assert_same(&is, &current(&calm.out(), &calm.plan()), key);
        let replays = job.out().join("replays");
        let mut after = tree(&job.out());
        after.retain(|path, _| !path.starts_with(&replays));
        assert!(after == live, "{key}: something live was touched");
    }
}

/// A replay from an epoch on is a job that has seen nothing before.
#[test]
fn a_replay_may_begin_later() {
    let job = Job::new(&job_text());
    let records = records(&mut Seeded(85), 120);
    let parts: Vec<_> = records.chunks(40).map(<[_]>::to_vec).collect();
    write_part(&job, 0, &parts[0]);
    let first = job.run(1, 10_000).epochs;
    for (part, records) in parts.iter().enumerate().skip(1) {
        write_part(&job, part, records);
        job.run(1, 9);
    }
    let plan = job.plan();
    let scope = Scope { from: Some(first + 1), ..Scope::default() };
    let replay = create(&job, "later", &plan.text, scope);
    computed(&job, &replay, 2);
    let other = Job::new(&job_text());
    for (part, records) in parts.iter().enumerate().skip(1) {
        write_part(&other, part, records);
        other.run(1, 9);
    }
    // Both say the same of who is who; epochs, and with them dead letters' files, have other names.
    for view in ["events", "people", "identifiers", "sessions", "funnel_buy", "trend_price"] {
        assert_eq!(delta::read(&replay.plan.out.join(view)).rows, other.table(view).rows, "{view}");
    }
    // It is run again from its snapshot.
    computed(&job, &replay, 1);
    // And is not what a run of the job may begin with.
    let error = with(1, |run, around| switch((&path(&job), &plan), &replay, run, around, || {}));
    let error = error.map(drop).unwrap_err().to_string();
    assert!(error.contains("begins at epoch"), "{error}");
}

fn changed_text() -> String {
    let changed = job_text().replace("owners_max = 3", "owners_max = 1");
    assert_ne!(changed, job_text());
    changed
}

/// Whoever reads a table all the time sees what was or what is.
#[test]
fn a_switch_is_seen_at_once_and_undone() {
    let records = records(&mut Seeded(90), 150);
    let parts: Vec<_> = records.chunks(50).map(<[_]>::to_vec).collect();
    let job = Job::new(&job_text());
    write_part(&job, 0, &parts[0]);
    job.run(1, 9);
    let replay = create(&job, "new", &changed_text(), Scope::default());
    computed(&job, &replay, 2);
    // The live job goes on.
    write_part(&job, 1, &parts[1]);
    job.run(2, 9);
    let views = ["people", "events", "identifiers", "sessions", "funnel_buy"];
    let tables = |out: &Path| -> BTreeMap<&str, Vec<Vec<Cell>>> {
        views.iter().map(|view| (*view, delta::read(&out.join(view)).rows)).collect()
    };
    let old = tables(&job.out());
    // With the job file as it was: what is to run from now on is not said.
    let refused =
        with(1, |run, around| switch((&path(&job), &job.plan()), &replay, run, around, || {}));
    assert!(matches!(refused, Err(RebuildError::Usage(_))));
    job.write("job.toml", changed_text());
    let done = AtomicBool::new(false);
    let seen = thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut seen: BTreeMap<&str, Vec<Vec<Vec<Cell>>>> = BTreeMap::new();
            while !done.load(Ordering::Acquire) {
                for view in views {
                    let rows = delta::read(&job.out().join(view)).rows;
                    let seen = seen.entry(view).or_default();
                    if seen.last() != Some(&rows) {
                        seen.push(rows);
                    }
                }
            }
            seen
        });
        let switched =
            with(2, |run, around| switch((&path(&job), &job.plan()), &replay, run, around, || {}));
        done.store(true, Ordering::Release);
        let switched = switched.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(before(&job.plan()).unwrap(), Some(switched.before));
        reader.join().unwrap()
    });
    let new = tables(&job.out());
    assert_ne!(old, new);
    for (view, states) in &seen {
        assert!(states.len() <= 2, "{view}: {} states", states.len());
        assert!(states.iter().all(|s| *s == old[view] || *s == new[view]), "{view}");
    }
    let is_calm = |job: &Job, text: &str, parts: &[Vec<(bool, String)>]| {
        let calm = calm(job, text, parts);
        let mut plan = calm.plan();
        let stays = |schema: &operators::model::ViewSchema| &*schema.name != "id_changes";
        std::sync::Arc::make_mut(&mut plan.catalog).schemas.retain(stays);
        assert_same(&current(&job.out(), &plan), &current(&calm.out(), &plan), "as from the first");
    };
    is_calm(&job, &changed_text(), &parts[..2]);
    // It goes on from there, as the changed job.
    write_part(&job, 2, &parts[2]);
    job.run(1, 9);
    is_calm(&job, &changed_text(), &parts);
    // What was before is still to be asked,
    let name = before(&job.plan()).unwrap().unwrap();
    let kept = Replay::open(&path(&job), &job.plan(), &name).unwrap().unwrap();
    assert_eq!(tables(&kept.plan.out), old);
    // and to be gone back to.
    job.write("job.toml", job_text());
    let output = job.command("replay").arg("--back").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    is_calm(&job, &job_text(), &parts);
    let again = job.command("replay").args([&name, "--switch"]).output().unwrap();
    assert_eq!(again.status.code(), Some(2), "it is the live one");
}

#[test]
fn a_switch_that_was_killed_is_ended_by_a_run() {
    for (seed, moment) in
        (91..).zip(["binding:1", "bound:1", "table-commit:2", "table-committed:3"])
    {
        let records = records(&mut Seeded(seed), 100);
        let parts = [records.clone()];
        let job = Job::new(&job_text());
        write_part(&job, 0, &records);
        job.run(1, 9);
        let replay = create(&job, "new", &changed_text(), Scope::default());
        computed(&job, &replay, 2);
        job.write("job.toml", changed_text());
        let arguments = ["new", "--switch", "-w", "2", "--crash-at", &format!("{moment}:kill")];
        let output = job.command("replay").args(arguments).output().unwrap();
        assert_eq!(output.status.code(), None, "{moment}: {output:?}");
        job.run(1, 9);
        let calm = calm(&job, &changed_text(), &parts);
        let views: Vec<String> =
            calm.plan().catalog.schemas.iter().map(|s| s.name.to_string()).collect();
        let views: Vec<&str> =
            views.iter().map(String::as_str).filter(|v| *v != "id_changes").collect();
        assert_same(&job.current(&views), &calm.current(&views), moment);
    }
}

#[test]
fn what_can_not_be_replayed_is_said() {
    let job = Job::new(&job_text());
    write_part(&job, 0, &records(&mut Seeded(95), 60));
    let said = |arguments: &[&str]| {
        let output = job.command("replay").args(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), said + &String::from_utf8_lossy(&output.stdout))
    };
    assert!(said(&["r1"]).1.contains("has not run yet: there is nothing to replay"));
    job.run(1, 20);
    let cases: [(&[&str], &str); 13] = [
        (&["r/1"], "is no name of a replay; write one of letters"),
        (&["r1", "--to", "999"], "epoch 999 is not bound yet, the last one is "),
        (&["r1", "--from", "3", "--to", "2"], "there is no epoch from 3 to 2"),
        (&["r1", "--to", "1999-01-01"], "no epoch was bound by then"),
        (&["r1", "--view", "sesions"], "there is no view sesions; there are events,"),
        (&["r1", "--set", "time.admit"], "has no value; write KEY=VALUE"),
        (&["r1", "--set", "time.admit=soon"], "job.toml:"),
        (&["r1", "--set", "identity.type.phone.rank=1"], "there is no phone in identity.type"),
        (&["r1", "--change", "nowhere.toml"], "can't read nowhere.toml"),
        (&["r1", "--prefix", "p"], "the job has 0 sinks of topics"),
        (&["r1", "--drop"], "there is no replay r1; there is none"),
        (&["r1", "--switch"], "there is no replay r1"),
        (&["--back"], "nothing has been switched"),
    ];
    for (arguments, expected) in cases {
        let (code, said) = said(arguments);
        assert_eq!(code, Some(2), "{arguments:?}: {said}");
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
    assert!(!job.out().join("replays").exists(), "nothing is left of them");
    assert_eq!(said(&["r1", "--view", "sessions", "--rate", "100000"]).0, Some(0));
    let views: BTreeSet<String> = fs::read_dir(job.out().join("replays/r1/changelog"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    assert_eq!(views, BTreeSet::from(["sessions".to_owned()]));
    let asked = ["select count(*) as n from sessions", "--replay", "r1", "--format", "csv"];
    let answer = job.command("query").args(asked).output().unwrap();
    let count = job.table("sessions").rows.len();
    assert_eq!(String::from_utf8_lossy(&answer.stdout), format!("n\n{count}\n"));
    let other = said(&["r1", "--set", "view.sessions.gap=1m"]);
    assert!(other.1.contains("r1 is there and of something else"), "{}", other.1);
    assert_eq!(said(&["r1"]).0, Some(0), "it is run again by its name");
    let (_, list) = said(&[]);
    assert!(list.contains("r1: complete up to epoch"), "{list}");
    let plan = job.plan();
    let replay = Replay::open(&path(&job), &plan, "r1").unwrap().unwrap();
    let lock = replay.lock().unwrap();
    let (code, held) = said(&["r1"]);
    assert_eq!(code, Some(4), "{held}");
    drop(lock);
    assert_eq!(said(&["r1", "--drop"]).0, Some(0));
    assert!(!job.out().join("replays/r1").exists());
}
