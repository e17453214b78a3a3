//! `braid demo`: a shop's data made on the spot, a whole job, and the past being corrected.

mod show;
mod story;

use std::path::Path;
use std::time::Instant;

use super::out;
use crate::generate::{FileOptions, ShopOptions, write};
use crate::runtime::{Plan, RunError, RunOptions, Silent, Summary, Terminal, grouped, plan, run};

use self::show::{Scene, changes, scene};
use self::story::Story;

/// Says that a folder is the demo's and may be replaced.
const MARK: &str = ".braid-demo";
/// Records of the demo's shop: a few seconds' work on a small machine.
const EVENTS: u64 = 150_000;
/// Days of the demo's shop.
const DAYS: u32 = 14;

/// Why the demo could not go on: what to say, and the exit code.
struct Stop(String, u8);

impl From<RunError> for Stop {
    fn from(error: RunError) -> Self {
        let code = error.exit_code();
        Self(error.to_string(), code)
    }
}

impl From<connectors::table::TableError> for Stop {
    fn from(error: connectors::table::TableError) -> Self {
        RunError::from(error).into()
    }
}

/// Runs the demo in a folder; returns the exit code.
pub(super) fn demo(dir: &Path, workers: usize) -> u8 {
    match play(dir, workers) {
        Ok(()) => 0,
        Err(Stop(message, code)) => {
            eprintln!("braid: {message}");
            code
        }
    }
}

/// Empties the demo's folder.
fn clear(dir: &Path) -> Result<(), Stop> {
    let fail = |e: std::io::Error| Stop(format!("can't use {}: {e}", dir.display()), 1);
    if dir.exists() {
        let empty = std::fs::read_dir(dir).map_err(fail)?.next().is_none();
        if !empty && !dir.join(MARK).exists() {
            let message = format!(
                "{} is there and is not a demo's folder; give another one with --dir",
                dir.display()
            );
            return Err(Stop(message, 2));
        }
        std::fs::remove_dir_all(dir).map_err(fail)?;
    }
    std::fs::create_dir_all(dir).map_err(fail)?;
    std::fs::write(dir.join(MARK), "").map_err(fail)
}

fn play(dir: &Path, workers: usize) -> Result<(), Stop> {
    clear(dir)?;
    let options = ShopOptions { events: EVENTS, days: DAYS, ..ShopOptions::default() };
    title("1  A shop's web, mobile and backend events, made on the spot");
    let begun = Instant::now();
    let made = write(&options, &FileOptions::new(dir), &mut |_| ());
    let made = made.map_err(|e| Stop(e.to_string(), e.exit_code()))?;
    let last = made.last_event.parse();
    let story = Story::new(last.map_err(|e| Stop(format!("{}: {e}", made.last_event), 1))?);
    story.yesterday(dir).map_err(|e| Stop(e.to_string(), 1))?;
    let seconds = begun.elapsed().as_secs_f64();
    let records = grouped(made.records as i64);
    out::line(format_args!("  {records} records in {seconds:.1} s, under {}", dir.display()));
    out::line(
        "  some late, some twice, some broken, some clocks wrong; devices shared and changed",
    );

    title("2  The whole job: who is who, sessions, a funnel, trends");
    let (plan, summary) = work(dir, workers, true)?;
    out::text(summary.text());
    let before = scene(&plan, &story)?;
    out::line(format_args!("\n  Two of these people, and yesterday's funnel:\n{}", before.text()));

    title("3  Today a login comes late: yesterday's laptop was Ada's");
    story.login(dir).map_err(|e| Stop(e.to_string(), 1))?;
    out::line(format_args!("  {}\n", story.login_record()));
    let merged = correct(dir, workers, &story, summary.epochs)?;
    out::line(format_args!("\n  Now:\n{}", merged.1.text()));

    title("4  It was not hers after all: an unmerge takes it back");
    story.unmerge(dir).map_err(|e| Stop(e.to_string(), 1))?;
    out::line(format_args!("  {}\n", story.unmerge_record()));
    let parted = correct(dir, workers, &story, merged.0)?;
    out::line(format_args!("\n  Now:\n{}", parted.1.text()));
    let back = parted.1.funnel() == before.funnel();
    let funnel = if back { "is as it was before the login" } else { "differs from before" };
    out::line(format_args!(
        "  The funnel {funnel}. The login itself stays Ada's: it carries her user id."
    ));

    title("5  What to do next");
    next(dir, &plan);
    Ok(())
}

fn title(text: &str) {
    out::line(format_args!("\n\x1b[1m{text}\x1b[0m\n"));
}

fn work(dir: &Path, workers: usize, progress: bool) -> Result<(Plan, Summary), Stop> {
    let plan = plan::load(&dir.join("job.toml")).map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        Stop(lines.join("\n"), 2)
    })?;
    let options = RunOptions { workers, epoch_records: None };
    let summary = if progress {
        run(&plan, options, &Terminal::new())?
    } else {
        run(&plan, options, &Silent)?
    };
    Ok((plan, summary))
}

/// Runs the job again, with what has come since, and shows what it published.
fn correct(
    dir: &Path,
    workers: usize,
    story: &Story,
    published: u64,
) -> Result<(u64, Scene), Stop> {
    let (plan, summary) = work(dir, workers, false)?;
    out::line(format_args!("  What was published:\n{}", changes(&plan, story, published)?));
    Ok((summary.epochs, scene(&plan, story)?))
}

fn next(dir: &Path, plan: &Plan) {
    let (dir, out) = (dir.display(), plan.out.display());
    out::line(format_args!(
        "  The tables are Delta Lake tables under {out}: the current rows in {out}/<view>,"
    ));
    out::line(format_args!(
        "  every change with its cause in {out}/changelog/<view>. Read them with what you like:"
    ));
    out::line("\n    pip install duckdb deltalake pyarrow");
    out::line("    python3 -c 'import duckdb; print(duckdb.sql(\"\"\"");
    out::line(format_args!(
        "      select step, event, count, average_s from delta_scan(\"{out}/funnel_purchase\")"
    ));
    out::line("      where period = $$all$$ order by step\"\"\"))'");
    out::line("    python3 -c 'from deltalake import DeltaTable; \\");
    out::line(format_args!("      print(DeltaTable(\"{out}/people\").to_pyarrow_table())'"));
    out::line(format_args!(
        "\n  Then change {dir}/job.toml, for example to funnelWindowInterval = 1, and see what is \
         corrected:"
    ));
    out::line(format_args!("\n    braid plan {dir}/job.toml && braid run {dir}/job.toml\n"));
}
