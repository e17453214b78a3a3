//! Takes snapshots.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use connectors::durable::is_unfinished;
use connectors::moments::{Moment, reach};
use operators::model::{Epoch, Event, Micros};
use operators::time::Watermark;

use super::folder::{Begin, folders, list};
use super::manifest::{Counts, Manifest, SegmentEntry, segment_file, write};
use super::segment::{SegmentWriter, join};
use super::{SnapshotError, manifest};

/// Neighbouring segments are joined when so many are of like size: each event is then written again
/// a few times in its life, and there are few segments.
const JOIN_COUNT: usize = 4;
/// Segments are not joined to a longer one than this.
const JOIN_BYTES_MAX: u64 = 1 << 30;
/// Usable snapshots that are kept, in case one is found damaged.
const KEPT: usize = 2;

/// Writes the snapshots of one run.
pub struct Writer {
    root: PathBuf,
    folder: PathBuf,
    job: String,
    next: u64,
    segments: Vec<SegmentEntry>,
    open: Option<SegmentWriter>,
    /// The snapshots that are there, oldest first, and the numbers of their segments.
    taken: BTreeMap<Epoch, BTreeSet<u64>>,
    usable: Epoch,
}

impl Writer {
    /// Begins a folder of its own for a run of a job. What the run begins with is taken over into
    /// it, and the folders of earlier runs are removed.
    pub fn open(
        root: &Path,
        job: &str,
        generation: u64,
        begin: Option<&mut Begin>,
    ) -> Result<Self, SnapshotError> {
        let folder = own_folder(root, generation)?;
        let (next, taken) = (1, BTreeMap::new());
        let (root, job, segments) = (root.to_owned(), job.to_owned(), Vec::new());
        let mut writer = Self { root, folder, job, next, segments, open: None, taken, usable: 0 };
        if let Some(begin) = begin {
            writer.take_over(begin)?;
            begin.folder.clone_from(&writer.folder);
            writer.remove_earlier()?;
        }
        Ok(writer)
    }

    fn take_over(&mut self, begin: &Begin) -> Result<(), SnapshotError> {
        let manifest = &begin.manifest;
        for entry in &manifest.segments {
            let (from, to) = (begin.folder.join(entry.file()), self.folder.join(entry.file()));
            // Where there are no links, a copy does as well.
            let linked = fs::hard_link(&from, &to).or_else(|_| fs::copy(&from, &to).map(|_| ()));
            linked.map_err(|e| SnapshotError::disk(&to, &e))?;
        }
        write(&self.folder.join(manifest.file()), manifest)?;
        self.segments.clone_from(&manifest.segments);
        self.next = self.segments.iter().map(|entry| entry.number + 1).max().unwrap_or(1);
        self.usable = manifest.epoch;
        self.note(manifest.epoch);
        Ok(())
    }

    fn note(&mut self, epoch: Epoch) {
        self.taken.insert(epoch, self.segments.iter().map(|entry| entry.number).collect());
    }

    fn remove_earlier(&self) -> Result<(), SnapshotError> {
        for earlier in folders(&self.root)?.into_iter().filter(|folder| *folder < self.folder) {
            let gone = fs::remove_dir_all(&earlier);
            gone.or_else(is_gone).map_err(|e| SnapshotError::disk(&earlier, &e))?;
        }
        Ok(())
    }

    /// Takes in events that were admitted.
    pub fn add(
        &mut self,
        events: impl IntoIterator<Item = Arc<Event>>,
    ) -> Result<(), SnapshotError> {
        let mut events = events.into_iter().peekable();
        if events.peek().is_none() {
            return Ok(());
        }
        if self.open.is_none() {
            self.open = Some(SegmentWriter::begin(&self.folder, self.next)?);
            self.next += 1;
        }
        self.open.as_mut().map_or(Ok(()), |open| open.add(events))
    }

