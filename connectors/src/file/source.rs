//! Reading a source from a position on.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::columnar::ParquetReader;
use super::digest::digest;
use super::list::{Listed, gone, io_error, list};
use super::text::TextReader;
use super::{
    Compression, FileEntry, FileSpec, Format, Header, Position, RawBatch, RawRecords, Rows,
    SourceError,
};

/// A source that is being read.
pub struct FileSource {
    spec: FileSpec,
    files: Vec<FileEntry>,
    longer: Vec<(PathBuf, u64)>,
    at: Position,
    reader: Option<Reader>,
    lent: Lent,
    /// Checksum of the records that were handed out since it was last asked for.
    digest: u64,
    /// Bytes of all files.
    bytes_total: u64,
    /// Bytes of the files before the present one.
    bytes_before: u64,
    /// Bytes read of the present one.
    bytes_here: Arc<AtomicU64>,
}

/// An open file.
enum Reader {
    Json(TextReader),
    Delimited(TextReader, Arc<Header>),
    Parquet(ParquetReader),
}

/// Counts the bytes that pass.
struct Counted<R> {
    inner: R,
    count: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.count.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

impl FileSource {
    /// Lists the files and goes to a position.
    ///
    /// # Errors
    /// A pattern that is wrong or matches nothing, a file that can't be read or has no known
    /// format; [`SourceError::Gone`] where records before the position, or recorded files after it,
    /// are not there any more, or where another file has the name of a recorded one.
    pub fn open(spec: &FileSpec, at: Position) -> Result<Self, SourceError> {
        let Listed { files, longer } = list(spec, at)?;
        let mut source = Self {
            spec: spec.clone(),
            bytes_total: files.iter().map(|entry| entry.bytes).sum(),
            files,
            longer,
            at: Position { file: 0, record: 0 },
            reader: None,
            lent: Lent::default(),
            digest: 0,
            bytes_before: 0,
            bytes_here: Arc::default(),
        };
        if at.file as usize > source.files.len() {
            let detail = format!("file {} of {} is wanted", at.file + 1, source.files.len());
            return Err(gone(&source.spec, Path::new(""), detail));
        }
        source.at.file = at.file;
        source.bytes_before = source.files[..at.file as usize].iter().map(|f| f.bytes).sum();
        if at.record > 0 {
            source.go_to(at.record)?;
        }
        Ok(source)
    }

    /// The files, in the order in which they are read; to be recorded for the next run.
    pub fn files(&self) -> &[FileEntry] {
        &self.files
    }

    /// Files of an earlier run that have become longer since they were listed, and by how many
    /// bytes, which are not read.
    pub fn longer(&self) -> &[(PathBuf, u64)] {
        &self.longer
    }

    /// Full path of a file by its index, for messages.
    pub fn path(&self, file: u32) -> Option<PathBuf> {
        self.files.get(file as usize).map(|entry| self.spec.base.join(&entry.path))
    }

    /// Where the next record is.
    pub fn position(&self) -> Position {
        self.at
    }

    /// Checksum of the records that were handed out since it was last asked for, or since the
    /// source was opened.
    pub fn take_digest(&mut self) -> u64 {
        std::mem::take(&mut self.digest)
    }

    /// Takes the checksum and compares it with that of the same records in an earlier run.
    ///
    /// # Errors
    /// [`SourceError::Gone`] if they are others: the file was edited.
    pub fn check(&mut self, wanted: u64) -> Result<(), SourceError> {
        if self.take_digest() == wanted {
            return Ok(());
        }
        // At the very beginning of a file the last record is one of the file before.
        let file = self.at.file.saturating_sub(u32::from(self.at.record == 0));
        let path = self.files.get(file as usize).map_or(Path::new(""), |entry| &entry.path);
        let upto = if file == self.at.file { self.at.record.to_string() } else { "its end".into() };
        let detail = format!(
            "some of its records up to {upto} are not those that were read before; restore it, and \
             let the job read it in the same format"
        );
        Err(gone(&self.spec, path, detail))
    }

