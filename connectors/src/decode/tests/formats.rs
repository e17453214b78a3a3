//! The same records in every format, and real files.

use std::path::PathBuf;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, DictionaryArray, Float64Array,
    Int64Array, ListArray, StringArray, StructArray, TimestampMicrosecondArray,
    TimestampMillisecondArray,
};
use arrow::datatypes::{DataType, Field, Fields, Int32Type};

use super::*;
use crate::file::{FileSource, FileSpec, Header, Position};

fn table(columns: Vec<(&str, ArrayRef)>) -> RawBatch {
    let records = RawRecords::Table(RecordBatch::try_from_iter(columns).unwrap());
    RawBatch { source: 1, partition: 2, first: 10, offsets: None, records, bytes: 0 }
}

fn csv(header: &[&str], rows: &[&str]) -> RawBatch {
    let mut records = Rows::default();
    rows.iter().for_each(|row| records.push(row.as_bytes()));
    let columns = header.iter().map(|&name| name.to_owned()).collect();
    let header = Arc::new(Header { delimiter: b',', columns });
    let records = RawRecords::Delimited { header, rows: Arc::new(records) };
    RawBatch { source: 1, partition: 2, first: 10, offsets: None, records, bytes: 0 }
}

fn contents(out: &Decoded) -> Vec<u64> {
    out.events.iter().map(|(event, _)| event.content).collect()
}

#[test]
fn one_record_in_three_formats() {
    let json = decode(
        &spec(),
        &batch(&[
            r#"{"messageId":"a,b","timestamp":"2026-03-01T10:00:00Z","userId":7,"event":"buy",
            "traits":{"email":"e"},"properties":{"price":12.5,"shop":{"name":"\"s\""}}}"#,
            r#"{"messageId":"2","timestamp":"2026-03-01T10:00:01Z","properties":{"price":3}}"#,
        ]),
    );
    let header = [
        "messageId",
        "timestamp",
        "userId",
        "event",
        "traits.email",
        "properties.price",
        "properties.shop.name",
        "unused",
    ];
    let flat = decode(
        &spec(),
        &csv(
            &header,
            &[
                r#""a,b",2026-03-01T10:00:00Z,7,buy,e,12.5,"""s""",x"#,
                "2,2026-03-01T10:00:01Z,,,,3,,",
            ],
        ),
    );
    let fields = Fields::from(vec![Field::new("name", DataType::Utf8, true)]);
    let names = Arc::new(StringArray::from(vec![Some("\"s\""), None])) as ArrayRef;
    let shop = Arc::new(StructArray::new(fields.clone(), vec![names], None)) as ArrayRef;
    let price = Arc::new(Float64Array::from(vec![12.5, 3.0])) as ArrayRef;
    let fields = Fields::from(vec![
        Field::new("shop", DataType::Struct(fields), true),
        Field::new("price", DataType::Float64, true),
    ]);
    let times = vec![micros("2026-03-01T10:00:00Z"), micros("2026-03-01T10:00:01Z")];
    let events: DictionaryArray<Int32Type> = vec![Some("buy"), None].into_iter().collect();
    let emails = vec![Some(vec![Some("e")]), None];
    let mut emails_builder = arrow::array::ListBuilder::new(arrow::array::StringBuilder::new());
    emails.into_iter().for_each(|list| emails_builder.append_option(list));
    let rows = decode(
        &spec(),
        &table(vec![
            ("messageId", Arc::new(StringArray::from(vec!["a,b", "2"])) as _),
            (
                "timestamp",
                Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC")) as _,
            ),
            ("userId", Arc::new(Int64Array::from(vec![Some(7), None])) as _),
            ("event", Arc::new(events) as _),
            ("traits.email", Arc::new(emails_builder.finish()) as _),
            ("properties", Arc::new(StructArray::new(fields, vec![shop, price], None)) as _),
        ]),
    );
    assert_eq!(json.events.len(), 2);
    assert_eq!(json.events, flat.events);
    assert_eq!(json.events, rows.events);
    assert_eq!(contents(&json), contents(&rows));
}

/// Numbers of CSV that are ids or versions became others by rounding.
#[test]
fn a_csv_field_is_a_number_if_it_is_written_just_so() {
    let header = ["messageId", "timestamp", "properties.price"];
    let value = |field: &str| {
        let out = decode(&spec(), &csv(&header, &[&format!("1,2026-03-01T10:00:00Z,{field}")]));
        out.events[0].0.properties.value(0).cloned()
    };
    for number in [0, 7, -12, i64::MIN, i64::MAX] {
        assert_eq!(value(&number.to_string()), Some(Value::Int(number)));
    }
    assert_eq!(value("-0.25"), Some(Value::Float(-0.25)));
    let texts =
        ["007", "1.10", "10.0", "1e3", "-0", "12345678901234567890", "123456789012345678901"];
    for text in texts {
        assert_eq!(value(text), Some(Value::Str(text.into())));
    }
}

