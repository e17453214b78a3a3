//! Where snapshots are: a folder, or a place in an object store.
//!
//! Both hold *runs*, folders named after a generation and an attempt, and in each run files by
//! name. A file is there as a whole or not at all.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use connectors::durable::{self, is_unfinished};
use connectors::store::{Store, StoreError, StoreSpec};

use super::SnapshotError;

/// What says that a run's folder in a store is its own, until a later run has taken over.
const CLAIM: &str = "claim";

/// What the names of segments begin with.
pub(super) const SEGMENTS: &str = "segment-";

/// Where a job's snapshots are, as the job says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PlaceSpec {
    /// In a folder.
    Folder(PathBuf),
    /// In an object store. What waits to be sent is in a folder.
    Store(StoreSpec, PathBuf),
}

/// Where a job's snapshots are.
#[derive(Clone, Debug)]
pub struct Place {
    /// Parts of snapshots are written in a folder below it, named after the run.
    bench: PathBuf,
    /// `None` if snapshots are there as well.
    store: Option<Store>,
}

impl Place {
    /// Opens a place, without looking what is there.
    ///
    /// # Errors
    ///
    /// What [`StoreSpec::check`] says.
    pub fn open(spec: &PlaceSpec) -> Result<Self, SnapshotError> {
        Ok(match spec {
            PlaceSpec::Folder(folder) => Self { bench: folder.clone(), store: None },
            PlaceSpec::Store(spec, waiting) => Self::in_store(Store::open(spec)?, waiting.clone()),
        })
    }

    /// A place in a store that is open; what waits to be sent is in a folder.
    pub fn in_store(store: Store, waiting: PathBuf) -> Self {
        Self { bench: waiting, store: Some(store) }
    }

    /// What messages call a file of a run.
    pub(super) fn path(&self, run: &str, file: &str) -> PathBuf {
        match &self.store {
            None => self.bench.join(run).join(file),
            Some(store) => store.url(&name(run, file)).into(),
        }
    }

    /// The folder in which a run writes parts of snapshots.
    pub(super) fn bench(&self, run: &str) -> PathBuf {
        self.bench.join(run)
    }

    /// The runs, the last one first. What others have put there is left alone.
    pub(super) fn runs(&self) -> Result<Vec<String>, SnapshotError> {
        let mut runs = match &self.store {
            None => folders(&self.bench)?,
            Some(store) => store.folders()?,
        };
        runs.retain(|run| number(run).is_some());
        runs.sort();
        runs.reverse();
        Ok(runs)
    }

    /// The names of a run's files, in order; without those that are being written.
    pub(super) fn files(&self, run: &str) -> Result<Vec<String>, SnapshotError> {
        let Some(store) = &self.store else {
            let folder = self.bench.join(run);
            let fail = |e: io::Error| SnapshotError::disk(&folder, &e);
            let mut names = Vec::new();
            for entry in entries(&folder).map_err(fail)? {
                let path = entry.map_err(fail)?.path();
                let name = path.file_name().and_then(|name| name.to_str());
                names.extend(name.filter(|_| !is_unfinished(&path)).map(str::to_owned));
            }
            names.sort();
            return Ok(names);
        };
        Ok(store.list(run)?)
    }

