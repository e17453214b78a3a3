//! Figures as a person reads them: what `braid status` prints, and `/status` answers.

use std::fmt::Write as _;

use jiff::Timestamp;
use operators::model::{Epoch, Micros};

use super::{Figures, PartitionFigures, SinkFigures, SourceFigures};
use crate::runtime::grouped;

/// Partitions of a source that are told one by one at most: of more, those furthest behind.
const PARTITIONS_MAX: usize = 12;
/// A transaction that is open for less is nothing to tell.
const OPEN_S: f64 = 10.0;

/// What the job does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// It runs, and whether it has caught up.
    Runs {
        /// Whether what comes in goes out at once.
        ready: bool,
    },
    /// It runs, and does not answer.
    Silent,
    /// It does not answer, and may run or not.
    Unknown,
    /// It does not run.
    Stands,
}

/// A span of time in the unit that fits it.
fn span(seconds: f64) -> String {
    match seconds.max(0.0) {
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7200.0 => format!("{:.0} min", s / 60.0),
        s if s < 172_800.0 => format!("{:.1} h", s / 3600.0),
        s => format!("{:.1} days", s / 86_400.0),
    }
}

/// Bytes in the unit that fits them.
fn bytes(bytes: u64) -> String {
    match bytes as f64 {
        b if b < 1e4 => format!("{b} B"),
        b if b < 1e7 => format!("{:.0} kB", b / 1e3),
        b if b < 1e10 => format!("{:.0} MB", b / 1e6),
        b => format!("{:.1} GB", b / 1e9),
    }
}

fn count(number: u64) -> String {
    grouped(number as i64)
}

/// How long ago something was.
fn ago(now: Micros, then: Micros) -> String {
    span(now.saturating_sub(then) as f64 / 1e6)
}

/// The figures at a moment, in lines.
pub fn lines(figures: &Figures, now: Micros, state: State) -> String {
    let mut out = Page(String::new());
    let closed = figures.closed.saturating_sub(1);
    let what = match state {
        State::Runs { ready: true } => "runs, has caught up",
        State::Runs { ready: false } => "runs, has not caught up",
        State::Silent => "runs, does not answer",
        State::Unknown => "does not answer",
        State::Stands => "does not run",
    };
    let (job, generation) = (&figures.job, figures.generation);
    out.line(&format!("{job}: {what}; run {generation}, epoch {} bound", count(figures.bound)));
    if matches!(state, State::Runs { .. }) {
        let flight = figures.bound.saturating_sub(closed);
        let waiting = bytes(figures.bytes_in_flight);
        out.line(&format!("  epoch {} computed, {flight} in flight ({waiting})", count(closed)));
    }
    if let Some(at) = figures.watermark {
        let time =
            Timestamp::from_microsecond(at).map_or_else(|_| at.to_string(), |t| t.to_string());
        out.line(&format!("  watermark {time}, {} behind", ago(now, at)));
    }
    if figures.records > 0 {
        records(&mut out, figures);
    }
    figures.sources.iter().for_each(|of| source(&mut out, of));
    if let Some(since) = figures.needed_since {
        out.line(&format!("  a restart needs records bound up to {} ago", ago(now, since)));
    }
    figures.sinks.iter().for_each(|(name, of)| sink(&mut out, name, of));
    if let Some(snapshot) = &figures.snapshot {
        let usable = if snapshot.usable == snapshot.epoch { "" } else { ", not passed by all yet" };
        out.line(&format!(
            "  snapshot at epoch {}, {} ago: {} events, {}{usable}",
            count(snapshot.epoch),
            ago(now, snapshot.taken),
            count(snapshot.events),
            bytes(snapshot.bytes)
        ));
    }
    if !figures.state_bytes.is_empty() {
        let list = figures.state_bytes.iter().map(|(of, b)| format!("{of} {}", bytes(*b)));
        out.line(&format!("  held in memory: {}", list.collect::<Vec<_>>().join(", ")));
    }
    for (process, silent_s) in &figures.silent_s {
        out.line(&format!("  process {process} was heard {silent_s:.1} s ago"));
    }
    out.0
}

struct Page(String);

impl Page {
    fn line(&mut self, text: &str) {
        // Writing to text can't fail.
        let _ = writeln!(self.0, "{text}");
    }
}

fn records(out: &mut Page, figures: &Figures) {
    let list = |named: Vec<(&String, i64)>| -> String {
        let named = named.into_iter().filter(|(_, n)| *n != 0);
        let each: Vec<String> = named.map(|(of, n)| format!("{of} {}", grouped(n))).collect();
        if each.is_empty() { "none".to_owned() } else { each.join(", ") }
    };
    let (read, admitted) = (count(figures.records), count(figures.events));
    out.line(&format!("  {read} records read, {admitted} admitted"));
    let letters = figures.letters.iter().map(|(reason, n)| (reason, *n as i64)).collect();
    out.line(&format!("  dead letters: {}", list(letters)));
    let duplicates = figures.duplicates.iter().map(|(cause, n)| (cause, *n)).collect();
    let (merges, splits) = (count(figures.merges), count(figures.splits));
    out.line(&format!("  duplicates: {}; {merges} merges, {splits} splits", list(duplicates)));
}

