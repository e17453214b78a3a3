//! Where a job's bindings are: in a file of its output folder, or in a topic.

use connectors::bindings::{Binding, BindingError, BindingLog, FileBindingLog};
use connectors::kafka::KafkaBindingLog;

use super::plan::Plan;

/// What messages call the place.
pub(super) fn place(plan: &Plan) -> String {
    match &plan.bindings {
        Some(topic) => format!("topic {}", topic.topic),
        None => plan.out.join("bindings").display().to_string(),
    }
}

/// Opens the bindings to append to them, and reads them. Nobody else appends from now on.
pub(super) fn open(plan: &Plan) -> Result<(Box<dyn BindingLog>, Vec<Binding>), BindingError> {
    if let Some(topic) = &plan.bindings {
        let (log, bindings) = KafkaBindingLog::open(topic)?;
        return Ok((Box::new(log), bindings));
    }
    let (log, bindings) = FileBindingLog::open(&plan.out.join("bindings"))?;
    Ok((Box::new(log), bindings))
}

/// The bindings as they are now, while another run may be appending; none if the job has not run.
pub fn peek(plan: &Plan) -> Result<Vec<Binding>, BindingError> {
    let file = plan.out.join("bindings");
    match &plan.bindings {
        Some(topic) => Ok(KafkaBindingLog::peek(topic)?),
        None if !file.exists() => Ok(Vec::new()),
        None => FileBindingLog::peek(&file),
    }
}
