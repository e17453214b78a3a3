//! What stands beside the values of records: keys, headers, and what the topic knows.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use braid_tests::kafka::{Braid, Registry, Writer, read_all, shared, unique, wait};
use braid_tests::rows::{published, stored};
use connectors::decode::{Beside, RecordPart};
use connectors::file::{RawBatch, RawRecords};
use connectors::kafka::{KafkaSource, RegistryUrl, Replayed, Values};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::BaseRecord;
use serde_json::{Value, json};

use super::support::spec;

/// 2026-01-02T03:04:05.006Z
const AT: i64 = 1_767_323_045_006;

type Headers<'a> = &'a [(&'a str, Option<&'a [u8]>)];

fn send(writer: &Writer, topic: &str, key: Option<&[u8]>, headers: Headers<'_>) {
    let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(topic).partition(0).payload(b"{}");
    record.key = key;
    let all = headers
        .iter()
        .fold(OwnedHeaders::new(), |all, (key, value)| all.insert(Header { key, value: *value }));
    writer.send_record(record.timestamp(AT).headers(all));
}

/// What stands beside each record, or why that can't be said.
fn around(batch: &RawBatch) -> Vec<Result<Value, String>> {
    let RawRecords::Messages { rows, beside } = &batch.records else { panic!("not from Kafka") };
    let beside = beside.as_ref().expect("it is wanted");
    let one = |index: usize| match rows.wrong(index) {
        Some(wrong) => Err(wrong.to_owned()),
        None => Ok(serde_json::from_slice(beside.get(index)).unwrap()),
    };
    (0..rows.len()).map(one).collect()
}

#[test]
fn keys_headers_and_what_the_topic_knows() {
    let (broker, topic) = (shared(), unique("beside"));
    broker.create_topic(&topic, 1, &[("message.timestamp.type", "CreateTime")]);
    let registry = Registry::start();
    let text = registry.put("t", json!({ "schema": "\"string\"" }));
    let record = r#"{"type":"record","name":"K","fields":[{"name":"id","type":"long"}]}"#;
    let record = registry.put("r", json!({ "schema": record }));
    let framed = |id: u32, body: &[u8]| [&[0], &id.to_be_bytes()[..], body].concat();
    let (of_text, of_record) = (framed(text, b"\x04u7"), framed(record, &[20]));
    let (cut, unknown) = (framed(record, &[]), framed(99, &[]));
    let writer = Writer::new(broker.brokers());
    let two: Headers<'_> = &[
        ("x-shop", Some(b"a")),
        ("other", Some(b"\xff")),
        ("x-shop", Some("b\"é".as_bytes())),
        ("x-none", None),
    ];
    let object = json!({ "user": { "id": 7 } });
    let written = object.to_string();
    let cases: [(Option<&[u8]>, Headers<'_>, Result<Value, &str>); 10] = [
        (None, &[], Ok(json!([null, null, {}]))),
        (Some(b""), &[], Ok(json!([null, null, {}]))),
        (Some(written.as_bytes()), two, Ok(json!([written, object, {"x-shop": "b\"é"}]))),
        (Some(b"5"), &[("x-shop", None)], Ok(json!(["5", 5, {"x-shop": null}]))),
        (Some(&of_text), &[], Ok(json!(["u7", "u7", {}]))),
        (Some(&of_record), &[], Ok(json!([{"id": 10}, {"id": 10}, {}]))),
        (Some(b"u-7"), &[], Err("the key: expected value at line 1 column 1")),
        (Some(&cut), &[], Err("the key: not of its schema: it ends in the middle")),
        (Some(&unknown), &[], Err("the key: the registry has no schema 99")),
        (Some(b"5"), &[("x-shop", Some(b"\xff"))], Err("the header \"x-shop\" is not UTF-8")),
    ];
    for (key, headers, _) in &cases {
        send(&writer, &topic, *key, headers);
    }
    writer.flush();

    let mut spec = spec(broker.brokers(), &[&topic]);
    spec.values = Values::Registry(RegistryUrl::parse(&registry.url()).unwrap());
    spec.beside = Beside {
        whole_key: true,
        key_fields: true,
        headers: vec!["x-shop".to_owned()],
        record: RecordPart::ALL.to_vec(),
    };
    let mut source = KafkaSource::open(&spec, &[]).unwrap();
    let mut first = Vec::new();
    wait("the records", || {
        source.wait(Duration::from_millis(50));
        first.extend(source.next(3).unwrap().iter().flat_map(around));
        (first.len() == cases.len()).then_some(())
    });
    for (offset, ((_, _, expected), found)) in cases.iter().zip(&first).enumerate() {
        let expected = expected.as_ref().map_err(|wrong| (*wrong).to_owned()).map(|parts| {
            json!({
                "whole": parts[0], "key": parts[1], "headers": parts[2],
                "timestamp": "2026-01-02T03:04:05.006Z",
                "topic": topic, "partition": 0, "offset": offset,
            })
        });
        assert_eq!(found, &expected);
    }
    // Read again, the same stands beside them.
    let part = source.cut();
    drop(source);
    let mut source = KafkaSource::open(&spec, &[&part]).unwrap();
    let mut again = Vec::new();
    wait("the records again", || {
        match source.replay(&part, 4, Duration::from_millis(100)).unwrap() {
            Replayed::Batch(batch) => again.extend(around(&batch)),
            Replayed::Waiting => {}
            Replayed::Done => return Some(()),
        }
        None
    });
    assert_eq!(again, first);
    // What is not wanted can't be wrong.
    spec.beside = Beside { record: vec![RecordPart::Offset], ..Beside::default() };
    let mut source = KafkaSource::open(&spec, &[]).unwrap();
    let mut plain = Vec::new();
    wait("the records without keys", || {
        source.wait(Duration::from_millis(50));
        plain.extend(source.next(100).unwrap().iter().flat_map(around));
        (plain.len() == cases.len()).then_some(())
    });
    assert!(plain.iter().all(Result::is_ok), "{plain:?}");
}

