//! What a file source reads, and where in it one stands.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// How records are laid out in a file.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Format {
    /// One JSON object per line.
    Ndjson,
    /// RFC 4180 with a header row.
    Csv,
    /// As [`Format::Csv`] with tabs between fields.
    Tsv,
    /// Apache Parquet.
    Parquet,
}

impl Format {
    /// Every format, as messages list them.
    pub const ALL: [Self; 4] = [Self::Ndjson, Self::Csv, Self::Tsv, Self::Parquet];

    /// The word in the job file.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ndjson => "ndjson",
            Self::Csv => "csv",
            Self::Tsv => "tsv",
            Self::Parquet => "parquet",
        }
    }

    /// The format of that word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.word() == word)
    }

    /// What is between fields, where a file begins with a header row.
    pub(super) fn delimiter(self) -> Option<u8> {
        match self {
            Self::Csv => Some(b','),
            Self::Tsv => Some(b'\t'),
            Self::Ndjson | Self::Parquet => None,
        }
    }

    fn from_extension(extension: &str) -> Option<Self> {
        match extension {
            "ndjson" | "jsonl" | "json" => Some(Self::Ndjson),
            "csv" => Some(Self::Csv),
            "tsv" | "tab" => Some(Self::Tsv),
            "parquet" | "pq" => Some(Self::Parquet),
            _ => None,
        }
    }
}

/// How a file's bytes are compressed as a whole.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Compression {
    /// Not at all.
    Plain,
    /// Gzip, one member or several.
    Gzip,
    /// Zstandard, one frame or several.
    Zstd,
}

impl Compression {
    fn from_extension(extension: &str) -> Option<Self> {
        match extension {
            "gz" | "gzip" => Some(Self::Gzip),
            "zst" | "zstd" => Some(Self::Zstd),
            _ => None,
        }
    }
}

/// A file source as the job describes it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileSpec {
    /// Name of the source, for messages.
    pub name: String,
    /// Index of the source in the job file; see [`operators::model::Origin::source`].
    pub source: u16,
    /// Globs or plain paths, relative to `base` or absolute.
    pub patterns: Vec<String>,
    /// The folder that relative patterns and recorded paths start from.
    pub base: PathBuf,
    /// The format of all files; `None` to go by each file's extension.
    pub format: Option<Format>,
    /// The compression of all files; `None` to go by each file's extension.
    pub compression: Option<Compression>,
    /// The files of an earlier run in its order, as [`super::FileEntry`] was given then.
    pub recorded: Vec<FileEntry>,
}

impl FileSpec {
    /// A source that goes by extensions and has no earlier run.
    pub fn new(name: &str, source: u16, base: &Path, patterns: &[&str]) -> Self {
        Self {
            name: name.to_owned(),
            source,
            patterns: patterns.iter().map(|&pattern| pattern.to_owned()).collect(),
            base: base.to_owned(),
            format: None,
            compression: None,
            recorded: Vec::new(),
        }
    }

    /// Format and compression of a file; `None` where nothing says the format.
    pub fn layout(&self, path: &Path) -> Option<(Format, Compression)> {
        let name = path.file_name().map(|name| name.to_string_lossy().to_ascii_lowercase());
        let name = name.unwrap_or_default();
        let (stem, last) = name.rsplit_once('.').unwrap_or((&name, ""));
        let by_name = Compression::from_extension(last);
        let inner =
            if by_name.is_some() { stem.rsplit_once('.').map_or("", |s| s.1) } else { last };
        let compression = self.compression.or(by_name).unwrap_or(Compression::Plain);
        let format = self.format.or_else(|| Format::from_extension(inner))?;
        Some((format, compression))
    }
}

/// One file of a source, as it was when it was first listed.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct FileEntry {
    /// Path, relative to [`FileSpec::base`] where it lies below it.
    pub path: PathBuf,
    /// Length in bytes; later bytes are not read.
    pub bytes: u64,
    /// CRC-32 of the first [`FileEntry::HEAD_BYTES`] bytes: tells a file from its successor of the
    /// same name.
    pub head: u32,
}

impl FileEntry {
    /// How many bytes [`FileEntry::head`] covers at most.
    pub const HEAD_BYTES: u64 = 4096;
}

/// Where in a source one stands: everything before is consumed.
///
/// Ordered as records are read. The end of a source is the index after its last file.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub struct Position {
    /// Index in the list of files.
    pub file: u32,
    /// How many records of that file are consumed.
    pub record: u64,
}
