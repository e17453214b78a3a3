//! From the wanted fields of a record to an event or a refusal.
//!
//! What is decided here, for all formats alike:
//! - **Tenant and channel**: the mapped field, else the source's, else the record's own.
//! - **Time** (all from the one record): `timestamp`; else `receivedAt - (sentAt -
//!   originalTimestamp)`, Segment's correction of a clock that is wrong; else `originalTimestamp`
//!   alone; else `receivedAt` alone. When the record was read is never used: it would differ in the
//!   next run. Only the times that count are read, and `receivedAt`; one of those that can't be
//!   read refuses the record.
//! - **Name**: `event`, else `type`, else `track`.
//! - **Empty text** counts as not set, in every field but the properties of JSON and Parquet.
//! - **Commands** (`merge`, `unmerge`, `alias`) have neither identifiers nor properties of their
//!   own: they link only what they name.

use std::borrow::Cow;
use std::sync::Arc;

use operators::model::{
    Command, CommandKind, Event, EventKey, EventKind, Ident, Idents, Matches, Micros, Origin,
    Properties, Reason, Special, Token, Uuid, Value, message_hash,
};
use serde_json::Value as Json;
use siphasher::sip::SipHasher13;

use super::erased::is_erased;
use super::plan::{Get, GetTime, Plan};
use super::raw::{NoText, Raw};
use super::time::in_range;
use super::{Decoded, Decoder, FieldPath};

/// Why a record can't be used.
#[derive(Debug)]
pub(super) struct Refusal {
    /// The record's tenant, if that much could be read.
    pub(super) tenant: Option<Arc<str>>,
    pub(super) reason: Reason,
    pub(super) detail: String,
}

/// Distinct identifiers of an event at most. Each of them is linked with each other one, so a
/// record with a long list would take more memory than there is, and again after every restart.
const IDENTS_MAX: usize = 64;

/// A reason and its detail, before the tenant is added.
type Wrong = (Reason, String);