    /// Begins a run, later in order than those that are there. A run that bound nothing leaves its
    /// generation to the next.
    pub(super) fn begin(&self, generation: u64) -> Result<String, SnapshotError> {
        if self.store.is_some() && self.bench.exists() {
            // What an earlier run could not send is in none of its snapshots.
            fs::remove_dir_all(&self.bench).map_err(|e| SnapshotError::disk(&self.bench, &e))?;
        }
        durable::create_folder(&self.bench).map_err(|e| SnapshotError::disk(&self.bench, &e))?;
        // If all else was removed but the snapshots, generations begin again.
        let (generation, mut attempt) = match self.runs()?.first().and_then(|run| number(run)) {
            Some((last, attempt)) if last >= generation => (last, attempt + 1),
            _ => (generation, 0),
        };
        loop {
            let run = format!("g{generation:09}-{attempt:06}");
            let folder = self.bench.join(&run);
            let ours = match &self.store {
                None => true,
                Some(store) => store.put_new(&name(&run, CLAIM), run.as_bytes())?,
            };
            match fs::create_dir(&folder) {
                Ok(()) if ours => return Ok(run),
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(SnapshotError::disk(&folder, &error));
                }
                _ => attempt += 1,
            }
        }
    }

    /// Looks whether a run is still the last one: a later one removes it.
    ///
    /// # Errors
    ///
    /// [`SnapshotError::TakenOver`] if it is not.
    pub(super) fn hold(&self, run: &str) -> Result<(), SnapshotError> {
        match &self.store {
            Some(store) if !store.has(&name(run, CLAIM))? => {
                Err(SnapshotError::TakenOver { path: self.path(run, "") })
            }
            // A folder that is gone takes no files.
            _ => Ok(()),
        }
    }

    /// The bytes of a small file; `None` if it is not there.
    pub(super) fn load(&self, run: &str, file: &str) -> Result<Option<Vec<u8>>, SnapshotError> {
        if let Some(store) = &self.store {
            return Ok(store.get(&name(run, file))?);
        }
        let path = self.path(run, file);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(SnapshotError::disk(&path, &error)),
        }
    }

    /// Writes a small file.
    pub(super) fn write(&self, run: &str, file: &str, bytes: &[u8]) -> Result<(), SnapshotError> {
        if let Some(store) = &self.store {
            return Ok(store.put(&name(run, file), bytes)?);
        }
        let path = self.path(run, file);
        durable::write(&path, bytes, false).map_err(|e| SnapshotError::disk(&path, &e))
    }

    /// Opens a file to be read from its beginning, and says how long it is.
    pub(super) fn open_file(&self, run: &str, file: &str) -> Result<Opened, SnapshotError> {
        if let Some(store) = &self.store {
            let reader = store.read(&name(run, file))?;
            return Ok((reader.length(), Box::new(reader)));
        }
        let path = self.path(run, file);
        let fail = |e: io::Error| SnapshotError::disk(&path, &e);
        let file = File::open(&path).map_err(fail)?;
        Ok((file.metadata().map_err(fail)?.len(), Box::new(file)))
    }

    /// What a file that can't be read on says.
    pub(super) fn unreadable(&self, path: &Path, error: &io::Error) -> SnapshotError {
        if self.store.is_none() {
            return SnapshotError::disk(path, error);
        }
        let (object, message) = (path.display().to_string(), error.to_string());
        StoreError::Away { object, message }.into()
    }

    /// Makes a whole and synced file of [`Place::bench`] a file of the run.
    pub(super) fn keep(&self, run: &str, part: &Path, file: &str) -> Result<(), SnapshotError> {
        if let Some(store) = &self.store {
            store.put_file(&name(run, file), part)?;
            // It is only in the way now.
            return fs::remove_file(part).map_err(|e| SnapshotError::disk(part, &e));
        }
        let path = self.path(run, file);
        let kept = fs::rename(part, &path).and_then(|()| durable::sync_folder(&path));
        kept.map_err(|e| SnapshotError::disk(&path, &e))
    }

    /// Takes files of a run over into another one, which may be at another place.
    pub(super) fn take_over(
        &self,
        (from, from_run): (&Self, &str),
        run: &str,
        files: &[String],
    ) -> Result<(), SnapshotError> {
        match (&from.store, &self.store) {
            (Some(theirs), Some(ours)) if theirs.url("") == ours.url("") => {
                let pairs = files.iter().map(|file| (name(from_run, file), name(run, file)));
                Ok(ours.copy(&pairs.collect::<Vec<_>>())?)
            }
            (Some(_), _) => files.iter().try_for_each(|file| {
                let part = self.bench(run).join(format!("part-{file}"));
                let (_, mut input) = from.open_file(from_run, file)?;
                let mut output = File::create(&part).map_err(|e| SnapshotError::disk(&part, &e))?;
                let copied = io::copy(&mut input, &mut output).and_then(|_| output.sync_all());
                copied.map_err(|e| from.unreadable(&from.path(from_run, file), &e))?;
                self.keep(run, &part, file)
            }),
            (None, Some(ours)) => files.iter().try_for_each(|file| {
                Ok(ours.put_file(&name(run, file), &from.path(from_run, file))?)
            }),
            (None, None) => files.iter().try_for_each(|file| {
                let (from, to) = (from.path(from_run, file), self.path(run, file));
                // Where there are no links, a copy does as well.
                let linked =
                    fs::hard_link(&from, &to).or_else(|_| fs::copy(&from, &to).map(|_| ()));
                linked.map_err(|e| SnapshotError::disk(&to, &e))
            }),
        }
    }

    /// Removes files of a run.
    pub(super) fn remove(&self, run: &str, files: &[String]) -> Result<(), SnapshotError> {
        if let Some(store) = &self.store {
            let names: Vec<String> = files.iter().map(|file| name(run, file)).collect();
            return Ok(store.remove(&names)?);
        }
        for file in files {
            let path = self.path(run, file);
            fs::remove_file(&path).or_else(is_gone).map_err(|e| SnapshotError::disk(&path, &e))?;
        }
        Ok(())
    }

    /// Removes a run.
    pub(super) fn remove_run(&self, run: &str) -> Result<(), SnapshotError> {
        if self.store.is_some() {
            // First the claim, so that the run sees it, and manifests; then what they name.
            let files = self.files(run)?;
            let (named, others): (Vec<_>, _) =
                files.into_iter().partition(|file| file.starts_with(SEGMENTS));
            return self.remove(run, &others).and_then(|()| self.remove(run, &named));
        }
        let folder = self.bench.join(run);
        fs::remove_dir_all(&folder).or_else(is_gone).map_err(|e| SnapshotError::disk(&folder, &e))
    }
}

/// A file's length, and its bytes.
pub(super) type Opened = (u64, Box<dyn Read + Send>);

/// What an object is called.
fn name(run: &str, file: &str) -> String {
    format!("{run}/{file}")
}

/// Generation and attempt of a run, if it is the name of one.
fn number(run: &str) -> Option<(u64, u64)> {
    let (generation, attempt) = run.strip_prefix('g')?.split_once('-')?;
    Some((generation.parse().ok()?, attempt.parse().ok()?))
}

fn folders(root: &Path) -> Result<Vec<String>, SnapshotError> {
    let fail = |e: io::Error| SnapshotError::disk(root, &e);
    let mut names = Vec::new();
    for entry in entries(root).map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        names.extend(name.filter(|_| path.is_dir()).map(str::to_owned));
    }
    Ok(names)
}

/// What is in a folder; nothing if it is not there.
fn entries(folder: &Path) -> io::Result<impl Iterator<Item = io::Result<fs::DirEntry>>> {
    match fs::read_dir(folder) {
        Ok(entries) => Ok(Some(entries).into_iter().flatten()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None.into_iter().flatten()),
        Err(error) => Err(error),
    }
}

/// What is not there need not be removed.
fn is_gone(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}
