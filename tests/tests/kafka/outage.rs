//! Brokers that die and come back, each test with its own.

use std::time::Duration;

use braid_tests::kafka::{Cluster, Writer, read_all, wait};
use connectors::bindings::{Binding, BindingLog as _};
use connectors::kafka::{
    ClientSpec, KafkaBindingLog, KafkaBindingsSpec, KafkaSink, KafkaSinkSpec, KafkaSource,
    KafkaSpec,
};
use operators::model::{Cause, Cell, Change, Row};

use super::support::{read, spec};

/// A source waits for a broker that was killed, says so, does not take silence for the end, and
/// goes on without loss or repetition. A sink's commit goes through.
#[test]
fn a_broker_killed_and_started_again() {
    let mut cluster = Cluster::start(1);
    cluster.create_topic("in", 1, &[]);
    let writer = Writer::new(cluster.brokers());
    (0..10).for_each(|number| writer.send("in", 0, &number.to_string()));
    writer.flush();
    let mut source = KafkaSource::open(&spec(cluster.brokers(), &["in"]), &[]).unwrap();
    read(&mut source, 10);
    wait("idleness", || source.status()[0].idle.then_some(()));
    let client = ClientSpec::new(cluster.brokers());
    let schema = braid_tests::kafka::counter_schema();
    let mut sink =
        KafkaSink::open(&KafkaSinkSpec::new(client, "out", "job", "hash"), &[schema]).unwrap();
    let row = |epoch: u64| {
        let cells = [Cell::str("t"), Cell::str(&epoch.to_string()), Cell::Int(1)];
        let row = Row { view: 0, cells: cells.into(), final_at: 0 };
        Change { row, diff: 1, cause: Cause::New }
    };
    sink.add(1, row(1));
    sink.close(1, 0).unwrap();
    sink.commit().unwrap();
    // A commit is answered before its markers are in every partition. A broker that is killed in
    // between may never write one: when it comes back, its coordinator passes over partitions whose
    // leader it does not know yet, as if they were deleted, and readers wait there for ever. That
    // is Kafka's, and not what this test is about.
    let published = |brokers: &str| read_all(brokers, "out.counts").len();
    wait("the first commit", || (published(cluster.brokers()) == 1).then_some(()));

    cluster.kill9(1);
    wait("trouble", || {
        assert!(source.next(10).unwrap().is_none());
        source.trouble()
    });
    wait("the partition to be unreachable", || (!source.status()[0].reachable).then_some(()));
    assert!(!source.status()[0].idle, "silence is not the end");
    sink.add(2, row(2));
    sink.close(2, 0).unwrap();
    let (sink, cluster) = std::thread::scope(|scope| {
        let committing = scope.spawn(move || {
            sink.commit().unwrap();
            sink
        });
        std::thread::sleep(Duration::from_millis(500));
        cluster.launch(1);
        (committing.join().unwrap(), cluster)
    });
    assert_eq!(sink.committed(), Some(2));
    (10..20).for_each(|number| writer.send("in", 0, &number.to_string()));
    writer.flush();
    let after: Vec<u64> = read(&mut source, 10).iter().map(|record| record.1).collect();
    assert_eq!(after, (10..20).collect::<Vec<_>>());
    wait("the end of trouble", || source.trouble().is_none().then_some(()));
    let rows = read_all(cluster.brokers(), "out.counts");
    let mut epochs: Vec<&str> = rows.iter().map(|message| message.header("epoch")).collect();
    epochs.sort_unstable();
    assert_eq!(epochs, ["1", "2"]);
}

#[test]
fn brokers_that_do_not_answer() {
    let mut spec = KafkaSpec::new("web", 0, ClientSpec::new("127.0.0.1:9"), &["a"]);
    spec.patience = Duration::from_millis(300);
    let error = KafkaSource::open(&spec, &[]).err().unwrap().to_string();
    assert!(error.starts_with("source \"web\": can't reach 127.0.0.1:9: "), "{error}");
    assert!(error.contains("refused"), "the cause is told: {error}");
}

/// A partition whose broker does not answer when a source is opened was left out, and when it was
/// found the watermark had gone on without it: its records were too late.
#[test]
fn a_source_waits_for_all_its_partitions() {
    let cluster = Cluster::start(2);
    cluster.create_topic("in", 2, &[]);
    let writer = Writer::new(cluster.brokers());
    (0..2).for_each(|partition| writer.send("in", partition, "{}"));
    writer.flush();
    let spec = spec(cluster.brokers(), &["in"]);
    cluster.freeze(2, true);
    std::thread::scope(|scope| {
        let opening = scope.spawn(|| KafkaSource::open(&spec, &[]).unwrap());
        std::thread::sleep(Duration::from_secs(2));
        assert!(!opening.is_finished(), "half of it is not there");
        cluster.freeze(2, false);
        let mut source = opening.join().unwrap();
        assert_eq!(source.status().len(), 2);
        assert_eq!(read(&mut source, 2).len(), 2);
    });
}

/// A broker that stood still for longer than a transaction may be open fenced off the log of
/// bindings, as if another run had taken over.
#[test]
fn bindings_go_on_when_a_broker_stood_still() {
    let cluster = Cluster::start(2);
    let spec = KafkaBindingsSpec::new(ClientSpec::new(cluster.brokers()), "log", "job");
    let (mut log, _) = KafkaBindingLog::open(&spec, None).unwrap();
    let binding = |epoch| Binding::new(epoch, 1, 7, "job");
    let mut places = vec![log.append(&binding(1)).unwrap()];
    for (node, epoch) in [(1, 2), (2, 3)] {
        cluster.freeze(node, true);
        std::thread::scope(|scope| {
            let log = &mut log;
            let appending = scope.spawn(move || log.append(&binding(epoch)).unwrap());
            std::thread::sleep(Duration::from_secs(14));
            cluster.freeze(node, false);
            places.push(appending.join().unwrap());
        });
    }
    drop(log);
    let (_, logged) = KafkaBindingLog::open(&spec, None).unwrap();
    let found: Vec<_> = logged.iter().map(|logged| (logged.at, logged.binding.epoch)).collect();
    assert_eq!(found, places.into_iter().zip(1..=3).collect::<Vec<_>>());
}
