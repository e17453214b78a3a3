//! Rows in topics.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant, SystemTime};

use operators::model::{Change, Epoch, Micros, ViewSchema};

use super::hanging::{HANGS, OpenTransaction, Watched};
use super::net::{Outgoing, net};
use super::partition::partition;
use super::producer::{Fault, Transactional, Transactions};
use super::progress::{Claim, Progress};
use super::topics::{Needed, Topics};
use super::view::View;
use super::whole::{whole, with_ends};
use super::{ClientSpec, KafkaError, RowFormat};
use crate::moments::{Moment, reach};

/// Records of ours up to this size must fit: a dead letter's payload in Base64 has 1.4 MB.
const RECORD_BYTES_MAX: &str = "4194304";
/// A transaction that was taken back this often in a row is not tried again.
const REPEATS_MAX: u64 = 20;
/// The longest that brokers let a transaction be open, unless they are told otherwise
/// (`transaction.max.timeout.ms`).
const TIMEOUT_MAX: Duration = Duration::from_mins(15);

/// A Kafka sink as the job describes it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KafkaSinkSpec {
    /// Where the brokers are.
    pub client: ClientSpec,
    /// Rows of a view go to the topic `<prefix>.<view>`, progress to `<prefix>.progress`.
    pub prefix: String,
    /// How rows are written; progress is JSON.
    pub format: RowFormat,
    /// Name of the job.
    pub job: String,
    /// Which of the job's producers this is; the transactional id is `<job>.<group>`.
    pub group: String,
    /// Hash of the job: the header `job`.
    pub job_hash: String,
    /// Which run of the job this is: of two runs at once, the one with the higher number goes on.
    pub generation: u64,
    /// How many partitions new topics get.
    pub partitions: i32,
    /// How many copies new topics get; -1 for what the brokers usually give.
    pub replication: i32,
    /// After how long the brokers take back a transaction that nobody ends: how long a crash may
    /// hold up readers. An epoch that takes longer to write, as that of a change of the job may, is
    /// given twice as long, and so on; those after it have the usual time again.
    pub transaction_timeout: Duration,
    /// How long brokers that do not answer are waited for.
    pub patience: Duration,
}

impl KafkaSinkSpec {
    /// A sink with usual limits.
    pub fn new(client: ClientSpec, prefix: &str, job: &str, job_hash: &str) -> Self {
        Self {
            client,
            prefix: prefix.to_owned(),
            format: RowFormat::default(),
            job: job.to_owned(),
            group: "sink".to_owned(),
            job_hash: job_hash.to_owned(),
            generation: 1,
            partitions: 4,
            replication: -1,
            transaction_timeout: Duration::from_secs(10),
            patience: Duration::from_mins(2),
        }
    }

    /// What messages call the sink.
    pub(super) fn what(&self) -> String {
        format!("sink {:?}", self.prefix)
    }

    /// The topic of a view.
    pub fn topic(&self, view: &str) -> String {
        format!("{}.{view}", self.prefix)
    }

    /// A transaction that is open in a topic of the sink for longer hangs: nobody ends it.
    pub fn hangs(&self) -> Duration {
        self.transaction_timeout * HANGS
    }

    fn transactional(&self) -> Transactional {
        Transactional {
            client: self.client.clone(),
            what: self.what(),
            id: format!("{}.{}", self.job, self.group),
            // All of a transaction is sent at once; the claim, which ends it, waits for nobody.
            linger: Duration::from_millis(1),
            timeout: self.transaction_timeout,
            patience: self.patience,
        }
    }
}

/// A closed epoch that is to be written.
struct Closed {
    epoch: Epoch,
    watermark: Micros,
    records: Vec<Outgoing>,
}

/// What a commit wrote.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sent {
    /// Rows that came or changed.
    pub upserts: u64,
    /// Rows that went.
    pub tombstones: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
    /// How often a transaction had to be tried again.
    pub repeats: u64,
}

/// The topics of a job.
pub struct KafkaSink {
    spec: KafkaSinkSpec,
    views: Vec<View>,
    progress: Progress,
    producer: Transactions,
    /// What the last committed transaction says.
    claim: Claim,
    changes: BTreeMap<Epoch, Vec<Change>>,
    run: VecDeque<Closed>,
    bytes: usize,
    watched: Watched,
    /// How long transactions usually may take.
    usual: Duration,
}

