//! The command as it is used: by who reads a part of what it says, and by who asks how a job is.

use std::io::pipe;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use connectors::bindings::FileBindingLog;

use crate::support::{Job, tree};

/// How long something is waited for that takes a moment.
const PATIENCE: Duration = Duration::from_mins(1);

/// A job over some events of a few people.
fn job() -> Job {
    let job = Job::new(
        "[job]\nname = \"j\"\nout = \"out\"\n[[source]]\nname = \"s\"\nconnector = \"file\"\n\
         path = \"a.ndjson\"\n[[view]]\nkind = \"sessions\"\n[[sink]]\nconnector = \"table\"\n",
    );
    let event = |number: usize| {
        format!(
            "{{\"messageId\":\"m{number}\",\"timestamp\":\"2026-01-01T00:00:{:02}Z\",\
             \"anonymousId\":\"a{}\"}}\n",
            number % 60,
            number % 5
        )
    };
    job.write("a.ndjson", (0..100).map(event).collect::<String>());
    job
}

/// What a command does whose reader went away before it began.
fn unread(mut command: Command) -> Output {
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    let child = command.stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
    // It is the only one that holds the other end.
    drop(command);
    child.wait_with_output().unwrap()
}

/// As with `braid … | head`: nobody is told of a panic, and what was asked for is done.
#[test]
fn a_reader_may_go_away() {
    let job = job();
    let more: [(&str, &[&str]); 10] = [
        ("run", &[]),
        ("run", &["--json"]),
        ("check", &[]),
        ("plan", &[]),
        ("schema", &[]),
        ("status", &[]),
        ("query", &["select * from people"]),
        ("query", &["select * from people", "--format", "json"]),
        ("explain", &["people", "--since", "0"]),
        ("replay", &["r1"]),
    ];
    for (verb, arguments) in more {
        let mut command = job.command(verb);
        command.args(arguments);
        let output = unread(command);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{verb} {arguments:?}: {said}");
        assert!(!said.contains("panicked") && !said.contains("Broken pipe"), "{verb}: {said}");
    }
    assert_eq!(job.table("events").rows.len(), 100);
    assert!(job.out().join("replays/r1/events").exists(), "all of it was computed");
}

/// A file of which nobody knows how to read it keeps no one from what is written already; the next
/// run and `check` say what to write, and where.
#[test]
fn a_file_that_can_not_be_read_stops_who_reads() {
    let job = Job::new(
        "[job]\nname = \"j\"\nout = \"out\"\n[[source]]\nname = \"s\"\nconnector = \"file\"\n\
         path = \"in/*\"\n[[view]]\nkind = \"sessions\"\n[[sink]]\nconnector = \"table\"\n",
    );
    let event = "{\"messageId\":\"m\",\"timestamp\":\"2026-01-01T00:00:00Z\",\"userId\":\"u\"}\n";
    job.write("in/a.ndjson", event);
    let said = |verb: &str, arguments: &[&str], code: i32| {
        let output = job.command(verb).args(arguments).output().unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_eq!(output.status.code(), Some(code), "{verb}: {said}");
        said
    };
    said("run", &[], 0);
    job.write("in/notes.txt", "not events");
    assert!(said("query", &["select count(*) as n from events"], 0).contains('1'));
    said("status", &[], 0);
    said("explain", &["events"], 0);
    said("schema", &[], 0);
    for verb in ["run", "check", "plan"] {
        let said = said(verb, &[], 2);
        assert!(said.contains("job.toml:7: source \"s\": "), "{verb}: {said}");
        assert!(said.contains("notes.txt: the extension doesn't say the format"), "{verb}: {said}");
    }
}

/// A disk that is full is another matter.
#[test]
fn what_can_not_be_said_is_a_failure() {
    let job = job();
    for verb in ["check", "schema"] {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let output = job.command(verb).stdout(full).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{verb}: {said}");
        assert!(said.contains("can't write to standard output: "), "{verb}: {said}");
    }
}

fn status(job: &Job) -> String {
    let output = job.command("status").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// A run that answers nowhere is known to be on, until it ends, however it does.
#[test]
fn a_job_that_does_not_answer_may_run() {
    let job = job();
    assert_eq!(status(&job), "j: has not run yet\n");
    let mut run = job.start(&["--crash-at", "table-commit:1:stop"]);
    let begun = Instant::now();
    while !status(&job).starts_with("j: runs, does not answer; run 1, epoch ") {
        assert!(begun.elapsed() < PATIENCE, "{}", status(&job));
        thread::sleep(Duration::from_millis(20));
    }
    run.kill().unwrap();
    run.wait().unwrap();
    assert!(status(&job).starts_with("j: does not run; run 1, epoch "), "{}", status(&job));
    std::fs::remove_file(job.out().join("listen")).unwrap();
    assert!(status(&job).starts_with("j: does not answer; run 1, epoch "), "{}", status(&job));
}

/// Who asks how a job is changes nothing, whatever the job file says by now.
#[test]
fn the_status_is_only_looked_at() {
    let job = job();
    job.execute(&[]);
    let (before, said) = (tree(&job.out()), status(&job));
    let text = std::fs::read_to_string(job.folder().join("job.toml")).unwrap();
    let view = "[[view]]\nkind = \"trend\"\nname = \"t\"\n";
    job.write("job.toml", text + view);
    assert_eq!(status(&job), said);
    assert_eq!(tree(&job.out()), before);
}

/// A run that may not go on leaves the note of the one that does.
#[test]
fn only_the_run_that_goes_on_says_where_it_answers() {
    let job = job();
    job.execute(&[]);
    let note = job.out().join("listen");
    assert_eq!(std::fs::read_to_string(&note).unwrap(), "", "it answered nowhere");
    std::fs::write(&note, "127.0.0.1:9\n").unwrap();
    let live = FileBindingLog::open(&job.out().join("bindings"), None).unwrap();
    let output = job.execute(&["--listen", "127.0.0.1:0"]);
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    assert_eq!(std::fs::read_to_string(&note).unwrap(), "127.0.0.1:9\n");
    drop(live);
    let output = job.execute(&["--listen", "127.0.0.1:0"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    let address = said.lines().find_map(|line| line.strip_prefix("braid: at http://")).unwrap();
    assert_eq!(std::fs::read_to_string(&note).unwrap(), format!("{address}\n"));
}
