//! A job on topics that is killed again and again, and what must be true of it in the end.
//!
//! A driver writes a random history with late events, copies, merges and splits, some of it between
//! two lives of the job and some while it works. In the end
//!
//! - topics, read as committed, and tables hold the oracle's rows;
//! - record for record and file for file they are those of a job that was left in peace with the
//!   same bindings, so no epoch is half, lost or doubled;
//! - the progress says where the topics end.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use connectors::bindings::{Binding, FileBindingLog};
use connectors::decode::{Decoded, Decoder};
use connectors::file::{RawBatch, RawRecords, Rows};
use connectors::kafka::Claim;
use connectors::moments::Moment;
use jobs::runtime::{Plan, plan};
use operators::identity::testing::Seeded;
use operators::model::{Cell, Event};
use operators::oracle;
use tempfile::TempDir;

use super::client::wait_settled;
use super::{Braid, Broker, Cluster, Message, Writer, read_all, read_ended, unique, wait};
use crate::delta::{files, read};
use crate::histories::{RULES, records};
use crate::rows::{computed, difference, published, stored};
use crate::team::Team;

/// How often something is looked at that changes soon.
const LOOK_EVERY: Duration = Duration::from_millis(40);
/// The channels, each a source with a topic of its own, and how many partitions it has.
const CHANNELS: [(&str, i32); 2] = [("web", 3), ("backend", 2)];

/// A job and its history.
pub struct Story {
    braid: PathBuf,
    brokers: String,
    /// Name of the job and prefix of its topics.
    name: String,
    folder: TempDir,
    random: Seeded,
    writer: Writer,
    /// What is still to be written, and how much has been.
    to_come: Vec<(bool, String)>,
    written: u64,
    /// How often the job and the broker were killed.
    kills: u64,
    /// The newest generation that was seen at work.
    last: u64,
    /// Whether the job has been changed.
    changed: bool,
}

