//! A generated shop through the whole job: what the tables say against what is true.
//!
//! Where the rules promise exactness, it is asserted: who is logged in is known; a device that one
//! person uses is that person's as soon as one record on it tells a name, back to its first event;
//! no two people become one but on devices that they share. Where rules and truth differ, the class
//! of the event says why, and how many differ follows from the truth alone.

mod world;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::LazyLock;

use jobs::generate::{Compression, FileOptions, ShopOptions, job_file, write};
use jobs::runtime::Summary;
use operators::model::{Cell, Secret};

use self::world::{Fact, World};
use crate::support::{Job, Table, text};

/// A device with more owners than this is public: `owners_max` of the job that is generated.
const OWNERS_MAX: usize = 10;
/// How long a device is its last owner's: `forward` of that job.
const FORWARD_MS: i64 = 30 * 86_400_000;

/// A shop that the job has run on.
struct Ran {
    world: World,
    summary: Summary,
    /// Person id, time and name of each event, by message id.
    events: HashMap<String, (String, i64, String)>,
    /// Start, end and number of events of each person's sessions.
    sessions: BTreeMap<String, BTreeSet<(i64, i64, i64)>>,
    /// Copies by cause, as the table has them.
    duplicates: BTreeMap<String, i64>,
}

/// The generated job, for data in the folder `data` beside it.
fn job() -> Job {
    Job::new(&job_file(Compression::Plain).replace("path = \"", "path = \"data/"))
}

/// One run for all tests.
static RAN: LazyLock<Ran> = LazyLock::new(|| {
    let job = job();
    let data = job.folder().join("data");
    let shop = ShopOptions {
        events: 60_000,
        seed: 11,
        days: 25,
        shared: 0.25,
        skewed: 0.06,
        ..ShopOptions::default()
    };
    let files = FileOptions { file_bytes: 4 << 20, ..FileOptions::new(&data) };
    write(&shop, &files, &mut |_| {}).expect("the disk is not full");
    let summary = job.run(2, 7_000);
    let mut events = HashMap::new();
    each(
        &job.table("events"),
        ["message_id", "person_id", "time", "event"],
        |[id, who, at, event]| {
            let value = (text(who).to_owned(), time(at), text(event).to_owned());
            let twice = events.insert(text(id).to_owned(), value);
            assert_eq!(twice, None, "one row an event");
        },
    );
    let mut sessions: BTreeMap<String, BTreeSet<(i64, i64, i64)>> = BTreeMap::new();
    each(
        &job.table("sessions"),
        ["person_id", "start", "end", "events"],
        |[who, start, end, n]| {
            let session = (time(start), time(end), int(n));
            sessions.entry(text(who).to_owned()).or_default().insert(session);
        },
    );
    let mut duplicates = BTreeMap::new();
    each(&job.table("duplicates"), ["cause", "copies"], |[cause, copies]| {
        *duplicates.entry(text(cause).to_owned()).or_default() += int(copies);
    });
    Ran { world: World::read(&data), summary, events, sessions, duplicates }
});

/// Calls `hear` with these columns of each row.
fn each<const N: usize>(table: &Table, columns: [&str; N], mut hear: impl FnMut([&Cell; N])) {
    let places = columns.map(|column| table.place(column));
    for row in &table.rows {
        hear(places.map(|place| &row[place]));
    }
}

fn time(cell: &Cell) -> i64 {
    let Cell::Time(at) = cell else { panic!("{cell:?} is no time") };
    *at
}

fn int(cell: &Cell) -> i64 {
    let Cell::Int(number) = cell else { panic!("{cell:?} is no number") };
    *number
}

/// What the rules know of an event, reckoned from the truth.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Class {
    /// Logged in, or with an address.
    Named,
    /// Nameless on a device of one person, on which that person told a name at some time.
    OwnTold,
    /// Nameless on a device of one person, who never told a name there.
    OwnUntold,
    /// Nameless on a shared device or a kiosk of few: whoever told a name last, or else first.
    LastOwner,
    /// Nameless on a shared device on which nobody ever told a name.
    SharedUntold,
    /// Nameless on a kiosk of many: nobody's.
    Public,
}

