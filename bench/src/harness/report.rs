//! From samples to a table for people, JSON for machines, and a plot.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use super::plot::{Bar, bars};
use super::stats::{median, median_ratio};
use super::{Bench, By, Case, Goal, RATE, RATIO, Sample};

/// The machine and the program.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
struct Machine {
    cores: usize,
    processor: String,
    system: String,
    rustc: &'static str,
    version: &'static str,
}

impl Machine {
    fn this() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let cpu = read("/proc/cpuinfo");
        let model = cpu.lines().find_map(|l| l.strip_prefix("model name"));
        Self {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            processor: model.map_or("", |m| m.trim_start_matches([' ', '\t', ':'])).to_owned(),
            system: format!("Linux {}", read("/proc/sys/kernel/osrelease").trim()),
            rustc: env!("BENCH_RUSTC"),
            version: env!("CARGO_PKG_VERSION"),
        }
    }
}

/// One goal and what was reached.
#[derive(Clone, PartialEq, Debug, Serialize)]
struct Aim {
    figure: &'static str,
    goal: String,
    reached: bool,
}

/// One line of the table: medians over the rounds.
#[derive(Clone, PartialEq, Debug, Serialize)]
struct Line {
    case: &'static str,
    about: &'static str,
    limit: Option<&'static str>,
    items: u64,
    seconds: f64,
    per_s: f64,
    per_cpu_s: f64,
    /// As [`By`] says.
    ratio: Option<f64>,
    cpu_s: f64,
    peak_rss_bytes: u64,
    figures: BTreeMap<String, f64>,
    goals: Vec<Aim>,
}

/// The outcome of a benchmark.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Report {
    bench: &'static str,
    about: &'static str,
    unit: &'static str,
    size: u64,
    rounds: usize,
    by: By,
    machine: Machine,
    lines: Vec<Line>,
}

impl Report {
    /// Sums up the samples of each case.
    pub fn new(bench: &Bench, size: u64, samples: &BTreeMap<&'static str, Vec<Sample>>) -> Self {
        let of = |name: &str| samples.get(name).map_or(&[][..], Vec::as_slice);
        let lines = bench.cases.iter().map(|case| {
            let limit = case.limit.map_or(&[][..], of);
            line(case, of(case.name), limit, bench.by)
        });
        Self {
            bench: bench.name,
            about: bench.about,
            unit: bench.unit,
            size,
            rounds: samples.values().map(Vec::len).max().unwrap_or(0),
            by: bench.by,
            machine: Machine::this(),
            lines: lines.collect(),
        }
    }

    /// The report as JSON.
    pub fn json(&self) -> Result<String, String> {
        serde_json::to_string_pretty(self).map_err(|e| e.to_string())
    }

    /// The report as a table.
    pub fn table(&self) -> String {
        let mut out = String::new();
        let m = &self.machine;
        // Writing to a string can't fail.
        let _ = writeln!(out, "{}: {}", self.bench, self.about);
        let _ = writeln!(
            out,
            "size {}, median of {} rounds; {} cores, {}, {}, {}, braid {}\n",
            self.size, self.rounds, m.cores, m.processor, m.system, m.rustc, m.version
        );
        let width = self.lines.iter().map(|l| l.case.len()).max().unwrap_or(0).max(4);
        let per_s = format!("M {}/CPU s", self.unit);
        let ratio = if self.by == By::Growth { "time x" } else { "ratio" };
        let _ = writeln!(
            out,
            "{:width$}  {:>9}  {per_s:>16}  {ratio:>7}  {:>8}  {:>9}  further",
            "case", "seconds", "CPU s", "peak MB"
        );
        for line in &self.lines {
            let ratio = line.ratio.map_or("-".to_owned(), |r| format!("{r:.2}"));
            let _ = writeln!(
                out,
                "{:width$}  {:>9.3}  {:>16.3}  {ratio:>7}  {:>8.2}  {:>9.0}  {}",
                line.case,
                line.seconds,
                line.per_cpu_s / 1e6,
                line.cpu_s,
                line.peak_rss_bytes as f64 / 1e6,
                further(line)
            );
        }
        out.push('\n');
        for line in &self.lines {
            let against = line.limit.map_or(String::new(), |l| format!("; beside: {l}"));
            let _ = writeln!(out, "{:width$}  {}{against}", line.case, line.about);
        }
        out
    }

    /// The report as a plot.
    pub fn svg(&self) -> String {
        let what = match self.by {
            By::Growth => "time at ten times the size, by time at the size".to_owned(),
            By::Cpu => format!("million {} by CPU second", self.unit),
            By::Wall => format!("million {} a second", self.unit),
        };
        let rate = |line: &Line| {
            let rate = if self.by == By::Wall { line.per_s } else { line.per_cpu_s };
            rate / 1e6
        };
        let growth = self.by == By::Growth;
        let title = format!("{}: {what}", self.bench);
        let lines = self.lines.iter().filter(|line| !growth || line.ratio.is_some());
        let list = lines.map(|line| {
            let (value, mark) = if growth {
                (line.ratio.unwrap_or(0.0), Some(10.0))
            } else {
                let limit = self.lines.iter().find(|l| Some(l.case) == line.limit);
                (rate(line), limit.map(rate))
            };
            let note = line.ratio.map_or(String::new(), |r| format!(" ({r:.2})"));
            Bar { label: line.case.to_owned(), value, mark, note }
        });
        bars(&title, &list.collect::<Vec<_>>())
    }
}

