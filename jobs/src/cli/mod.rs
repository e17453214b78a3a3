//! The `braid` command: `run`, `check`, `plan`, `status`, `query`, `explain`, `replay`, `whatif`,
//! `archive`, `schema`, `gen`, `demo`.
//!
//! Exit codes: 0 done, 1 failed, 2 usage or job file, 3 needed history is gone, 4 another run is
//! on, 8 a disk is full.

mod archive;
mod change;
mod check;
mod cluster;
mod crash;
mod demo;
mod explain;
mod generate;
mod note;
mod out;
mod query;
mod replay;
mod schema;
mod signals;
mod status;
mod whatif;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use clap::builder::RangedU64ValueParser;
use clap::{Parser, Subcommand, ValueEnum};

use self::cluster::Role;
use self::signals::stop_on_signals;
use crate::runtime::{
    Around, Plan, Progress, RunError, RunOptions, Silent, Summary, Terminal, job_file, plan,
    run_held, serve,
};
use crate::say;
use crate::serve::Server;

/// Web, mobile and backend events braided into one view of each person, exact when the past
/// changes.
#[derive(Parser)]
#[command(name = "braid", version)]
struct Args {
    /// What lines on standard error are.
    #[arg(long, global = true, value_enum, default_value_t = Log::Text)]
    log: Log,
    #[command(subcommand)]
    command: Command,
}

/// What lines on standard error are.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Log {
    /// For a person.
    Text,
    /// A JSON object for each: time, level and message.
    Json,
}

#[derive(Subcommand)]
enum Command {
    /// Makes data on the spot, runs a whole job, and shows the past being corrected.
    Demo {
        /// Where data and results go; replaced if it is there.
        #[arg(long, default_value = "out/demo")]
        dir: PathBuf,
    },
    /// Runs a job: to the end of its sources, or, where one has no end, until SIGTERM or Ctrl-C.
    Run {
        /// The job file.
        job: PathBuf,
        /// Worker threads; by default one per core, at most 8.
        #[arg(short, long, value_parser = worker_count)]
        workers: Option<usize>,
        /// Records in an epoch at most, instead of what the job file says.
        #[arg(long, value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
        epoch_records: Option<usize>,
        /// The summary as JSON on standard output.
        #[arg(long)]
        json: bool,
        /// Answers at this address, such as 127.0.0.1:9464: /metrics for Prometheus, /status,
        /// /healthz, /readyz.
        #[arg(long, value_name = "ADDRESS")]
        listen: Option<SocketAddr>,
        #[command(flatten)]
        cluster: cluster::Options,
        /// For tests of crashes, MOMENT:COUNT:kill, stop or panic: sends itself SIGKILL or SIGSTOP,
        /// or panics, when a moment (`connectors::moments`) comes the COUNT-th time. In a cluster
        /// this is for the first child.
        #[arg(long, hide = true, value_parser = crash::parse)]
        crash_at: Option<crash::CrashAt>,
    },
    /// Makes data of a simulated shop, with the truth about each record and a job that reads it.
    Gen(generate::Options),
    /// Checks a job file and looks at the first records of its sources.
    Check {
        /// The job file.
        job: PathBuf,
    },
    /// Shows what a run would do to what stands, after a change of the job file above all; how long
    /// it takes is judged by computing the beginning for some seconds.
    Plan {
        /// The job file.
        job: PathBuf,
    },
    /// Prints the schemas of the records in a job's topics.
    Schema {
        /// The job file.
        job: PathBuf,
        /// The view; without it all views.
        view: Option<String>,
    },
    /// Answers a question in SQL from a job's tables, of now or as known earlier.
    Query(query::Asked),
    /// Says why the numbers of a view changed, or why a person is who they are.
    Explain(explain::Explain),
    /// Computes the past anew, beside the live job, with the job as it is or with a changed one.
    Replay(replay::Options),
    /// Says what a job's archive has, or brings in what came before it.
    Archive(archive::Options),
    /// Says what would change if the job were another one: who would be who, and all numbers.
    Whatif(whatif::Options),
    /// Shows how far a job is: of a running one, if it answers at an address (`run --listen`), also
    /// what it holds and how far behind it is.
    Status {
        /// The job file.
        job: PathBuf,
        /// Where the job answers, if not where it has noted in its output folder.
        #[arg(long, value_name = "ADDRESS")]
        at: Option<SocketAddr>,
    },
}

/// Runs the command line.
pub fn main() -> ExitCode {
    let args = Args::parse();
    if args.log == Log::Json {
        say::as_json();
    }
    let code = match args.command {
        Command::Demo { dir } => demo::demo(&dir, usual_workers()),
        Command::Run { job, workers, epoch_records, json, listen, cluster, crash_at } => {
            crash_at.into_iter().for_each(crash::CrashAt::arm);
            let workers = workers.unwrap_or_else(usual_workers).max(1);
            execute(&job, RunOptions { workers, epoch_records }, (json, listen), &cluster)
        }
        Command::Gen(options) => generate::generate(&options),
        Command::Check { job } => check::check(&job),
        Command::Query(asked) => query::ask(&asked),
        Command::Explain(why) => explain::why(&why),
        Command::Replay(options) => replay::replay(&options),
        Command::Whatif(options) => whatif::whatif(&options),
        Command::Archive(options) => archive::act(&options),
        Command::Plan { job } => change::plan(&job),
        Command::Schema { job, view } => schema::schema(&job, view.as_deref()),
        Command::Status { job, at } => status::status(&job, at),
    };
    ExitCode::from(out::code(code))
}