    /// Bytes of all files, as they lie on disk.
    pub fn bytes_total(&self) -> u64 {
        self.bytes_total
    }

    /// Bytes of the records that were handed out, as they lie on disk; an estimate where that is
    /// not the bytes of the records.
    pub fn bytes_read(&self) -> u64 {
        let here = self.bytes_here.load(Ordering::Relaxed) as f64;
        let passed = self.reader.as_ref().map_or(1.0, Reader::passed);
        self.bytes_before + (here * passed) as u64
    }

    /// The next records, at most `max_records` (at least one) and of one file; `None` at the end of
    /// the source.
    pub fn next(&mut self, max_records: usize) -> Result<Option<RawBatch>, SourceError> {
        while (self.at.file as usize) < self.files.len() {
            if let Some(batch) = self.next_here(max_records)? {
                return Ok(Some(batch));
            }
        }
        self.lent = Lent::default();
        Ok(None)
    }

    /// As [`FileSource::next`], but no further than a position of an earlier run; `None` there.
    ///
    /// # Errors
    /// Also [`SourceError::Gone`] if the source ends before the position.
    pub fn next_until(
        &mut self,
        upper: Position,
        max_records: usize,
    ) -> Result<Option<RawBatch>, SourceError> {
        while self.at < upper {
            let last_file = self.at.file == upper.file;
            if self.at.file as usize >= self.files.len() {
                let detail = format!("file {} is wanted, there are {}", upper.file, self.at.file);
                return Err(gone(&self.spec, Path::new(""), detail));
            }
            let left = if last_file { upper.record - self.at.record } else { u64::MAX };
            let most = max_records.min(usize::try_from(left).unwrap_or(usize::MAX));
            let before = self.at;
            if let Some(batch) = self.next_here(most)? {
                return Ok(Some(batch));
            }
            if last_file {
                return Err(self.too_short(before.file, before.record, upper.record));
            }
        }
        Ok(None)
    }

    /// The next records of the present file; `None` at its end, having gone on to the next file.
    fn next_here(&mut self, max_records: usize) -> Result<Option<RawBatch>, SourceError> {
        if self.reader.is_none() {
            self.go_to(0)?;
        }
        let result = match &mut self.reader {
            None => Ok(None),
            Some(reader) => reader.read(max_records.max(1), &mut self.lent),
        };
        let (file, first) = (self.at.file, self.at.record + 1);
        let Some((records, bytes)) = result.map_err(|e| self.damaged(e))? else {
            self.check_length()?;
            self.reader = None;
            self.bytes_before += self.files[file as usize].bytes;
            self.bytes_here = Arc::default();
            self.at = Position { file: file + 1, record: 0 };
            return Ok(None);
        };
        let source = self.spec.source;
        let batch = RawBatch { source, partition: file, first, offsets: None, records, bytes };
        self.at.record += batch.len() as u64;
        self.digest = self.digest.wrapping_add(digest(&batch));
        if let Some(Reader::Parquet(reader)) = &self.reader {
            let share = self.at.record as f64 / reader.rows.max(1) as f64;
            let bytes = self.files[file as usize].bytes as f64 * share;
            self.bytes_here.store(bytes as u64, Ordering::Relaxed);
        }
        Ok(Some(batch))
    }

