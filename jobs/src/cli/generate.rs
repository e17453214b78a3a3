//! `braid gen`: a simulated shop as files.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::out;
use crate::generate::{Compression, FileOptions, Generated, ShopOptions, write};
use crate::runtime::grouped;
use crate::say;

/// How often a line is written where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// The options of `braid gen`.
#[derive(Args)]
pub(super) struct Options {
    /// Records in all, copies and broken ones included.
    #[arg(short = 'n', long, default_value_t = 1_000_000)]
    events: u64,
    /// Another seed gives another shop; the same seed and options give the same bytes.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The folder to write to.
    #[arg(long, default_value = "out/shop-data")]
    out: PathBuf,
    /// Days that the events span, about.
    #[arg(long, default_value_t = 30)]
    days: u32,
    /// The first day.
    #[arg(long, default_value = "2026-01-05", value_parser = day)]
    start: i64,
    /// People, about; by default one for 40 records.
    #[arg(long)]
    people: Option<u64>,
    /// Tenants, each with people of its own.
    #[arg(long, default_value_t = 1)]
    tenants: u32,
    /// Share of the visits by phone that are offline: their records come hours to days late.
    #[arg(long, default_value_t = 0.1)]
    late: f64,
    /// Share of records that are delivered again, byte for byte.
    #[arg(long, default_value_t = 0.01)]
    duplicates: f64,
    /// Share of records that come again with the same id and other times.
    #[arg(long, default_value_t = 0.005)]
    restamped: f64,
    /// Share of records that can't be used.
    #[arg(long, default_value_t = 0.002)]
    broken: f64,
    /// Share of devices whose clock is wrong.
    #[arg(long, default_value_t = 0.03)]
    skewed: f64,
    /// Share of households in which two people use one device.
    #[arg(long, default_value_t = 0.1)]
    shared: f64,
    /// How files are compressed.
    #[arg(long, value_enum, default_value_t)]
    compression: Compression,
    /// A channel goes on in another file after this many bytes, before compression.
    #[arg(long, default_value_t = FileOptions::FILE_BYTES)]
    file_bytes: u64,
    /// The summary as JSON on standard output.
    #[arg(long)]
    json: bool,
}

/// A day as milliseconds since 1970.
fn day(text: &str) -> Result<i64, String> {
    let date: jiff::civil::Date =
        text.parse().map_err(|_| "write a day such as 2026-01-05".to_owned())?;
    if !(1970..2200).contains(&date.year()) {
        return Err("write a day of the years 1970 to 2199".to_owned());
    }
    let start = jiff::tz::TimeZone::UTC.to_timestamp(date.to_datetime(jiff::civil::Time::MIN));
    Ok(start.map_err(|e| e.to_string())?.as_millisecond())
}

impl Options {
    fn shop(&self) -> ShopOptions {
        ShopOptions {
            events: self.events,
            seed: self.seed,
            start_ms: self.start,
            days: self.days,
            people: self.people,
            tenants: self.tenants,
            late: self.late,
            duplicates: self.duplicates,
            restamped: self.restamped,
            broken: self.broken,
            skewed: self.skewed,
            shared: self.shared,
        }
    }
}

/// Makes the data; returns the exit code.
pub(super) fn generate(options: &Options) -> u8 {
    let files = FileOptions {
        dir: options.out.clone(),
        compression: options.compression,
        file_bytes: options.file_bytes,
    };
    let bar = Bar::new(options.events, options.json);
    let result = write(&options.shop(), &files, &mut bar.hear());
    bar.end();
    match result {
        Ok(done) => {
            show(&done, options.json);
            0
        }
        Err(error) => {
            say::fail(&error);
            error.exit_code()
        }
    }
}

/// A bar on a terminal, a line now and then elsewhere; both on standard error.
struct Bar {
    shown: Option<ProgressBar>,
    total: u64,
    silent: bool,
}

impl Bar {
    fn new(total: u64, silent: bool) -> Self {
        let shown = !silent && std::io::stderr().is_terminal();
        let bar = shown.then(|| ProgressBar::new(total));
        let template = "  {bar:32} {human_pos} of {human_len} records  {eta} left";
        if let (Some(bar), Ok(style)) = (&bar, ProgressStyle::with_template(template)) {
            bar.set_style(style);
        }
        Self { shown: bar, total, silent }
    }

    fn hear(&self) -> impl FnMut(u64) {
        let mut last = Instant::now();
        move |records| {
            if let Some(bar) = &self.shown {
                bar.set_position(records);
            } else if !self.silent && last.elapsed() >= LINE_EVERY {
                last = Instant::now();
                let percent = records as f64 / self.total.max(1) as f64 * 100.0;
                say::progress(format_args!(
                    "{percent:.0} % made, {} records",
                    grouped(records as i64)
                ));
            }
        }
    }

    fn end(&self) {
        if let Some(bar) = &self.shown {
            bar.finish_and_clear();
        }
    }
}

fn show(done: &Generated, json: bool) {
    if json {
        match serde_json::to_string_pretty(done) {
            Ok(text) => out::line(text),
            Err(error) => say::fail(error),
        }
        return;
    }
    let line = |label: &str, value: u64| {
        out::line(format_args!("  {label:<26}{:>14}", grouped(value as i64)));
    };
    line("records", done.records);
    for (channel, count) in &done.channels {
        line(&format!("records, {channel}"), *count);
    }
    line("people", done.people);
    line("sessions", done.sessions);
    line("late", done.late);
    for (kind, count) in &done.copies {
        line(&format!("copies, {kind}"), *count);
    }
    for (reason, count) in &done.broken {
        line(&format!("broken, {reason}"), *count);
    }
    line("files", done.files);
    line("bytes", done.bytes);
    out::line(format_args!("  from {} to {}", done.first_event, done.last_event));
    let rate = grouped(done.records_per_s as i64);
    out::line(format_args!("  {:.1} s, {rate} records a second", done.seconds));
    out::line(format_args!("\n  braid run {}", done.job.display()));
}
