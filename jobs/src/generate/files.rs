//! Files being written: compressed or not, and a channel's in turn.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use flate2::write::GzEncoder;
use thiserror::Error;

use super::{Channel, OptionError};

/// How files are compressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, clap::ValueEnum)]
pub enum Compression {
    /// Not at all.
    #[default]
    Plain,
    /// Gzip.
    Gz,
    /// Zstandard.
    Zst,
}

impl Compression {
    /// What file names end in.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Gz => ".gz",
            Self::Zst => ".zst",
        }
    }
}

/// Where a shop is written to, and how.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileOptions {
    /// The folder; what it has already is left alone.
    pub dir: PathBuf,
    /// How files are compressed.
    pub compression: Compression,
    /// A channel goes on in another file after this many bytes, before compression.
    pub file_bytes: u64,
}

impl FileOptions {
    /// Bytes of a file unless something else is said.
    pub const FILE_BYTES: u64 = 64 << 20;

    /// Uncompressed files of the usual size in a folder.
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.into(), compression: Compression::Plain, file_bytes: Self::FILE_BYTES }
    }
}

/// Why a shop could not be written.
#[derive(Debug, Error)]
pub enum GenerateError {
    /// The options make no sense.
    #[error("{0}")]
    Options(#[from] OptionError),
    /// An earlier shop stands there.
    #[error("{path} is there already; write to another folder, or remove it")]
    Exists {
        /// What stands there.
        path: PathBuf,
    },
    /// The disk is full, or may not be written.
    #[error("can't write {path}: {error}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
}

impl GenerateError {
    /// The exit code: 1 failed, 2 usage.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Options(_) | Self::Exists { .. } => 2,
            Self::Io { .. } => 1,
        }
    }
}

/// Bytes that are gathered before they are written.
const BUFFER_BYTES: usize = 256 << 10;

enum Sink {
    Plain(File),
    Gz(GzEncoder<File>),
    Zst(zstd::stream::write::Encoder<'static, File>),
}

/// A file being written.
pub(super) struct Output {
    path: PathBuf,
    sink: Sink,
    pub(super) buffer: Vec<u8>,
    bytes: u64,
}

pub(super) fn io_error(path: &Path) -> impl Fn(io::Error) -> GenerateError {
    |error| GenerateError::Io { path: path.into(), error }
}

impl Output {
    pub(super) fn create(path: PathBuf, compression: Compression) -> Result<Self, GenerateError> {
        let file = File::create_new(&path).map_err(io_error(&path))?;
        let sink = match compression {
            Compression::Plain => Sink::Plain(file),
            Compression::Gz => Sink::Gz(GzEncoder::new(file, flate2::Compression::fast())),
            Compression::Zst => {
                Sink::Zst(zstd::stream::write::Encoder::new(file, 1).map_err(io_error(&path))?)
            }
        };
        Ok(Self { path, sink, buffer: Vec::with_capacity(BUFFER_BYTES + 4096), bytes: 0 })
    }

    /// Ends the line in the buffer.
    pub(super) fn end_line(&mut self) -> Result<(), GenerateError> {
        self.buffer.push(b'\n');
        if self.buffer.len() >= BUFFER_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), GenerateError> {
        let written = match &mut self.sink {
            Sink::Plain(file) => file.write_all(&self.buffer),
            Sink::Gz(encoder) => encoder.write_all(&self.buffer),
            Sink::Zst(encoder) => encoder.write_all(&self.buffer),
        };
        self.bytes += self.buffer.len() as u64;
        self.buffer.clear();
        written.map_err(io_error(&self.path))
    }

    /// Writes the rest; returns the bytes in all, before compression.
    pub(super) fn finish(mut self) -> Result<u64, GenerateError> {
        self.flush()?;
        let Self { path, sink, bytes, .. } = self;
        match sink {
            Sink::Plain(_) => {}
            Sink::Gz(encoder) => drop(encoder.finish().map_err(io_error(&path))?),
            Sink::Zst(encoder) => drop(encoder.finish().map_err(io_error(&path))?),
        }
        Ok(bytes)
    }
}

/// The files of one channel.
pub(super) struct Rolling<'a> {
    options: &'a FileOptions,
    pub(super) channel: Channel,
    output: Output,
    pub(super) files: u32,
    /// Of the present file.
    lines: u64,
    /// Of all files.
    pub(super) records: u64,
    /// Of the files that are finished.
    bytes: u64,
}

impl<'a> Rolling<'a> {
    /// Opens the first file: a source without a file would be an error of the job.
    pub(super) fn new(options: &'a FileOptions, channel: Channel) -> Result<Self, GenerateError> {
        let output = open(options, channel, 0)?;
        Ok(Self { options, channel, output, files: 1, lines: 0, records: 0, bytes: 0 })
    }

    /// Adds a line that `write` appends; returns the index of its file and its number in it, from
    /// 1 on.
    pub(super) fn line(
        &mut self,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(u32, u64), GenerateError> {
        let bytes = self.output.bytes + self.output.buffer.len() as u64;
        if bytes >= self.options.file_bytes.max(1) {
            let next = open(self.options, self.channel, self.files)?;
            self.bytes += std::mem::replace(&mut self.output, next).finish()?;
            self.files += 1;
            self.lines = 0;
        }
        write(&mut self.output.buffer);
        self.output.end_line()?;
        self.lines += 1;
        self.records += 1;
        Ok((self.files - 1, self.lines))
    }

    /// Ends the last file; returns the bytes of all, before compression.
    pub(super) fn finish(self) -> Result<u64, GenerateError> {
        Ok(self.bytes + self.output.finish()?)
    }
}

fn open(options: &FileOptions, channel: Channel, file: u32) -> Result<Output, GenerateError> {
    let extension = options.compression.extension();
    let name = format!("part-{file:08}.ndjson{extension}");
    Output::create(options.dir.join(channel.word()).join(name), options.compression)
}
