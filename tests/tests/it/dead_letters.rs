//! Records that can't be used: each is one row of `dead_letters` with where it came from, why, and
//! its bytes. The others go on.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use flate2::Compression;
use flate2::write::GzEncoder;
use operators::model::{Cell, Reason};
use parquet::arrow::ArrowWriter;

use crate::support::Job;

/// A job over one file.
pub(crate) fn job(file: &str, content: &[u8]) -> Job {
    let job = Job::new(&format!(
        r#"
[job]
name = "letters"
out = "out"
without = ["identifiers", "people", "id_changes", "duplicates"]

[[source]]
name = "records"
connector = "file"
path = "{file}"

[time]
disorder = "0s"
admit = "1h"

[[view]]
kind = "trend"
name = "price"
metric = "sum"
property = "price"
"#
    ));
    job.write(file, content);
    job
}

pub(crate) fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// What is expected of a record: nothing if it is good.
type Case = (Vec<u8>, Option<Reason>);

/// The rows of `dead_letters` that follow from the records of a file, with the bytes if `bytes`
/// says what is kept of a record.
fn expected(cases: &[Case], bytes: impl Fn(&[u8], Reason) -> Option<Vec<u8>>) -> Vec<Vec<Cell>> {
    let mut rows = Vec::new();
    for (place, (record, reason)) in cases.iter().enumerate() {
        let Some(reason) = reason else { continue };
        let mut row = vec![
            Cell::str("records"),
            Cell::Int(0),
            Cell::Int(place as i64 + 1),
            Cell::str(reason.word()),
        ];
        row.extend(bytes(record, *reason).map(|bytes| Cell::Bytes(bytes.into())));
        rows.push(row);
    }
    rows
}

/// What is kept of a line: its bytes, of one too large the first 4096.
#[expect(clippy::unnecessary_wraps, reason = "a case of the cases gives none")]
fn kept(record: &[u8], reason: Reason) -> Option<Vec<u8>> {
    let most = if reason == Reason::TooLarge { 4096 } else { usize::MAX };
    Some(record[..record.len().min(most)].to_vec())
}

/// Runs a job over cases in these epochs, and compares dead letters and the number of events.
fn check(file: &str, content: &[u8], cases: &[Case], epoch: usize) {
    let job = job(file, content);
    let summary = job.run(2, epoch);
    let good = cases.iter().filter(|(_, reason)| reason.is_none()).count();
    assert_eq!(summary.read as usize, cases.len(), "{file}");
    assert_eq!(summary.admitted as usize, good, "{file}");
    assert_eq!(summary.dead_letters.values().sum::<u64>() as usize, cases.len() - good, "{file}");
    assert_eq!(job.table("events").rows.len(), good, "{file}");
    let letters = job.table("dead_letters");
    let found = letters.select(&["source", "partition", "offset", "reason"]);
    assert_eq!(found, expected(cases, |_, _| None), "{file}");
    assert!(
        letters.column("detail").iter().all(|d| *d != Cell::str("")),
        "each says what is wrong"
    );
    if !file.contains("parquet") {
        // What was decoded before it was refused has no bytes any more.
        let whole =
            |row: &&Vec<Cell>| ![Cell::str("too_late"), Cell::str("too_early")].contains(&row[3]);
        let found = letters.select(&["source", "partition", "offset", "reason", "payload"]);
        let expected = expected(cases, kept);
        let (found, expected): (Vec<_>, Vec<_>) =
            (found.iter().filter(whole).collect(), expected.iter().filter(whole).collect());
        assert!(found == expected, "{file}: the bytes are kept");
    }
}

/// A line of JSON that is an event when `more` is good.
fn json(id: &str, more: &str) -> Vec<u8> {
    format!("{{\"messageId\":\"{id}\",\"timestamp\":\"2026-03-01T12:00:00Z\"{more}}}").into_bytes()
}

/// A text value of `{"context":…}` nested `depth` deep in all.
fn nested(depth: usize) -> String {
    format!(",\"context\":{}1{}", "[".repeat(depth - 1), "]".repeat(depth - 1))
}

