//! Files of every format with bytes changed at random: whatever is in them, the run ends by itself,
//! each record is an event or a dead letter, and what stops a run is said to be the file.

use std::fs;
use std::sync::Arc;

use arrow::array::{
    Float64Array, ListBuilder, StringArray, StringBuilder, TimestampMicrosecondArray,
};
use jobs::runtime::RunError;
use operators::identity::testing::Seeded;

use crate::dead_letters::{gzip, job, parquet_file};
use crate::support::tree;

/// Records in a file.
const RECORDS: usize = 40;

fn time(n: usize) -> String {
    format!("2026-03-01T12:{:02}:00Z", n % 60)
}

fn ndjson() -> Vec<u8> {
    let line = |n: usize| {
        let at = time(n);
        match n % 5 {
            0 => format!(
                "{{\"type\":\"alias\",\"messageId\":\"m{n}\",\"timestamp\":\"{at}\",\
                 \"previousId\":\"a{n}\",\"userId\":\"u{n}\"}}\n"
            ),
            _ => format!(
                "{{\"messageId\":\"m{n}\",\"timestamp\":\"{at}\",\"userId\":\"u{}\",\
                 \"event\":\"e\",\
                 \"anonymousId\":[\"a{n}\",\"\\u00e9\"],\"properties\":{{\"price\":{n}.5}}}}\n",
                n % 7
            ),
        }
    };
    (0..RECORDS).map(line).collect::<String>().into_bytes()
}

fn delimited(delimiter: char) -> Vec<u8> {
    let line = |fields: [&str; 5]| fields.join(&delimiter.to_string()) + "\n";
    let mut text = line(["messageId", "timestamp", "userId", "event", "properties.price"]);
    for n in 0..RECORDS {
        let (id, user, price) = (format!("m{n}"), format!("\"u\"\"{}\"", n % 7), n.to_string());
        text += &line([&id, &time(n), &user, "\"two\nlines\"", &price]);
    }
    text.into_bytes()
}

fn parquet() -> Vec<u8> {
    let text =
        |of: &dyn Fn(usize) -> String| (0..RECORDS).map(|n| Some(of(n))).collect::<StringArray>();
    let mut lists = ListBuilder::new(StringBuilder::new());
    (0..RECORDS).for_each(|n| lists.append_value([Some(format!("a{n}")), None]));
    let times = (0..RECORDS as i64).map(|n| Some(1_800_000_000_000_000 + n));
    let times = times.collect::<TimestampMicrosecondArray>().with_timezone("UTC");
    parquet_file(vec![
        ("messageId", Arc::new(text(&|n| format!("m{n}")))),
        ("timestamp", Arc::new(times)),
        ("userId", Arc::new(text(&|n| format!("u{}", n % 7)))),
        ("anonymousId", Arc::new(lists.finish())),
        ("event", Arc::new(text(&|_| "e".to_owned()))),
        (
            "properties.price",
            Arc::new((0..RECORDS).map(|n| Some(n as f64)).collect::<Float64Array>()),
        ),
    ])
}

/// Changes some bytes: one or a few at a time.
fn mutate(random: &mut Seeded, bytes: &mut Vec<u8>) {
    const TOKENS: [&[u8]; 12] =
        [b"\"", b"\n", b"\0", b"\xff", b"{", b"]", b",", b"\t", b"\\u", b"1e999", b"-", b"\r\n"];
    for _ in 0..=random.below(4) {
        let len = bytes.len() as u64;
        if len == 0 {
            return;
        }
        let at = random.below(len) as usize;
        let end = (at + 1 + random.below(20) as usize).min(bytes.len());
        match random.below(6) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = random.bits() as u8,
            2 => drop(bytes.drain(at..end)),
            3 => drop(bytes.splice(at..at, random.pick(&TOKENS).iter().copied())),
            4 => {
                let copy = bytes[at..end].to_vec();
                let to = random.below(len) as usize;
                drop(bytes.splice(to..to, copy));
            }
            _ if random.once_in(4) => bytes.truncate(at),
            _ => bytes.swap(at, end - 1),
        }
    }
}

