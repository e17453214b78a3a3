//! Segments: files of blocks of events, written once.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use connectors::frame;
use connectors::moments::{Moment, reach};
use operators::model::Event;

use super::block::encode;
use super::place::Place;
use super::{SegmentEntry, SnapshotError};

/// What stands at the beginning of a segment: its name and the version of the layout.
const HEADER: &[u8; 8] = b"braidss1";
/// Events in a block: some 300 kB, which a worker takes at once.
const BLOCK_EVENTS: usize = 4096;

/// What is to become a segment: a whole file that has not been brought to its place.
#[derive(Debug)]
pub struct Part {
    /// The file.
    pub(super) path: PathBuf,
    /// Its length.
    pub(super) bytes: u64,
    /// Events in it.
    pub(super) events: u64,
}

/// A part that is being written.
pub(super) struct PartWriter {
    file: BufWriter<File>,
    part: Part,
    waiting: Vec<Arc<Event>>,
}

impl PartWriter {
    /// Begins a file.
    pub(super) fn begin(path: PathBuf) -> Result<Self, SnapshotError> {
        let file = File::create(&path).map_err(|e| SnapshotError::disk(&path, &e))?;
        let part = Part { path, bytes: HEADER.len() as u64, events: 0 };
        let mut writer = Self { file: BufWriter::new(file), part, waiting: Vec::new() };
        writer.write(HEADER)?;
        Ok(writer)
    }

    /// Bytes written so far.
    pub(super) fn bytes(&self) -> u64 {
        self.part.bytes
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), SnapshotError> {
        self.file.write_all(bytes).map_err(|e| SnapshotError::disk(&self.part.path, &e))
    }

    fn block(&mut self) -> Result<(), SnapshotError> {
        let block = encode(&self.waiting);
        let block = block.map_err(|message| SnapshotError::damaged(&self.part.path, message))?;
        self.part.events += self.waiting.len() as u64;
        self.waiting.clear();
        self.frame(&block)
    }

    fn frame(&mut self, block: &[u8]) -> Result<(), SnapshotError> {
        let framed = frame::frame(block);
        self.part.bytes += framed.len() as u64;
        self.write(&framed)
    }

    /// Takes in an event.
    pub(super) fn add(&mut self, event: Arc<Event>) -> Result<(), SnapshotError> {
        self.waiting.push(event);
        if self.waiting.len() == BLOCK_EVENTS { self.block() } else { Ok(()) }
    }

    /// Adds all that is in a segment.
    pub(super) fn append(
        &mut self,
        mut blocks: Blocks,
        entry: &SegmentEntry,
    ) -> Result<(), SnapshotError> {
        while let Some(block) = blocks.next()? {
            self.frame(&block)?;
        }
        self.part.events += entry.events;
        Ok(())
    }

    /// Writes what is left; from now on the file survives a crash.
    pub(super) fn finish(mut self) -> Result<Part, SnapshotError> {
        if !self.waiting.is_empty() {
            self.block()?;
        }
        let fail = |e: io::Error| SnapshotError::disk(&self.part.path, &e);
        let file = self.file.into_inner().map_err(|e| fail(e.into_error()))?;
        file.sync_all().map_err(fail)?;
        reach(Moment::SnapshotPart);
        Ok(self.part)
    }

    /// Leaves it.
    pub(super) fn discard(self) {
        // If it can't be removed, the next run does.
        let _ = fs::remove_file(&self.part.path);
    }
}

/// The blocks of a segment, one after the other, each checked.
pub struct Blocks {
    place: Place,
    path: PathBuf,
    file: BufReader<Box<dyn Read + Send>>,
}

impl Blocks {
    /// Opens a segment of a run.
    ///
    /// # Errors
    ///
    /// A file that is not there, or of another length.
    pub(super) fn open(
        place: &Place,
        run: &str,
        entry: &SegmentEntry,
    ) -> Result<Self, SnapshotError> {
        let path = place.path(run, &entry.file());
        let (bytes, file) = place.open_file(run, &entry.file())?;
        if bytes != entry.bytes {
            let message = format!("{bytes} bytes long, was {}", entry.bytes);
            return Err(SnapshotError::damaged(&path, message));
        }
        let mut file = BufReader::with_capacity(1 << 18, file);
        let mut header = Vec::with_capacity(HEADER.len());
        let read = file.by_ref().take(HEADER.len() as u64).read_to_end(&mut header);
        read.map_err(|e| place.unreadable(&path, &e))?;
        if header != HEADER {
            return Err(SnapshotError::damaged(&path, "it does not begin as a segment does"));
        }
        Ok(Self { place: place.clone(), path, file })
    }

    /// The next block's bytes, to be decoded by a [`super::BlockReader`]; `None` at the end.
    ///
    /// # Errors
    ///
    /// [`SnapshotError::Damaged`] where the checksum is another one.
    #[expect(clippy::should_implement_trait, reason = "it fails, and ends then")]
    pub fn next(&mut self) -> Result<Option<Vec<u8>>, SnapshotError> {
        frame::next(&mut self.file).map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => SnapshotError::damaged(&self.path, error.to_string()),
            _ => self.place.unreadable(&self.path, &error),
        })
    }

    /// The segment's file, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }
}