impl KafkaSink {
    /// Registers the schemas of rows, where there is a registry; creates or checks the topics,
    /// fences off earlier producers of this sink, and reads how far they came.
    ///
    /// # Errors
    /// A registry that does not answer or refuses a schema; topics with other settings than they
    /// need, or with keys in another format; brokers that don't answer; [`KafkaError::Fenced`] if a
    /// newer run is on.
    pub fn open(spec: &KafkaSinkSpec, schemas: &[ViewSchema]) -> Result<Self, KafkaError> {
        let what = spec.what();
        let registry = spec.format.registry(&what)?;
        let view = |schema: &ViewSchema| View::new(spec, schema, registry.as_ref());
        let views = schemas.iter().map(view).collect::<Result<Vec<View>, _>>()?;
        let topics = Topics::open(&spec.client, &what, spec.patience)?;
        let (mut ends, mut keys) = (BTreeMap::new(), BTreeMap::new());
        for view in &views {
            let partitions = topics.need(&Needed {
                name: &view.topic,
                partitions: spec.partitions,
                exactly: false,
                replication: spec.replication,
                compacted: true,
                settings: &[("max.message.bytes", RECORD_BYTES_MAX)],
            })?;
            ends.insert(view.topic.clone(), vec![0; partitions]);
            keys.extend(view.key_id().map(|id| (view.topic.clone(), id)));
        }
        let (topic, key) = (spec.topic("progress"), spec.transactional().id);
        let progress = Progress::open(
            &topics,
            &spec.client,
            &what,
            &topic,
            &key,
            spec.replication,
            spec.patience,
        )?;
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let ours = Claim {
            generation: spec.generation,
            instance: format!("{}-{:x}", std::process::id(), since.as_nanos()),
            job: spec.job_hash.clone(),
            ends,
            keys,
            ..Claim::default()
        };
        let (producer, claim) = take_over(spec, &progress, &ours, false)?;
        whole(spec, &claim)?;
        let (changes, run, bytes) = (BTreeMap::new(), VecDeque::new(), 0);
        let ends = claim.ends.iter();
        let mut partitions: Vec<(String, i32)> = ends
            .flat_map(|(topic, ends)| (0..ends.len() as i32).map(|p| (topic.clone(), p)))
            .collect();
        partitions.push((progress.topic.clone(), 0));
        let watched = Watched::start(&spec.client, &what, partitions)?;
        let spec = spec.clone();
        let usual = spec.transaction_timeout;
        Ok(Self { spec, views, progress, producer, claim, changes, run, bytes, watched, usual })
    }

    /// How far a sink is that another run may be writing; `None` if it has never been.
    ///
    /// # Errors
    /// Brokers that don't answer.
    pub fn peek(spec: &KafkaSinkSpec) -> Result<Option<Claim>, KafkaError> {
        let (topic, key, what) = (spec.topic("progress"), spec.transactional().id, spec.what());
        if !Topics::open(&spec.client, &what, spec.patience)?.is_there(&topic)? {
            return Ok(None);
        }
        Progress::at(&spec.client, &what, &topic, &key, spec.patience).peek()
    }

    /// The transactions that are open in its topics, as seen a few seconds ago at most. Its own end
    /// soon; one that is older than [`KafkaSinkSpec::hangs`] is ended by nobody.
    pub fn open_transactions(&self) -> Vec<OpenTransaction> {
        self.watched.open()
    }

    /// See [`KafkaSinkSpec::hangs`].
    pub fn hangs(&self) -> Duration {
        self.spec.hangs()
    }

    /// The epoch up to which everything is committed.
    pub fn committed(&self) -> Option<Epoch> {
        self.claim.epoch
    }

    /// What its topics' names begin with.
    pub fn prefix(&self) -> &str {
        &self.spec.prefix
    }

    /// What the last transaction says.
    pub fn claim(&self) -> &Claim {
        &self.claim
    }

    /// Closed epochs that wait for a commit.
    pub fn pending(&self) -> usize {
        self.run.len()
    }

    /// Bytes of them.
    pub fn pending_bytes(&self) -> usize {
        self.bytes
    }

    /// Takes in a change of an epoch that is not closed; what is committed already is passed over.
    pub fn add(&mut self, epoch: Epoch, change: Change) {
        if self.committed().is_none_or(|done| epoch > done) {
            self.changes.entry(epoch).or_default().push(change);
        }
    }