fn source(out: &mut Page, source: &SourceFigures) {
    let name = &source.name;
    if let Some(files) = &source.files {
        let more = match files.records {
            0 => String::new(),
            records => format!(" and {} records of the next", count(records)),
        };
        let end = if files.at_end { "at its end" } else { "not at its end" };
        out.line(&format!("  source {name}: {} files read{more}, {end}", count(files.read)));
        return;
    }
    let lag = source.lag_records().map_or("not known".to_owned(), count);
    let partitions = source.partitions.len();
    out.line(&format!("  source {name}: {partitions} partitions, records behind: {lag}"));
    if let Some(trouble) = &source.trouble {
        out.line(&format!("    trouble: {trouble}"));
    }
    let mut list: Vec<&PartitionFigures> = source.partitions.iter().collect();
    if list.len() > PARTITIONS_MAX {
        list.sort_by_key(|partition| {
            std::cmp::Reverse(partition.lag_records().unwrap_or(u64::MAX))
        });
    }
    list.iter().take(PARTITIONS_MAX).for_each(|of| out.line(&partition(of)));
    if list.len() > PARTITIONS_MAX {
        out.line(&format!("    … {} more, not further behind", list.len() - PARTITIONS_MAX));
    }
}

fn partition(of: &PartitionFigures) -> String {
    let status = &of.status;
    let behind = match of.lag_records() {
        _ if !status.reachable => "can't be reached".to_owned(),
        None => "its end is not known".to_owned(),
        Some(0) => "read to its end".to_owned(),
        Some(lag) => format!("{} behind", count(lag)),
    };
    let margin = match of.margin_records() {
        None => String::new(),
        Some(margin) if margin < 0 => {
            format!("; A RESTART NEEDS {} RECORDS THAT ARE GONE", grouped(-margin))
        }
        Some(margin) => format!("; {} kept before what a restart needs", grouped(margin)),
    };
    let open = match &status.open {
        Some(open) if open.open.is_zero() || open.open.as_secs_f64() >= OPEN_S => {
            let time = match open.open.as_secs_f64() {
                0.0 => String::new(),
                seconds => format!(" for {}", span(seconds)),
            };
            format!("; a transaction is open at {}{time}", count(open.offset))
        }
        _ => String::new(),
    };
    let (topic, number, next) = (&status.topic, status.partition, count(status.next));
    format!("    {topic}/{number} at {next}, {behind}{margin}{open}")
}

fn sink(out: &mut Page, name: &str, sink: &SinkFigures) {
    let upto = |epoch: Epoch| match epoch {
        0 => "not committed yet".to_owned(),
        epoch => format!("complete up to epoch {}", count(epoch)),
    };
    let waiting = match sink.waiting_bytes {
        0 => String::new(),
        waiting => format!(", {} wait", bytes(waiting)),
    };
    let state = sink.trouble.clone().unwrap_or_else(|| upto(sink.epoch));
    out.line(&format!("  output {name}: {state}{waiting}"));
    for open in sink.open.iter().filter(|open| open.open.as_secs_f64() >= OPEN_S) {
        out.line(&format!(
            "    {}/{}: a transaction is open at {} for {}",
            open.topic,
            open.partition,
            count(open.offset),
            span(open.open.as_secs_f64())
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::super::text::tests::figures;
    use super::*;

    #[test]
    fn a_person_can_read_it() {
        let text = lines(&figures(), 1_060_000_000, State::Runs { ready: false });
        let expected = "\
shop: runs, has not caught up; run 0, epoch 8 bound
  epoch 6 computed, 2 in flight (0 B)
  watermark 1970-01-01T00:16:40Z, 60 s behind
  source a\"b: 1 partitions, records behind: 5
    in/2 at 10, 5 behind; 4 kept before what a restart needs; a transaction is open at 12 for 65 s
  a restart needs records bound up to 60 s ago
  output shop: complete up to epoch 6
    shop.progress/2: a transaction is open at 12 for 65 s
  snapshot at epoch 4, 10 s ago: 0 events, 0 B, not passed by all yet
  held in memory: store 800 B
  process 1 was heard 0.2 s ago
";
        assert_eq!(text, expected);
    }

    #[test]
    fn what_is_wrong_is_told() {
        let mut figures = figures();
        let partition = &mut figures.sources[0].partitions[0];
        (partition.status.low, partition.status.reachable) = (Some(1_007), false);
        figures.sources[0].trouble = Some("no brokers".to_owned());
        let text = lines(&figures, 0, State::Stands);
        for words in [
            "shop: does not run; ",
            "    trouble: no brokers\n",
            "can't be reached; A RESTART NEEDS 1 000 RECORDS THAT ARE GONE; a transaction",
        ] {
            assert!(text.contains(words), "no {words:?} in\n{text}");
        }
    }

    #[test]
    fn what_is_not_known_is_not_told() {
        for (state, words) in [
            (State::Silent, "shop: runs, does not answer; run 0, epoch 8 bound\n"),
            (State::Unknown, "shop: does not answer; run 0, epoch 8 bound\n"),
        ] {
            let text = lines(&figures(), 0, state);
            assert!(text.starts_with(words), "{text}");
            assert!(!text.contains("in flight"), "{text}");
        }
    }
}
