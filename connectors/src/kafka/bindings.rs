//! Bindings in a topic of one partition, for jobs whose next run may be on another machine.
//!
//! Bindings that are added in one go are one transaction. Opening the log fences off whoever had it
//! open: of two runs at once only the later one can append, so no two of them mint the same epoch.

use std::time::{Duration, Instant};

use super::hanging::HANGS;
use super::log::{Own, Start, read};
use super::producer::{Ends, Fault, Transactional, Transactions};
use super::topics::{Needed, Topics};
use super::{ClientSpec, KafkaError};
use crate::bindings::{Binding, BindingError, BindingLog, Logged};

/// Where the bindings of a job are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KafkaBindingsSpec {
    /// Where the brokers are.
    pub client: ClientSpec,
    /// The topic; one for each job.
    pub topic: String,
    /// Name of the job; the transactional id is `<job>.bindings`.
    pub job: String,
    /// How many copies a new topic gets; -1 for what the brokers usually give.
    pub replication: i32,
    /// How long brokers that do not answer are waited for.
    pub patience: Duration,
}

impl KafkaBindingsSpec {
    /// Bindings with usual limits.
    pub fn new(client: ClientSpec, topic: &str, job: &str) -> Self {
        let (topic, job) = (topic.to_owned(), job.to_owned());
        Self { client, topic, job, replication: -1, patience: Duration::from_mins(2) }
    }

    fn what(&self) -> String {
        format!("bindings of {:?}", self.job)
    }

    fn own<'a>(&'a self, what: &'a str) -> Own<'a> {
        let Self { client, topic, patience, .. } = self;
        Own { client, what, topic, partition: 0, patience: *patience }
    }
}

/// A log of bindings in a topic.
pub struct KafkaBindingLog {
    spec: KafkaBindingsSpec,
    producer: Transactions,
    /// The offset after the last binding that is known.
    next: u64,
}

/// After how long the brokers take back a binding that nobody ends.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What a record begins with: its name and the version of its layout.
const HEADER: &[u8; 8] = b"braidbl3";

impl KafkaBindingLog {
    /// Opens the log, creating its topic if it is not there; fences off earlier runs and reads the
    /// bindings after `beginning`, or all.
    ///
    /// # Errors
    /// Brokers that don't answer; a topic whose records would be lost; records of somebody else.
    pub fn open(
        spec: &KafkaBindingsSpec,
        beginning: Option<&Logged>,
    ) -> Result<(Self, Vec<Logged>), KafkaError> {
        let what = spec.what();
        Topics::open(&spec.client, &what, spec.patience)?.need(&Needed {
            name: &spec.topic,
            partitions: 1,
            exactly: true,
            replication: spec.replication,
            compacted: false,
            settings: &[],
        })?;
        let producer = Transactions::open(&transactional(spec))?;
        spec.own(&what).wait_settled((TIMEOUT * HANGS).min(spec.patience))?;
        let log = |all: &[Logged]| {
            let next = all.last().map_or(0, |last| last.at + 1);
            Self { spec: spec.clone(), producer, next }
        };
        if let Some(beginning) = beginning {
            let mut end = bindings(spec, Start::Offset(beginning.at))?;
            if let Some(first) =
                end.first_mut().filter(|first| beginning.ends_with(first.at, &first.binding))
            {
                first.clone_from(beginning);
                return Ok((log(&end), end));
            }
        }
        let all = bindings(spec, Start::First)?;
        Ok((log(&all), all))
    }

    /// The bindings of a log that another run may be writing.
    pub fn peek(spec: &KafkaBindingsSpec) -> Result<Vec<Binding>, KafkaError> {
        Ok(Self::peek_logged(spec)?.into_iter().map(|logged| logged.binding).collect())
    }

    /// As [`KafkaBindingLog::peek`], and where each is.
    pub fn peek_logged(spec: &KafkaBindingsSpec) -> Result<Vec<Logged>, KafkaError> {
        bindings(spec, Start::First)
    }

