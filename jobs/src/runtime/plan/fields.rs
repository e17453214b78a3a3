//! `[source.fields]`: where the fields of an event come from.

use connectors::decode::{FieldMap, FieldSource, FieldValue, RecordPart, TimeFormat};
use toml::Spanned;

use super::checker::Checker;
use super::sources::path;
use crate::runtime::job_file::{Field, FieldRule, Part, PartRule, Source, listed};

/// The field maps of a source, of topics or of files.
pub(super) fn fields(check: &mut Checker, source: &Source, kafka: bool) -> Vec<FieldMap> {
    let mut maps = Vec::new();
    for (target, field) in &source.fields {
        check.field(target);
        let (value, format) = match field {
            Field::Path(from) => (Some(FieldValue::From(FieldSource::Value(path(from)))), None),
            Field::Rule(rule) => (value(check, target, rule, kafka), format(check, target, rule)),
        };
        if let Some(value) = value {
            maps.push(FieldMap { target: path(target.get_ref()), value, format });
        }
    }
    maps
}

fn format(check: &mut Checker, target: &Spanned<String>, rule: &FieldRule) -> Option<TimeFormat> {
    let Some(word) = &rule.format else {
        if rule.zone.is_some() {
            let message = "a zone belongs to a format; write format = \"naive\" beside it";
            check.at(&target.span(), message);
        }
        return None;
    };
    if !path(target.get_ref()).is_time() {
        let message = format!("{} is no time and has no format; leave it out", target.get_ref());
        check.at(&target.span(), message);
        return None;
    }
    if rule.record.is_some() {
        let message = "what a topic knows of a record has no format; leave it out";
        check.at(&target.span(), message);
        return None;
    }
    let parsed = TimeFormat::parse(word, rule.zone.as_deref());
    parsed.map_err(|error| check.at(&target.span(), error.to_string())).ok()
}

fn value(
    check: &mut Checker,
    target: &Spanned<String>,
    rule: &FieldRule,
    kafka: bool,
) -> Option<FieldValue> {
    if rule.separator.is_some() && rule.concat.is_none() {
        check.at(&target.span(), "a separator belongs to a concat; leave it out");
    }
    let part = PartRule {
        field: rule.field.clone(),
        key: rule.key.clone(),
        header: rule.header.clone(),
        record: rule.record.clone(),
    };
    match (count(&part), &rule.concat, &rule.constant) {
        (1, None, None) => source(check, target, &part, kafka).map(FieldValue::From),
        (0, Some(parts), None) if !parts.is_empty() => {
            let mut all = Vec::new();
            for part in parts {
                all.push(match part {
                    Part::Path(from) => FieldSource::Value(path(from)),
                    Part::Rule(rule) => source(check, target, rule, kafka)?,
                });
            }
            let separator = rule.separator.as_deref().unwrap_or(FieldValue::SEPARATOR).to_owned();
            Some(FieldValue::Concat { parts: all, separator })
        }
        (0, None, Some(text)) => Some(FieldValue::Const(text.as_str().into())),
        _ => {
            let topics =
                if kafka { "key = \"…\", header = \"…\", record = \"…\", " } else { "" };
            let message = format!(
                "a field comes from one of field = \"…\", {topics}concat = [\"…\"] or \
                 const = \"…\"; write exactly one"
            );
            check.at(&target.span(), message);
            None
        }
    }
}

fn count(part: &PartRule) -> usize {
    [&part.field, &part.key, &part.header, &part.record].into_iter().flatten().count()
}

/// A place in a record.
fn source(
    check: &mut Checker,
    target: &Spanned<String>,
    part: &PartRule,
    kafka: bool,
) -> Option<FieldSource> {
    let words = listed(&RecordPart::ALL.map(RecordPart::word));
    let wrong = match (&part.field, &part.key, &part.header, &part.record) {
        (Some(from), None, None, None) => return Some(FieldSource::Value(path(from))),
        (None, ..) if !kafka && count(part) == 1 => {
            "keys, headers and what a topic knows are of records in topics, this source reads \
             files; write a field of the record"
                .to_owned()
        }
        (None, Some(from), None, None) => return Some(FieldSource::Key(path(from))),
        (None, None, Some(name), None) => return Some(FieldSource::Header(name.clone())),
        (None, None, None, Some(word)) => match RecordPart::from_word(word) {
            Some(part) => return Some(FieldSource::Record(part)),
            None => format!("a topic knows no {word:?} of a record; write {words}"),
        },
        _ => "a part of a concat comes from one of field = \"…\", key = \"…\", header = \"…\" or \
             record = \"…\"; write exactly one"
            .to_owned(),
    };
    check.at(&target.span(), wrong);
    None
}