/// One worker per core; beyond 8 a job of this kind gains little.
fn usual_workers() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().min(8))
}

/// Workers of a process at most: more than machines have cores.
const WORKERS_MAX: usize = 1024;

/// A number of workers as it is written.
fn worker_count(text: &str) -> Result<usize, String> {
    let count = text.parse().ok().filter(|count| (1..=WORKERS_MAX).contains(count));
    count.ok_or_else(|| format!("write a number from 1 to {WORKERS_MAX}"))
}

/// Exit code: usage or job file.
const USAGE: u8 = 2;

/// Loads a job file whose sources are to be read, or says everything that is wrong in it.
fn load(path: &Path) -> Result<Plan, u8> {
    planned(plan::load(path))
}

/// Reads a job file for who looks at what it has written, or computes its past anew.
fn read(path: &Path) -> Result<Plan, u8> {
    planned(plan::read(path))
}

fn planned(plan: Result<Plan, Vec<job_file::Problem>>) -> Result<Plan, u8> {
    plan.map_err(|problems| {
        for problem in problems {
            say::problem(problem);
        }
        USAGE
    })
}

fn execute(
    path: &Path,
    options: RunOptions,
    (json, listen): (bool, Option<SocketAddr>),
    cluster: &cluster::Options,
) -> u8 {
    if let Err(words) = cluster.check() {
        say::fail(words);
        return USAGE;
    }
    // Processes that lend their workers need not have the files.
    let plan = match if cluster.reads_sources() { load(path) } else { read(path) } {
        Ok(plan) => plan,
        Err(code) => return code,
    };
    if matches!(cluster.role(), Role::Parent) {
        return cluster.parent(&plan, options.workers);
    }
    let stop = match stop_on_signals() {
        Ok(stop) => stop,
        Err(error) => {
            say::fail(format_args!("can't listen to signals: {error}"));
            return 1;
        }
    };
    let board = Arc::default();
    let server = listen.map(|address| (address, Server::start(address, Arc::clone(&board))));
    if let Some((address, Err(error))) = &server {
        say::fail(format_args!(
            "can't listen at {address}: {error}; give --listen another address"
        ));
        return USAGE;
    }
    if let Some((_, Ok(server))) = &server {
        say::note(format_args!("at http://{}", server.address()));
    }
    let address = server.as_ref().and_then(|(_, server)| Some(server.as_ref().ok()?.address()));
    let joined = match cluster.role() {
        Role::Child => cluster.join(&plan, options, &stop, &board).map(Some),
        Role::Alone | Role::Parent => Ok(None),
    };
    let joined = match joined {
        Ok(joined) => joined,
        Err(code) => return code,
    };
    if let Some(cluster) = joined.as_ref().filter(|cluster| cluster.process() != 0) {
        let ended = serve(&plan, options, cluster, &board);
        cluster.leave(&ended.err().map_or_else(|| cluster.done(), RunError::into_end));
    }
    let (silent, terminal) = (Silent, Terminal::new());
    let progress: &dyn Progress = if json { &silent } else { &terminal };
    let cluster = joined.as_ref();
    let around = Around { progress, stop: &stop, board: &board, cluster };
    let result = run_held(&plan, options, around, || leave_note(&plan, address));
    let code = match result {
        Ok(summary) => {
            show(&plan, &summary, json);
            if plan.is_bounded() && stop.load(Ordering::Acquire) {
                say::note("stopped, perhaps before the end; run it again to go on");
                1
            } else {
                0
            }
        }
        Err(error) if cluster.is_some() => cluster.map_or(1, |c| c.leave(&error.into_end())),
        Err(error) => {
            say::fail(&error);
            error.exit_code()
        }
    };
    cluster.map_or(code, |cluster| cluster.leave(&cluster.done()))
}

/// Notes where `braid status` finds this run. Without the note it tells from files.
fn leave_note(plan: &Plan, address: Option<SocketAddr>) {
    if let Err(error) = note::leave(&plan.out, address) {
        let path = note::path(&plan.out);
        say::note(format_args!("can't write {}: {error}", path.display()));
    }
}

fn show(plan: &Plan, summary: &Summary, json: bool) {
    if json {
        match serde_json::to_string_pretty(summary) {
            Ok(text) => out::line(text),
            Err(error) => say::fail(error),
        }
        return;
    }
    out::line(format_args!("{}\n", plan.name));
    out::text(summary.text());
    if plan.tables.is_none() {
        return;
    }
    let out = plan.out.display();
    out::line(format_args!("\n  tables in {out}: {}", summary.tables.join(", ")));
    out::line("  python -c 'from deltalake import DeltaTable; \\");
    out::line(format_args!("    print(DeltaTable(\"{out}/people\").to_pyarrow_table())'"));
}
