//! Transactions that nobody ends are seen and told: they hold up readers for ever.

use std::time::Duration;

use braid_tests::kafka::{Broker, Writer, counter_schema, read_all, shared, unique, wait};
use connectors::bindings::{Binding, BindingLog as _};
use connectors::kafka::{
    ClientSpec, KafkaBindingLog, KafkaBindingsSpec, KafkaError, KafkaSink, KafkaSinkSpec,
    KafkaSource,
};
use operators::model::{Cause, Cell, Change, Row};

use super::support::{read, spec};

/// A transaction of another program with one record, left open.
fn leave_open(broker: &Broker, topic: &str, partition: i32) -> Writer {
    let writer = Writer::transactional(broker.brokers());
    writer.begin();
    // Compacted topics take no records without keys.
    writer.send_full(topic, Some(partition), Some("open"), Some(b"open"), &[]);
    writer.flush();
    writer
}

#[test]
fn one_that_holds_up_a_source_is_seen() {
    let (broker, topic) = (shared(), unique("in"));
    broker.create_topic(&topic, 2, &[]);
    let writer = Writer::new(broker.brokers());
    let send = |partition: i32, value: &str| {
        writer.send(&topic, partition, value);
        writer.flush();
    };
    (0..6).for_each(|number| send(number % 2, &number.to_string()));
    let open = leave_open(broker, &topic, 0);
    send(0, "after");
    let mut source = KafkaSource::open(&spec(broker.brokers(), &[&topic]), &[]).unwrap();
    read(&mut source, 6);
    let seen = wait("the transaction to be seen", || source.status()[0].open.clone());
    assert_eq!((seen.topic, seen.partition, seen.offset), (topic.clone(), 0, 3));
    wait("the other partition to be idle", || source.status()[1].idle.then_some(()));
    assert_eq!(source.status()[1].open, None);
    wait("time to pass", || {
        let seen = source.status()[0].open.clone().expect("it stays open");
        assert_eq!(seen.offset, 3);
        (seen.open > Duration::from_millis(500)).then_some(())
    });
    assert!(!source.status()[0].idle, "what is not readable yet is not the end");
    open.abort();
    assert_eq!(read(&mut source, 1)[0].2, "after");
    wait("nothing to be open", || source.status()[0].open.is_none().then_some(()));
}

fn sink_spec(broker: &Broker, prefix: &str) -> KafkaSinkSpec {
    let mut spec = KafkaSinkSpec::new(ClientSpec::new(broker.brokers()), prefix, prefix, "hash");
    spec.partitions = 2;
    spec
}

fn publish(sink: &mut KafkaSink, epoch: u64) {
    let cells = [Cell::str("t"), Cell::str(&epoch.to_string()), Cell::Int(1)];
    let row = Row { view: 0, cells: cells.into(), final_at: 0 };
    sink.add(epoch, Change { row, diff: 1, cause: Cause::New });
    sink.close(epoch, 0).unwrap();
    sink.commit().unwrap();
}

#[test]
fn one_in_a_topic_of_a_sink_is_seen() {
    let (broker, prefix) = (shared(), unique("out"));
    let spec = sink_spec(broker, &prefix);
    let mut sink = KafkaSink::open(&spec, &[counter_schema()]).unwrap();
    let topic = format!("{prefix}.counts");
    let open = leave_open(broker, &topic, 1);
    let seen = wait("the transaction to be seen", || sink.open_transactions().pop());
    assert_eq!((&*seen.topic, seen.partition, seen.offset), (&*topic, 1, 0));
    // The sink itself is not held up.
    (1..20).for_each(|epoch| publish(&mut sink, epoch));
    assert!(read_all(broker.brokers(), &topic).len() < 19, "readers are");
    open.commit();
    wait("nothing to be open", || sink.open_transactions().is_empty().then_some(()));
    assert_eq!(read_all(broker.brokers(), &topic).len(), 20);
}

/// What was written last can't be read: to go on from what was written before would write epochs
/// again.
#[test]
fn one_that_hides_the_progress_of_a_sink_is_an_error() {
    let (broker, prefix) = (shared(), unique("out"));
    let mut spec = sink_spec(broker, &prefix);
    let mut sink = KafkaSink::open(&spec, &[counter_schema()]).unwrap();
    publish(&mut sink, 1);
    let progress = format!("{prefix}.progress");
    let settled = |count: usize| {
        wait("markers", || (read_all(broker.brokers(), &progress).len() == count).then_some(()));
    };
    settled(2);
    let open = leave_open(broker, &progress, 0);
    publish(&mut sink, 2);
    drop(sink);
    spec.patience = Duration::from_secs(5);
    let error = KafkaSink::open(&spec, &[counter_schema()]).err().expect("its end is hidden");
    assert!(matches!(error, KafkaError::Hanging { partition: 0, .. }), "{error}");
    let KafkaError::Hanging { offset, .. } = &error else { return };
    for words in [
        format!("sink {prefix:?}: a transaction is open in topic {progress:?}, partition 0"),
        format!("abort --topic {progress} --partition 0 --start-offset {offset}"),
    ] {
        assert!(error.to_string().contains(&words), "no {words:?} in {error}");
    }
    open.abort();
    let sink = KafkaSink::open(&sink_spec(broker, &prefix), &[counter_schema()]).unwrap();
    assert_eq!(sink.committed(), Some(2));
}

/// Another binding for the same epoch would give it other records.
#[test]
fn one_that_hides_bindings_is_an_error() {
    let (broker, job) = (shared(), unique("job"));
    let client = ClientSpec::new(broker.brokers());
    let mut spec = KafkaBindingsSpec::new(client, &format!("{job}.bindings"), &job);
    let binding = |epoch| Binding::new(epoch, 1, 0, "hash");
    let (mut log, _) = KafkaBindingLog::open(&spec, None).unwrap();
    log.append(&binding(1)).unwrap();
    let read = || KafkaBindingLog::peek(&spec).unwrap().len();
    wait("markers", || (read() == 1).then_some(()));
    let open = leave_open(broker, &spec.topic, 0);
    log.append(&binding(2)).unwrap();
    assert_eq!(read(), 1, "it is hidden");
    let patience = std::mem::replace(&mut spec.patience, Duration::from_secs(5));
    let error = KafkaBindingLog::open(&spec, None).err().expect("the end is hidden");
    assert!(matches!(error, KafkaError::Hanging { .. }), "{error}");
    spec.patience = patience;
    open.abort();
    drop(KafkaBindingLog::open(&spec, None).unwrap());
    let bindings = KafkaBindingLog::peek(&spec).unwrap();
    assert_eq!(bindings, [binding(1), binding(2)]);
}
