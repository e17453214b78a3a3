//! A whole job beside bare JSON parsing of the same bytes on as many cores.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use jobs::generate::{FileOptions, ShopOptions, write};
use jobs::runtime::{RunOptions, Silent, Summary, plan, run};
use serde::de::IgnoredAny;

use crate::harness::{Bench, By, Case, Goal, Meter, RATIO, Sample};

/// A whole job.
pub const JOB: Bench = Bench {
    name: "job",
    about: "JSON files to tables: people, sessions, two funnels, three trends",
    unit: "events",
    size: 1_000_000,
    cases: &[
        Case::limit("parse 1", "serde_json over the lines of the files, one thread", |size| {
            parse(size, 1)
        }),
        Case::limit("parse 2", "the same, two threads", |size| parse(size, 2)),
        Case::ours("job 1", "the job with one worker", "parse 1", GOALS, |size| job(size, 1)),
        Case::ours("job 2", "the job with two workers", "parse 2", GOALS, |size| job(size, 2)),
        Case::ours("job 2 by 1", "two workers beside one", "job 1", &[], |size| job(size, 2)),
    ],
    by: By::Wall,
};

const GOALS: &[Goal] = &[Goal::Min(RATIO, 0.5)];

/// A funnel more than the generated job has.
const SECOND_FUNNEL: &str = r#"
[[view]]
kind = "funnel"
name = "search"
steps = [{ event = "search" }, { event = "cart" }, { event = "purchase" }]
funnelWindowInterval = 1
funnelWindowIntervalUnit = "day"
breakdown = "channel"
"#;

/// A shop's files, gone when dropped.
pub(super) struct Shop {
    pub folder: tempfile::TempDir,
    bytes: u64,
}

impl Shop {
    pub(super) fn new(events: u64, tenants: u32) -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
        let options = ShopOptions { events, tenants, ..ShopOptions::default() };
        write(&options, &FileOptions::new(folder.path()), &mut |_| ())
            .map_err(|e| e.to_string())?;
        let path = folder.path().join("job.toml");
        let job = fs::read_to_string(&path).map_err(|e| e.to_string())?;
        // Tables by day of a thousand tenants would be mostly files.
        let more = if tenants > 1 { "partition = \"none\"\n" } else { SECOND_FUNNEL };
        fs::write(&path, job + more).map_err(|e| e.to_string())?;
        let mut shop = Self { folder, bytes: 0 };
        for path in shop.files()? {
            shop.bytes += fs::metadata(path).map_err(|e| e.to_string())?.len();
        }
        Ok(shop)
    }

    /// Adds to its job file.
    pub(super) fn add_to_job(&self, more: &str) -> Result<(), String> {
        let path = self.folder.path().join("job.toml");
        let job = fs::read_to_string(&path).map_err(|e| e.to_string())?;
        fs::write(&path, job + more).map_err(|e| e.to_string())
    }

    /// Where its results are.
    pub(super) fn out(&self) -> PathBuf {
        self.folder.path().join("out")
    }

    /// Runs its job to the end.
    pub(super) fn run(&self, workers: usize) -> Result<Summary, String> {
        let plan = plan::load(&self.folder.path().join("job.toml")).map_err(|problems| {
            problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
        })?;
        let options = RunOptions { workers, epoch_records: None };
        run(&plan, options, &Silent).map_err(|e| e.to_string())
    }

    fn files(&self) -> Result<Vec<PathBuf>, String> {
        let mut files = Vec::new();
        for channel in ["web", "mobile", "backend"] {
            let folder = self.folder.path().join(channel);
            for entry in fs::read_dir(folder).map_err(|e| e.to_string())? {
                files.push(entry.map_err(|e| e.to_string())?.path());
            }
        }
        files.sort();
        Ok(files)
    }

    pub(super) fn finish(&self, sample: Sample) -> Sample {
        let mb = self.bytes as f64 / 1e6;
        let (per_s, per_event) = (mb / sample.seconds, self.bytes as f64 / sample.items as f64);
        sample.with("MB_per_s", per_s).with("bytes_per_event", per_event)
    }
}

fn lines(path: &Path) -> Result<u64, String> {
    let bytes = fs::read(path).map_err(|e| e.to_string())?;
    let mut lines = 0;
    for line in bytes.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
        lines += 1;
        // Some lines are broken on purpose.
        std::hint::black_box(serde_json::from_slice::<IgnoredAny>(line).is_ok());
    }
    Ok(lines)
}

/// Bare JSON parsing.
pub(super) fn parse(size: u64, threads: usize) -> Result<Sample, String> {
    let shop = Shop::new(size, 1)?;
    let files = shop.files()?;
    let next = AtomicUsize::new(0);
    let meter = Meter::start();
    let work = || -> Result<u64, String> {
        let mut sum = 0;
        while let Some(path) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            sum += lines(path)?;
        }
        Ok(sum)
    };
    let sums: Vec<Result<u64, String>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let gone = || Err("a thread has panicked".to_owned());
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| gone())).collect()
    });
    let records = sums.into_iter().sum::<Result<u64, String>>()?;
    Ok(shop.finish(meter.stop(records, records)))
}

fn job(size: u64, workers: usize) -> Result<Sample, String> {
    run_job(&Shop::new(size, 1)?, workers)
}

/// A whole job of some tenants.
pub(crate) fn of_tenants(size: u64, tenants: u32) -> Result<Sample, String> {
    run_job(&Shop::new(size, tenants)?, 1)
}

fn run_job(shop: &Shop, workers: usize) -> Result<Sample, String> {
    let meter = Meter::start();
    let summary = shop.run(workers)?;
    let sample = shop.finish(meter.stop(summary.read, summary.read));
    Ok(sample.with("rows", summary.rows_written as f64))
}
