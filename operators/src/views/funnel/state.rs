//! A person's (or group's) funnel: what its entries add to the counts, kept up to date from the
//! changed keys outward.
//!
//! A *unit* is what counts at most once per period and value: a day's best entry (unique people),
//! an attempt (totals), a session's best entry (sessions). A change is followed over the units
//! whose entries can see it: days up to a window before, attempts until one begins where one began
//! before, and the sessions it lies in. All else stands.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Included, Unbounded};
use std::sync::Arc;

use smallvec::SmallVec;

use super::apply::merge;
use super::follow::Followed;
use super::outcome::{Outcome, Rank, Touch};
use super::scan::{View, scans};
use super::spec::{Counting, FunnelSpec, Order};
use super::traits::Traits;
use crate::model::{Cause, Cell, Event, EventKey};
use crate::people::SortedChunks;
use crate::time::Calendar;
use crate::views::contribution::Contribution;
use crate::views::sessions::{self, Session};
use crate::views::spec::{Period, SessionsSpec};

/// Facts at keys from `low` to `high`, both included, came, went or changed in meaning.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Dirty {
    /// The first key.
    pub low: EventKey,
    /// The last key.
    pub high: EventKey,
}

impl Dirty {
    /// One key.
    pub fn at(key: EventKey) -> Self {
        Self { low: key, high: key }
    }

    /// Everything.
    pub const ALL: Self = Self { low: EventKey::MIN, high: EventKey::MAX };
}

/// What one unit adds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Unit {
    pub outcome: Arc<Outcome>,
    pub touch: Option<Touch>,
    pub until: EventKey,
}

/// Value of the breakdown (null with `first_touch` and `last_touch`, whose value the unit has) and
/// the unit.
pub(super) type Key = (Cell, EventKey);
pub(super) type Changes = BTreeMap<Key, (Option<Unit>, Option<Unit>)>;

/// The best outcome of a person over all time under a value of the breakdown.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Best {
    /// The value.
    pub breakdown: Cell,
    /// The outcome.
    pub outcome: Arc<Outcome>,
}

/// What an update needs to know, and where what it adds goes.
#[derive(Debug)]
pub struct Scope<'a> {
    /// The funnel.
    pub spec: &'a FunnelSpec,
    /// Index of the view.
    pub view: u16,
    /// The tenant.
    pub tenant: &'a Arc<str>,
    /// Periods.
    pub calendar: &'a mut Calendar,
    /// The events, as they are now.
    pub facts: &'a SortedChunks<Arc<Event>>,
    /// The traits, as they are now.
    pub traits: &'a Traits,
    /// Why.
    pub cause: Cause,
    /// What is added to and taken from the counts.
    pub out: &'a mut Vec<Contribution>,
}

/// A person's funnel as of the last update.
#[derive(Clone, Debug, Default)]
pub struct FunnelState {
    pub(super) units: BTreeMap<Key, Unit>,
    /// Attempts and sessions that count, best first, by the value they are shown under. Days are so
    /// few that the best of them is looked for.
    pub(super) ranked: BTreeSet<(Cell, Rank, Key)>,
    sessions: SortedChunks<Session>,
    /// By step: the first event of the person, where a step asks for it.
    firsts: SmallVec<[Option<EventKey>; 2]>,
}

pub(super) fn key(time: i64) -> EventKey {
    EventKey { time, ..EventKey::MIN }
}

impl FunnelState {
    /// Brings the state up to date; returns the person's best outcomes that went and came.
    pub fn update(&mut self, scope: &mut Scope<'_>, dirty: &[Dirty]) -> (Vec<Best>, Vec<Best>) {
        let mut dirty = dirty.to_vec();
        self.update_firsts(scope, &mut dirty);
        dirty.sort_unstable();
        if dirty.is_empty() {
            return Default::default();
        }
        match scope.spec.counting {
            Counting::Uniques => {
                let changes = self.days(scope, &dirty);
                self.apply_days(scope, &changes)
            }
            Counting::Sessions(sessions) => {
                let changes = self.in_sessions(scope, &sessions, &dirty);
                self.apply_units(scope, changes)
            }
            Counting::Totals => {
                let mut total: (Vec<Best>, Vec<Best>) = Default::default();
                for dirty in joined(&dirty) {
                    let changes = self.attempts(scope, dirty);
                    let (gone, come) = self.apply_units(scope, changes);
                    total.0.extend(gone);
                    total.1.extend(come);
                }
                total
            }
        }
    }