/// Who has told a name on a device, and when.
#[derive(Default)]
struct Owners<'a> {
    /// Time, name, and whose it truly is.
    told: Vec<(i64, &'a str, u64)>,
}

impl Owners<'_> {
    fn is_public(&self) -> bool {
        self.told.iter().map(|(_, name, _)| name).collect::<BTreeSet<_>>().len() > OWNERS_MAX
    }

    /// Whose the device is at a time.
    fn at(&self, at: i64) -> Option<u64> {
        let after = self.told.partition_point(|(time, ..)| *time <= at);
        let last = after.checked_sub(1).map(|place| self.told[place]);
        let last = last.filter(|(time, ..)| at - time <= FORWARD_MS);
        last.or_else(|| self.told.get(after).copied()).map(|(.., person)| person)
    }
}

/// A device: a cookie, or a phone with all its installations.
fn device(fact: &Fact) -> Option<&str> {
    fact.device_id.as_deref().or(fact.anonymous_id.as_deref())
}

fn name(fact: &Fact) -> Option<&str> {
    fact.user_id.as_deref().or(fact.email.as_deref())
}

fn owners(world: &World) -> HashMap<&str, Owners<'_>> {
    let mut owners: HashMap<&str, Owners<'_>> = HashMap::new();
    for fact in &world.counted {
        let Some(device) = device(fact) else { continue };
        let entry = owners.entry(device).or_default();
        if let Some(name) = name(fact) {
            entry.told.push((fact.event_ms, name, fact.person));
        }
    }
    for entry in owners.values_mut() {
        entry.told.sort_unstable();
    }
    owners
}

/// The class of an event, and the person whom the rules give it to by the truth, if any.
fn expected(fact: &Fact, owners: &HashMap<&str, Owners<'_>>) -> (Class, Option<u64>) {
    let device = match (name(fact), device(fact)) {
        (Some(_), _) => return (Class::Named, Some(fact.person)),
        (None, device) => &owners[device.expect("a tracker has a device")],
    };
    if device.is_public() {
        return (Class::Public, None);
    }
    let owner = device.at(fact.event_ms);
    let class = match (&*fact.device, owner) {
        ("own", Some(_)) => Class::OwnTold,
        ("own", None) => Class::OwnUntold,
        (_, Some(_)) => Class::LastOwner,
        (_, None) => Class::SharedUntold,
    };
    (class, owner)
}

/// Whose each person id is: the true person of the events with a name.
fn persons(ran: &Ran) -> HashMap<&str, u64> {
    let mut persons: HashMap<&str, u64> = HashMap::new();
    for fact in ran.world.facts().filter(|fact| name(fact).is_some()) {
        let id = &*ran.events[&fact.message].0;
        let before = persons.insert(id, fact.person);
        assert!(before.is_none_or(|person| person == fact.person), "{id} is two people");
    }
    persons
}

#[test]
fn every_record_is_accounted_for() {
    let Ran { world, summary, events, duplicates, .. } = &*RAN;
    assert_eq!(summary.read, world.records);
    assert_eq!(summary.dead_letters, world.broken);
    let facts: BTreeSet<(&str, i64, &str)> =
        world.facts().map(|f| (&*f.message, f.event_ms * 1000, &*f.event)).collect();
    let rows: BTreeSet<(&str, i64, &str)> =
        events.iter().map(|(message, (_, time, event))| (&**message, *time, &**event)).collect();
    assert_eq!(facts, rows);
    let mut expected = world.duplicates.clone();
    expected.insert("shadowed".to_owned(), world.shadowed.len() as i64);
    assert_eq!(*duplicates, expected);
    assert!(world.broken.len() == 6 && expected.values().all(|n| *n > 50), "{expected:?}");
}

