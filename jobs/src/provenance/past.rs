//! What was admitted up to an epoch, read again while the job may be running.
//!
//! The records are read and decoded by the code that read them first, and admitted by the same
//! watermarks, from the newest snapshot on if there is one; or they are taken from the job's
//! archive. Nothing is written and nothing is held: a job that runs notices nothing of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use connectors::bindings::{Binding, Logged};
use connectors::decode::{Decoded, Decoder};
use connectors::kafka::{PartitionId, Replayed};
use operators::model::{Epoch, Event, Micros, Origin};
use operators::time::{Lane, Watermark, admission};
use replay::history::{Source, marks, watermark};
use replay::snapshot::{self, BlockReader, Blocks, Manifest, SnapshotError};

use crate::query::{Known, QueryError, last};
use crate::runtime::plan::load_version;
use crate::runtime::{
    Extent, Plan, Progress, RunError, job_text_of, open_archive, peek, snapshots_of,
};

/// Records decoded at once.
const BATCH_RECORDS: usize = 4096;
/// A running job replaces its snapshots: one that goes while it is opened is looked for so often.
const SNAPSHOTS_TRIED: usize = 5;

/// Whose past it is, and what it is read from.
#[derive(Clone, Copy, Debug)]
pub struct Of<'a> {
    /// The job file.
    pub path: &'a Path,
    /// What it says now, or the job of a replay.
    pub plan: &'a Plan,
    /// Of a replay: nothing up to this epoch is in it. It has no earlier versions.
    pub replay: Option<Epoch>,
    /// Whether the job's archive is read instead of its sources.
    pub archive: bool,
}

impl<'a> Of<'a> {
    /// The past of the job at `path`, whose file says `plan` now, from its sources.
    pub fn job(path: &'a Path, plan: &'a Plan) -> Self {
        Self { path, plan, replay: None, archive: false }
    }
}

/// Everything that a job had read by an epoch.
pub struct Past {
    /// The version of the job that has published what stands at the epoch.
    pub plan: Plan,
    /// The epoch.
    pub upto: Epoch,
    /// The text of that version.
    pub text: PathBuf,
    /// Nothing up to this epoch is in it.
    after: Epoch,
    archive: bool,
    bindings: Vec<Binding>,
    /// By source: its files or topics.
    parts: Vec<Vec<String>>,
}

/// Where a record came from, for a person.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// Name of the source.
    pub source: Arc<str>,
    /// The file, or the topic with its partition.
    pub part: String,
    /// The record's number in the file, from 1, or its offset.
    pub offset: u64,
}

impl Past {
    /// The past up to an epoch; without one up to the last in the job's tables, or, if it writes
    /// none, the last that is bound.
    ///
    /// # Errors
    ///
    /// The job has not run; the bindings or the text of an earlier version can't be read.
    pub fn open(of: &Of<'_>, until: Option<Known>) -> Result<Self, QueryError> {
        let Of { path, plan, replay, archive } = *of;
        let bindings = peek(plan)?;
        let upto = match until {
            Some(known) => known.epoch,
            None if plan.tables.is_some() => last(plan)?.epoch,
            None => bindings.last().map_or(0, |binding| binding.epoch),
        };
        let Some(binding) = bindings.iter().rfind(|binding| binding.epoch <= upto) else {
            let message = "nothing is published yet: run the job, or wait for its first commit";
            return Err(QueryError::Usage(message.to_owned()));
        };
        let plan = match replay {
            Some(_) => plan.clone(),
            None => version(path, plan, &binding.job)?,
        };
        let text = match replay {
            Some(_) => plan.out.join("job.toml"),
            None => job_text_of(&plan, &plan.hash),
        };
        let (parts, after) = (parts(&plan, &bindings), replay.unwrap_or(0));
        Ok(Self { plan, upto, text, after, archive, bindings, parts })
    }

