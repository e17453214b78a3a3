//! Reading files: every format and compression, positions, damage, and what is refused.

mod damage;
mod listing;
mod splitting;

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{AsArray as _, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::Int64Type;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;

use super::*;

/// A record as the tests see it: file, number, text.
type Seen = (u32, u64, String);

fn seen(batch: &RawBatch) -> Vec<Seen> {
    let texts: Vec<String> = match &batch.records {
        RawRecords::Json(rows)
        | RawRecords::Messages { rows, .. }
        | RawRecords::Delimited { rows, .. } => {
            rows.iter().map(|(row, _)| String::from_utf8_lossy(row).into_owned()).collect()
        }
        RawRecords::Table(table) => {
            let ids = table.column(0).as_primitive::<Int64Type>();
            let texts = table.column(1).as_string::<i32>();
            (0..table.num_rows()).map(|i| format!("{},{}", ids.value(i), texts.value(i))).collect()
        }
    };
    let numbered = texts.into_iter().enumerate();
    numbered.map(|(i, text)| (batch.partition, batch.first + i as u64, text)).collect()
}

fn read_all(source: &mut FileSource, most: usize) -> Result<Vec<Seen>, SourceError> {
    let mut all = Vec::new();
    while let Some(batch) = source.next(most)? {
        assert!(!batch.is_empty() && batch.len() <= most);
        all.extend(seen(&batch));
    }
    Ok(all)
}

fn spec(folder: &Path, patterns: &[&str]) -> FileSpec {
    FileSpec::new("test", 3, folder, patterns)
}

/// Compresses in two members or frames, as tools that append do.
fn compress(bytes: &[u8], extension: &str) -> Vec<u8> {
    let (a, b) = bytes.split_at(bytes.len() / 2);
    let mut out = Vec::new();
    match extension {
        "gz" => {
            for part in [a, b] {
                let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                gz.write_all(part).unwrap();
                out.extend(gz.finish().unwrap());
            }
        }
        "zst" => {
            for part in [a, b] {
                let mut zst = zstd::Encoder::new(Vec::new(), 1).unwrap();
                zst.include_checksum(true).unwrap();
                zst.write_all(part).unwrap();
                out.extend(zst.finish().unwrap());
            }
        }
        _ => out.extend(bytes),
    }
    out
}

/// Writes records `from..from + count` and gives the file's name.
fn write(folder: &Path, stem: &str, kind: &str, from: i64, count: i64) -> String {
    let name = format!("{stem}.{kind}");
    let (format, compression) = kind.split_once('.').unwrap_or((kind, ""));
    let ids = from..from + count;
    let bytes = match format {
        "parquet" => {
            let columns = [
                ("id", Arc::new(Int64Array::from_iter_values(ids.clone())) as _),
                ("text", Arc::new(StringArray::from_iter_values(ids.map(text_of))) as _),
            ];
            let batch = RecordBatch::try_from_iter(columns).unwrap();
            let groups = WriterProperties::builder().set_max_row_group_row_count(Some(10)).build();
            let mut writer =
                ArrowWriter::try_new(Vec::new(), batch.schema(), Some(groups)).unwrap();
            writer.write(&batch).unwrap();
            writer.into_inner().unwrap()
        }
        "ndjson" => ids.map(|id| format!("{id},{}\n", text_of(id))).collect::<String>().into(),
        _ => {
            let head = "id,text\n".to_owned();
            (head + &ids.map(|id| format!("{id},{}\n", text_of(id))).collect::<String>()).into()
        }
    };
    std::fs::write(folder.join(&name), compress(&bytes, compression)).unwrap();
    name
}

fn text_of(id: i64) -> String {
    format!("text {id}")
}

const KINDS: [&str; 10] = [
    "ndjson",
    "ndjson.gz",
    "ndjson.zst",
    "csv",
    "csv.gz",
    "csv.zst",
    "tsv",
    "tsv.gz",
    "tsv.zst",
    "parquet",
];

#[test]
fn every_format_and_compression_at_any_batch_size() {
    let folder = tempfile::tempdir().unwrap();
    for kind in KINDS {
        write(folder.path(), "a", kind, 0, 37);
        write(folder.path(), "b", kind, 37, 20);
        let spec = spec(folder.path(), &[&format!("?.{kind}")]);
        let expected: Vec<Seen> = (0..57)
            .map(|id| (u32::from(id > 36), (id % 37 + 1) as u64, format!("{id},{}", text_of(id))))
            .collect();
        for most in [1, 7, 100] {
            let mut source = FileSource::open(&spec, Position::default()).unwrap();
            assert_eq!(read_all(&mut source, most).unwrap(), expected, "{kind}");
            assert_eq!(source.position(), Position { file: 2, record: 0 }, "{kind}");
            assert_eq!(source.bytes_read(), source.bytes_total(), "{kind}");
        }
    }
}

#[test]
fn reading_on_from_every_position_gives_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    for kind in KINDS {
        write(folder.path(), "a", kind, 0, 25);
        write(folder.path(), "b", kind, 25, 12);
        let spec = spec(folder.path(), &[&format!("?.{kind}")]);
        let mut source = FileSource::open(&spec, Position::default()).unwrap();
        let all = read_all(&mut source, 100).unwrap();
        for cut in 0..=37_u64 {
            let at = if cut < 25 {
                Position { file: 0, record: cut }
            } else {
                Position { file: 1, record: cut - 25 }
            };
            let mut before = Vec::new();
            let mut source = FileSource::open(&spec, Position::default()).unwrap();
            while let Some(batch) = source.next_until(at, 4).unwrap() {
                before.extend(seen(&batch));
            }
            assert_eq!(before, all[..cut as usize], "{kind} to {at:?}");
            let mut source = FileSource::open(&spec, at).unwrap();
            assert_eq!(
                read_all(&mut source, 5).unwrap(),
                all[cut as usize..],
                "{kind} from {at:?}"
            );
        }
    }
}

#[test]
fn positions_behind_the_end_are_gone() {
    let folder = tempfile::tempdir().unwrap();
    for kind in KINDS {
        write(folder.path(), "a", kind, 0, 5);
        let spec = spec(folder.path(), &[&format!("a.{kind}")]);
        for at in [
            Position { file: 0, record: 6 },
            Position { file: 1, record: 1 },
            Position { file: 2, record: 0 },
        ] {
            let error = FileSource::open(&spec, at).err().unwrap();
            assert!(error.is_gone(), "{kind} {at:?}: {error}");
            let mut source = FileSource::open(&spec, Position::default()).unwrap();
            let error = loop {
                match source.next_until(at, 2) {
                    Ok(Some(_)) => {}
                    Ok(None) => panic!("{kind} {at:?}: the end is before"),
                    Err(error) => break error,
                }
            };
            assert!(error.is_gone(), "{kind} {at:?}: {error}");
        }
        let end = FileSource::open(&spec, Position { file: 1, record: 0 }).unwrap().next(1);
        assert!(end.unwrap().is_none());
    }
}