#[test]
fn who_is_logged_in_is_known_exactly() {
    let Ran { world, events, .. } = &*RAN;
    let secret = Secret::new("shop"); // the job's name
    let token = |user: &str| secret.token("user_id", user).to_string();
    let mut merged: HashMap<&str, String> = HashMap::new();
    for [x, y] in &world.merged {
        let person = token(x).min(token(y));
        merged.extend([(&**x, person.clone()), (&**y, person)]);
    }
    let (mut logged_in, mut doubled) = (0, 0);
    for fact in world.facts() {
        let Some(user) = &fact.user_id else { continue };
        let person = merged.get(&**user).cloned().unwrap_or_else(|| token(user));
        assert_eq!(events[&fact.message].0, person, "{fact:?}");
        logged_in += 1;
        doubled += i32::from(merged.contains_key(&**user));
    }
    assert!(logged_in > 5_000 && doubled > 50, "{logged_in}, {doubled} of merged accounts");
}

#[test]
fn nobody_becomes_one_with_another_but_on_shared_devices() {
    let Ran { world, events, .. } = &*RAN;
    let mut people: HashMap<&str, BTreeSet<u64>> = HashMap::new();
    for fact in world.facts().filter(|fact| matches!(&*fact.device, "own" | "none")) {
        people.entry(&events[&fact.message].0).or_default().insert(fact.person);
    }
    for (person, truly) in people {
        assert_eq!(truly.len(), 1, "{person} is {truly:?}");
    }
}

#[test]
fn where_rules_and_truth_differ_the_class_says_why() {
    let ran = &*RAN;
    let owners = owners(&ran.world);
    let persons = persons(ran);
    let mut right: BTreeMap<Class, u64> = BTreeMap::new();
    let mut wrong: BTreeMap<Class, u64> = BTreeMap::new();
    for fact in ran.world.facts() {
        let (class, owner) = expected(fact, &owners);
        let stitched = persons.get(&*ran.events[&fact.message].0).copied();
        assert_eq!(stitched, owner, "{class:?}: {fact:?}");
        let counts = if stitched == Some(fact.person) { &mut right } else { &mut wrong };
        *counts.entry(class).or_default() += 1;
    }
    // Wrong are only: what nobody put a name to, and what was put to whoever used it before.
    let classes = |counts: &BTreeMap<Class, u64>| counts.keys().copied().collect::<Vec<_>>();
    assert_eq!(classes(&right), [Class::Named, Class::OwnTold, Class::LastOwner]);
    assert_eq!(
        classes(&wrong),
        [Class::OwnUntold, Class::LastOwner, Class::SharedUntold, Class::Public]
    );
    assert!(right.values().chain(wrong.values()).all(|n| *n > 50), "{right:?} {wrong:?}");
}

/// Pairs of events among so many.
fn pairs<K: Eq + std::hash::Hash>(keys: impl Iterator<Item = K>) -> u64 {
    let mut sizes: HashMap<K, u64> = HashMap::new();
    for key in keys {
        *sizes.entry(key).or_default() += 1;
    }
    sizes.values().map(|n| n * (n - 1) / 2).sum()
}

/// Pairs that are together in the tables and in truth, in the tables, and in truth.
fn agreement<'a>(ran: &'a Ran, facts: impl Iterator<Item = &'a Fact> + Clone) -> (u64, u64, u64) {
    let table = |fact: &&Fact| &*ran.events[&fact.message].0;
    let both = pairs(facts.clone().map(|fact| (table(&fact), fact.person)));
    let stitched = pairs(facts.clone().map(|fact| table(&fact)));
    (both, stitched, pairs(facts.map(|fact| fact.person)))
}

