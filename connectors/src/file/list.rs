//! The list of files of a source.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::source::{damaged, header, open_text};
use super::text::TextReader;
use super::{Compression, FileEntry, FileSpec, Format, Position, SourceError};

/// The files of a source.
pub(super) struct Listed {
    /// In the order in which they are read.
    pub files: Vec<FileEntry>,
    /// Recorded ones that are longer than they were, and by how many bytes.
    pub longer: Vec<(PathBuf, u64)>,
}

/// What to do about a file that has taken the name of another.
const REPLACED: &str = "give a new file a name of its own";

/// Recorded files, then files that are new, sorted. Recorded ones are checked from the position's
/// file on, and before it where they are still meant: what is behind may be removed, but records in
/// a file that has taken its name would never be read.
pub(super) fn list(spec: &FileSpec, at: Position) -> Result<Listed, SourceError> {
    let mut files = spec.recorded.clone();
    let mut longer = Vec::new();
    let mut check = |entry: &mut FileEntry| -> Result<(), SourceError> {
        let more = check_recorded(spec, entry)?;
        if more > 0 && is_cut(spec, entry) {
            entry.bytes += more;
        } else if more > 0 {
            longer.push((spec.base.join(&entry.path), more));
        }
        Ok(())
    };
    let behind = files.len().min(at.file as usize);
    for entry in &mut files[behind..] {
        check(entry)?;
    }
    let known = Known::new(spec, &spec.recorded);
    let (mut meant, mut new) = (BTreeSet::new(), BTreeSet::new());
    for pattern in &spec.patterns {
        let found = matches(spec, pattern)?;
        if found.is_empty() && spec.recorded.is_empty() {
            return Err(SourceError::NoFiles {
                source_name: spec.name.clone(),
                pattern: pattern.clone(),
                base: spec.base.clone(),
            });
        }
        for path in found {
            match known.find(&spec.base.join(&path)) {
                Some(number) => drop(meant.insert(number)),
                None => drop(new.insert(path)),
            }
        }
    }
    for number in meant.into_iter().filter(|number| *number < behind) {
        check(&mut files[number])?;
    }
    for path in new {
        let (bytes, head) =
            stamp(&spec.base.join(&path), u64::MAX).map_err(|e| io_error(spec, &path, e))?;
        files.push(FileEntry { path, bytes, head });
    }
    for entry in &files {
        check_layout(spec, entry)?;
    }
    for entry in &files[spec.recorded.len()..] {
        check_header(spec, entry)?;
    }
    Ok(Listed { files, longer })
}

/// Recorded files by their full paths: what is below the base need not have been recorded so.
struct Known<'a> {
    spec: &'a FileSpec,
    files: &'a [FileEntry],
    by_path: BTreeMap<PathBuf, usize>,
    /// By where the system says that their folders are: there may be links on the way.
    by_place: OnceCell<BTreeMap<PathBuf, usize>>,
}

impl<'a> Known<'a> {
    fn new(spec: &'a FileSpec, files: &'a [FileEntry]) -> Self {
        let paths = files.iter().map(|entry| spec.base.join(&entry.path));
        Self { spec, files, by_path: paths.zip(0..).collect(), by_place: OnceCell::new() }
    }

    /// The number of a file.
    fn find(&self, path: &Path) -> Option<usize> {
        let by_place = || {
            let places = self.files.iter().map(|entry| place(&self.spec.base.join(&entry.path)));
            places.zip(0..).collect()
        };
        let known = self.by_path.get(path);
        let known = known.or_else(|| self.by_place.get_or_init(by_place).get(&place(path)));
        known.copied()
    }
}

/// Where a file is if its folder is there; one that is a link stays one.
fn place(path: &Path) -> PathBuf {
    let folder = path.parent().and_then(|folder| folder.canonicalize().ok());
    match (folder, path.file_name()) {
        (Some(folder), Some(name)) => folder.join(name),
        _ => path.to_owned(),
    }
}

/// An error of the system on one file.
pub(super) fn io_error(spec: &FileSpec, file: &Path, error: io::Error) -> SourceError {
    SourceError::Io { source_name: spec.name.clone(), file: spec.base.join(file), error }
}

/// History that is not there any more.
pub(super) fn gone(spec: &FileSpec, file: &Path, detail: String) -> SourceError {
    SourceError::Gone { source_name: spec.name.clone(), file: spec.base.join(file), detail }
}

