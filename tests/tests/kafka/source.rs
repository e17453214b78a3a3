//! What a source reads, and how it reads the same again.

use std::time::Duration;

use braid_tests::kafka::{Broker, Writer, config, shared, unique, wait};
use connectors::kafka::{KafkaPart, KafkaSource, PartitionId};
use operators::identity::testing::Seeded;
use rdkafka::consumer::{BaseConsumer, Consumer as _};

use super::support::{Read, by_partition, read, records, replay, spec};

#[test]
fn topics_by_name_and_pattern() {
    let (broker, run) = (shared(), unique("select"));
    let (a, b, other) = (format!("{run}.a"), format!("{run}.b"), format!("{run}-c"));
    for topic in [&a, &b, &other] {
        broker.create_topic(topic, 2, &[]);
    }
    let writer = Writer::new(broker.brokers());
    for (index, topic) in [&a, &b, &other].into_iter().enumerate() {
        writer.send(topic, 0, &format!("{index} in 0"));
        writer.send_full(topic, Some(1), Some("key"), Some(b"{}"), &[("header", "x")]);
    }
    writer.flush();
    // The named topic comes first, whatever its name.
    let pattern = format!("^{run}\\..*");
    let mut source = KafkaSource::open(&spec(broker.brokers(), &[&b, &pattern]), &[]).unwrap();
    let read = by_partition(&read(&mut source, 4));
    let of = |topic, number| &read[&PartitionId::new(topic, number)];
    assert_eq!(*of(0, 0), [(0, "1 in 0".to_owned())]);
    assert_eq!(*of(1, 0), [(0, "0 in 0".to_owned())]);
    assert_eq!(*of(0, 1), [(0, "{}".to_owned())]);
    let part = source.cut();
    let names: Vec<&str> = part.topics.iter().map(|topic| &*topic.name).collect();
    assert_eq!(names, [&b, &a]);
    assert!(part.topics.iter().all(|topic| topic.id.is_some()), "the broker has ids: {part:?}");
    assert_eq!(part.partitions.len(), 4);
}

#[test]
fn a_missing_topic_is_named_and_not_created() {
    let (broker, name) = (shared(), unique("missing"));
    let error = KafkaSource::open(&spec(broker.brokers(), &[&name]), &[]).err().unwrap();
    assert!(error.is_usage() && error.to_string().contains(&name), "{error}");
    assert_eq!(broker.partitions(&name), 0);
}

/// Transactions of few records, some taken back: offsets have gaps everywhere, also at the ends.
fn write_with_gaps(broker: &Broker, topic: &str, seed: u64, transactions: u64) -> usize {
    let (mut random, mut kept) = (Seeded(seed), 0);
    let writer = Writer::transactional(broker.brokers());
    for number in 0..transactions {
        writer.begin();
        let count = 1 + random.below(4);
        for record in 0..count {
            writer.send(topic, random.below(3) as i32, &format!("{number}.{record}"));
        }
        if random.once_in(4) {
            writer.abort();
        } else {
            writer.commit();
            kept += count as usize;
        }
    }
    kept
}

/// What was bound is read again in the same epochs, with gaps between the offsets, however it is
/// cut into epochs; and reading goes on where the last epoch ended.
#[test]
fn bound_epochs_are_read_again() {
    let broker = shared();
    let topic = unique("again");
    broker.create_topic(&topic, 3, &[]);
    let kept = write_with_gaps(broker, &topic, 1, 60);
    let spec = spec(broker.brokers(), &[&topic]);
    let mut parts: Vec<KafkaPart> = Vec::new();
    let (mut epochs, mut random) = (Vec::<Vec<Read>>::new(), Seeded(2));
    let mut more = 0;
    for run in 0..3 {
        let listed: Vec<&KafkaPart> = parts.iter().collect();
        let mut source = KafkaSource::open(&spec, &listed).unwrap();
        for (part, epoch) in parts.iter().zip(&epochs) {
            assert_eq!(by_partition(&replay(&mut source, part).unwrap()), by_partition(epoch));
        }
        let total = epochs.iter().map(Vec::len).sum::<usize>();
        let end = if run < 2 { total + kept / 4 } else { kept + more };
        let mut left = end - total;
        while left > 0 {
            let mut epoch = Vec::new();
            for _ in 0..=random.below(3) {
                source.wait(Duration::from_millis(100));
                let most = 1 + random.below(9) as usize;
                epoch.extend(
                    source
                        .next(most.min(left - epoch.len()).max(1))
                        .unwrap()
                        .map_or(Vec::new(), |batch| records(&batch)),
                );
                if epoch.len() == left {
                    break;
                }
            }
            left -= epoch.len();
            if !epoch.is_empty() {
                parts.push(source.cut());
                epochs.push(epoch);
            }
        }
        if run == 1 {
            more = write_with_gaps(broker, &topic, 3, 10);
        }
    }
    let mut all: Vec<String> = epochs.into_iter().flatten().map(|(_, _, value)| value).collect();
    all.sort();
    assert_eq!(all.len(), kept + more);
    // The second writer's numbers begin anew; beside that, nothing comes twice.
    all.dedup();
    assert!(all.len() > kept, "{} of {kept} are distinct", all.len());
}

