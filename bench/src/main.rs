//! `braid-bench`: what braid's parts and whole jobs cost, beside their limits.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use braid_bench::BENCHES;
use braid_bench::harness::{Bench, Report, measure};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs a benchmark and shows its table. Each case runs in a process of its own; a round runs every
/// case once, so that what disturbs the machine disturbs a case and its limit alike.
#[derive(Parser)]
#[command(name = "braid-bench", after_help = list())]
struct Args {
    /// Name of the benchmark, or `all`.
    name: String,
    /// Size of the workload instead of the benchmark's own.
    #[arg(long)]
    size: Option<u64>,
    /// Rounds, of which the medians are shown.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// JSON on standard output instead of tables.
    #[arg(long)]
    json: bool,
    /// Where the plot goes, as NAME.svg; by default `results` beside this program's source.
    #[arg(long)]
    results: Option<PathBuf>,
    /// Runs this case once in this process and prints its sample.
    #[arg(long, hide = true)]
    case: Option<String>,
}

fn list() -> String {
    let lines = BENCHES
        .iter()
        .map(|b| format!("  {:<13} {} (size {} {})\n", b.name, b.about, b.size, b.unit));
    format!("Benchmarks:\n{}", lines.collect::<String>())
}

fn main() -> ExitCode {
    let args = Args::parse();
    let chosen: Vec<&Bench> =
        BENCHES.iter().copied().filter(|b| args.name == "all" || args.name == b.name).collect();
    if chosen.is_empty() {
        eprintln!("there is no benchmark {:?}; write all or one of these\n{}", args.name, list());
        return ExitCode::from(2);
    }
    for bench in chosen {
        let result = match &args.case {
            Some(case) => one(bench, case, &args),
            None => whole(bench, &args),
        };
        if let Err(error) = result {
            eprintln!("braid-bench: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn one(bench: &Bench, name: &str, args: &Args) -> Result<(), String> {
    let case = bench.cases.iter().find(|case| case.name == name);
    let case = case.ok_or_else(|| format!("{} has no case {name:?}", bench.name))?;
    let sample = (case.run)(args.size.unwrap_or(bench.size))?;
    println!("{}", serde_json::to_string(&sample).map_err(|e| e.to_string())?);
    Ok(())
}

fn whole(bench: &Bench, args: &Args) -> Result<(), String> {
    let size = args.size.unwrap_or(bench.size);
    let samples = measure(bench, size, args.rounds.max(1))?;
    let report = Report::new(bench, size, &samples);
    if args.json {
        println!("{}", report.json()?);
    } else {
        println!("{}", report.table());
    }
    let folder = args.results.clone().unwrap_or_else(results);
    let path = folder.join(format!("{}.svg", bench.name));
    let written =
        std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(&path, report.svg()));
    written.map_err(|e| format!("can't write {}: {e}", path.display()))
}

/// Cargo tells where the package lies; without it, the folder as seen from the workspace.
fn results() -> PathBuf {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").map_or("bench".into(), PathBuf::from);
    package.join("results")
}
