//! Segments: files of blocks of events, written once.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use connectors::durable;
use connectors::frame;
use connectors::moments::{Moment, reach};
use operators::model::Event;

use super::block::encode;
use super::{SegmentEntry, SnapshotError};

/// What stands at the beginning of a segment: its name and the version of the layout.
const HEADER: &[u8; 8] = b"braidss1";
/// Events in a block: some 300 kB, which a worker takes at once.
const BLOCK_EVENTS: usize = 4096;

/// A segment that is being written. It has another name until it is whole.
pub(super) struct SegmentWriter {
    path: PathBuf,
    file: BufWriter<File>,
    entry: SegmentEntry,
    waiting: Vec<Arc<Event>>,
}

impl SegmentWriter {
    /// Begins a segment in a folder.
    pub(super) fn begin(folder: &Path, number: u64) -> Result<Self, SnapshotError> {
        let entry = SegmentEntry { number, bytes: HEADER.len() as u64, events: 0 };
        let path = folder.join(entry.file());
        let new = durable::unfinished(&path);
        let file = File::create(&new).map_err(|e| SnapshotError::disk(&new, &e))?;
        let mut writer = Self { path, file: BufWriter::new(file), entry, waiting: Vec::new() };
        writer.write(HEADER)?;
        Ok(writer)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), SnapshotError> {
        self.file.write_all(bytes).map_err(|e| SnapshotError::disk(&self.path, &e))
    }

    fn block(&mut self) -> Result<(), SnapshotError> {
        let block = encode(&self.waiting);
        let block = block.map_err(|message| SnapshotError::damaged(&self.path, message))?;
        self.entry.events += self.waiting.len() as u64;
        self.waiting.clear();
        self.frame(&block)
    }

    fn frame(&mut self, block: &[u8]) -> Result<(), SnapshotError> {
        let framed = frame::frame(block);
        self.entry.bytes += framed.len() as u64;
        self.write(&framed)
    }

    /// Takes in events.
    pub(super) fn add(
        &mut self,
        events: impl IntoIterator<Item = Arc<Event>>,
    ) -> Result<(), SnapshotError> {
        for event in events {
            self.waiting.push(event);
            if self.waiting.len() == BLOCK_EVENTS {
                self.block()?;
            }
        }
        Ok(())
    }

    /// Adds all that is in another segment.
    fn append(&mut self, folder: &Path, entry: &SegmentEntry) -> Result<(), SnapshotError> {
        let mut blocks = Blocks::open(folder, entry)?;
        while let Some(block) = blocks.next()? {
            self.frame(&block)?;
        }
        self.entry.events += entry.events;
        Ok(())
    }

    /// Writes what is left; from now on the segment survives a crash.
    pub(super) fn finish(mut self) -> Result<SegmentEntry, SnapshotError> {
        if !self.waiting.is_empty() {
            self.block()?;
        }
        let path = self.path;
        let fail = |e: io::Error| SnapshotError::disk(&path, &e);
        let file = self.file.into_inner().map_err(|e| fail(e.into_error()))?;
        file.sync_all().map_err(fail)?;
        reach(Moment::SnapshotPart);
        durable::finish(&path).map_err(fail)?;
        Ok(self.entry)
    }
}

/// One segment of several.
pub(super) fn join(
    folder: &Path,
    entries: &[SegmentEntry],
    number: u64,
) -> Result<SegmentEntry, SnapshotError> {
    let mut whole = SegmentWriter::begin(folder, number)?;
    entries.iter().try_for_each(|entry| whole.append(folder, entry))?;
    whole.finish()
}

/// The blocks of a segment, one after the other, each checked.
pub struct Blocks {
    path: PathBuf,
    file: BufReader<File>,
}

impl Blocks {
    /// Opens a segment of a folder.
    ///
    /// # Errors
    ///
    /// A file that is not there, or of another length.
    pub fn open(folder: &Path, entry: &SegmentEntry) -> Result<Self, SnapshotError> {
        let path = folder.join(entry.file());
        let fail = |e: io::Error| SnapshotError::disk(&path, &e);
        let file = File::open(&path).map_err(fail)?;
        let bytes = file.metadata().map_err(fail)?.len();
        if bytes != entry.bytes {
            let message = format!("{bytes} bytes long, was {}", entry.bytes);
            return Err(SnapshotError::damaged(&path, message));
        }
        let mut file = BufReader::with_capacity(1 << 18, file);
        let mut header = Vec::with_capacity(HEADER.len());
        file.by_ref().take(HEADER.len() as u64).read_to_end(&mut header).map_err(fail)?;
        if header != HEADER {
            return Err(SnapshotError::damaged(&path, "it does not begin as a segment does"));
        }
        Ok(Self { path, file })
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
            _ => SnapshotError::disk(&self.path, &error),
        })
    }

    /// The segment's file, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Looks at every byte of a segment.
pub(super) fn check(folder: &Path, entry: &SegmentEntry) -> Result<(), SnapshotError> {
    let mut blocks = Blocks::open(folder, entry)?;
    while blocks.next()?.is_some() {}
    Ok(())
}
