//! The whole graph against the whole oracle: any batching, any number of workers.

mod coalesced;
mod keyed;
mod restored;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::*;
use crate::identity::testing::{History, Seeded};
use crate::model::{Command, CommandKind, EventKind, Ident, Idents, Row, SECOND, Special, Token};
use crate::oracle;
use crate::people::testing::{catalog, event, matcher};

fn job(seed: u64, engine: EngineKind) -> Job {
    let mut random = Seeded(seed ^ 0x0b);
    let forever = i64::MAX;
    let ids = random.pick(&[0, SECOND, forever]);
    Job {
        time: TimeConfig { disorder: 0, admit: forever, future: forever, ids, history: forever },
        identity: Arc::new(History::new(seed, 1).config),
        engine,
        catalog: Arc::new(catalog(seed)),
        sources: vec!["one".into()],
        strongest: vec!["backend".into()],
        coalesces: false,
        keeps_records: false,
    }
}

fn records(seed: u64, job: &Job, count: usize) -> Vec<Arc<Event>> {
    let mut random = Seeded(seed);
    let matcher = matcher();
    let pool: Vec<Ident> = (0..12)
        .map(|_| Ident {
            kind: random.below(job.identity.types.len() as u64) as u8,
            token: Token(u128::from(random.bits()) << 64 | u128::from(random.bits())),
        })
        .collect();
    let mut records: Vec<Arc<Event>> = Vec::new();
    while records.len() < count {
        if random.once_in(8) && !records.is_empty() {
            let again = &records[random.below(records.len() as u64) as usize];
            let mut copy = Event::clone(again);
            if random.once_in(2) {
                copy.key.time += random.below(3) as i64 * SECOND;
                copy.content += 1;
            }
            records.push(Arc::new(copy));
            continue;
        }
        let mut idents: Idents = (0..random.below(4)).map(|_| random.pick(&pool)).collect();
        idents.sort_by_key(|i| job.identity.strength(*i));
        idents.dedup();
        let mut new = event(&mut random, &matcher, idents);
        let tenant = random.pick(&["t", "u"]);
        new.kind = EventKind::shared(tenant, &new.kind.channel, &new.kind.name);
        let business_key = random.pick(&[None, None, None, Some(Token(7))]);
        new.special = Special::of(None, business_key);
        let (x, y) = (random.pick(&pool), random.pick(&pool));
        if random.once_in(10) && x != y {
            let kind = random.pick(&[CommandKind::Merge, CommandKind::Unmerge]);
            new.special = Special::of(Some(Command { kind, x, y }), None);
            new.idents.clear();
        }
        records.push(Arc::new(new));
    }
    records
}

/// Runs records through the graph and returns the rows that stand at the end.
fn run(job: &Arc<Job>, records: &[Arc<Event>], batch: usize, workers: usize) -> Vec<Row> {
    let standing: Arc<Mutex<BTreeMap<Row, i64>>> = Arc::default();
    let (job, records) = (Arc::clone(job), records.to_vec());
    let result = Arc::clone(&standing);
    let guards = timely::execute(timely::Config::process(workers), move |worker| {
        let standing = Arc::clone(&standing);
        let begin = Watermark::new(0);
        let mut graph = build(worker, &job, begin, move |emitted| {
            if let Emitted::Changes(_, changes) = emitted {
                let mut standing = standing.lock().unwrap();
                for change in changes {
                    *standing.entry(change.row).or_default() += change.diff;
                }
            }
        });
        for (epoch, batch) in records.chunks(batch).enumerate() {
            for (place, event) in batch.iter().enumerate() {
                if place % worker.peers() == worker.index() {
                    graph.events.send(Arc::clone(event));
                }
            }
            if worker.index() == 0 {
                let largest = batch.iter().map(|e| e.key.time).max();
                graph.marks.send(Mark { lane: Lane::default(), largest, quiet: None });
            }
            graph.advance_to(epoch as Epoch + 1);
            // Some epochs stand together in the graph, others are waited for.
            while epoch % 3 == 0 && graph.probe.less_than(&(epoch as Epoch + 1)) {
                worker.step();
            }
        }
    })
    .unwrap();
    drop(guards);
    let standing = result.lock().unwrap();
    let mut rows = Vec::new();
    for (row, times) in standing.iter() {
        assert!(*times >= 0, "a row less than none: {row:?}");
        rows.extend((0..*times).map(|_| row.clone()));
    }
    rows
}

