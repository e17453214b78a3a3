//! A small job that is cut after each of its epochs in turn, and goes on with another number of
//! workers and processes, from a snapshot and from bindings alone: it ends with the tables of the
//! run that was not cut.
//!
//! Each cut is gone on from in one way; which, goes by turns, so that every number of workers and
//! processes comes after cuts everywhere. `BRAID_CUTS=all` goes on in every way from each cut.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use braid_tests::histories::{RULES, records};
use braid_tests::team::Team;
use connectors::bindings::{BindingLog as _, FileBindingLog};
use jobs::runtime::{Around, Extent, Progress, RunOptions, run_until};
use operators::identity::testing::Seeded;

use crate::support::{Job, Published, sources, write_part};

/// Records in an epoch.
const EPOCH: usize = 4;
/// Records in all, which are some fifty epochs.
const RECORDS: u64 = 190;
/// Workers and processes with which a job goes on.
const WAYS: [(usize, usize); 6] = [(1, 1), (2, 1), (3, 1), (1, 2), (2, 2), (3, 2)];

fn job(seed: u64, snapshots: bool) -> Job {
    // Some records come too late, which the watermark decides: it has to be as it was.
    let rules = ["disorder", "admit"].iter().zip(["40m", "2h"]).fold(
        RULES.to_owned(),
        |rules, (key, span)| {
            rules.replacen(&format!("{key} = \"36500d\""), &format!("{key} = {span:?}"), 1)
        },
    );
    let more = if snapshots { "[snapshot]\nevery = \"1h\"\n" } else { "" };
    let job = Job::new(&(sources("cuts") + &rules + more));
    let mut random = Seeded(seed);
    let mut all = records(&mut random, RECORDS);
    // In the order of their times, but for one in six: of all others most would be too late.
    let time = |record: &String| record.split("\"timestamp\":\"").nth(1).map(ToOwned::to_owned);
    all.sort_by_key(|(_, record)| time(record));
    for place in (0..all.len()).filter(|_| random.once_in(6)).collect::<Vec<_>>() {
        let other = random.below(all.len() as u64) as usize;
        all.swap(place, other);
    }
    write_part(&job, 0, &all);
    job
}

/// Stops a run when it has read so many epochs.
struct Stopping<'a> {
    left: AtomicU64,
    stop: &'a AtomicBool,
}

impl Progress for Stopping<'_> {
    fn begin(&self, _extent: Extent) {}
    fn update(&self, _done: u64, _records: u64) {
        if self.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.stop.store(true, Ordering::Release);
        }
    }
    fn end(&self) {}
}

/// Runs a job up to an epoch, and stops it there in order.
fn run_to(job: &Job, workers: usize, epoch: u64) {
    let stop = AtomicBool::new(false);
    let progress = Stopping { left: epoch.into(), stop: &stop };
    let options = RunOptions { workers, epoch_records: Some(EPOCH) };
    let around = Around { progress: &progress, stop: &stop, board: &Arc::default(), cluster: None };
    let summary = run_until(&job.plan(), options, around).unwrap();
    assert_eq!(summary.epochs, epoch);
}

/// Binds more epochs, as a run does that is killed before anything of them is published.
fn bind(job: &Job, calm: &Job, more: u64) {
    let all = FileBindingLog::peek(&calm.out().join("bindings")).unwrap();
    let (mut log, bound) = FileBindingLog::open(&job.out().join("bindings"), None).unwrap();
    for binding in all.iter().skip(bound.len()).take(more as usize) {
        log.append(binding).unwrap();
    }
}

/// Runs a job to its end.
fn go_on(job: &Job, (workers, processes): (usize, usize)) {
    if processes == 1 {
        job.run(workers, EPOCH);
        return;
    }
    let braid = Path::new(env!("CARGO_BIN_EXE_braid-tested"));
    let (workers, epoch) = (workers.to_string(), EPOCH.to_string());
    let more = ["-w", &workers, "--epoch-records", &epoch];
    let mut team = Team::new(braid, job.folder(), processes, &more);
    team.start_all();
    let (codes, said) = team.end_all();
    assert!(codes.iter().all(|code| *code == Some(0)), "{codes:?} {said}");
}

/// Cuts a job after an epoch, goes on in a way, and compares.
fn cut(seed: u64, epoch: u64, snapshots: bool, way: (usize, usize), calm: &(Job, Published)) {
    let job = job(seed, snapshots);
    run_to(&job, 1 + epoch as usize % 3, epoch);
    // What is bound and not published: none, one epoch, or some.
    let bound = [0, 1, 5][epoch as usize % 3];
    bind(&job, &calm.0, bound);
    go_on(&job, way);
    let what =
        format!("cut after {epoch}, {bound} more bound, snapshots {snapshots}, on by {way:?}");
    Published::by(&job).assert_same(&calm.1, &what);
}

#[test]
fn a_job_that_is_cut_anywhere_ends_as_one_that_is_not() {
    let all = std::env::var("BRAID_CUTS").is_ok_and(|cuts| cuts == "all");
    let seed = 3;
    let calm = job(seed, false);
    let summary = calm.run(1, EPOCH);
    assert!((40..=60).contains(&summary.epochs), "{} epochs", summary.epochs);
    assert!(summary.merges > 5 && summary.splits > 2, "{summary:?}");
    assert!(summary.dead_letters.get("too_late").is_some_and(|late| *late > 5), "{summary:?}");
    let published = Published::by(&calm);
    let mut cuts = Vec::new();
    for (epoch, snapshots) in (1..summary.epochs).flat_map(|e| [(e, false), (e, true)]) {
        // Processes take longest to start: one cut in six is gone on from by two.
        let turn = (epoch + seed) as usize + usize::from(snapshots);
        let one = if turn % 6 == 5 { 3 + turn / 6 % 3 } else { turn % 3 };
        let ways = if all { &WAYS[..] } else { &WAYS[one..=one] };
        cuts.extend(ways.iter().map(|way| (epoch, snapshots, *way)));
    }
    let (next, calm) = (AtomicU64::new(0), (calm, published));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some((epoch, snapshots, way)) =
                    cuts.get(next.fetch_add(1, Ordering::Relaxed) as usize)
                {
                    cut(seed, *epoch, *snapshots, *way, &calm);
                }
            });
        }
    });
}
