//! What a running job shows over HTTP, and what it does when a sink stands still.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use braid_tests::kafka::{Braid, Broker, Cluster, Writer, read_all, shared, unique, wait};
use braid_tests::rows::published;
use tempfile::TempDir;

/// A job from a topic of one broker to topics of another, and where it answers.
struct Running {
    job: Braid,
    address: String,
    name: String,
    folder: TempDir,
}

impl Running {
    fn start(input: &Broker, output: &Broker) -> Self {
        Self::start_with(input, output, "")
    }

    /// With more at the end of its job file.
    fn start_with(input: &Broker, output: &Broker, more: &str) -> Self {
        let name = unique("running");
        input.create_topic(&format!("{name}.in"), 1, &[]);
        let job = format!(
            r#"
            [job]
            name = "{name}"
            out = "out"
            without = ["people", "identifiers", "id_changes", "duplicates"]
            [[source]]
            name = "web"
            connector = "kafka"
            brokers = "{}"
            topics = ["{name}.in"]
            [[sink]]
            connector = "kafka"
            brokers = "{}"
            partitions = 1
            [bindings]
            connector = "kafka"
            brokers = "{}"
            [snapshot]
            every = "1s"
            {more}
            "#,
            input.brokers(),
            output.brokers(),
            input.brokers()
        );
        let folder = TempDir::new().unwrap();
        std::fs::write(folder.path().join("job.toml"), job).unwrap();
        let braid = Path::new(env!("CARGO_BIN_EXE_braid-tested"));
        let options = ["--listen", "127.0.0.1:0", "--epoch-records", "200"];
        let mut job = Braid::start(braid, folder.path(), &options);
        let address = wait("the job to listen", || {
            assert_eq!(job.ended(), None, "{}", job.said());
            let said = job.said();
            let line = said.lines().find_map(|line| line.strip_prefix("braid: at http://"))?;
            Some(line.to_owned())
        });
        Self { job, address, name, folder }
    }

