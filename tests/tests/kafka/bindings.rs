//! Bindings in a topic.

use braid_tests::kafka::{Writer, read_all, shared, unique};
use connectors::bindings::{Binding, BindingError, BindingLog as _, Logged};
use connectors::kafka::{
    ClientSpec, KafkaBindingLog, KafkaBindingsSpec, KafkaError, KafkaPart, PartitionEnd,
    PartitionId, TopicEntry,
};

fn binding(epoch: u64) -> Binding {
    let partition = PartitionId::new(0, 1);
    let end =
        PartitionEnd { partition, upper: epoch * 3, records: 3, idle: epoch.is_multiple_of(2) };
    let part = KafkaPart {
        topics: vec![TopicEntry { name: "in".to_owned(), id: Some("x".to_owned()) }],
        partitions: vec![(partition, 0)],
        ends: vec![end],
        ..KafkaPart::default()
    };
    Binding { kafka: vec![(0, part)], ..Binding::new(epoch, 1, 7, "job") }
}

fn spec() -> KafkaBindingsSpec {
    let job = unique("bindings");
    KafkaBindingsSpec::new(ClientSpec::new(shared().brokers()), &format!("{job}.log"), &job)
}

#[test]
fn what_was_appended_is_read() {
    let spec = spec();
    let mut appended = Vec::new();
    for run in 0..3 {
        let (mut log, bindings) = KafkaBindingLog::open(&spec, None).unwrap();
        assert_eq!(bindings, appended);
        for epoch in 1..=4 {
            let binding = binding(run * 7 + epoch);
            let at = log.append(&binding).unwrap();
            appended.push(Logged { at, binding });
        }
        let all: Vec<Binding> = (5..=7).map(|epoch| binding(run * 7 + epoch)).collect();
        let places = log.append_all(&all).unwrap();
        assert_eq!(places.len(), 3);
        let logged = places.into_iter().zip(all).map(|(at, binding)| Logged { at, binding });
        appended.extend(logged);
    }
}

/// From whichever binding on it is read: what stands for the beginning, and all that follows. What
/// stands for that of another log is none of this.
#[test]
fn the_end_is_read_from_any_binding() {
    let spec = spec();
    let (mut log, _) = KafkaBindingLog::open(&spec, None).unwrap();
    let logged = |epoch| {
        let binding = binding(epoch);
        Logged { at: log.append(&binding).unwrap(), binding }
    };
    let all: Vec<Logged> = (1..=5).map(logged).collect();
    let mut beginning = all[0].clone();
    for upto in 1..=5 {
        if upto > 1 {
            beginning.extend(all[upto - 1].clone());
        }
        let (mut log, end) = KafkaBindingLog::open(&spec, Some(&beginning)).unwrap();
        assert_eq!(end, [&[beginning.clone()], &all[upto..]].concat());
        assert_eq!(log.read().unwrap(), all);
    }
    for at in [0, all[0].at, all[4].at + 1, 1 << 40] {
        let other = Logged { at, ..beginning.clone() };
        assert_eq!(KafkaBindingLog::open(&spec, Some(&other)).unwrap().1, all, "from {at}");
    }
}

#[test]
fn a_later_run_fences_off_the_earlier_one() {
    let spec = spec();
    let (mut old, _) = KafkaBindingLog::open(&spec, None).unwrap();
    old.append(&binding(1)).unwrap();
    let (mut new, bindings) = KafkaBindingLog::open(&spec, None).unwrap();
    assert_eq!(bindings.len(), 1);
    let error = old.append(&binding(2)).unwrap_err();
    assert!(matches!(&error, BindingError::Kafka(error) if error.is_fenced()), "{error}");
    new.append(&binding(2)).unwrap();
    assert_eq!(read_all(shared().brokers(), &spec.topic).len(), 2);
    assert!(old.append(&binding(3)).is_err(), "and it stays so");
}

#[test]
fn strangers_are_recognised() {
    let spec = spec();
    let broker = shared();
    drop(KafkaBindingLog::open(&spec, None).unwrap());
    let writer = Writer::new(broker.brokers());
    writer.send(&spec.topic, 0, "hello");
    writer.flush();
    let error = KafkaBindingLog::open(&spec, None).err().unwrap();
    assert!(matches!(&error, KafkaError::Foreign { .. }), "{error}");

    for settings in [
        &[("retention.ms", "1000")][..],
        &[("retention.ms", "-1"), ("retention.bytes", "100000000")],
    ] {
        let spec = self::spec();
        broker.create_topic(&spec.topic, 1, settings);
        let error = KafkaBindingLog::open(&spec, None).err().unwrap();
        assert!(error.is_usage() && error.to_string().contains("retention.ms = -1"), "{error}");
    }

    let spec = self::spec();
    broker.create_topic(&spec.topic, 2, &[("retention.ms", "-1")]);
    let error = KafkaBindingLog::open(&spec, None).err().unwrap();
    assert!(error.is_usage() && error.to_string().contains("must have 1"), "{error}");
}
