//! What several tests use.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use braid_tests::kafka::PATIENCE;
use connectors::file::{RawBatch, RawRecords};
use connectors::kafka::{
    ClientSpec, KafkaError, KafkaPart, KafkaSource, KafkaSpec, PartitionId, Replayed,
};

/// A record as a source hands it out: its partition, offset and value.
pub(crate) type Read = (PartitionId, u64, String);

/// A source with quick look-ups.
pub(crate) fn spec(brokers: &str, topics: &[&str]) -> KafkaSpec {
    let mut spec = KafkaSpec::new("in", 0, ClientSpec::new(brokers), topics);
    spec.group = braid_tests::kafka::unique("group");
    spec.refresh = Duration::from_millis(200);
    spec
}

/// The records of a batch.
pub(crate) fn records(batch: &RawBatch) -> Vec<Read> {
    let RawRecords::Messages { rows, .. } = &batch.records else { panic!("not from Kafka") };
    let place = PartitionId(batch.partition);
    let text = |row: &[u8]| String::from_utf8_lossy(row).into_owned();
    rows.iter().enumerate().map(|(i, (row, _))| (place, batch.offset(i), text(row))).collect()
}

/// Reads until there are `count` records; fails if there are more within a moment after.
pub(crate) fn read(source: &mut KafkaSource, count: usize) -> Vec<Read> {
    let mut all = Vec::new();
    let begun = Instant::now();
    while all.len() < count {
        assert!(begun.elapsed() < PATIENCE, "{} of {count} records came", all.len());
        match source.next(usize::MAX).unwrap() {
            Some(batch) => all.extend(records(&batch)),
            None => source.wait(Duration::from_millis(50)),
        }
    }
    assert_eq!(all.len(), count, "{all:?}");
    all
}

/// Reads until reading fails.
pub(crate) fn failure(source: &mut KafkaSource) -> KafkaError {
    let begun = Instant::now();
    loop {
        assert!(begun.elapsed() < PATIENCE, "nothing fails");
        match source.next(usize::MAX) {
            Ok(Some(_)) => {}
            Ok(None) => source.wait(Duration::from_millis(50)),
            Err(error) => return error,
        }
    }
}

/// The records of a bound epoch, read again.
pub(crate) fn replay(source: &mut KafkaSource, part: &KafkaPart) -> Result<Vec<Read>, KafkaError> {
    let mut all = Vec::new();
    let begun = Instant::now();
    loop {
        assert!(begun.elapsed() < PATIENCE, "the epoch does not end");
        match source.replay(part, 7, Duration::from_millis(100))? {
            Replayed::Batch(batch) => all.extend(records(&batch)),
            Replayed::Waiting => {}
            Replayed::Done => return Ok(all),
        }
    }
}

/// Records by partition.
pub(crate) fn by_partition(records: &[Read]) -> BTreeMap<PartitionId, Vec<(u64, String)>> {
    let mut all: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (partition, offset, value) in records {
        all.entry(*partition).or_default().push((*offset, value.clone()));
    }
    all
}