#[test]
fn precision_and_recall_are_whole_where_the_rules_promise_it() {
    let ran = &*RAN;
    let owners = owners(&ran.world);
    let class = |fact: &Fact| expected(fact, &owners).0;
    let all = agreement(ran, ran.world.facts());
    assert!(all.0 < all.1 && all.0 < all.2, "shared devices and silence cost something: {all:?}");
    // Without devices that several people use: what is together belongs together.
    let own = ran.world.facts().filter(|f| matches!(&*f.device, "own" | "none"));
    let (both, stitched, truly) = agreement(ran, own);
    assert_eq!(both, stitched);
    assert!(both < truly, "nameless devices stand alone");
    // Of people with an account, on devices that know them: all that belongs together is.
    let accounts: HashMap<&str, u64> = ran
        .world
        .facts()
        .filter_map(|fact| Some((fact.user_id.as_deref()?, fact.person)))
        .collect();
    let mut emails: HashMap<&str, bool> = HashMap::new();
    for fact in &ran.world.counted {
        if let Some(email) = &fact.email {
            *emails.entry(email).or_default() |= fact.user_id.is_some();
        }
    }
    let merged: HashSet<u64> =
        ran.world.merged.iter().filter_map(|[x, _]| accounts.get(&**x).copied()).collect();
    let mut numbers: HashMap<u64, usize> = HashMap::new();
    for person in accounts.values() {
        *numbers.entry(*person).or_default() += 1;
    }
    // An address that no record shows with an account, or a second account whose merge was lost,
    // is another person to the rules.
    let lone: HashSet<u64> = ran
        .world
        .counted
        .iter()
        .filter(|fact| fact.email.as_ref().is_some_and(|email| !emails[&**email]))
        .map(|fact| fact.person)
        .collect();
    let known = |person: &u64| {
        let accounts = numbers.get(person).copied().unwrap_or(0);
        !lone.contains(person) && (accounts == 1 || accounts == 2 && merged.contains(person))
    };
    let told = ran.world.facts().filter(|fact| {
        let told = matches!(class(fact), Class::Named | Class::OwnTold);
        told && known(&fact.person)
    });
    let (both, stitched, truly) = agreement(ran, told);
    assert_eq!((both, stitched), (truly, truly));
    assert!(truly > 100_000, "{truly}");
}

#[test]
fn sessions_of_people_stitched_right_are_the_true_ones() {
    let ran = &*RAN;
    let mut stitched: HashMap<&str, BTreeSet<u64>> = HashMap::new();
    let mut ids: BTreeMap<u64, BTreeSet<&str>> = BTreeMap::new();
    for fact in ran.world.facts() {
        let id = &*ran.events[&fact.message].0;
        stitched.entry(id).or_default().insert(fact.person);
        ids.entry(fact.person).or_default().insert(id);
    }
    // A clock that is wrong in `timestamp` moves events to other sessions.
    let wrong_times: HashSet<u64> = ran
        .world
        .counted
        .iter()
        .filter(|fact| (fact.event_ms - fact.true_ms).abs() > 60_000)
        .map(|fact| fact.person)
        .collect();
    assert!(!wrong_times.is_empty(), "some clocks are wrong");
    let mut truth: BTreeMap<(u64, u32), (i64, i64, i64)> = BTreeMap::new();
    for fact in ran.world.facts() {
        let at = fact.event_ms * 1000;
        let session = truth.entry((fact.person, fact.session)).or_insert((at, at, 0));
        *session = (session.0.min(at), session.1.max(at), session.2 + 1);
    }
    let (mut people, mut sessions, mut across) = (0, 0, 0);
    for (person, ids) in ids {
        let mut alone = ids.iter().filter(|id| stitched[**id].len() == 1);
        let (Some(id), 1) = (alone.next(), ids.len()) else { continue };
        if ran.world.bereft.contains(&person) || wrong_times.contains(&person) {
            continue;
        }
        let expected: BTreeSet<_> =
            truth.range((person, 0)..=(person, u32::MAX)).map(|(_, session)| *session).collect();
        assert_eq!(ran.sessions[*id], expected, "person {person}");
        people += 1;
        sessions += expected.len();
        across += usize::from(expected.len() > 3);
    }
    assert!(people > 300 && sessions > 1000 && across > 50, "{people} {sessions} {across}");
}
