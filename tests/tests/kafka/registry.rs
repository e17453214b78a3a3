//! Values framed as a schema registry says, and Protobuf of a file.

use std::time::Duration;

use braid_tests::kafka::{Registry, Writer, shared, unique, wait};
use connectors::file::{RawBatch, RawRecords};
use connectors::kafka::{KafkaError, KafkaPart, KafkaSource, RegistryUrl, Replayed, Values};
use connectors::protobuf::Messages;
use serde_json::json;

use super::support::spec;

fn framed(id: u32, body: &[u8]) -> Vec<u8> {
    [&[0], &id.to_be_bytes()[..], body].concat()
}

#[test]
fn values_of_a_registry() {
    let broker = shared();
    let topic = unique("framed");
    broker.create_topic(&topic, 1, &[]);
    let writer = Writer::new(broker.brokers());
    let registry = Registry::start();
    let record = r#"{"type":"record","name":"R","fields":[{"name":"messageId","type":"string"}]}"#;
    let record = registry.put("r", json!({ "schema": record }));
    let text = registry.put("j", json!({ "schema": "{}", "schemaType": "JSON" }));
    let other = registry.put("p", json!({ "schema": "x", "schemaType": "XML" }));
    let letter = r#"{"type":"enum","name":"a.B","symbols":["x","y"]}"#;
    registry.put("a.b", json!({ "schema": letter }));
    let references = json!([{ "name": "a.B", "subject": "a.b", "version": 1 }]);
    let of_letter =
        registry.put("u", json!({ "schema": "[\"null\",\"a.B\"]", "references": references }));
    let money = "syntax = \"proto3\"; message Money { int64 cents = 1; }";
    registry.put("money", json!({ "schema": money, "schemaType": "PROTOBUF" }));
    let event = "syntax = \"proto3\"; package shop; import \"common/money.proto\"; \
                 import \"google/protobuf/timestamp.proto\"; message Other {} message Event { \
                 map<string, string> more = 1; message Sale { string message_id = 1; \
                 Money price = 2; google.protobuf.Timestamp timestamp = 3; } }";
    let references = json!([{ "name": "common/money.proto", "subject": "money", "version": 1 }]);
    let event = registry
        .put("e", json!({ "schema": event, "schemaType": "PROTOBUF", "references": references }));
    let alone =
        registry.put("alone", json!({ "schema": "import \"x.proto\";", "schemaType": "PROTOBUF" }));
    let sale = b"\x0a\x02m8\x12\x03\x08\xd2\x09\x1a\x02\x08\x01";
    let of_sale = |path: &[u8]| framed(event, &[path, sale].concat());
    let values: [(Vec<u8>, Result<&str, &str>); 12] = [
        (framed(record, b"\x04m1"), Ok("{\"messageId\":\"m1\"}")),
        (framed(text, b"{\"messageId\":\"m2\"}"), Ok("{\"messageId\":\"m2\"}")),
        (b"{\"messageId\":\"m3\"}".to_vec(), Ok("{\"messageId\":\"m3\"}")),
        (framed(other, b"\x04m4"), Err("schema 3 is XML, not Avro, Protobuf or JSON")),
        (framed(record, b"\x08m5"), Err("not of its schema: it ends in the middle")),
        (framed(99, b"\x04m6"), Err("the registry has no schema 99")),
        (framed(of_letter, &[2, 2]), Ok("\"y\"")),
        // The first message of the second one: two places, 1 and 0.
        (
            of_sale(&[4, 2, 0]),
            Ok("{\"messageId\":\"m8\",\"price\":{\"cents\":1234},\
                \"timestamp\":\"1970-01-01T00:00:01.000000Z\"}"),
        ),
        (framed(event, &[0]), Ok("{}")),
        (of_sale(&[2, 4]), Err("not of its schema: its schema has no such message")),
        (of_sale(&[1]), Err("not of its schema: a place of its message that no schema has")),
        (framed(alone, &[0]), Err("import 'x.proto' not found")),
    ];
    for (value, _) in &values {
        writer.send_full(&topic, Some(0), None, Some(value), &[]);
    }
    writer.flush();
    // Its first answer is that it is not there yet.
    registry.away(1);
    let mut spec = spec(broker.brokers(), &[&topic]);
    spec.values = Values::Registry(RegistryUrl::parse(&registry.url()).unwrap());
    assert!(!format!("{spec:?}").contains("secret"));
    spec.unregistered = Duration::from_secs(1);
    let mut source = KafkaSource::open(&spec, &[]).unwrap();
    let mut all = Vec::new();
    wait("the records", || {
        source.wait(Duration::from_millis(50));
        if let Some(batch) = source.next(100).unwrap() {
            all.extend(read(&batch));
        }
        (all.len() == values.len()).then_some(())
    });
    for ((value, expected), (text, wrong)) in values.iter().zip(all) {
        match expected {
            Ok(expected) => assert_eq!((&*text, wrong), (expected.as_bytes(), None)),
            Err(expected) => {
                assert_eq!(&text, value);
                let wrong = wrong.unwrap_or_default();
                assert!(wrong.contains(expected), "{wrong}, not {expected}");
            }
        }
    }
}

