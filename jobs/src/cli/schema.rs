//! `braid schema`: what the records of a job's topics hold.

use std::path::Path;

use connectors::kafka::json_schemas;
use operators::model::{Status, ViewSchema};
use serde_json::{Map, Value, json};

use super::load;
use crate::runtime::Plan;

/// Prints the JSON Schemas of one view or all; returns the exit code.
pub(super) fn schema(path: &Path, view: Option<&str>) -> u8 {
    let plan = match load(path) {
        Ok(plan) => plan,
        Err(code) => return code,
    };
    let schemas = &plan.catalog.schemas;
    let wanted = |schema: &&ViewSchema| view.is_none_or(|view| *schema.name == *view);
    let page: Map<String, Value> = schemas
        .iter()
        .filter(wanted)
        .map(|schema| (schema.name.to_string(), of_view(&plan, schema)))
        .collect();
    if page.is_empty() {
        let names: Vec<&str> = schemas.iter().map(|schema| &*schema.name).collect();
        let view = view.unwrap_or_default();
        eprintln!("braid: the job has no view {view:?}; write one of {}", names.join(", "));
        return 2;
    }
    println!("{:#}", Value::Object(page));
    0
}

fn of_view(plan: &Plan, schema: &ViewSchema) -> Value {
    let (key, value) = json_schemas(schema);
    let topics: Vec<String> = plan.topics.iter().map(|sink| sink.topic(&schema.name)).collect();
    json!({ "topics": topics, "key": key, "value": value, "headers": headers() })
}

/// The headers, which are text.
fn headers() -> Value {
    json!({
        "type": "object",
        "properties": {
            "epoch": { "description": "the epoch of the change", "pattern": "^[0-9]+$" },
            "status": { "enum": Status::ALL.map(Status::word) },
            "cause": {
                "description": "why the past changed; none for new data in order",
                "enum": ["late", "merge", "split", "consent", "erase", "upgrade"],
            },
            "job": { "description": "hash of the job" },
            "final_at": {
                "description": "watermark from which on a provisional row is final, in \
                                microseconds since 1970",
                "pattern": "^-?[0-9]+$",
            },
        },
        "required": ["epoch", "status", "job"],
    })
}
