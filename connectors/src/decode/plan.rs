//! A [`DecodeSpec`] made ready: which fields of a record are wanted, and which envelope field each
//! of them fills.

use std::sync::Arc;

use super::beside::Beside;
use super::spec::{DecodeSpec, FieldMap, FieldPath, FieldSource, FieldValue, SpecError};
use super::time::TimeFormat;

/// Where an envelope field is found. Numbers are those of slots.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Get {
    Nothing,
    Slot(usize),
    Concat(Box<[usize]>, Box<str>),
    Const(Arc<str>),
}

/// An envelope field that is a time.
#[derive(Clone, Debug)]
pub(super) struct GetTime {
    pub(super) name: &'static str,
    pub(super) get: Get,
    pub(super) format: TimeFormat,
}

/// What is read from each record.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// How many fields of a record are wanted: each has a slot.
    pub(super) slots: usize,
    /// Those in its value, with their slots.
    pub(super) in_value: Vec<(usize, FieldPath)>,
    /// Those in what stands beside it, as [`Beside`] writes that.
    pub(super) in_beside: Vec<(usize, FieldPath)>,
    /// What has to stand there.
    pub(super) beside: Beside,
    pub(super) kind: Get,
    pub(super) message_id: Get,
    pub(super) event: Get,
    pub(super) tenant: Get,
    pub(super) channel: Get,
    pub(super) seq: Get,
    pub(super) user_id: Get,
    pub(super) previous_id: Get,
    pub(super) identifiers: Get,
    pub(super) timestamp: GetTime,
    pub(super) original: GetTime,
    pub(super) sent: GetTime,
    pub(super) received: GetTime,
    /// Identity type and field, with the field's name for messages.
    pub(super) idents: Vec<(u8, Get, FieldPath)>,
    pub(super) properties: Vec<Get>,
    /// Which of them are traits.
    pub(super) traits: Vec<bool>,
    pub(super) business_key: Option<Get>,
}

impl Plan {
    /// Checks a spec and resolves its names.
    pub(super) fn new(spec: &DecodeSpec) -> Result<Self, SpecError> {
        check(spec)?;
        let mut paths = Paths { spec, sources: Vec::new() };
        let tenant = paths.or_constant("tenant", spec.tenant.as_ref());
        let channel = paths.or_constant("channel", spec.channel.as_ref());
        let mut idents = Vec::new();
        for (kind, fields) in spec.identities.iter().enumerate() {
            for from in &fields.from {
                idents.push((kind as u8, paths.get(from), from.clone()));
            }
        }
        Ok(Self {
            kind: paths.field("type"),
            message_id: paths.field("messageId"),
            event: paths.field("event"),
            tenant,
            channel,
            seq: paths.field("seq"),
            user_id: paths.field("userId"),
            previous_id: paths.field("previousId"),
            identifiers: paths.field("identifiers"),
            timestamp: paths.time("timestamp"),
            original: paths.time("originalTimestamp"),
            sent: paths.time("sentAt"),
            received: paths.time("receivedAt"),
            idents,
            properties: spec.properties.iter().map(|path| paths.get(path)).collect(),
            traits: spec.properties.iter().map(FieldPath::is_trait).collect(),
            business_key: spec.business_key.as_ref().map(|path| paths.get(path)),
            slots: paths.sources.len(),
            in_value: paths.places(|source| match source {
                FieldSource::Value(path) => Some(path.clone()),
                _ => None,
            }),
            in_beside: paths.places(Beside::place),
            beside: Beside::new(&paths.sources),
        })
    }
}

/// Gives each wanted field of the record a number.
struct Paths<'a> {
    spec: &'a DecodeSpec,
    sources: Vec<FieldSource>,
}

impl Paths<'_> {
    fn field(&mut self, name: &str) -> Get {
        self.get(&FieldPath::parse(name))
    }

    fn time(&mut self, name: &'static str) -> GetTime {
        let target = FieldPath::parse(name);
        let map = self.spec.fields.iter().find(|map| map.target == target);
        let format = map.and_then(|map| map.format.clone()).unwrap_or_default();
        GetTime { name, get: self.get(&target), format }
    }

    /// A field for which the source has a constant: that counts unless the job maps the field.
    fn or_constant(&mut self, name: &str, constant: Option<&Arc<str>>) -> Get {
        let target = FieldPath::parse(name);
        let mapped = self.spec.fields.iter().any(|map| map.target == target);
        match constant {
            Some(constant) if !mapped => Get::Const(constant.clone()),
            _ => self.get(&target),
        }
    }

    /// Where an envelope field comes from: its own map, else the map of the nearest field above it,
    /// else the record's field of the same path.
    fn get(&mut self, target: &FieldPath) -> Get {
        let above = |map: &&FieldMap| target.below(&map.target).is_some();
        let nearest =
            self.spec.fields.iter().filter(above).max_by_key(|map| map.target.names().len());
        let Some(map) = nearest else {
            return Get::Slot(self.slot(FieldSource::Value(target.clone())));
        };
        let below = target.below(&map.target).unwrap_or_default();
        match &map.value {
            FieldValue::From(source) => {
                source.below(below).map_or(Get::Nothing, |source| Get::Slot(self.slot(source)))
            }
            _ if !below.is_empty() => Get::Nothing,
            FieldValue::Const(text) => Get::Const(text.clone()),
            FieldValue::Concat { parts, separator } => {
                let slots = parts.iter().map(|part| self.slot(part.clone())).collect();
                Get::Concat(slots, separator.as_str().into())
            }
        }
    }

    fn slot(&mut self, source: FieldSource) -> usize {
        self.sources.iter().position(|known| *known == source).unwrap_or_else(|| {
            self.sources.push(source);
            self.sources.len() - 1
        })
    }

    /// The slots of some sources, each with its path there.
    fn places(&self, path: impl Fn(&FieldSource) -> Option<FieldPath>) -> Vec<(usize, FieldPath)> {
        let sources = self.sources.iter().enumerate();
        sources.filter_map(|(slot, source)| Some((slot, path(source)?))).collect()
    }
}

fn check(spec: &DecodeSpec) -> Result<(), SpecError> {
    let (fields, rules) = (spec.identities.len(), spec.identity.types.len());
    if fields != rules || fields > 256 {
        return Err(SpecError::Types { fields, rules });
    }
    let used = spec.identities.iter().flat_map(|identity| &identity.from);
    let used = used.chain(&spec.properties).chain(&spec.business_key);
    for path in spec.fields.iter().map(|map| &map.target).chain(used) {
        if !path.is_target() {
            return Err(SpecError::UnknownTarget { path: path.clone() });
        }
    }
    for (index, map) in spec.fields.iter().enumerate() {
        let path = map.target.clone();
        if spec.fields[..index].iter().any(|other| other.target == path) {
            return Err(SpecError::MappedTwice { path });
        }
        if map.format.is_some() && !map.target.is_time() {
            return Err(SpecError::NoTime { path });
        }
    }
    Ok(())
}
