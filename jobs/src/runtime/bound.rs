//! Where a job's bindings are: in a file of its output folder, or in a topic.

use std::path::PathBuf;

use connectors::bindings::{Binding, BindingError, BindingLog, FileBindingLog};
use connectors::kafka::KafkaBindingLog;

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

/// Opens the bindings to append to them, and reads them. Nobody else appends from now on.
pub(super) fn open(plan: &Plan) -> Result<(Box<dyn BindingLog>, Vec<Binding>), BindingError> {
    if let Some(topic) = &plan.bindings {
        let (log, bindings) = KafkaBindingLog::open(topic)?;
        return Ok((Box::new(log), bindings));
    }
    let (log, bindings) = FileBindingLog::open(&file(plan))?;
    Ok((Box::new(log), bindings))
}

/// The bindings as they are now, while another run may be appending; none if the job has not run.
pub fn peek(plan: &Plan) -> Result<Vec<Binding>, BindingError> {
    let file = file(plan);
    match &plan.bindings {
        Some(topic) => Ok(KafkaBindingLog::peek(topic)?),
        None if !file.exists() => Ok(Vec::new()),
        None => FileBindingLog::peek(&file),
    }
}