    /// Closes an epoch, all changes of which have been taken in. Epochs are closed in their order.
    ///
    /// # Errors
    /// [`KafkaError::Inconsistent`] if two rows of one key stand after it.
    pub fn close(&mut self, epoch: Epoch, watermark: Micros) -> Result<(), KafkaError> {
        let changes = self.changes.remove(&epoch).unwrap_or_default();
        if self.committed().is_some_and(|done| epoch <= done) {
            return Ok(());
        }
        let records = net(&self.views, changes, watermark)?;
        self.bytes += records.iter().map(Outgoing::bytes).sum::<usize>();
        self.run.push_back(Closed { epoch, watermark, records });
        Ok(())
    }

    /// Commits all closed epochs in one transaction. Does nothing if there are none.
    ///
    /// # Errors
    /// [`KafkaError::Fenced`] if a newer run has taken over; brokers that don't answer for longer
    /// than the spec's patience, counted anew where a transaction is given more time; a record that
    /// a topic does not take. Nothing is committed then.
    pub fn commit(&mut self) -> Result<Sent, KafkaError> {
        let mut begun = Instant::now();
        let mut sent = Sent::default();
        if self.spec.transaction_timeout > self.usual && !self.run.is_empty() {
            self.spec.transaction_timeout = self.usual;
            self.succeed_itself(&mut sent)?;
        }
        while let Some(last) = self.run.back() {
            let mut claim = self.claim.clone();
            (claim.epoch, claim.watermark) = (Some(last.epoch), Some(last.watermark));
            let (attempt, delivered) = (Instant::now(), self.producer.delivered());
            let cause = match self.attempt(claim) {
                Ok(claim) => {
                    self.claim = claim;
                    self.passed(&mut sent);
                    continue;
                }
                Err(Fault::Stop(error)) => {
                    self.producer.abandon();
                    return Err(error);
                }
                Err(Fault::TakenBack(cause)) => Some(cause),
                Err(Fault::Fenced) => None,
            };
            sent.repeats += 1;
            // One that took all of its time, and came on in it, may only need more. The brokers
            // count it from its beginning, however much of it they get meanwhile.
            let late = attempt.elapsed() >= self.spec.transaction_timeout;
            let longer = late && self.producer.delivered() > delivered && self.give_longer();
            if longer {
                begun = Instant::now();
            } else if sent.repeats >= REPEATS_MAX || begun.elapsed() >= self.spec.patience {
                let fenced = "the brokers know another producer of this id";
                return Err(self.tired(cause.as_deref().unwrap_or(fenced)));
            }
            if cause.is_none() || longer {
                self.succeed_itself(&mut sent)?;
            }
        }
        Ok(sent)
    }

    /// Goes on as another producer of the same id, with the time that transactions have now.
    fn succeed_itself(&mut self, sent: &mut Sent) -> Result<(), KafkaError> {
        (self.producer, self.claim) = take_over(&self.spec, &self.progress, &self.claim, true)?;
        // Perhaps only the answer to the last commit was lost.
        self.passed(sent);
        Ok(())
    }

    /// Lets go of what is committed, and counts it.
    fn passed(&mut self, sent: &mut Sent) {
        let done = self.claim.epoch;
        while let Some(closed) = self.run.pop_front_if(|closed| Some(closed.epoch) <= done) {
            for record in closed.records {
                let bytes = record.bytes();
                self.bytes -= bytes;
                sent.bytes += bytes as u64;
                sent.upserts += u64::from(record.value.is_some());
                sent.tombstones += u64::from(record.value.is_none());
            }
        }
    }

    /// Gives transactions twice as long, if they have not the longest time yet.
    fn give_longer(&mut self) -> bool {
        let longer = (self.spec.transaction_timeout * 2).min(TIMEOUT_MAX);
        let is_longer = longer > self.spec.transaction_timeout;
        self.spec.transaction_timeout = longer;
        is_longer
    }

    fn tired(&self, cause: &str) -> KafkaError {
        let detail = format!("a transaction was taken back again and again: {cause}");
        KafkaError::Client { what: self.spec.what(), detail }
    }

    /// One transaction with all closed epochs.
    fn attempt(&self, claim: Claim) -> Result<Claim, Fault> {
        let producer = &self.producer;
        let count = |view: &View| claim.ends.get(&view.topic).map_or(1, Vec::len);
        let partitions: Vec<usize> = self.views.iter().map(count).collect();
        producer.begin()?;
        reach(Moment::TopicBegun);
        for closed in &self.run {
            let epoch = closed.epoch.to_string();
            for record in &closed.records {
                let mut headers = vec![("epoch", &*epoch), ("status", record.status.word())];
                if let Some(cause) = record.cause.word() {
                    headers.push(("cause", cause));
                }
                headers.push(("job", &*self.spec.job_hash));
                let final_at = record.final_at.map(|at| at.to_string());
                if let Some(at) = &final_at {
                    headers.push(("final_at", at));
                }
                let view = usize::from(record.view);
                let (topic, partition) =
                    (&self.views[view].topic, partition(&record.key, partitions[view]));
                let value = record.value.as_deref();
                producer.send(topic, Some(partition), &record.key, value, &headers)?;
                reach(Moment::TopicSent);
            }
        }
        let ends = producer.drain()?;
        reach(Moment::TopicDrained);
        finish(producer, &self.progress, with_ends(&self.spec, claim, &ends)?)
    }
}