fn json_cases() -> Vec<Case> {
    use Reason::*;
    let good = |id: &str, more: &str| (json(id, more), None);
    let bad = |record: Vec<u8>, reason| (record, Some(reason));
    let head = "{\"messageId\":\"x\",\"timestamp\":";
    let padded = |len: usize| {
        let empty = json("long", ",\"context\":\"\"").len();
        json("long", &format!(",\"context\":\"{}\"", "x".repeat(len - empty)))
    };
    let mut utf8 = json("x", ",\"event\":\"ab\"");
    let place = utf8.len() - 3;
    utf8[place] = 0xff;
    vec![
        good("first", ",\"receivedAt\":\"2026-03-01T12:00:00Z\""),
        bad(b"not json".to_vec(), Malformed),
        bad(b"{\"messageId\":".to_vec(), Malformed),
        bad(b"[1, 2]".to_vec(), Malformed),
        bad(b"3".to_vec(), Malformed),
        bad(json("x", "}{"), Malformed),
        bad(b"\0\0\0\0".to_vec(), Malformed),
        bad(json("x\0y", ""), Malformed),
        bad(utf8, Malformed),
        bad(b"\xff\xfe{\0".to_vec(), Malformed),
        good("nul", ",\"event\":\"a\\u0000b\""),
        (padded(Reason::MAX_BYTES - 1), None),
        bad(padded(Reason::MAX_BYTES), TooLarge),
        bad(padded(3_000_000), TooLarge),
        bad(json("x", &nested(100)), TooDeep),
        bad(format!("{}{}", "[".repeat(400_000), "]".repeat(400_000)).into_bytes(), TooDeep),
        good("deep", &nested(98)),
        bad(b"{\"timestamp\":\"2026-03-01T12:00:00Z\"}".to_vec(), MissingMessageId),
        bad(b"{}".to_vec(), MissingMessageId),
        bad(b"{\"messageId\":\"x\"}".to_vec(), MissingTime),
        bad(format!("{head}\"yesterday\"}}").into_bytes(), BadTime),
        bad(format!("{head}\"2026-02-30T12:00:00Z\"}}").into_bytes(), BadTime),
        bad(format!("{head}[]}}").into_bytes(), BadTime),
        bad(json("x", ",\"seq\":-1"), BadField),
        bad(json("x", ",\"event\":{\"name\":\"a\"}"), BadField),
        bad(b"{\"messageId\":{},\"timestamp\":\"2026-03-01T12:00:00Z\"}".to_vec(), BadField),
        bad(json("x", ",\"type\":\"merge\""), BadCommand),
        bad(json("x", ",\"type\":\"alias\",\"userId\":\"u\""), BadCommand),
        bad(json("x", ",\"type\":\"unmerge\",\"identifiers\":[{\"type\":\"shoe\"}]"), BadCommand),
        bad(format!("{head}\"2026-03-01T10:59:59Z\"}}").into_bytes(), TooLate),
        (format!("{head}\"2026-03-01T11:00:00Z\"}}").into_bytes(), None),
        bad(
            format!("{head}\"2026-03-09T12:00:00Z\",\"receivedAt\":\"2026-03-01T12:00:00Z\"}}")
                .into(),
            TooEarly,
        ),
        good("last", ",\"properties\":{\"price\":1}"),
    ]
}

fn joined(cases: &[Case]) -> Vec<u8> {
    let lines: Vec<&[u8]> = cases.iter().map(|(record, _)| &**record).collect();
    lines.join(&b'\n')
}

/// Every reason there is, save that a record has no value, which only topics have; an epoch for
/// each record, so that the watermark knows of the first one.
#[test]
fn lines_of_json() {
    let cases = json_cases();
    for reason in Reason::ALL.into_iter().filter(|reason| *reason != Reason::NoValue) {
        assert!(cases.iter().any(|(_, r)| *r == Some(reason)), "{reason:?} is among them");
    }
    let content = joined(&cases);
    check("records.ndjson", &content, &cases, 1);
    check("records.ndjson.gz", &gzip(&content), &cases, 1);
    check("records.json.zst", &zstd::encode_all(&*content, 1).unwrap(), &cases, 1);
}

/// Blank lines are no records, but they have numbers; line ends may be those of other systems.
#[test]
fn blank_lines_are_no_records() {
    let lines = [json("a", ""), vec![], b"  \t ".to_vec(), b"bad".to_vec(), json("b", "")];
    let content = lines.join(&b"\r\n"[..]);
    let job = job("records.jsonl", &content);
    let summary = job.run(1, 3);
    assert_eq!((summary.read, summary.admitted), (3, 2));
    let letters = job.table("dead_letters").select(&["offset", "payload"]);
    assert_eq!(letters, [[Cell::Int(4), Cell::Bytes(b"bad"[..].into())]]);
}

