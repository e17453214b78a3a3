//! Which snapshot a run begins with.

use connectors::bindings::Logged;
use operators::model::Epoch;

use super::manifest::{Manifest, epoch_of, is_manifest};
use super::place::Place;
use super::{Blocks, SnapshotError};

/// A snapshot to begin with.
#[derive(Clone, Debug)]
pub struct Begin {
    /// Where it is.
    pub place: Place,
    /// The run that it belongs to.
    pub run: String,
    /// What it consists of.
    pub manifest: Manifest,
}

impl Begin {
    /// Opens its segment of a number in [`Manifest::segments`].
    ///
    /// # Errors
    ///
    /// What [`Blocks`] says; there being no such segment.
    pub fn blocks(&self, segment: usize) -> Result<Blocks, SnapshotError> {
        let path = || self.place.path(&self.run, &self.manifest.file());
        let entry = self.manifest.segments.get(segment);
        let none = || SnapshotError::damaged(&path(), format!("there is no segment {segment}"));
        Blocks::open(&self.place, &self.run, entry.ok_or_else(none)?)
    }
}

/// What was looked for and found.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// The newest snapshot that can be used, if there is one.
    pub begin: Option<Begin>,
    /// Why newer ones were passed over.
    pub passed_over: Vec<String>,
}

/// Looks for the newest snapshot of a job that is not newer than an epoch, to which its bindings
/// and every output must have come, and that is whole to the last byte. `is_ours` says whether its
/// bindings are those of the job, if that is known. `looked` is told how many bytes of how many
/// have been looked at.
///
/// # Errors
///
/// A place that can't be reached. What is wrong with a snapshot is a reason to pass it over.
pub fn find(
    place: &Place,
    job: &str,
    upto: Epoch,
    is_ours: impl Fn(&Logged) -> Option<bool>,
    mut looked: impl FnMut(u64, u64),
) -> Result<Found, SnapshotError> {
    let mut found = Found::default();
    for run in place.runs()? {
        let mut files = place.files(&run)?;
        files.retain(|file| is_manifest(file) && epoch_of(file).is_none_or(|epoch| epoch <= upto));
        for file in files.into_iter().rev() {
            let whole = Manifest::load(place, &run, &file).and_then(|manifest| {
                let Some(manifest) = manifest.filter(|m| m.epoch <= upto && m.job == job) else {
                    return Ok(None);
                };
                match is_ours(&manifest.beginning) {
                    None => return Ok(None),
                    Some(true) => {}
                    Some(false) => {
                        let path = place.path(&run, &file);
                        return Err(SnapshotError::damaged(&path, "it is of other bindings"));
                    }
                }
                let begin = Begin { place: place.clone(), run: run.clone(), manifest };
                check(&begin, &mut looked)?;
                Ok(Some(begin))
            });
            match whole {
                Ok(None) => {}
                Ok(begin) => {
                    found.begin = begin;
                    return Ok(found);
                }
                Err(error) if error.is_passing() => return Err(error),
                Err(error) => found.passed_over.push(error.to_string()),
            }
        }
    }
    Ok(found)
}

/// What stands for the bindings up to the oldest snapshot of a job: a run that begins with any of
/// them needs no earlier ones. Whether snapshots are whole is not looked at.
///
/// # Errors
///
/// A place that can't be reached.
pub fn oldest(place: &Place, job: &str) -> Result<Option<Logged>, SnapshotError> {
    let mut snapshots = Vec::new();
    for run in place.runs()? {
        let files = place.files(&run)?.into_iter();
        snapshots.extend(files.filter_map(|file| Some((epoch_of(&file)?, run.clone(), file))));
    }
    snapshots.sort();
    for (_, run, file) in snapshots {
        match Manifest::load(place, &run, &file) {
            Ok(Some(manifest)) if manifest.job == job => return Ok(Some(manifest.beginning)),
            Err(error) if error.is_passing() => return Err(error),
            _ => {}
        }
    }
    Ok(None)
}

/// Looks at every byte of a snapshot.
fn check(begin: &Begin, looked: &mut impl FnMut(u64, u64)) -> Result<(), SnapshotError> {
    let (mut bytes, all) = (0, begin.manifest.bytes());
    for segment in 0..begin.manifest.segments.len() {
        let mut blocks = begin.blocks(segment)?;
        while let Some(block) = blocks.next()? {
            bytes += block.len() as u64;
            looked(bytes, all);
        }
    }
    Ok(())
}
