//! Business keys of copies: what an event is shadowed by, and what is told of it.

use super::*;
use crate::model::CellRef;

/// Gives records one of several business keys or none, by what is in them: a copy sent again with
/// other content may have another key than the first, and may count instead of it.
fn keyed(records: &[Arc<Event>]) -> Vec<Arc<Event>> {
    let keyed = |record: &Arc<Event>| {
        let mut event = Event::clone(record);
        let mut random = Seeded(event.content ^ event.key.id as u64);
        let business_key = random.pick(&[None, Some(1), Some(2), Some(3)]).map(Token);
        event.special = Special::of(event.command().copied(), business_key);
        event.content = random.bits();
        Arc::new(event)
    };
    records.iter().map(keyed).collect()
}

#[test]
fn copies_may_change_their_business_key() {
    let mut changed = 0;
    for seed in 0..60 {
        let engine = [EngineKind::Incremental, EngineKind::Differential][usize::from(seed >= 45)];
        let job = Arc::new(job(seed, engine));
        let records = keyed(&records(seed, &job, 60));
        let again = |a: &Event, b: &Event| a.key == b.key && a.business_key() != b.business_key();
        let pairs = records.iter().enumerate();
        changed += pairs.filter(|(at, a)| records[..*at].iter().any(|b| again(a, b))).count();
        agree(seed, &job, &records, [1, 7, 10_000][seed as usize % 3], 1 + seed as usize % 2);
    }
    assert!(changed > 30, "{changed} copies at the same place with another key");
}

fn record(id: &str, time: Micros, channel: &str, order: u128, content: u64) -> Arc<Event> {
    let mut event = event(&mut Seeded(1), &matcher(), Idents::new());
    event.message_id = id.into();
    event.key = EventKey { time, seq: 0, id: crate::model::message_hash(id) };
    event.kind = EventKind::shared(&event.kind.tenant, channel, &event.kind.name);
    event.content = content;
    event.special = Special::of(None, Some(Token(order)));
    Arc::new(event)
}

/// One key says that the event is shadowed, the other that it is no more, in any order.
#[test]
fn an_event_that_goes_from_one_key_to_another_stays_shadowed() {
    let job = Arc::new(job(3, EngineKind::Incremental));
    let stronger = |id: &str, order| record(id, 10 * SECOND, "backend", order, 1);
    let weaker = |order, content| record("m", 20 * SECOND, "web", order, content);
    let (p, q) = (stronger("p", 1001), stronger("q", 1002));
    let (m, again) = (weaker(1001, 9), weaker(1002, 5));
    let orders = [
        [&p, &m, &q, &again],
        [&p, &m, &again, &q],
        [&q, &m, &again, &p],
        [&m, &again, &p, &q],
        [&p, &q, &m, &again],
    ];
    for records in orders.map(|order| order.map(Arc::clone)) {
        for (batch, workers) in [(1, 1), (2, 1), (2, 2), (4, 2)] {
            agree(3, &job, &records, batch, workers);
            let rows = run(&job, &records, batch, workers);
            let events = rows.iter().filter(|row| Some(row.view) == job.catalog.built_in.events);
            let messages: Vec<CellRef<'_>> = events.map(|row| row.cells.get(1)).collect();
            assert_eq!(messages, [CellRef::Str("p"), CellRef::Str("q")]);
        }
    }
}

/// Copies further apart than `ids` are events of their own: of how many of them are shadowed one
/// row tells.
#[test]
fn a_message_id_has_one_row_however_many_of_its_events_are_shadowed() {
    let mut job = job(3, EngineKind::Incremental);
    job.time.ids = SECOND;
    let job = Arc::new(job);
    let copy = |time| record("m", time * SECOND, "web", 1001, 1);
    let other = record("n", 50 * SECOND, "web", 1001, 1);
    let records = [record("p", 0, "backend", 1001, 1), copy(10), copy(20), other, copy(30)];
    for (batch, workers) in [(1, 1), (2, 2), (5, 1)] {
        agree(3, &job, &records, batch, workers);
        let rows = run(&job, &records, batch, workers);
        let rows: Vec<_> = rows
            .iter()
            .filter(|row| Some(row.view) == job.catalog.built_in.duplicates)
            .map(|row| (row.cells.get(1), row.cells.get(2), row.cells.get(3)))
            .collect();
        let shadowed = |id, copies| (CellRef::Str(id), CellRef::Str("shadowed"), copies);
        assert_eq!(rows, [shadowed("m", CellRef::Int(3)), shadowed("n", CellRef::Int(1))]);
    }
}
