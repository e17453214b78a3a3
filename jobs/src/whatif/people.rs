//! Who would be who: people before and after.
//!
//! A person whose id remains is the same person. One whose id is gone is tied to those who have
//! their events or identifiers then, and one whose id is new to those whose they were. Those tied
//! together are a group: several before and one after are a merge, one before and several after a
//! split; nobody before is an arrival, nobody after a departure. Events that go from one group to
//! another are a move.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use foldhash::fast::FixedState;
use operators::model::{CellRef, Epoch, Row, Token};
use serde::Serialize;

use super::{Said, words};

/// Movers that are named at most.
const MOVERS: usize = 20;
/// Links that are named for each at most.
const LINKS: usize = 5;

/// What happens to the people of a group.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Several become one.
    Merge,
    /// One becomes several.
    Split,
    /// Several become several others.
    Regroup,
    /// Events go from one person to another, and both remain.
    Move,
    /// One remains one and has another id.
    Rename,
    /// There was nobody.
    Arrival,
    /// Nobody is left.
    Departure,
}

impl Kind {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Merge => "merge",
            Self::Split => "split",
            Self::Regroup => "regroup",
            Self::Move => "move",
            Self::Rename => "rename",
            Self::Arrival => "arrival",
            Self::Departure => "departure",
        }
    }
}

/// A person with the number of their events.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
pub struct Side {
    /// The person id.
    pub person_id: String,
    /// Events.
    pub events: u64,
}

/// A merge or split that one of the two jobs has made and the other has not.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Link {
    /// `merge` or `split`.
    pub change_type: String,
    /// Whether the live job made it; otherwise the changed one.
    pub before: bool,
    /// The epoch.
    pub epoch: Epoch,
    /// The two people, as they were called then.
    pub people: [String; 2],
    /// The message that brought it about.
    pub message_id: String,
    /// The event of that message: when, channel, name.
    pub event: Option<[String; 3]>,
}

/// A group of people that would change.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Mover {
    /// What happens.
    pub kind: Kind,
    /// The tenant.
    pub tenant: String,
    /// The people before, those with most events first.
    pub before: Vec<Side>,
    /// The people after.
    pub after: Vec<Side>,
    /// Events that would be somebody else's.
    pub events_moved: u64,
    /// What is responsible, some of it.
    pub links: Vec<Link>,
}

/// What would become of people.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct PeopleChange {
    /// People before, and after.
    pub people: [u64; 2],
    /// People who would be the same with the same id.
    pub same: u64,
    /// Groups by what happens to them.
    pub groups: BTreeMap<&'static str, u64>,
    /// Events that would be somebody else's, and all.
    pub events_moved: u64,
    /// All events that both have.
    pub events: u64,
    /// Identifiers that would be public and are not, and the other way round.
    pub public: [u64; 2],
    /// The groups with most events that move, the first ones.
    pub movers: Vec<Mover>,
}

type Person = (String, Token);
/// A merge or split: tenant, which of the two, the people in order, the message.
type Made = (String, String, [String; 2], String);
type Map<K, V> = HashMap<K, V, FixedState>;

/// Unions of people of both sides.
#[derive(Default)]
struct Groups {
    places: Map<(bool, Person), usize>,
    parents: Vec<usize>,
}

impl Groups {
    fn place(&mut self, after: bool, person: Person) -> usize {
        let next = self.parents.len();
        let place = *self.places.entry((after, person)).or_insert(next);
        if place == next {
            self.parents.push(next);
        }
        place
    }

    fn root(&mut self, mut place: usize) -> usize {
        while self.parents[place] != place {
            self.parents[place] = self.parents[self.parents[place]];
            place = self.parents[place];
        }
        place
    }

    /// The group of a person.
    fn find(&mut self, after: bool, person: &Person) -> Option<usize> {
        let place = *self.places.get(&(after, person.clone()))?;
        Some(self.root(place))
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        self.parents[a.max(b)] = a.min(b);
    }

    fn join_those_who_remain(&mut self) {
        let before = self.places.iter().filter(|((after, _), _)| !after);
        let pairs = before.filter_map(|((_, person), place)| {
            Some((*place, *self.places.get(&(true, person.clone()))?))
        });
        let pairs: Vec<(usize, usize)> = pairs.collect();
        pairs.into_iter().for_each(|(before, after)| self.join(before, after));
    }

