//! The archive: a replay reads it when the sources are gone, and an import adds what was before.

use std::fs;

use braid_tests::histories::records;
use jobs::rebuild::{Reading, Scope, compute};
use operators::identity::testing::Seeded;

use crate::support::replayed::{
    assert_same, calm, changelogs, create, current, job_text, path, read, with,
};
use crate::support::{Job, write_part};

/// The archive has all that a replay needs, when the sources are gone; what it lacks is said.
#[test]
fn a_replay_reads_the_archive_when_the_sources_are_gone() {
    for seed in 96..98 {
        let sink = "[[sink]]\nconnector = \"table\"\n[[sink]]\nconnector = \"archive\"\n\
                    keep = [\"properties.size\"]\n";
        let with_archive = job_text().replacen("[time]", &format!("{sink}[time]"), 1);
        let job = Job::new(&with_archive);
        let records = records(&mut Seeded(seed), 120);
        let parts: Vec<_> = records.chunks(40).map(<[_]>::to_vec).collect();
        let mut written = Vec::new();
        for (part, records) in parts.iter().enumerate() {
            written.extend(write_part(&job, part, records));
            if part == 1 {
                // Killed while it commits.
                let output = job.execute(&["-w", "2", "--crash-at", "table-commit:3:kill"]);
                assert_eq!(output.status.code(), None);
            }
            job.run(1 + part % 2, 6);
        }
        written.iter().for_each(|path| fs::remove_file(path).unwrap());
        let mut plan = job.plan();
        let stays = |s: &operators::model::ViewSchema| &*s.name != "dead_letters";
        let again = create(&job, "again", &plan.text, Scope::default());
        let gone = with(1, |run, around| {
            let scope = Scope::default();
            compute(&plan, (&again, &scope), run, Reading::default(), around)
        });
        assert_eq!(gone.unwrap_err().exit_code(), 3, "the sources are gone");
        read(&job, &again, 2, true);
        std::sync::Arc::make_mut(&mut plan.catalog).schemas.retain(stays);
        let (is, should) = (current(&again.plan.out, &plan), current(&job.out(), &plan));
        assert_same(&is, &should, "current rows");
        assert_eq!(changelogs(&again.plan.out, &plan), changelogs(&job.out(), &plan));
        // A changed job: as if it had read the sources.
        let changed = with_archive.replace("owners_max = 3", "owners_max = 1");
        let other = create(&job, "other", &changed, Scope::default());
        read(&job, &other, 1, true);
        let calm = calm(&job, &changed, &parts);
        let mut plan = calm.plan();
        std::sync::Arc::make_mut(&mut plan.catalog).schemas.retain(stays);
        let (is, should) = (current(&other.plan.out, &plan), current(&calm.out(), &plan));
        assert_same(&is, &should, "changed");
        let said = |arguments: &[&str]| {
            let output = job.command("replay").args(arguments).output().unwrap();
            (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
        };
        // What is kept beside can be asked for later, and nothing else.
        let by = |property: &str| format!("view.price.property={property}");
        assert_eq!(said(&["r1", "--archive", "--set", &by("size")]).0, Some(0));
        let (code, words) = said(&["r2", "--archive", "--set", &by("weight")]);
        assert_eq!(code, Some(2), "{words}");
        assert!(words.contains(": properties.weight;"), "{words}");
        for (change, what) in [
            ("identity.secret=another", ": identity.secret;"),
            ("source.web.channel=site", ": the fields of source web;"),
            ("identity.type.email.from=[\"traits.mail\"]", ": the fields of email;"),
        ] {
            let (code, words) = said(&["r3", "--archive", "--set", change]);
            assert_eq!(code, Some(2), "{change}: {words}");
            assert!(words.contains(what), "{change}: {words}");
            assert_eq!(said(&["r3", "--drop"]).0, Some(0));
        }
    }
}

#[test]
fn an_archive_that_begins_late_gets_what_was_before() {
    let job = Job::new(&job_text());
    let records = records(&mut Seeded(99), 120);
    let parts: Vec<_> = records.chunks(40).map(<[_]>::to_vec).collect();
    write_part(&job, 0, &parts[0]);
    job.run(1, 9);
    let archive = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_braid-tested"));
        let output = command.arg("archive").args(arguments).arg(path(&job)).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), said + &String::from_utf8_lossy(&output.stdout))
    };
    let (code, said) = archive(&["status"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("the job has no archive; add a [[sink]]"), "{said}");
    // From a snapshot on, so that it begins late.
    let snapshots = "[snapshot]\nevery = \"1s\"\n";
    job.write("job.toml", job_text() + snapshots);
    job.run(1, 9);
    let sink = "[[sink]]\nconnector = \"table\"\n[[sink]]\nconnector = \"archive\"\n";
    job.write("job.toml", job_text() + snapshots + sink);
    // The sink makes it another job: everything is computed again and archived.
    write_part(&job, 1, &parts[1]);
    job.run(2, 9);
    let (_, said) = archive(&["status"]);
    assert!(said.contains("has the epochs 1 to"), "{said}");
    // A job that loses its archive begins it anew where its snapshot is.
    fs::remove_dir_all(job.out().join("archive")).unwrap();
    write_part(&job, 2, &parts[2]);
    job.run(1, 9);
    let (_, said) = archive(&["status"]);
    assert!(!said.contains("has the epochs 1 to"), "{said}");
    let plan = job.plan();
    let again = create(&job, "again", &plan.text, Scope::default());
    let gap = with(1, |run, around| {
        let reading = Reading { archive: true, ..Reading::default() };
        compute(&plan, (&again, &Scope::default()), run, reading, around)
    });
    let gap = gap.unwrap_err();
    assert_eq!(gap.exit_code(), 3);
    assert!(gap.to_string().contains("and not those from 1 to"), "{gap}");
    let (code, said) = archive(&["import"]);
    assert_eq!(code, Some(0), "{said}");
    let (_, said) = archive(&["status"]);
    assert!(said.contains("has the epochs 1 to"), "{said}");
    assert!(archive(&["import"]).1.contains("has everything from the first epoch on"));
    read(&job, &again, 2, true);
    let mut plan = plan;
    let stays = |s: &operators::model::ViewSchema| &*s.name != "dead_letters";
    std::sync::Arc::make_mut(&mut plan.catalog).schemas.retain(stays);
    let is = current(&again.plan.out, &plan);
    assert_same(&is, &current(&job.out(), &plan), "current rows");
}

