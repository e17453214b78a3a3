//! Records that are not there any more: the job stops and says so, whatever shows it.

use braid_tests::kafka::{Writer, shared, unique, wait};
use connectors::kafka::{KafkaError, KafkaPart, KafkaSource, PartitionId};

use super::support::{failure, read, replay, spec};

/// A topic with `count` records, all of them read and bound.
fn bound(topic: &str, count: usize) -> KafkaPart {
    let broker = shared();
    broker.create_topic(topic, 1, &[]);
    fill(topic, count);
    let mut source = KafkaSource::open(&spec(broker.brokers(), &[topic]), &[]).unwrap();
    read(&mut source, count);
    source.cut()
}

fn fill(topic: &str, count: usize) {
    let writer = Writer::new(shared().brokers());
    (0..count).for_each(|number| writer.send(topic, 0, &number.to_string()));
    writer.flush();
}

fn reopen(topic: &str, part: &KafkaPart) -> KafkaError {
    let spec = spec(shared().brokers(), &[topic]);
    KafkaSource::open(&spec, &[part]).err().expect("the source is not as it was")
}

/// Created again, and already longer than before: nothing but its id tells.
#[test]
fn a_topic_created_again_between_runs() {
    let topic = unique("recreated");
    let part = bound(&topic, 5);
    shared().delete_topic(&topic);
    shared().create_topic(&topic, 1, &[]);
    fill(&topic, 50);
    let error = reopen(&topic, &part);
    assert!(error.is_gone() && error.to_string().contains("created again"), "{error}");
}

#[test]
fn a_topic_created_again_under_a_running_source() {
    let topic = unique("recreated-live");
    shared().create_topic(&topic, 1, &[]);
    fill(&topic, 5);
    let mut source = KafkaSource::open(&spec(shared().brokers(), &[&topic]), &[]).unwrap();
    read(&mut source, 5);
    shared().delete_topic(&topic);
    shared().create_topic(&topic, 1, &[]);
    fill(&topic, 50);
    let mut more = 0;
    let error = loop {
        match source.next(100) {
            Ok(Some(batch)) => more += batch.len(),
            Ok(None) => source.wait(std::time::Duration::from_millis(50)),
            Err(error) => break error,
        }
    };
    assert!(error.is_gone() && error.to_string().contains("created again"), "{error}");
    assert_eq!(more, 0, "records of the new topic were handed out");
}

#[test]
fn a_deleted_topic() {
    let topic = unique("deleted");
    let part = bound(&topic, 3);
    let mut source = KafkaSource::open(&spec(shared().brokers(), &[&topic]), &[&part]).unwrap();
    assert_eq!(replay(&mut source, &part).unwrap().len(), 3);
    shared().delete_topic(&topic);
    let error = failure(&mut source);
    assert!(error.is_gone() && error.to_string().contains("deleted"), "{error}");
    let error = reopen(&topic, &part);
    assert!(error.is_gone() && error.to_string().contains("deleted"), "{error}");
}

/// A topic that the job has read and no longer names: it is still there.
#[test]
fn a_topic_that_is_no_longer_named() {
    let topics = [unique("named"), unique("unnamed")];
    let broker = shared();
    for topic in &topics {
        broker.create_topic(topic, 1, &[]);
        fill(topic, 1);
    }
    let both = spec(broker.brokers(), &[&topics[0], &topics[1]]);
    let mut source = KafkaSource::open(&both, &[]).unwrap();
    read(&mut source, 2);
    let error = reopen(&topics[0], &source.cut());
    assert!(error.is_usage() && !error.is_gone(), "{error}");
    assert!(error.to_string().contains(&format!("{:?} has been read", topics[1])), "{error}");
}