#[test]
fn open_and_aborted_transactions() {
    let broker = shared();
    let topic = unique("open");
    broker.create_topic(&topic, 1, &[]);
    let (open, other) = (Writer::transactional(broker.brokers()), Writer::new(broker.brokers()));
    open.begin();
    open.send(&topic, 0, "in the open one");
    open.flush();
    other.send(&topic, 0, "after it");
    other.flush();
    let mut source = KafkaSource::open(&spec(broker.brokers(), &[&topic]), &[]).unwrap();
    // The end is known and nothing can be read: the partition is not idle.
    wait("the end", || source.status()[0].end.filter(|end| *end >= 2));
    std::thread::sleep(Duration::from_millis(700));
    assert!(source.next(10).unwrap().is_none());
    assert!(!source.status()[0].idle);
    open.commit();
    let values: Vec<String> = read(&mut source, 2).into_iter().map(|r| r.2).collect();
    assert_eq!(values, ["in the open one", "after it"]);
    open.begin();
    open.send(&topic, 0, "taken back");
    open.abort();
    other.send(&topic, 0, "last");
    other.flush();
    assert_eq!(read(&mut source, 1)[0].2, "last");
    // Idle, though the last thing in the partition may be a marker.
    open.begin();
    open.send(&topic, 0, "taken back again");
    open.abort();
    let past_the_last = wait("idleness past the last record", || {
        let status = source.status().remove(0);
        (status.idle && status.end? > status.next).then_some(status)
    });
    assert!(past_the_last.reachable);
}

#[test]
fn idleness_is_bound_when_it_changes() {
    let broker = shared();
    let topic = unique("idle");
    broker.create_topic(&topic, 2, &[]);
    let writer = Writer::new(broker.brokers());
    writer.send(&topic, 0, "one");
    writer.flush();
    let mut source = KafkaSource::open(&spec(broker.brokers(), &[&topic]), &[]).unwrap();
    read(&mut source, 1);
    wait("both to be idle", || source.status().iter().all(|s| s.idle).then_some(()));
    let ends = source.cut().ends;
    assert_eq!(
        ends.iter().map(|e| (e.records, e.idle)).collect::<Vec<_>>(),
        [(1, true), (0, true)]
    );
    assert_eq!(source.cut(), KafkaPart::default(), "nothing has changed");
    writer.send(&topic, 1, "two");
    writer.flush();
    read(&mut source, 1);
    let moved = source.cut().ends;
    assert_eq!(moved[0].partition.number(), 1);
}