fn rows_of_text(delimiter: char) -> (String, Vec<Case>) {
    use Reason::*;
    let row = |fields: [&str; 7]| fields.join(&delimiter.to_string()).into_bytes();
    let at = "2026-03-01T12:00:00Z";
    let quoted = format!("\"say \"\"{delimiter}\"\"\"");
    let huge = "x".repeat(Reason::MAX_BYTES);
    let mut utf8 = row(["x", at, "ab", "1", "", "", ""]);
    utf8[23] = 0xff;
    let names = ["messageId", "timestamp", "event", "seq", "type", "identifiers", "receivedAt"];
    let header = names.join(&delimiter.to_string());
    let cases = vec![
        (row(["first", at, "a", "", "", "", at]), None),
        (row(["quoted", at, &quoted, "1", "", "", ""]), None),
        (row(["two lines", at, "\"a\nb\"", "1", "", "", ""]), None),
        (b"x".to_vec(), Some(Malformed)),
        (row(["x", at, "a", "1", "", "", "\t,"]), Some(Malformed)),
        (utf8, Some(Malformed)),
        (row(["x", at, &huge, "1", "", "", ""]), Some(TooLarge)),
        (row(["", at, "a", "1", "", "", ""]), Some(MissingMessageId)),
        (row(["x", "", "a", "1", "", "", ""]), Some(MissingTime)),
        (row(["x", "2026-03-01", "a", "1", "", "", ""]), Some(BadTime)),
        (row(["x", at, "a", "one", "", "", ""]), Some(BadField)),
        (row(["x", at, "a", "1", "merge", "[1]", ""]), Some(BadCommand)),
        (row(["x", "2026-03-01T10:59:59Z", "a", "1", "", "", ""]), Some(TooLate)),
        (row(["x", "2026-03-09T12:00:00Z", "a", "1", "", "", at]), Some(TooEarly)),
        (row(["a\0b", at, "a", "1", "", "", ""]), None),
        (row(["last", at, "a", "1", "", "", ""]), None),
        // A quote without end: the row ends with its line.
        (row(["x", at, "\"a", "1", "", "", ""]), Some(Malformed)),
    ];
    (header, cases)
}

#[test]
fn rows_of_csv_and_tsv() {
    for (delimiter, extension) in [(',', "csv"), ('\t', "tsv")] {
        let (header, cases) = rows_of_text(delimiter);
        let content = [header.as_bytes(), &joined(&cases)].join(&b'\n');
        check(&format!("records.{extension}"), &content, &cases, 1);
        check(&format!("records.{extension}.gz"), &gzip(&content), &cases, 1);
    }
}

/// A Parquet file of these columns.
pub(crate) fn parquet_file(columns: Vec<(&str, ArrayRef)>) -> Vec<u8> {
    let batch = RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, array)| (name, array, true)),
    );
    let batch = batch.unwrap();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

#[test]
fn rows_of_parquet() {
    use Reason::*;
    let at = Some("2026-03-01T12:00:00Z");
    let huge = "x".repeat(Reason::MAX_BYTES);
    let rows = [
        (Some("first"), at, "a", 1, "", at, None),
        (None, at, "a", 1, "", None, Some(MissingMessageId)),
        (Some("x"), None, "a", 1, "", None, Some(MissingTime)),
        (Some("x"), Some("noon"), "a", 1, "", None, Some(BadTime)),
        (Some("x"), at, "a", -1, "", None, Some(BadField)),
        (Some("x"), at, "a", 1, "alias", None, Some(BadCommand)),
        (Some("x"), at, &*huge, 1, "", None, Some(TooLarge)),
        (Some("x"), Some("2026-03-01T10:59:59Z"), "a", 1, "", None, Some(TooLate)),
        (Some("x"), Some("2026-03-09T12:00:00Z"), "a", 1, "", at, Some(TooEarly)),
        (Some("last"), at, "a", 1, "", None, None),
    ];
    let text = |of: &dyn Fn(usize) -> Option<String>| -> ArrayRef {
        Arc::new((0..rows.len()).map(of).collect::<StringArray>())
    };
    let content = parquet_file(vec![
        ("messageId", text(&|row| rows[row].0.map(str::to_owned))),
        ("timestamp", text(&|row| rows[row].1.map(str::to_owned))),
        ("event", text(&|row| Some(rows[row].2.to_owned()))),
        ("seq", Arc::new(rows.iter().map(|row| Some(row.3)).collect::<Int64Array>())),
        ("type", text(&|row| Some(rows[row].4.to_owned()))),
        ("receivedAt", text(&|row| rows[row].5.map(str::to_owned))),
    ]);
    let cases: Vec<Case> = rows.iter().map(|row| (Vec::new(), row.6)).collect();
    check("records.parquet", &content, &cases, 1);
    let job = job("records.parquet", &content);
    job.run(1, 1);
    let letters = job.table("dead_letters").select(&["reason", "payload"]);
    let bad_time = letters.iter().find(|row| row[0] == Cell::str("bad_time")).unwrap();
    let Cell::Bytes(json) = &bad_time[1] else { panic!("{bad_time:?}") };
    let json: serde_json::Value = serde_json::from_slice(json).unwrap();
    assert_eq!((&json["messageId"], &json["timestamp"]), (&"x".into(), &"noon".into()));
}

