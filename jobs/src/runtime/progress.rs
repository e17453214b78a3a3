//! Progress of a run, for a person.

use std::io::IsTerminal as _;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::summary::grouped;
use crate::say;

/// How much a run has before it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Extent {
    /// Bytes of sources; 0 where that is not known.
    Bytes(u64),
    /// Epochs that are bound.
    Epochs(u64),
}

impl Extent {
    fn total(self) -> u64 {
        match self {
            Self::Bytes(total) | Self::Epochs(total) => total,
        }
    }
}

/// Whoever wants to know how far a run is.
pub trait Progress: Sync {
    /// The run begins, and has this much before it.
    fn begin(&self, extent: Extent);
    /// How much of the extent is behind it, and records decoded so far.
    fn update(&self, done: u64, records: u64);
    /// The run is over.
    fn end(&self);
    /// Something that a person should know, on standard error.
    fn note(&self, words: &str) {
        say::note(words);
    }
}

/// Says nothing.
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _extent: Extent) {}
    fn update(&self, _done: u64, _records: u64) {}
    fn end(&self) {}
}

/// How often a line is written where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

struct Lines {
    extent: Extent,
    begun: Instant,
    last: Instant,
}

impl Lines {
    /// How far it is, and how long it will take at the pace so far.
    fn words(&self, done: u64, records: &str) -> String {
        let (what, total) = match self.extent {
            Extent::Bytes(0) | Extent::Epochs(0) => return format!("{records} records"),
            Extent::Bytes(total) => ("read", total),
            Extent::Epochs(total) => ("of the epochs", total),
        };
        let part = (done as f64 / total as f64).min(1.0);
        let percent = part * 100.0;
        if part <= 0.0 {
            return format!("{percent:.0} % {what}, {records} records");
        }
        let left = self.begun.elapsed().as_secs_f64() * (1.0 - part) / part;
        format!("{percent:.0} % {what}, {records} records, about {left:.0} s left")
    }
}

/// A bar on a terminal, a line now and then elsewhere; both on standard error.
pub struct Terminal {
    bar: Option<ProgressBar>,
    lines: Mutex<Lines>,
}

impl Terminal {
    /// Nothing shown yet.
    pub fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| ProgressBar::new(0));
        let (extent, now) = (Extent::Bytes(0), Instant::now());
        Self { bar, lines: Mutex::new(Lines { extent, begun: now, last: now }) }
    }
}

impl Default for Terminal {
    fn default() -> Self {
        Self::new()
    }
}

impl Progress for Terminal {
    fn begin(&self, extent: Extent) {
        if let Some(bar) = &self.bar {
            bar.reset();
            let template = match extent {
                Extent::Bytes(0) | Extent::Epochs(0) => "  {spinner} {msg}",
                Extent::Bytes(_) => "  {bar:32} {bytes}/{total_bytes}  {msg}  {eta} left",
                Extent::Epochs(_) => "  {bar:32} {pos}/{len} epochs  {msg}  {eta} left",
            };
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar.set_length(extent.total());
        }
        if let Ok(mut lines) = self.lines.lock() {
            (lines.extent, lines.begun) = (extent, Instant::now());
        }
    }

    fn update(&self, done: u64, records: u64) {
        let records = grouped(records as i64);
        if let Some(bar) = &self.bar {
            bar.set_position(done);
            bar.set_message(format!("{records} records"));
        } else if let Ok(mut lines) = self.lines.lock()
            && lines.last.elapsed() >= LINE_EVERY
        {
            lines.last = Instant::now();
            say::progress(lines.words(done, &records));
        }
    }

    fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
