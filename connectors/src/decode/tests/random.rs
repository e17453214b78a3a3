//! Random records and random bytes.

use operators::identity::testing::Seeded;

use super::oracle::{Record, oracle};
use super::*;
use crate::file::Header;

const SCALARS: [&str; 21] = [
    "\"u1\"",
    "\"u2\"",
    "\"\"",
    "\"null\"",
    "null",
    "true",
    "0",
    "7",
    "-3",
    "12.5",
    "4.0",
    "-0.0",
    "1e20",
    "18446744073709551615",
    "\"a\\u00e9\\n\\\"b\"",
    "\"2026-03-01T10:00:00Z\"",
    "\"2026-03-01T12:00:05.25+02:00\"",
    "\"merge\"",
    "\"alias\"",
    "\"page\"",
    "\"email\"",
];

/// Any value, mostly one that means something, nested up to `depth` times.
fn value(random: &mut Seeded, depth: u32) -> String {
    match random.below(if depth > 0 { 9 } else { 6 }) {
        0..=3 => random.pick(&SCALARS).to_owned(),
        4 => {
            let text: String =
                (0..random.below(9)).map(|_| char::from(random.pick(b"abkz059 "))).collect();
            format!("\"{text}\"")
        }
        5 => (random.bits() as i64).to_string(),
        6 => {
            let items: Vec<_> = (0..random.below(3)).map(|_| value(random, depth - 1)).collect();
            format!("[{}]", items.join(","))
        }
        _ => object(random, depth - 1),
    }
}

fn object(random: &mut Seeded, depth: u32) -> String {
    const NAMES: [&str; 10] = [
        "traits",
        "email",
        "price",
        "shop",
        "name",
        "type",
        "value",
        "x",
        "\\u0065mail",
        "context",
    ];
    let fields: Vec<_> = (0..random.below(4))
        .map(|_| format!("\"{}\":{}", random.pick(&NAMES), value(random, depth)))
        .collect();
    format!("{{{}}}", fields.join(", "))
}

/// A record whose fields come from the envelope, some of them twice, and with the frequent ones
/// mostly as they should be.
fn record(random: &mut Seeded) -> String {
    const NAMES: [&str; 21] = [
        "type",
        "messageId",
        "anonymousId",
        "userId",
        "event",
        "originalTimestamp",
        "sentAt",
        "receivedAt",
        "timestamp",
        "tenant",
        "channel",
        "seq",
        "previousId",
        "identifiers",
        "properties",
        "traits",
        "context",
        "props",
        "id",
        "other",
        "ch\\u0061nnel",
    ];
    const USUAL: [&str; 9] = [
        "\"messageId\":\"m\"",
        "\"id\":\"i\"",
        "\"timestamp\":\"2026-03-01T10:00:00.5Z\"",
        "\"properties\":{\"price\":3,\"shop\":{\"name\":\"n\"}}",
        "\"traits\":{\"email\":[\"a\",1,null]}",
        "\"type\":\"unmerge\"",
        "\"identifiers\":[{\"type\":\"email\",\"value\":\"v\"},{\"type\":\"user_id\",\"value\":1}]",
        "\"userId\":\"u\"",
        "\"type\":\"group\"",
    ];
    // From none to all of the usual fields, alike often.
    let share = random.below(USUAL.len() as u64 + 1);
    let mut all: Vec<String> = Vec::new();
    for field in USUAL {
        if random.below(USUAL.len() as u64) < share {
            all.push(field.to_owned());
        }
    }
    for _ in 0..random.below(6) {
        all.push(format!("\"{}\" : {}", random.pick(&NAMES), value(random, 3)));
    }
    format!("{{{}}}", all.join(","))
}

/// Some field maps of every kind.
fn mapped() -> DecodeSpec {
    let mut spec = spec();
    spec.fields = vec![
        from("properties", "props"),
        from("properties.shop", "other"),
        concat("messageId", &["id", "messageId"]),
        from("context.traits", "."),
        map("channel", FieldValue::Const("web".into())),
    ];
    spec.properties.push(path("properties"));
    spec.properties.push(path("traits.name"));
    spec
}

/// Field maps from what stands beside a value.
fn mapped_beside() -> DecodeSpec {
    let key = |text: &str| FieldSource::Key(path(text));
    let header = |name: &str| FieldSource::Header(name.to_owned());
    let mut spec = mapped();
    spec.fields.extend([
        map("userId", FieldValue::From(key("."))),
        map("traits", FieldValue::From(key("traits"))),
        map("tenant", FieldValue::From(header("x.tenant"))),
        map("receivedAt", FieldValue::From(FieldSource::Record(RecordPart::Timestamp))),
        map("seq", FieldValue::From(FieldSource::Record(RecordPart::Offset))),
        map("properties.price", FieldValue::From(header("price"))),
    ]);
    spec.fields[2].value = FieldValue::Concat {
        parts: vec![
            FieldSource::Value(path("id")),
            header("price"),
            key("traits.name"),
            FieldSource::Record(RecordPart::Topic),
            FieldSource::Record(RecordPart::Partition),
        ],
        separator: "|".to_owned(),
    };
    spec.fields[4].value = FieldValue::From(header("channel"));
    spec.properties.push(path("context.library"));
    spec.fields.push(map("context", FieldValue::From(key("."))));
    spec.fields.remove(3);
    spec
}

