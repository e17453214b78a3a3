//! Which files a source has.

use std::path::PathBuf;

use super::*;

fn touch(folder: &Path, name: &str, text: &str) {
    std::fs::create_dir_all(folder.join(name).parent().unwrap()).unwrap();
    std::fs::write(folder.join(name), text).unwrap();
}

fn paths(source: &FileSource) -> Vec<String> {
    source.files().iter().map(|f| f.path.to_string_lossy().into_owned()).collect()
}

#[test]
fn sorted_over_several_patterns_without_repeats() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["web/b.ndjson", "web/a.ndjson", "web/a.csv", "app/z.ndjson", "odd[1].ndjson"] {
        touch(folder.path(), name, "{}\n");
    }
    let all = spec(folder.path(), &["web/*.ndjson", "odd[1].ndjson", "**/*.ndjson"]);
    let source = FileSource::open(&all, Position::default()).unwrap();
    let expected = ["app/z.ndjson", "odd[1].ndjson", "web/a.ndjson", "web/b.ndjson"];
    assert_eq!(paths(&source), expected);
    let absolute = folder.path().join("web/b.ndjson");
    let one = spec(Path::new("elsewhere"), &[absolute.to_str().unwrap()]);
    let source = FileSource::open(&one, Position::default()).unwrap();
    assert_eq!(source.path(0), Some(absolute));
}

#[test]
fn recorded_files_come_first_and_end_where_they_ended() {
    let folder = tempfile::tempdir().unwrap();
    touch(folder.path(), "m.ndjson", "m1\nm2\n");
    let mut spec = spec(folder.path(), &["*.ndjson"]);
    spec.recorded = FileSource::open(&spec, Position::default()).unwrap().files().to_vec();
    touch(folder.path(), "a.ndjson", "a1\n");
    touch(folder.path(), "m.ndjson", "m1\nm2\nm3\n");
    let mut source = FileSource::open(&spec, Position::default()).unwrap();
    assert_eq!(paths(&source), ["m.ndjson", "a.ndjson"]);
    let texts: Vec<_> = read_all(&mut source, 9).unwrap().into_iter().map(|s| s.2).collect();
    assert_eq!(texts, ["m1", "m2", "a1"]);
}

#[test]
fn recorded_files_that_changed_are_gone() {
    let folder = tempfile::tempdir().unwrap();
    touch(folder.path(), "a.ndjson", "a1\na2\n");
    touch(folder.path(), "b.ndjson", "b1\n");
    let mut spec = spec(folder.path(), &["*.ndjson"]);
    spec.recorded = FileSource::open(&spec, Position::default()).unwrap().files().to_vec();
    let open = |at| FileSource::open(&spec, at).map(|_| ());
    for changed in [Some("a1\n"), Some("x1\na2\n"), None] {
        match changed {
            Some(text) => touch(folder.path(), "a.ndjson", text),
            None => std::fs::remove_file(folder.path().join("a.ndjson")).unwrap(),
        }
        let error = open(Position { file: 0, record: 1 }).unwrap_err();
        assert!(error.is_gone() && error.to_string().contains("a.ndjson"), "{error}");
        // Behind the first file it isn't needed any more, but none may take its place.
        let behind = open(Position { file: 1, record: 1 });
        match changed {
            Some(_) => {
                let error = behind.unwrap_err();
                let said = "give a new file a name of its own";
                assert!(error.is_gone() && error.to_string().contains(said), "{error}");
            }
            None => behind.unwrap(),
        }
    }
    // Nor is one looked at that is not meant any more.
    touch(folder.path(), "a.ndjson", "x1\n");
    spec.patterns = vec!["b.ndjson".to_owned()];
    FileSource::open(&spec, Position { file: 1, record: 1 }).unwrap();
}

/// Wherever reading begins, it is known which files have become longer.
#[test]
fn files_that_have_become_longer_are_told() {
    let folder = tempfile::tempdir().unwrap();
    touch(folder.path(), "a.ndjson", "a1\n");
    touch(folder.path(), "b.ndjson", "b1\n");
    let mut spec = spec(folder.path(), &["*.ndjson"]);
    let source = FileSource::open(&spec, Position::default()).unwrap();
    spec.recorded = source.files().to_vec();
    assert!(source.longer().is_empty());
    touch(folder.path(), "a.ndjson", "a1\na2\na3\n");
    for file in 0..=2 {
        let mut source = FileSource::open(&spec, Position { file, record: 0 }).unwrap();
        assert_eq!(source.longer(), [(folder.path().join("a.ndjson"), 6)], "from {file}");
        assert_eq!(read_all(&mut source, 9).unwrap().len(), 2 - file as usize);
    }
}