/// Writes the claim and ends the transaction that it describes.
fn finish(producer: &Transactions, progress: &Progress, claim: Claim) -> Result<Claim, Fault> {
    // A claim has no keys but text, and no numbers that JSON has no form for.
    let value = serde_json::to_vec(&claim).unwrap_or_default();
    producer.send(&progress.topic, Some(0), progress.key.as_bytes(), Some(&value), &[])?;
    producer.drain()?;
    reach(Moment::TopicProgress);
    producer.commit()?;
    reach(Moment::TopicCommitted);
    Ok(claim)
}

/// Fences off all other producers of the sink, goes on from where the last one came to, and says
/// so.
///
/// Of two runs at once each fences off the other until one of them has written its claim: then the
/// other, which finds itself fenced off, reads it and stops. `before` is what this run has claimed.
fn take_over(
    spec: &KafkaSinkSpec,
    progress: &Progress,
    ours: &Claim,
    before: bool,
) -> Result<(Transactions, Claim), KafkaError> {
    let begun = Instant::now();
    loop {
        let producer = Transactions::open(&spec.transactional())?;
        reach(Moment::Fenced);
        let claim = match progress.last(spec.hangs().min(spec.patience))? {
            Some(last) => succeed(spec, ours, &last, before)?,
            None => ours.clone(),
        };
        let result = producer.begin().and_then(|()| finish(&producer, progress, claim));
        let late = begun.elapsed() >= spec.patience;
        match result {
            Ok(claim) => return Ok((producer, claim)),
            Err(Fault::Stop(error)) => return Err(error),
            Err(Fault::Fenced) if late => return Err(fenced(spec, "it came first".to_owned())),
            Err(Fault::TakenBack(cause)) if late => {
                let (what, detail) = (spec.what(), format!("can't write its progress: {cause}"));
                return Err(KafkaError::Client { what, detail });
            }
            Err(Fault::Fenced | Fault::TakenBack(_)) => {}
        }
    }
}

fn fenced(spec: &KafkaSinkSpec, detail: String) -> KafkaError {
    KafkaError::Fenced { what: spec.what(), detail }
}

/// Our claim, going on from the last one.
fn succeed(
    spec: &KafkaSinkSpec,
    ours: &Claim,
    last: &Claim,
    before: bool,
) -> Result<Claim, KafkaError> {
    let newer = if before {
        last.instance != ours.instance && last.generation >= ours.generation
    } else {
        last.generation > ours.generation
    };
    if newer {
        let detail = format!(
            "{} is of run {}, this is run {}; if the job was begun anew, use another prefix",
            spec.topic("progress"),
            last.generation,
            ours.generation
        );
        return Err(fenced(spec, detail));
    }
    let mut claim = Claim { epoch: last.epoch, watermark: last.watermark, ..ours.clone() };
    for (topic, ends) in &mut claim.ends {
        let Some(known) = last.ends.get(topic).filter(|known| !known.is_empty()) else { continue };
        if known.len() != ends.len() {
            let detail = format!(
                "had {} partitions and has {}, so rows of one key would be in two of them; remove \
                 the topics of the prefix, or use another prefix",
                known.len(),
                ends.len()
            );
            return Err(KafkaError::Settings { what: spec.what(), topic: topic.clone(), detail });
        }
        let keys = [last, ours].map(|claim| claim.keys.get(topic));
        if keys[0] != keys[1] {
            let [were, are] = keys.map(|id| match id {
                None => "JSON".to_owned(),
                Some(id) => format!("Avro of schema {id}"),
            });
            let detail = format!(
                "has keys in {were} and would get them in {are}, so rows of one key would stand \
                 twice; remove the topics of the prefix, or use another prefix"
            );
            return Err(KafkaError::Settings { what: spec.what(), topic: topic.clone(), detail });
        }
        ends.clone_from(known);
    }
    Ok(claim)
}