const COUNT: i64 = 300;

const FIELDS: &str = r#"
[source.fields]
messageId = { concat = ["n", { record = "topic" }, { key = "user.id" }] }
userId = { key = "user.id" }
"traits.email" = { header = "email" }
channel = { header = "x-channel" }
timestamp = { record = "timestamp" }
receivedAt = { header = "read", format = "unix_ms" }
event = "what"
"#;

/// A job that is killed, so that it reads everything again, has the rows of one over files in which
/// the same stands in the records.
#[test]
fn a_job_with_fields_from_beside_values() {
    let (broker, name) = (shared(), unique("mapped"));
    let topic = format!("{name}.in");
    broker.create_topic(&topic, 2, &[]);
    let folder = tempfile::tempdir().unwrap();
    let head = format!(
        "[job]\nname = \"{name}\"\nout = \"out\"\nwithout = [\"id_changes\"]\n[snapshot]\n\
         every = \"never\"\n[[sink]]\nconnector = \"arrow\"\n"
    );
    let kafka = format!(
        "[[sink]]\nconnector = \"kafka\"\nbrokers = \"{0}\"\n[[source]]\nname = \"s\"\n\
         connector = \"kafka\"\nbrokers = \"{0}\"\ntopics = [\"{topic}\"]\n",
        broker.brokers()
    );
    let topics = folder.path().join("topics");
    let files = folder.path().join("files");
    std::fs::create_dir_all(&topics).unwrap();
    std::fs::create_dir_all(&files).unwrap();
    std::fs::write(topics.join("job.toml"), format!("{head}{kafka}{FIELDS}")).unwrap();
    let file = "[[source]]\nname = \"s\"\nconnector = \"file\"\npath = \"all.ndjson\"\n";
    std::fs::write(files.join("job.toml"), format!("{head}{file}")).unwrap();

    let writer = Writer::new(broker.brokers());
    let braid = Path::new(env!("CARGO_BIN_EXE_braid-tested"));
    let mut lines = String::new();
    for n in 0..COUNT {
        let (user, at) = (n % 7, AT + n * 61_007 % 900_000);
        let key = json!({ "user": { "id": user } }).to_string();
        let value = json!({ "n": n, "what": if n % 3 == 0 { "a" } else { "b" } });
        let (email, read) = (format!("{}@x.org", n % 5), (at + 5).to_string());
        let headers = [("email", &*email), ("x-channel", "web"), ("read", &*read)];
        let headers = headers.iter().fold(OwnedHeaders::new(), |all, (key, value)| {
            all.insert(Header { key, value: Some(*value) })
        });
        let text = value.to_string();
        let record = BaseRecord::to(&topic).partition((n % 2) as i32).key(&*key).timestamp(at);
        writer.send_record(record.payload(text.as_bytes()).headers(headers));
        let moment = |at: i64| jiff::Timestamp::from_millisecond(at).unwrap().to_string();
        let line = json!({
            "messageId": format!("{n}|{topic}|{user}"), "userId": user, "event": value["what"],
            "traits": { "email": email }, "channel": "web",
            "timestamp": moment(at), "receivedAt": moment(at + 5),
        });
        lines.extend([line.to_string().as_str(), "\n"]);
        if n == COUNT / 2 {
            writer.flush();
            let job = Braid::start(braid, &topics, &[]);
            wait("some rows", || {
                let there = broker.partitions(&format!("{name}.events")) > 0;
                let rows = || read_all(broker.brokers(), &format!("{name}.events")).len();
                (there && rows() > 10).then_some(())
            });
            job.kill9();
        }
    }
    // A tombstone is a dead letter, and stops nobody.
    writer.send_full(&topic, Some(0), Some("{\"user\":{\"id\":1}}"), None, &[]);
    writer.flush();
    std::fs::write(files.join("all.ndjson"), lines).unwrap();
    let mut command = Command::new(braid);
    command.args(["run", "job.toml"]).current_dir(&files).stdout(Stdio::null());
    assert!(command.status().unwrap().success());
    let job = Braid::start(braid, &topics, &[]);
    wait("all rows", || {
        let events = published(&read_all(broker.brokers(), &format!("{name}.events")));
        (events.values().sum::<usize>() as i64 == COUNT).then_some(())
    });
    let letter = wait("the dead letter", || {
        read_all(broker.brokers(), &format!("{name}.dead_letters")).pop()
    });
    let letter: Value = serde_json::from_str(&letter.value.unwrap()).unwrap();
    assert_eq!((&letter["reason"], &letter["payload"]), (&json!("no_value"), &json!("")));
    assert_eq!(job.term(), 0);
    for view in ["events", "identifiers", "people"] {
        let [here, there] =
            [&topics, &files].map(|job| stored(&job.join(format!("out/arrow/{view}.arrow"))));
        assert_eq!(here, there, "{view}");
        assert!(!here.is_empty(), "{view}");
    }
}
