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
use crate::bytes;
use crate::model::{Cause, Cell, Cells, Event, EventKey, Micros, Row, Session, Texts, Token, list};
use crate::people::{Facts, Keyed, Placed, SortedChunks};

impl Keyed for Arc<Session> {
    fn key(&self) -> EventKey {
        self.first
    }
}

impl Session {
    fn open(event: &Event) -> Self {
        let texts = Texts {
            tenant: Arc::clone(&event.tenant),
            channels: list(&std::iter::once(&event.channel)),
            entry: Arc::clone(&event.name),
            exit: Arc::clone(&event.name),
        };
        Self {
            first: event.key,
            end: event.key.time,
            id: Token(event.key.id),
            events: 1,
            texts: texts.shared(),
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
        self.id = self.id.min(Token(event.key.id));
        self.events += 1;
        let exit = &self.texts.exit;
        if !Arc::ptr_eq(exit, &event.name) && *exit != event.name {
            let exit = Arc::clone(&event.name);
            self.texts = Texts { exit, ..Texts::clone(&self.texts) }.shared();
        }
        self.meet(&event.channel);
    }

    fn meet(&mut self, channel: &Arc<str>) {
        // Nearly always the text of before, in the same place.
        let is = |there: &Arc<str>| Arc::ptr_eq(there, channel) || there == channel;
        if self.texts.channels.iter().any(|cell| matches!(cell, Cell::Str(there) if is(there))) {
            return;
        }
        let text = |cell: &Cell| match cell {
            Cell::Str(text) => Some(Arc::clone(text)),
            _ => None,
        };
        let mut texts: SmallVec<[Arc<str>; 4]> =
            self.texts.channels.iter().filter_map(text).collect();
        texts.insert(texts.partition_point(|there| there < channel), Arc::clone(channel));
        let channels = list(&texts.iter());
        self.texts = Texts { channels, ..Texts::clone(&self.texts) }.shared();
    }
}

/// Memory that a person's sessions take, in bytes, without their texts, which are shared.
pub fn bytes(sessions: &SortedChunks<Arc<Session>>) -> usize {
    sessions.bytes() + sessions.len() * bytes::shared::<Session>()
}

/// The session as a row of the table `view`.
pub fn row(view: u16, session: &Arc<Session>, person: Token, spec: &SessionsSpec) -> Row {
    let final_at = session.end.saturating_add(spec.gap);
    Row { view, cells: Cells::Session(Arc::clone(session), person), final_at }
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

/// Sessions of a list that went or came: mostly one.
pub type Sessions = SmallVec<[Arc<Session>; 1]>;

/// Sessions that went and came.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Difference {
    /// No longer there.
    pub gone: Sessions,
    /// New.
    pub come: Sessions,
}

impl Difference {
    /// Adds what changed after it; what came and went is as if it had never been.
    fn then(&mut self, next: Self) {
        let again = |list: &mut Sessions, session: &Arc<Session>| {
            let place = list.iter().position(|there| there == session);
            place.map(|place| list.swap_remove(place)).is_some()
        };
        for session in next.gone {
            if !again(&mut self.come, &session) {
                self.gone.push(session);
            }
        }
        for session in next.come {
            if !again(&mut self.gone, &session) {
                self.come.push(session);
            }
        }
    }
}

/// Facts up to which those that come are taken in one by one.
const FEW: usize = 8;

/// Brings a person's sessions up to date after facts came and went.
pub fn follow(
    spec: &SessionsSpec,
    facts: &Facts,
    sessions: &mut SortedChunks<Arc<Session>>,
    deltas: &[(Arc<Event>, i8, Cause)],
) -> Difference {
    let mut difference = Difference::default();
    let mut rest = deltas;
    if deltas.len() <= FEW && deltas.iter().all(|(_, diff, _)| *diff > 0) {
        while let [(event, ..), later @ ..] = rest {
            let Some(next) = insert(spec, sessions, event) else { break };
            difference.then(next);
            rest = later;
        }
    }
    if !rest.is_empty() {
        let changed: Vec<EventKey> = rest.iter().map(|(event, ..)| event.key).collect();
        difference.then(update(spec, facts, sessions, &changed));
    }
    difference
}

/// Brings a person's sessions up to date after facts at `changed` keys, in order, came or went.
pub fn update(
    spec: &SessionsSpec,
    facts: &Facts,
    sessions: &mut SortedChunks<Arc<Session>>,
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
            sessions.insert(Arc::clone(session));
        }
        difference.gone.extend(gone.iter().filter(|s| !fresh.contains(s)).cloned());
        difference.come.extend(fresh.into_iter().filter(|s| !gone.contains(s)));
    }
    difference
}

/// Brings a person's sessions up to date after one event came that was not there, unless it joins
/// two of them or it is not plain which event is a session's last. Otherwise `None`, and nothing is
/// done.
fn insert(
    spec: &SessionsSpec,
    sessions: &mut SortedChunks<Arc<Session>>,
    event: &Event,
) -> Option<Difference> {
    let (before, next) = sessions.around(event.key);
    let session = match before {
        Some(session) if session.first == event.key || session.end == event.key.time => {
            return None;
        }
        // Inside a session neither gap nor cap changes.
        Some(session) if event.key.time < session.end => {
            let mut longer = Session::clone(session);
            longer.events += 1;
            longer.id = longer.id.min(Token(event.key.id));
            longer.meet(&event.channel);
            longer
        }
        Some(session) if session.takes(spec, event) => {
            let mut longer = Session::clone(session);
            longer.add(event);
            longer
        }
        _ => Session::open(event),
    };
    if next.is_some_and(|next| session.reaches(spec, next.first.time)) {
        return None;
    }
    let session = Arc::new(session);
    let gone = sessions.insert(Arc::clone(&session)).into_iter().collect();
    Some(Difference { gone, come: Sessions::from_iter([session]) })
}

/// Sessions from `start` on, up to where one starts after `key` that started there before.
fn run(
    spec: &SessionsSpec,
    facts: &Facts,
    sessions: &SortedChunks<Arc<Session>>,
    start: EventKey,
    key: EventKey,
) -> (Vec<Arc<Session>>, EventKey) {
    let mut fresh: Vec<Arc<Session>> = Vec::new();
    let mut open: Option<Session> = None;
    for Placed { event, .. } in facts.from(start) {
        match &mut open {
            Some(open) if open.takes(spec, event) => open.add(event),
            _ => {
                if event.key > key && sessions.get(event.key).is_some() {
                    fresh.extend(open.map(Arc::new));
                    return (fresh, event.key);
                }
                fresh.extend(open.replace(Session::open(event)).map(Arc::new));
            }
        }
    }
    fresh.extend(open.map(Arc::new));
    (fresh, END)
}

/// After the last event: `EventKey::MAX` itself is never an event's, for its sequence is taken.
const END: EventKey = EventKey::MAX;
