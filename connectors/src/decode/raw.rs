//! One field of a record, as the record has it.

use std::borrow::Cow;

use operators::model::Micros;
use serde_json::Value as Json;

/// From here on not every whole number has a floating-point number of its own.
const EXACT_BELOW: f64 = 9_007_199_254_740_992.0;

/// A field of a record; text is borrowed from the record where it can be.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) enum Raw<'a> {
    /// Not there, or null.
    #[default]
    Absent,
    Bool(bool),
    Int(i64),
    /// A whole number above `i64::MAX`.
    Uint(u64),
    Float(f64),
    /// Text that is text.
    Str(Cow<'a, str>),
    /// Text of a record that has nothing else (CSV): it may spell a number.
    Field(Cow<'a, str>),
    /// A moment.
    Instant(Micros),
    /// A date and time without offset, as microseconds since 1970 in local time.
    Local(Micros),
    /// A list or an object.
    Json(Box<Json>),
}

/// A value that can't be written as one text; says what it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct NoText(pub(super) &'static str);

impl Raw<'_> {
    /// A value of a JSON tree.
    pub(super) fn from_json(value: Json) -> Self {
        match value {
            Json::Null => Self::Absent,
            Json::Bool(b) => Self::Bool(b),
            Json::String(s) => Self::Str(Cow::Owned(s)),
            Json::Number(n) => match (n.as_i64(), n.as_u64(), n.as_f64()) {
                (Some(i), ..) => Self::Int(i),
                (_, Some(u), _) => Self::Uint(u),
                (.., Some(f)) => Self::Float(f),
                _ => Self::Absent,
            },
            list_or_object => Self::Json(Box::new(list_or_object)),
        }
    }

    /// The value as text, numbers included; `None` if it is not set or empty. A number too long to
    /// be exact is refused: two ids must not become one by rounding.
    pub(super) fn text(&self) -> Result<Option<Cow<'_, str>>, NoText> {
        Ok(Some(match self {
            Self::Absent => return Ok(None),
            Self::Str(s) | Self::Field(s) if s.is_empty() => return Ok(None),
            Self::Str(s) | Self::Field(s) => Cow::Borrowed(&**s),
            Self::Int(i) => Cow::Owned(i.to_string()),
            Self::Uint(u) => Cow::Owned(u.to_string()),
            Self::Float(f) if f.abs() < EXACT_BELOW => Cow::Owned((f + 0.0).to_string()),
            Self::Instant(at) => Cow::Owned(moment(*at, "Z")),
            Self::Local(at) => Cow::Owned(moment(*at, "")),
            Self::Float(_) => return Err(NoText("a number too long to be exact")),
            Self::Bool(_) => return Err(NoText("a boolean")),
            Self::Json(json) if json.is_array() => return Err(NoText("a list")),
            Self::Json(_) => return Err(NoText("an object")),
        }))
    }

    /// The value of a property. Lists and objects become their JSON text, whole numbers are `Int`
    /// however they are written.
    pub(super) fn property(
        &self,
        mut text: impl FnMut(&str) -> std::sync::Arc<str>,
    ) -> Option<operators::model::Value> {
        use operators::model::Value;
        Some(match self {
            Self::Absent => return None,
            Self::Field(s) if s.is_empty() => return None,
            Self::Field(s) => number(s).unwrap_or_else(|| Value::Str(text(s))),
            Self::Str(s) => Value::Str(text(s)),
            Self::Bool(b) => Value::Bool(*b),
            Self::Int(i) => Value::Int(*i),
            // As text it is what it is; as a real number it would be one with its neighbours.
            Self::Uint(u) => Value::Str(text(&u.to_string())),
            Self::Float(f) => float(*f)?,
            Self::Instant(at) => Value::Str(text(&moment(*at, "Z"))),
            Self::Local(at) => Value::Str(text(&moment(*at, ""))),
            Self::Json(json) => Value::Str(text(&json.to_string())),
        })
    }
}

/// A number as property: whole ones are `Int` where that is exact.
fn float(f: f64) -> Option<operators::model::Value> {
    use operators::model::Value;
    let whole = f.fract() == 0.0 && f.abs() < EXACT_BELOW;
    f.is_finite().then_some(if whole { Value::Int(f as i64) } else { Value::Float(f) })
}

/// The number that a text spells, if it is written just so: `007`, `1.10` and `1 000` stay text,
/// and what is too long to be exact, for such may be ids.
fn number(text: &str) -> Option<operators::model::Value> {
    let first = text.as_bytes().first()?;
    if !first.is_ascii_digit() && *first != b'-' {
        return None;
    }
    let number = match Raw::from_json(Json::Number(text.parse().ok()?)) {
        Raw::Int(i) => operators::model::Value::Int(i),
        Raw::Float(f) => float(f)?,
        _ => return None,
    };
    (number.to_string() == text).then_some(number)
}

fn moment(at: Micros, suffix: &str) -> String {
    match jiff::Timestamp::from_microsecond(at) {
        Ok(at) => format!("{}{suffix}", at.to_string().trim_end_matches('Z')),
        Err(_) => at.to_string(),
    }
}
