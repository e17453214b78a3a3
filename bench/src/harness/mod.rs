//! The frame of every benchmark: cases in child processes, interleaved, beside their limit.

mod child;
mod meter;
mod plot;
mod report;
mod stats;

pub use child::measure;
pub use meter::{Meter, Sample, thread_cpu_s};
pub use report::Report;
pub use stats::percentile;

/// A figure and what it should reach.
#[derive(Clone, Copy, Debug)]
pub enum Goal {
    /// At least this.
    Min(&'static str, f64),
    /// At most this.
    Max(&'static str, f64),
}

/// The figure of a [`Goal`] that stands for the ratio to the limit.
pub const RATIO: &str = "ratio";

/// The figure of a [`Goal`] that stands for millions of items by CPU second.
pub const RATE: &str = "M_per_cpu_s";

/// One way to do the work of a benchmark.
pub struct Case {
    /// Its name, unique in the benchmark.
    pub name: &'static str,
    /// What does the work.
    pub about: &'static str,
    /// The case that it is compared with.
    pub limit: Option<&'static str>,
    /// What should be reached.
    pub goals: &'static [Goal],
    /// Does the work for a workload of about this size.
    pub run: fn(size: u64) -> Result<Sample, String>,
}

impl Case {
    /// A case that others are compared with.
    pub const fn limit(
        name: &'static str,
        about: &'static str,
        run: fn(u64) -> Result<Sample, String>,
    ) -> Self {
        Self { name, about, limit: None, goals: &[], run }
    }

    /// A case that is compared with `limit`.
    pub const fn ours(
        name: &'static str,
        about: &'static str,
        limit: &'static str,
        goals: &'static [Goal],
        run: fn(u64) -> Result<Sample, String>,
    ) -> Self {
        Self { name, about, limit: Some(limit), goals, run }
    }
}

/// What the ratio of a case to its limit compares.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize)]
pub enum By {
    /// Items by CPU second: one thread that computes, whatever else the machine does.
    Cpu,
    /// Items by second: what a user waits for.
    Wall,
    /// CPU time, of a case that does several times the work of its limit.
    Growth,
}

/// A benchmark.
pub struct Bench {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it shows, in one line.
    pub about: &'static str,
    /// What is counted.
    pub unit: &'static str,
    /// Size of the workload unless the command line says otherwise.
    pub size: u64,
    /// The cases, limits first.
    pub cases: &'static [Case],
    /// What the ratio compares.
    pub by: By,
}