    /// Which event is the first of its kind, for steps that ask for it.
    fn update_firsts(&mut self, scope: &Scope<'_>, dirty: &mut Vec<Dirty>) {
        self.firsts.resize(scope.spec.steps.len(), None);
        let Some(from) = dirty.iter().map(|d| d.low).min() else { return };
        for (place, step) in scope.spec.steps.iter().enumerate() {
            let Some(filter) = &step.first else { continue };
            let before = self.firsts[place];
            if before.is_some_and(|first| first < from) {
                continue;
            }
            let mut later = scope.facts.from(from);
            let now = later.find(|e| filter.holds(e, scope.traits)).map(|e| e.key);
            if now != before {
                dirty.extend([before, now].into_iter().flatten().map(Dirty::at));
                self.firsts[place] = now;
            }
        }
    }

    /// The units that stand in a range of unit keys, under every value.
    fn standing(&self, low: EventKey, high: EventKey) -> Vec<Key> {
        let mut keys = Vec::new();
        let mut value = self.units.keys().next().map(|k| k.0.clone());
        while let Some(v) = value {
            let range = (Included((v.clone(), low)), Excluded((v.clone(), high)));
            keys.extend(self.units.range(range).map(|(k, _)| k.clone()));
            let after = (Excluded((v, EventKey::MAX)), Unbounded);
            value = self.units.range(after).next().map(|(k, _)| k.0.clone());
        }
        keys
    }

    /// Adds what comes to what goes.
    fn difference(&self, gone: Vec<Key>, come: BTreeMap<Key, Unit>, changes: &mut Changes) {
        for key in gone {
            if !come.contains_key(&key) {
                let before = self.units.get(&key).cloned();
                changes.insert(key, (before, None));
            }
        }
        for (key, unit) in come {
            let before = self.units.get(&key);
            if before != Some(&unit) {
                changes.insert(key.clone(), (before.cloned(), Some(unit)));
            }
        }
    }

    /// The days whose entries see something dirty, anew.
    fn days(&self, scope: &mut Scope<'_>, dirty: &[Dirty]) -> Changes {
        let spec = scope.spec;
        let mut ranges: Vec<(i64, i64)> = Vec::new();
        for d in dirty {
            let low = scope.calendar.start(Period::Day, d.low.time.saturating_sub(spec.window));
            let day = scope.calendar.start(Period::Day, d.high.time);
            let high = scope.calendar.end(Period::Day, day);
            match ranges.last_mut() {
                Some(last) if low <= last.1 => last.1 = last.1.max(high),
                _ => ranges.push((low, high)),
            }
        }
        let mut changes = Changes::new();
        for (low, high) in ranges {
            let end = high.saturating_add(spec.window);
            let facts = scope.facts.from(key(low)).take_while(|e| e.key.time <= end);
            let mut come: BTreeMap<Key, Unit> = BTreeMap::new();
            for (part, scan) in scans(self.view(scope), facts) {
                for entry in scan.entries() {
                    let time = scan.items[entry].event.key.time;
                    if time >= high {
                        break;
                    }
                    let day = key(scope.calendar.start(Period::Day, time));
                    for (value, followed) in scan.outcomes(entry) {
                        let value = if value == Cell::Null { part.clone() } else { value };
                        add(spec, &mut come, (value, day), followed);
                    }
                }
            }
            self.difference(self.standing(key(low), key(high)), come, &mut changes);
        }
        changes
    }

    fn view<'a>(&'a self, scope: &Scope<'a>) -> View<'a> {
        View { spec: scope.spec, traits: scope.traits, firsts: &self.firsts }
    }

    /// The sessions that something dirty lies in, anew.
    fn in_sessions(
        &mut self,
        scope: &mut Scope<'_>,
        sessions: &SessionsSpec,
        dirty: &[Dirty],
    ) -> Changes {
        // A range may also hold events that only mean something else now: they split nothing, but
        // their sessions are to be looked at.
        let mut touched: Vec<EventKey> = Vec::new();
        for d in dirty {
            if d.low == d.high {
                touched.push(d.low);
            } else {
                let later = scope.facts.from(d.low).map(|e| e.key);
                touched.extend(later.take_while(|k| *k <= d.high));
            }
        }
        touched.sort_unstable();
        touched.dedup();
        let difference = sessions::update(sessions, scope.facts, &mut self.sessions, &touched);
        let mut again: BTreeSet<EventKey> = difference.come.iter().map(|s| s.first).collect();
        again.extend(touched.iter().filter_map(|k| Some(self.sessions.at_or_before(*k)?.first)));
        let mut come: BTreeMap<Key, Unit> = BTreeMap::new();
        for first in &again {
            let Some(session) = self.sessions.get(*first) else { continue };
            let facts = scope.facts.from(*first).take(session.events as usize);
            for (part, scan) in scans(self.view(scope), facts) {
                for entry in scan.entries() {
                    for (value, followed) in scan.outcomes(entry) {
                        let value = if value == Cell::Null { part.clone() } else { value };
                        add(scope.spec, &mut come, (value, *first), followed);
                    }
                }
            }
        }
        again.extend(difference.gone.iter().map(|s| s.first));
        let mut gone = Vec::new();
        for first in again {
            gone.extend(self.standing(first, EventKey { id: first.id.saturating_add(1), ..first }));
        }
        let mut changes = Changes::new();
        self.difference(gone, come, &mut changes);
        changes
    }

