//! `braid replay` over topics: beside the running job, into topics of its own, and as what the job
//! is switched to.

use std::path::Path;
use std::process::Command;

use braid_tests::kafka::measured::record;
use braid_tests::kafka::{Braid, Story, Writer, shared, unique, wait};
use connectors::bindings::{Binding, FileBindingLog};

#[test]
fn a_replay_runs_beside_the_job_and_is_switched_to() {
    let braid = Path::new(env!("CARGO_BIN_EXE_braid-tested"));
    let mut story = Story::begin(braid, shared(), 21);
    story.run(300);
    let again = story.prefix("again");
    // While records come and are published.
    story.run_beside(200, |story| {
        story.replay(&["again", "--prefix", &again, "--workers", "1"]);
        story.replay(&["new", "--set", "identity.type.email.owners_max=1"]);
    });
    // And to the end of what the job has bound.
    story.replay(&["again", "--prefix", &again]);
    story.assert_published(&again);
    story.change("owners_max = 2", "owners_max = 1");
    story.replay(&["new", "--switch"]);
    story.finish();
}

/// A replay says from which epoch on everything is there, and can begin with that.
#[test]
fn records_that_are_gone_are_said_with_the_epoch_after_them() {
    let (braid, broker) = (Path::new(env!("CARGO_BIN_EXE_braid-tested")), shared());
    let (topic, folder) = (unique("partly"), tempfile::tempdir().unwrap());
    broker.create_topic(&topic, 1, &[]);
    let text = format!(
        "[job]\nname = {topic:?}\nout = \"out\"\n[snapshot]\nevery = \"never\"\n\
         [[source]]\nname = \"web\"\nconnector = \"kafka\"\nbrokers = {:?}\ntopics = [{topic:?}]\n\
         channel = \"web\"\n",
        broker.brokers()
    );
    std::fs::write(folder.path().join("job.toml"), text).unwrap();
    let mut running = Braid::start(braid, folder.path(), &[]);
    let (writer, log) = (Writer::new(broker.brokers()), folder.path().join("out/bindings"));
    let bound = || FileBindingLog::peek(&log).unwrap_or_default();
    let read = |bindings: &[Binding]| {
        let ends = bindings.iter().flat_map(|b| &b.kafka).flat_map(|(_, part)| &part.ends);
        ends.map(|end| end.upper).max().unwrap_or(0)
    };
    for number in 0..5_u64 {
        writer.send(&topic, 0, &record(number));
        writer.flush();
        wait("an epoch", || {
            assert_eq!(running.ended(), None, "{}", running.said());
            (read(&bound()) > number).then_some(())
        });
    }
    assert_eq!(running.term(), 0);
    broker.delete_records(&topic, 0, 2);
    let replay = |arguments: &[&str]| {
        let mut command = Command::new(braid);
        command.arg("replay").arg(folder.path().join("job.toml")).args(arguments);
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    // The epoch after the one that ends where the records begin.
    let bindings = bound();
    let place = (1..=bindings.len()).find(|place| read(&bindings[..*place]) >= 2).unwrap();
    let from = bindings[place - 1].epoch + 1;
    let (code, said) = replay(&["all"]);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("offsets 0 to 5") && said.contains(&format!("--from {from} ")), "{said}");
    let (code, said) = replay(&["rest", "--from", &from.to_string()]);
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = replay(&["more", "--from", &(from - 1).to_string()]);
    assert_eq!(code, Some(3), "{said}");
}
