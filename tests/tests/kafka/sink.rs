//! What a sink writes, once.

use std::collections::BTreeMap;
use std::time::Duration;

use braid_tests::kafka::{counter_schema, read_all, shared, unique};
use connectors::kafka::{ClientSpec, KafkaError, KafkaSink, KafkaSinkSpec, Sent};
use operators::identity::testing::Seeded;
use operators::model::{Cause, Cell, Change, Row};

fn spec() -> KafkaSinkSpec {
    let prefix = unique("sink");
    let mut spec =
        KafkaSinkSpec::new(ClientSpec::new(shared().brokers()), &prefix, &prefix, "cafe");
    spec.partitions = 2;
    spec
}

fn change(key: u64, count: i64, diff: i64, cause: Cause) -> Change {
    let cells = [Cell::str("t"), Cell::str(&key.to_string()), Cell::Int(count)];
    Change { row: Row { view: 0, cells: cells.into(), final_at: 100 }, diff, cause }
}

/// Epochs of random changes over a few keys, and what stands at the end.
fn history(seed: u64, epochs: u64) -> (Vec<Vec<Change>>, BTreeMap<String, i64>) {
    let (mut random, mut standing) = (Seeded(seed), BTreeMap::new());
    let mut all = Vec::new();
    for _ in 0..epochs {
        let mut changes = Vec::new();
        for _ in 0..random.below(5) {
            let (key, count) = (random.below(20), random.below(1000) as i64);
            if let Some(old) = standing.remove(&key) {
                changes.push(change(key, old, -1, Cause::Late));
            }
            if !random.once_in(4) {
                standing.insert(key, count);
                changes.push(change(key, count, 1, Cause::New));
            }
        }
        all.push(changes);
    }
    (all, standing.into_iter().map(|(key, count)| (key.to_string(), count)).collect())
}

/// The rows that a consumer has who applies every committed record.
fn fold(spec: &KafkaSinkSpec) -> BTreeMap<String, i64> {
    let mut rows = BTreeMap::new();
    let mut seen = BTreeMap::new();
    for message in read_all(shared().brokers(), &spec.topic("counts")) {
        let key: serde_json::Value = serde_json::from_str(&message.key.clone().unwrap()).unwrap();
        let key = key["key"].as_str().unwrap().to_owned();
        let epoch: u64 = message.header("epoch").parse().unwrap();
        let before = seen.insert(key.clone(), epoch);
        assert!(before.is_none_or(|before| before < epoch), "epoch {epoch} of {key} comes twice");
        match message.value {
            None => assert!(rows.remove(&key).is_some(), "{key} goes and is not there"),
            Some(value) => {
                let row: serde_json::Value = serde_json::from_str(&value).unwrap();
                rows.insert(key, row["count"].as_i64().unwrap());
            }
        }
    }
    rows
}

#[test]
fn records_of_a_row() {
    let spec = spec();
    let mut sink = KafkaSink::open(&spec, &[counter_schema()]).unwrap();
    assert_eq!(sink.committed(), None);
    sink.add(1, change(7, 1, 1, Cause::New));
    sink.close(1, 50).unwrap();
    sink.close(2, 60).unwrap();
    let sent = sink.commit().unwrap();
    assert_eq!((sent.upserts, sent.tombstones, sent.repeats), (1, 0, 0));
    sink.add(3, change(7, 1, -1, Cause::Merge));
    sink.add(3, change(7, 2, 1, Cause::Late));
    sink.close(3, 100).unwrap();
    sink.add(4, change(7, 2, -1, Cause::Split));
    sink.close(4, 100).unwrap();
    assert_eq!(sink.pending(), 2);
    sink.commit().unwrap();
    assert_eq!((sink.committed(), sink.pending(), sink.pending_bytes()), (Some(4), 0, 0));
    assert_eq!(sink.commit().unwrap(), Sent::default());

    let read = read_all(shared().brokers(), &spec.topic("counts"));
    assert!(read.iter().all(|m| m.key.as_deref() == Some("{\"tenant\":\"t\",\"key\":\"7\"}")));
    let values: Vec<Option<&str>> = read.iter().map(|m| m.value.as_deref()).collect();
    let value = |count| format!("{{\"tenant\":\"t\",\"key\":\"7\",\"count\":{count}}}");
    assert_eq!(values, [Some(&*value(1)), Some(&*value(2)), None]);
    let headers = |index: usize| -> Vec<(&str, &str)> {
        read[index].headers.iter().map(|(key, value)| (&**key, &**value)).collect()
    };
    let first = [("epoch", "1"), ("status", "provisional"), ("job", "cafe"), ("final_at", "100")];
    assert_eq!(headers(0), first);
    let second = [("epoch", "3"), ("status", "final"), ("cause", "merge"), ("job", "cafe")];
    assert_eq!(headers(1), second);
    assert_eq!(read[2].header("cause"), "split");
    // The progress says where the topic's partitions end.
    let claim = sink.claim();
    let ends = &claim.ends[&spec.topic("counts")];
    assert_eq!(ends[read[2].partition as usize], read[2].offset as u64 + 1);
    assert_eq!((claim.watermark, ends.len()), (Some(100), 2));
}

