//! What a process used: time, memory.

use std::collections::BTreeMap;
use std::fs;
use std::time::Instant;

use serde::{Deserialize, Serialize};

/// What one run of a case showed.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Sample {
    /// What was done, in the benchmark's unit.
    pub items: u64,
    /// How long it took.
    pub seconds: f64,
    /// CPU time of all threads in that time.
    pub cpu_s: f64,
    /// A number that follows from the result: a case and its limit must agree in it.
    pub answer: u64,
    /// Peak resident memory of the process, workload included.
    pub peak_rss_bytes: u64,
    /// Further figures; the name ends with the unit.
    pub figures: BTreeMap<String, f64>,
}

impl Sample {
    /// Items a second.
    pub fn rate(&self) -> f64 {
        self.items as f64 / self.seconds.max(1e-9)
    }

    /// Items by CPU second.
    pub fn cpu_rate(&self) -> f64 {
        self.items as f64 / self.cpu_s.max(1e-9)
    }

    /// Adds a figure.
    pub fn with(mut self, name: &str, value: f64) -> Self {
        self.figures.insert(name.to_owned(), value);
        self
    }
}

/// A running measurement.
pub struct Meter {
    rss: u64,
    cpu_s: f64,
    begun: Instant,
}

impl Meter {
    /// Begins now.
    pub fn start() -> Self {
        Self { rss: status("VmRSS:"), cpu_s: cpu_s(), begun: Instant::now() }
    }

    /// Resident memory gained since the beginning, after what was freed went back to the system.
    pub fn gained_bytes(&self) -> f64 {
        // The allocator gives memory back when it is asked for memory again.
        for size in [1_usize << 20, 64 << 20, 128 << 20] {
            std::thread::sleep(std::time::Duration::from_millis(20));
            std::hint::black_box(Vec::<u8>::with_capacity(size));
        }
        status("VmRSS:") as f64 - self.rss as f64
    }

    /// Ends with this many items done.
    pub fn stop(&self, items: u64, answer: u64) -> Sample {
        let seconds = self.begun.elapsed().as_secs_f64();
        let cpu_s = cpu_s() - self.cpu_s;
        let figures = BTreeMap::new();
        Sample { items, seconds, cpu_s, answer, peak_rss_bytes: status("VmHWM:"), figures }
    }
}

/// A line of this process's status, in bytes; 0 where there is no such file.
fn status(line: &str) -> u64 {
    in_status(&fs::read_to_string("/proc/self/status").unwrap_or_default(), line)
}

fn in_status(text: &str, line: &str) -> u64 {
    let found = text.lines().find_map(|l| l.strip_prefix(line));
    let number = found.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
    number.unwrap_or(0) * 1024
}

/// Ticks a second in `/proc/self/stat`: fixed in Linux's interface.
const TICKS_PER_S: f64 = 100.0;

/// User and system time of this process; 0 where the system does not say.
///
/// The process's own account is in ticks of 10 ms; that of its threads is in nanoseconds, but
/// forgets those that have ended. Both count the same time, so the larger one misses less.
fn cpu_s() -> f64 {
    let ticks = in_stat(&fs::read_to_string("/proc/self/stat").unwrap_or_default());
    let threads = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let fine = threads.map(|thread| {
        nanoseconds(&fs::read_to_string(thread.path().join("schedstat")).unwrap_or_default())
    });
    ticks.max(fine.sum::<f64>() / 1e9)
}

/// CPU time of this thread so far, in seconds; 0 where the system does not say. It takes some
/// microseconds.
pub fn thread_cpu_s() -> f64 {
    // The system brings a thread's own account up to date when the process's is read.
    let _process = fs::read("/proc/self/stat");
    nanoseconds(&fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default()) / 1e9
}

/// The time on a CPU that a `schedstat` tells.
fn nanoseconds(text: &str) -> f64 {
    text.split_whitespace().next().and_then(|ns| ns.parse().ok()).unwrap_or(0.0)
}

fn in_stat(text: &str) -> f64 {
    // The name in parentheses may hold anything; after it, the 12th and 13th fields.
    let fields = text.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace();
    let ticks: f64 = fields.skip(11).take(2).filter_map(|f| f.parse::<f64>().ok()).sum();
    ticks / TICKS_PER_S
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_and_time_are_found() {
        let text = "Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t 12 kB\n";
        assert_eq!(in_status(text, "VmHWM:"), 2 << 20);
        assert_eq!(in_status(text, "VmRSS:"), 12 << 10);
        assert_eq!(in_status(text, "VmSwap:"), 0);
        let stat = "1 (a b) c) S 1 2 3 4 5 6 7 8 9 10 250 50 13 14";
        assert!((in_stat(stat) - 3.0).abs() < 1e-9);
        assert!(in_stat("").abs() < 1e-9);
    }

    #[test]
    fn a_rate_is_items_by_seconds() {
        let sample = Sample { items: 10, seconds: 2.0, cpu_s: 4.0, ..Sample::default() };
        assert!((sample.rate() - 5.0).abs() < 1e-12);
        assert!((sample.cpu_rate() - 2.5).abs() < 1e-12);
    }
}
