//! The naive decoder: parse everything into a tree, then look each field up.

use operators::model::{Command, CommandKind, EventKey, EventKind, Special, message_hash};
use serde_json::Value as Json;

use super::*;

/// The value at a path; null where there is none.
fn look_up<'a>(value: &'a Json, names: &[String]) -> &'a Json {
    names.iter().fold(value, |value, name| value.get(name).unwrap_or(&Json::Null))
}

/// A record and what stands beside its value.
#[derive(Clone, Debug, Default)]
pub(super) struct Record {
    pub(super) value: Json,
    pub(super) whole_key: Json,
    pub(super) key: Json,
    pub(super) headers: Vec<(&'static str, Option<&'static str>)>,
    pub(super) topic: Json,
    pub(super) offset: Json,
    pub(super) timestamp: Json,
}

impl Record {
    pub(super) fn known(&self, part: RecordPart) -> Json {
        match part {
            RecordPart::Topic => self.topic.clone(),
            RecordPart::Offset => self.offset.clone(),
            RecordPart::Timestamp => self.timestamp.clone(),
            RecordPart::Partition => Json::from(3),
        }
    }

    fn at(&self, source: &FieldSource, below: &[String]) -> Json {
        match source {
            FieldSource::Value(path) => {
                look_up(&self.value, &[path.names(), below].concat()).clone()
            }
            FieldSource::Key(path) if path.names().is_empty() && below.is_empty() => {
                self.whole_key.clone()
            }
            FieldSource::Key(path) => look_up(&self.key, &[path.names(), below].concat()).clone(),
            _ if !below.is_empty() => Json::Null,
            FieldSource::Header(name) => {
                let last = self.headers.iter().rfind(|(of, _)| of == name);
                last.map_or(Json::Null, |(_, value)| Json::from(*value))
            }
            FieldSource::Record(part) => self.known(*part),
        }
    }
}

/// The value of an envelope field, which `concat` and constants make text.
fn field(spec: &DecodeSpec, record: &Record, target: &str) -> Result<Json, Reason> {
    let target = path(target);
    let mut names = target.names().to_vec();
    let mut below = Vec::new();
    loop {
        let this: Vec<String> = names.clone();
        if let Some(map) = spec.fields.iter().find(|map| map.target.names() == this) {
            return match &map.value {
                FieldValue::From(source) => Ok(record.at(source, &below)),
                _ if !below.is_empty() => Ok(Json::Null),
                FieldValue::Const(text) => Ok(Json::from(&**text)),
                FieldValue::Concat { parts, separator } => {
                    let mut texts = Vec::new();
                    for part in parts {
                        match as_text(&record.at(part, &[]))? {
                            Some(text) => texts.push(text),
                            None => return Ok(Json::Null),
                        }
                    }
                    Ok(Json::from(texts.join(separator)))
                }
            };
        }
        match names.pop() {
            Some(name) => below.insert(0, name),
            None => return Ok(look_up(&record.value, target.names()).clone()),
        }
    }
}

fn as_text(value: &Json) -> Result<Option<String>, Reason> {
    match value {
        Json::Null => Ok(None),
        Json::String(text) if text.is_empty() => Ok(None),
        Json::String(text) => Ok(Some(text.clone())),
        Json::Number(number) if number.is_f64() => match number.as_f64().unwrap() {
            f if f.abs() >= 2_f64.powi(53) => Err(Reason::BadField),
            0.0 => Ok(Some("0".to_owned())),
            f => Ok(Some(f.to_string())),
        },
        Json::Number(number) => Ok(Some(number.to_string())),
        _ => Err(Reason::BadField),
    }
}

fn moment(spec: &DecodeSpec, record: &Record, name: &str) -> Result<Option<Micros>, Reason> {
    match field(spec, record, name)? {
        Json::Null => Ok(None),
        Json::String(text) if text.is_empty() => Ok(None),
        Json::String(text) => match text.parse::<jiff::Timestamp>() {
            Ok(at) => Ok(Some(at.as_microsecond())),
            Err(_) => Err(Reason::BadTime),
        },
        _ => Err(Reason::BadTime),
    }
}

fn time(spec: &DecodeSpec, record: &Record) -> Result<Micros, Reason> {
    if let Some(at) = moment(spec, record, "timestamp")? {
        return Ok(at);
    }
    let original = moment(spec, record, "originalTimestamp")?;
    let received = moment(spec, record, "receivedAt")?;
    match (original, received) {
        (Some(original), Some(received)) => Ok(match moment(spec, record, "sentAt")? {
            Some(sent) => received - (sent - original),
            None => original,
        }),
        (Some(at), _) | (_, Some(at)) => Ok(at),
        _ => Err(Reason::MissingTime),
    }
}

fn ident(spec: &DecodeSpec, kind: usize, value: &str) -> Option<Ident> {
    let of = &spec.identities[kind];
    let value = if of.ignore_case { value.trim().to_lowercase() } else { value.to_owned() };
    let value = &value;
    let token = spec.secret.token(&of.name, value);
    (!spec.blocked.contains(value)).then_some(Ident { kind: kind as u8, token })
}

