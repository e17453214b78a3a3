//! The harness itself.

use braid_tests::kafka::{Cluster, Writer, read_all, shared, unique};

#[test]
fn committed_records_are_read_and_aborted_ones_are_not() {
    let broker = shared();
    let topic = unique("harness");
    broker.create_topic(&topic, 2, &[]);
    let writer = Writer::transactional(broker.brokers());
    for round in 0..4 {
        writer.begin();
        writer.send(&topic, round % 2, &round.to_string());
        if round < 2 { writer.commit() } else { writer.abort() }
    }
    let read = read_all(broker.brokers(), &topic);
    let values: Vec<_> = read.iter().map(|m| (m.partition, m.value.as_deref())).collect();
    assert_eq!(values, [(0, Some("0")), (1, Some("1"))]);
}

#[test]
fn a_broker_survives_a_crash() {
    let mut cluster = Cluster::start(1);
    cluster.create_topic("kept", 1, &[]);
    let writer = Writer::new(cluster.brokers());
    writer.send("kept", 0, "before");
    writer.flush();
    cluster.kill9(1);
    writer.send("kept", 0, "while down");
    cluster.launch(1);
    writer.flush();
    let values: Vec<_> = read_all(cluster.brokers(), "kept").into_iter().map(|m| m.value).collect();
    assert_eq!(values, [Some("before".to_owned()), Some("while down".to_owned())]);
}