/// An archive alone does not end the tables, and after a change of the job it is as far as they
/// are: it had not been told of the epoch that publishes the difference.
#[test]
fn an_archive_is_as_far_as_a_changed_job() {
    let sink = "[[sink]]\nconnector = \"archive\"\n[time]";
    let text = job_text().replacen("[time]", sink, 1);
    let job = Job::new(&text);
    write_part(&job, 0, &records(&mut Seeded(100), 80));
    job.run(2, 9);
    job.write("job.toml", text.replace("owners_max = 3", "owners_max = 1"));
    job.run(1, 9);
    let plan = job.plan();
    let again = create(&job, "again", &plan.text, Scope::default());
    read(&job, &again, 2, true);
    let mut plan = plan;
    // What the change made others is told by the live job alone.
    let stays = |s: &operators::model::ViewSchema| !s.append_only;
    std::sync::Arc::make_mut(&mut plan.catalog).schemas.retain(stays);
    let (is, should) = (current(&again.plan.out, &plan), current(&job.out(), &plan));
    assert!(should.values().any(|rows| !rows.is_empty()), "{should:?}");
    assert_same(&is, &should, "current rows");
}

/// Killed at every file and commit that an archive gets, also while its small files become one.
#[test]
fn an_archive_is_killed_at_each_of_its_steps() {
    let sink = "[snapshot]\nevery = \"never\"\n[[sink]]\nconnector = \"archive\"\n[time]";
    let job = Job::new(&job_text().replacen("[time]", sink, 1));
    let records = records(&mut Seeded(112), 120);
    let mut kills = 0;
    for (part, records) in records.chunks(6).enumerate() {
        write_part(&job, part, records);
        let moment = ["table-file", "table-commit", "table-committed"][part % 3];
        for count in 1.. {
            let crash = format!("{moment}:{count}:kill");
            let output = job.execute(&["-w", "1", "--epoch-records", "9", "--crash-at", &crash]);
            if output.status.code() == Some(0) {
                break;
            }
            assert_eq!(output.status.code(), None, "{crash} {output:?}");
            kills += 1;
        }
    }
    let removes = fs::read_dir(job.out().join("archive/_delta_log")).unwrap().filter(|entry| {
        let text = fs::read_to_string(entry.as_ref().unwrap().path()).unwrap_or_default();
        text.contains("\"remove\"")
    });
    let merged = removes.count();
    assert!(kills > 20 && merged > 1, "{kills} kills, {merged} times merged");
    let mut plan = job.plan();
    let kept = create(&job, "kept", &plan.text, Scope::default());
    let again = create(&job, "again", &plan.text, Scope::default());
    read(&job, &kept, 2, true);
    read(&job, &again, 1, false);
    let stays = |s: &operators::model::ViewSchema| &*s.name != "dead_letters";
    std::sync::Arc::make_mut(&mut plan.catalog).schemas.retain(stays);
    assert_same(&current(&kept.plan.out, &plan), &current(&again.plan.out, &plan), "kept");
    assert_eq!(changelogs(&kept.plan.out, &plan), changelogs(&again.plan.out, &plan));
}

/// It begins where its first run does, even if that is killed before it has archived anything.
#[test]
fn an_archive_begins_with_its_first_run() {
    let more = "[snapshot]\nevery = \"1s\"\n[[sink]]\nconnector = \"table\"\n[[sink]]\n\
                connector = \"archive\"\nevery = \"1h\"\n";
    let job = Job::new(&(job_text() + more));
    let records = records(&mut Seeded(111), 120);
    let parts: Vec<_> = records.chunks(60).map(<[_]>::to_vec).collect();
    write_part(&job, 0, &parts[0]);
    // After the tables and a snapshot, before the archive.
    let output = job.execute(&["-w", "1", "--epoch-records", "9", "--crash-at", "decoded:6:kill"]);
    assert_eq!(output.status.code(), None);
    write_part(&job, 1, &parts[1]);
    job.run(2, 9);
    let plan = job.plan();
    let archive = jobs::runtime::open_archive((&plan.out, &plan.name), &plan).unwrap();
    assert_eq!(archive.reach().first, 1);
    let again = create(&job, "again", &plan.text, Scope::default());
    read(&job, &again, 1, true);
    let events = |out: &std::path::Path| braid_tests::delta::read(&out.join("events")).rows;
    assert_eq!(events(&again.plan.out), events(&job.out()));
}
