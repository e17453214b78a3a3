//! Sources and how their records are decoded.

use std::collections::{HashMap, HashSet};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use connectors::decode::{
    Beside, DecodeSpec, Decoder, Erased, ErasedIn, FieldPath, IdentityFields, SpecError,
};
use connectors::file::{FileSource, FileSpec, Format, Position, SourceError};
use connectors::kafka::KafkaSpec;
use operators::identity::IdentityConfig;
use operators::model::{Ident, Secret, message_hash};
use replay::history::SourceSpec;
use serde::Deserialize;
use toml::Spanned;

use super::checker::Checker;
use super::views::Needs;
use super::{PlannedSource, fields, topics};
use crate::runtime::job_file::{JobFile, OneOrMany, Problem, Source};

/// A path into the envelope.
pub(super) fn path(text: &str) -> FieldPath {
    FieldPath::parse(text)
}

/// The sources of a job.
pub(super) fn sources(
    check: &mut Checker,
    file: &JobFile,
    base: &Path,
    identity: &Arc<IdentityConfig>,
    identities: Vec<IdentityFields>,
    needs: Needs,
) -> Vec<PlannedSource> {
    if file.source.is_empty() {
        check.whole("the job has no source; write a [[source]] with name, connector and path");
    }
    check.unique("sources", file.source.iter().map(|s| &s.name));
    let key = file.identity.secret.clone().unwrap_or_else(|| file.job.name.get_ref().clone());
    let mut spec = DecodeSpec::new(Arc::clone(identity), identities, Secret::new(&key));
    spec.default_tenant = file.job.tenant.as_deref().unwrap_or("default").into();
    if let Some(blocked) = &file.identity.blocked {
        spec.blocked = Arc::new(blocked.iter().cloned().collect());
    }
    spec.properties = needs.properties;
    spec.matcher = Arc::new(needs.matcher);
    spec.business_key = file.dedup.business_key.as_ref().map(|key| {
        check.field(key);
        path(key.get_ref())
    });
    spec.previous_id = previous_id(check, file, &spec);
    spec.erased = Arc::new(erased(check, file, base, &spec));
    // Where bindings are in a topic, a run finds out whether there are any.
    let ran =
        file.bindings.is_some() || base.join(file.job.out.get_ref()).join("bindings").exists();
    let mut planned = Vec::new();
    for (index, source) in file.source.iter().enumerate() {
        check.name(&source.name);
        let kafka = source.connector.get_ref() == "kafka";
        if !kafka && source.connector.get_ref() != "file" {
            check.unknown("connector", &source.connector, &["file", "kafka"]);
            continue;
        }
        belongs(check, source, kafka);
        let mut decode = spec.clone();
        decode.channel = source.channel.as_deref().map(Arc::from);
        decode.tenant = source.tenant.as_deref().map(Arc::from);
        decode.fields = fields::fields(check, source, kafka);
        let beside = match Decoder::new(&decode) {
            Ok(decoder) => decoder.beside().clone(),
            Err(error) => {
                // The others are said already, where the field stands.
                if !matches!(error, SpecError::UnknownTarget { .. } | SpecError::NoTime { .. }) {
                    check.at(&source.name.span(), error.to_string());
                }
                Beside::default()
            }
        };
        let index = index as u16;
        let (records, unreadable) = if kafka {
            let topics = topics::source(check, file, source, index, base);
            (SourceSpec::Topics(KafkaSpec { beside, ..topics }.into()), None)
        } else {
            let (files, unreadable) = files(check, source, index, base, ran);
            (SourceSpec::Files(files), unreadable)
        };
        let name = source.name.get_ref().as_str().into();
        planned.push(PlannedSource { name, records, decode, unreadable });
    }
    planned
}

/// Notes keys of the other connector.
fn belongs(check: &mut Checker, source: &Source, kafka: bool) {
    let span = |key: Option<&Spanned<String>>| key.map(Spanned::span);
    let many = |key: Option<&Spanned<OneOrMany>>| key.map(Spanned::span);
    let keys = [
        ("path", many(source.path.as_ref()), false),
        ("format", span(source.format.as_ref()), false),
        ("brokers", span(source.brokers.as_ref()), true),
        ("topics", many(source.topics.as_ref()), true),
        ("group", span(source.group.as_ref()), true),
        ("registry", span(source.registry.as_ref()), true),
        ("schema", span(source.schema.as_ref()), true),
        ("message", span(source.message.as_ref()), true),
        ("properties", source.properties.keys().next().map(Spanned::span), true),
    ];
    for (key, span, of_kafka) in keys {
        let (here, there) = if kafka { ("kafka", "file") } else { ("file", "kafka") };
        if let Some(span) = span.filter(|_| of_kafka != kafka) {
            let message = format!(
                "`{key}` is of connector = {there:?}, this is a source of {here:?}; remove it, or \
                 change the connector"
            );
            check.at(&span, message);
        }
    }
}

