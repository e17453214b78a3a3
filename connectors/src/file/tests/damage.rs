//! Files that are broken.

use super::*;

/// Opens and reads a file of these bytes: what came, and what stopped it.
fn read(folder: &Path, name: &str, bytes: &[u8]) -> (Vec<Seen>, Option<SourceError>) {
    std::fs::write(folder.join(name), bytes).unwrap();
    let mut source = match FileSource::open(&spec(folder, &[name]), Position::default()) {
        Ok(source) => source,
        Err(error) => return (Vec::new(), Some(error)),
    };
    let mut all = Vec::new();
    loop {
        match source.next(100) {
            Ok(Some(batch)) => all.extend(seen(&batch)),
            Ok(None) => return (all, None),
            Err(error) => return (all, Some(error)),
        }
    }
}

#[test]
fn damaged_streams_give_what_is_before_the_damage() {
    let folder = tempfile::tempdir().unwrap();
    let text: String = (0..60_000).map(|i| format!("{{\"n\":{}}}\n", i * 7919 % 100_003)).collect();
    let lines: Vec<&str> = text.lines().collect();
    for kind in ["gz", "zst"] {
        let name = format!("a.ndjson.{kind}");
        let whole = compress(text.as_bytes(), kind);
        assert!(read(folder.path(), &name, &whole).1.is_none());
        let mut flipped = whole.clone();
        flipped[whole.len() / 4] ^= 0x55;
        flipped[whole.len() / 4 + 1] ^= 0x55;
        let cut = &whole[..whole.len() * 3 / 4];
        for (what, bytes) in [("flipped", &flipped[..]), ("cut", cut)] {
            let (got, error) = read(folder.path(), &name, bytes);
            let Some(SourceError::Corrupt { record, .. }) = error else {
                panic!("{kind} {what}: {error:?}")
            };
            assert_eq!(record, got.len() as u64, "{kind} {what}");
            assert!(got.len() < lines.len(), "{kind} {what}");
            // A checksum stands at the end of a member: what is before it may be wrong already.
            if what == "cut" {
                assert!(got.len() > lines.len() / 2, "{kind}");
                assert!(got.iter().zip(&lines).all(|(got, line)| got.2 == *line), "{kind}");
            }
        }
    }
}

/// Half of an upload is listed and read as far as it goes; when the whole file is there, the rest
/// is read, in this run and in each that begins with it again. More behind a whole file is not.
#[test]
fn a_compressed_file_that_was_cut_off_may_be_made_whole() {
    let folder = tempfile::tempdir().unwrap();
    let text: String = (0..60_000).map(|i| format!("{{\"n\":{}}}\n", i * 7919 % 100_003)).collect();
    for kind in ["gz", "zst"] {
        let name = format!("a.ndjson.{kind}");
        let path = folder.path().join(&name);
        let whole = compress(text.as_bytes(), kind);
        std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        let mut spec = spec(folder.path(), &[&name]);
        let mut source = FileSource::open(&spec, Position::default()).unwrap();
        let mut got = 0;
        let error = loop {
            match source.next(1_000) {
                Ok(batch) => got += batch.map_or(0, |batch| batch.len()),
                Err(error) => break error,
            }
        };
        assert!(matches!(error, SourceError::Corrupt { .. }) && got > 0, "{error:?}");
        spec.recorded = source.files().to_vec();
        std::fs::write(&path, [&whole[..], &compress(b"{}\n", kind)[..]].concat()).unwrap();
        for at in [0, got as u64] {
            let mut source = FileSource::open(&spec, Position { file: 0, record: at }).unwrap();
            assert_eq!(source.longer(), []);
            let rest = read_all(&mut source, 1_000).unwrap().len() as u64;
            assert_eq!(at + rest, 60_001, "{kind} from {at}");
        }
        std::fs::write(&path, &whole).unwrap();
        spec.recorded = FileSource::open(
            &FileSpec { recorded: Vec::new(), ..spec.clone() },
            Position::default(),
        )
        .unwrap()
        .files()
        .to_vec();
        std::fs::write(&path, [&whole[..], &compress(b"{}\n", kind)[..]].concat()).unwrap();
        let mut source = FileSource::open(&spec, Position { file: 0, record: 59_000 }).unwrap();
        assert_eq!(source.longer().len(), 1);
        assert_eq!(read_all(&mut source, 1_000).unwrap().len(), 1_000, "{kind}");
    }
}

