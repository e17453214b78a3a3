//! What a run did, for a person and for a machine.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use connectors::table::Written;
use serde::Serialize;

/// A step of a funnel over all time.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct FunnelStep {
    /// What the step is called.
    pub label: String,
    /// How many reached it, over all values of the breakdown.
    pub count: i64,
    /// Median time from the step before, in seconds, if there is no breakdown.
    pub median_s: Option<f64>,
}

/// A value of a funnel's breakdown over all time.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct FunnelValue {
    /// The value as text.
    pub value: String,
    /// How many reached each step.
    pub counts: Vec<i64>,
}

/// A funnel over all time.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct FunnelSummary {
    /// Name of the view.
    pub name: String,
    /// The steps in order.
    pub steps: Vec<FunnelStep>,
    /// The values of the breakdown, most counted first.
    pub values: Vec<FunnelValue>,
}

/// What a run did. After a resumption the counts are of all records since the first.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct Summary {
    /// Records read.
    pub read: u64,
    /// Records admitted.
    pub admitted: u64,
    /// Copies that do not count, by cause.
    pub duplicates: BTreeMap<String, i64>,
    /// Records that could not be used, by reason.
    pub dead_letters: BTreeMap<String, u64>,
    /// Records on the erased list.
    pub erased: u64,
    /// People with events.
    pub people: i64,
    /// Identifiers known.
    pub identifiers: i64,
    /// Times that two people became one.
    pub merges: u64,
    /// Times that one person became two.
    pub splits: u64,
    /// Sessions.
    pub sessions: i64,
    /// Funnels over all time.
    pub funnels: Vec<FunnelSummary>,
    /// Rows written to tables, changelogs included.
    pub rows_written: u64,
    /// Files written.
    pub files_written: u64,
    /// Epochs.
    pub epochs: u64,
    /// Bytes of the sources as they lie on disk.
    pub bytes_read: u64,
    /// Seconds that the run took.
    pub seconds: f64,
    /// Records per second.
    pub events_per_s: f64,
    /// Names of the tables.
    pub tables: Vec<String>,
}

/// A whole number with a space between thousands.
pub fn grouped(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    if number < 0 { format!("-{out}") } else { out }
}

/// Width of a funnel's longest bar, in characters.
const BAR: usize = 32;
/// Width of a step's label, in characters.
const LABEL: usize = 22;
/// Width of the longest bar of a breakdown's value, in characters.
const VALUE_BAR: usize = 10;
/// Values of a breakdown in a chart at most.
const VALUES: usize = 10;

fn share(part: i64, whole: i64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// A span of time, given in seconds, in the unit that fits it.
pub fn span(seconds: f64) -> String {
    match seconds {
        s if s < 120.0 => format!("{s:.1} s"),
        s if s < 7200.0 => format!("{:.1} min", s / 60.0),
        s if s < 172_800.0 => format!("{:.1} h", s / 3600.0),
        s => format!("{:.1} days", s / 86_400.0),
    }
}

impl Summary {
    /// Adds what a commit wrote.
    pub(super) fn count_written(&mut self, written: Written) {
        self.rows_written += written.rows_changelog + written.rows_current;
        self.files_written += written.files;
    }

    /// The summary as a person reads it.
    pub fn text(&self) -> String {
        let mut out = String::new();
        // Writing to a string can't fail.
        let mut line = |label: &str, value: i64| {
            let _ = writeln!(out, "  {label:<26}{:>14}", grouped(value));
        };
        line("records read", self.read as i64);
        line("admitted", self.admitted as i64);
        for (cause, count) in &self.duplicates {
            line(&format!("duplicates, {cause}"), *count);
        }
        for (reason, count) in &self.dead_letters {
            line(&format!("dead letters, {reason}"), *count as i64);
        }
        if self.erased > 0 {
            line("erased", self.erased as i64);
        }
        line("identifiers", self.identifiers);
        line("people", self.people);
        line("merges", self.merges as i64);
        line("splits", self.splits as i64);
        line("sessions", self.sessions);
        line("rows written", self.rows_written as i64);
        line("epochs", self.epochs as i64);
        let rate = grouped(self.events_per_s as i64);
        let _ = writeln!(out, "  {:.1} s, {rate} records a second", self.seconds);
        for funnel in &self.funnels {
            out.push_str(&funnel.chart());
        }
        out
    }
}

impl FunnelSummary {
    /// The funnel as a bar chart.
    pub fn chart(&self) -> String {
        let mut out = String::new();
        let _ = writeln!(out, "\n  funnel {}", self.name);
        let first = self.steps.first().map_or(0, |step| step.count);
        for step in &self.steps {
            let share = share(step.count, first);
            let bar = "█".repeat((share * BAR as f64).round() as usize);
            let count = grouped(step.count);
            let label: String = step.label.chars().take(LABEL).collect();
            let took = step.median_s.map(|s| format!("  median {}", span(s))).unwrap_or_default();
            let percent = share * 100.0;
            let _ =
                writeln!(out, "  {label:<LABEL$} {bar:<BAR$} {count:>9} {percent:>6.1} %{took}");
        }
        if !self.values.is_empty() {
            let _ = write!(out, "  {:<LABEL$} {:<VALUE_BAR$}", "by value", "converted");
            for step in 1..=self.steps.len() {
                let _ = write!(out, " {:>9}", format!("step {step}"));
            }
            out.push('\n');
        }
        for value in self.values.iter().take(VALUES) {
            let label: String = value.value.chars().take(LABEL).collect();
            let (first, last) = (value.counts.first(), value.counts.last());
            let share = first.zip(last).map_or(0.0, |(first, last)| share(*last, *first));
            let bar = "█".repeat((share * VALUE_BAR as f64).round() as usize);
            let _ = write!(out, "  {label:<LABEL$} {bar:<VALUE_BAR$}");
            for count in &value.counts {
                let _ = write!(out, " {:>9}", grouped(*count));
            }
            let _ = writeln!(out, " {:>6.1} %", share * 100.0);
        }
        if self.values.len() > VALUES {
            let _ = writeln!(out, "  … {} values more in the table", self.values.len() - VALUES);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_shows_steps_and_values() {
        let step =
            |label: &str, count, median_s| FunnelStep { label: label.to_owned(), count, median_s };
        let value = |value: &str, counts: &[i64]| FunnelValue {
            value: value.to_owned(),
            counts: counts.to_vec(),
        };
        let summary = FunnelSummary {
            name: "buy".to_owned(),
            steps: vec![step("cart", 4000, None), step("paid", 1000, Some(90.0))],
            values: vec![value("pro", &[1000, 900]), value("free", &[3000, 100])],
        };
        let chart = summary.chart();
        let lines: Vec<Vec<&str>> =
            chart.lines().map(|line| line.split_whitespace().collect()).collect();
        let bar = |length: usize| "█".repeat(length);
        assert_eq!(lines[1], ["funnel", "buy"]);
        assert_eq!(lines[2], ["cart", &*bar(BAR), "4", "000", "100.0", "%"]);
        let paid = ["paid", &*bar(8), "1", "000", "25.0", "%", "median", "90.0", "s"];
        assert_eq!(lines[3], paid);
        assert_eq!(lines[4], ["by", "value", "converted", "step", "1", "step", "2"]);
        assert_eq!(lines[5], ["pro", &*bar(9), "1", "000", "900", "90.0", "%"]);
        assert_eq!(lines[6], ["free", "3", "000", "100", "3.3", "%"]);
        let columns = |line: &str| line.chars().count();
        assert!(chart.lines().all(|line| columns(line) <= 100), "{chart}");
    }
}
