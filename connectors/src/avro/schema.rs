//! Schemas, as Avro's JSON has them.

use std::collections::HashMap;

use serde_json::{Map, Value};

/// A type; others are named by their place in the schema's list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// Named, and not read yet.
    Pending,
    Null,
    Boolean,
    /// `int` and `long`, which are written alike.
    Int,
    Float,
    Double,
    Bytes,
    String,
    Fixed(usize),
    Enum(Vec<String>),
    Array(usize),
    Map(usize),
    Record(Vec<(String, usize)>),
    Union(Vec<usize>),
    /// Days since 1970.
    Date,
    /// Since 1970, so many in a second; in UTC or in no zone.
    Moment {
        in_second: i64,
        utc: bool,
    },
    /// Digits after the point; the bytes of a `fixed`, or `None` for `bytes`.
    Decimal {
        scale: u32,
        fixed: Option<usize>,
    },
}

/// A schema.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Schema {
    pub(super) kinds: Vec<Kind>,
    pub(super) root: usize,
}

/// What a schema is read with.
#[derive(Default)]
struct Reading {
    kinds: Vec<Kind>,
    /// Named types, by full name.
    names: HashMap<String, usize>,
}

impl Schema {
    /// Reads a schema.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        Self::with(text, &[])
    }

    /// Reads a schema that refers to types of others; each of these may refer to those before it.
    pub fn with(text: &str, others: &[String]) -> Result<Self, String> {
        let mut reading = Reading::default();
        for other in others {
            reading.read(&json(other)?, "")?;
        }
        let root = reading.read(&json(text)?, "")?;
        Ok(Self { kinds: reading.kinds, root })
    }
}

fn json(text: &str) -> Result<Value, String> {
    match serde_json::from_str(text) {
        Ok(value) => Ok(value),
        // The name of a type alone may stand without quotes.
        Err(_) if primitive(text.trim()).is_some() => Ok(Value::String(text.trim().to_owned())),
        Err(error) => Err(format!("the schema is no JSON: {error}")),
    }
}

fn primitive(name: &str) -> Option<Kind> {
    Some(match name {
        "null" => Kind::Null,
        "boolean" => Kind::Boolean,
        "int" | "long" => Kind::Int,
        "float" => Kind::Float,
        "double" => Kind::Double,
        "bytes" => Kind::Bytes,
        "string" => Kind::String,
        _ => return None,
    })
}

impl Reading {
    fn add(&mut self, kind: Kind) -> usize {
        self.kinds.push(kind);
        self.kinds.len() - 1
    }

    /// Reads a type; gives its place.
    fn read(&mut self, schema: &Value, namespace: &str) -> Result<usize, String> {
        match schema {
            Value::String(name) => {
                if let Some(kind) = primitive(name) {
                    return Ok(self.add(kind));
                }
                let known = self.names.get(&full(name, namespace)).or_else(|| self.names.get(name));
                known.copied().ok_or_else(|| format!("there is no type {name:?}"))
            }
            Value::Array(branches) => {
                let branches: Result<_, String> =
                    branches.iter().map(|branch| self.read(branch, namespace)).collect();
                let branches = branches?;
                Ok(self.add(Kind::Union(branches)))
            }
            Value::Object(object) => self.object(object, namespace),
            other => Err(format!("{other} is no type")),
        }
    }

    fn object(&mut self, object: &Map<String, Value>, namespace: &str) -> Result<usize, String> {
        let kind = object.get("type").ok_or("a type without `type`")?;
        let Value::String(kind) = kind else { return self.read(kind, namespace) };
        let part = |name: &str| object.get(name).ok_or(format!("a type {kind} without `{name}`"));
        match kind.as_str() {
            "array" => {
                let items = self.read(part("items")?, namespace)?;
                Ok(self.add(Kind::Array(items)))
            }
            "map" => {
                let values = self.read(part("values")?, namespace)?;
                Ok(self.add(Kind::Map(values)))
            }
            "record" | "error" | "enum" | "fixed" => {
                let place = self.add(Kind::Pending);
                let namespace = self.name(object, namespace, place)?;
                let kind = match kind.as_str() {
                    "enum" => Kind::Enum(texts(part("symbols")?)?),
                    "fixed" => fixed(object, part("size")?)?,
                    _ => self.record(part("fields")?, &namespace)?,
                };
                self.kinds[place] = kind;
                Ok(place)
            }
            name => match primitive(name) {
                Some(kind) => {
                    let kind = logical(object, kind)?;
                    Ok(self.add(kind))
                }
                None => self.read(&Value::String(name.to_owned()), namespace),
            },
        }
    }

