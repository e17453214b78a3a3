//! What a source's records look like, and what the job wants of them.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use operators::identity::IdentityConfig;
use operators::model::Secret;
use operators::views::predicate::Matcher;

use super::{Erased, TimeFormat};

/// A path into a record or into the envelope: `context.traits.email`. A dot in a name is written
/// `\.`; the path `.` is the whole record.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct FieldPath(Vec<String>);

impl FieldPath {
    /// Reads a path as the job file has it.
    pub fn parse(text: &str) -> Self {
        if text == "." || text.is_empty() {
            return Self::default();
        }
        let mut names = vec![String::new()];
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            let escaped = (c == '\\').then(|| chars.next()).flatten();
            match (c, names.last_mut()) {
                ('.', _) => names.push(String::new()),
                (_, Some(name)) => name.push(escaped.unwrap_or(c)),
                (_, None) => {}
            }
        }
        Self(names)
    }

    /// The names from the outside in.
    pub fn names(&self) -> &[String] {
        &self.0
    }

    /// The rest of this path below `prefix`.
    pub fn below(&self, prefix: &Self) -> Option<&[String]> {
        self.0.strip_prefix(prefix.0.as_slice())
    }

    /// This path followed by further names.
    pub fn join(&self, names: &[String]) -> Self {
        Self([self.0.as_slice(), names].concat())
    }

    /// The name of a flat record's column that holds this path: the names with dots between.
    pub fn column(&self) -> String {
        self.0.join(".")
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str(".");
        }
        for (index, name) in self.0.iter().enumerate() {
            let dot = if index == 0 { "" } else { "." };
            write!(f, "{dot}{}", name.replace('\\', r"\\").replace('.', r"\."))?;
        }
        Ok(())
    }
}

/// A place in a record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FieldSource {
    /// A field of its value.
    Value(FieldPath),
    /// A field of its key; `.` is the whole key, as text where nothing says what it is.
    Key(FieldPath),
    /// The last of its headers of this name.
    Header(String),
    /// What its topic knows of it.
    Record(RecordPart),
}

/// What a topic knows of a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RecordPart {
    /// When it was made, or when the broker took it in, as the topic's settings say.
    Timestamp,
    /// The name of its topic.
    Topic,
    /// The number of its partition.
    Partition,
    /// Its offset.
    Offset,
}

impl RecordPart {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Timestamp, Self::Topic, Self::Partition, Self::Offset];

    /// The word in the job file.
    pub fn word(self) -> &'static str {
        match self {
            Self::Timestamp => "timestamp",
            Self::Topic => "topic",
            Self::Partition => "partition",
            Self::Offset => "offset",
        }
    }

    /// The part that a word stands for.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|part| part.word() == word)
    }
}

impl FieldSource {
    /// The place of what is below, if anything can be.
    pub(super) fn below(&self, names: &[String]) -> Option<Self> {
        match self {
            Self::Value(path) => Some(Self::Value(path.join(names))),
            Self::Key(path) => Some(Self::Key(path.join(names))),
            Self::Header(_) | Self::Record(_) => names.is_empty().then(|| self.clone()),
        }
    }
}

/// Where the value of an envelope field comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FieldValue {
    /// One place in the record.
    From(FieldSource),
    /// Several as one text. Not set if any of them is not set.
    Concat {
        /// The places.
        parts: Vec<FieldSource>,
        /// What stands between them; without it `a` + `bc` and `ab` + `c` are one text.
        separator: String,
    },
    /// Always the same.
    Const(Arc<str>),
}

impl FieldValue {
    /// What stands between the parts of a `concat` unless the job says otherwise.
    pub const SEPARATOR: &'static str = "|";
}

/// One line of `[source.fields]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FieldMap {
    /// The envelope field. A mapped field also maps what is below it: with `context` from `ctx`,
    /// `context.page.path` is `ctx.page.path`.
    pub target: FieldPath,
    /// Where its value comes from.
    pub value: FieldValue,
    /// How a time is written; only for the four time fields.
    pub format: Option<TimeFormat>,
}

/// From which envelope fields an identity type takes its identifiers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IdentityFields {
    /// Name of the type, as in [`operators::identity::IdentityType::name`]; the position in
    /// [`DecodeSpec::identities`] is [`kind`](operators::model::Ident::kind).
    pub name: String,
    /// Envelope paths; each may hold one value or a list.
    pub from: Vec<FieldPath>,
    /// Whether values that differ in case only, or in white space around them, are one.
    pub ignore_case: bool,
}

impl IdentityFields {
    /// The value that stands for all that are one with it.
    pub fn value<'v>(&self, value: &'v str) -> Cow<'v, str> {
        if !self.ignore_case {
            return Cow::Borrowed(value);
        }
        let value = value.trim();
        // Few letters have no other case; what is written so already costs nothing.
        if value.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase()) {
            return Cow::Borrowed(value);
        }
        Cow::Owned(value.to_lowercase())
    }
}

