//! What the TOML reader says, as what the user can do about it.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::words::nearest;

/// Tables that stand in a list, each with two brackets.
const LISTS: [&str; 4] = ["source", "view", "sink", "type"];

/// Tables of which there is one.
const SINGLE: [&str; 4] = ["job", "time", "identity", "dedup"];

/// Tables of which there may be several.
const SEVERAL: [&str; 3] = ["source", "sink", "view"];

/// A value that fits a key, as it is written.
fn example(key: &str) -> Option<&'static str> {
    Some(match key {
        "name" | "prefix" => "\"shop\"",
        "out" => "\"out/shop\"",
        "zone" => "\"Europe/Berlin\"",
        "tenant" => "\"acme\"",
        "connector" => "\"file\"",
        "path" => "\"events/*.ndjson\"",
        "format" => "\"csv\"",
        "brokers" => "\"localhost:9092\"",
        "schema" => "\"event.avsc\"",
        "message" => "\"shop.Event\"",
        "registry" => "\"http://localhost:8081\"",
        "topics" => "[\"web\", \"^mobile\\\\..*\"]",
        "partitions" => "4",
        "replication" => "3",
        "channel" => "\"web\"",
        "disorder" => "\"2h\"",
        "gap" | "cap" => "\"30m\"",
        "every" => "\"60s\"",
        "admit" | "future" | "ids" | "history" | "forward" | "back" => "\"7d\"",
        "kind" => "\"sessions\"",
        "metric" => "\"people\"",
        "period" => "\"day\"",
        "event" => "\"purchase\"",
        "key" | "property" | "breakdown" => "\"platform\"",
        "from" => "[\"userId\"]",
        "rank" => "0",
        "without" => "[\"events\"]",
        "strongest" => "[\"backend\", \"web\"]",
        "blocked" => "[\"unknown\"]",
        "steps" => "[{ event = \"first\" }, { event = \"second\" }]",
        "concat" => "[\"session_id\", \"timestamp\"]",
        "field" | "const" => "\"id\"",
        "header" => "\"x-channel\"",
        "record" => "\"timestamp\"",
        _ => return None,
    })
}

/// The innermost key whose value is at a place; for the place of a key, the table's key.
fn key_at<'a>(table: &'a DeTable<'_>, at: usize, above: &'a str) -> Option<&'a str> {
    let contains = |span: Range<usize>| span.contains(&at);
    if table.keys().any(|key| contains(key.span())) {
        return Some(above);
    }
    let (key, value) = table.iter().find(|(_, value)| spans(value.get_ref(), &value.span(), at))?;
    Some(below(value.get_ref(), at, key.get_ref()).unwrap_or(key.get_ref()))
}

fn below<'a>(value: &'a DeValue<'_>, at: usize, above: &'a str) -> Option<&'a str> {
    match value {
        DeValue::Table(table) => key_at(table, at, above),
        DeValue::Array(list) => list.iter().find_map(|value| below(value.get_ref(), at, above)),
        _ => None,
    }
}

/// Whether a value, or something in it, is at a place: the span of a table with a header is the
/// header alone.
fn spans(value: &DeValue<'_>, span: &Range<usize>, at: usize) -> bool {
    let inside = match value {
        DeValue::Table(table) => table
            .iter()
            .any(|(key, v)| key.span().contains(&at) || spans(v.get_ref(), &v.span(), at)),
        DeValue::Array(list) => list.iter().any(|v| spans(v.get_ref(), &v.span(), at)),
        _ => false,
    };
    inside || (span.start..span.end.max(span.start + 1)).contains(&at)
}

/// Says what is wrong at a place, and what to write; `here` is what stands there.
pub(super) fn explain(
    message: &str,
    (span, here): (&Range<usize>, &str),
    tree: &DeTable<'_>,
) -> String {
    let message = message.trim();
    let key = key_at(tree, span.start, "").unwrap_or_default();
    let single = |key: &&&str| tree.get(**key).is_some_and(|value| value.get_ref().is_array());
    if let Some(key) = SINGLE.iter().find(single) {
        return format!("there is one `{key}` only; write [{key}] once, in single brackets");
    }
    if let Some(missing) = quoted(message, "missing field ") {
        return match example(missing) {
            _ if missing == "job" => {
                "the job has no [job]; write [job] with a name and an out".to_owned()
            }
            Some(value) => format!("`{missing}` is missing; write {missing} = {value}"),
            None => format!("`{missing}` is missing; write it"),
        };
    }
    if let Some(unknown) = quoted(message, "unknown field ") {
        return unknown_key(unknown, key, message);
    }
    let wrong = message.strip_prefix("invalid type: ");
    let wrong = wrong.or_else(|| message.strip_prefix("invalid value: "));
    if let Some((found, expected)) = wrong.and_then(|wrong| wrong.split_once(", expected ")) {
        return wrong_value(key, found, expected);
    }
    let plain = message.replace('\n', "; ");
    match &*plain {
        "duplicate key" if SEVERAL.contains(&here) => format!(
            "this stands here a second time; where there are several, write [[{here}]] at each, in \
             double brackets"
        ),
        "duplicate key" => "this stands here a second time; remove or rename it".to_owned(),
        // The others say what they expect.
        _ => format!("this is not TOML: {plain}"),
    }
}

/// The word in backticks after a beginning.
fn quoted<'a>(message: &'a str, beginning: &str) -> Option<&'a str> {
    message.strip_prefix(beginning)?.strip_prefix('`')?.split('`').next()
}

fn unknown_key(unknown: &str, table: &str, message: &str) -> String {
    if ["properties", "traits", "context"].contains(&table) {
        return format!("a field below {table} is in quotes; write \"{table}.{unknown}\" = \"…\"");
    }
    // All other words in backticks are the keys that there are.
    let keys: Vec<&str> = message.split('`').skip(3).step_by(2).collect();
    let meant = nearest(unknown, &keys);
    let meant = meant.map_or(String::new(), |key| format!("did you mean `{key}`? "));
    let keys = keys.join(", ");
    format!("there is no key `{unknown}` here; {meant}write one of {keys}")
}

fn wrong_value(key: &str, found: &str, expected: &str) -> String {
    let found = match found {
        "map" => "table",
        "sequence" => "list",
        other => other,
    };
    if found == "table" && LISTS.contains(&key) {
        return format!("there can be several; write [[{key}]] with two brackets");
    }
    let write = match (example(key), expected) {
        (_, "u8") => "a whole number from 0 to 255".to_owned(),
        (_, "u32") => format!("a whole number from 0 to {}", u32::MAX),
        (Some(value), _) => format!("{key} = {value}"),
        (None, "a string") => "a text in quotes".to_owned(),
        (None, "a boolean") => "true or false".to_owned(),
        (None, "a sequence") => "a list in brackets".to_owned(),
        (None, other) if other.starts_with("struct") => format!("a table, under [{key}]"),
        (None, other) => other.to_owned(),
    };
    format!("`{key}` can't be the {found}; write {write}")
}
