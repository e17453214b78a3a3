//! The folder of a replay: a job of its own beside the live one, over the epochs that the live one
//! binds.
//!
//! `<out>/replays/<name>/` has `job.toml`, the text of its job; `replay.json`, which part of the
//! past it is of; and what `out` of a job has but for bindings: tables, changelogs, snapshots.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use connectors::durable;
use connectors::table::{Granularity, TableOptions};
use operators::model::Epoch;
use operators::views::catalog::BUILT_IN;
use serde::{Deserialize, Serialize};

use super::RebuildError;
use crate::runtime::plan::{SnapshotPlan, check_prefix};
use crate::runtime::{Plan, REPLAYS, job_file, plan, snapshots_within};

/// How often a replay takes a snapshot, from which it goes on after a crash.
const SNAPSHOT_EVERY: Duration = Duration::from_mins(1);

/// Which part of the past a replay is of, and where it goes.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Scope {
    /// The first epoch whose records are read; `None` for that of the job.
    pub from: Option<Epoch>,
    /// The last one; `None` for the last that is bound, each time.
    pub to: Option<Epoch>,
    /// What the names of its topics begin with; `None` if it writes none.
    pub prefix: Option<String>,
}

impl Scope {
    /// Nothing up to this epoch is read.
    pub fn after(&self) -> Epoch {
        self.from.map_or(0, |from| from.saturating_sub(1))
    }
}

/// What is written of a replay.
#[derive(Serialize, Deserialize)]
struct Description {
    #[serde(flatten)]
    scope: Scope,
    /// Hash of the job that it is computed with; `None` where an earlier version did not say.
    job: Option<String>,
}

/// A replay.
pub struct Replay {
    /// Its name.
    pub name: String,
    /// Which part of the past it is of.
    pub scope: Scope,
    /// Its job; `out` is its folder.
    pub plan: Plan,
    /// Hash of the job that it has been computed with, if that is known.
    job: Option<String>,
}

/// Where a job's replays are.
fn root(live: &Plan) -> PathBuf {
    live.out.join(REPLAYS)
}

fn folder(live: &Plan, name: &str) -> PathBuf {
    root(live).join(name)
}

fn write(path: &Path, text: &str) -> Result<(), RebuildError> {
    durable::write(path, text.as_bytes(), true).map_err(RebuildError::disk(path))
}

fn check_name(name: &str) -> Result<(), RebuildError> {
    let good = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    if name.is_empty() || !name.chars().all(good) {
        let message = format!(
            "{name:?} is no name of a replay; write one of letters, digits, - and _, such as r1"
        );
        return Err(RebuildError::Usage(message));
    }
    Ok(())
}

impl Replay {
    /// The replay of a name, if there is one.
    ///
    /// # Errors
    ///
    /// What is in its folder can't be read, or is no job.
    pub fn open(job: &Path, live: &Plan, name: &str) -> Result<Option<Self>, RebuildError> {
        check_name(name)?;
        let out = folder(live, name);
        let meta = out.join("replay.json");
        if !meta.exists() {
            return Ok(None);
        }
        let read = |path: &Path| fs::read_to_string(path).map_err(RebuildError::disk(path));
        let Description { scope, job: hash } = serde_json::from_str(&read(&meta)?)
            .map_err(|e| RebuildError::disk(&meta)(std::io::Error::other(e)))?;
        let plan = planned(job, &read(&out.join("job.toml"))?, out, (name, &scope))?;
        Ok(Some(Self { name: name.to_owned(), scope, plan, job: hash }))
    }

    /// Makes a replay with a job of this text; `made_with` is the hash of the job that it is
    /// computed with, if that is not its own.
    ///
    /// # Errors
    ///
    /// The text is no job; its sources are others than those of the live one; topics can't be
    /// called so.
    pub fn create(
        (job, text): (&Path, &str),
        live: &Plan,
        (name, made_with): (&str, Option<&str>),
        scope: Scope,
    ) -> Result<Self, RebuildError> {
        check_name(name)?;
        scope.prefix.as_deref().map_or(Ok(()), check_prefix).map_err(RebuildError::Usage)?;
        let out = folder(live, name);
        let plan = planned(job, text, out.clone(), (name, &scope))?;
        sources(live, &plan)?;
        // What is there without a description is left of one that was being removed or made.
        if out.exists() {
            fs::remove_dir_all(&out).map_err(RebuildError::disk(&out))?;
        }
        fs::create_dir_all(&out).map_err(RebuildError::disk(&out))?;
        write(&out.join("job.toml"), text)?;
        let name = name.to_owned();
        let job = Some(made_with.unwrap_or(&plan.hash).to_owned());
        let description = Description { scope: scope.clone(), job: job.clone() };
        let text = serde_json::to_string_pretty(&description).unwrap_or_default();
        // The last: with it, it is there.
        write(&out.join("replay.json"), &text)?;
        Ok(Self { name, scope, plan, job })
    }

    /// Whether it can be computed further: with the job that it has been computed with.
    ///
    /// # Errors
    ///
    /// What is beside its job file has changed: the erased list, a schema, or what this program
    /// makes of records.
    pub(super) fn is_as_it_was(&self) -> Result<(), RebuildError> {
        match &self.job {
            Some(job) if *job != self.plan.hash => Err(RebuildError::Usage(format!(
                "{0} was computed with another erased list, schema or version of this program, and \
                 what it holds would no more fit what follows: remove it, braid replay … {0} \
                 --drop, and replay it anew",
                self.name
            ))),
            _ => Ok(()),
        }
    }

