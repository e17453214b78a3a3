//! A job of several processes on topics: whatever happens to them under load, it publishes what a
//! job that was left in peace does.

use std::path::Path;
use std::time::Duration;

use braid_tests::kafka::{Story, Writer, read_all, shared, unique, wait};
use braid_tests::rows::published;
use braid_tests::team::{Proxy, Team};
use tempfile::TempDir;

/// Lost after this many seconds.
const OPTIONS: [&str; 4] = ["-w", "1", "--silence", "2"];

fn braid() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_braid-tested"))
}

/// Ends a team in order, by a word to one of its processes.
fn end(team: &mut Team, process: usize) {
    team.at(process).signal("-TERM");
    let (codes, said) = team.end_all();
    assert!(codes.iter().all(|code| *code == Some(0)), "{codes:?} {said}");
}

#[test]
fn killed_in_turn() {
    let mut story = Story::begin(braid(), shared(), 11);
    let mut team = story.team(2, &OPTIONS);
    team.start_all();
    for round in 0..12 {
        story.go_on(3);
        team.at(round % 2).signal_child("-KILL");
    }
    story.go_on(3);
    end(&mut team, 1);
    assert_eq!(story.generation(), 13);
    story.finish();
}

#[test]
fn stopped_cut_off_and_restarted() {
    let mut story = Story::begin(braid(), shared(), 12);
    let mut team = story.team(3, &OPTIONS);
    let proxy = Proxy::new(team.address(0));
    team.see(2, 0, proxy.address());
    team.start_all();
    for process in 0..3 {
        story.go_on(3);
        team.at(process).signal_child("-STOP");
    }
    for _ in 0..2 {
        story.go_on(3);
        proxy.cut();
        let before = team.at(2).said().matches("waiting for process 0").count();
        wait("process 2 to notice", || {
            (team.at(2).said().matches("waiting for process 0").count() > before).then_some(())
        });
        proxy.mend();
    }
    // A rolling restart: each in order, and each as if its machine were replaced.
    for process in 0..3 {
        story.go_on(3);
        team.at(process).signal("-HUP");
        story.go_on(3);
        team.machines[process].take().expect("it runs").kill();
        team.start(process);
    }
    story.go_on(3);
    end(&mut team, 0);
    story.finish();
}

/// The bindings are in a topic, so the copy may be anywhere: the later one goes on, the earlier one
/// stops, and each record counts once.
#[test]
fn a_second_copy_takes_over() {
    let (broker, name, folder) = (shared(), unique("copies"), TempDir::new().unwrap());
    broker.create_topic(&format!("{name}.in"), 1, &[]);
    let brokers = broker.brokers();
    let job = format!(
        "[job]\nname = \"{name}\"\nout = \"out\"\n\
         without = [\"people\", \"identifiers\", \"id_changes\", \"duplicates\"]\n\
         [[source]]\nname = \"web\"\nconnector = \"kafka\"\nbrokers = \"{brokers}\"\n\
         topics = [\"{name}.in\"]\n\
         [[sink]]\nconnector = \"kafka\"\nbrokers = \"{brokers}\"\npartitions = 1\n\
         [bindings]\nconnector = \"kafka\"\nbrokers = \"{brokers}\"\n"
    );
    std::fs::write(folder.path().join("job.toml"), job).unwrap();
    let writer = Writer::new(brokers);
    let mut written = 0;
    let mut write = || {
        let record = format!(
            "{{\"messageId\":\"m{written}\",\"timestamp\":\"2026-01-02T03:04:05Z\",\
             \"event\":\"page\",\"anonymousId\":\"a{}\"}}",
            written % 10
        );
        writer.send(&format!("{name}.in"), 0, &record);
        writer.flush();
        written += 1;
        std::thread::sleep(Duration::from_millis(20));
        written
    };
    let events = || published(&read_all(brokers, &format!("{name}.events")));
    let mut teams = [(); 2].map(|()| Team::new(braid(), folder.path(), 2, &OPTIONS));
    teams[0].start_all();
    wait("the first to publish", || {
        write();
        (!events().is_empty()).then_some(())
    });
    teams[1].start_all();
    wait("the first to end", || {
        write();
        teams[0].at(0).ended()
    });
    let (codes, said) = teams[0].end_all();
    assert_eq!(codes, [Some(4), Some(4)], "{said}");
    let count = write();
    wait("all records", || (events().values().sum::<usize>() >= count).then_some(()));
    end(&mut teams[1], 1);
    let events = events();
    assert_eq!((events.len(), events.values().sum::<usize>()), (count, count));
}
