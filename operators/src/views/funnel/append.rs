//! Events that are later than all that a person's funnel has seen: the usual case.
//!
//! Such an event can only be the last of a chain: it takes step `n` (from 0) of entries that have
//! taken `n` steps. So the best entry of a day, which has taken the most, can be beaten only by an
//! event that takes the very next step of it; else the day is not looked at. A day without an entry
//! changes only by an entry in it.

use std::sync::Arc;

use smallvec::SmallVec;

use super::concerns;
use super::outcome::{Chain, Outcome, Rank, Touch, instant, value};
use super::spec::{Attribution, FunnelSpec, Order};
use super::state::{Dirty, FunnelState, Scope, key};
use super::units::{Change, Unit};
use crate::model::{Cell, Event, EventKey, Micros};
use crate::views::spec::Period;

/// Whether chains of a funnel go on as said above, and the touch of a day is its first.
pub fn is_plain(spec: &FunnelSpec) -> bool {
    spec.order == Order::Ordered
        && spec.hold.is_empty()
        && spec.exclusions.is_empty()
        && (spec.breakdown.is_empty() || spec.attribution == Attribution::FirstTouch)
        && spec.steps.iter().all(|step| !step.optional && step.first.is_none())
}

/// Events that came after all others, each in an instant of its own.
type Last<'a> = SmallVec<[&'a Arc<Event>; 4]>;

impl FunnelState {
    /// What changes in the days after nothing but events came that are later than all others that
    /// matter to the funnel; `None` if that is not so or not enough.
    pub(super) fn appended(&self, scope: &mut Scope<'_>, dirty: &[Dirty]) -> Option<Vec<Change>> {
        let spec = scope.spec;
        if !is_plain(spec) {
            return None;
        }
        let last = last(scope, dirty)?;
        let first = last.first()?.key.time.saturating_sub(spec.window);
        let first = scope.calendar.start(Period::Day, first);
        let view = self.view(scope);
        let taken = |event: &Event| view.taken(event).0;
        let steps = last.iter().fold(0, |all, event| all | taken(event));
        // A touch that is there is before all that these events could give.
        let named = !spec.breakdown.is_empty()
            && last.iter().any(|event| value(spec, scope.traits, event) != Cell::Null);
        let mut days: SmallVec<[Micros; 4]> = SmallVec::new();
        for unit in self.units.range_of(&Cell::Null, key(first), EventKey::MAX) {
            if steps >> unit.length() & 1 == 1 || named && unit.touch.is_none() {
                days.push(unit.key.time);
            }
        }
        let mut changes = Vec::new();
        for event in last.iter().filter(|event| taken(event) & 1 == 1) {
            let day = scope.calendar.start(Period::Day, event.key.time);
            let there = self.units.of(&Cell::Null).and_then(|units| units.get(key(day)));
            match last.len() {
                _ if there.is_some() => {}
                1 => changes.push(entered(scope, day, event)),
                _ => days.push(day),
            }
        }
        days.sort_unstable();
        days.dedup();
        for day in days {
            let end = scope.calendar.end(Period::Day, day);
            self.days_between(scope, day, end, &mut changes);
        }
        changes.sort_by_key(|change| change.key);
        Some(changes)
    }
}

/// Later events without a say in the funnel that are passed over to see that there are no others.
const LATER_MAX: usize = 64;

/// The events that came, if they are the last of all that matter, in instants of their own.
fn last<'a>(scope: &Scope<'a>, dirty: &[Dirty]) -> Option<Last<'a>> {
    let first = dirty.first()?.low;
    let mut last = Last::new();
    let mut before = None;
    let concerned = |event: &Event| concerns(scope.spec, scope.mask, event);
    let mut room = dirty.len() + LATER_MAX;
    for fact in scope.facts.from(key(first.time)) {
        let event = &fact.event;
        room = room.checked_sub(1)?;
        if !concerned(event) {
            continue;
        }
        let at = Dirty::at(event.key);
        let own = before.replace(instant(event)) != Some(instant(event));
        if !own || dirty.get(last.len()) != Some(&at) {
            return None;
        }
        last.push(event);
    }
    let mut came = scope.deltas.iter().filter(|(event, ..)| concerned(event));
    let new = last.iter().all(|event| came.next().is_some_and(|c| c.1 > 0 && c.0.key == event.key));
    (new && came.next().is_none() && last.len() == dirty.len()).then_some(last)
}

/// A day begins with an event that takes the first step.
fn entered(scope: &Scope<'_>, day: Micros, event: &Arc<Event>) -> Change {
    let spec = scope.spec;
    let rank = Rank::new(spec.order, 1, false, event.key, event.key);
    let named =
        if spec.breakdown.is_empty() { Cell::Null } else { value(spec, scope.traits, event) };
    let touch = (named != Cell::Null).then(|| Box::new(Touch { key: event.key, value: named }));
    let unit = Unit {
        key: key(day),
        class: rank.class,
        reached: rank.reached.time,
        outcome: Arc::new(Outcome {
            chain: Chain::from_iter([Some(Arc::clone(event))]),
            excluded: false,
        }),
        touch,
        until: None,
    };
    Change { value: Cell::Null, key: key(day), after: Some(unit) }
}
