//! Values of a message to JSON text.

use std::borrow::Cow;
use std::fmt::Display;
use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, ReflectMessage as _, Value,
};

use super::Message;
use crate::avro::decimal;

/// A value of more JSON than this is given up: names of fields may be much longer than their bytes.
const TEXT_BYTES_MAX: usize = 4 << 20;
const NANOS: i128 = 1_000_000_000;

impl Message {
    /// Writes a value as JSON text behind what is in `out`.
    ///
    /// # Errors
    /// What is wrong with the value; `out` then holds a part of it.
    pub fn json(&self, value: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        let message = DynamicMessage::decode(self.0.clone(), value).map_err(|e| e.to_string())?;
        let end = out.len() + TEXT_BYTES_MAX;
        Writing { out, end }.message(&message)
    }
}

struct Writing<'a> {
    out: &'a mut Vec<u8>,
    /// Where `out` must not get to.
    end: usize,
}

/// A field by its number; a message of Google's has it.
fn field(message: &DynamicMessage, number: u32) -> Option<Cow<'_, Value>> {
    message.get_field_by_number(number)
}

fn whole(message: &DynamicMessage, number: u32) -> i64 {
    match field(message, number).as_deref() {
        Some(Value::I64(value)) => *value,
        Some(Value::I32(value)) => i64::from(*value),
        _ => 0,
    }
}

impl Writing<'_> {
    fn text(&mut self, text: &str) {
        // Writing to memory can't fail.
        let _ = serde_json::to_writer(&mut *self.out, text);
    }

    fn plain(&mut self, value: &dyn Display) {
        // Writing to memory can't fail.
        let _ = write!(self.out, "{value}");
    }

    fn message(&mut self, message: &DynamicMessage) -> Result<(), String> {
        let kind = message.descriptor();
        let inner = match kind.full_name() {
            "google.protobuf.Timestamp" => return self.moment(message),
            "google.protobuf.Duration" => {
                self.duration(message);
                return Ok(());
            }
            "confluent.type.Decimal" => {
                self.decimal(message);
                return Ok(());
            }
            "google.protobuf.Value" => {
                let some = |field: &FieldDescriptor| message.has_field(field);
                kind.fields().find(some).filter(|field| field.name() != "null_value")
            }
            "google.protobuf.Struct" | "google.protobuf.ListValue" => kind.get_field(1),
            name if name.starts_with("google.protobuf.") && name.ends_with("Value") => {
                kind.get_field(1)
            }
            _ => return self.object(message, &kind),
        };
        if let Some(inner) = inner {
            return self.value(&message.get_field(&inner), &inner);
        }
        self.plain(&"null");
        Ok(())
    }

    fn object(&mut self, message: &DynamicMessage, kind: &MessageDescriptor) -> Result<(), String> {
        self.out.push(b'{');
        let mut first = true;
        for field in kind.fields().filter(|field| message.has_field(field)) {
            if !std::mem::take(&mut first) {
                self.out.push(b',');
            }
            self.text(field.json_name());
            self.out.push(b':');
            self.value(&message.get_field(&field), &field)?;
        }
        self.out.push(b'}');
        Ok(())
    }

    fn value(&mut self, value: &Value, field: &FieldDescriptor) -> Result<(), String> {
        if self.out.len() > self.end {
            return Err(format!("more than {TEXT_BYTES_MAX} bytes of JSON"));
        }
        match value {
            Value::Bool(value) => self.plain(value),
            Value::I32(value) => self.plain(value),
            Value::I64(value) => self.plain(value),
            Value::U32(value) => self.plain(value),
            Value::U64(value) => self.plain(value),
            Value::F32(value) => {
                // Writing to memory can't fail; what is not finite is written as null.
                let _ = serde_json::to_writer(&mut *self.out, value);
            }
            Value::F64(value) => {
                let _ = serde_json::to_writer(&mut *self.out, value);
            }
            Value::String(value) => self.text(value),
            Value::Bytes(value) => self.text(&STANDARD.encode(value)),
            Value::EnumNumber(number) => {
                let kind = field.kind();
                let known = kind.as_enum().and_then(|kind| kind.get_value(*number));
                match known {
                    Some(value) => self.text(value.name()),
                    None => self.plain(number),
                }
            }
            Value::Message(message) => self.message(message)?,
            Value::List(items) => {
                self.out.push(b'[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        self.out.push(b',');
                    }
                    self.value(item, field)?;
                }
                self.out.push(b']');
            }
            Value::Map(entries) => {
                let kind = field.kind();
                let Kind::Message(entry) = kind else { return Ok(()) };
                let of = entry.map_entry_value_field();
                // They come in any order, and equal records must give equal text.
                let mut entries: Vec<_> =
                    entries.iter().map(|(key, value)| (word(key), value)).collect();
                entries.sort_unstable_by(|a, b| a.0.cmp(&b.0));
                self.out.push(b'{');
                for (index, (key, value)) in entries.into_iter().enumerate() {
                    if index > 0 {
                        self.out.push(b',');
                    }
                    self.text(&key);
                    self.out.push(b':');
                    self.value(value, &of)?;
                }
                self.out.push(b'}');
            }
        }
        Ok(())
    }

    fn moment(&mut self, message: &DynamicMessage) -> Result<(), String> {
        let (second, nanos) = (whole(message, 1), whole(message, 2));
        let at = Timestamp::new(second, nanos as i32);
        let at = at.map_err(|_| format!("a moment of {second} s and {nanos} ns is in no year"))?;
        self.text(&format!("{at:.6}"));
        Ok(())
    }

    /// Seconds with none, three, six or nine decimals.
    fn duration(&mut self, message: &DynamicMessage) {
        let total = i128::from(whole(message, 1)) * NANOS + i128::from(whole(message, 2));
        let (sign, size) = (if total < 0 { "-" } else { "" }, total.unsigned_abs());
        let (seconds, nanos) = (size / NANOS as u128, size % NANOS as u128);
        let decimals = format!("{nanos:09}");
        let decimals = match decimals.trim_end_matches('0').len().div_ceil(3) * 3 {
            0 => String::new(),
            count => format!(".{}", &decimals[..count]),
        };
        self.text(&format!("{sign}{seconds}{decimals}s"));
    }

    fn decimal(&mut self, message: &DynamicMessage) {
        let scale = whole(message, 3);
        if let Some(Value::Bytes(bytes)) = field(message, 1).as_deref() {
            decimal(bytes, scale.clamp(0, 1000) as u32, self.out);
        }
    }
}

/// A map's key as text.
fn word(key: &MapKey) -> Cow<'_, str> {
    match key {
        MapKey::Bool(key) => Cow::Owned(key.to_string()),
        MapKey::I32(key) => Cow::Owned(key.to_string()),
        MapKey::I64(key) => Cow::Owned(key.to_string()),
        MapKey::U32(key) => Cow::Owned(key.to_string()),
        MapKey::U64(key) => Cow::Owned(key.to_string()),
        MapKey::String(key) => Cow::Borrowed(key),
    }
}