/// An epoch that takes longer to write than a transaction may be open is given more time, and is
/// still one transaction: a change of the job may be such an epoch.
#[test]
fn an_epoch_that_takes_longer_than_a_transaction_may() {
    let mut spec = spec();
    spec.transaction_timeout = Duration::from_secs(1);
    // One record after the other.
    for property in ["batch.num.messages", "max.in.flight.requests.per.connection"] {
        spec.client.properties.insert(property.to_owned(), "1".to_owned());
    }
    let mut sink = KafkaSink::open(&spec, &[counter_schema()]).unwrap();
    let keys = 10_000;
    (0..keys).for_each(|key| sink.add(1, change(key, 1, 1, Cause::New)));
    sink.close(1, 50).unwrap();
    let sent = sink.commit().unwrap();
    assert_eq!((sent.upserts, sink.committed()), (keys, Some(1)));
    assert_eq!((sink.pending(), sink.pending_bytes()), (0, 0));
    assert_eq!(fold(&spec).len() as u64, keys);
    // What comes next is written as usual.
    sink.add(2, change(0, 1, -1, Cause::New));
    sink.close(2, 60).unwrap();
    assert_eq!(sink.commit().unwrap().tombstones, 1);
    assert_eq!(fold(&spec).len() as u64, keys - 1);
}

/// After a restart the same epochs come again; what is committed is not written again.
#[test]
fn epochs_that_come_again_are_passed_over() {
    let mut spec = spec();
    let (epochs, standing) = history(5, 40);
    let mut committed = 0;
    for run in 1..=4 {
        spec.generation = run;
        let mut sink = KafkaSink::open(&spec, &[counter_schema()]).unwrap();
        assert_eq!(sink.committed(), Some(committed).filter(|c| *c > 0));
        for (epoch, changes) in (1..=10 * run).zip(&epochs) {
            changes.iter().for_each(|change| sink.add(epoch, change.clone()));
            sink.close(epoch, 0).unwrap();
            if epoch % 3 == 0 {
                sink.commit().unwrap();
            }
        }
        // The last epochs of a run are closed and lost with it.
        committed = 10 * run / 3 * 3;
        if run == 4 {
            sink.commit().unwrap();
        }
    }
    assert_eq!(fold(&spec), standing);
}

/// The earlier of two runs has lost; what it had open does not count.
#[test]
fn a_zombie_is_fenced_off() {
    let mut spec = spec();
    let mut old = KafkaSink::open(&spec, &[counter_schema()]).unwrap();
    old.add(1, change(1, 1, 1, Cause::New));
    old.close(1, 0).unwrap();
    old.commit().unwrap();
    old.add(2, change(1, 99, 1, Cause::New));
    old.close(2, 0).unwrap();
    // The same generation: neither had minted an epoch.
    let mut new = KafkaSink::open(&spec, &[counter_schema()]).unwrap();
    assert_eq!(new.committed(), Some(1));
    let error = old.commit().unwrap_err();
    assert!(error.is_fenced(), "{error}");
    new.add(2, change(2, 5, 1, Cause::New));
    new.close(2, 0).unwrap();
    new.commit().unwrap();
    assert!(old.commit().unwrap_err().is_fenced());
    let expected = [("1".to_owned(), 1), ("2".to_owned(), 5)];
    assert_eq!(fold(&spec), BTreeMap::from(expected));
    // A run that is older than the last one does not even begin.
    spec.generation = 3;
    drop(KafkaSink::open(&spec, &[counter_schema()]).unwrap());
    spec.generation = 2;
    let error = KafkaSink::open(&spec, &[counter_schema()]).err().unwrap();
    assert!(error.is_fenced() && error.to_string().contains("run 3"), "{error}");
}