    /// The attempts from a window before something dirty, up to where one begins after it that
    /// began there before.
    fn attempts(&self, scope: &Scope<'_>, dirty: Dirty) -> Changes {
        let spec = scope.spec;
        let low = key(dirty.low.time.saturating_sub(spec.window));
        let end = scope.facts.last().map_or(i64::MIN, |e| e.key.time);
        let mut reach = spec.window.max(3600 * crate::model::SECOND).saturating_mul(2);
        loop {
            let horizon = dirty.high.time.saturating_add(reach);
            let (changes, met) = self.attempts_to(scope, dirty, low, horizon);
            if met || horizon >= end {
                return changes;
            }
            reach = reach.saturating_mul(4);
        }
    }

    /// The same with entries up to a horizon; whether every value met an attempt of before.
    fn attempts_to(
        &self,
        scope: &Scope<'_>,
        dirty: Dirty,
        low: EventKey,
        horizon: i64,
    ) -> (Changes, bool) {
        let spec = scope.spec;
        let end = horizon.saturating_add(spec.window);
        let facts = scope.facts.from(low).take_while(|e| e.key.time <= end);
        let scans = scans(self.view(scope), facts);
        let mut parts: BTreeSet<Cell> = scans.keys().cloned().collect();
        parts.extend(self.standing(low, EventKey::MAX).into_iter().map(|k| k.0));
        let (mut gone, mut come) = (Vec::new(), BTreeMap::new());
        let mut all_met = true;
        for part in parts {
            let earlier = self.units.range((part.clone(), EventKey::MIN)..(part.clone(), low));
            let mut until = earlier.last().map_or(EventKey::MIN, |(_, unit)| unit.until);
            let mut met = None;
            if let Some(scan) = scans.get(&part) {
                for entry in scan.entries() {
                    let at = scan.items[entry].event.key;
                    if at <= until && until != EventKey::MIN {
                        continue;
                    }
                    if at.time > horizon {
                        break;
                    }
                    // Entries at its instant still see what is dirty.
                    let after = (at.time, at.seq) > (dirty.high.time, dirty.high.seq);
                    if after && self.units.contains_key(&(part.clone(), at)) {
                        met = Some(at);
                        break;
                    }
                    let followed = scan.attempt(entry);
                    until = followed.until;
                    come.insert((part.clone(), at), unit(followed));
                }
            }
            all_met &= met.is_some();
            let high = met.unwrap_or(EventKey::MAX);
            let range = (Included((part.clone(), low)), Excluded((part, high)));
            gone.extend(self.units.range(range).map(|(k, _)| k.clone()));
        }
        let mut changes = Changes::new();
        self.difference(gone, come, &mut changes);
        (changes, all_met)
    }
}

/// Ranges that touch, as one.
fn joined(dirty: &[Dirty]) -> Vec<Dirty> {
    let mut list: Vec<Dirty> = Vec::new();
    for d in dirty {
        match list.last_mut() {
            Some(last) if d.low <= last.high => last.high = last.high.max(d.high),
            _ => list.push(*d),
        }
    }
    list
}

fn unit(followed: Followed) -> Unit {
    let Followed { outcome, touch, until } = followed;
    Unit { outcome: Arc::new(outcome), touch, until }
}

fn add(spec: &FunnelSpec, come: &mut BTreeMap<Key, Unit>, key: Key, followed: Followed) {
    let new = unit(followed);
    match come.get_mut(&key) {
        Some(there) => merge(spec, there, new),
        None => drop(come.insert(key, new)),
    }
}

impl Order {
    /// Whether every event counts, not only those that take a step.
    pub fn sees_all(self) -> bool {
        self == Self::Strict
    }
}
