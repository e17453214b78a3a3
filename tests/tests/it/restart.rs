//! Runs after a run: what may have changed in between, what may not, and how the command says so.

use std::fs;
use std::process::{Command, Output};
use std::thread;
use std::time::Duration;

use crate::support::{Job, tree};

const JOB: &str = r#"
[job]
name = "restart"
out = "out"

[[source]]
name = "events"
connector = "file"
path = "in/*.ndjson"

[[view]]
kind = "sessions"
"#;

/// Events 1 to `count` of a user, a second apart.
fn events(user: &str, count: usize) -> String {
    let line = |n: usize| {
        let (hour, minute, second) = (n / 3600, n / 60 % 60, n % 60);
        format!(
            "{{\"messageId\":\"{user}{n}\",\"userId\":\"{user}\",\"event\":\"e\",\
             \"timestamp\":\"2026-03-01T{hour:02}:{minute:02}:{second:02}Z\"}}\n"
        )
    };
    (1..=count).map(line).collect()
}

fn job() -> Job {
    let job = Job::new(JOB);
    job.write("in/a.ndjson", events("a", 100));
    job.write("in/b.ndjson", events("b", 100));
    job
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs the job and expects an exit code and part of what is said.
fn expect(job: &Job, code: i32, part: &str) {
    let output = job.execute(&["-w", "2", "--epoch-records", "30"]);
    assert_eq!(output.status.code(), Some(code), "{}", said(&output));
    assert!(said(&output).contains(part), "{}", said(&output));
}

#[test]
fn a_run_after_the_end_changes_nothing() {
    let job = job();
    expect(&job, 0, "");
    let before = tree(&job.out());
    expect(&job, 0, "");
    assert!(tree(&job.out()) == before);
    let first = job.run(1, 1000);
    assert!(tree(&job.out()) == before);
    assert_eq!((first.read, first.people, first.rows_written), (200, 2, 0));
}

#[test]
fn new_files_are_read_and_new_lines_are_not() {
    let job = job();
    expect(&job, 0, "");
    job.write("in/c.ndjson", events("c", 50));
    job.write("in/0.ndjson", events("d", 50));
    let more = events("a", 120);
    let added = more.len() - events("a", 100).len();
    job.write("in/a.ndjson", more);
    expect(&job, 0, &format!("in/a.ndjson is {added} bytes longer than when it was first read"));
    assert_eq!(job.table("people").rows.len(), 4);
    assert_eq!(job.table("events").rows.len(), 300, "a file counts as it was when it was listed");
}

#[test]
fn a_source_that_is_not_as_it_was_ends_with_3() {
    let job = job();
    expect(&job, 0, "");
    let before = tree(&job.out());
    let path = job.folder().join("in/a.ndjson");
    let content = fs::read(&path).unwrap();

    fs::write(&path, &content[..content.len() / 2]).unwrap();
    expect(&job, 3, "in/a.ndjson is not as it was: ");
    fs::write(&path, events("x", 200)).unwrap();
    expect(&job, 3, "in/a.ndjson is not as it was: other content than before");
    fs::remove_file(&path).unwrap();
    expect(&job, 3, "in/a.ndjson is not as it was: the file is missing");
    fs::remove_dir_all(job.folder().join("in")).unwrap();
    expect(&job, 3, "in/a.ndjson is not as it was: the file is missing");
    assert!(tree(&job.out()) == before, "the results stand");

    job.write("in/a.ndjson", content);
    job.write("in/b.ndjson", events("b", 100));
    expect(&job, 0, "");
    assert!(tree(&job.out()) == before);
}

/// A file whose beginning is as before, but not the rest: found when it is read, and nothing of the
/// epoch that can't be read again is committed.
#[test]
fn half_an_epoch_is_never_committed() {
    let job = job();
    job.write("in/a.ndjson", events("a", 1000));
    expect(&job, 0, "");
    // The tables of a run that was killed before it committed.
    for entry in fs::read_dir(job.out()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            fs::remove_dir_all(path).unwrap();
        }
    }
    let path = job.folder().join("in/a.ndjson");
    let content = fs::read_to_string(&path).unwrap();
    let end = content.match_indices('\n').nth(899).unwrap().0;
    // As many bytes, in fewer lines.
    let rest = " ".repeat(content.len() - end);
    fs::write(&path, format!("{}{rest}", &content[..end])).unwrap();
    expect(&job, 3, "in/a.ndjson is not as it was: ");
    // As many lines, one of them another.
    let rest = content[end..].replacen('1', "7", 1);
    fs::write(&path, format!("{}{rest}", &content[..end])).unwrap();
    expect(&job, 3, "some of its records up to 930 are not those that were read before");
    fs::write(&path, &content).unwrap();
    expect(&job, 0, "");
    assert_eq!(job.table("events").rows.len(), 1100);
    let log = job.changelog("events");
    assert_eq!(log.rows.len(), 1100, "each event has come once");
}

/// A device that is always full takes the place of the first file that a run writes.
#[test]
fn a_full_disk_ends_with_8() {
    let job = job();
    let path = job.out().join("jobs").join(format!("{}.toml.new", job.plan().hash));
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink("/dev/full", &path).unwrap();
    expect(&job, 8, "No space left on device");
    fs::remove_file(&path).unwrap();
    expect(&job, 0, "");
    assert_eq!(job.table("events").rows.len(), 200);
}

