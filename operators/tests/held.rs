//! What the cores say they hold in memory, beside what the allocator gave them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use operators::dedup::shadow::Shadows;
use operators::dedup::{Admitted, Changes, Counted, Dedup};
use operators::identity::engine::Incremental;
use operators::identity::testing::Seeded;
use operators::identity::{
    Engine as _, Handle, IdentityConfig, IdentityType, Membership, Resolution, Sighting,
};
use operators::model::{
    Cause, DAY, Event, EventKey, EventKind, Ident, Idents, SECOND, Special, Token,
};
use operators::people::testing::{catalog, event, matcher};
use operators::people::{People, PeopleOutput};
use operators::store::{Fact, PersonRef, Store};
use operators::views::contribution::Contribution;
use operators::views::counts::Counts;
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

const PEOPLE: u64 = 5_000;
const EVENTS: u64 = 60_000;
const BATCH: usize = 1_000;

/// What is measured is of the whole process: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// What the allocator gave more after than before.
fn grown<T>(act: impl FnOnce() -> T) -> (T, usize) {
    let before = ALLOCATOR.current_usage();
    let result = act();
    (result, ALLOCATOR.current_usage().saturating_sub(before))
}

/// What the allocator gave less after than before.
fn shrunk<T>(act: impl FnOnce() -> T) -> (T, usize) {
    let before = ALLOCATOR.current_usage();
    let result = act();
    (result, before.saturating_sub(ALLOCATOR.current_usage()))
}

/// Events of people with a device or two and mostly an account, over two months, with copies.
fn events(random: &mut Seeded) -> Vec<Arc<Event>> {
    let matcher = matcher();
    let (names, channels) = (["a", "b", "c", "d"], ["backend", "mobile", "web"]);
    let mut events: Vec<Arc<Event>> = Vec::with_capacity(EVENTS as usize);
    while events.len() < EVENTS as usize {
        if random.once_in(20) && !events.is_empty() {
            let place = random.below(events.len() as u64) as usize;
            let mut copy = Event::clone(&events[place]);
            if random.once_in(2) {
                copy.key.time += SECOND;
                copy.content += 1;
            }
            events.push(Arc::new(copy));
            continue;
        }
        let person = random.below(PEOPLE);
        let mut idents = Idents::new();
        if random.once_in(3) {
            idents.push(Ident { kind: 0, token: token(person, 0) });
        }
        let device = 1 + random.below(2);
        idents.push(Ident { kind: 2, token: token(person, device) });
        let mut event = event(random, &matcher, idents);
        event.key.time = random.below(60 * 86_400) as i64 * SECOND;
        let (name, channel) = (names[random.below(4) as usize], channels[random.below(3) as usize]);
        event.kind = EventKind::shared("t", channel, name);
        let business_key = random.once_in(4).then(|| token(random.below(8_000), 9));
        event.special = Special::of(None, business_key);
        events.push(Arc::new(event));
    }
    events
}

fn token(person: u64, number: u64) -> Token {
    let mut random = Seeded(person * 16 + number);
    Token(u128::from(random.bits()) << 64 | u128::from(random.bits()))
}

/// What a core says is near what it took.
fn assert_near(core: &str, says: usize, took: usize) {
    let ratio = says as f64 / took as f64;
    println!("{core}: says {says}, took {took}, {ratio:.2}");
    assert!((0.75..1.3).contains(&ratio), "{core} says {says} bytes and took {took}");
}