#[test]
fn files_without_records() {
    let empty_gzip = gzip(b"");
    let cases: [(&str, &[u8]); 7] = [
        ("records.ndjson", b""),
        ("records.ndjson", b"\n\n  \n"),
        ("records.ndjson", b"\xef\xbb\xbf"),
        ("records.csv", b""),
        ("records.csv", b"messageId,timestamp\n"),
        ("records.tsv.gz", &empty_gzip),
        (
            "records.parquet",
            &parquet_file(vec![("messageId", Arc::new(StringArray::from(vec![""; 0])))]),
        ),
    ];
    for (file, content) in cases {
        let job = job(file, content);
        let summary = job.run(2, 10);
        assert_eq!((summary.read, summary.admitted, summary.epochs), (0, 0, 1), "{file}");
        assert_eq!(job.table("events").rows.len(), 0, "{file}");
        assert_eq!(job.table("dead_letters").rows.len(), 0, "{file}");
    }
}

/// Runs the command on a damaged file: it ends with 1 and says where, and all before is committed.
fn damaged(file: &str, content: &[u8], said: &str, records: std::ops::Range<usize>) {
    let job = job(file, content);
    for _ in 0..2 {
        let output = job.execute(&["-w", "2", "--epoch-records", "100"]);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{file}: {text}");
        assert!(text.contains(said), "{file}: {text}");
        let events = job.table("events").rows.len();
        assert!(records.contains(&events), "{file}: {events} events; {text}");
        if events > 0 {
            assert!(text.contains(&format!("damaged after record {events}:")), "{file}: {text}");
        }
        assert!(Path::new(&job.out()).join("bindings").exists());
    }
}

#[test]
fn damaged_files_end_the_run_and_what_was_before_stands() {
    let lines: Vec<Vec<u8>> = (0..5000).map(|n| json(&format!("m{n}"), "")).collect();
    let content = lines.join(&b'\n');
    let whole = gzip(&content);
    let half = &whole[..whole.len() / 2];
    damaged("records.ndjson.gz", half, "records.ndjson.gz is damaged after record", 1000..4000);
    let mut flipped = whole.clone();
    let place = flipped.len() - 6; // in the checksum
    flipped[place] ^= 1;
    damaged("records.ndjson.gz", &flipped, "is damaged after record", 4000..5001);
    damaged("records.ndjson.gz", b"no gzip", "is damaged after record 0: ", 0..1);
    let whole = zstd::encode_all(&*content, 1).unwrap();
    damaged("records.ndjson.zst", &whole[..whole.len() / 2], "is damaged after record", 0..5000);
    damaged("records.parquet", b"", "is damaged after record 0: ", 0..1);
    damaged("records.parquet", b"PAR1 and no more", "is damaged after record 0: ", 0..1);
    let column = Arc::new((0..9).map(|n| Some(format!("m{n}"))).collect::<StringArray>());
    let mut whole = parquet_file(vec![("messageId", column)]);
    whole.truncate(whole.len() - 9);
    damaged("records.parquet", &whole, "is damaged after record 0: ", 0..1);
}

/// A header row is looked at before any file is read: one that is refused can be mended.
#[test]
fn a_header_is_refused_before_anything_is_read() {
    let job = Job::new(
        "[job]\nname = \"h\"\nout = \"out\"\n[[source]]\nname = \"s\"\nconnector = \"file\"\n\
         path = \"in/*.csv\"\n[[sink]]\nconnector = \"table\"\n",
    );
    let rows = |header: &str, from: usize, to: usize| -> String {
        let row = |n| format!("m{n},2026-01-01T00:00:00Z,u{n}\n");
        format!("messageId,timestamp,{header}\n") + &(from..to).map(row).collect::<String>()
    };
    // The first file is many epochs long.
    job.write("in/a.csv", rows("userId", 0, 1000));
    job.write("in/b.csv", rows("messageId", 1000, 1001));
    for _ in 0..2 {
        let output = job.execute(&["--epoch-records", "100"]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        let expected = "b.csv is damaged after record 0: the header row has two columns";
        assert!(said.contains(expected), "{said}");
    }
    job.write("in/b.csv", rows("userId", 1000, 1001));
    let output = job.execute(&["--epoch-records", "100"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(job.table("events").rows.len(), 1001);
}
