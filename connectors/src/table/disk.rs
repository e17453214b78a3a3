//! A table's files on the disk: what their folders are called, and when they are there to stay.
//!
//! A commit is durable when it returns: first the files that it names and their names, then the
//! log's version and its name.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{ErrorKind, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use deltalake_core::kernel::Action;
use serde_json::Value;

use super::TableError;
use crate::durable;

/// Bytes of a value in the name of a folder at most. File systems end names at 255, and the name of
/// the column stands before it.
const VALUE_BYTES: usize = 200;
/// What stands between the beginning of a longer value and its hash: no escape looks like it, so no
/// other value has that name.
const CUT: &str = "~~";
/// Digits of the hash.
const HASH_DIGITS: usize = 32;

/// A value as it stands in a folder name: everything but letters, digits, `-`, `_` and `.` escaped,
/// without the `%` that the log's own escapes use. Of a long one only the beginning stands there,
/// and a hash of the whole. Nobody reads it back: the log says which values a file is of.
pub(super) fn escaped(value: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    let byte = |b: u8| if plain(b) { char::from(b).to_string() } else { format!("~{b:02X}") };
    let escaped: String = value.bytes().map(byte).collect();
    if escaped.len() <= VALUE_BYTES {
        return escaped;
    }
    let room = VALUE_BYTES - CUT.len() - HASH_DIGITS;
    // An escape stays whole.
    let cut = escaped[..room].rfind('~').filter(|at| at + 3 > room).unwrap_or(room);
    let hash = blake3::hash(value.as_bytes()).to_hex();
    format!("{}{CUT}{}", &escaped[..cut], &hash.as_str()[..HASH_DIGITS])
}

/// Digits of a file's hash in its name.
const NAME_DIGITS: usize = 32;

/// What a file of this content is called.
pub(super) fn name(content: &[u8]) -> String {
    format!("part-{}.parquet", &blake3::hash(content).to_hex().as_str()[..NAME_DIGITS])
}

/// Opens a file of a table that is read as a whole. If it is named as we name files, it must have
/// the content that it is named after: of what has another, a reader may make anything. Files that
/// others have put in its place, as when a table is compacted, have other names.
pub(super) fn open(path: &Path) -> Result<File, TableError> {
    let fail = |e| TableError::disk(path, &e);
    let mut file = File::open(path).map_err(fail)?;
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let digits = |digits: &&str| {
        digits.len() == NAME_DIGITS && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
    };
    let Some(named) = name.strip_prefix("part-").filter(digits) else { return Ok(file) };
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(&mut file).map_err(fail)?;
    if hasher.finalize().to_hex().as_str()[..NAME_DIGITS] != *named {
        return Err(TableError::Damaged { path: path.into() });
    }
    file.rewind().map_err(fail)?;
    Ok(file)
}

/// Writes a file of a table whole or not at all. Its content is durable then; its name is with
/// [`sync_added`].
pub(super) fn write(table: &Path, name: &str, content: &[u8]) -> Result<(), TableError> {
    let path = table.join(name);
    let fail = |e| TableError::disk(&path, &e);
    durable::create_folder(path.parent().unwrap_or(table)).map_err(fail)?;
    let part = path.with_extension("part");
    let mut file = File::create(&part).map_err(fail)?;
    file.write_all(content).and_then(|()| file.sync_data()).map_err(fail)?;
    fs::rename(&part, &path).map_err(fail)
}

fn sync(path: &Path) -> Result<(), TableError> {
    let synced = File::open(path).and_then(|file| file.sync_all());
    synced.map_err(|e| TableError::disk(path, &e))
}

/// Makes the names of files durable that a commit is to add: once for each folder.
pub(super) fn sync_added(table: &Path, actions: &[Action]) -> Result<(), TableError> {
    let added = actions.iter().filter_map(|action| match action {
        Action::Add(add) => Path::new(&add.path).parent(),
        _ => None,
    });
    let folders: BTreeSet<&Path> = added.collect();
    folders.into_iter().try_for_each(|folder| sync(&table.join(folder)))
}

/// Makes a version of a table's log durable.
pub(super) fn sync_version(table: &Path, version: u64) -> Result<(), TableError> {
    let log = table.join("_delta_log");
    sync(&log.join(format!("{version:020}.json")))?;
    // Of some versions there is a sum of all before them, and a file that says of which.
    let sum = log.join(format!("{version:020}.checkpoint.parquet"));
    for path in [sum, log.join("_last_checkpoint")] {
        if !path.exists() {
            break;
        }
        sync(&path)?;
    }
    sync(&log)
}

/// Makes durable that there is a table, in its first version.
pub(super) fn sync_created(table: &Path) -> Result<(), TableError> {
    sync_version(table, 0)?;
    sync(table)
}

