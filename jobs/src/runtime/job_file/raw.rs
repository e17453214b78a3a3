//! The keys of a job file. `operators::views` and `connectors` say what they mean.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

/// A whole job file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the keys of a job file; the README lists them")]
pub struct JobFile {
    pub job: Job,
    #[serde(default)]
    pub source: Vec<Source>,
    #[serde(default)]
    pub time: Time,
    #[serde(default)]
    pub identity: Identity,
    #[serde(default)]
    pub dedup: Dedup,
    #[serde(default)]
    pub view: Vec<Spanned<View>>,
    pub sink: Option<Vec<Sink>>,
    pub bindings: Option<Bindings>,
    pub snapshot: Option<Snapshot>,
    #[serde(default)]
    pub cluster: Cluster,
    pub trace: Option<Trace>,
}

/// `[job]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the keys of a job file; the README lists them")]
pub struct Job {
    pub name: Spanned<String>,
    pub out: Spanned<String>,
    pub zone: Option<Spanned<String>>,
    pub tenant: Option<String>,
    #[serde(default)]
    pub without: Vec<Spanned<String>>,
    pub epoch_records: Option<Spanned<u32>>,
    pub facts_per_second_max: Option<Spanned<u32>>,
}

/// `[[source]]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the keys of a job file; the README lists them")]
pub struct Source {
    pub name: Spanned<String>,
    pub connector: Spanned<String>,
    pub path: Option<Spanned<OneOrMany>>,
    pub format: Option<Spanned<String>>,
    pub brokers: Option<Spanned<String>>,
    pub topics: Option<Spanned<OneOrMany>>,
    pub group: Option<Spanned<String>>,
    pub registry: Option<Spanned<String>>,
    pub schema: Option<Spanned<String>>,
    pub message: Option<Spanned<String>>,
    #[serde(default)]
    pub properties: BTreeMap<Spanned<String>, Property>,
    pub channel: Option<String>,
    pub tenant: Option<String>,
    #[serde(default)]
    pub fields: BTreeMap<Spanned<String>, Field>,
}

/// One text or several.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the keys of a job file; the README lists them")]
pub enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    /// All of them, in order.
    pub fn list(&self) -> &[String] {
        match self {
            Self::One(text) => std::slice::from_ref(text),
            Self::Many(list) => list,
        }
    }
}

/// A value of `[source.properties]`, `[sink.properties]` or `[snapshot.options]`, as text.
#[derive(Clone, PartialEq, Eq)]
pub struct Property(pub String);

/// It may be a password.
impl std::fmt::Debug for Property {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Property(..)")
    }
}

/// A line of `[source.fields]`.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the keys of a job file; the README lists them")]
pub enum Field {
    Path(String),
    Rule(FieldRule),
}

/// A line of `[source.fields]` in full.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the keys of a job file; the README lists them")]
pub struct FieldRule {
    pub field: Option<String>,
    pub key: Option<String>,
    pub header: Option<String>,
    pub record: Option<String>,
    pub format: Option<String>,
    pub zone: Option<String>,
    pub concat: Option<Vec<Part>>,
    pub separator: Option<String>,
    #[serde(rename = "const")]
    pub constant: Option<String>,
}

/// A part of a `concat`.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the keys of a job file; the README lists them")]
pub enum Part {
    Path(String),
    Rule(PartRule),
}

/// A part of a `concat` in full.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the keys of a job file; the README lists them")]
pub struct PartRule {
    pub field: Option<String>,
    pub key: Option<String>,
    pub header: Option<String>,
    pub record: Option<String>,
}

/// `[time]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the keys of a job file; the README lists them")]
pub struct Time {
    pub disorder: Option<Spanned<String>>,
    pub admit: Option<Spanned<String>>,
    pub future: Option<Spanned<String>>,
    pub ids: Option<Spanned<String>>,
    pub history: Option<Spanned<String>>,
}

/// `[identity]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the keys of a job file; the README lists them")]
pub struct Identity {
    pub cluster_max: Option<u32>,
    pub blocked: Option<Vec<String>>,
    pub previous_id: Option<Spanned<String>>,
    pub erased: Option<Spanned<String>>,
    pub secret: Option<String>,
    pub engine: Option<Spanned<String>>,
    #[serde(default, rename = "type")]
    pub types: Vec<IdentityType>,
}

/// `[[identity.type]]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the keys of a job file; the README lists them")]
pub struct IdentityType {
    pub name: Spanned<String>,
    pub from: Vec<Spanned<String>>,
    pub rank: u8,
    pub degree_max: Option<u32>,
    pub owners_max: Option<u32>,
    pub forward: Option<Spanned<String>>,
    pub back: Option<Spanned<String>>,
    pub own: Option<Spanned<String>>,
    pub ignore_case: Option<bool>,
}