    /// Names of a job's replays, in order.
    pub fn names(live: &Plan) -> Result<Vec<String>, RebuildError> {
        let root = root(live);
        let mut names = Vec::new();
        let entries = match fs::read_dir(&root) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(names),
            Err(error) => return Err(RebuildError::disk(&root)(error)),
        };
        for entry in entries {
            let entry = entry.map_err(RebuildError::disk(&root))?;
            if entry.path().join("replay.json").exists() {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    /// Locks it: nobody else works on it until the lock is dropped.
    pub fn lock(&self) -> Result<Lock, RebuildError> {
        let path = self.plan.out.join("lock");
        let file = File::create(&path).map_err(RebuildError::disk(&path))?;
        match file.try_lock() {
            Ok(()) => Ok(Lock(file)),
            Err(TryLockError::WouldBlock) => Err(RebuildError::Held(self.name.clone())),
            Err(TryLockError::Error(error)) => Err(RebuildError::disk(&path)(error)),
        }
    }

    /// Removes it with all that it has computed. Its topics stay.
    pub fn drop(self) -> Result<(), RebuildError> {
        let lock = self.lock()?;
        // The first: without it, it is not there.
        let meta = self.plan.out.join("replay.json");
        fs::remove_file(&meta).map_err(RebuildError::disk(&meta))?;
        fs::remove_dir_all(&self.plan.out).map_err(RebuildError::disk(&self.plan.out))?;
        drop(lock);
        Ok(())
    }
}

/// A replay is locked while this lives.
#[derive(Debug)]
pub struct Lock(File);

impl Drop for Lock {
    /// Not only when the last who has the file has closed it: a process that another thread is
    /// starting has it until it is another program.
    fn drop(&mut self) {
        // Closing the file does the same, at the latest.
        let _ = self.0.unlock();
    }
}

/// The job of a replay.
fn planned(
    job: &Path,
    text: &str,
    out: PathBuf,
    (name, scope): (&str, &Scope),
) -> Result<Plan, RebuildError> {
    let env = |name: &str| std::env::var(name).ok();
    let read = job_file::parse(job, text, &env).map_err(|problem| vec![problem]);
    let mut plan =
        read.and_then(|(text, file)| plan::plan(&text, &file)).map_err(RebuildError::JobFile)?;
    if let Some(from) = scope.from {
        // What it has is not what the job has.
        plan.hash = format!("{}-from-{from}", plan.hash);
    }
    let place = snapshots_within(&out);
    plan.snapshots = Some(SnapshotPlan { every: SNAPSHOT_EVERY, place });
    plan.out = out;
    plan.archive = None;
    let tables = plan.tables.take().unwrap_or_else(|| TableOptions {
        job: plan.name.clone(),
        job_hash: plan.hash.clone(),
        partition: Granularity::Day,
        arrow: false,
        every: Duration::from_mins(1),
    });
    plan.tables = Some(TableOptions { job_hash: plan.hash.clone(), ..tables });
    match &scope.prefix {
        None => plan.topics.clear(),
        Some(_) if plan.topics.len() != 1 => {
            let message = format!(
                "the job has {} sinks of topics, and --prefix stands for one; leave it out",
                plan.topics.len()
            );
            return Err(RebuildError::Usage(message));
        }
        Some(prefix) => {
            for topics in &mut plan.topics {
                if topics.prefix == *prefix {
                    let message = format!("{prefix} is the live topics' prefix; give another one");
                    return Err(RebuildError::Usage(message));
                }
                topics.prefix.clone_from(prefix);
                topics.group = format!("replay.{name}");
                topics.job_hash.clone_from(&plan.hash);
            }
        }
    }
    Ok(plan)
}

/// Bindings tell sources apart by their place.
fn sources(live: &Plan, plan: &Plan) -> Result<(), RebuildError> {
    let names = |plan: &Plan| -> Vec<String> {
        plan.sources.iter().map(|source| source.name.to_string()).collect()
    };
    let (live, here) = (names(live), names(plan));
    if live == here {
        return Ok(());
    }
    Err(RebuildError::Usage(format!(
        "the job's sources are {}, those of the change {}; leave them as they are",
        live.join(", "),
        here.join(", ")
    )))
}

/// Views by the names of their tables.
pub struct ViewNames {
    /// All of them.
    pub all: Vec<String>,
    /// Those that every job has.
    pub built_in: Vec<&'static str>,
}

/// The views of the job of a text.
pub fn view_names(job: (&Path, &str)) -> Result<ViewNames, RebuildError> {
    let plan = planned(job.0, job.1, PathBuf::new(), ("", &Scope::default()))?;
    let all: Vec<String> = plan.catalog.schemas.iter().map(|s| s.name.to_string()).collect();
    let built_in = BUILT_IN.into_iter().filter(|name| all.iter().any(|a| a == name)).collect();
    Ok(ViewNames { all, built_in })
}

/// The hash of the job of a text.
pub fn hash(job: (&Path, &str)) -> Result<String, RebuildError> {
    Ok(planned(job.0, job.1, PathBuf::new(), ("", &Scope::default()))?.hash)
}