#[test]
fn csv_rows_that_are_wrong() {
    let header = ["messageId", "timestamp"];
    let out = decode(&spec(), &csv(&header, &["1,2026-03-01T10:00:00Z,3", "1", "\"1,x", ",x", ""]));
    let reasons: Vec<_> = out.letters.iter().map(|letter| letter.reason).collect();
    let malformed = Reason::Malformed;
    assert_eq!(reasons, [malformed, malformed, malformed, Reason::MissingMessageId]);
    assert_eq!(&*out.letters[0].detail, "3 fields, the header has 2");
    assert_eq!(&*out.letters[0].payload, b"1,2026-03-01T10:00:00Z,3");
    assert_eq!(out.blank, 1);
}

#[test]
fn a_decoder_follows_changing_headers() {
    let mut decoder = Decoder::new(&spec()).unwrap();
    let mut out = Decoded::default();
    for header in [
        ["messageId", "timestamp", "x"],
        ["timestamp", "x", "messageId"],
        ["messageId", "messageId", "timestamp"],
    ] {
        let row = header.map(|name| if name == "timestamp" { "2026-03-01T10:00:00Z" } else { "v" });
        decoder.decode(&csv(&header, &[&row.join(",")]), READ_AT, &mut out);
    }
    assert_eq!((out.events.len(), out.letters.len()), (3, 0));
}

#[test]
fn parquet_types() {
    let mut spec = spec();
    spec.fields = vec![
        time_from("timestamp", "local", "naive", Some("Europe/Berlin")),
        from("properties.price", "decimal"),
        from("properties.shop.name", "date"),
    ];
    spec.properties.push(path("properties.list"));
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), None])]);
    let decimal = Decimal128Array::from(vec![1250]).with_precision_and_scale(9, 2).unwrap();
    let local = micros("2026-07-01T12:00:00Z") / 1000;
    let out = decode(
        &spec,
        &table(vec![
            ("messageId", Arc::new(Int64Array::from(vec![5])) as _),
            ("local", Arc::new(TimestampMillisecondArray::from(vec![local])) as _),
            ("decimal", Arc::new(decimal) as _),
            ("date", Arc::new(Date32Array::from(vec![19_000])) as _),
            ("properties.list", Arc::new(list) as _),
            ("userId", Arc::new(Float64Array::from(vec![77.0])) as _),
        ]),
    );
    let event = &out.events[0].0;
    assert_eq!(event.key.time, micros("2026-07-01T10:00:00Z"));
    assert_eq!(event.idents[0].token, token("user_id", "77"));
    let text = |text: &str| Some(Value::Str(text.into()));
    let values = [Some(Value::Float(12.5)), text("2022-01-08"), text("[1,null]")];
    assert_eq!(event.properties, values.into());
}

