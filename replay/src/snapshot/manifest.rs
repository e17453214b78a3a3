//! What a snapshot consists of.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use connectors::durable;
use connectors::frame::{Read, frame, read};
use operators::model::{Epoch, Micros};
use operators::time::Watermark;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::SnapshotError;

/// What stands at the beginning of a manifest: its name and the version of the layout.
const HEADER: &[u8; 8] = b"braidsm1";

/// What was counted up to an epoch and does not follow from the events that were admitted.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Records read.
    pub read: u64,
    /// Records admitted.
    pub admitted: u64,
    /// Records on the erased list.
    pub erased: u64,
    /// Times that two people became one.
    pub merges: u64,
    /// Times that one person became two.
    pub splits: u64,
    /// Records that could not be used, by reason.
    pub dead_letters: BTreeMap<String, u64>,
}

/// Name of the file of a segment.
pub(super) fn segment_file(number: u64) -> String {
    format!("segment-{number:09}")
}

/// Name of the file of the snapshot at an epoch.
pub(super) fn file(epoch: Epoch) -> String {
    format!("manifest-{epoch:020}")
}

/// A segment, as a manifest names it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SegmentEntry {
    /// Its number; it is in the file named after it.
    pub number: u64,
    /// Its length.
    pub bytes: u64,
    /// Events in it.
    pub events: u64,
}

impl SegmentEntry {
    /// Name of its file.
    pub fn file(&self) -> String {
        segment_file(self.number)
    }
}

/// A snapshot.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Manifest {
    /// Hash of the job.
    pub job: String,
    /// Everything up to this epoch is in it.
    pub epoch: Epoch,
    /// When it was taken, by the clock.
    pub taken: Micros,
    /// The watermark after the epoch, and what it is made of.
    pub watermark: Watermark,
    /// What was counted up to the epoch.
    pub counts: Counts,
    /// Where the events are.
    pub segments: Vec<SegmentEntry>,
}

impl Manifest {
    /// Name of its file.
    pub fn file(&self) -> String {
        file(self.epoch)
    }

    /// Events in it.
    pub fn events(&self) -> u64 {
        self.segments.iter().map(|segment| segment.events).sum()
    }

    /// Bytes of its segments.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }
}

/// Writes a small file as a whole or not at all, with a checksum.
pub(super) fn write<T: Serialize>(path: &Path, value: &T) -> Result<(), SnapshotError> {
    let bytes =
        bincode::serialize(value).map_err(|e| SnapshotError::damaged(path, e.to_string()))?;
    let bytes = [HEADER.as_slice(), &frame(&bytes)].concat();
    durable::write(path, &bytes, false).map_err(|e| SnapshotError::disk(path, &e))
}

/// Reads what [`write`] wrote; `None` if it is not there.
pub(super) fn load<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, SnapshotError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(SnapshotError::disk(path, &error)),
    };
    let damaged = |message: &str| SnapshotError::damaged(path, message);
    if !bytes.starts_with(HEADER) {
        return Err(damaged("it does not begin as one of this version does"));
    }
    match read(&bytes, HEADER.len()) {
        Read::Frame(value, end) if end == bytes.len() => {
            bincode::deserialize(value).map(Some).map_err(|e| damaged(&e.to_string()))
        }
        _ => Err(damaged("it is not whole")),
    }
}
