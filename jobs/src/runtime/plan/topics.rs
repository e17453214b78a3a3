//! Sources and sinks in Kafka.

use std::collections::BTreeMap;
use std::path::Path;

use connectors::avro::Schema;
use connectors::kafka::{
    ClientSpec, KafkaBindingsSpec, KafkaError, KafkaSinkSpec, KafkaSpec, RegistryUrl, RowFormat,
    Values,
};
use connectors::protobuf::Messages;
use toml::Spanned;

use super::checker::Checker;
use crate::runtime::job_file::{JobFile, Property, Sink, Source};
use crate::serve::NOT_TOPICS;

/// A client with its properties, checked without connecting.
fn client(
    check: &mut Checker,
    what: &str,
    connector: &Spanned<String>,
    brokers: Option<&Spanned<String>>,
    properties: &BTreeMap<Spanned<String>, Property>,
) -> ClientSpec {
    if brokers.is_none() {
        let message = "`brokers` is missing; write brokers = \"host:9092\"";
        check.at(&connector.span(), message);
    }
    let mut client = ClientSpec::new(brokers.map_or("", |b| b.get_ref()));
    for (property, value) in properties {
        client.properties.insert(property.get_ref().clone(), value.0.clone());
    }
    if let Err(error) = client.check(what) {
        let named = match &error {
            KafkaError::Property { property, .. } | KafkaError::Reserved { property, .. } => {
                properties.keys().find(|key| key.get_ref() == property)
            }
            _ => None,
        };
        check.at(&named.unwrap_or(connector).span(), error.to_string());
    }
    client
}

/// A source in topics.
pub(super) fn source(
    check: &mut Checker,
    file: &JobFile,
    of: &Source,
    index: u16,
    base: &Path,
) -> KafkaSpec {
    let name = of.name.get_ref();
    let what = format!("source {name:?}");
    let client = client(check, &what, &of.connector, of.brokers.as_ref(), &of.properties);
    let topics: Vec<&str> = match &of.topics {
        Some(topics) => topics.get_ref().list().iter().map(String::as_str).collect(),
        None => Vec::new(),
    };
    if topics.is_empty() {
        let span = of.topics.as_ref().map_or(of.connector.span(), Spanned::span);
        check.at(&span, "`topics` is missing; write topics = [\"web\"], or a pattern: \"^web.*\"");
    }
    let mut spec = KafkaSpec::new(name, index, client, &topics);
    spec.values = values(check, of, base);
    if let Err(error) = spec.check() {
        let span = of.topics.as_ref().map_or(of.connector.span(), Spanned::span);
        check.at(&span, error.to_string());
    }
    let job = file.job.name.get_ref();
    spec.group = of.group.as_ref().map_or(format!("braid-{job}"), |group| group.get_ref().clone());
    spec
}

/// What the values of a source's records are.
fn values(check: &mut Checker, of: &Source, base: &Path) -> Values {
    let extension = of.schema.as_ref().and_then(|name| Path::new(name.get_ref()).extension());
    let proto = extension.is_some_and(|extension| extension == "proto");
    if let Some(message) = of.message.as_ref().filter(|_| !proto) {
        let wrong = "a message is one of a .proto file; write schema = \"event.proto\" beside it";
        check.at(&message.span(), wrong);
    }
    let (place, values) = match (&of.registry, &of.schema) {
        (None, None) => return Values::Json,
        (Some(url), None) => (url.span(), RegistryUrl::parse(url.get_ref()).map(Values::Registry)),
        (None, Some(name)) => {
            let path = base.join(name.get_ref());
            if proto {
                return protobuf(check, of, name, &path);
            }
            let text = std::fs::read_to_string(path);
            let schema = text.map_err(|e| format!("can't read {:?}: {e}", name.get_ref()));
            let schema = schema.and_then(|text| Schema::parse(&text));
            (name.span(), schema.map(|schema| Values::Avro(schema.into())))
        }
        (Some(_), Some(name)) => {
            let message = "`schema` is for values that no registry frames; remove it";
            (name.span(), Err(message.to_owned()))
        }
    };
    values.unwrap_or_else(|wrong| {
        check.at(&place, wrong);
        Values::Json
    })
}

/// Values that are a message of a `.proto` file.
fn protobuf(check: &mut Checker, of: &Source, name: &Spanned<String>, path: &Path) -> Values {
    let (place, message) = match (Messages::read(path), &of.message) {
        (Err(wrong), _) => (name.span(), Err(wrong)),
        (Ok(messages), Some(message)) => (message.span(), messages.named(message.get_ref())),
        (Ok(messages), None) => {
            let only = messages.only().map_err(|wrong| format!("{wrong}; write message = \"…\""));
            (name.span(), only)
        }
    };
    match message {
        Ok(message) => return Values::Protobuf(message),
        Err(wrong) => check.at(&place, wrong),
    }
    Values::Json
}