    /// Hands out every event that was admitted, in no order.
    ///
    /// # Errors
    ///
    /// Records that are not there as they were.
    pub fn each(
        &self,
        progress: &dyn Progress,
        mut take: impl FnMut(Arc<Event>),
    ) -> Result<(), QueryError> {
        let (mut done, mut records) = (self.after, 0);
        let mut watermark = watermark(self.plan.time.disorder, &self.bindings, done);
        if let Some((manifest, segments)) = self.snapshot()? {
            progress.begin(Extent::Bytes(manifest.bytes()));
            (watermark, done) = (manifest.watermark, manifest.epoch);
            restore(segments, |events| {
                records += events.len() as u64;
                events.into_iter().for_each(&mut take);
                progress.update(0, records);
            })?;
        }
        if self.archive {
            self.each_kept(done, progress, take)?;
        } else {
            self.each_read((done, watermark), progress, take)?;
        }
        progress.end();
        Ok(())
    }

    /// What the archive has kept of the epochs after `done`.
    fn each_kept(
        &self,
        done: Epoch,
        progress: &dyn Progress,
        mut take: impl FnMut(Arc<Event>),
    ) -> Result<(), QueryError> {
        if done >= self.upto {
            return Ok(());
        }
        let archive = open_archive((&self.plan.bound, &self.plan.name), &self.plan);
        let mut archive = archive.map_err(RunError::from)?;
        archive.begin((done + 1, self.upto)).map_err(RunError::from)?;
        progress.begin(Extent::Epochs(self.upto - done));
        let mut records = 0;
        for epoch in done + 1..=self.upto {
            let events = archive.next(epoch).map_err(RunError::from)?;
            records += events.len() as u64;
            events.into_iter().for_each(&mut take);
            progress.update(epoch - done, records);
        }
        Ok(())
    }

    /// What the sources give again of the epochs after `done`, with the watermark after that.
    fn each_read(
        &self,
        (done, mut watermark): (Epoch, Watermark),
        progress: &dyn Progress,
        mut take: impl FnMut(Arc<Event>),
    ) -> Result<(), QueryError> {
        let plan = &self.plan;
        let (mut sources, mut decoders) = (Vec::new(), Vec::new());
        for source in &plan.sources {
            let opened = Source::open(&source.records, &self.bindings, done);
            sources.push(opened.map_err(RunError::from)?);
            decoders.push(Decoder::new(&source.decode).map_err(RunError::from)?);
        }
        progress.begin(Extent::Bytes(sources.iter().map(Source::bytes_total).sum()));
        let mut records = 0;
        let mut decoded = Decoded::default();
        let later = |binding: &&Binding| binding.epoch > done && binding.epoch <= self.upto;
        for binding in self.bindings.iter().filter(later) {
            let mut largest: BTreeMap<Lane, Micros> = BTreeMap::new();
            for source in &mut sources {
                loop {
                    let step = source.replay(binding, BATCH_RECORDS).map_err(RunError::from)?;
                    let batch = match step {
                        Replayed::Batch(batch) => batch,
                        Replayed::Waiting => continue,
                        Replayed::Done => break,
                    };
                    decoded.clear();
                    let decoder = &mut decoders[usize::from(batch.source)];
                    decoder.decode(&batch, binding.wall_time, &mut decoded);
                    records += batch.len() as u64;
                    for (event, received) in decoded.events.drain(..) {
                        let time = event.key.time;
                        if admission::too_early(&plan.time, time, received) {
                            continue;
                        }
                        let most = largest.entry(batch.lane()).or_insert(time);
                        *most = time.max(*most);
                        // By the watermark after the epoch before.
                        if admission::admit(&plan.time, watermark.current(), time).is_ok() {
                            take(Arc::new(event));
                        }
                    }
                }
            }
            for (lane, largest) in largest {
                watermark.observe(lane, Some(largest), None);
            }
            for mark in marks(binding) {
                watermark.observe(mark.lane, mark.largest, mark.quiet);
            }
            watermark.advance();
            progress.update(sources.iter().map(Source::bytes_read).sum(), records);
        }
        Ok(())
    }

