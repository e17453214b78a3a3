//! Rows in Avro: what the registry says to their schemas, and what other programs read.

use std::path::Path;
use std::process::Command;

use braid_tests::kafka::{Registry, counter_schema, read_all, shared, unique};
use braid_tests::python;
use connectors::kafka::{ClientSpec, KafkaError, KafkaSink, KafkaSinkSpec, RegistryUrl, RowFormat};
use jobs::generate::{Compression, FileOptions, ShopOptions, job_file, write};
use operators::model::{Cause, Cell, Change, Column, ColumnType, Row, ViewSchema};
use serde_json::json;

fn spec(registry: &Registry) -> KafkaSinkSpec {
    let prefix = unique("avro");
    let mut spec =
        KafkaSinkSpec::new(ClientSpec::new(shared().brokers()), &prefix, &prefix, "cafe");
    spec.format = RowFormat::Avro(RegistryUrl::parse(&registry.url()).unwrap());
    spec
}

fn subjects(spec: &KafkaSinkSpec) -> [String; 2] {
    ["key", "value"].map(|part| format!("{}-{part}", spec.topic("counts")))
}

#[test]
fn schemas_are_registered_once_and_not_needed_again() {
    let registry = Registry::start();
    let spec = spec(&registry);
    let [keys, values] = subjects(&spec);
    registry.put("others", json!({ "schema": "\"int\"" }));
    for _ in 0..2 {
        let mut sink = KafkaSink::open(&spec, &[counter_schema()]).unwrap();
        registry.away(usize::MAX);
        let epoch = sink.committed().unwrap_or(0) + 1;
        let cells = [Cell::str("t"), Cell::str("k"), Cell::Int(epoch as i64)];
        let row = Row { view: 0, cells: cells.into(), final_at: 0 };
        sink.add(epoch, Change { row, diff: 1, cause: Cause::New });
        sink.close(epoch, 0).unwrap();
        sink.commit().unwrap();
        registry.away(0);
        assert_eq!([&keys, &values].map(|subject| registry.versions(subject)), [1, 1]);
        assert_eq!(sink.claim().keys[&spec.topic("counts")], 2);
    }
    let read = read_all(shared().brokers(), &spec.topic("counts"));
    // Tenant and key; a key is the same bytes each time.
    let key = "\0\0\0\0\u{2}\u{2}t\u{2}k";
    let written: Vec<_> =
        read.iter().map(|m| (m.key.as_deref().unwrap(), m.value.as_deref().unwrap())).collect();
    let value = |count: char| format!("\0\0\0\0\u{3}\u{2}t\u{2}k{count}");
    assert_eq!(written, [(key, &*value('\u{2}')), (key, &*value('\u{4}'))]);
}

#[test]
fn what_a_registry_refuses_is_told() {
    let registry = Registry::start();
    let spec = spec(&registry);
    let [keys, values] = subjects(&spec);
    let with = |kind, nullable| {
        let mut schema = counter_schema();
        schema.columns.push(Column { name: "more", kind, nullable });
        schema
    };
    let versions = || [&keys, &values].map(|subject| registry.versions(subject));
    let open = |schema: ViewSchema| KafkaSink::open(&spec, &[schema]).map(drop);
    open(counter_schema()).unwrap();
    // A column that may be null is one more version; of the key nothing changes.
    open(with(ColumnType::Int, true)).unwrap();
    assert_eq!(versions(), [1, 2]);
    let error = open(with(ColumnType::Str, true)).unwrap_err();
    assert!(matches!(&error, KafkaError::Schema { subject, .. } if *subject == values), "{error}");
    assert!(error.is_usage());
    let said = error.to_string();
    for part in ["incompatible with an earlier schema", "\"more\"", "another prefix"] {
        assert!(said.contains(part), "{said}");
    }
    assert_eq!(versions(), [1, 2]);

    registry.away(1);
    let error = open(counter_schema()).unwrap_err();
    let said = error.to_string();
    assert!(said.contains("can't reach the registry at 127.0.0.1: it answers 503"), "{said}");
    let mut stranger = spec.clone();
    let url = registry.url().replace("secret", "guess");
    stranger.format = RowFormat::Avro(RegistryUrl::parse(&url).unwrap());
    let error = KafkaSink::open(&stranger, &[counter_schema()]).err().unwrap();
    let said = error.to_string();
    assert!(error.is_usage() && said.contains("Unauthorized; write a user"), "{said}");
    assert!(!said.contains("guess"), "{said}");
}