/// Bindings in a topic; `None` if they are in a file.
pub(super) fn bindings(check: &mut Checker, file: &JobFile) -> Option<KafkaBindingsSpec> {
    let of = file.bindings.as_ref()?;
    let job = file.job.name.get_ref();
    if of.connector.get_ref() != "kafka" {
        check.unknown("connector", &of.connector, &["kafka"]);
        return None;
    }
    let client = client(check, "bindings", &of.connector, of.brokers.as_ref(), &of.properties);
    let usual = format!("{job}.bindings");
    let topic = of.topic.as_ref().map_or(&usual, |topic| topic.get_ref());
    if !is_name(topic) {
        let span = of.topic.as_ref().map_or(of.connector.span(), Spanned::span);
        check.at(&span, format!("{topic:?} can't be the name of a topic; {NAMES}"));
    }
    let mut spec = KafkaBindingsSpec::new(client, topic, job);
    if let Some(replication) = &of.replication {
        spec.replication = i32::from(*replication.get_ref());
        if spec.replication == 0 {
            check.at(&replication.span(), "a topic has at least one copy; write 1 or more");
        }
    }
    Some(spec)
}

/// What may stand in the name of a topic.
const NAMES: &str = "write up to 100 letters, digits, ., _ and -";

fn is_name(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    !text.is_empty() && text.len() <= 100 && text.chars().all(allowed)
}

/// Whether the names of topics can begin so; if not, why.
pub(crate) fn check_prefix(prefix: &str) -> Result<(), String> {
    if NOT_TOPICS.contains(&prefix) {
        return Err(format!(
            "{prefix:?} can't begin the names of topics, for another output is called so; write \
             another `prefix`, such as \"{prefix}-topics\""
        ));
    }
    let wrong = || format!("{prefix:?} can't begin the names of topics; {NAMES}");
    is_name(prefix).then_some(()).ok_or_else(wrong)
}

/// A sink in topics.
pub(super) fn sink(check: &mut Checker, file: &JobFile, of: &Sink) -> KafkaSinkSpec {
    let job = file.job.name.get_ref();
    let prefix = of.prefix.as_ref().map_or(job.as_str(), |prefix| prefix.get_ref());
    let what = format!("sink {prefix:?}");
    let client = client(check, &what, &of.connector, of.brokers.as_ref(), &of.properties);
    if let Err(wrong) = check_prefix(prefix) {
        check.at(&of.prefix.as_ref().map_or(of.connector.span(), Spanned::span), wrong);
    }
    let mut spec = KafkaSinkSpec::new(client, prefix, job, "");
    spec.format = row_format(check, of);
    if let Some(partitions) = &of.partitions {
        spec.partitions = i32::from(*partitions.get_ref());
        if spec.partitions == 0 {
            check.at(&partitions.span(), "a topic has at least one partition; write 1 or more");
        }
    }
    if let Some(replication) = &of.replication {
        spec.replication = i32::from(*replication.get_ref());
        if spec.replication == 0 {
            check.at(&replication.span(), "a topic has at least one copy; write 1 or more");
        }
    }
    // Each prefix is a sink of its own.
    spec.group = format!("{prefix}.sink");
    spec
}

/// How a sink writes rows.
fn row_format(check: &mut Checker, of: &Sink) -> RowFormat {
    let avro = match &of.format {
        None => false,
        Some(format) => match format.get_ref().as_str() {
            "json" => false,
            "avro" => true,
            _ => {
                check.unknown("format", format, &["json", "avro"]);
                return RowFormat::Json;
            }
        },
    };
    match (avro, &of.registry, &of.format) {
        (true, Some(url), _) => match RegistryUrl::parse(url.get_ref()) {
            Ok(url) => return RowFormat::Avro(url),
            Err(wrong) => check.at(&url.span(), wrong),
        },
        (true, None, Some(format)) => {
            let message = "rows in Avro need a registry that keeps their schemas; write registry \
                           = \"http://host:8081\"";
            check.at(&format.span(), message);
        }
        (false, Some(url), _) => {
            let message = "a registry is for rows in Avro; write format = \"avro\" beside it, or \
                           remove it";
            check.at(&url.span(), message);
        }
        (_, None, _) => {}
    }
    RowFormat::Json
}

/// Notes keys of a sink in topics that stand at another one.
pub(super) fn belongs(check: &mut Checker, of: &Sink) {
    let text = |key: Option<&Spanned<String>>| key.map(Spanned::span);
    let number = |key: Option<&Spanned<u16>>| key.map(Spanned::span);
    let keys = [
        ("brokers", text(of.brokers.as_ref())),
        ("prefix", text(of.prefix.as_ref())),
        ("format", text(of.format.as_ref())),
        ("registry", text(of.registry.as_ref())),
        ("partitions", number(of.partitions.as_ref())),
        ("replication", number(of.replication.as_ref())),
        ("properties", of.properties.keys().next().map(Spanned::span)),
    ];
    for (key, span) in keys {
        if let Some(span) = span {
            let message =
                format!("`{key}` is of connector = \"kafka\"; remove it, or change the connector");
            check.at(&span, message);
        }
    }
}
