//! Replays of jobs over random histories, and what they are compared with.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use braid_tests::delta::{self, files};
use braid_tests::histories::RULES;
use connectors::bindings::{BindingLog as _, FileBindingLog};
use jobs::rebuild::{Computed, Reading, Replay, Scope, compute};
use jobs::runtime::{Around, Plan, RunOptions, Silent};
use operators::model::Cell;

use super::{Job, sources, write_part};

pub(crate) fn job_text() -> String {
    // The watermark comes close behind the events, so that some are too late and rows are final.
    sources("replays") + &RULES.replacen("36500d", "1h", 1)
}

pub(crate) fn path(job: &Job) -> PathBuf {
    job.folder().join("job.toml")
}

pub(crate) fn create(job: &Job, name: &str, text: &str, scope: Scope) -> Replay {
    Replay::create((&path(job), text), &job.plan(), (name, None), scope)
        .unwrap_or_else(|error| panic!("{error}"))
}

pub(crate) fn with<R>(workers: usize, act: impl FnOnce(RunOptions, Around<'_>) -> R) -> R {
    let (stop, board) = (AtomicBool::new(false), std::sync::Arc::default());
    let around = Around { progress: &Silent, stop: &stop, board: &board, cluster: None };
    act(RunOptions { workers, epoch_records: None }, around)
}

pub(crate) fn computed(job: &Job, replay: &Replay, workers: usize) -> Computed {
    read(job, replay, workers, false)
}

pub(crate) fn read(job: &Job, replay: &Replay, workers: usize, archive: bool) -> Computed {
    let (scope, reading) = (&replay.scope, Reading { archive, ..Reading::default() });
    let computed =
        with(workers, |run, around| compute(&job.plan(), (replay, scope), run, reading, around));
    let computed = computed.unwrap_or_else(|error| panic!("{error}"));
    assert!(computed.is_whole(), "{computed:?}");
    computed
}

/// Names and bytes of the files of the current rows of all views.
pub(crate) fn current(out: &Path, plan: &Plan) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    for schema in &plan.catalog.schemas {
        for (name, bytes) in files(&out.join(&*schema.name)) {
            all.insert(format!("{}/{name}", schema.name), bytes);
        }
    }
    all
}

pub(crate) fn assert_same(
    is: &BTreeMap<String, Vec<u8>>,
    should: &BTreeMap<String, Vec<u8>>,
    what: &str,
) {
    let names: BTreeSet<&String> = is.keys().chain(should.keys()).collect();
    let differ: Vec<_> = names.into_iter().filter(|n| is.get(*n) != should.get(*n)).collect();
    assert!(differ.is_empty(), "{what}: {differ:?}");
    assert!(!should.is_empty());
}

/// The rows of changelogs, without the version of the job.
pub(crate) fn changelogs(out: &Path, plan: &Plan) -> BTreeMap<String, Vec<Vec<Cell>>> {
    let of = |view: &str| {
        let mut table = delta::read(&out.join("changelog").join(view));
        let job = table.place("_job");
        table.rows.iter_mut().for_each(|row| drop(row.remove(job)));
        table.rows.sort_unstable();
        table.rows
    };
    plan.catalog.schemas.iter().map(|s| (s.name.to_string(), of(&s.name))).collect()
}

/// A job of another text, run over the epochs of the first.
pub(crate) fn calm(job: &Job, text: &str, parts: &[Vec<(bool, String)>]) -> Job {
    let calm = Job::new(text);
    for (part, records) in parts.iter().enumerate() {
        write_part(&calm, part, records);
    }
    let (mut log, _) = FileBindingLog::open(&calm.out().join("bindings"), None).unwrap();
    let hash = calm.plan().hash;
    for mut binding in FileBindingLog::peek(&job.out().join("bindings")).unwrap() {
        binding.job.clone_from(&hash);
        log.append(&binding).unwrap();
    }
    drop(log);
    calm.run(2, 10_000);
    calm
}
