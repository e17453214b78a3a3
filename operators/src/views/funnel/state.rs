//! A person's (or group's) funnel: what its entries add to the counts, kept up to date from the
//! changed keys outward.
//!
//! A *unit* is what counts at most once per period and value: a day's best entry (unique people),
//! an attempt (totals), a session's best entry (sessions). A change is followed over the units
//! whose entries can see it: days up to a window before, attempts until one begins where one began
//! before, and the sessions it lies in. All else stands.

use std::collections::BTreeSet;
use std::sync::Arc;

use smallvec::SmallVec;
use thin_vec::ThinVec;

use super::glance::Glance;
use super::outcome::{Outcome, Rank};
use super::scan::{Scan, View, scans};
use super::spec::{Attribution, Counting, FunnelSpec, Order};
use super::traits::Traits;
use super::units::{Change, Fresh, Units, difference};
use crate::bytes;
use crate::model::{Cause, Cell, Event, EventKey, Matches, Micros, Session};
use crate::people::{Facts, SortedChunks};
use crate::time::Calendar;
use crate::views::contribution::Contribution;
use crate::views::sessions;
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

/// The best outcome of a person over all time under a value of the breakdown.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Best {
    /// The value.
    pub breakdown: Cell,
    /// The outcome.
    pub outcome: Arc<Outcome>,
}

/// Facts of a person from which on it pays to follow one change entry by entry, not day by day.
pub const DENSE_FROM: usize = 512;

/// Facts of a person up to which all between two changes are read at once.
const FEW: usize = 64;

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
    /// The predicates of its steps and exclusions; see [`FunnelSpec::mask`].
    pub mask: &'a Matches,
    /// The events, as they are now.
    pub facts: &'a Facts,
    /// What came and went, in order.
    pub deltas: &'a [(Arc<Event>, i8, Cause)],
    /// Facts from which on one change is followed entry by entry; see [`DENSE_FROM`].
    pub dense_from: usize,
    /// Some of them, read for several funnels at once.
    pub glance: Option<&'a Glance<'a>>,
    /// The traits, as they are now.
    pub traits: &'a Traits,
    /// Why.
    pub cause: Cause,
    /// What is added to and taken from the counts.
    pub out: &'a mut Vec<Contribution>,
}

impl<'a> Scope<'a> {
    /// The events from a key that is the first of its moment up to the moment `end`; where not
    /// every event counts, those that no step or exclusion asks for may be missing.
    pub(super) fn stretch(
        &self,
        low: EventKey,
        end: Micros,
    ) -> impl Iterator<Item = &'a Arc<Event>> + use<'a> {
        let wanted = if self.spec.order.sees_all() { None } else { Some(self.mask) };
        let seen = self.glance.and_then(|glance| glance.stretch(low.time, end, wanted));
        let facts = seen.is_none().then(|| self.facts.from(low));
        let facts = facts.into_iter().flatten().take_while(move |fact| fact.time <= end);
        seen.into_iter().flatten().chain(facts.map(|fact| &fact.event))
    }
}

/// Attempts and sessions that count, best first, by the value they are shown under, each with the
/// value and key of its unit.
pub(super) type Ranked = BTreeSet<(Cell, Rank, (Cell, EventKey))>;

/// A person's funnel as of the last update.
#[derive(Clone, Debug, Default)]
pub struct FunnelState {
    pub(super) units: Units,
    /// By step: the first event of the person, where a step asks for it.
    firsts: ThinVec<Option<EventKey>>,
    /// Only where attempts or sessions are counted; days are so few that the best of them is looked
    /// for.
    pub(super) several: Option<Box<Several>>,
}

/// What is kept where attempts or sessions are counted.
#[derive(Clone, Debug, Default)]
pub(super) struct Several {
    pub ranked: Ranked,
    sessions: SortedChunks<Arc<Session>>,
}

pub(super) fn key(time: Micros) -> EventKey {
    EventKey { time, ..EventKey::MIN }
}

impl FunnelState {
    /// Memory that it refers to, in bytes, about.
    pub fn bytes(&self) -> usize {
        let several = |kept: &Several| {
            let place = size_of::<(Cell, Rank, (Cell, EventKey))>();
            let sessions = sessions::bytes(&kept.sessions);
            size_of::<Several>() + bytes::tree(kept.ranked.len(), place) + sessions
        };
        let several = self.several.as_deref().map_or(0, several);
        self.units.bytes() + several + bytes::thin(&self.firsts)
    }

    /// Reads a first word of what an update will look at, behind as many pointers.
    pub fn touch(&self, depth: usize) -> u64 {
        self.units.touch(depth)
    }

