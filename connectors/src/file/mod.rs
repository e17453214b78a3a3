//! Files as a source: a list of files, read record by record from any position.
//!
//! What holds:
//! - The list is fixed when the source is opened: the files of an earlier run first, in its order
//!   ([`FileSpec::recorded`]), then files that are new, sorted by path. A file's *index* in the list
//!   is its partition and never changes.
//! - A file counts as it was when it was first listed: its length is recorded, and bytes appended
//!   since are not read. So the same positions lead to the same records in every run.
//! - A file that is missing, shorter or other than recorded is [`SourceError::Gone`].
//! - Records are split here and decoded elsewhere ([`crate::decode`]), so that one reading thread
//!   feeds several decoding ones.

mod batch;
mod error;
mod spec;

pub use batch::{Header, RawBatch, RawRecords, Rows};
pub use error::SourceError;
pub use spec::{Compression, FileEntry, FileSpec, Format, Position};