fn compressed(name: &str, content: &[u8]) -> Vec<u8> {
    match name.rsplit('.').next() {
        Some("gz") => gzip(content),
        Some("zst") => zstd::encode_all(content, 1).unwrap(),
        _ => content.to_vec(),
    }
}

/// Runs a job over a damaged file.
fn survive(name: &str, content: &[u8], seed: u64) {
    let job = job(name, content);
    let (workers, epoch) = ([1, 2, 4][seed as usize % 3], [1, 7, 1000][seed as usize / 3 % 3]);
    match job.try_run(workers, epoch) {
        Ok(summary) => {
            let letters: u64 = summary.dead_letters.values().sum();
            assert_eq!(summary.read, summary.admitted + letters, "{name} of seed {seed}");
            assert_eq!(job.table("dead_letters").rows.len() as u64, letters, "{name}, seed {seed}");
        }
        Err(RunError::Source(error)) => assert!(error.to_string().contains(name), "{error}"),
        Err(other) => panic!("{name} of seed {seed}: {other}"),
    }
}

#[test]
fn text_with_changed_bytes() {
    let files = [
        ("a.ndjson", ndjson()),
        ("a.csv", delimited(',')),
        ("a.tsv", delimited('\t')),
        ("a.ndjson.gz", ndjson()),
        ("a.csv.zst", delimited(',')),
    ];
    for seed in 0..200 {
        let mut random = Seeded(seed);
        let (name, content) = &files[seed as usize % files.len()];
        let mut content = content.clone();
        mutate(&mut random, &mut content);
        survive(name, &compressed(name, &content), seed);
    }
}

#[test]
fn compressed_files_and_parquet_with_changed_bytes() {
    let files = [
        ("a.ndjson.gz", compressed("a.gz", &ndjson())),
        ("a.tsv.zst", compressed("a.zst", &delimited('\t'))),
        ("a.parquet", parquet()),
        ("b.parquet", parquet()),
    ];
    for seed in 1000..1200 {
        let mut random = Seeded(seed);
        let (name, content) = &files[seed as usize % files.len()];
        let mut content = content.clone();
        mutate(&mut random, &mut content);
        survive(name, &content, seed);
    }
}

/// What tables are made of is read again to be written again: it must be what was written.
#[test]
fn tables_with_a_changed_byte() {
    let record = |n: usize, event: &str| {
        format!(
            "{{\"messageId\":\"m{n}\",\"timestamp\":\"{}\",\"userId\":\"u{n}\",\
             \"event\":\"{event}\"}}\n",
            time(n)
        )
    };
    let job = job("a-*.ndjson", b"");
    // A name that is there is no pattern.
    fs::remove_file(job.folder().join("a-*.ndjson")).unwrap();
    job.write("a-0.ndjson", (0..9).map(|n| record(n, "e")).collect::<String>());
    job.run(1, 3);
    let damage = |table: &str| {
        for (path, mut content) in tree(&job.out().join(table)) {
            if path.extension().is_some_and(|extension| extension == "parquet") {
                // In the middle of a column: most readers see nothing.
                let at = content.len() / 3;
                content[at] ^= 1;
                fs::write(path, content).unwrap();
            }
        }
    };
    let rows = || job.table("events").rows.len();
    for (part, (table, made)) in (1..).zip([
        ("events", "the next run writes it anew"),
        ("changelog/events", "computes it anew from the sources"),
    ]) {
        damage(table);
        if table == "changelog/events" {
            // Nobody else reads it.
            fs::remove_dir_all(job.out().join("events")).unwrap();
        }
        job.write(&format!("a-{part}.ndjson"), record(part * 10, "f"));
        let error = job.try_run(1, 3).unwrap_err();
        let said = error.to_string();
        assert!(said.contains("is damaged") && said.contains(made), "{said}");
        assert_eq!(error.exit_code(), 1);
        fs::remove_dir_all(job.out().join(table)).unwrap();
        job.run(1, 3);
        assert_eq!(rows(), 9 + part);
    }
}
