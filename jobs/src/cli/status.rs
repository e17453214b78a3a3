//! `braid status`: how far a job is. A running one is asked; of one that does not answer, bindings,
//! tables, snapshots and brokers tell, and the note of its last run whether it is on.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use connectors::bindings::{Binding, Logged};
use connectors::file::Position;
use connectors::kafka::{KafkaPart, KafkaSink, KafkaSinkSpec, KafkaSpec, look};
use connectors::table::TableProgress;
use operators::model::Epoch;
use replay::history::SourceSpec;
use replay::snapshot::find;

use super::{note, out, read};
use crate::runtime::{Plan, now, peek, snapshots_of};
use crate::say;
use crate::serve::{
    CHANGELOGS, Figures, FileFigures, PartitionFigures, SinkFigures, SnapshotFigures,
    SourceFigures, State, TABLES, get, lines,
};

/// How long brokers are waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// Shows the status; returns the exit code.
pub(super) fn status(path: &Path, at: Option<SocketAddr>) -> u8 {
    let plan = match read(path) {
        Ok(plan) => plan,
        Err(code) => return code,
    };
    match (running(&plan, at), at) {
        (Ok(text), _) => {
            out::text(text);
            return 0;
        }
        (Err(error), Some(at)) => {
            say::fail(format_args!("no job {:?} answers at {at}: {error}", plan.name));
            return 1;
        }
        (Err(_), None) => {}
    }
    let bindings = match peek(&plan) {
        Ok(bindings) => bindings,
        Err(error) => {
            say::fail(error);
            return 1;
        }
    };
    let state = match note::is_on(&plan.out) {
        Some(true) => State::Silent,
        Some(false) => State::Stands,
        None => State::Unknown,
    };
    let Some(last) = bindings.last() else {
        let what = if state == State::Silent { "runs, has bound nothing" } else { "has not run" };
        out::line(format_args!("{}: {what} yet", plan.name));
        return 0;
    };
    match figures(&plan, &bindings, last) {
        Ok(figures) => {
            out::text(lines(&figures, now(), state));
            0
        }
        Err(words) => {
            say::fail(words);
            1
        }
    }
}

/// What the running job says.
fn running(plan: &Plan, at: Option<SocketAddr>) -> Result<String, String> {
    let at = at.or_else(|| note::address(&plan.out)).ok_or("it has noted no address")?;
    let text = get(at, "/status").map_err(|error| error.to_string())?;
    // Another job may answer there by now.
    let ours = text.starts_with(&format!("{}: ", plan.name));
    if ours { Ok(text) } else { Err("another job does".to_owned()) }
}

/// The figures of a job that does not answer.
fn figures(plan: &Plan, bindings: &[Binding], last: &Binding) -> Result<Figures, String> {
    let mut figures = Figures::default();
    figures.begin(&plan.name, last.generation, Some(last.epoch));
    (figures.bound, figures.closed) = (last.epoch, last.epoch + 1);
    sinks(plan, &mut figures)?;
    let known = |name: &str, sink: &SinkFigures| name != TABLES && sink.trouble.is_none();
    let outputs = figures.sinks.iter().filter(|(name, sink)| known(name, sink));
    let passed = outputs.map(|(_, sink)| sink.epoch).min().unwrap_or(last.epoch);
    // Bound then and there: of these bindings.
    let ours = |sum: &Logged| {
        let of = |b: &Binding| (b.epoch, b.wall_time);
        Some(bindings.iter().any(|binding| of(binding) == of(&sum.binding)))
    };
    let begin = snapshots_of(plan).and_then(|place| match place {
        Some(place) => find(&place, &plan.hash, passed.min(last.epoch), ours, |_, _| {}),
        None => Ok(replay::snapshot::Found::default()),
    });
    let begin = begin.map_err(|error| error.to_string())?.begin;
    let done = begin.as_ref().map_or(0, |begin| begin.manifest.epoch);
    if let Some(begin) = begin {
        let manifest = begin.manifest;
        let at = manifest.watermark.current();
        figures.watermark = figures.watermark.or((at > i64::MIN && at < i64::MAX).then_some(at));
        figures.snapshot = Some(SnapshotFigures {
            epoch: manifest.epoch,
            usable: manifest.epoch,
            taken: manifest.taken,
            events: manifest.events(),
            bytes: manifest.bytes(),
            ..SnapshotFigures::default()
        });
    }
    for (index, source) in (0..).zip(&plan.sources) {
        let name = source.name.to_string();
        let mut of = SourceFigures { name, ..SourceFigures::default() };
        match &source.records {
            SourceSpec::Files(_) => {
                of.files = last.sources.get(usize::from(index)).map(|end| {
                    let Position { file, record } = end.upper;
                    FileFigures { read: u64::from(file), records: record, at_end: end.at_end }
                });
            }
            SourceSpec::Topics(spec) => {
                let begun = bindings.iter().rfind(|b| b.epoch <= done).or(bindings.first());
                figures.needed_since = begun.map(|binding| binding.wall_time);
                partitions(spec, (bindings, index, done), &mut of);
            }
        }
        figures.sources.push(of);
    }
    Ok(figures)
}

/// Asks the brokers of a source; if they don't answer, that is its trouble.
fn partitions(
    spec: &KafkaSpec,
    (bindings, index, done): (&[Binding], u16, Epoch),
    of: &mut SourceFigures,
) {
    let part = |binding: &'_ Binding| -> Option<KafkaPart> {
        binding.kafka.iter().find(|(source, _)| *source == index).map(|(_, part)| part.clone())
    };
    let before: Vec<KafkaPart> =
        bindings.iter().filter(|binding| binding.epoch <= done).filter_map(part).collect();
    let later: Vec<KafkaPart> =
        bindings.iter().filter(|binding| binding.epoch > done).filter_map(part).collect();
    let begin = KafkaPart::sum(&before.iter().collect::<Vec<_>>());
    let parts: Vec<&KafkaPart> = std::iter::once(&begin).chain(&later).collect();
    match look(&KafkaSpec { patience: PATIENCE, ..spec.clone() }, &parts) {
        Ok(list) => {
            let figures = list.into_iter().map(|status| {
                let needed = status.first;
                PartitionFigures { status, needed }
            });
            of.partitions = figures.collect();
        }
        Err(error) => of.trouble = Some(error.to_string()),
    }
}

/// How far each output is.
fn sinks(plan: &Plan, figures: &mut Figures) -> Result<(), String> {
    let sink =
        |epoch: Option<Epoch>| SinkFigures { epoch: epoch.unwrap_or(0), ..SinkFigures::default() };
    if let Some(options) = &plan.tables {
        let progress = TableProgress::of(&plan.out, &plan.catalog.schemas, &options.job);
        let progress = progress.map_err(|error| error.to_string())?;
        figures.sinks.insert(CHANGELOGS.to_owned(), sink(progress.changelogs));
        figures.sinks.insert(TABLES.to_owned(), sink(progress.tables));
    }
    for spec in &plan.topics {
        let claim = KafkaSink::peek(&KafkaSinkSpec { patience: PATIENCE, ..spec.clone() });
        let of = match claim {
            Ok(claim) => {
                figures.watermark = claim.as_ref().and_then(|claim| claim.watermark);
                sink(claim.and_then(|claim| claim.epoch))
            }
            Err(error) => SinkFigures { trouble: Some(error.to_string()), ..sink(None) },
        };
        figures.sinks.insert(spec.prefix.clone(), of);
    }
    Ok(())
}
