//! Takes in what is admitted, until a snapshot is taken of it.

use std::path::PathBuf;
use std::sync::Arc;

use operators::model::Event;

use super::SnapshotError;
use super::segment::{Part, PartWriter};

/// No segment is longer by more than a block: stores copy and send objects of this size well.
pub(super) const SEGMENT_BYTES_MAX: u64 = 1 << 30;

/// Writes the events of one run into files, whether the place of its snapshots can be reached or
/// not. What it has written is lost with the run unless [`super::Shelf::take`] gets it.
pub struct Writer {
    folder: PathBuf,
    /// Parts begun.
    begun: u64,
    open: Option<PartWriter>,
    whole: Vec<Part>,
}

impl Writer {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder, begun: 0, open: None, whole: Vec::new() }
    }

    /// Takes in events that were admitted.
    pub fn add(
        &mut self,
        events: impl IntoIterator<Item = Arc<Event>>,
    ) -> Result<(), SnapshotError> {
        for event in events {
            let mut open = if let Some(open) = self.open.take() {
                open
            } else {
                self.begun += 1;
                PartWriter::begin(self.folder.join(format!("part-{:09}", self.begun)))?
            };
            open.add(event)?;
            if open.bytes() < SEGMENT_BYTES_MAX {
                self.open = Some(open);
            } else {
                self.whole.push(open.finish()?);
            }
        }
        Ok(())
    }

    /// What has been taken in since the last time, whole and synced.
    pub fn cut(&mut self) -> Result<Vec<Part>, SnapshotError> {
        if let Some(open) = self.open.take() {
            self.whole.push(open.finish()?);
        }
        Ok(std::mem::take(&mut self.whole))
    }
}