#[test]
fn partitions_and_topics_that_appear() {
    let (broker, run) = (shared(), unique("appear"));
    let first = format!("{run}.a");
    broker.create_topic(&first, 1, &[]);
    let pattern = format!("^{run}\\.");
    let spec = spec(broker.brokers(), &[&format!("{pattern}.*")]);
    let mut source = KafkaSource::open(&spec, &[]).unwrap();
    let writer = Writer::new(broker.brokers());
    writer.send(&first, 0, "first");
    writer.flush();
    assert_eq!(read(&mut source, 1)[0].2, "first");
    let one = source.cut();
    broker.add_partitions(&first, 3);
    let second = format!("{run}.b");
    broker.create_topic(&second, 1, &[]);
    let writer = Writer::new(broker.brokers());
    writer.send(&first, 2, "in a new partition");
    writer.send(&second, 0, "in a new topic");
    writer.flush();
    let mut found: Vec<(u32, String)> =
        read(&mut source, 2).into_iter().map(|r| (r.0.0, r.2)).collect();
    found.sort();
    let place = PartitionId::new(1, 0).0;
    assert_eq!(found, [(2, "in a new partition".to_owned()), (place, "in a new topic".to_owned())]);
    let two = source.cut();
    assert_eq!((one.topics.len(), two.topics.len()), (1, 1));
    drop(source);
    // The next run has them where they were.
    let mut source = KafkaSource::open(&spec, &[&one, &two]).unwrap();
    assert_eq!(replay(&mut source, &one).unwrap().len(), 1);
    let again: Vec<u32> =
        by_partition(&replay(&mut source, &two).unwrap()).keys().map(|p| p.0).collect();
    assert_eq!(again, [2, place]);
}

/// However much there is to read, what is read ahead stays within its bounds.
#[test]
fn what_is_read_ahead_is_bounded() {
    let broker = shared();
    let topic = unique("bounds");
    broker.create_topic(&topic, 2, &[]);
    let writer = Writer::new(broker.brokers());
    let value = "x".repeat(10_000);
    let count = 4000;
    for number in 0..count {
        writer.send(&topic, number % 2, &value);
    }
    writer.flush();
    let mut spec = spec(broker.brokers(), &[&topic]);
    spec.bytes_max = 2 << 20;
    let mut source = KafkaSource::open(&spec, &[]).unwrap();
    let share = spec.bytes_max / 2;
    wait("full buffers", || (source.bytes_ahead() > share).then_some(()));
    std::thread::sleep(Duration::from_millis(1500));
    // Each partition: its share, and a turn's last record; the client: as much and one fetch.
    assert!(source.bytes_ahead() <= 2 * (share + value.len() + 100), "{}", source.bytes_ahead());
    let queued: u64 = source.status().iter().map(|s| s.bytes_queued).sum();
    assert!(queued > 0 && queued <= 2 * 2 * (share as u64 + 200_000), "{queued}");
    let read = by_partition(&read(&mut source, count as usize));
    for records in read.values() {
        let offsets: Vec<u64> = records.iter().map(|r| r.0).collect();
        assert_eq!(offsets, (0..count as u64 / 2).collect::<Vec<_>>());
    }
}

#[test]
fn other_tools_see_how_far_it_is() {
    let broker = shared();
    let topic = unique("shown");
    broker.create_topic(&topic, 1, &[]);
    let writer = Writer::new(broker.brokers());
    (0..5).for_each(|n| writer.send(&topic, 0, &n.to_string()));
    writer.flush();
    let spec = spec(broker.brokers(), &[&topic]);
    let mut source = KafkaSource::open(&spec, &[]).unwrap();
    read(&mut source, 5);
    source.show_progress();
    let mut reader = config(broker.brokers());
    let reader: BaseConsumer = reader.set("group.id", &spec.group).create().unwrap();
    wait("the group's offset", || {
        let mut list = rdkafka::TopicPartitionList::new();
        list.add_partition(&topic, 0);
        let list = reader.committed_offsets(list, Duration::from_secs(5)).ok()?;
        (list.elements()[0].offset() == rdkafka::Offset::Offset(5)).then_some(())
    });
}

#[test]
fn tombstones_and_empty_values_are_records() {
    let broker = shared();
    let topic = unique("tombstones");
    broker.create_topic(&topic, 1, &[]);
    let writer = Writer::new(broker.brokers());
    writer.send_full(&topic, Some(0), Some("k"), None, &[]);
    writer.send_full(&topic, Some(0), Some("k"), Some(b""), &[]);
    writer.send(&topic, 0, "{}");
    writer.flush();
    let mut source = KafkaSource::open(&spec(broker.brokers(), &[&topic]), &[]).unwrap();
    let values: Vec<String> = read(&mut source, 3).into_iter().map(|r| r.2).collect();
    assert_eq!(values, ["", "", "{}"]);
}
