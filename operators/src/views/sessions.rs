//! Sessions: a person's events without a gap, across channels.
//!
//! A gap strictly greater than the spec's splits, and so does an event more than the cap after the
//! session's start. A session is never cut at midnight. Its id is the smallest message id hash in
//! it.
//!
//! A change at one event is followed from the start of the session at or before it until a session
//! starts where one started before: from there on nothing differs.

use std::sync::Arc;

use smallvec::SmallVec;

use super::spec::SessionsSpec;
use crate::model::{Cell, Cells, Event, EventKey, Micros, Row, Token};
use crate::people::{Keyed, SortedChunks};

/// One session of a person.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Session {
    /// Its first event.
    pub first: EventKey,
    /// Time of its last event.
    pub end: Micros,
    /// The smallest message id hash.
    pub id: u128,
    /// Number of events.
    pub events: u64,
    /// The channels, sorted.
    pub channels: SmallVec<[Arc<str>; 2]>,
    /// Name of the first event.
    pub entry: Arc<str>,
    /// Name of the last event.
    pub exit: Arc<str>,
}

impl Keyed for Session {
    fn key(&self) -> EventKey {
        self.first
    }
}

impl Session {
    fn open(event: &Event) -> Self {
        Self {
            first: event.key,
            end: event.key.time,
            id: event.key.id,
            events: 1,
            channels: SmallVec::from_iter([Arc::clone(&event.channel)]),
            entry: Arc::clone(&event.name),
            exit: Arc::clone(&event.name),
        }
    }

    /// Whether the next event in order belongs to this session.
    fn takes(&self, spec: &SessionsSpec, event: &Event) -> bool {
        self.reaches(spec, event.key.time)
    }

    fn reaches(&self, spec: &SessionsSpec, time: Micros) -> bool {
        time.saturating_sub(self.end) <= spec.gap
            && time.saturating_sub(self.first.time) <= spec.cap
    }

    fn add(&mut self, event: &Event) {
        self.end = event.key.time;
        self.id = self.id.min(event.key.id);
        self.events += 1;
        if !Arc::ptr_eq(&self.exit, &event.name) {
            self.exit = Arc::clone(&event.name);
        }
        self.meet(&event.channel);
    }

    fn meet(&mut self, channel: &Arc<str>) {
        // Nearly always the text of before, in the same place.
        if self.channels.iter().any(|there| Arc::ptr_eq(there, channel)) {
            return;
        }
        if let Err(place) = self.channels.binary_search(channel) {
            self.channels.insert(place, Arc::clone(channel));
        }
    }

    /// The session as a row of the table `view`.
    pub fn row(&self, view: u16, tenant: &Arc<str>, person: Token, spec: &SessionsSpec) -> Row {
        let duration = self.end.saturating_sub(self.first.time);
        Row {
            view,
            cells: Cells::from([
                Cell::Str(Arc::clone(tenant)),
                Cell::Id(Token(self.id)),
                Cell::Id(person),
                Cell::Time(self.first.time),
                Cell::Time(self.end),
                Cell::float(duration as f64 / 1e6),
                Cell::Int(self.events as i64),
                Cell::List(self.channels.iter().cloned().map(Cell::Str).collect()),
                Cell::Str(Arc::clone(&self.entry)),
                Cell::Str(Arc::clone(&self.exit)),
            ]),
            final_at: self.end.saturating_add(spec.gap),
        }
    }
}

/// Sessions of events in the total order: the specification in code.
pub fn oracle<'a>(
    spec: &SessionsSpec,
    events: impl IntoIterator<Item = &'a Event>,
) -> Vec<Session> {
    let mut sessions: Vec<Session> = Vec::new();
    for event in events {
        match sessions.last_mut() {
            Some(open) if open.takes(spec, event) => open.add(event),
            _ => sessions.push(Session::open(event)),
        }
    }
    sessions
}

/// Sessions that went and came.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Difference {
    /// No longer there.
    pub gone: Vec<Session>,
    /// New.
    pub come: Vec<Session>,
}

/// Brings a person's sessions up to date after facts at `changed` keys, in order, came or went.
pub fn update(
    spec: &SessionsSpec,
    facts: &SortedChunks<Arc<Event>>,
    sessions: &mut SortedChunks<Session>,
    changed: &[EventKey],
) -> Difference {
    let mut difference = Difference::default();
    let mut next = 0;
    while let Some(&key) = changed.get(next) {
        let start = sessions.at_or_before(key).map_or(key, |session| session.first);
        let (fresh, end) = run(spec, facts, sessions, start, key);
        next += changed[next..].partition_point(|k| *k < end);
        let gone = sessions.drain(start, end);
        for session in &fresh {
            sessions.insert(session.clone());
        }
        difference.gone.extend(gone.iter().filter(|s| !fresh.contains(s)).cloned());
        difference.come.extend(fresh.into_iter().filter(|s| !gone.contains(s)));
    }
    difference
}

/// Brings a person's sessions up to date after one event came that was not there, unless it joins
/// two of them or it is not plain which event is a session's last. Otherwise `None`, and nothing is
/// done.
pub fn insert(
    spec: &SessionsSpec,
    sessions: &mut SortedChunks<Session>,
    event: &Event,
) -> Option<Difference> {
    let (before, next) = sessions.around(event.key);
    let session = match before {
        Some(session) if session.first == event.key || session.end == event.key.time => {
            return None;
        }
        // Inside a session neither gap nor cap changes.
        Some(session) if event.key.time < session.end => {
            let mut longer = session.clone();
            longer.events += 1;
            longer.id = longer.id.min(event.key.id);
            longer.meet(&event.channel);
            longer
        }
        Some(session) if session.takes(spec, event) => {
            let mut longer = session.clone();
            longer.add(event);
            longer
        }
        _ => Session::open(event),
    };
    if next.is_some_and(|next| session.reaches(spec, next.first.time)) {
        return None;
    }
    let gone = sessions.insert(session.clone()).into_iter().collect();
    Some(Difference { gone, come: vec![session] })
}

/// Sessions from `start` on, up to where one starts after `key` that started there before.
fn run(
    spec: &SessionsSpec,
    facts: &SortedChunks<Arc<Event>>,
    sessions: &SortedChunks<Session>,
    start: EventKey,
    key: EventKey,
) -> (Vec<Session>, EventKey) {
    let mut fresh: Vec<Session> = Vec::new();
    for event in facts.from(start) {
        match fresh.last_mut() {
            Some(open) if open.takes(spec, event) => open.add(event),
            _ => {
                if event.key > key && sessions.get(event.key).is_some() {
                    return (fresh, event.key);
                }
                fresh.push(Session::open(event));
            }
        }
    }
    (fresh, END)
}

/// After the last event: `EventKey::MAX` itself is never an event's, for its sequence is taken.
const END: EventKey = EventKey::MAX;
