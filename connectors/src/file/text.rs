//! Splitting text into records: lines, or rows of CSV with quoted line ends.
//!
//! A record ends at a newline outside quotes; a carriage return before it does not count. Quotes
//! mean something only where they begin a field. A quote that finds no end within
//! [`Reason::MAX_BYTES`] was none: over that length each line is a record by itself (decoding
//! refuses those with half a quote), so that a stray quote costs a few rows, not the file, and no
//! byte is looked at more than a few times.

use std::io::{self, Read};

use memchr::{memchr, memchr2};
use operators::model::Reason;

use super::{BATCH_BYTES_MAX, Rows};

/// How much is read at once.
const CHUNK_BYTES: usize = 256 << 10;
/// How far a record's end is looked for: the limit and its line end.
const WINDOW_BYTES: usize = Reason::MAX_BYTES + 1;

/// A file of text at some record.
pub(super) struct TextReader {
    input: Box<dyn Read + Send>,
    /// The delimiter of a format with quotes.
    delimiter: Option<u8>,
    buffer: Vec<u8>,
    /// Where in `buffer` the next record starts.
    start: usize,
    /// How many bytes from `start` on are split by lines alone, for a quote there has no end.
    unquoted: usize,
    /// Whether `buffer` has all that is left.
    at_end: bool,
    /// Bytes that came into `buffer` in all.
    got: u64,
    /// Bytes of the largest batch so far: the next one is made with room for as much.
    typical: usize,
    /// What stopped reading. Said again each time, for what was read before it goes out first.
    failed: Option<io::Error>,
}

/// A record inside the buffer, or the beginning of one that is too large.
enum Found<'a> {
    Whole(&'a [u8]),
    Cut { kept: Vec<u8>, bytes: u64 },
}

/// Where a record ends, seen from its start.
enum End {
    /// After `len` bytes; the next one starts at `next`.
    At { len: usize, next: usize },
    /// Not in the window. With `open`, because a quote has no end in it.
    Beyond,
}

impl TextReader {
    /// Reads records from `input`; with a delimiter, rows whose fields may be quoted.
    pub(super) fn new(input: Box<dyn Read + Send>, delimiter: Option<u8>) -> io::Result<Self> {
        let buffer = Vec::new();
        let mut reader = Self {
            input,
            delimiter,
            buffer,
            start: 0,
            unquoted: 0,
            at_end: false,
            got: 0,
            typical: 0,
            failed: None,
        };
        reader.refill()?;
        if reader.buffer.starts_with(b"\xef\xbb\xbf") {
            reader.start = 3;
        }
        Ok(reader)
    }

    /// How much of what came in has been handed out, from 0 to 1.
    pub(super) fn passed(&self) -> f64 {
        let waits = (self.buffer.len() - self.start) as f64;
        if self.got == 0 { 1.0 } else { 1.0 - waits / self.got as f64 }
    }

    /// The next record on its own; `None` at the end. For header rows.
    pub(super) fn single(&mut self) -> io::Result<Option<Rows>> {
        let mut rows = Rows::default();
        Ok((self.read(1, &mut rows)? == 1).then_some(rows))
    }

    /// Adds up to `max_records` records to `rows` and says how many: fewer only at the end, or when
    /// the batch is full. An error comes only when no record is left before it.
    pub(super) fn read(&mut self, max_records: usize, rows: &mut Rows) -> io::Result<usize> {
        let mut count = 0;
        if max_records > 1 {
            rows.data.reserve_exact(self.typical);
        }
        while count < max_records && rows.data.len() < BATCH_BYTES_MAX {
            match self.record() {
                Ok(Some(Found::Whole(record))) => rows.push(record),
                Ok(Some(Found::Cut { kept, bytes })) => rows.push_cut(&kept, bytes),
                Ok(None) => break,
                // The buffer still stands before the damaged record: the next call meets it again.
                Err(_) if count > 0 => break,
                Err(error) => return Err(error),
            }
            count += 1;
        }
        // A little over, for the next records may be a little longer.
        self.typical = self.typical.max(rows.data.len() + rows.data.len() / 16);
        Ok(count)
    }

    /// Passes over up to `count` records and says how many there were.
    pub(super) fn skip(&mut self, count: u64) -> io::Result<u64> {
        for passed in 0..count {
            if self.record()?.is_none() {
                return Ok(passed);
            }
        }
        Ok(count)
    }