#[test]
fn what_cores_say_is_near_what_they_took() {
    let _alone = ALONE.lock();
    let mut random = Seeded(3);
    let events = events(&mut random);
    let events_bytes: usize = events.iter().map(|event| event.bytes()).sum();
    let (copies, took) =
        grown(|| events.iter().map(|e| Arc::new(Event::clone(e))).collect::<Vec<_>>());
    assert_near("events", events_bytes, took - copies.capacity() * size_of::<Arc<Event>>());
    drop(copies);

    // What comes out goes to lists that have room for all of it, so it is not part of what grows.
    // Batches, as epochs are.
    let mut counted: Vec<Counted> = Vec::with_capacity(2 * EVENTS as usize);
    let (mut dedup, took) = grown(|| {
        let mut dedup = Dedup::new(30 * DAY);
        for batch in events.chunks(BATCH) {
            for event in batch {
                dedup.update(Admitted { event: Arc::clone(event), late: false });
            }
            let mut changes = Changes::default();
            dedup.advance(&mut changes);
            counted.append(&mut changes.counted);
        }
        dedup
    });
    // Its own are the events of copies that do not count, too: one in forty.
    assert_near("dedup", dedup.bytes() - events_bytes / 40, took);
    let ((), given_back) = shrunk(|| dedup.forget(i64::MAX));
    assert!(given_back > 0);

    let (store, took) = grown(|| {
        let mut store = Store::new();
        for batch in counted.chunks(BATCH) {
            batch.iter().for_each(|counted| store.count(counted.clone()));
            store.advance(&mut Vec::new());
        }
        store
    });
    let counts: i64 = counted.iter().map(|c| c.event.bytes() as i64 * i64::from(c.diff)).sum();
    assert_near("store", store.bytes() - counts as usize, took);

    let (shadows, took) = grown(|| {
        let mut shadows = Shadows::new(vec!["backend".into()]);
        for batch in counted.chunks(BATCH) {
            batch.iter().for_each(|counted| shadows.update(&counted.event, counted.diff));
            shadows.advance(&mut Vec::new());
        }
        shadows
    });
    assert_near("shadow", shadows.bytes(), took);

    let config = IdentityConfig {
        types: [("user", 0), ("email", 1), ("device", 2)]
            .map(|(name, rank)| IdentityType::new(name, rank))
            .into(),
        cluster_max: 1000,
    };
    let mut persons: HashMap<EventKey, Option<Handle>> =
        HashMap::with_capacity(2 * EVENTS as usize);
    let (engine, took) = grown(|| {
        let mut engine = Incremental::new(&config);
        for batch in counted.chunks(BATCH) {
            for Counted { event, diff, .. } in batch {
                engine.update(Sighting::Event(event.key, event.idents.clone()), *diff);
            }
            let mut resolution = Resolution::default();
            engine.advance(&mut resolution);
            persons.extend(resolution.assigns.iter().map(|assign| (assign.event, assign.to)));
        }
        engine
    });
    assert_near("identity", engine.bytes(), took);

    let catalog = catalog(4);
    let mut contributions: Vec<Contribution> = Vec::with_capacity(8 << 20);
    let (people, took) = grown(|| {
        let mut people =
            People::new(&catalog, vec!["user".into(), "email".into(), "device".into()]);
        for batch in counted.chunks(BATCH) {
            for Counted { event, diff, cause } in batch {
                let handle = persons.get(&event.key).copied().flatten();
                let person = handle.map(|handle| PersonRef { tenant: 1, handle });
                let (event, diff, cause) = (Arc::clone(event), *diff, *cause);
                people.update_fact(Fact { person, event, diff, cause });
            }
            let mut out = PeopleOutput::default();
            people.advance(&mut out);
            contributions.append(&mut out.contributions);
        }
        people
    });
    assert!(contributions.len() < 8 << 20, "they have room");
    assert_near("people", people.bytes(), took);

    let (counts, took) = grown(|| {
        let mut counts = Counts::new(&catalog);
        for batch in contributions.chunks(BATCH) {
            batch.iter().for_each(|contribution| counts.update(contribution.clone()));
            counts.advance(&mut Vec::new());
        }
        counts
    });
    assert_near("counts", counts.bytes(), took);
}

/// An identifier that comes to a person of many makes its own row, and no others to compare.
#[test]
fn one_more_identifier_of_many_costs_one_row() {
    const MANY: u64 = 20_000;
    let _alone = ALONE.lock();
    let mut people = People::new(&catalog(4), vec!["device".into()]);
    let tenant: Arc<str> = "t".into();
    people.update_name(PersonRef { tenant: 1, handle: 1 }, Some(Token(1)), Cause::New);
    let come = |people: &mut People, number: u64| {
        let ident = Ident { kind: 0, token: token(number, 3) };
        let membership = Membership { ident, person: 1, public: false };
        people.update_membership(&tenant, 1, membership, 1, Cause::New);
    };
    (0..MANY).for_each(|number| come(&mut people, number));
    let mut all = PeopleOutput::default();
    people.advance(&mut all);
    assert_eq!(all.changes.len() as u64, MANY);
    for number in MANY..MANY + 20 {
        come(&mut people, number);
        let mut out = PeopleOutput::default();
        let before = ALLOCATOR.current_usage();
        ALLOCATOR.reset_peak_usage();
        people.advance(&mut out);
        let took = ALLOCATOR.peak_usage().saturating_sub(before);
        assert_eq!(out.changes.len(), 1);
        assert!(took < 64 << 10, "{took} bytes for one identifier");
    }
}
