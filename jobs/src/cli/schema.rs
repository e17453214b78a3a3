//! `braid schema`: what the records of a job's topics hold.

use std::path::Path;

use connectors::avro::avro_schemas;
use connectors::kafka::{RowFormat, json_schemas};
use operators::model::{Status, ViewSchema};
use serde_json::{Map, Value, json};

use super::{out, read};
use crate::runtime::Plan;
use crate::say;

/// Prints the schemas of one view or all; returns the exit code.
pub(super) fn schema(path: &Path, view: Option<&str>) -> u8 {
    let plan = match read(path) {
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
        say::fail(format_args!("the job has no view {view:?}; write one of {}", names.join(", ")));
        return 2;
    }
    out::line(format_args!("{:#}", Value::Object(page)));
    0
}

/// Of the topics in JSON one schema for all, unless there are topics in Avro only; of each topic in
/// Avro its own, for their names are the topic's.
fn of_view(plan: &Plan, schema: &ViewSchema) -> Value {
    let (mut topics, mut avro) = (Vec::new(), Map::new());
    for sink in &plan.topics {
        let topic = sink.topic(&schema.name);
        match sink.format {
            RowFormat::Json => topics.push(topic),
            RowFormat::Avro(_) => {
                let (key, value) = avro_schemas(schema, &sink.prefix);
                avro.insert(topic, json!({ "key": key, "value": value }));
            }
        }
    }
    let mut page = Map::new();
    if !topics.is_empty() || avro.is_empty() {
        let (key, value) = json_schemas(schema);
        page.insert("topics".to_owned(), json!(topics));
        page.insert("key".to_owned(), key);
        page.insert("value".to_owned(), value);
    }
    if !avro.is_empty() {
        page.insert("avro".to_owned(), Value::Object(avro));
    }
    page.insert("headers".to_owned(), headers());
    Value::Object(page)
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