    /// Notes that something of a person before is a person's after: it ties them if one of them is
    /// on that side only.
    fn tie(&mut self, tenant: &str, before: Option<Token>, after: Option<Token>) {
        let (Some(before), Some(after)) = (before, after) else { return };
        let place = |after, person| self.places.get(&(after, (tenant.to_owned(), person)));
        let remain = place(true, before).is_some() && place(false, after).is_some();
        if let (Some(before), Some(after), false) =
            (place(false, before).copied(), place(true, after).copied(), remain)
        {
            self.join(before, after);
        }
    }
}

fn text(row: &Row, column: usize) -> String {
    words(row.cells.get(column))
}

fn tenant(row: &Row) -> &str {
    match row.cells.get(0) {
        CellRef::Str(tenant) => tenant,
        _ => "",
    }
}

fn token(row: &Row, column: usize) -> Option<Token> {
    match row.cells.get(column) {
        CellRef::Id(token) => Some(token),
        _ => None,
    }
}

/// Person by tenant and what two rows of both sides have in common.
fn by_key<'a>(
    rows: &'a [Row],
    key: [usize; 2],
    person: usize,
) -> Map<[CellRef<'a>; 3], (Option<Token>, &'a Row)> {
    let of = |row: &'a Row| {
        let key = [0, key[0], key[1]].map(|column| row.cells.get(column));
        (key, (token(row, person), row))
    };
    rows.iter().map(of).collect()
}

#[expect(clippy::too_many_lines, reason = "one step after the other over the same maps")]
pub(super) fn compare(before: &Said, after: &Said) -> PeopleChange {
    let mut change = PeopleChange::default();
    let mut groups = Groups::default();
    // Everybody first: who is on one side only is in a group too.
    for (is_after, said) in [(false, before), (true, after)] {
        let mut all: HashSet<Person, FixedState> = HashSet::default();
        for (rows, column) in [(&said.identifiers, 3), (&said.events, 5)] {
            for row in rows {
                all.extend(token(row, column).map(|person| (text(row, 0), person)));
            }
        }
        change.people[usize::from(is_after)] = all.len() as u64;
        for person in all {
            groups.place(is_after, person);
        }
    }
    groups.join_those_who_remain();
    let now = by_key(&after.identifiers, [1, 2], 3);
    for (key, (person, row)) in by_key(&before.identifiers, [1, 2], 3) {
        let Some((person_then, other)) = now.get(&key) else { continue };
        groups.tie(tenant(row), person, *person_then);
        let public = |row: &Row| row.cells.get(4) == CellRef::Bool(true);
        match (public(row), public(other)) {
            (false, true) => change.public[0] += 1,
            (true, false) => change.public[1] += 1,
            _ => {}
        }
    }
    drop(now);
    let mut moved: Map<Person, u64> = HashMap::default();
    let mut moves: BTreeMap<(Person, Token), u64> = BTreeMap::new();
    let now = by_key(&after.events, [1, 2], 5);
    for (key, (person, row)) in by_key(&before.events, [1, 2], 5) {
        let Some((other, _)) = now.get(&key) else { continue };
        change.events += 1;
        change.events_moved += u64::from(person != *other);
        groups.tie(tenant(row), person, *other);
        let (Some(person), Some(other)) = (person, *other) else { continue };
        if person != other {
            let person = (text(row, 0), person);
            *moved.entry(person.clone()).or_default() += 1;
            *moves.entry((person, other)).or_default() += 1;
        }
    }
    drop(now);
    let events = [count(&before.events), count(&after.events)];
    let mut members: BTreeMap<usize, [Vec<Person>; 2]> = BTreeMap::new();
    let places: Vec<_> = groups.places.iter().map(|(p, place)| (p.clone(), *place)).collect();
    for ((is_after, person), place) in places {
        let root = groups.root(place);
        members.entry(root).or_default()[usize::from(is_after)].push(person);
    }
    let mut movers = Vec::new();
    for (_, [was, is]) in members {
        let kind = match (was.len(), is.len()) {
            (1, 1) if was == is => {
                change.same += 1;
                continue;
            }
            (1, 1) => Kind::Rename,
            (0, _) => Kind::Arrival,
            (_, 0) => Kind::Departure,
            (_, 1) => Kind::Merge,
            (1, _) => Kind::Split,
            _ => Kind::Regroup,
        };
        *change.groups.entry(kind.word()).or_default() += 1;
        let events_moved = was.iter().filter_map(|person| moved.get(person)).sum();
        let side = |people: Vec<Person>, which: usize| {
            let side = |person: Person| Side {
                events: events[which].get(&person).copied().unwrap_or(0),
                person_id: person.1.to_string(),
            };
            let mut sides: Vec<Side> = people.into_iter().map(side).collect();
            sides.sort_by(|a, b| b.events.cmp(&a.events).then(a.person_id.cmp(&b.person_id)));
            sides
        };
        let tenant = was.first().or(is.first()).map_or_else(String::new, |p| p.0.clone());
        let (before, after) = (side(was, 0), side(is, 1));
        movers.push(Mover { kind, tenant, before, after, events_moved, links: Vec::new() });
    }
    for ((person, other), count) in moves {
        let after = (person.0.clone(), other);
        if groups.find(false, &person) == groups.find(true, &after) {
            continue;
        }
        *change.groups.entry(Kind::Move.word()).or_default() += 1;
        let side = |which: usize, person: &Person| {
            let count = events[which].get(person).copied().unwrap_or(0);
            vec![Side { person_id: person.1.to_string(), events: count }]
        };
        movers.push(Mover {
            kind: Kind::Move,
            tenant: person.0.clone(),
            before: side(0, &person),
            after: side(1, &after),
            events_moved: count,
            links: Vec::new(),
        });
    }
    let order = |mover: &Mover| {
        let first = mover.before.first().or(mover.after.first());
        (std::cmp::Reverse(mover.events_moved), mover.kind, first.map(|f| f.person_id.clone()))
    };
    movers.sort_by_cached_key(order);
    movers.truncate(MOVERS);
    find_links(&mut movers, before, after);
    change.movers = movers;
    change
}

