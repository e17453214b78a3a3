//! Sessions: a person's events without a gap, across channels.
//!
//! A gap strictly greater than the spec's splits, and so does an event more than the cap after the
//! session's start. A session is never cut at midnight. Its id is the smallest message id hash in
//! it.
//!
//! A change at one event is followed from the start of the session at or before it until a session
//! starts where one started before: from there on nothing differs. Events that come after all
//! others only go on from the last session, however long that is.

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
            tenant: Arc::clone(&event.kind.tenant),
            channels: list(&std::iter::once(&event.kind.channel)),
            entry: Arc::clone(&event.kind.name),
            exit: Arc::clone(&event.kind.name),
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
        if !Arc::ptr_eq(exit, &event.kind.name) && *exit != event.kind.name {
            let exit = Arc::clone(&event.kind.name);
            self.texts = Texts { exit, ..Texts::clone(&self.texts) }.shared();
        }
        self.meet(&event.kind.channel);
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
    // An event just a gap after the last one is still of the session.
    let final_at = session.end.saturating_add(spec.gap).saturating_add(1);
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
    let [(first, ..), ..] = deltas else { return difference };
    let only_come = deltas.iter().all(|(_, diff, _)| *diff > 0);
    if only_come && facts.ends_with(first.key, deltas.len()) {
        return append(spec, sessions, deltas);
    }
    if only_come && deltas.len() <= FEW {
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

/// Brings a person's sessions up to date after events came that are the last of all.
fn append(
    spec: &SessionsSpec,
    sessions: &mut SortedChunks<Arc<Session>>,
    deltas: &[(Arc<Event>, i8, Cause)],
) -> Difference {
    let mut difference = Difference::default();
    let mut events = deltas.iter().map(|(event, ..)| &**event).peekable();
    if let Some(last) = sessions.last()
        && events.peek().is_some_and(|event| last.takes(spec, event))
    {
        let mut longer = Session::clone(last);
        difference.gone.push(Arc::clone(last));
        while let Some(event) = events.next_if(|event| longer.takes(spec, event)) {
            longer.add(event);
        }
        difference.come.push(Arc::new(longer));
    }
    difference.come.extend(oracle(spec, events).into_iter().map(Arc::new));
    for session in &difference.come {
        sessions.insert(Arc::clone(session));
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
            longer.meet(&event.kind.channel);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::testing::Seeded;
    use crate::model::SECOND;
    use crate::people::testing::{fact, matcher};

    const SPEC: SessionsSpec = SessionsSpec { gap: 60 * SECOND, cap: 600 * SECOND };

    /// Events in order, some at the same time and some after a gap.
    fn events(random: &mut Seeded, from: Micros, count: usize) -> Vec<Arc<Event>> {
        let (matcher, mut now) = (matcher(), from);
        let mut events: Vec<Arc<Event>> = Vec::new();
        for _ in 0..count {
            now += random.pick(&[0, 0, 1, 1, 20, 60, 61]) * SECOND;
            let mut event = Event::clone(&fact(random, &matcher));
            event.key.time = now;
            events.push(Arc::new(event));
        }
        events.sort_by_key(|event| event.key);
        events
    }

    fn deltas(events: &[Arc<Event>]) -> Vec<(Arc<Event>, i8, Cause)> {
        events.iter().map(|event| (Arc::clone(event), 1, Cause::New)).collect()
    }

    fn expected(events: &[Arc<Event>]) -> Vec<Arc<Session>> {
        oracle(&SPEC, events.iter().map(|event| &**event)).into_iter().map(Arc::new).collect()
    }

    /// Any number of events at once, whatever they come after; what is told leads from the sessions
    /// before to those after.
    #[test]
    fn events_at_the_end_agree_with_the_oracle() {
        for seed in 0..300 {
            let mut random = Seeded(seed);
            let (mut all, mut facts) = (Vec::new(), Facts::default());
            let mut sessions = SortedChunks::default();
            let mut told: Vec<Arc<Session>> = Vec::new();
            for _ in 0..12 {
                let count = random.pick(&[1, 2, 7, 8, 9, 40]);
                // Now and then some are at the moment of the last one before, and in between.
                let from = all.last().map_or(0, |event: &Arc<Event>| event.key.time);
                let new = events(&mut random, from, count);
                new.iter().for_each(|event| drop(facts.insert(Placed::new(event))));
                all.extend(new.iter().cloned());
                all.sort_by_key(|event| event.key);
                let Difference { gone, come } = follow(&SPEC, &facts, &mut sessions, &deltas(&new));
                told.retain(|session| !gone.contains(session));
                told.extend(come);
                told.sort_by_key(|session| session.first);
                let expected = expected(&all);
                assert!(sessions.iter().eq(&expected), "seed {seed}");
                assert_eq!(told, expected, "seed {seed}");
            }
        }
    }

    /// Nothing of an open session is read again: it is not even there to be read.
    #[test]
    fn what_came_before_is_not_read_again() {
        let mut random = Seeded(5);
        for count in [1, 8, 9, 500] {
            let before = events(&mut random, 0, 40);
            let end = before.last().map_or(0, |event| event.key.time);
            let new = events(&mut random, end + SECOND, count);
            let mut sessions = SortedChunks::default();
            expected(&before).into_iter().for_each(|session| drop(sessions.insert(session)));
            let mut facts = Facts::default();
            new.iter().for_each(|event| drop(facts.insert(Placed::new(event))));
            follow(&SPEC, &facts, &mut sessions, &deltas(&new));
            let all: Vec<Arc<Event>> = before.iter().chain(&new).cloned().collect();
            assert!(sessions.iter().eq(&expected(&all)), "{count} events");
        }
    }
}
