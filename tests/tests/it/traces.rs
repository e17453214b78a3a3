//! The path of epochs through a job, as a collector sees it; and lines on standard error for
//! machines.

use std::collections::{BTreeMap, BTreeSet};

use braid_tests::collector::Collector;
use serde_json::Value;

use crate::support::Job;

/// A job of some epochs that sends traces.
fn job(collector: &Collector, records: u64) -> Job {
    let job = Job::new(&format!(
        r#"
        [job]
        name = "traced"
        out = "out"
        epoch_records = 10
        [[source]]
        name = "s"
        connector = "file"
        path = "a.ndjson"
        [trace]
        otlp = "http://{}"
        every = "0s"
        [trace.headers]
        authorization = "Bearer x"
        "#,
        collector.address()
    ));
    let record = |number: u64| {
        format!("{{\"messageId\":\"{number}\",\"timestamp\":\"2026-01-01T00:00:00Z\"}}\n")
    };
    job.write("a.ndjson", (0..records).map(record).collect::<String>());
    job
}

fn number(span: &Value, key: &str) -> Option<u64> {
    let list = span["attributes"].as_array()?;
    let found = list.iter().find(|of| of["key"] == key)?;
    found["value"]["intValue"].as_str()?.parse().ok()
}

fn time(span: &Value, key: &str) -> u64 {
    span[key].as_str().unwrap().parse().unwrap()
}

#[test]
fn a_collector_sees_the_path_of_each_epoch() {
    let collector = Collector::start("200 OK");
    let job = job(&collector, 45);
    let output = job.command("run").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for request in collector.taken() {
        assert_eq!(request.line, "POST /v1/traces HTTP/1.1");
        for header in ["content-type: application/json", "authorization: bearer x"] {
            assert!(request.headers.iter().any(|line| line == header), "{:?}", request.headers);
        }
    }
    let spans = collector.spans();
    let mut traces: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for span in &spans {
        traces.entry(span["traceId"].as_str().unwrap()).or_default().push(span);
    }
    let (mut epochs, mut records) = (BTreeSet::new(), 0);
    for trace in traces.values() {
        let of = |id: &Value| trace.iter().find(|span| span["spanId"] == *id);
        let name = |span: &Value| span["name"].as_str().unwrap().to_owned();
        let tree: BTreeSet<(String, Option<String>)> = trace
            .iter()
            .map(|span| (name(span), of(&span["parentSpanId"]).map(|parent| name(parent))))
            .collect();
        let expected = [
            ("epoch", None),
            ("read", Some("epoch")),
            ("bind", Some("epoch")),
            ("compute", Some("epoch")),
            ("decode", Some("compute")),
            ("admit", Some("compute")),
            ("publish changelogs", Some("epoch")),
            ("publish tables", Some("epoch")),
            ("commit", Some("publish changelogs")),
            ("commit", Some("publish tables")),
        ];
        let expected = expected.map(|(name, parent)| (name.to_owned(), parent.map(str::to_owned)));
        // The last epoch may be one without records, which says only that the source is at its end.
        let admits = tree.iter().any(|(name, _)| name == "admit");
        let expected = expected.into_iter().filter(|(name, _)| admits || name != "admit");
        assert_eq!(tree, expected.collect(), "{trace:?}");
        for span in trace {
            assert!(time(span, "startTimeUnixNano") <= time(span, "endTimeUnixNano"));
            let Some(parent) = of(&span["parentSpanId"]) else { continue };
            let inside = time(parent, "startTimeUnixNano") <= time(span, "startTimeUnixNano")
                && time(span, "endTimeUnixNano") <= time(parent, "endTimeUnixNano");
            assert!(inside, "{span:?} in {parent:?}");
        }
        let whole = trace.iter().find(|span| span["name"] == "epoch").unwrap();
        epochs.insert(number(whole, "braid.epoch").unwrap());
        records += number(whole, "braid.records").unwrap();
    }
    assert!(epochs.is_superset(&(1..=5).collect()), "{epochs:?}");
    assert_eq!((records, epochs.len()), (45, traces.len()));
}

/// The job does not care, and says so once.
#[test]
fn a_collector_that_refuses_is_told_once() {
    let collector = Collector::start("503 Service Unavailable");
    let job = job(&collector, 200);
    let output = job.command("run").args(["--log", "json"]).output().unwrap();
    assert!(output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<Value> = said
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}")))
        .collect();
    let of = |line: &&Value| line["message"].as_str().unwrap().contains("takes no traces");
    let refused: Vec<&Value> = lines.iter().filter(of).collect();
    assert_eq!(refused.len(), 1, "{said}");
    assert_eq!(refused[0]["level"], "info");
    assert!(refused[0]["message"].as_str().unwrap().contains("503 Service Unavailable"), "{said}");
    assert_eq!(job.table("events").rows.len(), 200);
}