/// `[dedup]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the keys of a job file; the README lists them")]
pub struct Dedup {
    pub business_key: Option<Spanned<String>>,
    #[serde(default)]
    pub strongest: Vec<String>,
}

/// `[[view]]`: the keys of every kind; the plan says which belong to which.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the keys of a job file; the README lists them")]
pub struct View {
    pub kind: Spanned<String>,
    pub name: Option<Spanned<String>>,
    pub gap: Option<Spanned<String>>,
    pub cap: Option<Spanned<String>>,
    pub metric: Option<Spanned<String>>,
    pub property: Option<String>,
    pub filter: Option<Spanned<Step>>,
    pub period: Option<Spanned<String>>,
    pub breakdown: Option<Spanned<OneOrMany>>,
    #[serde(rename = "breakdownAttributionType")]
    pub attribution: Option<Spanned<String>>,
    #[serde(rename = "breakdownAttributionValue")]
    pub attribution_value: Option<Spanned<u32>>,
    pub breakdown_limit: Option<Spanned<u32>>,
    pub counting: Option<Spanned<String>>,
    pub aggregation_group: Option<Spanned<String>>,
    #[serde(rename = "holdConstant")]
    pub hold: Option<OneOrMany>,
    pub exclusions: Option<Vec<Spanned<Step>>>,
    pub steps: Option<Spanned<Vec<Spanned<Step>>>>,
    #[serde(rename = "funnelWindowInterval")]
    pub window: Option<Spanned<u32>>,
    #[serde(rename = "funnelWindowIntervalUnit")]
    pub window_unit: Option<Spanned<String>>,
    #[serde(rename = "funnelOrderType")]
    pub order: Option<Spanned<String>>,
    pub periods: Option<Vec<Spanned<String>>>,
}

/// A step or exclusion of a funnel or the filter of a trend; the plan says what belongs where.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the keys of a job file; the README lists them")]
pub struct Step {
    pub event: Option<String>,
    pub events: Option<Vec<String>>,
    pub channel: Option<String>,
    pub channels: Option<Vec<String>>,
    #[serde(default)]
    pub properties: Vec<PropertyRule>,
    pub label: Option<String>,
    #[serde(rename = "optionalInFunnel")]
    pub optional: Option<bool>,
    pub math: Option<Spanned<String>>,
    #[serde(rename = "funnelFromStep")]
    pub from_step: Option<Spanned<u32>>,
    #[serde(rename = "funnelToStep")]
    pub to_step: Option<Spanned<u32>>,
}

/// A condition on a property.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the keys of a job file; the README lists them")]
pub struct PropertyRule {
    pub key: Spanned<String>,
    #[serde(rename = "type")]
    pub kind: Option<Spanned<String>>,
    pub at: Option<Spanned<String>>,
    pub operator: Option<Spanned<String>>,
    pub value: Option<toml::Value>,
}

/// `[bindings]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the keys of a job file; the README lists them")]
pub struct Bindings {
    pub connector: Spanned<String>,
    pub brokers: Option<Spanned<String>>,
    pub topic: Option<Spanned<String>>,
    pub replication: Option<Spanned<u16>>,
    #[serde(default)]
    pub properties: BTreeMap<Spanned<String>, Property>,
}

/// `[snapshot]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the keys of a job file; the README lists them")]
pub struct Snapshot {
    pub every: Option<Spanned<String>>,
    pub to: Option<Spanned<String>>,
    #[serde(default)]
    pub options: BTreeMap<Spanned<String>, Property>,
}

/// `[cluster]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the keys of a job file; the README lists them")]
pub struct Cluster {
    pub silence: Option<Spanned<String>>,
    pub tls: Option<Spanned<Tls>>,
}

/// `[cluster.tls]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the keys of a job file; the README lists them")]
pub struct Tls {
    pub ca: Option<String>,
    pub cert: Option<String>,
    pub key: Option<String>,
}

/// `[trace]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the keys of a job file; the README lists them")]
pub struct Trace {
    pub otlp: Spanned<String>,
    pub every: Option<Spanned<String>>,
    #[serde(default)]
    pub headers: BTreeMap<Spanned<String>, Property>,
}

/// `[[sink]]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the keys of a job file; the README lists them")]
pub struct Sink {
    pub connector: Spanned<String>,
    pub partition: Option<Spanned<String>>,
    pub every: Option<Spanned<String>>,
    #[serde(default)]
    pub keep: Vec<Spanned<String>>,
    pub retention: Option<Spanned<String>>,
    pub brokers: Option<Spanned<String>>,
    pub prefix: Option<Spanned<String>>,
    pub format: Option<Spanned<String>>,
    pub registry: Option<Spanned<String>>,
    pub partitions: Option<Spanned<u16>>,
    pub replication: Option<Spanned<u16>>,
    #[serde(default)]
    pub properties: BTreeMap<Spanned<String>, Property>,
}