/// A recorded file is known by its full path, whether or not it was recorded below the base.
#[test]
fn a_recorded_file_is_known_from_any_base() {
    let folder = tempfile::tempdir().unwrap();
    touch(folder.path(), "in/a.ndjson", "a1\n");
    let absolute = folder.path().join("in/*.ndjson");
    let absolute = absolute.to_str().unwrap();
    let bases = [folder.path().to_path_buf(), folder.path().join("in"), PathBuf::from("elsewhere")];
    for before in &bases {
        let mut earlier = FileSpec::new("test", 3, before, &[absolute]);
        let source = FileSource::open(&earlier, Position::default()).unwrap();
        earlier.recorded = source.files().to_vec();
        for base in bases.iter().filter(|base| base.join(&earlier.recorded[0].path).exists()) {
            let spec = FileSpec { base: base.clone(), ..earlier.clone() };
            let source = FileSource::open(&spec, Position { file: 1, record: 0 }).unwrap();
            assert_eq!(source.files(), earlier.recorded, "{before:?} to {base:?}");
        }
    }
}

/// A link on the way to the folder makes no other files of those in it; a link beside them is one.
#[cfg(unix)]
#[test]
fn a_recorded_file_is_known_behind_a_link() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().unwrap();
    let [real, link] = ["real", "link"].map(|name| folder.path().join(name));
    touch(folder.path(), "real/in/a.ndjson", "a1\n");
    symlink(&real, &link).unwrap();
    for pattern in [&real, &link].map(|folder| folder.join("in/*.ndjson")) {
        for (before, now) in [(&real, &link), (&link, &real)] {
            let mut earlier = FileSpec::new("test", 3, before, &[pattern.to_str().unwrap()]);
            let source = FileSource::open(&earlier, Position::default()).unwrap();
            earlier.recorded = source.files().to_vec();
            let spec = FileSpec { base: now.clone(), ..earlier.clone() };
            let source = FileSource::open(&spec, Position { file: 1, record: 0 }).unwrap();
            assert_eq!(source.files(), earlier.recorded, "{before:?} to {now:?}");
        }
    }
    let mut spec = FileSpec::new("test", 3, &real, &["in/*.ndjson"]);
    let source = FileSource::open(&spec, Position::default()).unwrap();
    spec.recorded = source.files().to_vec();
    symlink(real.join("in/a.ndjson"), real.join("in/b.ndjson")).unwrap();
    let source = FileSource::open(&spec, Position { file: 1, record: 0 }).unwrap();
    assert_eq!(source.files().len(), 2);
}

#[test]
fn what_cannot_be_listed_says_why() {
    let folder = tempfile::tempdir().unwrap();
    touch(folder.path(), "a.log", "{}\n");
    touch(folder.path(), "a.parquet.gz", "");
    let error = |pattern: &str| {
        FileSource::open(&spec(folder.path(), &[pattern]), Position::default()).err().unwrap()
    };
    assert!(matches!(error("*.ndjson"), SourceError::NoFiles { .. }));
    assert!(matches!(error("missing.ndjson"), SourceError::NoFiles { .. }));
    assert!(matches!(error("a***b"), SourceError::Pattern { .. }));
    assert!(matches!(error("a.log"), SourceError::Format { .. }));
    assert!(matches!(error("a.parquet.gz"), SourceError::Format { .. }));
    let mut named = spec(folder.path(), &["a.log"]);
    named.format = Some(Format::Ndjson);
    assert_eq!(
        read_all(&mut FileSource::open(&named, Position::default()).unwrap(), 5).unwrap().len(),
        1
    );
}

#[test]
fn layouts_by_extension_and_by_word() {
    let mut spec = spec(Path::new("."), &[]);
    let layout = |spec: &FileSpec, name: &str| spec.layout(Path::new(name));
    let gz = Compression::Gzip;
    assert_eq!(layout(&spec, "x.NDJSON.GZ"), Some((Format::Ndjson, gz)));
    assert_eq!(layout(&spec, "x.jsonl"), Some((Format::Ndjson, Compression::Plain)));
    assert_eq!(layout(&spec, "a.b/x.tsv.zst"), Some((Format::Tsv, Compression::Zstd)));
    assert_eq!(layout(&spec, "x.gz"), None);
    assert_eq!(layout(&spec, "csv"), None);
    spec.format = Format::from_word("csv");
    assert_eq!(layout(&spec, "x.txt.gz"), Some((Format::Csv, gz)));
    spec.compression = Some(Compression::Plain);
    assert_eq!(layout(&spec, "x.txt.gz"), Some((Format::Csv, Compression::Plain)));
}