fn idents(spec: &DecodeSpec, record: &Record, of_group: bool) -> Result<Vec<Ident>, Reason> {
    let mut all = Vec::new();
    for (kind, identity) in spec.identities.iter().enumerate() {
        for from in &identity.from {
            if of_group && from.to_string().starts_with("traits") {
                continue;
            }
            let values = match field(spec, record, &from.to_string())? {
                Json::Array(items) => items,
                one => vec![one],
            };
            for value in values {
                all.extend(as_text(&value)?.and_then(|value| ident(spec, kind, &value)));
            }
        }
    }
    all.sort_by_key(|ident| spec.identity.strength(*ident));
    all.dedup();
    Ok(all)
}

fn command(spec: &DecodeSpec, record: &Record, kind: &str) -> Result<Option<Command>, Reason> {
    let bad = Reason::BadCommand;
    let mut pair: Vec<Ident> = Vec::new();
    match kind {
        "merge" | "unmerge" => {
            let list = field(spec, record, "identifiers")?;
            for named in list.as_array().filter(|list| list.len() == 2).ok_or(bad)? {
                let name = named["type"].as_str().ok_or(bad)?;
                let kind = spec.identities.iter().position(|i| i.name == name).ok_or(bad)?;
                let value = as_text(&named["value"]).map_err(|_| bad)?.ok_or(bad)?;
                pair.push(ident(spec, kind, &value).ok_or(bad)?);
            }
        }
        "alias" => {
            let previous = as_text(&field(spec, record, "previousId")?)?;
            let user = as_text(&field(spec, record, "userId")?)?;
            pair.push(ident(spec, 2, &previous.ok_or(bad)?).ok_or(bad)?);
            pair.push(ident(spec, 0, &user.ok_or(bad)?).ok_or(bad)?);
        }
        _ => return Ok(None),
    }
    pair.sort();
    let kind = if kind == "unmerge" { CommandKind::Unmerge } else { CommandKind::Merge };
    if pair[0] == pair[1] { Err(bad) } else { Ok(Some(Command { kind, x: pair[0], y: pair[1] })) }
}

fn property(value: &Json) -> Option<Value> {
    match value {
        Json::Null => None,
        Json::Bool(b) => Some(Value::Bool(*b)),
        Json::String(text) => Some(Value::Str(text.as_str().into())),
        Json::Number(number) if number.as_i64().is_none() && number.is_u64() => {
            Some(Value::Str(number.to_string().into()))
        }
        Json::Number(number) => Some(match (number.as_i64(), number.as_f64().unwrap()) {
            (Some(i), _) => Value::Int(i),
            (None, f) if f.fract() == 0.0 && f.abs() < 2_f64.powi(53) => Value::Int(f as i64),
            (None, f) => Value::Float(f),
        }),
        other => Some(Value::Str(other.to_string().into())),
    }
}

/// The event of a record, without `origin`, `message_id` and `content`, or why there is none.
pub(super) fn oracle(spec: &DecodeSpec, text: &str, beside: &Record) -> Result<Event, Reason> {
    let value: Json = serde_json::from_str(text).map_err(|_| Reason::Malformed)?;
    if !value.is_object() {
        return Err(Reason::Malformed);
    }
    let record = Record { value, ..beside.clone() };
    let text = |name: &str| as_text(&field(spec, &record, name)?);
    let tenant = text("tenant")?.unwrap_or_else(|| spec.default_tenant.to_string());
    let message_id = text("messageId")?.ok_or(Reason::MissingMessageId)?;
    moment(spec, &record, "receivedAt")?;
    let time = time(spec, &record)?;
    let seq = match field(spec, &record, "seq")? {
        Json::Number(n) if n.is_u64() => n.as_u64().unwrap(),
        value => match as_text(&value)? {
            None => 0,
            Some(text) => text.parse().map_err(|_| Reason::BadField)?,
        },
    };
    let kind = text("type")?.unwrap_or_else(|| "track".to_owned());
    let name = text("event")?.unwrap_or_else(|| kind.clone());
    let channel = text("channel")?.unwrap_or_else(|| "unknown".to_owned());
    let command = command(spec, &record, &kind)?;
    let mut properties = vec![None; spec.properties.len()];
    let mut matches = operators::model::Matches::default();
    let mut all = Vec::new();
    if command.is_none() {
        let of_group = kind == "group";
        all = idents(spec, &record, of_group)?;
        for (property_of, path) in properties.iter_mut().zip(&spec.properties) {
            if of_group && path.to_string().starts_with("traits") {
                continue;
            }
            let value = field(spec, &record, &path.to_string());
            *property_of = value.ok().and_then(|value| property(&value));
        }
        matches = spec.matcher.matches(&name, &channel, &properties);
    }
    Ok(Event {
        kind: EventKind::shared(&tenant, &channel, &name),
        key: EventKey { time, seq, id: message_hash(&message_id) },
        message_id: message_id.into(),
        origin: Origin::default(),
        idents: all.into(),
        special: Special::of(command, None),
        properties: properties.into(),
        matches,
        content: 0,
    })
}
