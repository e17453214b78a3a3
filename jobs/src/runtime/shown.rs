//! What a run writes to its board.

use std::time::Duration;

use connectors::file::Position;
use connectors::kafka::{KafkaSource, OpenTransaction, PartitionStatus, Sent};
use operators::graph::STATEFUL;
use operators::model::{Epoch, Micros};
use replay::history::Source;
use replay::snapshot::Manifest;

use super::retention::Retention;
use super::summary::Summary;
use crate::serve::{Board, FileFigures, PartitionFigures, SourceFigures};

/// How far the workers are, and what came out so far. Epochs below `closed` are closed.
pub(super) fn computed(board: &Board, summary: &Summary, closed: Epoch, watermark: Micros) {
    let mut figures = board.figures();
    if closed != Epoch::MAX {
        figures.closed = closed;
    }
    figures.watermark = Some(watermark).filter(|at| *at > Micros::MIN && *at < Micros::MAX);
    figures.records = summary.read;
    figures.events = summary.admitted;
    figures.letters.clone_from(&summary.dead_letters);
    figures.duplicates.clone_from(&summary.duplicates);
    (figures.merges, figures.splits) = (summary.merges, summary.splits);
}

/// How far sources are bound, and how much of that is not computed yet.
pub(super) fn bound(board: &Board, epoch: Epoch, bytes_in_flight: usize, held: Duration) {
    board.beat();
    let mut figures = board.figures();
    figures.bound = epoch;
    figures.bytes_in_flight = bytes_in_flight as u64;
    figures.held_s = held.as_secs_f64();
}

/// How far each source is, what is in its way, and what a restart needs of it. Who shows that while
/// it is held up does not stand still.
pub(super) fn sources(board: &Board, names: &[String], all: &[Source], retention: &Retention) {
    board.beat();
    let of = |(index, (source, name)): (usize, (&Source, &String))| {
        let partition = |status: PartitionStatus| {
            let needed = retention.needed(index, status.id, status.first);
            PartitionFigures { status, needed }
        };
        let status = source.topics().map_or_else(Vec::new, KafkaSource::status);
        let files = source.files().map(|files| {
            let Position { file, record } = files.position();
            FileFigures { read: u64::from(file), records: record, at_end: source.at_end() }
        });
        SourceFigures {
            name: name.clone(),
            partitions: status.into_iter().map(partition).collect(),
            files,
            bytes_ahead: source.topics().map_or(0, KafkaSource::bytes_ahead) as u64,
            trouble: source.topics().and_then(KafkaSource::trouble),
            told: false,
        }
    };
    let mut sources: Vec<SourceFigures> = all.iter().zip(names).enumerate().map(of).collect();
    let mut figures = board.figures();
    let mut news = Vec::new();
    for (now, before) in sources.iter_mut().zip(&figures.sources) {
        news.extend(tell(before, now));
    }
    figures.sources = sources;
    if !all.iter().all(Source::is_bounded) {
        figures.needed_since = Some(retention.since());
    }
    drop(figures);
    news.iter().for_each(|words| board.say(words));
}

/// What is to be said of a source's trouble: when it lasts, and when it is over. What comes and
/// goes at once is not told.
fn tell(before: &SourceFigures, now: &mut SourceFigures) -> Option<String> {
    let name = &now.name;
    match (&before.trouble, &now.trouble) {
        (Some(_), Some(trouble)) if !before.told => {
            now.told = true;
            Some(format!("source {name:?} waits: {trouble}"))
        }
        (None, None) if before.told => Some(format!("source {name:?} goes on")),
        _ => {
            now.told = before.told;
            None
        }
    }
}

/// What the workers hold, about, all together.
pub(super) fn held(board: &Board, bytes: &[[u64; STATEFUL.len()]]) {
    let of = |place: usize| bytes.iter().map(|worker| worker[place]).sum();
    let named = STATEFUL.iter().enumerate().map(|(place, name)| (*name, of(place)));
    board.figures().state_bytes = named.collect();
}

/// What waits for a commit of a sink, in bytes.
pub(super) fn waiting(board: &Board, sink: &str, bytes: usize) {
    if let Some(figures) = board.figures().sinks.get_mut(sink) {
        figures.waiting_bytes = bytes as u64;
    }
}

/// The transactions that are open in the topics of a sink.
pub(super) fn open_transactions(board: &Board, sink: &str, open: Vec<OpenTransaction>) {
    if let Some(figures) = board.figures().sinks.get_mut(sink) {
        figures.open = open;
    }
}

/// A commit of a sink.
pub(super) fn committed(board: &Board, sink: &str, upto: Epoch, sent: &Sent, time: Duration) {
    let mut figures = board.figures();
    let figures = figures.sinks.entry(sink.to_owned()).or_default();
    figures.epoch = upto;
    figures.sent.upserts += sent.upserts;
    figures.sent.tombstones += sent.tombstones;
    figures.sent.bytes += sent.bytes;
    figures.sent.repeats += sent.repeats;
    figures.commits.add(time);
}

/// How far a sink was when it was opened.
pub(super) fn opened(board: &Board, sink: &str, holds: Option<Epoch>) {
    board.figures().sinks.entry(sink.to_owned()).or_default().epoch = holds.unwrap_or(0);
}

/// A snapshot is there; if this run has taken it, it took so long.
pub(super) fn snapshot(board: &Board, manifest: &Manifest, time: Option<Duration>) {
    let mut figures = board.figures();
    let figures = figures.snapshot.get_or_insert_default();
    figures.epoch = manifest.epoch;
    figures.taken = manifest.taken;
    (figures.events, figures.bytes) = (manifest.events(), manifest.bytes());
    if time.is_none() {
        // The run begins with it.
        figures.usable = manifest.epoch;
    }
    time.into_iter().for_each(|time| figures.times.add(time));
}

/// A restart would begin with the snapshot at this epoch.
pub(super) fn usable(board: &Board, epoch: Epoch) {
    if let Some(figures) = &mut board.figures().snapshot {
        figures.usable = epoch;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Trouble that lasts is told once, and that it is over.
    #[test]
    fn trouble_that_lasts_is_told() {
        let mut before = SourceFigures { name: "web".to_owned(), ..SourceFigures::default() };
        let mut said = Vec::new();
        for trouble in [0, 1, 0, 0, 1, 1, 1, 0, 1, 0, 0, 0] {
            let trouble = (trouble > 0).then(|| "no brokers".to_owned());
            let mut now = SourceFigures { trouble, told: false, ..before.clone() };
            said.push(tell(&before, &mut now).unwrap_or_default());
            before = now;
        }
        let mut expected = vec![String::new(); 12];
        expected[5] = "source \"web\" waits: no brokers".to_owned();
        expected[10] = "source \"web\" goes on".to_owned();
        assert_eq!(said, expected);
    }

    /// Whoever waits for room shows sources meanwhile, and nothing else.
    #[test]
    fn showing_sources_is_no_standing_still() {
        let board = Board::default();
        board.stand_still();
        sources(&board, &[], &[], &Retention::new(0, true));
        assert!(board.is_healthy());
    }
}