    /// Takes the snapshot at an epoch: all events up to it, and none later, have been taken in.
    pub fn take(
        &mut self,
        epoch: Epoch,
        taken: Micros,
        watermark: &Watermark,
        counts: &Counts,
    ) -> Result<Manifest, SnapshotError> {
        if let Some(open) = self.open.take() {
            self.segments.push(open.finish()?);
        }
        self.join()?;
        let manifest = Manifest {
            job: self.job.clone(),
            epoch,
            taken,
            watermark: watermark.clone(),
            counts: counts.clone(),
            segments: self.segments.clone(),
        };
        reach(Moment::SnapshotManifest);
        write(&self.folder.join(manifest.file()), &manifest)?;
        reach(Moment::SnapshotTaken);
        self.note(epoch);
        Ok(manifest)
    }

    /// Joins the last segments if there are many of like size.
    fn join(&mut self) -> Result<(), SnapshotError> {
        let (mut from, mut bytes) = (self.segments.len(), 0);
        while let Some(entry) = from.checked_sub(1).and_then(|at| self.segments.get(at)) {
            let fits = bytes + entry.bytes <= JOIN_BYTES_MAX;
            if !fits || (bytes > 0 && entry.bytes > 2 * bytes) {
                break;
            }
            (from, bytes) = (from - 1, bytes + entry.bytes);
        }
        if self.segments.len() - from < JOIN_COUNT {
            return Ok(());
        }
        let whole = join(&self.folder, &self.segments[from..], self.next)?;
        self.next += 1;
        self.segments.truncate(from);
        self.segments.push(whole);
        Ok(())
    }

    /// Notes that every output holds everything up to an epoch: snapshots up to it are usable.
    /// Removes those that are older than the last few of them.
    pub fn passed(&mut self, epoch: Epoch) -> Result<(), SnapshotError> {
        let newest = self.taken.range(..=epoch).next_back().map(|(epoch, _)| *epoch);
        let Some(newest) = newest.filter(|newest| *newest > self.usable) else { return Ok(()) };
        if self.usable == 0 {
            self.remove_earlier()?;
        }
        self.usable = newest;
        self.collect()
    }

    /// The epoch of the newest snapshot that every output has passed; 0 if there is none.
    pub fn usable(&self) -> Epoch {
        self.usable
    }

    fn collect(&mut self) -> Result<(), SnapshotError> {
        let kept = self.taken.range(..=self.usable).rev().nth(KEPT - 1).map(|(epoch, _)| *epoch);
        let Some(kept) = kept else { return Ok(()) };
        let later = self.taken.split_off(&kept);
        let gone = std::mem::replace(&mut self.taken, later);
        let mut used: BTreeSet<u64> = self.taken.values().flatten().copied().collect();
        used.extend(self.segments.iter().map(|entry| entry.number));
        let gone = gone.into_keys().map(|epoch| self.folder.join(manifest::file(epoch)));
        // Also those that were joined before any snapshot named them. One that is being written has
        // another name.
        let used: Vec<PathBuf> =
            used.into_iter().map(|number| self.folder.join(segment_file(number))).collect();
        let unused = list(&self.folder, "segment-")?.into_iter();
        let unused = unused.filter(|path| !is_unfinished(path) && !used.contains(path));
        for path in gone.chain(unused) {
            let removed = fs::remove_file(&path).or_else(is_gone);
            removed.map_err(|e| SnapshotError::disk(&path, &e))?;
        }
        Ok(())
    }
}

/// What is not there need not be removed.
fn is_gone(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

/// A new folder, later in order than those of earlier runs. A run that bound nothing leaves its
/// generation to the next.
fn own_folder(root: &Path, generation: u64) -> Result<PathBuf, SnapshotError> {
    fs::create_dir_all(root).map_err(|e| SnapshotError::disk(root, &e))?;
    let mut attempt = 0;
    loop {
        let folder = root.join(format!("g{generation:09}-{attempt:06}"));
        match fs::create_dir(&folder) {
            Ok(()) => return Ok(folder),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => attempt += 1,
            Err(error) => return Err(SnapshotError::disk(&folder, &error)),
        }
    }
}