/// A schema that the registry does not have at first: records wait for it.
#[test]
fn a_schema_that_is_registered_late() {
    let (broker, topic, registry) = (shared(), unique("late"), Registry::start());
    broker.create_topic(&topic, 1, &[]);
    let writer = Writer::new(broker.brokers());
    writer.send_full(&topic, Some(0), None, Some(&framed(1, b"\x04m1")), &[]);
    writer.flush();
    let mut spec = spec(broker.brokers(), &[&topic]);
    spec.values = Values::Registry(RegistryUrl::parse(&registry.url()).unwrap());
    spec.unregistered = Duration::from_mins(10);
    let mut source = KafkaSource::open(&spec, &[]).unwrap();
    wait("the question", || source.trouble().filter(|said| said.contains("has no schema 1")));
    assert!(source.next(9).unwrap().is_none());
    let record = r#"{"type":"record","name":"R","fields":[{"name":"messageId","type":"string"}]}"#;
    registry.put("r", json!({ "schema": record }));
    let batch = wait("the record", || source.next(9).unwrap());
    assert_eq!(read(&batch), [(b"{\"messageId\":\"m1\"}".to_vec(), None)]);
    wait("the end of the trouble", || source.trouble().is_none().then_some(()));
}

/// Records that were read without their schema are read again so, though it is there by now; those
/// that were read by it are not there any more if it has gone.
#[test]
fn what_was_read_without_its_schema_stays_so() {
    let (broker, topic, registry) = (shared(), unique("missing"), Registry::start());
    broker.create_topic(&topic, 1, &[]);
    let writer = Writer::new(broker.brokers());
    let send = |id: &[u8]| {
        writer.send_full(&topic, Some(0), None, Some(&framed(1, &[b"\x04", id].concat())), &[]);
        writer.flush();
    };
    let open = |registry: &Registry, recorded: &[&KafkaPart]| {
        let mut spec = spec(broker.brokers(), &[&topic]);
        spec.values = Values::Registry(RegistryUrl::parse(&registry.url()).unwrap());
        spec.unregistered = Duration::from_millis(100);
        KafkaSource::open(&spec, recorded).unwrap()
    };
    let again = |source: &mut KafkaSource, part: &KafkaPart| {
        let mut all = Vec::new();
        loop {
            match source.replay(part, 100, Duration::from_millis(50))? {
                Replayed::Batch(batch) => all.extend(read(&batch)),
                Replayed::Waiting => {}
                Replayed::Done => return Ok::<_, KafkaError>(all),
            }
        }
    };
    send(b"m1");
    let mut source = open(&registry, &[]);
    let first = read(&wait("the record", || source.next(9).unwrap()));
    assert_eq!(first[0].1.as_deref(), Some("the registry has no schema 1"));
    let bound = source.cut();
    let missed = bound.unregistered.iter().map(|u| (u.schema, u.from, u.upto));
    assert_eq!(missed.collect::<Vec<_>>(), [(1, 0, 1)]);
    // It is bound once, and not with all that follows.
    writer.send_full(&topic, Some(0), None, Some(b"{}"), &[]);
    writer.flush();
    let plain = read(&wait("the record", || source.next(9).unwrap()));
    assert_eq!(plain, [(b"{}".to_vec(), None)]);
    let more = source.cut();
    assert!(more.unregistered.is_empty() && more.ends.len() == 1, "{more:?}");
    drop(source);

    let record = r#"{"type":"record","name":"R","fields":[{"name":"messageId","type":"string"}]}"#;
    registry.put("r", json!({ "schema": record }));
    send(b"m2");
    let mut source = open(&registry, &[&bound, &more]);
    assert_eq!(again(&mut source, &bound).unwrap(), first);
    assert_eq!(again(&mut source, &more).unwrap(), plain);
    let second = read(&wait("the record", || source.next(9).unwrap()));
    assert_eq!(second, [(b"{\"messageId\":\"m2\"}".to_vec(), None)]);
    let next = source.cut();
    assert!(next.unregistered.is_empty());
    drop(source);

    let mut source = open(&registry, &[&bound, &more, &next]);
    assert_eq!(again(&mut source, &bound).unwrap(), first);
    assert_eq!(again(&mut source, &more).unwrap(), plain);
    assert_eq!(again(&mut source, &next).unwrap(), second);
    drop(source);

    let empty = Registry::start();
    let mut source = open(&empty, &[&bound, &more, &next]);
    let parts = [&bound, &more, &next];
    let error = parts.into_iter().find_map(|part| again(&mut source, part).err()).unwrap();
    assert!(error.is_gone() && error.to_string().contains("register it again"), "{error}");
    drop(source);

    // A job that asks no registry has decided nothing of schemas, and may be changed to ask one.
    let mut plain = KafkaSource::open(&spec(broker.brokers(), &[&topic]), &[]).unwrap();
    let mut count = 0;
    wait("the records", || {
        count += plain.next(9).unwrap().map_or(0, |batch| batch.len());
        (count == 3).then_some(())
    });
    let bound = plain.cut();
    drop(plain);
    let mut source = open(&empty, &[&bound]);
    let all = again(&mut source, &bound).unwrap();
    let wrong = all.iter().filter(|(_, wrong)| wrong.is_some());
    assert_eq!((all.len(), wrong.count()), (3, 2));
}