/// Rows of one key under two keys would both stand for ever.
#[test]
fn keys_of_a_topic_stay_in_one_format() {
    let registry = Registry::start();
    let avro = spec(&registry);
    let json = KafkaSinkSpec { format: RowFormat::Json, ..avro.clone() };
    drop(KafkaSink::open(&json, &[counter_schema()]).unwrap());
    let error = KafkaSink::open(&avro, &[counter_schema()]).err().unwrap();
    let said = error.to_string();
    assert!(error.is_usage() && said.contains("keys in JSON and would get them in Avro"), "{said}");

    let avro = spec(&registry);
    drop(KafkaSink::open(&avro, &[counter_schema()]).unwrap());
    // Another registry, where the same schema has another id.
    let other = Registry::start();
    other.put("others", json!({ "schema": "\"int\"" }));
    let url = RegistryUrl::parse(&other.url()).unwrap();
    let moved = KafkaSinkSpec { format: RowFormat::Avro(url), ..avro };
    let error = KafkaSink::open(&moved, &[counter_schema()]).err().unwrap();
    let said = error.to_string();
    assert!(error.is_usage() && said.contains("Avro of schema"), "{said}");
}

/// Views of the shop's job, with rows of every type of column.
const VIEWS: [&str; 8] = [
    "events",
    "identifiers",
    "people",
    "duplicates",
    "dead_letters",
    "sessions",
    "funnel_purchase",
    "funnel_purchase_people",
];

/// One job writes JSON and Avro; Confluent's own reader finds in the one what is in the other.
#[test]
fn another_client_reads_the_same_rows() {
    let (brokers, prefix, registry) = (shared().brokers(), unique("rows"), Registry::start());
    let folder = tempfile::tempdir().unwrap();
    let shop = ShopOptions { events: 4_000, days: 5, duplicates: 0.05, ..ShopOptions::default() };
    write(&shop, &FileOptions::new(folder.path()), &mut |_| {}).unwrap();
    let sinks = format!(
        "\n[[sink]]\nconnector = \"kafka\"\nbrokers = \"{brokers}\"\nprefix = \"{prefix}\"\n\
         [[sink]]\nconnector = \"kafka\"\nbrokers = \"{brokers}\"\nprefix = \"{prefix}.avro\"\n\
         format = \"avro\"\nregistry = \"{}\"\n",
        registry.url()
    );
    let job = job_file(Compression::Plain).replace("name = \"shop\"", "name = \"NAME\"");
    let job = job.replace("NAME", &prefix) + &sinks;
    std::fs::write(folder.path().join("job.toml"), job).unwrap();
    let mut broken = folder.path().join("web");
    broken.push("broken.ndjson");
    std::fs::write(broken, b"{\"messageId\": \"\xff\"}\n").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_braid-tested"));
    command.args(["run", "job.toml", "--epoch-records", "500"]).current_dir(folder.path());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/read_avro.py");
    let mut command = Command::new(python::environment("avro"));
    command.arg(script).args([brokers, &registry.url(), &prefix]).args(VIEWS);
    let output = command.output().unwrap();
    let wrong = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{wrong}");
    let said = String::from_utf8(output.stdout).unwrap();
    let counts: Vec<(&str, usize)> = said
        .lines()
        .map(|line| line.split_once(' ').unwrap())
        .map(|(view, rows)| (view, rows.parse().unwrap()))
        .collect();
    assert_eq!(counts.iter().map(|(view, _)| *view).collect::<Vec<_>>(), VIEWS);
    assert!(counts.iter().all(|(_, rows)| *rows > 0), "{said}");
    assert!(counts[0].1 > 1000, "{said}");
}