    /// Opens the present file after its first `record` records.
    fn go_to(&mut self, record: u64) -> Result<(), SourceError> {
        let index = self.at.file;
        let Some(entry) = self.files.get(index as usize) else {
            let detail = format!("{record} records of file {} are wanted", index + 1);
            return Err(gone(&self.spec, Path::new(""), detail));
        };
        let path = self.spec.base.join(&entry.path);
        let (format, compression) = self.layout(entry);
        self.bytes_here = Arc::default();
        if format == Format::Parquet {
            let length = std::fs::metadata(&path).map(|meta| meta.len());
            let length = length.map_err(|e| io_error(&self.spec, &entry.path, e))?;
            if length != entry.bytes {
                let detail = format!("{length} bytes long, was {}", entry.bytes);
                return Err(gone(&self.spec, &entry.path, detail));
            }
            let reader = ParquetReader::open(&path, record);
            let reader = reader.map_err(|e| self.damaged(parquet_error(e)))?;
            if reader.rows < record {
                return Err(self.too_short(index, reader.rows, record));
            }
            self.reader = Some(Reader::Parquet(reader));
        } else {
            let input = open_text(&path, compression, entry.bytes, &self.bytes_here);
            let input = input.map_err(|e| io_error(&self.spec, &entry.path, e))?;
            let mut reader = Reader::text(input, format).map_err(|e| self.damaged(e))?;
            let there = reader.skip(record).map_err(|e| self.damaged(e))?;
            if there < record {
                return Err(self.too_short(index, there, record));
            }
            self.reader = Some(reader);
        }
        self.at.record = record;
        Ok(())
    }

    /// Format and compression of a listed file; listing refuses files without.
    fn layout(&self, entry: &FileEntry) -> (Format, Compression) {
        self.spec.layout(&entry.path).unwrap_or((Format::Ndjson, Compression::Plain))
    }

    /// A file that has become shorter while it was read.
    fn check_length(&self) -> Result<(), SourceError> {
        let entry = &self.files[self.at.file as usize];
        let (format, compression) = self.layout(entry);
        let read = self.bytes_here.load(Ordering::Relaxed);
        let all = format == Format::Parquet || compression != Compression::Plain;
        if !all && read < entry.bytes {
            let detail = format!("{read} bytes long, was {}", entry.bytes);
            return Err(gone(&self.spec, &entry.path, detail));
        }
        Ok(())
    }

    fn too_short(&self, file: u32, there: u64, wanted: u64) -> SourceError {
        let path = self.files.get(file as usize).map_or(Path::new(""), |entry| &entry.path);
        gone(&self.spec, path, format!("{there} records, {wanted} were read before"))
    }

    fn damaged(&self, error: io::Error) -> SourceError {
        let path = self.files.get(self.at.file as usize).map_or(Path::new(""), |f| &f.path);
        damaged(&self.spec, path, self.at.record, error)
    }
}

/// What a reader says of a file after this record.
pub(super) fn damaged(spec: &FileSpec, path: &Path, record: u64, error: io::Error) -> SourceError {
    // What the system refuses has a code; what a decoder refuses has none.
    if error.raw_os_error().is_some() {
        return io_error(spec, path, error);
    }
    let (source_name, file) = (spec.name.clone(), spec.base.join(path));
    SourceError::Corrupt { source_name, file, record, detail: error.to_string() }
}

/// The header row, with which a file begins.
pub(super) fn header(reader: &mut TextReader, delimiter: u8) -> io::Result<Header> {
    let row = reader.single()?.unwrap_or_default();
    Header::read(&row, delimiter)
        .map_err(|detail| io::Error::new(io::ErrorKind::InvalidData, detail))
}

/// Records that were handed out, oldest first: once nobody has them any more, the next ones take
/// their memory. To get as much from the system again and again costs more than to read it.
#[derive(Default)]
struct Lent(VecDeque<Arc<Rows>>);

impl Lent {
    /// Batches that are kept for it at most, about two epochs; there are never more than were in
    /// flight at once.
    const MAX: usize = 48;

    /// Rows without records, with memory if there is any to be had.
    fn take(&mut self) -> Rows {
        // Those that are still in use are found again later, or freed by who has them last.
        let free = self.0.iter().position(|rows| Arc::strong_count(rows) == 1);
        let free = free.and_then(|place| self.0.remove(place)).and_then(Arc::into_inner);
        free.map(Rows::emptied).unwrap_or_default()
    }

