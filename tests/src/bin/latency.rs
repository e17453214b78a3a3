//! How long it takes from a record's way into a topic until its event, and what followed from it,
//! can be read under `read_committed`; beside it the broker's own share, from the record's way in
//! until the record itself can be read. `latency [RECORDS_PER_SECOND] [SECONDS] [REPLAY_RATE]`;
//! needs `braid-tested` beside it.
//!
//! With a rate for a replay it goes on measuring while a changed job, with one more view, is
//! computed from the first record on beside the live one, and then while the live job is ended and
//! the changed one begins where the replay came to.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use braid_tests::kafka::measured::{PARTITIONS, job, record};
use braid_tests::kafka::{Braid, Cluster, Writer, config, unique, wait};
use rdkafka::Message as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{Offset, TopicPartitionList};
use tempfile::TempDir;

/// The first records find caches cold and a job that begins; they are not counted.
const WARM: Duration = Duration::from_secs(5);

/// When each record was handed to the client, by message id.
type Sent = Arc<Mutex<HashMap<String, Instant>>>;

/// What a reader of a topic saw: when records were handed over, and the milliseconds from then to
/// sight.
type Seen = thread::JoinHandle<Vec<(Instant, f64)>>;

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
                seen.extend(sent.map(|sent| (sent, (now - sent).as_secs_f64() * 1e3)));
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
    println!("{name:<46} {count:>9} {p50:>9.0} {p99:>9.0} {most:>9.0}");
}

/// A job, what it is read by, and what it is given.
struct Measured {
    braid: PathBuf,
    folder: TempDir,
    running: Option<Braid>,
    writer: Writer,
    topic: String,
    sent: Sent,
    /// Records sent so far, and how many in a second.
    number: u64,
    rate: u64,
}

impl Measured {
    /// Sends records until told that it is enough, by how long it has gone on; those that are
    /// `counted` are looked for by readers.
    fn send(&mut self, counted: bool, mut enough: impl FnMut(Duration) -> bool) {
        let (begun, first) = (Instant::now(), self.number);
        while !enough(begun.elapsed()) {
            let due = first + (begun.elapsed().as_secs_f64() * self.rate as f64) as u64;
            while self.number < due {
                let value = record(self.number);
                if counted {
                    let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
                    sent.insert(format!("m{}", self.number), Instant::now());
                }
                let partition = (self.number % PARTITIONS as u64) as i32;
                self.writer.send(&self.topic, partition, &value);
                self.number += 1;
            }
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Sends records while a replay of the job with one more view comes to where the job was.
    fn replay(&mut self, rate: Option<u64>) {
        let mut command = Command::new(&self.braid);
        command.args(["replay", "job.toml", "more", "--change", "more.toml", "-w", "1"]);
        command.args(rate.map(|rate| format!("--rate={rate}")));
        command.current_dir(self.folder.path()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut replay = command.spawn().expect("a replay");
        let mut ended = None;
        self.send(true, |_| {
            ended = replay.try_wait().expect("a replay");
            ended.is_some()
        });
        assert!(ended.is_some_and(|status| status.success()), "{ended:?}");
    }

    /// Ends the live job and begins the changed one, beside what is sent.
    fn switch(&mut self) -> thread::JoinHandle<Braid> {
        let running = self.running.take().expect("a job");
        let (braid, folder) = (self.braid.clone(), self.folder.path().to_owned());
        thread::spawn(move || {
            assert_eq!(running.term(), 0);
            std::fs::copy(folder.join("more.toml"), folder.join("job.toml")).expect("a job");
            Braid::start(&braid, &folder, &[])
        })
    }
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<u64>());
    let rate = arguments.next().unwrap_or(Ok(5_000));
    let seconds = arguments.next().unwrap_or(Ok(20));
    let replayed = arguments.next().transpose();
    let (Ok(rate), Ok(seconds), Ok(replayed)) = (rate, seconds, replayed) else {
        eprintln!("latency [RECORDS_PER_SECOND] [SECONDS] [REPLAY_RATE]");
        return ExitCode::from(2);
    };
    let cluster = Cluster::start(1);
    let (brokers, name) = (cluster.brokers().to_owned(), unique("latency"));
    cluster.create_topic(&format!("{name}.in"), PARTITIONS, &[]);
    let folder = tempfile::tempdir().expect("a folder");
    let text = job(&name, &brokers);
    let more =
        "[[view]]\nkind = \"trend\"\nname = \"all\"\nmetric = \"events\"\nperiod = \"day\"\n";
    std::fs::write(folder.path().join("more.toml"), format!("{text}{more}")).expect("a job");
    std::fs::write(folder.path().join("job.toml"), text).expect("a job");
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
    let readers = topics.each_ref().map(|topic| follow(&brokers, topic, &sent, &stop));
    let [topic, _] = topics;
    let (running, writer) = (Some(running), Writer::new(&brokers));
    let mut job = Measured { braid, folder, running, writer, topic, sent, number: 0, rate };
    let long = Duration::from_secs(seconds);
    job.send(false, |gone_on| gone_on >= WARM);
    let mut phases = vec![("the job alone", Instant::now())];
    job.send(true, |gone_on| gone_on >= long);
    if let Some(rate) = replayed {
        phases.push(("beside a replay", Instant::now()));
        job.replay(Some(rate));
        // To where the job is by now.
        job.replay(None);
        phases.push(("through a switch", Instant::now()));
        let switched = job.switch();
        job.send(true, |gone_on| gone_on >= long);
        job.running = switched.join().ok();
    }
    job.writer.flush();
    thread::sleep(Duration::from_secs(3));
    stop.store(true, Ordering::Release);
    println!("{rate} records a second, two workers, one broker; milliseconds");
    println!(
        "{:<46} {:>9} {:>9} {:>9} {:>9}",
        "until it can be read", "records", "p50", "p99", "max"
    );
    let what = ["the record, in its topic", "its event, in the output"];
    for (what, reader) in what.into_iter().zip(readers) {
        let seen = reader.join().unwrap_or_default();
        for (place, (phase, from)) in phases.iter().enumerate() {
            let to = phases.get(place + 1).map(|next| next.1);
            let within = |at: &Instant| at >= from && to.is_none_or(|to| *at < to);
            let times = seen.iter().filter(|(at, _)| within(at)).map(|seen| seen.1);
            report(&format!("{what}, {phase}"), times.collect());
        }
    }
    ExitCode::from(u8::from(job.running.map(Braid::term) != Some(0)))
}