/// The files of a source, and why they can't be listed.
fn files(
    check: &mut Checker,
    source: &Source,
    index: u16,
    base: &Path,
    ran: bool,
) -> (FileSpec, Option<Problem>) {
    let patterns: Vec<&str> = match &source.path {
        Some(path) => path.get_ref().list().iter().map(String::as_str).collect(),
        None => Vec::new(),
    };
    let place = source.path.as_ref().map_or(source.connector.span(), Spanned::span);
    if source.path.is_none() {
        check.at(&place, "`path` is missing; write path = \"events/*.ndjson\"");
    }
    let mut spec = FileSpec::new(source.name.get_ref(), index, &whole(base), &patterns);
    if let Some(format) = &source.format {
        spec.format = Format::from_word(format.get_ref());
        if spec.format.is_none() {
            check.unknown("format", format, &Format::ALL.map(Format::word));
            return (spec, None);
        }
    }
    let opened = source.path.as_ref().map(|_| FileSource::open(&spec, Position::default()));
    let Some(Err(error)) = opened else { return (spec, None) };
    let hint = "; write the path of a file, or a glob such as \"events/*.ndjson\"";
    let unreadable = match error {
        // What an earlier run has read and is not there any more is for the run to say.
        SourceError::NoFiles { .. } if ran => None,
        // So is a file that is damaged.
        SourceError::Corrupt { .. } => None,
        SourceError::NoFiles { .. } => Some(check.problem(&place, format!("{error}{hint}"))),
        SourceError::Pattern { .. } => {
            check.at(&place, format!("{error}{hint}"));
            None
        }
        error => Some(check.problem(&place, error.to_string())),
    };
    (spec, unreadable)
}

/// The full path of the folder that a job file is in, however the file is named: files are known by
/// their paths from there.
fn whole(base: &Path) -> PathBuf {
    let named = if base.as_os_str().is_empty() { Path::new(".") } else { base };
    let whole = std::path::absolute(named).unwrap_or_else(|_| base.to_owned());
    // Only the system knows what is above a folder that may be a link.
    if whole.components().any(|part| part == Component::ParentDir) {
        return whole.canonicalize().unwrap_or(whole);
    }
    whole
}

/// The type of an alias's `previousId`: the one named, else that of `anonymousId`, else of
/// `userId`.
fn previous_id(check: &mut Checker, file: &JobFile, spec: &DecodeSpec) -> Option<u8> {
    let types = &spec.identities;
    if let Some(name) = &file.identity.previous_id {
        let found = types.iter().position(|t| t.name == *name.get_ref());
        if found.is_none() {
            let known: Vec<&str> = types.iter().map(|t| t.name.as_str()).collect();
            check.unknown("identity type", name, &known);
        }
        return found.map(|kind| kind as u8);
    }
    let with = |field: &str| types.iter().position(|t| t.from.contains(&path(field)));
    with("anonymousId").or_else(|| with("userId")).map(|kind| kind as u8)
}

/// A line of the erased list.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ErasedLine {
    tenant: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    value: Option<String>,
    #[serde(rename = "messageId")]
    message_id: Option<String>,
}

fn erased(check: &mut Checker, file: &JobFile, base: &Path, spec: &DecodeSpec) -> Erased {
    let mut erased: Erased = HashMap::default();
    let Some(name) = &file.identity.erased else { return erased };
    match std::fs::read_to_string(base.join(name.get_ref())) {
        Err(error) => {
            let message = format!(
                "can't read the erased list {:?}: {error}; write the path of a file, which may be \
                 empty",
                name.get_ref()
            );
            check.at(&name.span(), message);
        }
        Ok(text) => {
            for (number, line) in text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty()) {
                if let Err(wrong) = erase(&mut erased, line, spec) {
                    let message = format!("{:?} line {}: {wrong}", name.get_ref(), number + 1);
                    check.at(&name.span(), message);
                }
            }
        }
    }
    erased
}

fn erase(erased: &mut Erased, line: &str, spec: &DecodeSpec) -> Result<(), String> {
    const SHAPE: &str = "write {\"type\": \"email\", \"value\": \"…\"} or {\"messageId\": \"…\"}, \
                         with the \"tenant\" where it is not the job's";
    let line: ErasedLine = serde_json::from_str(line).map_err(|e| format!("{e}; {SHAPE}"))?;
    let tenant = line.tenant.map_or_else(|| Arc::clone(&spec.default_tenant), Arc::from);
    let entry = erased.entry(tenant).or_insert_with(|| ErasedIn {
        identifiers: HashSet::default(),
        messages: HashSet::default(),
    });
    match (line.kind, line.value, line.message_id) {
        (Some(kind), Some(value), None) => {
            let place = spec.identities.iter().position(|t| t.name == kind);
            let Some(place) = place else { return Err(format!("no identity type {kind:?}")) };
            let token = spec.secret.token(&kind, &spec.identities[place].value(&value));
            entry.identifiers.insert(Ident { kind: place as u8, token });
        }
        (None, None, Some(id)) => {
            entry.messages.insert(message_hash(&id));
        }
        _ => return Err(SHAPE.to_owned()),
    }
    Ok(())
}