fn read(batch: &RawBatch) -> Vec<(Vec<u8>, Option<String>)> {
    let RawRecords::Messages { rows, .. } = &batch.records else { panic!("not from Kafka") };
    let one = |(index, (row, _)): (usize, (&[u8], _))| {
        (row.to_vec(), rows.wrong(index).map(str::to_owned))
    };
    rows.iter().enumerate().map(one).collect()
}

#[test]
fn values_of_a_message() {
    let (broker, topic) = (shared(), unique("message"));
    broker.create_topic(&topic, 1, &[]);
    let writer = Writer::new(broker.brokers());
    for value in [&b"\x0a\x01a"[..], b"\x0a\x05a", b"\x00\x00\x00\x00\x01"] {
        writer.send_full(&topic, Some(0), None, Some(value), &[]);
    }
    writer.flush();
    let text = "syntax = \"proto3\"; message Event { string message_id = 1; }";
    let mut spec = spec(broker.brokers(), &[&topic]);
    spec.values = Values::Protobuf(Messages::parse(text, &[]).unwrap().only().unwrap());
    let mut source = KafkaSource::open(&spec, &[]).unwrap();
    let mut all = Vec::new();
    wait("the records", || {
        source.wait(Duration::from_millis(50));
        all.extend(source.next(100).unwrap().iter().flat_map(read));
        (all.len() == 3).then_some(())
    });
    assert_eq!(all[0], (b"{\"messageId\":\"a\"}".to_vec(), None));
    for (_, wrong) in &all[1..] {
        assert!(wrong.as_ref().is_some_and(|wrong| wrong.starts_with("not of its schema")));
    }
}

#[test]
fn a_registry_that_makes_no_sense() {
    for (url, said) in [
        ("registry:8081", "names no web server"),
        ("ftp://registry", "names no web server"),
        ("http://", "empty host"),
    ] {
        let error = RegistryUrl::parse(url).unwrap_err();
        assert!(error.contains(said) && error.contains("write registry"), "{error}");
    }
}