    fn give(&mut self, rows: &Arc<Rows>) {
        if self.0.len() == Self::MAX {
            self.0.pop_front();
        }
        self.0.push_back(Arc::clone(rows));
    }
}

impl Reader {
    /// Begins a text file: takes its header, if the format has one.
    fn text(input: Box<dyn Read + Send>, format: Format) -> io::Result<Self> {
        let mut reader = TextReader::new(input, format.delimiter())?;
        let Some(delimiter) = format.delimiter() else { return Ok(Self::Json(reader)) };
        let header = header(&mut reader, delimiter)?;
        Ok(Self::Delimited(reader, Arc::new(header)))
    }

    /// How much of what came in from the disk has been handed out, from 0 to 1.
    fn passed(&self) -> f64 {
        match self {
            Self::Json(reader) | Self::Delimited(reader, _) => reader.passed(),
            // Its bytes are counted by what was handed out.
            Self::Parquet(_) => 1.0,
        }
    }

    fn skip(&mut self, count: u64) -> io::Result<u64> {
        match self {
            Self::Json(reader) | Self::Delimited(reader, _) => reader.skip(count),
            Self::Parquet(_) => Ok(0),
        }
    }

    /// Up to `max_records` more records and their size; `None` at the end.
    fn read(
        &mut self,
        max_records: usize,
        lent: &mut Lent,
    ) -> io::Result<Option<(RawRecords, usize)>> {
        let mut rows = lent.take();
        let count = match self {
            Self::Json(reader) | Self::Delimited(reader, _) => {
                reader.read(max_records, &mut rows)?
            }
            Self::Parquet(reader) => {
                let batch = reader.read(max_records).map_err(parquet_error)?;
                return Ok(batch.map(|batch| {
                    let bytes = batch.get_array_memory_size();
                    (RawRecords::Table(batch), bytes)
                }));
            }
        };
        if count == 0 {
            return Ok(None);
        }
        let bytes = rows.data.len() + rows.ends.len() * size_of::<u32>();
        let rows = Arc::new(rows);
        lent.give(&rows);
        Ok(Some(match self {
            Self::Delimited(_, header) => {
                (RawRecords::Delimited { header: header.clone(), rows }, bytes)
            }
            _ => (RawRecords::Json(rows), bytes),
        }))
    }
}

/// The decompressed bytes of a file, as far as they were there when it was listed.
pub(super) fn open_text(
    path: &Path,
    compression: Compression,
    bytes: u64,
    count: &Arc<AtomicU64>,
) -> io::Result<Box<dyn Read + Send>> {
    let file = Counted { inner: File::open(path)?.take(bytes), count: count.clone() };
    Ok(match compression {
        Compression::Plain => Box::new(file),
        Compression::Gzip => {
            let file = BufReader::with_capacity(128 << 10, file);
            Box::new(flate2::bufread::MultiGzDecoder::new(file))
        }
        Compression::Zstd => Box::new(zstd::stream::read::Decoder::new(file)?),
    })
}

fn parquet_error(error: parquet::errors::ParquetError) -> io::Error {
    use parquet::errors::ParquetError;
    if let ParquetError::External(inner) = error {
        return match inner.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(other) => io::Error::new(io::ErrorKind::InvalidData, other.to_string()),
        };
    }
    io::Error::new(io::ErrorKind::InvalidData, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_used_again_once_nobody_has_it() {
        let mut lent = Lent::default();
        let mut rows = lent.take();
        rows.push(b"some record");
        let place = rows.data.as_ptr();
        let rows = Arc::new(rows);
        lent.give(&rows);
        let other = lent.take();
        assert!(other.is_empty() && other.data.as_ptr() != place);
        drop(rows);
        let again = lent.take();
        assert!(again.is_empty() && again.data.as_ptr() == place);
        for _ in 0..2 * Lent::MAX {
            lent.give(&Arc::default());
        }
        assert_eq!(lent.0.len(), Lent::MAX);
    }
}