impl Decoder {
    /// Makes an event of a record's fields and adds it to `out`.
    pub(super) fn event(
        &mut self,
        plan: &Plan,
        slots: &[Raw<'_>],
        origin: Origin,
        received_at: Micros,
        out: &mut Decoded,
    ) -> Result<(), Refusal> {
        self.note(slots);
        let default = Arc::clone(&self.default_tenant);
        let tenant = text(&plan.tenant, slots, "tenant");
        let tenant = tenant.map(|tenant| tenant.unwrap_or(Cow::Borrowed(&*default)));
        let event = match &tenant {
            Ok(tenant) => self.event_of(plan, tenant, slots, origin),
            Err(wrong) => Err(wrong.clone()),
        };
        let tenant = tenant.ok();
        let (mut event, received) = match event {
            Ok((event, _)) if !self.erased.is_empty() && is_erased(&self.erased, &event) => {
                out.erased += 1;
                return Ok(());
            }
            Ok(event) => event,
            Err(_)
                if !self.erased.is_empty()
                    && self.is_refused_erased(plan, tenant.as_deref(), slots) =>
            {
                out.erased += 1;
                return Ok(());
            }
            Err((reason, detail)) => {
                return Err(Refusal { tenant: tenant.as_deref().map(Arc::from), reason, detail });
            }
        };
        event.content = content(&event, plan.properties.len(), &mut self.scratch);
        out.events.push((event, received.unwrap_or(received_at)));
        Ok(())
    }

    #[inline]
    fn event_of(
        &mut self,
        plan: &Plan,
        tenant: &str,
        slots: &[Raw<'_>],
        origin: Origin,
    ) -> Result<(Event, Option<Micros>), Wrong> {
        let message_id = text(&plan.message_id, slots, "messageId")?
            .ok_or_else(|| (Reason::MissingMessageId, "no messageId".to_owned()))?;
        let (time, received) = times(plan, slots)?;
        let seq = sequence(&plan.seq, slots)?;
        let kind = text(&plan.kind, slots, "type")?;
        let kind = kind.as_deref().unwrap_or("track");
        let name = text(&plan.event, slots, "event")?;
        let name = name.as_deref().unwrap_or(kind);
        let channel = text(&plan.channel, slots, "channel")?;
        let channel = channel.as_deref().unwrap_or("unknown");
        let command = self.command(plan, kind, slots)?;
        // The traits of a group call are the group's, and say nothing of who makes it.
        let of_group = kind == "group";
        let idents = match command {
            Some(_) => Idents::new(),
            None => self.idents(plan, slots, of_group)?,
        };
        let key = EventKey { time, seq, id: message_hash(&message_id) };
        let (properties, matches) = match command {
            Some(_) => (Properties::default(), Matches::default()),
            None => self.properties(plan, slots, (name, channel), of_group),
        };
        let business_key = match &plan.business_key {
            Some(get) if command.is_none() => text(get, slots, "the business key")?
                .filter(|value| !self.blocked.contains(value))
                .map(|value| Token(message_hash(&value))),
            _ => None,
        };
        let event = Event {
            kind: EventKind::shared(tenant, channel, name),
            key,
            message_id: (&*message_id).into(),
            origin,
            idents,
            special: Special::of(command, business_key),
            properties,
            matches,
            content: 0,
        };
        Ok((event, received))
    }

    fn idents(&mut self, plan: &Plan, slots: &[Raw<'_>], of_group: bool) -> Result<Idents, Wrong> {
        let mut idents = Idents::new();
        let all = plan.idents.iter();
        for (kind, get, path) in all.filter(|(.., path)| !of_group || !path.is_trait()) {
            each_text((get, path), slots, |value| {
                idents.extend(self.ident(*kind, &value?));
                Ok(())
            })?;
        }
        if idents.len() > 1 {
            idents.sort_unstable_by_key(|ident| self.identity.strength(*ident));
            idents.dedup();
        }
        if idents.len() > IDENTS_MAX {
            let count = idents.len();
            let detail = format!("{count} identifiers, more than the {IDENTS_MAX} of an event");
            return Err((Reason::BadField, detail));
        }
        Ok(idents)
    }

    /// The properties of an event of this name and channel, and the predicates that it satisfies.
    fn properties(
        &mut self,
        plan: &Plan,
        slots: &[Raw<'_>],
        (name, channel): (&str, &str),
        of_group: bool,
    ) -> (Properties, Matches) {
        let gets = plan.properties.iter().zip(&plan.traits).zip(&mut self.texts);
        self.values.extend(gets.map(|((get, is_trait), texts)| match get {
            _ if of_group && *is_trait => None,
            Get::Slot(slot) => slots[*slot].property(|text| texts.get(text)),
            Get::Const(value) => Some(Value::Str(value.clone())),
            Get::Nothing => None,
            Get::Concat(..) => {
                let value = text(get, slots, "").ok().flatten()?;
                Some(Value::Str(texts.get(&value)))
            }
        }));
        let matches = self.matcher.matches(name, channel, &self.values);
        (Properties::take(&mut self.values), matches)
    }

    fn command(
        &mut self,
        plan: &Plan,
        kind: &str,
        slots: &[Raw<'_>],
    ) -> Result<Option<Command>, Wrong> {
        let (kind, pair) = match kind {
            "merge" => (CommandKind::Merge, self.named_pair(plan, slots)?),
            "unmerge" => (CommandKind::Unmerge, self.named_pair(plan, slots)?),
            "alias" => (CommandKind::Merge, self.alias_pair(plan, slots)?),
            _ => return Ok(None),
        };
        let [x, y] = pair;
        if x == y {
            return Err(bad_command("both identifiers are the same"));
        }
        let (x, y) = if x < y { (x, y) } else { (y, x) };
        Ok(Some(Command { kind, x, y }))
    }

    /// The two of `identifiers: [{type, value}, {type, value}]`.
    fn named_pair(&mut self, plan: &Plan, slots: &[Raw<'_>]) -> Result<[Ident; 2], Wrong> {
        match identifiers(plan, slots)?.as_array().map(Vec::as_slice) {
            Some([x, y]) => Ok([self.named(x)?, self.named(y)?]),
            _ => Err(bad_command("identifiers is not a list of two {type, value}")),
        }
    }

    pub(super) fn named(&mut self, named: &Json) -> Result<Ident, Wrong> {
        let name = named.get("type").and_then(Json::as_str);
        let name = name.ok_or_else(|| bad_command("an identifier without type"))?;
        let kind = self.kinds.iter().position(|kind| kind.name == *name);
        let kind = kind.ok_or_else(|| bad_command(&format!("no identity type {name:?}")))?;
        let value = Raw::from_json(named.get("value").cloned().unwrap_or_default());
        let value = value.text().map_err(|e| bad_command(&format!("{} as identifier", e.0)))?;
        let value = value.ok_or_else(|| bad_command("an identifier without value"))?;
        self.command_ident(kind as u8, &value)
    }

    /// The two of an alias: `previousId` and `userId`.
    fn alias_pair(&mut self, plan: &Plan, slots: &[Raw<'_>]) -> Result<[Ident; 2], Wrong> {
        let missing = |what: &str| bad_command(&format!("no identity type for {what}"));
        let previous_kind = self.previous_kind.ok_or_else(|| missing("previousId"))?;
        let user_kind = self.user_kind.ok_or_else(|| missing("userId"))?;
        let previous = text(&plan.previous_id, slots, "previousId")?;
        let user = text(&plan.user_id, slots, "userId")?;
        let previous = previous.ok_or_else(|| bad_command("an alias without previousId"))?;
        let user = user.ok_or_else(|| bad_command("an alias without userId"))?;
        Ok([self.command_ident(previous_kind, &previous)?, self.command_ident(user_kind, &user)?])
    }

    fn command_ident(&mut self, kind: u8, value: &str) -> Result<Ident, Wrong> {
        let blocked = || bad_command(&format!("the value {value:?} is blocked"));
        self.ident(kind, value).ok_or_else(blocked)
    }

    /// The identifier of a value, unless that is blocked.
    pub(super) fn ident(&mut self, kind: u8, value: &str) -> Option<Ident> {
        let of = &self.kinds[usize::from(kind)];
        let value = of.value(value);
        let blocked = self.blocked.contains(&value);
        (!blocked).then(|| Ident { kind, token: self.tokens.token(kind, &of.name, &value) })
    }
}

fn bad_command(detail: &str) -> Wrong {
    (Reason::BadCommand, detail.to_owned())
}

fn bad_field(field: &str, no_text: NoText) -> Wrong {
    (Reason::BadField, format!("{field} is {}", no_text.0))
}

/// What a command has under `identifiers`; null if nothing.
pub(super) fn identifiers<'s>(plan: &Plan, slots: &'s [Raw<'_>]) -> Result<Cow<'s, Json>, Wrong> {
    let Get::Slot(slot) = &plan.identifiers else { return Ok(Cow::Owned(Json::Null)) };
    match &slots[*slot] {
        Raw::Json(json) => Ok(Cow::Borrowed(json)),
        // Flat records have it as text.
        Raw::Str(s) | Raw::Field(s) if !s.is_empty() => {
            let list = serde_json::from_str(s);
            list.map(Cow::Owned).map_err(|_| bad_command("identifiers is not a list"))
        }
        _ => Ok(Cow::Owned(Json::Null)),
    }
}

/// Hands on the texts of a field that is one or a list of them: each that is set or can't be read.
#[inline]
pub(super) fn each_text(
    (get, path): (&Get, &FieldPath),
    slots: &[Raw<'_>],
    mut each: impl FnMut(Result<Cow<'_, str>, Wrong>) -> Result<(), Wrong>,
) -> Result<(), Wrong> {
    if let Get::Slot(slot) = get
        && let Raw::Json(json) = &slots[*slot]
        && let Json::Array(items) = &**json
    {
        for item in items {
            let item = Raw::from_json(item.clone());
            let value = item.text().map_err(|e| bad_field(&format!("{path}[]"), e));
            value.transpose().map_or(Ok(()), &mut each)?;
        }
        return Ok(());
    }
    text(get, slots, path).transpose().map_or(Ok(()), each)
}

/// An envelope field as text; `None` if it is not set or empty.
pub(super) fn text<'s>(
    get: &'s Get,
    slots: &'s [Raw<'_>],
    field: impl std::fmt::Display,
) -> Result<Option<Cow<'s, str>>, Wrong> {
    let wrong = |e| bad_field(&field.to_string(), e);
    match get {
        Get::Nothing => Ok(None),
        Get::Slot(slot) => slots[*slot].text().map_err(wrong),
        Get::Const(text) => Ok((!text.is_empty()).then_some(Cow::Borrowed(text))),
        Get::Concat(parts, separator) => {
            let mut joined = String::new();
            for (index, &part) in parts.iter().enumerate() {
                let Some(part) = slots[part].text().map_err(wrong)? else { return Ok(None) };
                if index > 0 {
                    joined.push_str(separator);
                }
                joined.push_str(&part);
            }
            Ok((!joined.is_empty()).then_some(Cow::Owned(joined)))
        }
    }
}

/// An envelope time; `None` if it is not set.
fn time(get: &GetTime, slots: &[Raw<'_>]) -> Result<Option<Micros>, Wrong> {
    let read = |text: &str| get.format.read_text(text);
    let at = match &get.get {
        Get::Slot(slot) => match &slots[*slot] {
            Raw::Absent => return Ok(None),
            Raw::Str(s) | Raw::Field(s) if s.is_empty() => return Ok(None),
            Raw::Str(s) | Raw::Field(s) => read(s),
            Raw::Int(i) => get.format.read_int(*i),
            Raw::Float(f) => get.format.read_float(*f),
            Raw::Instant(at) => in_range(*at),
            Raw::Local(at) => get.format.read_local(*at),
            Raw::Bool(_) | Raw::Uint(_) | Raw::Json(_) => None,
        },
        other => match text(other, slots, get.name)? {
            None => return Ok(None),
            Some(joined) => read(&joined),
        },
    };
    if let Some(at) = at {
        Ok(Some(at))
    } else {
        let value = match &get.get {
            Get::Slot(slot) => slots[*slot].text().ok().flatten(),
            other => text(other, slots, get.name)?,
        };
        let value: String = value.unwrap_or_default().chars().take(40).collect();
        let format = get.format.name();
        Err((Reason::BadTime, format!("{} {value:?} is not {format}", get.name)))
    }
}

/// Event time, and the record's own receive time.
fn times(plan: &Plan, slots: &[Raw<'_>]) -> Result<(Micros, Option<Micros>), Wrong> {
    let received = time(&plan.received, slots)?;
    if let Some(at) = time(&plan.timestamp, slots)? {
        return Ok((at, received));
    }
    let original = time(&plan.original, slots)?;
    let at = match (original, received) {
        (Some(original), Some(received)) => match time(&plan.sent, slots)? {
            // All three lie within ten thousand years of 1970: this can't overflow.
            Some(sent) => received - (sent - original),
            None => original,
        },
        (Some(at), None) | (None, Some(at)) => at,
        (None, None) => {
            let detail = "none of timestamp, originalTimestamp and receivedAt".to_owned();
            return Err((Reason::MissingTime, detail));
        }
    };
    let out_of_range = || (Reason::BadTime, "the corrected time is in no year".to_owned());
    Ok((in_range(at).ok_or_else(out_of_range)?, received))
}

/// The sender's sequence number, 0 if there is none.
fn sequence(get: &Get, slots: &[Raw<'_>]) -> Result<u64, Wrong> {
    let seq = match get {
        Get::Nothing => return Ok(0),
        Get::Slot(slot) => match &slots[*slot] {
            Raw::Int(i) => u64::try_from(*i).ok(),
            Raw::Uint(u) => Some(*u),
            other => match other.text().map_err(|e| bad_field("seq", e))? {
                None => return Ok(0),
                Some(text) => text.parse().ok(),
            },
        },
        other => match text(other, slots, "seq")? {
            None => return Ok(0),
            Some(text) => text.parse().ok(),
        },
    };
    seq.ok_or_else(|| (Reason::BadField, "seq is not a whole number from 0 on".to_owned()))
}

/// A stable hash of everything in an event but its origin, for a job that asks for so many
/// properties. Lengths stand before texts, so that no two contents are written alike.
pub(crate) fn content(event: &Event, properties: usize, buffer: &mut Vec<u8>) -> u64 {
    fn put_text(buffer: &mut Vec<u8>, text: &str) {
        buffer.extend_from_slice(&(text.len() as u64).to_le_bytes());
        buffer.extend_from_slice(text.as_bytes());
    }
    fn put_ident(buffer: &mut Vec<u8>, ident: Ident) {
        buffer.push(ident.kind);
        buffer.extend_from_slice(&ident.token.0.to_le_bytes());
    }
    buffer.clear();
    buffer.extend_from_slice(&event.key.time.to_le_bytes());
    buffer.extend_from_slice(&event.key.seq.to_le_bytes());
    put_text(buffer, event.message_id.text(&mut [0; Uuid::TEXT]));
    for text in [&event.kind.tenant, &event.kind.channel, &event.kind.name] {
        put_text(buffer, text);
    }
    buffer.extend_from_slice(&(event.idents.len() as u64).to_le_bytes());
    for &ident in &event.idents {
        put_ident(buffer, ident);
    }
    if let Some(command) = event.command() {
        buffer.push(1 + u8::from(command.kind == CommandKind::Unmerge));
        put_ident(buffer, command.x);
        put_ident(buffer, command.y);
    } else {
        buffer.push(0);
    }
    for property in 0..properties {
        match event.properties.value(property) {
            None => buffer.push(0),
            Some(Value::Bool(b)) => buffer.extend_from_slice(&[1, u8::from(*b)]),
            Some(Value::Int(i)) => {
                buffer.push(2);
                buffer.extend_from_slice(&i.to_le_bytes());
            }
            Some(Value::Float(f)) => {
                buffer.push(3);
                buffer.extend_from_slice(&f.to_bits().to_le_bytes());
            }
            Some(Value::Str(s)) => {
                buffer.push(4);
                put_text(buffer, s);
            }
        }
    }
    if let Some(business_key) = event.business_key() {
        buffer.extend_from_slice(&business_key.0.to_le_bytes());
    }
    SipHasher13::new_with_keys(0x6272_6169_645f_636f, 0x6e74_656e_745f_7631).hash(buffer)
}
