//! Decoding: the envelope's rules one by one, real data, and everything against an oracle.

mod formats;
mod oracle;
mod random;
mod rules;

use operators::identity::IdentityType;
use operators::model::{Ident, Secret, Token, Value};
use operators::views::predicate::Predicate;

use super::*;

const SECOND: Micros = operators::model::SECOND;
/// When every record of the tests is read.
const READ_AT: Micros = 1_900_000_000 * SECOND;

fn path(text: &str) -> FieldPath {
    FieldPath::parse(text)
}

fn map(target: &str, value: FieldValue) -> FieldMap {
    FieldMap { target: path(target), value, format: None }
}

fn from(target: &str, source: &str) -> FieldMap {
    map(target, FieldValue::From(FieldSource::Value(path(source))))
}

fn time_from(target: &str, source: &str, word: &str, zone: Option<&str>) -> FieldMap {
    FieldMap { format: Some(TimeFormat::parse(word, zone).unwrap()), ..from(target, source) }
}

fn concat(target: &str, parts: &[&str]) -> FieldMap {
    let parts = parts.iter().map(|part| FieldSource::Value(path(part))).collect();
    map(target, FieldValue::Concat { parts, separator: FieldValue::SEPARATOR.to_owned() })
}

/// User ids, emails and anonymous ids; two properties and one predicate.
fn spec() -> DecodeSpec {
    let types = [("user_id", 0), ("email", 1), ("anonymous_id", 2)];
    let types = types.map(|(name, rank)| IdentityType::new(name, rank)).to_vec();
    let identity = Arc::new(IdentityConfig { types, cluster_max: 1000 });
    let fields = |name: &str, from: &[&str]| IdentityFields {
        name: name.to_owned(),
        from: from.iter().map(|text| path(text)).collect(),
        ignore_case: name == "email",
    };
    let identities = vec![
        fields("user_id", &["userId"]),
        fields("email", &["traits.email", "context.traits.email"]),
        fields("anonymous_id", &["anonymousId"]),
    ];
    let mut spec = DecodeSpec::new(identity, identities, Secret::new("test"));
    spec.previous_id = Some(2);
    spec.properties = vec![path("properties.price"), path("properties.shop.name")];
    let mut matcher = Matcher::default();
    matcher.index(Predicate { events: vec![Arc::from("buy")], ..Predicate::default() });
    spec.matcher = Arc::new(matcher);
    spec
}

fn batch(lines: &[impl AsRef<[u8]>]) -> RawBatch {
    let mut rows = Rows::default();
    lines.iter().for_each(|line| rows.push(line.as_ref()));
    let records = RawRecords::Json(Arc::new(rows));
    RawBatch { source: 1, partition: 2, first: 10, offsets: None, records, bytes: 0 }
}

fn decode(spec: &DecodeSpec, batch: &RawBatch) -> Decoded {
    let mut out = Decoded::default();
    Decoder::new(spec).unwrap().decode(batch, READ_AT, &mut out);
    out
}

/// Decodes one record: its event, or the reason why not.
fn one(spec: &DecodeSpec, line: &str) -> Result<Event, Reason> {
    outcome(&decode(spec, &batch(&[line])), line)
}

/// What became of one record.
fn outcome(out: &Decoded, line: &str) -> Result<Event, Reason> {
    match (out.events.first(), out.letters.first()) {
        (Some((event, _)), None) => Ok(event.clone()),
        (None, Some(letter)) => {
            assert_eq!(&*letter.payload, line.as_bytes());
            assert!(!letter.detail.is_empty());
            Err(letter.reason)
        }
        other => panic!("{line}: {other:?}"),
    }
}

fn token(kind: &str, value: &str) -> Token {
    Secret::new("test").token(kind, value)
}

fn micros(text: &str) -> Micros {
    text.parse::<jiff::Timestamp>().unwrap().as_microsecond()
}
