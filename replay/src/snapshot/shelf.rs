//! The snapshots of one run at their place.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use connectors::bindings::Logged;
use connectors::moments::{Moment, reach};
use operators::model::{Epoch, Micros};
use operators::time::Watermark;

use super::manifest::{Counts, Manifest, SegmentEntry, epoch_of, segment_file};
use super::place::{Place, SEGMENTS};
use super::segment::{Blocks, Part, PartWriter};
use super::writer::SEGMENT_BYTES_MAX;
use super::{Begin, SnapshotError, Writer};

/// Neighbouring segments are joined when so many are of like size: each event is then written again
/// a few times in its life, and there are few segments.
const JOIN_COUNT: usize = 4;
/// Usable snapshots that are kept, in case one is found damaged.
const KEPT: usize = 2;

/// What a snapshot is taken of, beside the events.
#[derive(Clone, Debug)]
pub struct Taken {
    /// Everything up to this epoch is in it.
    pub epoch: Epoch,
    /// When it is taken, by the clock.
    pub at: Micros,
    /// The watermark after the epoch.
    pub watermark: Watermark,
    /// What was counted up to the epoch.
    pub counts: Counts,
    /// What stands for the bindings up to the epoch.
    pub beginning: Logged,
}

/// The snapshots of one run at their place.
pub struct Shelf {
    place: Place,
    run: String,
    job: String,
    next: u64,
    segments: Vec<SegmentEntry>,
    /// What could not be brought there yet, in order.
    waiting: VecDeque<Part>,
    /// The snapshots that are there, oldest first, and the numbers of their segments.
    taken: BTreeMap<Epoch, BTreeSet<u64>>,
    usable: Epoch,
    /// Whether something may be there that no snapshot needs.
    untidy: bool,
}

impl Shelf {
    /// Begins a run of a job. What it begins with is taken over into a folder of its own, and
    /// earlier runs are removed.
    pub fn open(
        place: &Place,
        job: &str,
        generation: u64,
        begin: Option<&mut Begin>,
    ) -> Result<Self, SnapshotError> {
        let mut shelf = Self {
            place: place.clone(),
            run: place.begin(generation)?,
            job: job.to_owned(),
            next: 1,
            segments: Vec::new(),
            waiting: VecDeque::new(),
            taken: BTreeMap::new(),
            usable: 0,
            untidy: false,
        };
        if let Some(begin) = begin {
            shelf.take_over(begin)?;
            (begin.place, begin.run) = (place.clone(), shelf.run.clone());
            shelf.remove_earlier()?;
        }
        Ok(shelf)
    }

    /// What takes in the events of the run.
    pub fn writer(&self) -> Writer {
        Writer::new(self.place.bench(&self.run))
    }

    fn take_over(&mut self, begin: &Begin) -> Result<(), SnapshotError> {
        let manifest = &begin.manifest;
        let files: Vec<String> = manifest.segments.iter().map(SegmentEntry::file).collect();
        self.place.take_over((&begin.place, &begin.run), &self.run, &files)?;
        manifest.save(&self.place, &self.run)?;
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
        let earlier = self.place.runs()?.into_iter().filter(|run| *run < self.run);
        earlier.into_iter().try_for_each(|run| self.place.remove_run(&run))
    }

    /// Takes a snapshot: all events up to its epoch, and none later, are in the parts that it and
    /// those before it were given. If it fails and [`SnapshotError::is_passing`], the next one
    /// brings along what this one could not.
    pub fn take(&mut self, parts: Vec<Part>, taken: Taken) -> Result<Manifest, SnapshotError> {
        self.waiting.extend(parts);
        while let Some(part) = self.waiting.front() {
            let number = self.next;
            self.place.keep(&self.run, &part.path, &segment_file(number))?;
            self.segments.push(SegmentEntry { number, bytes: part.bytes, events: part.events });
            self.next += 1;
            self.waiting.pop_front();
        }
        self.join()?;
        let manifest = Manifest {
            job: self.job.clone(),
            epoch: taken.epoch,
            taken: taken.at,
            watermark: taken.watermark,
            counts: taken.counts,
            beginning: taken.beginning,
            segments: self.segments.clone(),
        };
        reach(Moment::SnapshotManifest);
        self.place.hold(&self.run)?;
        manifest.save(&self.place, &self.run)?;
        reach(Moment::SnapshotTaken);
        self.note(manifest.epoch);
        Ok(manifest)
    }

    /// Joins the last segments if there are many of like size.
    fn join(&mut self) -> Result<(), SnapshotError> {
        let (mut from, mut bytes) = (self.segments.len(), 0);
        while let Some(entry) = from.checked_sub(1).and_then(|at| self.segments.get(at)) {
            let fits = bytes + entry.bytes <= SEGMENT_BYTES_MAX;
            if !fits || (bytes > 0 && entry.bytes > 2 * bytes) {
                break;
            }
            (from, bytes) = (from - 1, bytes + entry.bytes);
        }
        if self.segments.len() - from < JOIN_COUNT {
            return Ok(());
        }
        let number = self.next;
        let path = self.place.bench(&self.run).join(format!("join-{number:09}"));
        let mut whole = PartWriter::begin(path)?;
        for entry in &self.segments[from..] {
            let added = Blocks::open(&self.place, &self.run, entry)
                .and_then(|blocks| whole.append(blocks, entry));
            if let Err(error) = added {
                whole.discard();
                return Err(error);
            }
        }
        let part = whole.finish()?;
        self.place.keep(&self.run, &part.path, &segment_file(number))?;
        self.next += 1;
        self.segments.truncate(from);
        self.segments.push(SegmentEntry { number, bytes: part.bytes, events: part.events });
        Ok(())
    }

    /// Notes that every output holds everything up to an epoch: snapshots up to it are usable.
    /// Removes those that are older than the last few of them; what it can't remove now, it removes
    /// the next time.
    pub fn passed(&mut self, epoch: Epoch) -> Result<(), SnapshotError> {
        let newest = self.taken.range(..=epoch).next_back().map(|(epoch, _)| *epoch);
        if let Some(newest) = newest.filter(|newest| *newest > self.usable) {
            self.untidy = true;
            self.usable = newest;
        }
        if self.untidy {
            self.remove_earlier()?;
            self.collect()?;
            self.untidy = false;
        }
        Ok(())
    }

    /// The epoch of the newest snapshot that every output has passed; 0 if there is none.
    pub fn usable(&self) -> Epoch {
        self.usable
    }

    fn collect(&mut self) -> Result<(), SnapshotError> {
        let kept = self.taken.range(..=self.usable).rev().nth(KEPT - 1).map(|(epoch, _)| *epoch);
        let Some(kept) = kept else { return Ok(()) };
        self.taken = self.taken.split_off(&kept);
        let numbers = self.taken.values().flatten().copied();
        let numbers = numbers.chain(self.segments.iter().map(|entry| entry.number));
        let used: BTreeSet<String> = numbers.map(segment_file).collect();
        // Also those that were joined before any snapshot named them.
        let unused = |file: &String| match epoch_of(file) {
            Some(epoch) => epoch < kept,
            None => file.starts_with(SEGMENTS) && !used.contains(file),
        };
        let mut files = self.place.files(&self.run)?;
        files.retain(unused);
        self.place.remove(&self.run, &files)
    }
}
