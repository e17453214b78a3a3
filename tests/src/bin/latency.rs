//! How long it takes from a record's way into a topic until its event, and what followed from it,
//! can be read under `read_committed`; beside it the broker's own share, from the record's way in
//! until the record itself can be read. `latency [RECORDS_PER_SECOND] [SECONDS]`; needs
//! `braid-tested` beside it.

use std::collections::HashMap;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use braid_tests::kafka::measured::{PARTITIONS, job, record};
use braid_tests::kafka::{Braid, Cluster, Writer, config, unique, wait};
use rdkafka::Message as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{Offset, TopicPartitionList};

/// The first records find caches cold and a job that begins; they are not counted.
const WARM: Duration = Duration::from_secs(5);

/// When each record was handed to the client, by message id.
type Sent = Arc<Mutex<HashMap<String, Instant>>>;

/// What a reader of a topic saw: milliseconds from hand-over to sight.
type Seen = thread::JoinHandle<Vec<f64>>;

/// Reads a topic until stopped. The message id of a record is in its key or its value.
fn follow(brokers: &str, topic: &str, sent: &Sent, stop: &Arc<AtomicBool>) -> Seen {
    let (sent, stop) = (Arc::clone(sent), Arc::clone(stop));
    let mut config = config(brokers);
    config.set("group.id", topic).set("isolation.level", "read_committed");
    config.set("fetch.wait.max.ms", "20");
    let consumer: BaseConsumer = config.create().expect("a consumer");
    let mut all = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        let added = all.add_partition_offset(topic, partition, Offset::Beginning);
        added.expect("an offset");
    }
    consumer.assign(&all).expect("an assignment");
    thread::spawn(move || {
        let mut seen = Vec::new();
        while !stop.load(Ordering::Acquire) {
            let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) else { continue };
            let now = Instant::now();
            for text in [message.key(), message.payload()].into_iter().flatten() {
                let value: serde_json::Value = serde_json::from_slice(text).unwrap_or_default();
                let id = value.get("message_id").or_else(|| value.get("messageId"));
                let Some(id) = id.and_then(serde_json::Value::as_str) else { continue };
                let sent = sent.lock().unwrap_or_else(PoisonError::into_inner).get(id).copied();
                seen.extend(sent.map(|sent| (now - sent).as_secs_f64() * 1e3));
                break;
            }
        }
        seen
    })
}

fn report(name: &str, mut times_ms: Vec<f64>) {
    times_ms.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let place = (times_ms.len() as f64 * share) as usize;
        times_ms.get(place.min(times_ms.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
    };
    let (p50, p99, most) = (at(0.5), at(0.99), at(1.0));
    let count = times_ms.len();
    println!("{name:<28} {count:>9} {p50:>9.0} {p99:>9.0} {most:>9.0}");
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<u64>());
    let rate = arguments.next().unwrap_or(Ok(5_000));
    let seconds = arguments.next().unwrap_or(Ok(20));
    let (Ok(rate), Ok(seconds)) = (rate, seconds) else {
        eprintln!("latency [RECORDS_PER_SECOND] [SECONDS]");
        return ExitCode::from(2);
    };
    let cluster = Cluster::start(1);
    let (brokers, name) = (cluster.brokers().to_owned(), unique("latency"));
    cluster.create_topic(&format!("{name}.in"), PARTITIONS, &[]);
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("job.toml"), job(&name, &brokers)).expect("a job");
    let braid = std::env::current_exe().expect("a path").with_file_name("braid-tested");
    let mut running = Braid::start(&braid, folder.path(), &[]);
    wait("the topics", || {
        assert_eq!(running.ended(), None, "{}", running.said());
        thread::sleep(Duration::from_millis(100));
        let made = cluster.partitions(&format!("{name}.out.events"));
        (made == PARTITIONS as usize).then_some(())
    });
    let (sent, stop) = (Sent::default(), Arc::new(AtomicBool::new(false)));
    let topics = [format!("{name}.in"), format!("{name}.out.events")];
    let readers = topics.map(|topic| follow(&brokers, &topic, &sent, &stop));
    let writer = Writer::new(&brokers);
    let begun = Instant::now();
    let whole = WARM + Duration::from_secs(seconds);
    let mut number = 0;
    while begun.elapsed() < whole {
        let due = (begun.elapsed().as_secs_f64() * rate as f64) as u64;
        while number < due {
            let value = record(number);
            if begun.elapsed() >= WARM {
                let mut sent = sent.lock().unwrap_or_else(PoisonError::into_inner);
                sent.insert(format!("m{number}"), Instant::now());
            }
            writer.send(&format!("{name}.in"), (number % PARTITIONS as u64) as i32, &value);
            number += 1;
        }
        thread::sleep(Duration::from_millis(1));
    }
    writer.flush();
    thread::sleep(Duration::from_secs(3));
    stop.store(true, Ordering::Release);
    println!("{rate} records a second for {seconds} s, two workers, one broker; milliseconds");
    println!(
        "{:<28} {:>9} {:>9} {:>9} {:>9}",
        "until it can be read", "records", "p50", "p99", "max"
    );
    for (name, reader) in
        ["the record, in its topic", "its event, in the output"].into_iter().zip(readers)
    {
        report(name, reader.join().unwrap_or_default());
    }
    ExitCode::from(u8::from(running.term() != 0))
}
