//! One change among very many events, followed to the few entries that see it.
//!
//! Where steps exclude each other, a later entry takes no required step sooner than an earlier one.
//! So from the change back, once an entry has taken before the change what the change could be
//! taken for, it and all before it are as they were. A day's best is then the better of what it was
//! and what came of those entries; only if what it was is no longer so, the day is looked at anew.

use super::outcome::instant;
use super::scan::{Scan, bits, scans};
use super::spec::Order;
use super::state::{Dirty, FunnelState, Scope, key};
use super::units::{Change, Fresh, difference};
use crate::model::{Cell, EventKey, Micros};
use crate::views::spec::Period;

/// The first look goes this fraction of the window in both directions; each further look is wider.
const NARROWEST: Micros = 64;
/// How much wider.
const WIDER: Micros = 4;

/// The change, and what it can be taken for.
struct Center {
    key: EventKey,
    /// An entry that took all these steps before is as it was.
    behind: u32,
    /// Whether it can be more than an entry.
    inner: bool,
}

/// The entries that see a change.
struct Seen<'a> {
    scan: Scan<'a>,
    /// What comes of them, under the days that they are of.
    entries: Vec<Fresh>,
    /// Entries up to here are as they were.
    after: EventKey,
}

/// What came of looking so far.
enum Look<'a> {
    Done(Seen<'a>),
    /// It depends on what is further away.
    Wider,
    /// Some event takes two steps.
    InVain,
}

impl FunnelState {
    /// What changes in the days after one event came or went; `None` if all entries of its days and
    /// of a window before have to be looked at.
    pub(super) fn near(&self, scope: &mut Scope<'_>, dirty: &[Dirty]) -> Option<Vec<Change>> {
        let spec = scope.spec;
        let [Dirty { low, high }] = dirty else { return None };
        let plain = spec.order == Order::Ordered && spec.hold.is_empty();
        let whole = spec.breakdown.is_empty() && spec.steps.iter().all(|s| s.first.is_none());
        if low != high || !plain || !whole || scope.facts.len() < scope.dense_from {
            return None;
        }
        let center = self.center(scope, *low)?;
        let mut reach = (spec.window / NARROWEST).max(1);
        loop {
            match self.look(scope, &center, reach) {
                Look::Done(seen) => return Some(self.days_of(scope, &center, seen)),
                Look::Wider => reach = reach.saturating_mul(WIDER).min(spec.window),
                Look::InVain => return None,
            }
        }
    }

    /// What the events that came and went at a key can be taken for; `None` if one can be taken for
    /// two steps.
    fn center(&self, scope: &Scope<'_>, key: EventKey) -> Option<Center> {
        let spec = scope.spec;
        let view = self.view(scope);
        let from = scope.deltas.partition_point(|delta| delta.0.key < key);
        let events = scope.deltas[from..].iter().take_while(|delta| delta.0.key == key);
        let required = |step: usize| (step..spec.steps.len()).find(|s| !spec.steps[*s].optional);
        let mut center = Center { key, behind: 0, inner: false };
        for (event, ..) in events {
            let (steps, exclusions) = view.taken(event);
            if steps.count_ones() > 1 {
                return None;
            }
            let ends = bits(exclusions).map(|exclusion| spec.exclusions[exclusion].to);
            for step in bits(steps & !1).chain(ends) {
                center.behind |= 1 << required(step)?;
                center.inner = true;
            }
        }
        Some(center)
    }

    /// Looks so far in both directions.
    fn look<'s, 'c: 's>(
        &'s self,
        scope: &mut Scope<'c>,
        center: &Center,
        reach: Micros,
    ) -> Look<'s> {
        let (spec, at) = (scope.spec, center.key.time);
        let (low, end) = (at.saturating_sub(reach), at.saturating_add(reach));
        let found = scans(self.view(scope), scope.stretch(key(low), end)).into_iter().next();
        let scan = found.map_or_else(|| Scan::new(spec, Vec::new()), |(_, scan)| scan);
        if !scan.single {
            return Look::InVain;
        }
        let here = (center.key.time, center.key.seq);
        let whole = reach >= spec.window || !center.inner;
        let (mut entries, mut after) = (Vec::new(), whole.then_some(EventKey::MIN));
        for &(_, entry) in scan.takers(0, 0).iter().rev() {
            let own = scan.key(entry);
            if !center.sees(own) {
                continue;
            }
            let followed = scan.attempt(entry as usize);
            let before = |step: usize| {
                let item = followed.path.get(step).and_then(|item| scan.items.get(*item as usize));
                item.is_some_and(|item| instant(item.event) < here)
            };
            if center.inner && bits(center.behind).all(before) {
                after = Some(own);
                break;
            }
            let complete = followed.path.len() == spec.steps.len();
            if !complete && end < own.time.saturating_add(spec.window) {
                return Look::Wider;
            }
            let day = key(scope.calendar.start(Period::Day, own.time));
            entries.push(Fresh { value: Cell::Null, key: day, followed });
        }
        after.map_or(Look::Wider, |after| Look::Done(Seen { scan, entries, after }))
    }

    /// The changes of days, from the entries that see a change.
    fn days_of(&self, scope: &mut Scope<'_>, center: &Center, seen: Seen<'_>) -> Vec<Change> {
        let Seen { scan, mut entries, after } = seen;
        Fresh::sort(&mut entries, scope.spec);
        let low = center.key.time.saturating_sub(scope.spec.window);
        let low = key(scope.calendar.start(Period::Day, low));
        let high = key(center.key.time.saturating_add(1));
        let mut changes = Vec::new();
        for unit in self.units.range_of(&Cell::Null, low, high) {
            let place = entries.iter().position(|fresh| fresh.key == unit.key);
            if place.is_some_and(|place| entries[place].followed.rank <= unit.rank(scope.spec)) {
                continue;
            }
            // No better: it stands, unless it was itself one of those that see the change.
            place.map(|place| entries.remove(place));
            let entry = unit.outcome.entry();
            if center.sees(entry) && entry > after {
                let end = scope.calendar.end(Period::Day, unit.key.time);
                self.days_between(scope, unit.key.time, end, &mut changes);
            }
        }
        for fresh in &entries {
            let units = self.units.of(&Cell::Null);
            let standing = units.and_then(|units| units.get(fresh.key));
            let standing = standing.map(|unit| (&Cell::Null, unit)).into_iter();
            difference(standing, std::slice::from_ref(fresh), |_| &scan, &mut changes);
        }
        changes.sort_by_key(|change| change.key);
        changes
    }
}

impl Center {
    /// Whether an entry there can see the change, unless it is done before.
    fn sees(&self, entry: EventKey) -> bool {
        entry == self.key || self.inner && (entry.time, entry.seq) <= (self.key.time, self.key.seq)
    }
}
