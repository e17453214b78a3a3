//! The `braid` command with topics in and out: killed again and again, it publishes what a job over
//! files of the same records has in its tables.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use braid_tests::kafka::{Braid, PATIENCE, Writer, read_all, shared, unique};
use braid_tests::python;
use braid_tests::rows::{Rows, difference, published, stored};
use connectors::kafka::Claim;
use jobs::generate::{Compression, FileOptions, ShopOptions, job_file, write};
use operators::identity::testing::Seeded;

fn braid() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_braid-tested"))
}

/// Rebuilds what stands with a client written by others.
fn another_client_reads_the_same(topic: &str) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/read_topic.py");
    let mut command = Command::new(python::environment("kafka"));
    let output = command.arg(script).args([shared().brokers(), topic]).output().unwrap();
    let wrong = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{wrong}");
    let mut rows = Rows::new();
    for row in String::from_utf8(output.stdout).unwrap().lines() {
        *rows.entry(row.to_owned()).or_default() += 1;
    }
    let expected = published(&read_all(shared().brokers(), topic));
    assert!(rows == expected, "{}", difference((&rows, "there"), (&expected, "here")));
}

fn claim(prefix: &str) -> Option<Claim> {
    let last = read_all(shared().brokers(), &format!("{prefix}.progress")).pop()?;
    serde_json::from_str(&last.value?).ok()
}

/// The records of a channel, as they lie in the generated files.
fn lines(data: &Path, channel: &str) -> Vec<Vec<u8>> {
    let mut files: Vec<_> =
        std::fs::read_dir(data.join(channel)).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut lines = Vec::new();
    for file in files {
        let text = std::fs::read(file).unwrap();
        let records = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.extend(records.map(<[u8]>::to_vec));
    }
    lines
}

/// Views that follow from the records alone, however they came.
const COMPARED: [&str; 9] = [
    "events",
    "identifiers",
    "people",
    "duplicates",
    "sessions",
    "funnel_purchase",
    "funnel_purchase_people",
    "trend_revenue",
    "trend_events",
];
const CHANNELS: [&str; 3] = ["web", "mobile", "backend"];

#[test]
fn killed_again_and_again_it_publishes_what_a_job_over_files_has() {
    let (broker, prefix) = (shared(), unique("shop"));
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("files/data");
    // All within `admit`: what is late does not depend on how it came.
    let shop = ShopOptions { events: 50_000, days: 5, duplicates: 0.05, ..ShopOptions::default() };
    write(&shop, &FileOptions::new(&data), &mut |_| {}).unwrap();
    let base = job_file(Compression::Plain).replace("\"table\"", "\"arrow\"");
    let files = base.replace("path = \"", "path = \"data/");
    std::fs::write(folder.path().join("files/job.toml"), files).unwrap();
    let mut job = base;
    for channel in CHANNELS {
        let before = format!("connector = \"file\"\npath = \"{channel}/*.ndjson\"\n");
        let after = format!(
            "connector = \"kafka\"\nbrokers = \"{}\"\ntopics = [\"{prefix}.in.{channel}\"]\n",
            broker.brokers()
        );
        assert!(job.contains(&before));
        job = job.replace(&before, &after);
        broker.create_topic(&format!("{prefix}.in.{channel}"), 3, &[]);
    }
    job = job.replace("name = \"shop\"", &format!("name = \"{prefix}\""));
    // Tokens hang on the key, and persons' ids on tokens.
    job = job.replace("[identity]\n", "[identity]\nsecret = \"shop\"\n");
    let sink = format!("\n[[sink]]\nconnector = \"kafka\"\nbrokers = \"{}\"\n", broker.brokers());
    job += &sink;
    let topics = folder.path().join("topics");
    std::fs::create_dir(&topics).unwrap();
    std::fs::write(topics.join("job.toml"), &job).unwrap();

    let mut command = Command::new(braid());
    command.args(["run", "job.toml"]).current_dir(folder.path().join("files"));
    assert!(command.stdout(Stdio::null()).status().unwrap().success());

    // The channels' records come interleaved, in six portions, between which the job is killed.
    let writer = Writer::new(broker.brokers());
    let mut random = Seeded(1);
    let all: Vec<Vec<Vec<u8>>> = CHANNELS.iter().map(|channel| lines(&data, channel)).collect();
    let count: usize = all.iter().map(Vec::len).sum();
    for portion in 0..6 {
        let job = (portion > 0).then(|| Braid::start(braid(), &topics, &[]));
        for (channel, lines) in CHANNELS.iter().zip(&all) {
            let of = |portion| lines.len() * portion / 6;
            for line in &lines[of(portion)..of(portion + 1)] {
                let partition = random.below(3) as i32;
                let topic = format!("{prefix}.in.{channel}");
                writer.send_full(&topic, Some(partition), None, Some(line), &[]);
            }
        }
        writer.flush();
        if let Some(job) = job {
            std::thread::sleep(Duration::from_millis(500 + random.below(2500)));
            job.kill9();
        }
    }
    let job = Braid::start(braid(), &topics, &[]);
    // Nothing more is published once everything has been read.
    let begun = Instant::now();
    let mut last = None;
    loop {
        assert!(begun.elapsed() < PATIENCE * 2, "the job does not finish");
        let events = read_all(broker.brokers(), &format!("{prefix}.events")).len();
        let now = (claim(&prefix).and_then(|claim| claim.epoch), events);
        if events > 0 && last == Some(now) {
            break;
        }
        last = Some(now);
        std::thread::sleep(Duration::from_secs(2));
    }
    assert_eq!(job.term(), 0);
    assert!(count > 30_000, "{count} records");
    for view in COMPARED {
        let expected = stored(&folder.path().join(format!("files/out/arrow/{view}.arrow")));
        assert!(!expected.is_empty(), "{view}");
        let tables = stored(&topics.join(format!("out/arrow/{view}.arrow")));
        assert!(tables == expected, "{view}: the tables differ");
        let rows = published(&read_all(broker.brokers(), &format!("{prefix}.{view}")));
        let difference = difference((&rows, "published"), (&expected, "in tables"));
        assert!(rows == expected, "{view}: {difference}");
    }
    another_client_reads_the_same(&format!("{prefix}.sessions"));
    // Every record that can't be used is there, with its own offset.
    let letters = published(&read_all(broker.brokers(), &format!("{prefix}.dead_letters")));
    let expected = stored(&folder.path().join("files/out/arrow/dead_letters.arrow"));
    assert_eq!(letters.len(), expected.values().sum::<usize>());
}
