//! Decoding beside bare JSON parsing of the same bytes.

use std::sync::Arc;

use connectors::decode::{DecodeSpec, Decoded, Decoder, FieldPath, IdentityFields};
use connectors::file::{RawBatch, RawRecords, Rows};
use operators::identity::{IdentityConfig, IdentityType, NO_LIMIT};
use operators::model::{SECOND, Secret};
use operators::views::predicate::{Matcher, Predicate};
use serde::de::IgnoredAny;

use crate::harness::{Bench, By, Case, Goal, Meter, RATIO, Sample};
use crate::workload::ndjson::Lines;

/// Decoding.
pub const DECODE: Bench = Bench {
    name: "decode",
    about: "JSON lines to canonical events, beside bare JSON parsing of the same bytes",
    unit: "events",
    size: 500_000,
    cases: &[
        Case::limit("serde skip", "serde_json into IgnoredAny: the syntax alone", |size| {
            Ok(parse(size, |line| serde_json::from_slice::<IgnoredAny>(line).is_ok()))
        }),
        Case::limit("serde value", "serde_json into a tree of values", |size| {
            Ok(parse(size, |line| serde_json::from_slice::<serde_json::Value>(line).is_ok()))
        }),
        Case::ours(
            "decode",
            "envelope, tokens, time, two properties, three predicates",
            "serde skip",
            &[],
            decode,
        ),
        Case::ours(
            "decode again",
            "the same beside the parse that keeps what it reads",
            "serde value",
            &[Goal::Min(RATIO, 1.0)],
            decode,
        ),
    ],
    by: By::Cpu,
};

/// Records in one batch, as the runtime hands them to a worker.
const BATCH: usize = 4096;

fn batches(size: u64) -> (Vec<RawBatch>, u64) {
    let mut lines = Lines::new(1, size / 20, 1);
    let (mut batches, mut left, mut bytes) = (Vec::new(), size as usize, 0);
    let mut text = String::new();
    while left > 0 {
        let count = left.min(BATCH);
        let mut rows = Rows::default();
        for _ in 0..count {
            text.clear();
            lines.next(&mut text);
            bytes += text.len() as u64;
            rows.push(text.as_bytes());
        }
        let first = (size as usize - left) as u64 + 1;
        let records = RawRecords::Json(Arc::new(rows));
        batches.push(RawBatch { source: 0, partition: 0, first, offsets: None, records, bytes: 0 });
        left -= count;
    }
    (batches, bytes)
}

fn finish(sample: Sample, bytes: u64) -> Sample {
    let (mb_per_s, bytes_per_event) =
        (bytes as f64 / 1e6 / sample.seconds, bytes as f64 / sample.items as f64);
    sample.with("MB_per_s", mb_per_s).with("bytes_per_event", bytes_per_event)
}

fn parse(size: u64, one: fn(&[u8]) -> bool) -> Sample {
    let (batches, bytes) = batches(size);
    let meter = Meter::start();
    let mut good = 0;
    for batch in &batches {
        if let RawRecords::Json(rows) = &batch.records {
            good += rows.iter().filter(|(line, _)| one(line)).count() as u64;
        }
    }
    finish(meter.stop(size, good), bytes)
}

fn spec() -> DecodeSpec {
    let types = [("user_id", 0), ("email", 1), ("anonymous_id", 2)];
    let types = types.map(|(name, rank)| IdentityType::new(name, rank)).to_vec();
    let identity = Arc::new(IdentityConfig { types, cluster_max: NO_LIMIT });
    let fields = |name: &str, from: &[&str]| IdentityFields {
        name: name.to_owned(),
        from: from.iter().map(|text| FieldPath::parse(text)).collect(),
        ignore_case: false,
    };
    let identities = vec![
        fields("user_id", &["userId"]),
        fields("email", &["traits.email", "context.traits.email"]),
        fields("anonymous_id", &["anonymousId"]),
    ];
    let mut spec = DecodeSpec::new(identity, identities, Secret::new("bench"));
    spec.properties =
        vec![FieldPath::parse("properties.price"), FieldPath::parse("properties.path")];
    let mut matcher = Matcher::default();
    for name in ["catalog", "cart", "payment_done"] {
        matcher.index(Predicate { events: vec![name.into()], ..Predicate::default() });
    }
    spec.matcher = Arc::new(matcher);
    spec.channel = Some("web".into());
    spec
}

fn decode(size: u64) -> Result<Sample, String> {
    let (batches, bytes) = batches(size);
    let mut decoder = Decoder::new(&spec()).map_err(|e| e.to_string())?;
    let mut out = Decoded::default();
    let meter = Meter::start();
    let mut good = 0;
    for batch in &batches {
        out.clear();
        decoder.decode(batch, 1_800_000_000 * SECOND, &mut out);
        good += out.events.len() as u64;
    }
    Ok(finish(meter.stop(size, good), bytes))
}