/// Events by person.
fn count(events: &[Row]) -> Map<Person, u64> {
    let mut count = Map::default();
    for row in events {
        if let Some(person) = token(row, 5) {
            *count.entry((text(row, 0), person)).or_default() += 1;
        }
    }
    count
}

/// The merges and splits that only one side has made, of the identifiers of the movers. Person ids
/// are tokens of identifiers, also those that nobody has any more.
fn find_links(movers: &mut [Mover], before: &Said, after: &Said) {
    let mut of_token: Map<(String, String), usize> = Map::default();
    let mut sides: Map<(String, String), usize> = Map::default();
    for (place, mover) in movers.iter().enumerate() {
        for side in mover.before.iter().chain(&mover.after) {
            sides.insert((mover.tenant.clone(), side.person_id.clone()), place);
        }
    }
    for row in before.identifiers.iter().chain(&after.identifiers) {
        if let Some(place) = sides.get(&(text(row, 0), text(row, 3))) {
            of_token.insert((text(row, 0), text(row, 2)), *place);
        }
    }
    let made = |row: &Row| -> Made {
        let mut people = [text(row, 1), text(row, 2)];
        people.sort();
        (text(row, 0), text(row, 3), people, text(row, 6))
    };
    let all = |said: &Said| -> BTreeSet<Made> { said.id_changes.iter().map(made).collect() };
    let (was, is) = (all(before), all(after));
    for (rows, other, before) in [(&before.id_changes, &is, true), (&after.id_changes, &was, false)]
    {
        for row in rows {
            let (tenant, change_type, people, message_id) = made(row);
            let place = people.iter().find_map(|person| {
                let key = (tenant.clone(), person.clone());
                sides.get(&key).or_else(|| of_token.get(&key))
            });
            let Some(mover) = place.and_then(|place| movers.get_mut(*place)) else { continue };
            if mover.links.len() >= LINKS || other.contains(&made(row)) {
                continue;
            }
            let epoch = match row.cells.get(4) {
                CellRef::Int(epoch) => epoch as Epoch,
                _ => 0,
            };
            let link = Link { change_type, before, epoch, people, message_id, event: None };
            mover.links.push(link);
        }
    }
    name_events(movers, before, after);
}

/// Puts to each link the event of its message.
fn name_events(movers: &mut [Mover], before: &Said, after: &Said) {
    let mut wanted: Map<(String, String), Option<[String; 3]>> = Map::default();
    for mover in movers.iter() {
        for link in &mover.links {
            wanted.insert((mover.tenant.clone(), link.message_id.clone()), None);
        }
    }
    for row in before.events.iter().chain(&after.events) {
        if let Some(event) = wanted.get_mut(&(text(row, 0), text(row, 1))) {
            *event = Some([2, 3, 4].map(|column| text(row, column)));
        }
    }
    for mover in movers {
        for link in &mut mover.links {
            let key = (mover.tenant.clone(), link.message_id.clone());
            link.event = wanted.get(&key).cloned().flatten();
        }
    }
}