    fn record(&mut self) -> io::Result<Option<Found<'_>>> {
        loop {
            let rest = &self.buffer[self.start..];
            let window = &rest[..rest.len().min(WINDOW_BYTES)];
            // Whether more bytes would not change the window.
            let settled = self.at_end || rest.len() > WINDOW_BYTES;
            let last = self.at_end && rest.len() <= WINDOW_BYTES;
            if last && window.is_empty() {
                return Ok(None);
            }
            let end = match self.delimiter {
                Some(delimiter) if self.unquoted == 0 => row_end(window, delimiter, last),
                _ => line_end(window, last),
            };
            match end {
                End::At { len, next } => return Ok(Some(self.take(len, next))),
                End::Beyond if !settled => self.refill()?,
                End::Beyond if self.delimiter.is_some() && self.unquoted == 0 => {
                    self.unquoted = window.len();
                }
                End::Beyond => return self.cut().map(Some),
            }
        }
    }

    /// Passes over a record in the buffer and its line end.
    fn take(&mut self, len: usize, next: usize) -> Found<'_> {
        let record = &self.buffer[self.start..self.start + len];
        self.start += next;
        self.unquoted = self.unquoted.saturating_sub(next);
        let record = record.strip_suffix(b"\r").unwrap_or(record);
        if record.len() < Reason::MAX_BYTES {
            Found::Whole(record)
        } else {
            let kept = record[..Rows::KEPT_BYTES].to_vec();
            Found::Cut { kept, bytes: record.len() as u64 }
        }
    }

    /// Passes over a line that has no end in the window, holding no more of it than its beginning.
    fn cut(&mut self) -> io::Result<Found<'_>> {
        let kept = self.buffer[self.start..self.start + Rows::KEPT_BYTES].to_vec();
        let mut bytes = 0;
        self.unquoted = 0;
        loop {
            let rest = &self.buffer[self.start..];
            if let Some(len) = memchr(b'\n', rest) {
                bytes += len as u64;
                self.start += len + 1;
                break;
            }
            bytes += rest.len() as u64;
            self.start = self.buffer.len();
            if self.at_end {
                break;
            }
            self.refill()?;
        }
        Ok(Found::Cut { kept, bytes })
    }

    /// Brings another chunk into the buffer.
    fn refill(&mut self) -> io::Result<()> {
        if let Some(error) = &self.failed {
            return Err(match error.raw_os_error() {
                Some(code) => io::Error::from_raw_os_error(code),
                None => io::Error::new(error.kind(), error.to_string()),
            });
        }
        self.buffer.drain(..self.start);
        self.start = 0;
        let read = (&mut self.input).take(CHUNK_BYTES as u64).read_to_end(&mut self.buffer);
        match read {
            Ok(read) => (self.at_end, self.got) = (read == 0, self.got + read as u64),
            Err(error) => self.failed = Some(error),
        }
        Ok(())
    }
}

/// The end of a line. With `last`, the window's end is the file's.
fn line_end(window: &[u8], last: bool) -> End {
    match memchr(b'\n', window) {
        Some(at) => End::At { len: at, next: at + 1 },
        None if last => End::At { len: window.len(), next: window.len() },
        None => End::Beyond,
    }
}

/// The end of a row whose fields may be quoted; `Beyond` also for a quote without end.
fn row_end(window: &[u8], delimiter: u8, last: bool) -> End {
    match memchr2(b'\n', b'"', window) {
        Some(at) if window[at] == b'"' => {}
        _ => return line_end(window, last),
    }
    let whole = |at: usize, next: usize| End::At { len: at, next };
    let mut at = 0;
    loop {
        if window.get(at) == Some(&b'"') {
            match closing_quote(&window[at + 1..]) {
                Some(len) => at += len + 2,
                None => return End::Beyond,
            }
            if at == window.len() && !last {
                // The quote may be the first half of a doubled one.
                return End::Beyond;
            }
        }
        match memchr2(b'\n', delimiter, &window[at..]) {
            Some(len) if window[at + len] == b'\n' => return whole(at + len, at + len + 1),
            Some(len) => at += len + 1,
            None if last => return whole(window.len(), window.len()),
            None => return End::Beyond,
        }
    }
}

/// Where the quote that ends a quoted field stands, seen from after the opening one. Two in a row
/// are one quote of the text.
pub(crate) fn closing_quote(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let quote = at + memchr(b'"', &text[at..])?;
        if text.get(quote + 1) != Some(&b'"') {
            return Some(quote);
        }
        at = quote + 2;
    }
}
