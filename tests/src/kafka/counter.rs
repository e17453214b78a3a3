//! A whole job in small: counts per key, Kafka in, Kafka out, bindings in a topic. What a run does
//! in the order that makes it exactly once, without the graph; run as a process of its own to be
//! killed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use connectors::bindings::{Binding, BindingLog as _};
use connectors::file::{RawBatch, RawRecords};
use connectors::kafka::{
    ClientSpec, KafkaBindingLog, KafkaBindingsSpec, KafkaError, KafkaPart, KafkaSink,
    KafkaSinkSpec, KafkaSource, KafkaSpec, Replayed,
};
use operators::model::{Cause, Cell, Change, Column, ColumnType, Epoch, Row, ViewSchema};

/// Where a counter reads and writes.
#[derive(Clone, Debug)]
pub struct Counter {
    /// The brokers.
    pub brokers: String,
    /// The topic that is read: values are keys to be counted.
    pub input: String,
    /// The job's name and the prefix of its topics.
    pub job: String,
    /// After how long the brokers take back its open transactions.
    pub transaction_timeout: Duration,
}

/// The view: `tenant`, `key`, `count`.
pub fn schema() -> ViewSchema {
    let column = |name, kind| Column { name, kind, nullable: false };
    ViewSchema {
        name: Arc::from("counts"),
        columns: vec![
            column("tenant", ColumnType::Str),
            column("key", ColumnType::Str),
            column("count", ColumnType::Int),
        ],
        key: vec![0, 1],
        date: None,
        append_only: false,
    }
}

fn row(key: &str, count: i64) -> Row {
    let cells = [Cell::str("t"), Cell::str(key), Cell::Int(count)];
    Row { view: 0, cells: cells.into(), final_at: i64::MAX }
}

/// How many epochs a transaction holds at most.
const RUN_MAX: usize = 8;

struct Running {
    counts: BTreeMap<String, i64>,
    sink: KafkaSink,
}

impl Running {
    /// Takes in the records of an epoch and closes it. A key that is counted `x` goes again.
    fn epoch(&mut self, epoch: Epoch, batches: &[RawBatch]) -> Result<(), KafkaError> {
        for batch in batches {
            let RawRecords::Messages { rows, .. } = &batch.records else { continue };
            for (value, _) in rows.iter() {
                let key = String::from_utf8_lossy(value).into_owned();
                let before = self.counts.get(&key).copied();
                let count = before.unwrap_or(0) + 1;
                let change = |row, diff| Change { row, diff, cause: Cause::New };
                if let Some(before) = before {
                    self.sink.add(epoch, change(row(&key, before), -1));
                }
                // Every seventh time a row goes, so that there are tombstones.
                if count % 7 == 0 {
                    self.counts.remove(&key);
                } else {
                    self.sink.add(epoch, change(row(&key, count), 1));
                    self.counts.insert(key, count);
                }
            }
        }
        self.sink.close(epoch, 0)?;
        if self.sink.pending() >= RUN_MAX {
            self.sink.commit()?;
        }
        Ok(())
    }
}

impl Counter {
    /// The topic of its bindings.
    pub fn bindings(&self) -> KafkaBindingsSpec {
        let topic = format!("{}.bindings", self.job);
        KafkaBindingsSpec::new(ClientSpec::new(&self.brokers), &topic, &self.job)
    }

    /// Runs until it is killed, or something is wrong.
    ///
    /// # Errors
    /// What is wrong.
    pub fn run(&self) -> Result<(), Box<dyn std::error::Error>> {
        let client = ClientSpec::new(&self.brokers);
        let (mut log, bindings) = KafkaBindingLog::open(&self.bindings(), None)?;
        let bindings: Vec<Binding> = bindings.into_iter().map(|logged| logged.binding).collect();
        let mut spec = KafkaSpec::new("in", 0, client.clone(), &[&self.input]);
        spec.group.clone_from(&self.job);
        spec.refresh = Duration::from_millis(300);
        let parts: Vec<&KafkaPart> = bindings.iter().map(|b| &b.kafka[0].1).collect();
        let mut source = KafkaSource::open(&spec, &parts)?;
        let mut sink = KafkaSinkSpec::new(client, &self.job, &self.job, "hash");
        sink.generation = bindings.last().map_or(1, |last| last.generation + 1);
        sink.partitions = 2;
        sink.transaction_timeout = self.transaction_timeout;
        let generation = sink.generation;
        let sink = KafkaSink::open(&sink, &[schema()])?;
        let mut running = Running { counts: BTreeMap::new(), sink };
        for binding in &bindings {
            let mut batches = Vec::new();
            loop {
                match source.replay(&binding.kafka[0].1, 1000, Duration::from_secs(1))? {
                    Replayed::Batch(batch) => batches.push(batch),
                    Replayed::Waiting => {}
                    Replayed::Done => break,
                }
            }
            running.epoch(binding.epoch, &batches)?;
        }
        running.sink.commit()?;
        println!("ready");
        let mut epoch = bindings.last().map_or(0, |last| last.epoch);
        let mut committed = Instant::now();
        loop {
            source.wait(Duration::from_millis(10));
            let (mut batches, mut left) = (Vec::new(), 300);
            while left > 0
                && let Some(batch) = source.next(left)?
            {
                left -= batch.len();
                batches.push(batch);
            }
            if !batches.is_empty() {
                epoch += 1;
                let mut binding = Binding::new(epoch, generation, 0, "hash");
                binding.kafka.push((0, source.cut()));
                log.append(&binding)?;
                running.epoch(epoch, &batches)?;
            }
            if committed.elapsed() > Duration::from_millis(40) {
                running.sink.commit()?;
                source.show_progress();
                committed = Instant::now();
            }
        }
    }
}
