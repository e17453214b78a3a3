//! A whole job that is killed again and again: nothing is lost, nothing is doubled, no epoch is
//! half.

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use braid_tests::kafka::{
    Cluster, Counter, Message, PATIENCE, Writer, read_all, shared, unique, wait,
};
use connectors::bindings::Binding;
use connectors::kafka::{Claim, KafkaBindingLog};
use operators::identity::testing::Seeded;

/// A running job; it ends with the test.
struct Job(Child);

impl Job {
    fn start(counter: &Counter) -> Self {
        let timeout = counter.transaction_timeout.as_millis().to_string();
        let mut command = Command::new(env!("CARGO_BIN_EXE_kafka-counter"));
        command.args([&counter.brokers, &counter.input, &counter.job, &timeout]);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        Self(command.spawn().unwrap())
    }

    fn kill9(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    fn signal(&self, signal: &str) {
        let pid = self.0.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    fn ended(&mut self) -> Option<i32> {
        self.0.try_wait().unwrap().map(|status| status.code().unwrap_or(-1))
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn counter(brokers: &str) -> Counter {
    Counter {
        brokers: brokers.to_owned(),
        input: unique("in"),
        job: unique("count"),
        transaction_timeout: Duration::from_secs(10),
    }
}

/// What a reader has who applies records in order; a key's records are in one partition.
fn fold<'a>(messages: impl IntoIterator<Item = &'a Message>) -> BTreeMap<String, i64> {
    let (mut rows, mut seen) = (BTreeMap::new(), BTreeMap::new());
    for message in messages {
        let key: serde_json::Value = serde_json::from_str(message.key.as_ref().unwrap()).unwrap();
        let key = key["key"].as_str().unwrap().to_owned();
        let epoch: u64 = message.header("epoch").parse().unwrap();
        let before = seen.insert(key.clone(), epoch);
        assert!(before.is_none_or(|before| before < epoch), "epoch {epoch} of {key} comes twice");
        match &message.value {
            None => assert!(rows.remove(&key).is_some(), "{key} goes and is not there"),
            Some(value) => {
                let row: serde_json::Value = serde_json::from_str(value).unwrap();
                rows.insert(key, row["count"].as_i64().unwrap());
            }
        }
    }
    rows
}

/// The rows after some records, computed apart: a count of seven goes.
fn expected<'a>(values: impl IntoIterator<Item = &'a str>) -> BTreeMap<String, i64> {
    let mut rows = BTreeMap::new();
    for value in values {
        let count = rows.get(value).copied().unwrap_or(0) + 1;
        if count % 7 == 0 {
            rows.remove(value);
        } else {
            rows.insert(value.to_owned(), count);
        }
    }
    rows
}

fn claim(brokers: &str, job: &str) -> Option<Claim> {
    let last = read_all(brokers, &format!("{job}.progress")).pop()?;
    serde_json::from_str(&last.value?).ok()
}

/// How many records the epochs up to one have.
fn records(bindings: &[Binding], upto: u64) -> u64 {
    let bound = bindings.iter().filter(|binding| binding.epoch <= upto);
    bound.flat_map(|b| &b.kafka[0].1.ends).map(|end| end.records).sum()
}

/// Everything that was written has been counted once; and what a reader had at the last claim is
/// what the epochs up to it give.
fn check(counter: &Counter, written: &[String]) {
    let brokers = &counter.brokers;
    let topic = format!("{}.counts", counter.job);
    let input = read_all(brokers, &counter.input);
    assert_eq!(input.len(), written.len());
    let all = read_all(brokers, &topic);
    let values = input.iter().map(|message| message.value.as_deref().unwrap());
    assert_eq!(fold(&all), expected(values));
}

/// Waits until the job's output is complete; restarts it if it ends.
fn finish(counter: &Counter, job: &mut Job, count: usize) {
    let begun = Instant::now();
    loop {
        if let Some(code) = job.ended() {
            assert_eq!(code, 0, "the job ended by itself");
        }
        if let Some(epoch) = claim(&counter.brokers, &counter.job).and_then(|c| c.epoch) {
            let bound = read_bindings(counter);
            if records(&bound, epoch) == count as u64 {
                return;
            }
        }
        assert!(begun.elapsed() < PATIENCE * 2, "the job does not finish");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// The bindings, read without fencing anybody off.
fn read_bindings(counter: &Counter) -> Vec<Binding> {
    KafkaBindingLog::peek(&counter.bindings()).unwrap()
}

/// Killed at random moments while records come, transactional ones among them.
#[test]
fn killed_again_and_again() {
    let broker = shared();
    let counter = counter(broker.brokers());
    broker.create_topic(&counter.input, 3, &[]);
    let (plain, transactional) =
        (Writer::new(broker.brokers()), Writer::transactional(broker.brokers()));
    let mut random = Seeded(7);
    let mut written = Vec::new();
    let mut write = |random: &mut Seeded, count: usize| {
        transactional.begin();
        for number in 0..count {
            // One writer for each partition keeps the order in which values are expected.
            let value = format!("k{}", random.below(500));
            let writer = if number % 3 == 0 { &transactional } else { &plain };
            writer.send(&counter.input, (number % 3) as i32, &value);
            written.push(value);
        }
        plain.flush();
        transactional.commit();
    };
    write(&mut random, 3000);
    for _ in 0..12 {
        let job = Job::start(&counter);
        write(&mut random, 500);
        // Sometimes before it is ready, sometimes long after.
        std::thread::sleep(Duration::from_millis(200 + random.below(2200)));
        write(&mut random, 200);
        job.kill9();
    }
    let mut job = Job::start(&counter);
    write(&mut random, 1000);
    finish(&counter, &mut job, written.len());
    drop(job);
    check(&counter, &written);
}

/// A run that was stopped in its tracks wakes up after its successor has taken over: it ends with
/// its own exit code, and what it had begun does not count.
#[test]
fn a_zombie_wakes_up() {
    let broker = shared();
    let counter = counter(broker.brokers());
    broker.create_topic(&counter.input, 1, &[]);
    let writer = Writer::new(broker.brokers());
    let mut written = Vec::new();
    let mut write = |count: usize| {
        for number in 0..count {
            let value = format!("k{}", number % 40);
            writer.send(&counter.input, 0, &value);
            written.push(value);
        }
        writer.flush();
    };
    write(500);
    let mut zombie = Job::start(&counter);
    wait("the first epochs", || claim(&counter.brokers, &counter.job)?.epoch);
    write(2000);
    zombie.signal("-STOP");
    let mut successor = Job::start(&counter);
    write(500);
    wait("the successor", || {
        claim(&counter.brokers, &counter.job).filter(|claim| claim.generation > 1)
    });
    zombie.signal("-CONT");
    write(500);
    let code = wait("the zombie to end", || zombie.ended());
    assert_eq!(code, 4);
    finish(&counter, &mut successor, written.len());
    drop(successor);
    check(&counter, &written);
}

/// The brokers give up on a transaction of a run that stands still; when it goes on, with nobody
/// having taken over, it finds itself shut out and carries on.
#[test]
fn a_run_that_stood_still_goes_on() {
    let broker = shared();
    let counter =
        Counter { transaction_timeout: Duration::from_secs(1), ..counter(broker.brokers()) };
    broker.create_topic(&counter.input, 1, &[]);
    let writer = Writer::new(broker.brokers());
    let mut written = Vec::new();
    let mut job = Job::start(&counter);
    for round in 0..4 {
        for number in 0..1500 {
            let value = format!("k{}", number % 40);
            writer.send(&counter.input, 0, &value);
            written.push(value);
        }
        writer.flush();
        if round < 3 {
            // In the middle of work, most likely with a transaction open.
            std::thread::sleep(Duration::from_millis(60));
            job.signal("-STOP");
            std::thread::sleep(Duration::from_millis(2500));
            job.signal("-CONT");
        }
    }
    finish(&counter, &mut job, written.len());
    drop(job);
    check(&counter, &written);
}

/// The broker itself is killed while the job works, and comes back.
#[test]
fn the_broker_is_killed() {
    let mut cluster = Cluster::start(1);
    let counter = counter(cluster.brokers());
    cluster.create_topic(&counter.input, 1, &[]);
    let writer = Writer::new(cluster.brokers());
    let (mut random, mut written) = (Seeded(3), Vec::new());
    let mut job = Job::start(&counter);
    for _ in 0..4 {
        for _ in 0..1500 {
            let value = format!("k{}", random.below(100));
            writer.send(&counter.input, 0, &value);
            written.push(value);
        }
        std::thread::sleep(Duration::from_millis(random.below(600)));
        cluster.kill9(1);
        cluster.launch(1);
        writer.flush();
    }
    finish(&counter, &mut job, written.len());
    drop(job);
    check(&counter, &written);
}
