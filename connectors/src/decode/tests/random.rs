//! Random records and random bytes.

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::oracle::oracle;
use super::*;
use crate::file::Header;

fn config(cases: u32) -> ProptestConfig {
    let rng_seed = RngSeed::Fixed(1);
    ProptestConfig { cases, rng_seed, failure_persistence: None, ..ProptestConfig::default() }
}

/// Any value, mostly one that means something.
fn value() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        4 => prop::sample::select(vec![
            "\"u1\"", "\"u2\"", "\"\"", "\"null\"", "null", "true", "0", "7", "-3", "12.5", "4.0", "-0.0",
            "1e20", "18446744073709551615", "\"a\\u00e9\\n\\\"b\"", "\"2026-03-01T10:00:00Z\"",
            "\"2026-03-01T12:00:05.25+02:00\"", "\"merge\"", "\"alias\"", "\"page\"", "\"email\"",
        ]).prop_map(str::to_owned),
        1 => "[a-z0-9 ]{0,8}".prop_map(|text| format!("\"{text}\"")),
        1 => any::<i64>().prop_map(|number| number.to_string()),
    ];
    scalar.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(|v| format!("[{}]", v.join(","))),
            object(inner),
        ]
    })
}

fn object(inner: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec![
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
    ]);
    prop::collection::vec((name, inner), 0..4).prop_map(|fields| {
        let fields: Vec<_> = fields.iter().map(|(n, v)| format!("\"{n}\":{v}")).collect();
        format!("{{{}}}", fields.join(", "))
    })
}

/// A record whose fields come from the envelope, some of them twice, and with the frequent ones
/// mostly as they should be.
fn record() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec![
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
    ]);
    let usual = prop::sample::subsequence(
        vec![
            "\"messageId\":\"m\"",
            "\"id\":\"i\"",
            "\"timestamp\":\"2026-03-01T10:00:00.5Z\"",
            "\"properties\":{\"price\":3,\"shop\":{\"name\":\"n\"}}",
            "\"traits\":{\"email\":[\"a\",1,null]}",
            "\"type\":\"unmerge\"",
            "\"identifiers\":[{\"type\":\"email\",\"value\":\"v\"},{\"type\":\"user_id\",\"value\":1}]",
            "\"userId\":\"u\"",
        ],
        0..=8,
    );
    let fields = prop::collection::vec((name, value()), 0..6);
    (usual, fields).prop_map(|(usual, fields)| {
        let fields = fields.iter().map(|(name, value)| format!("\"{name}\" : {value}"));
        let all: Vec<_> = usual.iter().map(|&field| field.to_owned()).chain(fields).collect();
        format!("{{{}}}", all.join(","))
    })
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

fn agrees(spec: &DecodeSpec, line: &str) -> Result<(), TestCaseError> {
    let got = one(spec, line).map(|mut event| {
        event.origin = Origin::default();
        event.content = 0;
        event
    });
    prop_assert_eq!(got, oracle(spec, line), "{}", line);
    Ok(())
}

proptest! {
    #![proptest_config(config(3000))]

    #[test]
    fn decoding_agrees_with_the_oracle(line in record()) {
        agrees(&spec(), &line)?;
        agrees(&mapped(), &line)?;
    }

    #[test]
    fn every_line_of_any_bytes_is_one_outcome(
        bytes in prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(b"{}[]\",:\\\n\re1".to_vec())], 0..300),
        delimiter in prop::sample::select(vec![None, Some(b','), Some(b'\t')]),
    ) {
        let mut rows = Rows::default();
        bytes.split(|byte| *byte == b'\n').for_each(|line| rows.push(line));
        let (rows, count) = (Arc::new(rows), bytes.split(|byte| *byte == b'\n').count());
        let columns = ["messageId", "timestamp", "userId"].map(str::to_owned).to_vec();
        let records = match delimiter {
            None => RawRecords::Json(rows),
            Some(delimiter) => {
                RawRecords::Delimited { header: Arc::new(Header { delimiter, columns }), rows }
            }
        };
        let batch = RawBatch { source: 0, partition: 0, first: 1, records, bytes: 0 };
        let mut constant = spec();
        constant.fields.push(map("timestamp", FieldValue::Const("2026-03-01T10:00:00Z".into())));
        for spec in [spec(), constant] {
            let out = decode(&spec, &batch);
            let outcomes = out.events.len() + out.letters.len() + (out.erased + out.blank) as usize;
            prop_assert_eq!(outcomes, count);
        }
    }

    #[test]
    fn records_with_flipped_bytes_are_decoded_or_refused(
        line in record(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let mut line = line.into_bytes();
        let at = at.index(line.len());
        line[at] = byte;
        let out = decode(&mapped(), &batch(&[line]));
        let outcomes = out.events.len() + out.letters.len() + (out.erased + out.blank) as usize;
        prop_assert_eq!(outcomes, 1);
    }
}