/// What stands beside a value: mostly something.
fn beside(random: &mut Seeded) -> Record {
    let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    let key = match random.below(4) {
        0 => "null".to_owned(),
        1 => value(random, 2),
        _ => format!("{{\"traits\":{},\"library\":2}}", object(random, 2)),
    };
    let whole_key = random.pick(&["null", "\"u9\"", "\"\"", "7", "[1]", "{}"]);
    let mut headers = Vec::new();
    for _ in 0..random.below(6) {
        let name = random.pick(&["x.tenant", "price", "channel", "other"]);
        headers.push((name, random.pick(&[None, Some(""), Some("a"), Some("12"), Some("é\"")])));
    }
    Record {
        key: json(&key),
        whole_key: json(whole_key),
        headers,
        timestamp: json(random.pick(&["null", "\"2026-03-02T00:00:00.001Z\""])),
        topic: json("\"web.eu\""),
        offset: random.below(1 << 40).into(),
        ..Record::default()
    }
}

fn agrees(spec: &DecodeSpec, line: &str, beside: &Record) {
    let wanted = Decoder::new(spec).unwrap().beside().clone();
    let text = wanted.text(
        (beside.whole_key.clone(), beside.key.clone()),
        beside.headers.iter().copied(),
        |part| beside.known(part),
    );
    let (mut rows, mut around) = (Rows::default(), Rows::default());
    rows.push(line.as_bytes());
    around.push(text.as_bytes());
    let (rows, around) = (Arc::new(rows), Some(Arc::new(around)));
    let records = RawRecords::Messages { rows, beside: around };
    let got = outcome(&decode(spec, &RawBatch { records, ..batch(&["unused"]) }), line);
    let got = got.map(|mut event| {
        event.origin = Origin::default();
        event.content = 0;
        event
    });
    assert_eq!(got, oracle(spec, line, beside), "{line} {text}");
}

#[test]
fn decoding_agrees_with_the_oracle() {
    for seed in 0..4000 {
        let mut random = Seeded(seed);
        let line = record(&mut random);
        agrees(&spec(), &line, &Record::default());
        agrees(&mapped(), &line, &Record::default());
        agrees(&mapped_beside(), &line, &beside(&mut random));
    }
}

#[test]
fn every_line_of_any_bytes_is_one_outcome() {
    for seed in 0..3000 {
        let mut random = Seeded(seed);
        let length = random.below(300);
        let byte = |random: &mut Seeded| {
            if random.once_in(2) { random.bits() as u8 } else { random.pick(b"{}[]\",:\\\n\re1") }
        };
        let bytes: Vec<u8> = (0..length).map(|_| byte(&mut random)).collect();
        let mut rows = Rows::default();
        bytes.split(|byte| *byte == b'\n').for_each(|line| rows.push(line));
        let (rows, count) = (Arc::new(rows), bytes.split(|byte| *byte == b'\n').count());
        let columns = ["messageId", "timestamp", "userId"].map(str::to_owned).to_vec();
        let records = match random.pick(&[None, Some(b','), Some(b'\t')]) {
            None => RawRecords::Json(rows),
            Some(delimiter) => {
                RawRecords::Delimited { header: Arc::new(Header { delimiter, columns }), rows }
            }
        };
        let batch =
            RawBatch { source: 0, partition: 0, first: 1, offsets: None, records, bytes: 0 };
        let mut constant = spec();
        constant.fields.push(map("timestamp", FieldValue::Const("2026-03-01T10:00:00Z".into())));
        for spec in [spec(), constant] {
            let out = decode(&spec, &batch);
            let outcomes = out.events.len() + out.letters.len() + (out.erased + out.blank) as usize;
            assert_eq!(outcomes, count, "seed {seed}");
        }
    }
}

#[test]
fn records_with_flipped_bytes_are_decoded_or_refused() {
    for seed in 0..3000 {
        let mut random = Seeded(seed);
        let mut line = record(&mut random).into_bytes();
        let at = random.below(line.len() as u64) as usize;
        line[at] = random.bits() as u8;
        let out = decode(&mapped(), &batch(&[line]));
        let outcomes = out.events.len() + out.letters.len() + (out.erased + out.blank) as usize;
        assert_eq!(outcomes, 1, "seed {seed}");
    }
}