/// Digits of a version in the name of its file.
const VERSION_DIGITS: usize = 20;

/// Whether a folder is a table: its log has a version. A crash may have left one without.
pub(super) fn is_table(path: &Path) -> Result<bool, TableError> {
    let is_version = |name: &str| {
        let digits = name.bytes().take_while(u8::is_ascii_digit).count();
        let rest = &name[digits..];
        digits == VERSION_DIGITS && (rest == ".json" || rest.starts_with(".checkpoint."))
    };
    let log = path.join("_delta_log");
    let entries = match fs::read_dir(&log) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        entries => entries.map_err(|e| TableError::disk(&log, &e))?,
    };
    for entry in entries {
        let name = entry.map_err(|e| TableError::disk(&log, &e))?.file_name();
        if is_version(&name.to_string_lossy()) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The application that wrote a table last, as its log has it.
pub(super) fn writer(table: &Path) -> Option<String> {
    let entries = fs::read_dir(table.join("_delta_log")).ok()?.flatten();
    let mut versions: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    versions.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    versions.sort_unstable();
    versions.iter().rev().find_map(|version| {
        let text = fs::read_to_string(version).ok()?;
        let app = |line: &str| {
            let action: Value = serde_json::from_str(line).ok()?;
            Some(action.pointer("/txn/appId")?.as_str()?.to_owned())
        };
        text.lines().find_map(app)
    })
}

#[cfg(test)]
mod tests {
    use deltalake_core::kernel::Add;

    use super::*;

    /// A commit asks for each folder that it adds to, and for its version of the log.
    #[test]
    fn what_is_not_there_is_not_durable() {
        let folder = tempfile::tempdir().unwrap();
        let table = folder.path();
        let add = |path: &str| Action::Add(Add { path: path.to_owned(), ..Add::default() });
        write(table, "tenant=a/1.parquet", b"1").unwrap();
        write(table, "2.parquet", b"2").unwrap();
        sync_added(table, &[add("tenant=a/1.parquet"), add("2.parquet")]).unwrap();
        assert!(sync_added(table, &[add("2.parquet"), add("tenant=b/1.parquet")]).is_err());
        assert!(sync_version(table, 7).is_err());
        write(table, "_delta_log/00000000000000000007.json", b"{}").unwrap();
        sync_version(table, 7).unwrap();
        assert!(sync_version(table, 8).is_err());
    }

    /// A crash while a table is made leaves a folder that is none yet.
    #[test]
    fn a_table_has_a_version() {
        let folder = tempfile::tempdir().unwrap();
        let table = folder.path();
        let log = table.join("_delta_log");
        assert!(!is_table(table).unwrap());
        for (name, is) in [
            ("_commit_1234.json.tmp", false),
            ("00000000000000000000.json#1", false),
            ("_last_checkpoint", false),
            ("00000000000000000012.checkpoint.0001.0002.parquet", true),
            ("00000000000000000000.json", true),
        ] {
            fs::create_dir_all(&log).unwrap();
            fs::write(log.join(name), "{}").unwrap();
            assert_eq!(is_table(table).unwrap(), is, "{name}");
            fs::remove_dir_all(&log).unwrap();
        }
    }

    /// The last version may be of somebody who names no application.
    #[test]
    fn the_last_writer_is_in_the_log() {
        let folder = tempfile::tempdir().unwrap();
        let table = folder.path();
        assert_eq!(writer(table), None);
        let txn =
            |app: &str| format!("{{\"commitInfo\":{{}}}}\n{{\"txn\":{{\"appId\":{app:?}}}}}\n");
        for (version, text) in
            [txn("a/events"), txn("b/events"), "{\"commitInfo\":{}}".to_owned()].iter().enumerate()
        {
            let name = format!("_delta_log/{version:020}.json");
            write(table, &name, text.as_bytes()).unwrap();
        }
        assert_eq!(writer(table).as_deref(), Some("b/events"));
    }

    #[test]
    fn long_values_are_cut_and_stay_apart() {
        let short = "a b~é".to_owned();
        assert_eq!(escaped(&short), "a~20b~7E~C3~A9");
        let fits = "x".repeat(VALUE_BYTES);
        assert_eq!(escaped(&fits), fits);
        for letter in ["x", "漢", "é"] {
            for first in 0..5 {
                let long = |end: &str| "y".repeat(first) + &letter.repeat(300) + end;
                let names = [escaped(&long("")), escaped(&long("1")), escaped(&long("2"))];
                assert!(names[0] != names[1] && names[1] != names[2]);
                for name in names {
                    assert!(name.len() <= VALUE_BYTES, "{name}");
                    let (kept, _) = name.split_once(CUT).unwrap();
                    for escape in kept.split('~').skip(1) {
                        assert!(escape.len() >= 2, "half of an escape: {name}");
                    }
                }
            }
        }
    }
}