fn compare(seed: u64, engine: EngineKind, count: usize, batch: usize, workers: usize) {
    let job = Arc::new(job(seed, engine));
    let records = records(seed, &job, count);
    agree(seed, &job, &records, batch, workers);
}

/// The rows of the graph are those of the oracle, identity changes aside, which tell what happened
/// when.
fn agree(seed: u64, job: &Arc<Job>, records: &[Arc<Event>], batch: usize, workers: usize) {
    let id_changes = job.catalog.built_in.id_changes;
    let mut rows = run(job, records, batch, workers);
    rows.retain(|row| Some(row.view) != id_changes);
    let expected = oracle::rows(job, records);
    let differ: Vec<_> = expected
        .iter()
        .filter(|r| !rows.contains(r))
        .map(|r| ("missing", r))
        .chain(rows.iter().filter(|r| !expected.contains(r)).map(|r| ("wrong", r)))
        .collect();
    let engine = job.engine;
    assert!(differ.is_empty(), "seed {seed}, {engine:?}, {workers} workers: {differ:#?}");
    assert_eq!(rows, expected, "seed {seed}");
}

#[test]
fn one_worker_agrees_with_the_oracle() {
    for seed in 0..60 {
        compare(seed, EngineKind::Incremental, 60, [1, 7, 10_000][seed as usize % 3], 1);
    }
}

#[test]
fn several_workers_agree_with_the_oracle() {
    for seed in 60..90 {
        let (batch, workers) = ([1, 7, 10_000][seed as usize % 3], [2, 4][seed as usize % 2]);
        compare(seed, EngineKind::Incremental, 60, batch, workers);
    }
}

#[test]
fn the_differential_engine_agrees_with_the_oracle() {
    for seed in 0..60 {
        compare(seed, EngineKind::Differential, 60, [1, 7, 10_000][seed as usize % 3], 1);
    }
    for seed in 60..72 {
        let (batch, workers) = ([1, 7, 10_000][seed as usize % 3], [2, 4][seed as usize % 2]);
        compare(seed, EngineKind::Differential, 60, batch, workers);
    }
}

/// The watermark admits by the epoch before, so what is refused does not depend on workers.
#[test]
fn what_is_too_late_is_refused_with_its_origin() {
    let mut job = job(1, EngineKind::Incremental);
    job.time.admit = 5 * SECOND;
    let job = Arc::new(job);
    let mut records = records(1, &job, 3);
    for (place, time) in [100, 90, 97].into_iter().enumerate() {
        let event = Arc::make_mut(&mut records[place]);
        event.key.time = time * SECOND;
        let id = format!("m{time}");
        event.key.id = crate::model::message_hash(&id);
        event.message_id = id.into();
    }
    for workers in [1, 2] {
        let rows = run(&job, &records, 1, workers);
        let refused: Vec<&Row> =
            rows.iter().filter(|r| Some(r.view) == job.catalog.built_in.dead_letters).collect();
        assert_eq!(refused.len(), 1);
        assert_eq!(refused[0].cells.get(4), crate::model::CellRef::Str("too_late"));
    }
}

/// A shadowed event is nobody's fact, but its person keeps the id that identity gave it. Found by
/// random histories.
#[test]
fn a_person_of_shadowed_events_keeps_its_id() {
    for engine in [EngineKind::Incremental, EngineKind::Differential] {
        compare(15, engine, 60, 1, 1);
    }
}