/// A change of the job is carried over (`upgrades`), where that can be.
#[test]
fn a_job_that_means_the_same_goes_on() {
    let job = job();
    expect(&job, 0, "");
    let before = tree(&job.out());
    job.write("job.toml", format!("# A word about it.\n{JOB}"));
    expect(&job, 0, "");
    assert!(tree(&job.out()) == before);
    job.write("job.toml", JOB.replace("name = \"events\"", "name = \"others\""));
    expect(&job, 2, "holds the results of another version of this job");
    assert!(tree(&job.out()) == before);
}

/// The bindings say which records the tables are made of: without them nothing can be added.
#[test]
fn lost_bindings_end_with_3() {
    let job = job();
    expect(&job, 0, "");
    let path = job.out().join("bindings");
    let content = fs::read(&path).unwrap();
    let before = tree(&job.out());
    fs::remove_file(&path).unwrap();
    expect(&job, 3, "bindings");
    fs::write(&path, &content[..content.len() / 2]).unwrap();
    expect(&job, 3, "bindings");
    fs::write(&path, &content).unwrap();
    expect(&job, 0, "");
    assert!(tree(&job.out()) == before);
}

#[test]
fn damaged_bindings_end_with_1() {
    let job = job();
    expect(&job, 0, "");
    let path = job.out().join("bindings");
    let mut content = fs::read(&path).unwrap();
    content[40] ^= 1;
    fs::write(&path, &content).unwrap();
    expect(&job, 1, "are damaged at byte 8; restore them, or remove the");
}

/// Files are those that they were, also where the job file is named otherwise.
#[test]
fn a_job_file_by_another_name_reads_nothing_again() {
    let job = job();
    let absolute = job.folder().join("in/*.ndjson");
    job.write("job.toml", JOB.replace("\"in/*.ndjson\"", &format!("{absolute:?}")));
    let below = job.folder().join("in");
    let named = [("job.toml", job.folder()), ("../job.toml", &below)];
    let mut before = None;
    for (name, folder) in [named[0], ("", job.folder()), named[1], named[0]] {
        let output = if name.is_empty() {
            job.execute(&[])
        } else {
            let mut command = Command::new(env!("CARGO_BIN_EXE_braid-tested"));
            command.args(["run", name]).current_dir(folder).output().unwrap()
        };
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        let now = tree(&job.out());
        assert!(before.is_none_or(|before| before == now), "{name}: something was read again");
        before = Some(now);
    }
    assert_eq!(job.table("events").rows.len(), 200);
}

/// Sends a signal to a process.
fn signal(pid: u32, name: &str) {
    let status = Command::new("kill").args([name, &pid.to_string()]).status().unwrap();
    assert!(status.success());
}

#[test]
fn a_second_run_at_the_same_time_ends_with_4() {
    let job = job();
    job.write("in/c.ndjson", events("c", 20_000));
    let mut first = job.start(&["--epoch-records", "1"]);
    while fs::metadata(job.out().join("bindings")).map_or(0, |log| log.len()) < 500 {
        assert!(first.try_wait().unwrap().is_none(), "the first run has hardly begun");
        thread::sleep(Duration::from_millis(1));
    }
    signal(first.id(), "-STOP");
    expect(&job, 4, "another run of this job");
    signal(first.id(), "-CONT");
    first.kill().unwrap();
    first.wait().unwrap();
    expect(&job, 0, "");
    assert_eq!(job.table("events").rows.len(), 20_200);
}

/// What can't be written ends the run with the reason, not with a report on workers.
#[test]
fn an_output_that_cannot_be_written_ends_with_1() {
    let job = job();
    job.write("out", "a file where the folder should be");
    expect(&job, 1, "out/bindings: ");
}

/// Two sources, of which the second is far smaller, go on with new files: what they have is read
/// side by side, and the watermark waits for both.
#[test]
fn sources_that_get_new_files_hold_the_watermark_again() {
    const TWO: &str = r#"
[job]
name = "again"
out = "out"

[[source]]
name = "web"
connector = "file"
path = "web/*.ndjson"

[[source]]
name = "backend"
connector = "file"
path = "backend/*.ndjson"

[[view]]
kind = "sessions"

[time]
disorder = "1m"
admit = "30m"
"#;
    // Events of a day, evenly over ten hours.
    let events = |source: &str, day: usize, count: usize| -> String {
        let line = |n: usize| {
            let second = n * 36_000 / count;
            let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
            format!(
                "{{\"messageId\":\"{source}{day}.{n}\",\"userId\":\"u\",\"event\":\"e\",\
                 \"timestamp\":\"2026-03-{day:02}T{hour:02}:{minute:02}:{second:02}Z\"}}\n"
            )
        };
        (0..count).map(line).collect()
    };
    // The larger one has more behind it, then the smaller one; then only one gets a file.
    let days = [[2000, 100], [300, 200], [100, 400], [0, 200], [200, 200]];
    let (job, mut all) = (Job::new(TWO), 0);
    for (day, counts) in (1..).zip(days) {
        for (source, count) in ["web", "backend"].into_iter().zip(counts) {
            if count > 0 {
                job.write(&format!("{source}/{day}.ndjson"), events(source, day, count));
            }
        }
        all += counts.iter().sum::<usize>();
        let summary = job.run(2, 20);
        assert!(summary.dead_letters.is_empty(), "day {day}: {:?}", summary.dead_letters);
        assert_eq!(job.table("events").rows.len(), all, "day {day}");
    }
}