fn line(case: &Case, ours: &[Sample], limit: &[Sample], by: By) -> Line {
    let of = |list: &[Sample], f: fn(&Sample) -> f64| list.iter().map(f).collect::<Vec<f64>>();
    let pick: fn(&Sample) -> f64 = match by {
        By::Cpu => Sample::cpu_rate,
        By::Wall => Sample::rate,
        By::Growth => |s| s.cpu_s,
    };
    let ratio = (!limit.is_empty()).then(|| median_ratio(&of(ours, pick), &of(limit, pick)));
    let mut figures: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for (name, value) in ours.iter().flat_map(|s| &s.figures) {
        figures.entry(name.clone()).or_default().push(*value);
    }
    let figures = figures.into_iter().map(|(name, v)| (name, median(&v))).collect();
    let per_cpu_s = median(&of(ours, Sample::cpu_rate));
    let figure = |name: &str| match name {
        RATIO => ratio,
        RATE => Some(per_cpu_s / 1e6),
        _ => BTreeMap::get(&figures, name).copied(),
    };
    let goals = case.goals.iter().map(|goal| {
        let (name, bound, low) = match *goal {
            Goal::Min(name, bound) => (name, bound, true),
            Goal::Max(name, bound) => (name, bound, false),
        };
        let value = figure(name);
        let reached = value.is_some_and(|v| if low { v >= bound } else { v <= bound });
        let goal = format!("{} {bound}", if low { ">=" } else { "<=" });
        Aim { figure: name, goal, reached }
    });
    Line {
        case: case.name,
        about: case.about,
        limit: case.limit,
        items: ours.last().map_or(0, |s| s.items),
        seconds: median(&of(ours, |s| s.seconds)),
        per_s: median(&of(ours, Sample::rate)),
        per_cpu_s,
        ratio,
        cpu_s: median(&of(ours, |s| s.cpu_s)),
        peak_rss_bytes: median(&of(ours, |s| s.peak_rss_bytes as f64)) as u64,
        goals: goals.collect(),
        figures,
    }
}

fn further(line: &Line) -> String {
    let goal = |name: &str| {
        let found = line.goals.iter().find(|g| g.figure == name);
        found.map_or(String::new(), |g| {
            format!(" [{} {}]", g.goal, if g.reached { "reached" } else { "not reached" })
        })
    };
    let mut parts: Vec<String> = Vec::new();
    for name in [RATIO, RATE] {
        if line.goals.iter().any(|g| g.figure == name) {
            parts.push(format!("{name}{}", goal(name)));
        }
    }
    for (name, value) in &line.figures {
        parts.push(format!("{name} {}{}", short(*value), goal(name)));
    }
    parts.join(", ")
}

fn short(value: f64) -> String {
    match value.abs() {
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(items: u64, seconds: f64) -> Sample {
        Sample { items, seconds, cpu_s: seconds, ..Sample::default() }.with("bytes_per_id", 40.0)
    }

    const CASES: &[Case] = &[
        Case::limit("bare", "the limit", |_| Ok(Sample::default())),
        Case::ours(
            "ours",
            "ours",
            "bare",
            &[Goal::Min(RATIO, 0.6), Goal::Max("bytes_per_id", 32.0)],
            |_| Ok(Sample::default()),
        ),
    ];

    fn report(by: By) -> Report {
        let bench = Bench { name: "b", about: "a", unit: "ids", size: 9, cases: CASES, by };
        let samples = BTreeMap::from([
            ("bare", vec![sample(100, 1.0), sample(100, 2.0), sample(100, 1.0)]),
            ("ours", vec![sample(100, 1.25), sample(100, 2.5), sample(100, 2.0)]),
        ]);
        Report::new(&bench, 9, &samples)
    }

    #[test]
    fn rates_are_compared_round_by_round_and_with_goals() {
        let report = report(By::Cpu);
        let ours = &report.lines[1];
        assert!((ours.ratio.unwrap() - 0.8).abs() < 1e-9);
        assert!((ours.seconds - 2.0).abs() < 1e-9);
        assert_eq!(ours.goals.iter().map(|g| g.reached).collect::<Vec<_>>(), [true, false]);
        assert_eq!(report.lines[0].ratio, None);
        let table = report.table();
        assert!(table.contains("0.80") && table.contains("[<= 32 not reached]"), "{table}");
        assert!(report.json().unwrap().contains("\"bytes_per_id\": 40.0"));
    }

    #[test]
    fn growth_compares_time() {
        let report = report(By::Growth);
        assert!((report.lines[1].ratio.unwrap() - 1.25).abs() < 1e-9);
        assert!(report.svg().contains("ours"));
    }
}
