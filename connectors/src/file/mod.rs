//! Files as a source: a list of files, read record by record from any position.
//!
//! What holds:
//! - The list is fixed when the source is opened: the files of an earlier run first, in its order
//!   ([`FileSpec::recorded`]), then files that are new, sorted by path. A file's *index* in the
//!   list is its partition and never changes.
//! - A file counts as it was when it was first listed: its length is recorded, and bytes appended
//!   since are not read ([`FileSource::longer`] says of which). So the same positions lead to the
//!   same records in every run, and a file must be whole when it appears.
//! - A file that is missing, shorter or other than recorded is [`SourceError::Gone`]. One that
//!   nothing is read of any more may be missing, but not be another. Whether it is another is told
//!   by its length and its beginning; whether records that are read again are those that were read,
//!   by a checksum of them ([`FileSource::check`]), but for Parquet.
//! - Every line or row has a number, from 1; a CSV header has none. A position is a count of them.
//!   Blank lines are numbered too, but are no records: decoding counts and skips them.
//! - Records are split here and decoded elsewhere ([`crate::decode`]), so that one reading thread
//!   feeds several decoding ones.
//! - How records are split depends on the bytes of the file alone, never on buffers or batch sizes.
//! - Memory: a reader holds less than 1.5 MB of text however long a line is, a batch holds
//!   [`BATCH_BYTES_MAX`] and one record; a Parquet reader holds one row group's open pages.

mod batch;
mod carry;
mod columnar;
mod digest;
mod error;
mod fields;
mod list;
mod source;
mod spec;
mod text;

#[cfg(test)]
mod tests;

pub use batch::{Header, RawBatch, RawRecords, Rows};
pub use error::SourceError;
pub use fields::{Fields, HalfQuote};
pub use source::FileSource;
pub use spec::{Compression, FileEntry, FileSpec, Format, Position};

/// A batch ends when it holds this many bytes: what a worker decodes in some tens of milliseconds.
pub const BATCH_BYTES_MAX: usize = 8 << 20;