/// How the records of one source become events. The fields after `identity` are the job's and the
/// same for all its sources.
#[derive(Clone, Debug)]
pub struct DecodeSpec {
    /// `[source.fields]`. An envelope field without a line here comes from the record's field of
    /// the same path (for flat records: the column of that name).
    pub fields: Vec<FieldMap>,
    /// The source's channel. The record's own `channel` counts only if the source has none or
    /// `fields` maps it.
    pub channel: Option<Arc<str>>,
    /// The source's tenant; as with `channel`.
    pub tenant: Option<Arc<str>>,
    /// Tenant of records that name none, and of dead letters whose tenant can't be read.
    pub default_tenant: Arc<str>,
    /// The job's identity rules: the order of an event's identifiers.
    pub identity: Arc<IdentityConfig>,
    /// For each of `identity.types`, where its identifiers are.
    pub identities: Vec<IdentityFields>,
    /// Identity type of an alias's `previousId`: an index into `identities`. Without it aliases are
    /// `bad_command`.
    pub previous_id: Option<u8>,
    /// Values that are no identifiers, compared exactly.
    pub blocked: Arc<HashSet<String>>,
    /// The properties that the views ask for, as envelope paths (`properties.price`).
    pub properties: Vec<FieldPath>,
    /// The job's predicates.
    pub matcher: Arc<Matcher>,
    /// The business key, as an envelope path (`properties.order_id`).
    pub business_key: Option<FieldPath>,
    /// What is erased.
    pub erased: Arc<Erased>,
    /// The key of the identifier hash.
    pub secret: Secret,
}

impl DecodeSpec {
    /// Values that senders write where they have no identifier.
    pub const BLOCKED: [&'static str; 26] = [
        "",
        " ",
        "0",
        "00000000-0000-0000-0000-000000000000",
        "null",
        "Null",
        "NULL",
        "(null)",
        "undefined",
        "Undefined",
        "UNDEFINED",
        "none",
        "None",
        "NONE",
        "(none)",
        "(not set)",
        "nil",
        "Nil",
        "NIL",
        "nan",
        "Nan",
        "NaN",
        "NAN",
        "n/a",
        "N/a",
        "N/A",
    ];

    /// A source in the envelope already, of a job with these identity rules and no views.
    pub fn new(
        identity: Arc<IdentityConfig>,
        identities: Vec<IdentityFields>,
        secret: Secret,
    ) -> Self {
        Self {
            fields: Vec::new(),
            channel: None,
            tenant: None,
            default_tenant: Arc::from("default"),
            identity,
            identities,
            previous_id: None,
            blocked: Arc::new(Self::BLOCKED.iter().map(|&value| value.to_owned()).collect()),
            properties: Vec::new(),
            matcher: Arc::default(),
            business_key: None,
            erased: Arc::default(),
            secret,
        }
    }
}

/// Why a [`DecodeSpec`] makes no sense.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SpecError {
    /// A path that is not in the envelope.
    #[error("{path}: there is no such envelope field; fields are {}", super::spec::targets())]
    UnknownTarget {
        /// The path.
        path: FieldPath,
    },
    /// Two lines for one field.
    #[error("{path} is mapped twice")]
    MappedTwice {
        /// The field.
        path: FieldPath,
    },
    /// A time format on a field that is no time.
    #[error("{path} is no time and takes no format")]
    NoTime {
        /// The field.
        path: FieldPath,
    },
    /// More identity types than [`kind`](operators::model::Ident::kind) can hold, or not as many as
    /// the rules have.
    #[error("{fields} identity types with fields, {rules} with rules; at most 256")]
    Types {
        /// Number of [`DecodeSpec::identities`].
        fields: usize,
        /// Number of [`IdentityConfig::types`].
        rules: usize,
    },
}

/// Envelope fields that hold one value.
pub(super) const FIELDS: [&str; 14] = [
    "type",
    "messageId",
    "anonymousId",
    "userId",
    "groupId",
    "event",
    "originalTimestamp",
    "sentAt",
    "receivedAt",
    "timestamp",
    "tenant",
    "channel",
    "seq",
    "previousId",
];
/// Envelope fields that are times.
pub(super) const TIMES: [&str; 4] = ["originalTimestamp", "sentAt", "receivedAt", "timestamp"];
/// Envelope fields that hold more fields.
pub(super) const OBJECTS: [&str; 4] = ["identifiers", "properties", "traits", "context"];

fn targets() -> String {
    format!("{}, {} and what is below the last three", FIELDS.join(", "), OBJECTS.join(", "))
}

impl FieldPath {
    /// The fields of the envelope.
    pub fn targets() -> Vec<&'static str> {
        FIELDS.into_iter().chain(OBJECTS).collect()
    }

    /// Whether this is a field of the envelope.
    pub fn is_target(&self) -> bool {
        match self.0.as_slice() {
            [field] => FIELDS.contains(&field.as_str()) || OBJECTS.contains(&field.as_str()),
            [object, ..] => OBJECTS[1..].contains(&object.as_str()),
            [] => false,
        }
    }

    /// Whether this is a trait, of a person or of a group.
    pub fn is_trait(&self) -> bool {
        self.0.first().is_some_and(|first| first == "traits")
    }

    /// Whether this is one of the envelope's four times.
    pub fn is_time(&self) -> bool {
        matches!(self.0.as_slice(), [field] if TIMES.contains(&field.as_str()))
    }
}