    /// Brings the state up to date; returns the person's best outcomes that went and came.
    pub fn update(
        &mut self,
        scope: &mut Scope<'_>,
        mut dirty: SmallVec<[Dirty; 1]>,
    ) -> (Vec<Best>, Vec<Best>) {
        self.update_firsts(scope, &mut dirty);
        dirty.sort_unstable();
        if dirty.is_empty() {
            return Default::default();
        }
        match scope.spec.counting {
            Counting::Uniques => {
                let plain = self.appended(scope, &dirty).or_else(|| self.near(scope, &dirty));
                let changes = plain.unwrap_or_else(|| self.days(scope, &dirty));
                self.apply_days(scope, changes)
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
    fn update_firsts(&mut self, scope: &Scope<'_>, dirty: &mut SmallVec<[Dirty; 1]>) {
        if scope.spec.steps.iter().all(|step| step.first.is_none()) {
            return;
        }
        self.firsts.resize(scope.spec.steps.len(), None);
        let Some(from) = dirty.iter().map(|d| d.low).min() else { return };
        for (place, step) in scope.spec.steps.iter().enumerate() {
            let Some(filter) = &step.first else { continue };
            let before = self.firsts[place];
            if before.is_some_and(|first| first < from) {
                continue;
            }
            let mut later = scope.facts.from(from);
            let now = later.find(|fact| filter.holds(&fact.event, scope.traits));
            let now = now.map(|fact| fact.event.key);
            if now != before {
                dirty.extend([before, now].into_iter().flatten().map(Dirty::at));
                self.firsts[place] = now;
            }
        }
    }

    /// The days whose entries see something dirty, anew; in order.
    fn days(&self, scope: &mut Scope<'_>, dirty: &[Dirty]) -> Vec<Change> {
        let spec = scope.spec;
        let mut ranges: SmallVec<[(Micros, Micros); 2]> = SmallVec::new();
        for d in dirty {
            let low = scope.calendar.start(Period::Day, d.low.time.saturating_sub(spec.window));
            let day = scope.calendar.start(Period::Day, d.high.time);
            let high = scope.calendar.end(Period::Day, day);
            let few = scope.facts.len() <= FEW;
            match ranges.last_mut() {
                Some(last) if low <= last.1 || few => last.1 = last.1.max(high),
                _ => ranges.push((low, high)),
            }
        }
        let mut changes = Vec::new();
        for (low, high) in &ranges {
            self.days_between(scope, *low, *high, &mut changes);
        }
        if ranges.len() > 1 {
            changes.sort_by(|a, b| (&a.value, a.key).cmp(&(&b.value, b.key)));
        }
        changes
    }

    pub(super) fn days_between(
        &self,
        scope: &mut Scope<'_>,
        low: Micros,
        high: Micros,
        changes: &mut Vec<Change>,
    ) {
        let spec = scope.spec;
        let scans =
            scans(self.view(scope), scope.stretch(key(low), high.saturating_add(spec.window)));
        let mut fresh: Vec<Fresh> = Vec::new();
        let mut day = (0, 0);
        for (part, scan) in &scans {
            for entry in scan.entries() {
                let time = scan.key(entry as u32).time;
                if time >= high {
                    break;
                }
                if !(day.0..day.1).contains(&time) {
                    let start = scope.calendar.start(Period::Day, time);
                    day = (start, scope.calendar.end(Period::Day, start));
                }
                scan.outcomes(entry, |value, followed| {
                    let place = (value.unwrap_or(part), key(day.0));
                    Fresh::add(&mut fresh, spec, place, followed);
                });
            }
        }
        Fresh::sort(&mut fresh, spec);
        let standing = self.units.range(key(low), key(high));
        difference(standing, &fresh, |fresh| scan_of(spec, &scans, &fresh.value), changes);
    }

    pub(super) fn view<'v, 'a: 'v>(&'v self, scope: &Scope<'a>) -> View<'v> {
        let Scope { spec, mask, traits, .. } = *scope;
        View { spec, mask, traits, firsts: &self.firsts }
    }

    /// The sessions that something dirty lies in, anew.
    fn in_sessions(
        &mut self,
        scope: &mut Scope<'_>,
        sessions: &SessionsSpec,
        dirty: &[Dirty],
    ) -> Vec<Change> {
        // A range may also hold events that only mean something else now: they split nothing, but
        // their sessions are to be looked at.
        let mut touched: Vec<EventKey> = Vec::new();
        for d in dirty {
            if d.low == d.high {
                touched.push(d.low);
            } else {
                let later = scope.facts.from(d.low).map(|fact| fact.event.key);
                touched.extend(later.take_while(|k| *k <= d.high));
            }
        }
        touched.sort_unstable();
        touched.dedup();
        let kept = &mut self.several.get_or_insert_default().sessions;
        let difference = sessions::update(sessions, scope.facts, kept, &touched);
        let mut again: BTreeSet<EventKey> = difference.come.iter().map(|s| s.first).collect();
        again.extend(touched.iter().filter_map(|k| Some(kept.at_or_before(*k)?.first)));
        again.extend(difference.gone.iter().map(|s| s.first));
        let mut changes = Vec::new();
        for first in again {
            self.in_session(scope, first, &mut changes);
        }
        changes
    }

    /// What changes in the session that begins, or began, with an event.
    fn in_session(&self, scope: &Scope<'_>, first: EventKey, changes: &mut Vec<Change>) {
        let session = self.several.as_ref().and_then(|kept| kept.sessions.get(first));
        let events = session.map_or(0, |session| session.events);
        let own = scope.facts.from(first).take(events as usize).map(|fact| &fact.event);
        let scans = scans(self.view(scope), own);
        let mut fresh: Vec<Fresh> = Vec::new();
        for (part, scan) in &scans {
            for entry in scan.entries() {
                scan.outcomes(entry, |value, followed| {
                    let place = (value.unwrap_or(part), first);
                    Fresh::add(&mut fresh, scope.spec, place, followed);
                });
            }
        }
        Fresh::sort(&mut fresh, scope.spec);
        let next = EventKey { id: first.id.saturating_add(1), ..first };
        let standing = self.units.range(first, next);
        let scan_of = |fresh: &Fresh| scan_of(scope.spec, &scans, &fresh.value);
        difference(standing, &fresh, scan_of, changes);
    }

    /// The attempts from a window before something dirty, up to where one begins after it that
    /// began there before.
    fn attempts(&self, scope: &Scope<'_>, dirty: Dirty) -> Vec<Change> {
        let spec = scope.spec;
        let low = key(dirty.low.time.saturating_sub(spec.window));
        let end = scope.facts.last().map_or(i64::MIN, |fact| fact.time);
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
    ) -> (Vec<Change>, bool) {
        let spec = scope.spec;
        let end = horizon.saturating_add(spec.window);
        let scans = scans(self.view(scope), scope.stretch(low, end));
        let mut parts: Vec<&Cell> = scans.iter().map(|(part, _)| part).collect();
        parts.extend(self.units.values());
        parts.sort_unstable();
        parts.dedup();
        let (mut changes, mut all_met) = (Vec::new(), true);
        for part in parts {
            let scan = scans.iter().find(|(value, _)| value == part).map(|(_, scan)| scan);
            let units = self.units.of(part);
            let earlier = units.and_then(|units| units.last_before(low));
            let until = earlier.and_then(|unit| unit.until.as_deref());
            let mut until = until.copied().unwrap_or(EventKey::MIN);
            let mut met = None;
            let mut fresh = Vec::new();
            for entry in scan.into_iter().flat_map(Scan::entries) {
                let Some(scan) = scan else { continue };
                let at = scan.key(entry as u32);
                if at <= until && until != EventKey::MIN {
                    continue;
                }
                if at.time > horizon {
                    break;
                }
                // Entries at its instant still see what is dirty.
                let after = (at.time, at.seq) > (dirty.high.time, dirty.high.seq);
                if after && units.is_some_and(|units| units.get(at).is_some()) {
                    met = Some(at);
                    break;
                }
                let followed = scan.attempt(entry);
                until = followed.until;
                fresh.push(Fresh { value: part.clone(), key: at, followed });
            }
            all_met &= met.is_some();
            let standing = self.units.range_of(part, low, met.unwrap_or(EventKey::MAX));
            let standing = standing.map(|unit| (part, unit));
            difference(standing, &fresh, |fresh| scan_of(spec, &scans, &fresh.value), &mut changes);
        }
        (changes, all_met)
    }
}

/// The scan that something of a value was found in; there is one.
fn scan_of<'a>(spec: &FunnelSpec, scans: &'a [(Cell, Scan<'a>)], value: &Cell) -> &'a Scan<'a> {
    let apart = spec.attribution == Attribution::AllEvents;
    let place = scans.binary_search_by(|(part, _)| part.cmp(value)).ok().filter(|_| apart);
    &scans[place.unwrap_or(0)].1
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

impl Order {
    /// Whether every event counts, not only those that take a step.
    pub fn sees_all(self) -> bool {
        self == Self::Strict
    }
}