#[test]
fn a_parquet_row_that_is_refused_comes_back_as_json() {
    let long = "x".repeat(Reason::MAX_BYTES);
    let out = decode(
        &spec(),
        &table(vec![
            ("messageId", Arc::new(StringArray::from(vec![None, Some("m")])) as _),
            ("flag", Arc::new(BooleanArray::from(vec![true, false])) as _),
            ("text", Arc::new(StringArray::from(vec!["short", &long])) as _),
        ]),
    );
    let letters = &out.letters;
    assert_eq!(letters[0].reason, Reason::MissingMessageId);
    assert_eq!(&*letters[0].payload, br#"{"messageId":null,"flag":true,"text":"short"}"#);
    assert_eq!((letters[1].reason, letters[1].payload.len()), (Reason::TooLarge, Rows::KEPT_BYTES));
}

/// Decodes a file of the repository's test data.
fn real(spec: &DecodeSpec, name: &str) -> Decoded {
    let base = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/data");
    let files = FileSpec::new("real", 0, &base, &[name]);
    let mut source = FileSource::open(&files, Position::default()).unwrap();
    let mut decoder = Decoder::new(spec).unwrap();
    let mut out = Decoded::default();
    while let Some(batch) = source.next(4096).unwrap() {
        decoder.decode(&batch, READ_AT, &mut out);
    }
    out
}

fn distinct<T: Eq + std::hash::Hash>(values: impl Iterator<Item = T>) -> usize {
    values.collect::<HashSet<_>>().len()
}

#[test]
fn commits() {
    let types = ["name", "email"].map(|name| IdentityType::new(name, 1)).to_vec();
    let identity = Arc::new(IdentityConfig { types, cluster_max: u32::MAX });
    let fields = |name: &str, from: &str| IdentityFields {
        name: name.into(),
        from: vec![path(from)],
        ignore_case: false,
    };
    let identities = vec![fields("name", "traits.name"), fields("email", "traits.email")];
    let mut spec = DecodeSpec::new(identity, identities, Secret::new("test"));
    spec.fields = vec![
        from("messageId", "commit"),
        time_from("timestamp", "authored_unix_s", "unix_s", None),
        map("event", FieldValue::Const("commit".into())),
        from("traits", "."),
    ];
    let out = real(&spec, "commits.tsv.gz");
    assert_eq!((out.events.len(), out.letters.len()), (62_658, 0));
    assert_eq!(distinct(out.events.iter().flat_map(|(event, _)| &event.idents)), 3555);
    assert!(out.events.iter().all(|(event, _)| &*event.kind.name == "commit"));
    assert_eq!(out.events[0].0.key.time, 1_787_418_392 * SECOND);
}

#[test]
fn shop() {
    let mut spec = spec();
    spec.fields = vec![
        concat("messageId", &["session_id", "timestamp", "event"]),
        from("userId", "user_id"),
        time_from("timestamp", "timestamp", "%Y-%m-%d %H:%M:%S", Some("UTC")),
        from("properties", "."),
    ];
    spec.properties = vec![path("properties.platform"), path("properties.session_id")];
    let out = real(&spec, "shop.csv.gz");
    assert_eq!((out.events.len(), out.letters.len()), (31_106, 0));
    assert_eq!(distinct(out.events.iter().map(|(event, _)| event.idents[0])), 600);
    let first = &out.events[0].0;
    assert_eq!(first.key.time, micros("2024-03-13T10:21:14Z"));
    assert_eq!(first.message_id.to_string(), "sess_000001|2024-03-13 10:21:14|home");
    assert_eq!(first.properties.value(0), Some(&Value::Str("desktop".into())));
}

#[test]
fn snowplow() {
    let mut spec = spec();
    spec.fields = vec![
        from("messageId", "event_id"),
        from("event", "event_name"),
        from("userId", "user_id"),
        from("anonymousId", "domain_userid"),
        time_from("timestamp", "derived_tstamp", "naive", Some("UTC")),
        time_from("receivedAt", "collector_tstamp", "naive", Some("UTC")),
    ];
    let out = real(&spec, "snowplow-web/events.csv.gz");
    assert_eq!(out.events.len() + out.letters.len(), 160);
    let (event, received) = &out.events[0];
    assert_eq!(event.message_id.to_string(), "9e983d4a-e07c-4858-8e97-bdb7feb31241");
    assert_eq!(&*event.kind.name, "link_click");
    assert_eq!(event.key.time, micros("2021-03-03T21:27:32.695Z"));
    assert_eq!(*received, micros("2021-03-03T21:27:32.696Z"));
    assert!(
        out.letters.iter().all(|letter| letter.reason == Reason::MissingTime),
        "{:?}",
        out.letters
    );
}

/// What came one by one is a record even when it is empty, and keeps its own offset.
#[test]
fn messages_have_offsets_with_gaps_and_are_never_blank() {
    let mut rows = Rows::default();
    let good = r#"{"messageId":"m","timestamp":"2026-01-01T00:00:00Z","event":"buy"}"#;
    ["", good, "  ", good].iter().for_each(|line| rows.push(line.as_bytes()));
    let batch = RawBatch {
        offsets: Some(vec![3, 7, 8, 100].into()),
        records: RawRecords::Messages { rows: Arc::new(rows), beside: None },
        ..batch(&["unused"])
    };
    let out = decode(&spec(), &batch);
    let origins: Vec<u64> = out.events.iter().map(|(event, _)| event.origin.offset).collect();
    assert_eq!((origins, out.blank), (vec![7, 100], 0));
    let letters: Vec<_> = out.letters.iter().map(|l| (l.origin.offset, l.reason)).collect();
    assert_eq!(letters, [(3, Reason::NoValue), (8, Reason::Malformed)]);
    assert_eq!(&*out.letters[0].detail, "a tombstone, or an empty value");
}