/// Retention has removed what an earlier run has read.
#[test]
fn records_removed_at_the_beginning() {
    let topic = unique("retention");
    let part = bound(&topic, 6);
    shared().delete_records(&topic, 0, 4);
    let error = reopen(&topic, &part);
    let said = error.to_string();
    assert!(error.is_gone() && said.contains("offsets 0 to 6 were read before, 4 to 6"), "{said}");
    // A job that begins now has what is there.
    let mut source = KafkaSource::open(&spec(shared().brokers(), &[&topic]), &[]).unwrap();
    assert_eq!(read(&mut source, 2).iter().map(|r| r.1).collect::<Vec<_>>(), [4, 5]);
    assert_eq!(source.cut().partitions[0].1, 4);
}

/// Retention has removed the last records of a partition and the marker behind them, all of which
/// had been read: nothing is lost.
#[test]
fn markers_removed_behind_what_was_read() {
    let (broker, topic) = (shared(), unique("markers"));
    broker.create_topic(&topic, 1, &[]);
    let writer = Writer::transactional(broker.brokers());
    writer.begin();
    (0..3).for_each(|number| writer.send(&topic, 0, &number.to_string()));
    writer.commit();
    let spec = spec(broker.brokers(), &[&topic]);
    let mut source = KafkaSource::open(&spec, &[]).unwrap();
    read(&mut source, 3);
    let (mut parts, partition) = (vec![source.cut()], PartitionId::new(0, 0));
    wait("the marker to be bound", || {
        parts.extend(Some(source.cut()).filter(|part| *part != KafkaPart::default()));
        (source.positions()[&partition] == 4).then_some(())
    });
    assert_eq!(source.cut(), KafkaPart::default(), "nothing has changed");
    drop(source);
    broker.delete_records(&topic, 0, 4);
    fill(&topic, 1);
    let all: Vec<&KafkaPart> = parts.iter().collect();
    // A snapshot at the last epoch, and one at the epoch that has the records.
    let (sum, first) = (KafkaPart::sum(&all), KafkaPart::sum(&all[..1]));
    for recorded in [vec![&sum], [&[&first], &all[1..]].concat()] {
        let mut source = KafkaSource::open(&spec, &recorded).unwrap();
        for part in recorded {
            assert!(replay(&mut source, part).unwrap().is_empty());
        }
        assert_eq!(read(&mut source, 1)[0].1, 4);
    }
    let error = KafkaSource::open(&spec, &all).err().expect("the records are wanted");
    assert!(error.is_gone(), "{error}");
}

/// Retention is faster than the reading.
#[test]
fn records_removed_before_they_are_read() {
    let topic = unique("overtaken");
    shared().create_topic(&topic, 1, &[]);
    let writer = Writer::new(shared().brokers());
    (0..3000).for_each(|_| writer.send(&topic, 0, &"x".repeat(10_000)));
    writer.flush();
    let mut spec = spec(shared().brokers(), &[&topic]);
    spec.bytes_max = 1;
    let mut source = KafkaSource::open(&spec, &[]).unwrap();
    wait("a full buffer", || (source.bytes_ahead() > 200_000).then_some(()));
    shared().delete_records(&topic, 0, 2990);
    let error = failure(&mut source);
    assert!(error.is_gone() && error.to_string().contains("offsets 2990 to 3000"), "{error}");
}

/// A binding that says more than the topic has: it was another topic, or lost its end.
#[test]
fn ends_that_are_not_reached() {
    let topic = unique("short");
    let mut part = bound(&topic, 4);
    part.ends[0].upper = 9;
    let error = reopen(&topic, &part);
    assert!(error.is_gone() && error.to_string().contains("0 to 4 are there"), "{error}");
}

/// Compaction or a tool has taken records out of the middle: an epoch would have other rows.
#[test]
fn records_missing_in_the_middle() {
    let topic = unique("holes");
    let mut part = bound(&topic, 4);
    part.ends[0].records = 5;
    let mut source = KafkaSource::open(&spec(shared().brokers(), &[&topic]), &[&part]).unwrap();
    let error = replay(&mut source, &part).unwrap_err();
    assert!(error.is_gone(), "{error}");
    assert!(error.to_string().contains("5 records below offset 4"), "{error}");
}
