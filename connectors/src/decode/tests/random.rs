//! Random records and random bytes.

use operators::identity::testing::Seeded;

use super::oracle::oracle;
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
    const USUAL: [&str; 8] = [
        "\"messageId\":\"m\"",
        "\"id\":\"i\"",
        "\"timestamp\":\"2026-03-01T10:00:00.5Z\"",
        "\"properties\":{\"price\":3,\"shop\":{\"name\":\"n\"}}",
        "\"traits\":{\"email\":[\"a\",1,null]}",
        "\"type\":\"unmerge\"",
        "\"identifiers\":[{\"type\":\"email\",\"value\":\"v\"},{\"type\":\"user_id\",\"value\":1}]",
        "\"userId\":\"u\"",
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

fn agrees(spec: &DecodeSpec, line: &str) {
    let got = one(spec, line).map(|mut event| {
        event.origin = Origin::default();
        event.content = 0;
        event
    });
    assert_eq!(got, oracle(spec, line), "{line}");
}

#[test]
fn decoding_agrees_with_the_oracle() {
    for seed in 0..4000 {
        let line = record(&mut Seeded(seed));
        agrees(&spec(), &line);
        agrees(&mapped(), &line);
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