impl Story {
    /// Makes the topics and the job; nothing runs yet. `braid` is the command.
    pub fn begin(braid: &Path, broker: &Broker, seed: u64) -> Self {
        let name = unique("story");
        let mut random = Seeded(seed);
        let mut to_come = records(&mut random, 4000);
        to_come.reverse();
        // In memory where there is such a folder: thousands of epochs are thousands of syncs.
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() };
        let story = Self {
            braid: braid.to_path_buf(),
            brokers: broker.brokers().to_owned(),
            folder: folder.unwrap(),
            writer: Writer::new(broker.brokers()),
            random,
            to_come,
            written: 0,
            kills: 0,
            changed: false,
            last: 0,
            name,
        };
        for (channel, partitions) in CHANNELS {
            broker.create_topic(&story.input(channel), partitions, &[]);
        }
        story.make("work", "out");
        story
    }

    fn input(&self, channel: &str) -> String {
        format!("{}.in.{channel}", self.name)
    }

    fn at(&self, folder: &str) -> PathBuf {
        self.folder.path().join(folder)
    }

    fn bindings(&self) -> Vec<Binding> {
        FileBindingLog::peek(&self.at("work/out/bindings")).unwrap_or_default()
    }

    /// A folder with the job that writes topics `<name>.<prefix>.<view>`.
    fn make(&self, folder: &str, prefix: &str) {
        let Self { name, brokers, .. } = self;
        let mut job = format!("[job]\nname = {name:?}\nout = \"out\"\nzone = \"Europe/Berlin\"\n");
        // Writing to a string can't fail.
        for (channel, _) in CHANNELS {
            let topic = self.input(channel);
            let _ = write!(
                job,
                "[[source]]\nname = {channel:?}\nconnector = \"kafka\"\nbrokers = {brokers:?}\n\
                 topics = [{topic:?}]\nchannel = {channel:?}\n"
            );
        }
        // What comes an hour after later events is late, and still counts.
        job += &RULES.replace("disorder = \"36500d\"", "disorder = \"1h\"");
        // So often that most lives begin with a snapshot, and some of them with a usable one.
        let every = if prefix == "calm" { "never" } else { "1s" };
        let _ = write!(
            job,
            "[snapshot]\nevery = {every:?}\n\
             [[sink]]\nconnector = \"arrow\"\nevery = \"1s\"\n[[sink]]\nconnector = \"kafka\"\n\
             brokers = {brokers:?}\nprefix = \"{name}.{prefix}\"\npartitions = 2\n"
        );
        std::fs::create_dir_all(self.at(folder).join("out")).unwrap();
        std::fs::write(self.at(folder).join("job.toml"), job).unwrap();
    }

    fn start(&self, more: &[&str]) -> Braid {
        Braid::start(&self.braid, &self.at("work"), more)
    }

    /// Processes that share the job's work; none of them runs yet.
    pub fn team(&self, processes: usize, more: &[&str]) -> Team {
        Team::new(&self.braid, &self.at("work"), processes, more)
    }

    /// The generation of the newest binding.
    pub fn generation(&self) -> u64 {
        self.bindings().last().map_or(0, |binding| binding.generation)
    }

    /// Writes until a new generation has bound so many epochs, and some of them are published.
    pub fn go_on(&mut self, epochs: usize) {
        let (last, claim) = (self.last, self.claim("out"));
        wait("a new generation to work", || {
            self.write(1);
            std::thread::sleep(LOOK_EVERY);
            let bindings = self.bindings();
            let new = bindings.iter().filter(|binding| binding.generation > last).count();
            (new >= epochs && self.claim("out") != claim).then_some(())
        });
        self.last = self.generation();
    }

    /// How often the job and its broker have been killed.
    pub fn kills(&self) -> u64 {
        self.kills
    }

    /// Writes some records of the history, and now and then one that can't be used.
    fn write(&mut self, count: u64) {
        for _ in 0..count {
            let Some((backend, record)) = self.to_come.pop() else { return };
            let (channel, partitions) = CHANNELS[usize::from(backend)];
            let topic = self.input(channel);
            let partition = Some(self.random.below(partitions as u64) as i32);
            self.writer.send_full(&topic, partition, None, Some(record.as_bytes()), &[]);
            self.written += 1;
            if self.random.once_in(40) {
                let value = self.random.once_in(2).then_some("{\"messageId\":".as_bytes());
                self.writer.send_full(&topic, partition, None, value, &[]);
                self.written += 1;
            }
        }
        self.writer.flush();
    }

    /// Kills the job at a random time.
    pub fn kill_at_random(&mut self) {
        let portion = 3 + self.random.below(10);
        self.write(portion);
        let job = self.start(&[]);
        let end = Instant::now() + Duration::from_millis(self.random.below(2500));
        while Instant::now() < end {
            std::thread::sleep(Duration::from_millis(self.random.below(150)));
            self.write(1);
        }
        job.kill9();
        self.kills += 1;
    }

    /// Kills the job when a moment comes for the `count`th time.
    pub fn kill_at(&mut self, moment: Moment, count: u64) {
        let before = self.bindings().len();
        self.write(3);
        let mut job = self.start(&["--crash-at", &format!("{}:{count}:kill", moment.word())]);
        if [Moment::TableFile, Moment::TableCommit, Moment::TableCommitted].contains(&moment) {
            // Tables are written when the job ends.
            wait("the job to work", || {
                self.write(1);
                std::thread::sleep(LOOK_EVERY);
                (self.bindings().len() > before + 2).then_some(())
            });
            assert_eq!(job.term(), -9, "{moment:?} {count}");
        } else {
            let status = wait("the moment", || {
                self.write(1);
                std::thread::sleep(LOOK_EVERY);
                job.ended()
            });
            assert_eq!(status.code(), None, "{moment:?} {count}: {}", job.said());
        }
        self.kills += 1;
    }

    /// Kills the broker when a moment of the job comes for the `count`th time, and the job later.
    pub fn kill_broker_at(&mut self, cluster: &mut Cluster, moment: Moment, count: u64) {
        self.write(3);
        let mut job = self.start(&["--crash-at", &format!("{}:{count}:stop", moment.word())]);
        wait("the moment", || {
            assert_eq!(job.ended(), None, "{moment:?} {count}: {}", job.said());
            self.write(1);
            std::thread::sleep(LOOK_EVERY);
            job.stands_still().then_some(())
        });
        if moment == Moment::TopicCommitted {
            // Kafka 4.3.1, killed between its answer to a commit and the commit's marker, was seen
            // to have the transaction as complete afterwards, and never to write the marker. What
            // a run does then is tested with transactions that are made to hang.
            wait_settled(&self.brokers, &format!("{}.out.progress", self.name), 0);
            for (topic, ends) in self.claim("out").expect("a progress").ends {
                (0..ends.len())
                    .for_each(|partition| wait_settled(&self.brokers, &topic, partition as i32));
            }
        }
        cluster.kill9(1);
        job.signal("-CONT");
        std::thread::sleep(Duration::from_millis(self.random.below(500)));
        cluster.launch(1);
        self.write(3);
        std::thread::sleep(Duration::from_millis(self.random.below(2000)));
        job.kill9();
        self.kills += 2;
    }

    /// Kills the broker at a random time while the job works, and lets the job go on.
    pub fn kill_broker_at_random(&mut self, cluster: &mut Cluster) {
        let job = self.start(&[]);
        for _ in 0..2 {
            self.write(5);
            std::thread::sleep(Duration::from_millis(self.random.below(1500)));
            cluster.kill9(1);
            cluster.launch(1);
            self.kills += 1;
        }
        self.write(5);
        std::thread::sleep(Duration::from_millis(self.random.below(1500)));
        job.kill9();
        self.kills += 1;
    }

    /// Writes some records, and runs the job until it has them all and is stopped in order.
    pub fn run(&mut self, count: u64) {
        self.write(count);
        let mut job = self.start(&[]);
        wait("everything to be read", || {
            assert_eq!(job.ended(), None, "{}", job.said());
            std::thread::sleep(LOOK_EVERY);
            self.all_bound().then_some(())
        });
        assert_eq!(job.term(), 0);
    }

    /// Changes the job file. The job has been stopped in order, so its outputs are equally far.
    pub fn change(&mut self, from: &str, to: &str) {
        let path = self.at("work/job.toml");
        let job = std::fs::read_to_string(&path).unwrap();
        assert!(job.contains(from), "{job}");
        std::fs::write(path, job.replace(from, to)).unwrap();
        self.changed = true;
    }

    /// Runs the job while something of its `out` is not there: it is refused with these words.
    pub fn refused_without(&self, part: &str, why: &str) {
        let [there, away] = [part, "away"].map(|name| self.at("work/out").join(name));
        std::fs::rename(&there, &away).unwrap();
        let mut job = self.start(&[]);
        let status = wait("the refusal", || job.ended());
        assert!(status.code() == Some(2) && job.said().contains(why), "{}", job.said());
        std::fs::rename(&away, &there).unwrap();
    }

    /// Runs `braid replay` on the job, which may be running.
    pub fn replay(&self, arguments: &[&str]) {
        let mut command = Command::new(&self.braid);
        command.args(["replay", "job.toml"]).args(arguments).current_dir(self.at("work"));
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
    }

    /// As [`Story::run`]; meanwhile something else is done.
    pub fn run_beside(&mut self, count: u64, act: impl FnOnce(&Self)) {
        let mut job = self.start(&[]);
        self.write(count);
        act(self);
        wait("everything to be read", || {
            assert_eq!(job.ended(), None, "{}", job.said());
            std::thread::sleep(LOOK_EVERY);
            self.all_bound().then_some(())
        });
        assert_eq!(job.term(), 0);
    }

    /// The prefix of other topics than those of the job.
    pub fn prefix(&self, name: &str) -> String {
        format!("{}.{name}", self.name)
    }

    /// That what stands in other topics is what stands in those of the job.
    pub fn assert_published(&self, prefix: &str) {
        let plan = plan::load(&self.at("work/job.toml")).expect("the job is good");
        for schema in &plan.catalog.schemas {
            let rows = |prefix: &str| {
                published(&read_all(&self.brokers, &format!("{prefix}.{}", schema.name)))
            };
            let (live, other) = (rows(&self.prefix("out")), rows(prefix));
            let apart = difference((&live, "in the job's"), (&other, "in the others"));
            assert!(live == other && !live.is_empty(), "{}: {apart}", schema.name);
        }
    }

    /// Whether everything written is bound, and the partitions are known to be at their ends.
    fn all_bound(&self) -> bool {
        let bindings = self.bindings();
        let ends = || {
            let parts = bindings.iter().flat_map(|binding| &binding.kafka);
            parts.flat_map(|(source, part)| part.ends.iter().map(move |end| (*source, end)))
        };
        let bound: u64 = ends().map(|(_, end)| end.records).sum();
        let last: BTreeMap<_, _> = ends().map(|(s, end)| ((s, end.partition), end.idle)).collect();
        bound == self.written && last.values().all(|idle| *idle)
    }

    /// Runs the job to the end of what was written, in peace.
    ///
    /// # Panics
    /// If anything is lost, doubled, half or otherwise wrong.
    pub fn finish(mut self) {
        self.run(20);
        let claim = self.claim("out").expect("a progress");
        if self.changed {
            // A job in peace would publish the difference to nothing.
            return self.check(&claim);
        }
        self.make("calm", "calm");
        std::fs::copy(self.at("work/out/bindings"), self.at("calm/out/bindings")).unwrap();
        let mut job = Braid::start(&self.braid, &self.at("calm"), &[]);
        wait("the job in peace", || {
            assert_eq!(job.ended(), None, "{}", job.said());
            std::thread::sleep(LOOK_EVERY * 10);
            (self.claim("calm")?.epoch >= claim.epoch).then_some(())
        });
        assert_eq!(job.term(), 0);
        self.check(&claim);
    }

    fn claim(&self, prefix: &str) -> Option<Claim> {
        let topic = format!("{}.{prefix}.progress", self.name);
        serde_json::from_str(&read_all(&self.brokers, &topic).pop()?.value?).ok()
    }

    fn check(&self, claim: &Claim) {
        let plan = plan::load(&self.at("work/job.toml")).expect("the job is good");
        let rows = oracle::rows(&plan.job(), &self.events(&plan));
        let mut causes: BTreeMap<String, u64> = BTreeMap::new();
        for (view, schema) in (0..).zip(&plan.catalog.schemas) {
            let name = &*schema.name;
            let topic = |prefix: &str| format!("{}.{prefix}.{name}", self.name);
            let messages = read_ended(&self.brokers, &topic("out"));
            if !self.changed {
                assert_alike(name, &messages, &read_ended(&self.brokers, &topic("calm")));
                self.check_tables(name);
            }
            let ends = &claim.ends[&topic("out")];
            for (partition, end) in (0..).zip(ends) {
                let last = messages.iter().rfind(|message| message.partition == partition);
                let end = *end as i64;
                assert_eq!(last.map_or(0, |last| last.offset + 1), end, "{name} {partition}");
            }
            for message in &messages {
                *causes.entry(message.header("cause").to_owned()).or_default() += 1;
            }
            let tables = stored(&self.at("work").join(format!("out/arrow/{name}.arrow")));
            let topics = published(&messages);
            if name == "dead_letters" {
                // Its payload is in the topic alone.
                assert_eq!(topics.values().sum::<usize>(), tables.values().sum::<usize>());
                continue;
            }
            let apart = difference((&topics, "in topics"), (&tables, "in tables"));
            assert!(topics == tables, "{name}: {apart}");
            if !schema.append_only {
                let expected = computed(schema, rows.iter().filter(|row| row.view == view));
                let apart = difference((&topics, "published"), (&expected, "in the oracle"));
                assert!(topics == expected, "{name}: {apart}");
            }
        }
        let upgrade = self.changed.then_some("upgrade");
        for cause in ["", "late", "merge", "split"].into_iter().chain(upgrade) {
            assert!(causes.contains_key(cause), "the history has no {cause:?}: {causes:?}");
        }
    }

    /// The events of the history, as the job's own decoders have them.
    fn events(&self, plan: &Plan) -> Vec<Arc<Event>> {
        let mut events = Vec::new();
        for (index, (source, (channel, _))) in (0..).zip(plan.sources.iter().zip(CHANNELS)) {
            let mut decoder = Decoder::new(&source.decode).unwrap();
            let messages = read_all(&self.brokers, &self.input(channel));
            for message in messages {
                let mut rows = Rows::default();
                rows.push(message.value.unwrap_or_default().as_bytes());
                let batch = RawBatch {
                    source: index,
                    partition: message.partition as u32,
                    first: message.offset as u64,
                    offsets: None,
                    bytes: rows.bytes(),
                    records: RawRecords::Messages { rows: Arc::new(rows), beside: None },
                };
                let mut decoded = Decoded::default();
                decoder.decode(&batch, 0, &mut decoded);
                events.extend(decoded.events.into_iter().map(|(event, _)| Arc::new(event)));
            }
        }
        events
    }

    /// A view's tables are those of the job that was left in peace: the files of the current rows
    /// byte by byte, the changes one by one.
    fn check_tables(&self, view: &str) {
        let of = |folder: &str| self.at(folder).join("out");
        if view != "id_changes" {
            assert!(files(&of("work").join(view)) == files(&of("calm").join(view)), "{view}");
        }
        let log = |folder: &str| read(&of(folder).join("changelog").join(view));
        let (mut work, mut calm) = (log("work"), log("calm"));
        for table in [&mut work, &mut calm] {
            // One of several things that happened to a person in one epoch.
            let of_changes = ["_cause", "cause", "message_id"];
            let named = &of_changes[..if view == "id_changes" { 3 } else { 1 }];
            for place in named.iter().map(|column| table.place(column)).collect::<Vec<_>>() {
                table.rows.iter_mut().for_each(|row| row[place] = Cell::Null);
            }
            table.rows.sort_unstable();
        }
        assert!(work == calm, "changelog/{view}");
    }
}

/// The value of a message of `id_changes` without what names one of several things.
fn without_named(message: &Message) -> String {
    let value = message.value.as_deref().unwrap_or("null");
    let mut value: serde_json::Value = serde_json::from_str(value).expect("JSON");
    for name in ["cause", "message_id"] {
        value.as_object_mut().and_then(|row| row.shift_remove(name));
    }
    value.to_string()
}

/// Two topics with the same records in the same order, wherever markers stand between them. Of
/// several things that happened to a person in one epoch, each may name another as the cause.
fn assert_alike(view: &str, messages: &[Message], others: &[Message]) {
    if view == "id_changes" {
        // Its key has the event that is named.
        let [is, should] = [messages, others].map(|messages| {
            let mut values: Vec<_> = messages.iter().map(without_named).collect();
            values.sort_unstable();
            values
        });
        assert_eq!(is, should, "{view}");
        return;
    }
    let all = messages.iter().zip(others);
    for (message, other) in all {
        let same = Message { offset: other.offset, ..message.without_cause() };
        assert_eq!(same, other.without_cause(), "{view}");
    }
    assert_eq!(messages.len(), others.len(), "{view}");
}
