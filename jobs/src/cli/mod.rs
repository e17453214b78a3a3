//! The `braid` command: `run`, `check`, `status`, `gen`, `demo`.
//!
//! Exit codes: 0 done, 1 failed, 2 usage or job file, 3 needed history is gone, 4 another run is
//! on.

mod check;
mod demo;
mod generate;
mod status;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::runtime::{Plan, RunOptions, Silent, Summary, Terminal, plan, run};

/// Web, mobile and backend events braided into one view of each person, exact when the past
/// changes.
#[derive(Parser)]
#[command(name = "braid", version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Makes data on the spot, runs a whole job, and shows the past being corrected.
    Demo {
        /// Where data and results go; replaced if it is there.
        #[arg(long, default_value = "out/demo")]
        dir: PathBuf,
    },
    /// Runs a job to the end of its sources.
    Run {
        /// The job file.
        job: PathBuf,
        /// Worker threads; by default one per core, at most 8.
        #[arg(short, long)]
        workers: Option<usize>,
        /// Records in an epoch at most, instead of what the job file says.
        #[arg(long)]
        epoch_records: Option<usize>,
        /// The summary as JSON on standard output.
        #[arg(long)]
        json: bool,
    },
    /// Makes data of a simulated shop, with the truth about each record and a job that reads it.
    Gen(generate::Options),
    /// Checks a job file and looks at the first records of its sources.
    Check {
        /// The job file.
        job: PathBuf,
    },
    /// Shows how far a job is.
    Status {
        /// The job file.
        job: PathBuf,
    },
}

/// Runs the command line.
pub fn main() -> ExitCode {
    let code = match Args::parse().command {
        Command::Demo { dir } => demo::demo(&dir, usual_workers()),
        Command::Run { job, workers, epoch_records, json } => {
            let workers = workers.unwrap_or_else(usual_workers).max(1);
            execute(&job, RunOptions { workers, epoch_records }, json)
        }
        Command::Gen(options) => generate::generate(&options),
        Command::Check { job } => check::check(&job),
        Command::Status { job } => status::status(&job),
    };
    ExitCode::from(code)
}

/// One worker per core; beyond 8 a job of this kind gains little.
fn usual_workers() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().min(8))
}

/// Loads a job file, or says everything that is wrong in it.
fn load(path: &Path) -> Result<Plan, u8> {
    plan::load(path).map_err(|problems| {
        for problem in problems {
            eprintln!("{problem}");
        }
        2
    })
}

fn execute(path: &Path, options: RunOptions, json: bool) -> u8 {
    let plan = match load(path) {
        Ok(plan) => plan,
        Err(code) => return code,
    };
    let result =
        if json { run(&plan, options, &Silent) } else { run(&plan, options, &Terminal::new()) };
    match result {
        Ok(summary) => {
            show(&plan, &summary, json);
            0
        }
        Err(error) => {
            eprintln!("braid: {error}");
            error.exit_code()
        }
    }
}

fn show(plan: &Plan, summary: &Summary, json: bool) {
    if json {
        match serde_json::to_string_pretty(summary) {
            Ok(text) => println!("{text}"),
            Err(error) => eprintln!("braid: {error}"),
        }
        return;
    }
    println!("{}\n", plan.name);
    print!("{}", summary.text());
    let out = plan.out.display();
    println!("\n  tables in {out}: {}", summary.tables.join(", "));
    println!("  python -c 'from deltalake import DeltaTable; \\");
    println!("    print(DeltaTable(\"{out}/people\").to_pyarrow_table())'");
}
