//! The folders of snapshots: which of them a run begins with.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use connectors::durable::is_unfinished;
use operators::model::Epoch;

use super::manifest::{Manifest, load};
use super::{SnapshotError, segment};

/// A snapshot to begin with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Begin {
    /// The folder that it is in.
    pub folder: PathBuf,
    /// What it consists of.
    pub manifest: Manifest,
}

/// What was looked for and found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Found {
    /// The newest snapshot that can be used, if there is one.
    pub begin: Option<Begin>,
    /// Why newer ones were passed over.
    pub passed_over: Vec<String>,
}

/// What a folder holds whose name begins with `prefix`, the last in order first.
pub(super) fn list(folder: &Path, prefix: &str) -> Result<Vec<PathBuf>, SnapshotError> {
    let fail = |e: io::Error| SnapshotError::disk(folder, &e);
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(fail(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(fail)?;
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            found.push(entry.path());
        }
    }
    found.sort();
    found.reverse();
    Ok(found)
}

/// The folders of runs, the last one first. What others have put there is left alone.
pub(super) fn folders(root: &Path) -> Result<Vec<PathBuf>, SnapshotError> {
    let ours = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let digits = name.trim_start_matches('g').bytes().all(|b| b.is_ascii_digit() || b == b'-');
        digits && path.is_dir()
    };
    Ok(list(root, "g")?.into_iter().filter(ours).collect())
}

/// Looks for the newest snapshot of a job that is not newer than an epoch, to which its bindings
/// and every output must have come, and that is whole to the last byte.
///
/// # Errors
///
/// A folder that can't be read. What is wrong with a snapshot is a reason to pass it over.
pub fn find(root: &Path, job: &str, upto: Epoch) -> Result<Found, SnapshotError> {
    let mut found = Found::default();
    for folder in folders(root)? {
        for path in list(&folder, "manifest-")?.into_iter().filter(|path| !is_unfinished(path)) {
            let manifest = match load::<Manifest>(&path) {
                Ok(Some(manifest)) => manifest,
                Ok(None) => continue,
                Err(error) => {
                    found.passed_over.push(error.to_string());
                    continue;
                }
            };
            if manifest.epoch > upto || manifest.job != job {
                continue;
            }
            let mut parts = manifest.segments.iter();
            match parts.try_for_each(|entry| segment::check(&folder, entry)) {
                Ok(()) => {
                    found.begin = Some(Begin { folder, manifest });
                    return Ok(found);
                }
                Err(error) => found.passed_over.push(error.to_string()),
            }
        }
    }
    Ok(found)
}
