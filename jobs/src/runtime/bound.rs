//! Where a job's bindings are: in a file of its output folder, or in a topic.

use std::path::PathBuf;

use connectors::bindings::{Binding, BindingError, BindingLog, FileBindingLog, Logged};
use connectors::kafka::KafkaBindingLog;
use operators::model::Epoch;

use super::plan::Plan;

/// What messages call the place.
pub(super) fn place(plan: &Plan) -> String {
    match &plan.bindings {
        Some(topic) => format!("topic {}", topic.topic),
        None => file(plan).display().to_string(),
    }
}

fn file(plan: &Plan) -> PathBuf {
    plan.bound.join("bindings")
}

/// The bindings that a run goes on from, and where to append to them.
pub(super) struct Bound {
    /// `None` if nothing is appended.
    pub log: Option<Box<dyn BindingLog + Send>>,
    /// The bindings; the first may stand for all up to it.
    pub bindings: Vec<Binding>,
    /// Where the log has each.
    pub places: Vec<u64>,
    /// Whether the first is that of the first epoch.
    pub whole: bool,
}

impl Bound {
    /// Opens the bindings to append to them, and reads what comes after `beginning`, or all. Nobody
    /// else appends from now on.
    pub(super) fn open(plan: &Plan, beginning: Option<&Logged>) -> Result<Self, BindingError> {
        let (log, read): (Box<dyn BindingLog + Send>, _) = if let Some(topic) = &plan.bindings {
            let (log, read) = KafkaBindingLog::open(topic, beginning)?;
            (Box::new(log), read)
        } else {
            let (log, read) = FileBindingLog::open(&file(plan), beginning)?;
            (Box::new(log), read)
        };
        let whole = beginning.is_none_or(|beginning| read.first() != Some(beginning));
        let (places, bindings) = apart(read);
        Ok(Self { log: Some(log), bindings, places, whole })
    }

    /// Reads all of them, if it has not.
    pub(super) fn read(&mut self) -> Result<(), BindingError> {
        if let Some(log) = self.log.as_mut().filter(|_| !self.whole) {
            (self.places, self.bindings) = apart(log.read()?);
            self.whole = true;
        }
        Ok(())
    }

    /// Bindings that another run may be appending to.
    pub(super) fn past(read: Vec<Logged>) -> Self {
        let (places, bindings) = apart(read);
        Self { log: None, bindings, places, whole: true }
    }

    /// Adds a binding, and says where it is; 0 if there is no log.
    pub(super) fn append(&mut self, binding: &Binding) -> Result<u64, BindingError> {
        self.log.as_mut().map_or(Ok(0), |log| log.append(binding))
    }

    /// Adds bindings in one go, and says where each is.
    pub(super) fn append_all(&mut self, bindings: &[Binding]) -> Result<Vec<u64>, BindingError> {
        let nowhere = || Ok(vec![0; bindings.len()]);
        self.log.as_mut().map_or_else(nowhere, |log| log.append_all(bindings))
    }

    /// What stands for the bindings up to an epoch.
    pub(super) fn beginning(&self, upto: Epoch) -> Option<Logged> {
        let bound = self.places.iter().zip(&self.bindings);
        let bound = bound.take_while(|(_, binding)| binding.epoch <= upto);
        let mut logged = bound.map(|(at, b)| Logged { at: *at, binding: b.clone() });
        let first = logged.next()?;
        Some(logged.fold(first, |mut sum, next| {
            sum.extend(next);
            sum
        }))
    }

    /// Whether this stands for the beginning of these bindings; `None` if what it ends with has not
    /// been read.
    pub(super) fn begins(&self, with: &Logged) -> Option<bool> {
        let epoch = with.binding.epoch;
        let place = self.bindings.binary_search_by_key(&epoch, |binding| binding.epoch);
        match place {
            Err(0) if !self.whole => None,
            Err(_) => Some(false),
            Ok(place) => Some(with.ends_with(self.places[place], &self.bindings[place])),
        }
    }

    /// The last of them.
    pub(super) fn last(&self) -> Option<&Binding> {
        self.bindings.last()
    }

    /// The last epoch that is bound, 0 if there is none.
    pub(super) fn epoch(&self) -> Epoch {
        self.last().map_or(0, |binding| binding.epoch)
    }
}

fn apart(read: Vec<Logged>) -> (Vec<u64>, Vec<Binding>) {
    read.into_iter().map(|logged| (logged.at, logged.binding)).unzip()
}

/// The bindings as they are now, while another run may be appending; none if the job has not run.
pub fn peek(plan: &Plan) -> Result<Vec<Binding>, BindingError> {
    Ok(apart(peek_logged(plan)?).1)
}

/// As [`peek`], and where each is.
pub fn peek_logged(plan: &Plan) -> Result<Vec<Logged>, BindingError> {
    let file = file(plan);
    match &plan.bindings {
        Some(topic) => Ok(KafkaBindingLog::peek_logged(topic)?),
        None if !file.exists() => Ok(Vec::new()),
        None => FileBindingLog::peek_logged(&file),
    }
}