    /// An answer: its status and body.
    fn get(&self, path: &str) -> (u16, String) {
        let mut client = TcpStream::connect(&self.address).unwrap();
        write!(client, "GET {path} HTTP/1.1\r\nHost: job\r\n\r\n").unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    /// All lines of a metric together.
    fn figure(&self, name: &str) -> f64 {
        let (status, page) = self.get("/metrics");
        assert_eq!(status, 200);
        let of_metric =
            |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{']));
        let values = page.lines().filter(of_metric);
        values.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    }

    /// The value of one line.
    fn line(&self, name: &str) -> Option<f64> {
        let (_, page) = self.get("/metrics");
        let rest = page.lines().find_map(|line| line.strip_prefix(name))?;
        rest.trim().parse().ok()
    }

    fn wait_ready(&self) {
        wait("the job to be ready", || (self.get("/readyz").0 == 200).then_some(()));
    }
}

fn record(number: u64, padding: &str) -> String {
    let second = number % 60;
    format!(
        "{{\"messageId\":\"m{number}\",\"timestamp\":\"2026-01-02T03:04:{second:02}Z\",\
         \"event\":\"page\",\"anonymousId\":\"a{}\",\"properties\":{{\"x\":\"{padding}\"}}}}",
        number % 100
    )
}

#[test]
fn a_running_job_shows_its_figures() {
    let broker = shared();
    let mut running = Running::start(broker, broker);
    running.wait_ready();
    let writer = Writer::new(broker.brokers());
    let input = format!("{}.in", running.name);
    for number in 0..1000 {
        writer.send(&input, 0, &record(number, ""));
    }
    writer.send(&input, 0, "no json");
    writer.flush();
    wait("all to be published", || {
        (running.figure("braid_sink_upserts_total") >= 1001.0).then_some(())
    });
    wait("the last look", || {
        let read = running.figure("braid_partition_offset") >= 1001.0;
        (read && running.figure("braid_partition_lag_records") == 0.0).then_some(())
    });
    assert_eq!(running.get("/healthz"), (200, "ok\n".to_owned()));
    for (metric, value) in [
        ("braid_records_total", 1001.0),
        ("braid_events_total", 1000.0),
        ("braid_dead_letters_total", 1.0),
        ("braid_partition_offset", 1001.0),
        ("braid_partition_reachable", 1.0),
        ("braid_generation", 1.0),
        ("braid_source_trouble", 0.0),
    ] {
        assert_eq!(running.figure(metric).to_string(), value.to_string(), "{metric}");
    }
    assert!(running.figure("braid_sink_commit_seconds_count") >= 1.0);
    for operator in ["dedup", "identity", "store", "people"] {
        let name = format!("braid_state_bytes{{operator=\"{operator}\"}}");
        wait(&name, || (running.line(&name)? > 10_000.0).then_some(()));
    }
    assert_eq!(running.get("/other").0, 404);
    assert_eq!(running.job.ended(), None);
}

/// What `braid status` says of the job in a folder.
fn status(folder: &Path) -> String {
    let braid = env!("CARGO_BIN_EXE_braid-tested");
    let output = Command::new(braid).args(["status", "job.toml"]).current_dir(folder).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What a restart needs moves on with snapshots, and what a topic keeps before it is shown, also
/// when the job does not run.
#[test]
fn a_person_asks_how_far_it_is() {
    let broker = shared();
    let running = Running::start(broker, broker);
    running.wait_ready();
    let (folder, input) = (running.folder.path(), format!("{}.in", running.name));
    let writer = Writer::new(broker.brokers());
    let send = |numbers: std::ops::Range<u64>| {
        numbers.for_each(|number| writer.send(&input, 0, &record(number, "")));
        writer.flush();
    };
    send(0..1000);
    wait("a snapshot to be usable", || {
        // The last second before a snapshot is not told apart.
        send(0..1);
        std::thread::sleep(Duration::from_millis(100));
        (running.figure("braid_partition_margin_records") >= 1000.0).then_some(())
    });
    let reach_s = running.figure("braid_restart_reach_seconds");
    assert!(reach_s < 60.0, "{reach_s}");
    let text = status(folder);
    for words in [": runs, ", " admitted", "duplicates: ", " kept before", "held in memory"] {
        assert!(text.contains(words), "no {words:?} in {text}");
    }
    let open = Writer::transactional(broker.brokers());
    open.begin();
    open.send(&input, 0, "open");
    open.flush();
    wait("the open transaction", || {
        (running.figure("braid_partition_open_transaction_seconds") > 0.0).then_some(())
    });
    open.abort();
    wait("its end", || {
        (running.figure("braid_partition_open_transaction_seconds") == 0.0).then_some(())
    });
    // As retention does.
    broker.delete_records(&input, 0, 600);
    wait("the margin to shrink", || {
        let margin = running.figure("braid_partition_margin_records");
        (400.0..1000.0).contains(&margin).then_some(())
    });
    // Behind it stands nothing, neither records that do not count nor markers.
    send(0..1);
    wait("the last record", || {
        let (read, end) = (running.figure("braid_partition_offset"), writer.end(&input, 0));
        (read >= end as f64).then_some(())
    });
    assert_eq!(running.job.term(), 0);
    send(0..5);
    let text = status(folder);
    for words in [": does not run; ", " 5 behind; ", "complete up to epoch", "snapshot at epoch"] {
        assert!(text.contains(words), "no {words:?} in {text}");
    }
    broker.delete_records(&input, 0, writer.end(&input, 0));
    let text = status(folder);
    assert!(text.contains("; A RESTART NEEDS 5 RECORDS THAT ARE GONE"), "{text}");
}

/// Bindings in a topic: a second run of the job shuts out the first one, which says so.
#[test]
fn a_second_run_takes_over() {
    let broker = shared();
    let mut first = Running::start(broker, broker);
    first.wait_ready();
    let writer = Writer::new(broker.brokers());
    let input = format!("{}.in", first.name);
    let send = |from: u64| {
        (from..from + 50).for_each(|number| writer.send(&input, 0, &record(number, "")));
        writer.flush();
    };
    send(0);
    wait("the first records", || (first.figure("braid_sink_upserts_total") >= 50.0).then_some(()));
    let braid = Path::new(env!("CARGO_BIN_EXE_braid-tested"));
    let folder = TempDir::new().unwrap();
    std::fs::copy(first.folder.path().join("job.toml"), folder.path().join("job.toml")).unwrap();
    let mut second = Braid::start(braid, folder.path(), &[]);
    let status = wait("the first run to end", || {
        assert_eq!(second.ended(), None, "{}", second.said());
        send(50);
        first.job.ended()
    });
    assert_eq!(status.code(), Some(4), "{}", first.job.said());
    send(100);
    let topic = format!("{}.events", first.name);
    wait("all events", || {
        (published(&read_all(broker.brokers(), &topic)).len() == 150).then_some(())
    });
    assert_eq!(second.term(), 0);
}

/// The brokers of a sink stand still: sources stop, memory stays as it is, and afterwards
/// everything is there.
#[test]
fn a_standing_sink_stops_the_sources() {
    const RECORDS: u64 = 30_000;
    let (broker, cluster) = (shared(), Cluster::start(1));
    let mut running = Running::start(broker, &cluster);
    running.wait_ready();
    cluster.freeze(1, true);
    let writer = Writer::new(broker.brokers());
    let (input, padding) = (format!("{}.in", running.name), "x".repeat(6000));
    for number in 0..RECORDS {
        writer.send(&input, 0, &record(number, &padding));
    }
    writer.flush();
    let look = || (running.figure("braid_partition_offset"), running.job.resident());
    let mut before = look();
    let (offset, grown) = wait("the source to stop", || {
        std::thread::sleep(Duration::from_millis(1500));
        let now = look();
        let last = std::mem::replace(&mut before, now);
        (now.0 > 0.0 && now.0.to_bits() == last.0.to_bits())
            .then(|| (now.0, now.1.saturating_sub(last.1)))
    });
    assert!(offset < RECORDS as f64 * 0.9, "it has read {offset} records");
    assert!(grown < 32 << 20, "memory grew by {grown} bytes");
    assert!(running.figure("braid_partition_lag_records") > 0.0);
    assert!(running.figure("braid_bytes_in_flight") < f64::from(80 << 20));
    cluster.freeze(1, false);
    wait("all to be published", || {
        (running.figure("braid_sink_upserts_total") >= RECORDS as f64).then_some(())
    });
    running.wait_ready();
    let topic = format!("{}.events", running.name);
    assert_eq!(published(&read_all(cluster.brokers(), &topic)).len() as u64, RECORDS);
    assert_eq!(running.job.ended(), None);
}

/// A job to which nothing more comes ran on without the thread that writes its tables.
#[test]
fn a_quiet_job_ends_when_an_output_fails() {
    let broker = shared();
    let mut running =
        Running::start_with(broker, broker, "[[sink]]\nconnector = \"table\"\nevery = \"1s\"\n");
    running.wait_ready();
    let events = running.folder.path().join("out/events");
    std::fs::remove_dir_all(&events).unwrap();
    std::fs::write(&events, "in the way").unwrap();
    let writer = Writer::new(broker.brokers());
    writer.send(&format!("{}.in", running.name), 0, &record(1, ""));
    writer.flush();
    let status = wait("the job to end", || running.job.ended());
    assert_eq!(status.code(), Some(1), "{}", running.job.said());
}
