//! Progress of a run, for a person.

use std::io::IsTerminal as _;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::summary::grouped;

/// Whoever wants to know how far a run is.
pub trait Progress {
    /// The run begins; the sources have this many bytes, 0 where that is not known.
    fn begin(&self, bytes_total: u64);
    /// Bytes read and records decoded so far.
    fn update(&self, bytes: u64, records: u64);
    /// The run is over.
    fn end(&self);
    /// Something that a person should know, on standard error.
    fn note(&self, words: &str) {
        eprintln!("braid: {words}");
    }
}

/// Says nothing.
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _bytes_total: u64) {}
    fn update(&self, _bytes: u64, _records: u64) {}
    fn end(&self) {}
}

/// How often a line is written where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

struct Lines {
    total: u64,
    last: Instant,
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
        Self { bar, lines: Mutex::new(Lines { total: 0, last: Instant::now() }) }
    }
}

impl Default for Terminal {
    fn default() -> Self {
        Self::new()
    }
}

impl Progress for Terminal {
    fn begin(&self, bytes_total: u64) {
        if let Some(bar) = &self.bar {
            let template = match bytes_total {
                0 => "  {spinner} {msg}",
                _ => "  {bar:32} {bytes}/{total_bytes}  {msg}  {eta} left",
            };
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar.set_length(bytes_total);
        }
        if let Ok(mut lines) = self.lines.lock() {
            lines.total = bytes_total;
        }
    }

    fn update(&self, bytes: u64, records: u64) {
        let records = grouped(records as i64);
        if let Some(bar) = &self.bar {
            bar.set_position(bytes);
            bar.set_message(format!("{records} records"));
        } else if let Ok(mut lines) = self.lines.lock()
            && lines.last.elapsed() >= LINE_EVERY
        {
            lines.last = Instant::now();
            match lines.total {
                0 => eprintln!("{records} records"),
                total => {
                    let percent = bytes as f64 / total as f64 * 100.0;
                    eprintln!("{percent:.0} % read, {records} records");
                }
            }
        }
    }

    fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