    /// The newest snapshot up to the epoch, with its segments open: then they can be read also when
    /// the job has put others in their place.
    fn snapshot(&self) -> Result<Option<(Manifest, Vec<Blocks>)>, QueryError> {
        let Some(place) = snapshots_of(&self.plan).map_err(RunError::from)? else {
            return Ok(None);
        };
        let is_ours = |sum: &Logged| {
            let (epoch, at) = (sum.binding.epoch, sum.binding.wall_time);
            Some(self.bindings.iter().any(|b| b.epoch == epoch && b.wall_time == at))
        };
        let mut failed = None;
        for _ in 0..SNAPSHOTS_TRIED {
            let found = snapshot::find(&place, &self.plan.hash, self.upto, is_ours, |_, _| {});
            let opened = found.and_then(|found| {
                let Some(begin) = found.begin else { return Ok(None) };
                let places = 0..begin.manifest.segments.len();
                let segments: Result<Vec<Blocks>, SnapshotError> =
                    places.map(|segment| begin.blocks(segment)).collect();
                Ok(Some((begin.manifest, segments?)))
            });
            match opened {
                Ok(opened) => return Ok(opened),
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(None), |error| Err(RunError::from(error).into()))
    }

    /// Where a record came from.
    pub fn place(&self, origin: Origin) -> Place {
        let source = usize::from(origin.source);
        let planned = self.plan.sources.get(source);
        let parts = self.parts.get(source).map_or(&[][..], Vec::as_slice);
        let in_files = planned.is_some_and(|source| source.records.files().is_some());
        let part = if in_files {
            parts.get(origin.partition as usize).cloned()
        } else {
            let partition = PartitionId(origin.partition);
            let topic = parts.get(partition.topic());
            topic.map(|topic| format!("{topic}[{}]", partition.number()))
        };
        Place {
            source: planned.map_or_else(|| "".into(), |source| Arc::clone(&source.name)),
            part: part.unwrap_or_else(|| origin.partition.to_string()),
            offset: origin.offset,
        }
    }
}

/// The events of a snapshot's segments, a block at a time.
fn restore(segments: Vec<Blocks>, mut take: impl FnMut(Vec<Arc<Event>>)) -> Result<(), QueryError> {
    let mut reader = BlockReader::default();
    for mut blocks in segments {
        while let Some(block) = blocks.next().map_err(RunError::from)? {
            let events = reader.decode(&block).map_err(|message| {
                let path = blocks.path().to_path_buf();
                RunError::from(SnapshotError::Damaged { path, message })
            })?;
            take(events);
        }
    }
    Ok(())
}

/// The files or topics of each source, in its order.
fn parts(plan: &Plan, bindings: &[Binding]) -> Vec<Vec<String>> {
    let mut parts = vec![Vec::new(); plan.sources.len()];
    for binding in bindings {
        for (source, entry) in &binding.files {
            let spec = plan.sources.get(usize::from(*source)).and_then(|s| s.records.files());
            if let Some(spec) = spec {
                let path = spec.base.join(&entry.path).display().to_string();
                parts[usize::from(*source)].push(path);
            }
        }
        for (source, part) in &binding.kafka {
            if let Some(topics) = parts.get_mut(usize::from(*source)) {
                topics.extend(part.topics.iter().map(|topic| topic.name.clone()));
            }
        }
    }
    parts
}

/// The version of the job with a hash.
fn version(path: &Path, plan: &Plan, hash: &str) -> Result<Plan, QueryError> {
    if plan.hash == hash {
        return Ok(plan.clone());
    }
    let text = job_text_of(plan, hash);
    let words = |why: String| {
        QueryError::Usage(format!(
            "what stands is of another version of the job, which can't be used: {why}; run the job \
             as it is now, and ask again"
        ))
    };
    let content =
        fs::read_to_string(&text).map_err(|e| words(format!("{}: {e}", text.display())))?;
    let mut version = load_version(path, &content).map_err(|problems| {
        words(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
    })?;
    if version.hash != hash {
        return Err(words("its list of what is erased was another one".to_owned()));
    }
    version.out.clone_from(&plan.out);
    version.bound.clone_from(&plan.bound);
    Ok(version)
}