    /// Goes on after a transaction that was open for longer than the brokers allow: they may have
    /// fenced us off for that, or another run has. Gives the places of the values if they are
    /// there, or nothing if they are to be written again.
    ///
    /// # Errors
    /// [`KafkaError::Fenced`] if another run has bound something.
    fn resume(&mut self, values: &[Vec<u8>]) -> Result<Option<Vec<u64>>, KafkaError> {
        let what = self.spec.what();
        self.producer = Transactions::open(&transactional(&self.spec))?;
        self.spec.own(&what).wait_settled((TIMEOUT * HANGS).min(self.spec.patience))?;
        let found = read(&self.spec.own(&what), Start::Offset(self.next))?;
        let new: Vec<_> = found.into_iter().filter(|record| record.offset >= self.next).collect();
        if new.is_empty() {
            return Ok(None);
        }
        if new.iter().map(|record| &record.value).ne(values) {
            let detail = "it has bound an epoch while the brokers did not answer".to_owned();
            return Err(KafkaError::Fenced { what, detail });
        }
        self.next = new.last().map_or(self.next, |last| last.offset + 1);
        Ok(Some(new.iter().map(|record| record.offset).collect()))
    }

    fn try_append(&self, values: &[Vec<u8>]) -> Result<Ends, Fault> {
        self.producer.begin()?;
        for value in values {
            self.producer.send(&self.spec.topic, Some(0), &[], Some(value), &[])?;
        }
        let ends = self.producer.drain()?;
        self.producer.commit()?;
        Ok(ends)
    }
}

fn transactional(spec: &KafkaBindingsSpec) -> Transactional {
    Transactional {
        client: spec.client.clone(),
        what: spec.what(),
        id: format!("{}.bindings", spec.job),
        linger: Duration::ZERO,
        timeout: TIMEOUT,
        patience: spec.patience,
    }
}

/// The bindings in the topic.
fn bindings(spec: &KafkaBindingsSpec, start: Start) -> Result<Vec<Logged>, KafkaError> {
    let what = spec.what();
    let mut bindings: Vec<Logged> = Vec::new();
    for record in read(&spec.own(&what), start)? {
        let foreign = |detail: String| KafkaError::Foreign {
            what: what.clone(),
            topic: spec.topic.clone(),
            offset: record.offset,
            detail,
        };
        let Some(bytes) = record.value.strip_prefix(HEADER) else {
            return Err(foreign("not a binding of this version".to_owned()));
        };
        let binding: Binding = bincode::deserialize(bytes).map_err(|e| foreign(e.to_string()))?;
        if bindings.last().is_some_and(|last| last.binding.epoch >= binding.epoch) {
            return Err(foreign(format!("epoch {} comes again", binding.epoch)));
        }
        bindings.push(Logged { at: record.offset, binding });
    }
    Ok(bindings)
}

impl BindingLog for KafkaBindingLog {
    fn read(&mut self) -> Result<Vec<Logged>, BindingError> {
        Ok(bindings(&self.spec, Start::First)?)
    }

    fn append_all(&mut self, bindings: &[Binding]) -> Result<Vec<u64>, BindingError> {
        let what = self.spec.what();
        let value = |binding: &Binding| {
            let mut value = HEADER.to_vec();
            bincode::serialize_into(&mut value, binding)
                .map(|()| value)
                .map_err(|e| KafkaError::Client { what: what.clone(), detail: e.to_string() })
        };
        let values = bindings.iter().map(value).collect::<Result<Vec<_>, _>>()?;
        let begun = Instant::now();
        loop {
            return Err(match self.try_append(&values) {
                Ok(ends) => {
                    // Nobody else writes there. If it is not known where they are, whoever looks
                    // there sees so, and reads all; and what comes next is behind what is known.
                    let end = ends.values().next().copied();
                    self.next = end.unwrap_or(self.next);
                    let back = 1..=values.len() as u64;
                    let end = end.unwrap_or_default();
                    return Ok(back.rev().map(|back| end.saturating_sub(back)).collect());
                }
                Err(Fault::TakenBack(_)) if begun.elapsed() < self.spec.patience => continue,
                Err(Fault::TakenBack(detail)) => KafkaError::Client { what, detail },
                // Brokers that stood still may have taken it back and fenced us off.
                Err(Fault::Fenced) if begun.elapsed() >= TIMEOUT => match self.resume(&values) {
                    Ok(Some(places)) => return Ok(places),
                    Ok(None) => continue,
                    Err(error) => error,
                },
                // Whether the binding counts is seen by the next run, which reads the log.
                Err(Fault::Fenced) => KafkaError::Fenced {
                    what,
                    detail: "it has the log of bindings open".to_owned(),
                },
                Err(Fault::Stop(error)) => error,
            }
            .into());
        }
    }
}