#[test]
fn topics_are_created_as_they_must_be_or_checked() {
    let broker = shared();
    let spec = spec();
    let topic = spec.topic("counts");
    broker.create_topic(&topic, 2, &[("cleanup.policy", "delete")]);
    let error = KafkaSink::open(&spec, &[counter_schema()]).err().unwrap();
    let said = error.to_string();
    assert!(error.is_usage() && said.contains("set cleanup.policy = compact"), "{said}");

    let spec = self::spec();
    let topic = spec.topic("counts");
    let mut sink = KafkaSink::open(&spec, &[counter_schema()]).unwrap();
    sink.close(1, 0).unwrap();
    sink.commit().unwrap();
    assert_eq!(broker.partitions(&topic), 2);
    assert_eq!(broker.partitions(&spec.topic("progress")), 1);
    broker.add_partitions(&topic, 3);
    let error = KafkaSink::open(&spec, &[counter_schema()]).err().unwrap();
    assert!(
        error.is_usage() && error.to_string().contains("had 2 partitions and has 3"),
        "{error}"
    );
}

/// A record that the topic does not take stops the job with its reason, and leaves nothing half
/// written.
#[test]
fn a_record_too_large_for_its_topic() {
    let (broker, spec) = (shared(), spec());
    let topic = spec.topic("counts");
    let small = [("cleanup.policy", "compact"), ("max.message.bytes", "1000")];
    broker.create_topic(&topic, 2, &small);
    let mut sink = KafkaSink::open(&spec, &[counter_schema()]).unwrap();
    sink.add(1, change(1, 1, 1, Cause::New));
    let mut random = Seeded(1);
    let long: String = (0..5000).map(|_| char::from(b'a' + random.below(26) as u8)).collect();
    let cells = [Cell::str("t"), Cell::str(&long), Cell::Int(1)];
    let row = Row { view: 0, cells: cells.into(), final_at: 100 };
    sink.add(1, Change { row, diff: 1, cause: Cause::New });
    sink.close(1, 0).unwrap();
    let error = sink.commit().unwrap_err();
    assert!(matches!(&error, KafkaError::Refused { topic: t, .. } if *t == topic), "{error}");
    assert!(error.to_string().contains("max.message.bytes"), "{error}");
    assert!(read_all(broker.brokers(), &topic).is_empty());
}

/// A row stays in its partition when the topic gets more of them: the client would have sent what
/// comes later elsewhere, and the old row would have stood for ever.
#[test]
fn partitions_that_are_added_get_no_rows() {
    let mut spec = spec();
    let refresh = "topic.metadata.refresh.interval.ms".to_owned();
    spec.client.properties.insert(refresh, "100".to_owned());
    let mut sink = KafkaSink::open(&spec, &[counter_schema()]).unwrap();
    let topic = spec.topic("counts");
    for epoch in 1..=2 {
        for key in 0..20 {
            if epoch == 2 {
                sink.add(epoch, change(key, 1, -1, Cause::Late));
            }
            sink.add(epoch, change(key, epoch as i64, 1, Cause::New));
        }
        sink.close(epoch, 0).unwrap();
        sink.commit().unwrap();
        if epoch == 1 {
            shared().add_partitions(&topic, 5);
            std::thread::sleep(std::time::Duration::from_secs(1));
        }
    }
    let mut places: BTreeMap<String, Vec<i32>> = BTreeMap::new();
    for message in read_all(shared().brokers(), &topic) {
        places.entry(message.key.unwrap()).or_default().push(message.partition);
    }
    assert_eq!(places.len(), 20);
    assert!(places.values().all(|p| p.len() == 2 && p[0] == p[1] && p[0] < 2), "{places:?}");
    drop(sink);
    let error = KafkaSink::open(&spec, &[counter_schema()]).err().unwrap();
    assert!(error.to_string().contains("had 2 partitions and has 5"), "{error}");
}

/// A topic that was removed was created again, empty, and taken for whole.
#[test]
fn a_topic_that_was_created_again_lacks_rows() {
    let spec = spec();
    let mut sink = KafkaSink::open(&spec, &[counter_schema()]).unwrap();
    sink.add(1, change(7, 1, 1, Cause::New));
    sink.close(1, 0).unwrap();
    sink.commit().unwrap();
    drop(sink);
    // As it is it is whole.
    drop(KafkaSink::open(&spec, &[counter_schema()]).unwrap());
    shared().delete_topic(&spec.topic("counts"));
    let error = KafkaSink::open(&spec, &[counter_schema()]).err().unwrap();
    assert!(error.is_gone() && error.to_string().contains("so rows are missing"), "{error}");
}
