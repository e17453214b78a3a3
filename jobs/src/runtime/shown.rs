//! What a run writes to its board.

use std::time::Duration;

use connectors::kafka::{KafkaSource, Sent};
use operators::model::{Epoch, Micros};
use replay::history::Source;
use replay::snapshot::Manifest;

use super::summary::Summary;
use crate::serve::{Board, SourceFigures};

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

/// How far each source is, and what is in its way.
pub(super) fn sources(board: &Board, names: &[String], sources: &[Source]) {
    let of = |(source, name): (&Source, &String)| SourceFigures {
        name: name.clone(),
        partitions: source.topics().map_or_else(Vec::new, KafkaSource::status),
        trouble: source.topics().and_then(KafkaSource::trouble),
    };
    let sources = sources.iter().zip(names).map(of).collect();
    board.figures().sources = sources;
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
    time.into_iter().for_each(|time| figures.times.add(time));
}
