//! Each case runs in a process of its own, so that peaks of memory are separate.

use std::collections::BTreeMap;
use std::process::Command;

use super::{Bench, By, Sample};

/// Runs every case of a benchmark `rounds` times, a round of all cases after the other.
///
/// # Errors
///
/// A case that fails, or whose answer differs from its limit's.
pub fn measure(
    bench: &Bench,
    size: u64,
    rounds: usize,
) -> Result<BTreeMap<&'static str, Vec<Sample>>, String> {
    let mut samples: BTreeMap<&'static str, Vec<Sample>> = BTreeMap::new();
    let whole = bench.by == By::Wall;
    for round in 0..rounds {
        for case in bench.cases {
            eprintln!("{} {} ({} of {rounds})", bench.name, case.name, round + 1);
            let sample = in_child(bench.name, case.name, size, whole)?;
            samples.entry(case.name).or_default().push(sample);
        }
        for case in bench.cases.iter().filter(|_| bench.by != By::Growth) {
            let Some(limit) = case.limit else { continue };
            let answer = |name: &str| samples.get(name).and_then(|s| s.last()).map(|s| s.answer);
            let (ours, other) = (answer(case.name), answer(limit));
            if ours != other {
                let pair = format!("{} says {ours:?}, {limit} says {other:?}", case.name);
                return Err(format!("{}: the answers differ: {pair}", bench.name));
            }
        }
    }
    Ok(samples)
}

fn in_child(bench: &str, case: &str, size: u64, whole: bool) -> Result<Sample, String> {
    let program = std::env::current_exe().map_err(|e| format!("can't find this program: {e}"))?;
    let mut command = Command::new(program);
    command.args([bench, "--case", case, "--size", &size.to_string()]);
    if !whole {
        // Freed memory goes back to the system at once: what is resident is what is held.
        command.env("MIMALLOC_PURGE_DELAY", "0");
    }
    let output = command.output().map_err(|e| format!("can't start a process: {e}"))?;
    let what = format!("{bench} {case}");
    if !output.status.success() {
        return Err(format!("{what}: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let last = text.lines().last().unwrap_or_default();
    serde_json::from_str(last).map_err(|e| format!("{what}: no sample in {last:?}: {e}"))
}
