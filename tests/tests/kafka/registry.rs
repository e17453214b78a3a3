//! Values framed as a schema registry says; the registry is a recorded one.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::time::Duration;

use braid_tests::kafka::{Writer, shared, unique, wait};
use connectors::file::{RawBatch, RawRecords};
use connectors::kafka::{KafkaSource, Values};
use serde_json::{Value, json};

use super::support::spec;

/// What the registry answers, by path, as Confluent's does.
fn answer(path: &str) -> Option<Value> {
    let record = r#"{"type":"record","name":"R","fields":[{"name":"messageId","type":"string"}]}"#;
    let letter = r#"{"type":"enum","name":"a.B","symbols":["x","y"]}"#;
    let references = json!([{ "name": "a.B", "subject": "a.b", "version": 3 }]);
    Some(match path {
        "/base/schemas/ids/1" => json!({ "schema": record }),
        "/base/schemas/ids/2" => json!({ "schema": "{}", "schemaType": "JSON" }),
        "/base/schemas/ids/3" => json!({ "schema": "message M {}", "schemaType": "PROTOBUF" }),
        "/base/schemas/ids/4" => {
            json!({ "schema": "[\"null\",\"a.B\"]", "references": references })
        }
        "/base/subjects/a.b/versions/3" => {
            json!({ "subject": "a.b", "version": 3, "id": 7, "schema": letter })
        }
        _ => return None,
    })
}

/// Serves until the test ends; its first answer is that it is not there yet.
fn registry() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for (number, client) in listener.incoming().enumerate() {
            let (mut client, mut request) = (client.unwrap(), Vec::new());
            let mut part = [0; 1000];
            while !request.ends_with(b"\r\n\r\n") {
                let count = client.read(&mut part).unwrap();
                request.extend_from_slice(&part[..count]);
            }
            let request = String::from_utf8(request).unwrap().to_lowercase();
            // user:secret
            assert!(request.contains("authorization: basic dxnlcjpzzwnyzxq="), "{request}");
            let path = request.split(' ').nth(1).unwrap();
            let (status, body) = match answer(path) {
                _ if number == 0 => ("503 Service Unavailable", String::new()),
                Some(body) => ("200 OK", body.to_string()),
                None => ("404 Not Found", json!({ "error_code": 40403 }).to_string()),
            };
            let length = body.len();
            let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n");
            write!(client, "{head}Connection: close\r\n\r\n{body}").unwrap();
        }
    });
    format!("http://user:secret@{address}/base")
}

fn framed(id: u8, body: &[u8]) -> Vec<u8> {
    [&[0, 0, 0, 0, id], body].concat()
}

#[test]
fn values_of_a_registry() {
    let broker = shared();
    let topic = unique("framed");
    broker.create_topic(&topic, 1, &[]);
    let writer = Writer::new(broker.brokers());
    let values: [(Vec<u8>, Result<&str, &str>); 7] = [
        (framed(1, b"\x04m1"), Ok("{\"messageId\":\"m1\"}")),
        (framed(2, b"{\"messageId\":\"m2\"}"), Ok("{\"messageId\":\"m2\"}")),
        (b"{\"messageId\":\"m3\"}".to_vec(), Ok("{\"messageId\":\"m3\"}")),
        (framed(3, b"\x04m4"), Err("schema 3 is PROTOBUF, not Avro or JSON")),
        (framed(1, b"\x08m5"), Err("not of its schema: it ends in the middle")),
        (framed(9, b"\x04m6"), Err("the registry has no schema 9")),
        (framed(4, &[2, 2]), Ok("\"y\"")),
    ];
    for (value, _) in &values {
        writer.send_full(&topic, Some(0), None, Some(value), &[]);
    }
    writer.flush();
    let mut spec = spec(broker.brokers(), &[&topic]);
    spec.values = Values::of_registry(&registry()).unwrap();
    assert!(!format!("{spec:?}").contains("secret"));
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
            Err(expected) => assert_eq!((&text, wrong.as_deref()), (value, Some(*expected))),
        }
    }
}

fn read(batch: &RawBatch) -> Vec<(Vec<u8>, Option<String>)> {
    let RawRecords::Messages(rows) = &batch.records else { panic!("not from Kafka") };
    let one = |(index, (row, _)): (usize, (&[u8], _))| {
        (row.to_vec(), rows.wrong(index).map(str::to_owned))
    };
    rows.iter().enumerate().map(one).collect()
}

#[test]
fn a_registry_that_makes_no_sense() {
    for (url, said) in [
        ("registry:8081", "names no web server"),
        ("ftp://registry", "names no web server"),
        ("http://", "empty host"),
    ] {
        let error = Values::of_registry(url).unwrap_err();
        assert!(error.contains(said) && error.contains("write registry"), "{error}");
    }
}
