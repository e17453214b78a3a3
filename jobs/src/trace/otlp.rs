//! Traces in OpenTelemetry's protocol, as JSON: the body of a request to `/v1/traces`.

use operators::model::message_hash;
use serde_json::{Value, json};

use super::{Span, Trace};

/// A span that is a part of the job's own work.
const INTERNAL: u8 = 1;

/// What all traces of a run have in common.
#[derive(Clone, Debug)]
pub(super) struct Resource {
    pub job: String,
    pub generation: u64,
}

fn text(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

/// Whole numbers are texts: JSON's own are not exact beyond 53 bits.
fn number(key: &str, value: u64) -> Value {
    json!({ "key": key, "value": { "intValue": value.to_string() } })
}

/// The body of a request.
pub(super) fn body(resource: &Resource, traces: &[Trace]) -> Value {
    let spans: Vec<Value> = traces.iter().flat_map(|trace| spans(resource, trace)).collect();
    let version = env!("CARGO_PKG_VERSION");
    json!({
        "resourceSpans": [{
            "resource": { "attributes": [
                text("service.name", "braid"),
                text("service.version", version),
                text("braid.job", &resource.job),
                number("braid.generation", resource.generation),
            ] },
            "scopeSpans": [{ "scope": { "name": "braid", "version": version }, "spans": spans }],
        }],
    })
}

/// Ids follow from the run, the epoch and the moment: no two traces share one.
fn spans(resource: &Resource, trace: &Trace) -> Vec<Value> {
    let Resource { job, generation } = resource;
    let begun = trace.spans.first().map_or(0, |whole| whole.begun);
    let name = format!("{job}/{generation}/{}/{begun}", trace.epoch);
    let trace_id = format!("{:032x}", message_hash(&name).max(1));
    let id = |place: usize| {
        let hash = message_hash(&format!("{name}/{place}")) as u64;
        format!("{:016x}", hash.max(1))
    };
    let of = |(place, span): (usize, &Span)| {
        let attributes: Vec<Value> =
            span.numbers.iter().map(|(key, value)| number(key, *value)).collect();
        json!({
            "traceId": trace_id,
            "spanId": id(place),
            "parentSpanId": span.parent.map(id).unwrap_or_default(),
            "name": span.name,
            "kind": INTERNAL,
            "startTimeUnixNano": span.begun.to_string(),
            "endTimeUnixNano": span.ended.to_string(),
            "attributes": attributes,
        })
    };
    trace.spans.iter().enumerate().map(of).collect()
}