/// Files that a pattern matches, relative to the base where they lie below it.
fn matches(spec: &FileSpec, pattern: &str) -> Result<Vec<PathBuf>, SourceError> {
    let below_base = |path: PathBuf| match path.strip_prefix(&spec.base) {
        Ok(below) => below.to_owned(),
        Err(_) => path,
    };
    // A file whose name merely looks like a glob is meant literally.
    let literal = spec.base.join(pattern);
    if literal.is_file() {
        return Ok(vec![below_base(literal)]);
    }
    let wrong = |e: glob::PatternError| SourceError::Pattern {
        source_name: spec.name.clone(),
        pattern: pattern.to_owned(),
        detail: format!("{} at character {}", e.msg, e.pos + 1),
    };
    // Alone first: a message counts the characters that the user wrote.
    glob::Pattern::new(pattern).map_err(wrong)?;
    let full = if Path::new(pattern).is_absolute() {
        pattern.to_owned()
    } else {
        let base = glob::Pattern::escape(&spec.base.to_string_lossy());
        Path::new(&base).join(pattern).to_string_lossy().into_owned()
    };
    let paths = glob::glob(&full).map_err(wrong)?;
    let mut found = Vec::new();
    for path in paths {
        let path = path.map_err(|e| {
            let folder = e.path().to_owned();
            io_error(spec, &folder, e.into())
        })?;
        if !path.is_dir() {
            found.push(below_base(path));
        }
    }
    Ok(found)
}

/// Length of a file and checksum of its beginning, of which at most `bytes` count.
fn stamp(path: &Path, bytes: u64) -> io::Result<(u64, u32)> {
    // A pipe would be waited for.
    let found = fs::metadata(path)?;
    if !found.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
    }
    let (file, length) = (File::open(path)?, found.len());
    let mut head = Vec::new();
    file.take(bytes.min(FileEntry::HEAD_BYTES)).read_to_end(&mut head)?;
    Ok((length, crc32fast::hash(&head)))
}

/// Whether a file that has become longer was cut off inside of what is compressed when it was
/// listed. Then none of its records was the last, and it may be read on.
fn is_cut(spec: &FileSpec, entry: &FileEntry) -> bool {
    let Some((_, compression @ (Compression::Gzip | Compression::Zstd))) = spec.layout(&entry.path)
    else {
        return false;
    };
    let path = spec.base.join(&entry.path);
    let read = open_text(&path, compression, entry.bytes, &Arc::default());
    read.and_then(|mut text| io::copy(&mut text, &mut io::sink())).is_err()
}

/// Whether a recorded file is as it was; gives by how many bytes it is longer.
fn check_recorded(spec: &FileSpec, entry: &FileEntry) -> Result<u64, SourceError> {
    let detail = match stamp(&spec.base.join(&entry.path), entry.bytes) {
        Ok((length, _)) if length < entry.bytes => {
            format!("{length} bytes long, was {}; {REPLACED}", entry.bytes)
        }
        Ok((_, head)) if head != entry.head => format!("other content than before; {REPLACED}"),
        Ok((length, _)) => return Ok(length - entry.bytes),
        Err(e) if e.kind() == io::ErrorKind::NotFound => "the file is missing".to_owned(),
        Err(e) => return Err(io_error(spec, &entry.path, e)),
    };
    Err(gone(spec, &entry.path, detail))
}

fn check_layout(spec: &FileSpec, entry: &FileEntry) -> Result<(), SourceError> {
    let detail = match spec.layout(&entry.path) {
        None => {
            let words = Format::ALL.map(Format::word).join(", ");
            format!("the extension doesn't say the format; write format = one of {words}")
        }
        Some((Format::Parquet, Compression::Gzip | Compression::Zstd)) => {
            "Parquet compresses inside; a compressed Parquet file can't be read".to_owned()
        }
        Some(_) => return Ok(()),
    };
    let file = spec.base.join(&entry.path);
    Err(SourceError::Format { source_name: spec.name.clone(), file, detail })
}

/// Whether the header row of a new file is good. It is looked at before anything is read: a file
/// that is recorded can't be mended any more, and is read as it was.
fn check_header(spec: &FileSpec, entry: &FileEntry) -> Result<(), SourceError> {
    let Some((format, compression)) = spec.layout(&entry.path) else { return Ok(()) };
    let Some(delimiter) = format.delimiter() else { return Ok(()) };
    let path = spec.base.join(&entry.path);
    open_text(&path, compression, entry.bytes, &Arc::default())
        .and_then(|input| TextReader::new(input, Some(delimiter)))
        .and_then(|mut reader| header(&mut reader, delimiter))
        .and_then(|header| {
            header.check().map_err(|detail| io::Error::new(io::ErrorKind::InvalidData, detail))
        })
        .map_err(|error| damaged(spec, &entry.path, 0, error))
}