    /// Notes a named type; gives the namespace of what is in it.
    fn name(
        &mut self,
        object: &Map<String, Value>,
        namespace: &str,
        place: usize,
    ) -> Result<String, String> {
        let text = |key: &str| object.get(key).and_then(Value::as_str);
        let name = text("name").ok_or("a named type without `name`")?;
        let name = full(name, text("namespace").unwrap_or(namespace));
        let inner = name.rsplit_once('.').map_or("", |(space, _)| space).to_owned();
        let aliases = object.get("aliases").and_then(Value::as_array).into_iter().flatten();
        for alias in aliases.filter_map(Value::as_str) {
            self.names.insert(full(alias, &inner), place);
        }
        if self.names.insert(name.clone(), place).is_some() {
            return Err(format!("two types are called {name:?}"));
        }
        Ok(inner)
    }

    fn record(&mut self, fields: &Value, namespace: &str) -> Result<Kind, String> {
        let mut list = Vec::new();
        for field in fields.as_array().ok_or("`fields` is no list")? {
            let name = field.get("name").and_then(Value::as_str).ok_or("a field without `name`")?;
            let kind = field.get("type").ok_or(format!("field {name:?} has no `type`"))?;
            let kind = match (kind, field.as_object()) {
                // `logicalType` belongs beside the type, and is often found beside the field's.
                (Value::String(primitive_name), Some(object))
                    if primitive(primitive_name).is_some() =>
                {
                    self.object(object, namespace)?
                }
                (kind, _) => self.read(kind, namespace)?,
            };
            list.push((name.to_owned(), kind));
        }
        Ok(Kind::Record(list))
    }
}

/// A name with its namespace.
fn full(name: &str, namespace: &str) -> String {
    if name.contains('.') || namespace.is_empty() {
        return name.to_owned();
    }
    format!("{namespace}.{name}")
}

fn texts(list: &Value) -> Result<Vec<String>, String> {
    let list = list.as_array().ok_or("`symbols` is no list")?;
    let text = |v: &Value| v.as_str().map(str::to_owned).ok_or(format!("{v} is no symbol"));
    list.iter().map(text).collect()
}

fn scale(object: &Map<String, Value>) -> Result<u32, String> {
    let scale = object.get("scale").map_or(Some(0), Value::as_u64);
    let scale = scale.filter(|scale| *scale <= 1000);
    scale.map(|scale| scale as u32).ok_or("a scale that is no number up to 1000".to_owned())
}

fn fixed(object: &Map<String, Value>, size: &Value) -> Result<Kind, String> {
    let size = size.as_u64().ok_or("`size` is no number")? as usize;
    Ok(match object.get("logicalType").and_then(Value::as_str) {
        Some("decimal") => Kind::Decimal { scale: scale(object)?, fixed: Some(size) },
        _ => Kind::Fixed(size),
    })
}

/// A primitive type with its meaning. One that is not known, or not of this type, has none.
fn logical(object: &Map<String, Value>, kind: Kind) -> Result<Kind, String> {
    let word = object.get("logicalType").and_then(Value::as_str).unwrap_or("");
    let (utc, unit) = match word.strip_prefix("local-") {
        Some(rest) => (false, rest),
        None => (true, word),
    };
    Ok(match (unit, kind) {
        ("timestamp-millis", Kind::Int) => Kind::Moment { in_second: 1_000, utc },
        ("timestamp-micros", Kind::Int) => Kind::Moment { in_second: 1_000_000, utc },
        ("timestamp-nanos", Kind::Int) => Kind::Moment { in_second: 1_000_000_000, utc },
        ("date", Kind::Int) => Kind::Date,
        ("decimal", Kind::Bytes) => Kind::Decimal { scale: scale(object)?, fixed: None },
        (_, kind) => kind,
    })
}
