//! What a snapshot consists of.

use std::collections::BTreeMap;

use connectors::bindings::Logged;
use connectors::frame::{Read, frame, read};
use operators::model::{Epoch, Micros};
use operators::time::Watermark;
use serde::{Deserialize, Serialize};

use super::SnapshotError;
use super::place::{Place, SEGMENTS};

/// What stands at the beginning of a manifest: its name and the version of the layout.
const HEADER: &[u8; 8] = b"braidsm3";

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
    format!("{SEGMENTS}{number:09}")
}

/// What the names of files of snapshots begin with.
const FILES: &str = "manifest-";

/// Name of the file of the snapshot at an epoch.
fn file(epoch: Epoch) -> String {
    format!("{FILES}{epoch:020}")
}

/// Whether a file has the name of a snapshot.
pub(super) fn is_manifest(file: &str) -> bool {
    file.starts_with(FILES)
}

/// The epoch of the snapshot that a file of this name is of.
pub(super) fn epoch_of(name: &str) -> Option<Epoch> {
    let epoch = name.strip_prefix(FILES)?.parse().ok()?;
    (file(epoch) == name).then_some(epoch)
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
    /// What stands for the bindings up to the epoch.
    pub beginning: Logged,
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

    /// Writes it, with a checksum. From now on the snapshot is there.
    pub(super) fn save(&self, place: &Place, run: &str) -> Result<(), SnapshotError> {
        let bytes = bincode::serialize(self);
        let bytes = bytes
            .map_err(|e| SnapshotError::damaged(&place.path(run, &self.file()), e.to_string()))?;
        place.write(run, &self.file(), &[HEADER.as_slice(), &frame(&bytes)].concat())
    }

    /// Reads one from a file of a run; `None` if it is not there.
    ///
    /// # Errors
    ///
    /// [`SnapshotError::Damaged`] if it is not as it was written.
    pub(super) fn load(
        place: &Place,
        run: &str,
        file: &str,
    ) -> Result<Option<Self>, SnapshotError> {
        let Some(bytes) = place.load(run, file)? else { return Ok(None) };
        let damaged = |message: &str| SnapshotError::damaged(&place.path(run, file), message);
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
}