/// Nobody may ever write into it.
#[cfg(unix)]
#[test]
fn a_pipe_is_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("a.ndjson");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let error = FileSource::open(&spec(folder.path(), &["*.ndjson"]), Position::default());
    let error = error.err().unwrap().to_string();
    assert!(error.contains("a.ndjson") && error.contains("no regular file"), "{error}");
}

#[test]
fn a_file_that_is_not_what_its_name_says_is_corrupt() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a.csv.gz", "a.ndjson.zst", "a.parquet"] {
        let (got, error) = read(folder.path(), name, b"plain text, and enough of it\n");
        assert!(got.is_empty());
        assert!(matches!(error, Some(SourceError::Corrupt { record: 0, .. })), "{name} {error:?}");
    }
    let (_, error) = read(folder.path(), "b.csv", b"a,\"b\n1,2\n");
    assert!(matches!(error, Some(SourceError::Corrupt { .. })), "{error:?}");
    let (_, error) = read(folder.path(), "b.csv", b"a,\xff\n1,2\n");
    assert!(matches!(error, Some(SourceError::Corrupt { .. })), "{error:?}");
}

/// The fields of one of two columns of the same name would be lost without a word, and all records
/// of a file that ends its lines in another way.
#[test]
fn a_header_that_would_lose_fields_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    for (name, header, twice) in [
        ("a.csv", "id,time,id", Some("id")),
        ("b.tsv", "\"t\tt\"\tx\tt\tt\n", Some("t")),
        ("c.csv", "id,\"I\r\nD\",,", None),
    ] {
        let (got, error) = read(folder.path(), name, format!("{header}\r\n1,2,3\r\n").as_bytes());
        let Some(twice) = twice else {
            assert!(error.is_none() && got.len() == 1, "{header}: {error:?}");
            continue;
        };
        let said = error.map(|error| error.to_string()).unwrap_or_default();
        let expected = format!("the header row has two columns {twice:?}; rename one");
        assert!(said.contains(&expected) && got.is_empty(), "{header}: {said}");
    }
    let (got, error) = read(folder.path(), "d.csv", b"id,time\r1,2\r3,4\r");
    let said = error.map(|error| error.to_string()).unwrap_or_default();
    assert!(got.is_empty() && said.contains("end them with LF or CR LF"), "{said}");
    // One that an earlier run has recorded can't be mended, and is read as it was.
    let content = b"id,id\n1,2\n";
    std::fs::write(folder.path().join("e.csv"), content).unwrap();
    let (path, head) = ("e.csv".into(), crc32fast::hash(content));
    let mut spec = spec(folder.path(), &["e.csv"]);
    spec.recorded = vec![FileEntry { path, bytes: content.len() as u64, head }];
    let mut source = FileSource::open(&spec, Position::default()).unwrap();
    assert_eq!(source.next(10).unwrap().map(|batch| batch.len()), Some(1));
}

#[test]
fn damaged_parquet_never_panics() {
    let folder = tempfile::tempdir().unwrap();
    let name = write(folder.path(), "a", "parquet", 0, 100);
    let whole = std::fs::read(folder.path().join(&name)).unwrap();
    let mut errors = 0;
    for at in (0..whole.len()).step_by(3) {
        for mask in [0xff, 0x01] {
            let mut bytes = whole.clone();
            bytes[at] ^= mask;
            errors += u32::from(read(folder.path(), &name, &bytes).1.is_some());
        }
    }
    assert!(errors > 100, "{errors} of the damages were noticed");
    for length in (0..whole.len()).step_by(7) {
        assert!(read(folder.path(), &name, &whole[..length]).1.is_some(), "{length}");
    }
}

#[test]
fn a_file_that_shrinks_while_it_is_read_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.ndjson");
    std::fs::write(&path, "{}\n".repeat(400_000)).unwrap();
    let mut source =
        FileSource::open(&spec(folder.path(), &["a.ndjson"]), Position::default()).unwrap();
    source.next(1).unwrap();
    std::fs::File::options().write(true).open(&path).unwrap().set_len(600_000).unwrap();
    assert!(read_all(&mut source, 1_000_000).unwrap_err().is_gone());
}
