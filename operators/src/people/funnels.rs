//! The funnels of one person or group, and groups themselves.
//!
//! A group's facts are all events that carry its id, whoever caused them; it has funnels and
//! nothing else.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use thin_vec::ThinVec;

use super::person::{Delta, net, slot};
use super::{Facts, PeopleOutput, Placed};
use crate::bytes;
use crate::model::{Cause, Cell, DAY, EventKey, Matches, Row, Value};
use crate::store::Fact;
use crate::views::catalog::Catalog;
use crate::views::funnel::spec::Cohort;
use crate::views::funnel::{
    Best, Dirty, FunnelState, Glance, Scope, Traits, best_row, concerns, is_plain,
};
use crate::views::spec::{FunnelSpec, ViewSpec};
use crate::views::trend::Presence;

/// Facts that come (+1) and go (-1), in order.
pub(super) type Deltas = [Delta];

/// The state of each funnel, by index of the view's specification.
#[derive(Debug, Default)]
pub(super) struct Funnels {
    states: ThinVec<(u16, FunnelState)>,
    traits: Traits,
}

/// What funnels are updated with.
pub(super) struct Changed<'a> {
    pub tenant: &'a Arc<str>,
    pub facts: &'a Facts,
    pub deltas: &'a Deltas,
    pub cause: Cause,
    /// The property that names the group whose funnels these are; `None` for a person.
    pub group: Option<usize>,
    /// Which trends count the person.
    pub presence: Option<&'a Presence>,
}

impl Funnels {
    /// Memory that they take, in bytes, about.
    pub(super) fn bytes(&self) -> usize {
        let states: usize = self.states.iter().map(|(_, state)| state.bytes()).sum();
        bytes::thin(&self.states) + states + self.traits.bytes()
    }

    /// Reads a first word of what an update will look at, behind as many pointers.
    pub(super) fn touch(&self, depth: usize) -> u64 {
        match depth {
            0 | 1 => self.states.len() as u64,
            _ => self.states.iter().fold(0, |all, (_, state)| all ^ state.touch(depth)),
        }
    }

    /// Brings the funnels up to date after the facts have changed. Rows are given only for `who`.
    pub(super) fn update(
        &mut self,
        catalog: &mut Catalog,
        changed: &Changed<'_>,
        who: Option<&Cell>,
        out: &mut PeopleOutput,
    ) {
        let before: SmallVec<[Option<Value>; 2]> =
            catalog.traits.iter().map(|p| self.traits.now(*p).cloned()).collect();
        for property in &catalog.traits {
            for (event, diff, _) in changed.deltas {
                self.traits.update(*property, event, *diff);
            }
        }
        let mut shifts = self.in_trends(catalog, changed);
        let Catalog { specs, masks, calendar, tables, traits, cohorts, dense_from, .. } = catalog;
        let moved = |property: usize| {
            let place = traits.iter().position(|p| *p == property);
            place.is_some_and(|p| before[p].as_ref() != self.traits.now(property))
        };
        let mut tasks: SmallVec<[Task<'_>; 2]> = SmallVec::new();
        for (view, spec) in specs.iter().enumerate() {
            let ViewSpec::Funnel(spec) = spec else { continue };
            if spec.group != changed.group {
                continue;
            }
            let mask = &masks[view];
            let dirty =
                dirty((spec, mask), changed.deltas, &self.traits, traits.is_empty(), &moved);
            if !dirty.is_empty() || !cohorts.is_empty() && spec.cohorts().next().is_some() {
                tasks.push(Task { view: view as u16, spec, mask, dirty });
            }
        }
        let glance = glance(changed.facts, changed.deltas, &tasks);
        for Task { view, spec, mask, mut dirty } in tasks {
            // Views that cohorts are of stand before those that ask for them.
            if shifts.iter().any(|shift| spec.cohorts().any(|cohort| shift.concerns(cohort))) {
                // What went is not among the facts any more: its keys stay.
                dirty.push(Dirty::ALL);
            }
            if dirty.is_empty() {
                continue;
            }
            let mut scope = Scope {
                spec,
                view,
                tenant: changed.tenant,
                calendar,
                mask,
                facts: changed.facts,
                deltas: changed.deltas,
                dense_from: *dense_from,
                glance: glance.as_ref(),
                traits: &self.traits,
                cause: changed.cause,
                out: &mut out.contributions,
            };
            let state = slot(&mut self.states, view);
            let (gone, come) = state.update(&mut scope, dirty);
            if (!gone.is_empty() || !come.is_empty()) && cohorts.contains(&view) {
                let steps = furthest(&state.bests(spec));
                shifts.extend(Shift::new(&mut self.traits, view, steps));
            }
            if let Some(who) = who.filter(|_| !gone.is_empty() || !come.is_empty()) {
                tell(tables[usize::from(view)] + 1, changed, who, (gone, come), out);
            }
        }
    }

    /// Notes which trends that a cohort is of count the person now.
    fn in_trends(&mut self, catalog: &Catalog, changed: &Changed<'_>) -> SmallVec<[Shift; 1]> {
        let mut shifts = SmallVec::new();
        let Some(presence) = changed.presence.filter(|_| !catalog.cohorts.is_empty()) else {
            return shifts;
        };
        for &view in &catalog.cohorts {
            if matches!(catalog.specs[usize::from(view)], ViewSpec::Trend(_)) {
                let counts = presence.is_in(view);
                shifts.extend(Shift::new(&mut self.traits, view, usize::from(counts)));
            }
        }
        shifts
    }

    /// The state of a view's funnel as of the last update; none if nothing concerns it.
    pub(super) fn state(&self, view: u16) -> Option<&FunnelState> {
        self.states.iter().find(|(of, _)| *of == view).map(|(_, state)| state)
    }

    /// All rows as of the last update.
    pub(super) fn rows(&self, catalog: &Catalog, tenant: &Arc<str>, who: &Cell) -> Vec<Row> {
        let mut rows = Vec::new();
        for (view, state) in &self.states {
            let ViewSpec::Funnel(spec) = &catalog.specs[usize::from(*view)] else { continue };
            let table = catalog.tables[usize::from(*view)] + 1;
            let bests = state.bests(spec);
            rows.extend(bests.iter().map(|best| best_row(table, tenant, who, best)));
        }
        rows
    }
}

/// Tells the rows of best outcomes that went and came.
fn tell(
    table: u16,
    changed: &Changed<'_>,
    who: &Cell,
    (gone, come): (Vec<Best>, Vec<Best>),
    out: &mut PeopleOutput,
) {
    let rows = |list: Vec<Best>| -> Vec<Row> {
        list.iter().map(|best| best_row(table, changed.tenant, who, best)).collect()
    };
    out.replace(rows(gone), rows(come), changed.cause);
}

/// How many steps the best of some outcomes has behind it.
pub(super) fn furthest(bests: &[Best]) -> usize {
    bests.iter().map(|best| best.outcome.chain.len()).max().unwrap_or(0)
}

/// A person got further in a view that a cohort is of, or less far.
struct Shift {
    view: u16,
    before: usize,
    after: usize,
}

impl Shift {
    /// Notes how far the person got; `None` if that is no change.
    fn new(traits: &mut Traits, view: u16, after: usize) -> Option<Self> {
        let before = traits.reached(view);
        traits.set_reached(view, after);
        (before != after).then_some(Self { view, before, after })
    }

    /// Whether a person has come into a cohort or left it.
    fn concerns(&self, cohort: &Cohort) -> bool {
        let inside = |steps: usize| steps > cohort.step;
        self.view == cohort.view && inside(self.before) != inside(self.after)
    }
}

/// A funnel that may have to look at something again.
struct Task<'a> {
    view: u16,
    spec: &'a FunnelSpec,
    mask: &'a Matches,
    dirty: DirtyList,
}

type DirtyList = SmallVec<[Dirty; 1]>;

/// Funnels from which on what they look at is read once for all.
const GLANCE_FUNNELS_MIN: usize = 3;
/// Facts of a person up to which a glance may span all of them.
const GLANCE_FACTS_MAX: usize = 4096;

/// What several funnels will look at.
fn glance<'a>(facts: &'a Facts, deltas: &Deltas, tasks: &[Task<'_>]) -> Option<Glance<'a>> {
    if tasks.len() < GLANCE_FUNNELS_MIN {
        return None;
    }
    // What comes after all others hardly makes plain funnels look at anything.
    let first = deltas.first().map(|(event, ..)| EventKey { id: 0, ..event.key });
    let at_end = first.is_some_and(|first| facts.ends_with(first, deltas.len()))
        && deltas.iter().all(|(_, diff, _)| *diff > 0);
    let looking = tasks.iter().filter(|task| !at_end || !is_plain(task.spec));
    if looking.count() < GLANCE_FUNNELS_MIN {
        return None;
    }
    let dirty = || tasks.iter().flat_map(|task| &task.dirty);
    let low = dirty().map(|d| d.low.time).min()?;
    let high = dirty().map(|d| d.high.time).max()?;
    let window = tasks.iter().map(|task| task.spec.window).max()?;
    if facts.len() > GLANCE_FACTS_MAX && high.saturating_sub(low) > window {
        return None;
    }
    // The days that a change lies in, and a window around them. Hardly a day has more than 25
    // hours; what a glance lacks is read from the facts.
    let reach = window.saturating_add(2 * DAY);
    Some(Glance::new(facts, low.saturating_sub(reach), high.saturating_add(reach)))
}

/// What a funnel has to look at again.
fn dirty(
    (spec, mask): (&FunnelSpec, &Matches),
    deltas: &Deltas,
    traits: &Traits,
    without_traits: bool,
    moved: &impl Fn(usize) -> bool,
) -> DirtyList {
    let mut dirty = DirtyList::new();
    for (event, ..) in deltas.iter().filter(|d| concerns(spec, mask, &d.0)) {
        dirty.push(Dirty::at(event.key));
    }
    dirty.dedup();
    if without_traits {
        return dirty;
    }
    for (property, at_event) in spec.traits() {
        if !at_event {
            dirty.extend(moved(property).then_some(Dirty::ALL));
            continue;
        }
        for (event, ..) in deltas.iter().filter(|d| d.0.properties.value(property).is_some()) {
            let high = traits.next(property, event.key).unwrap_or(Dirty::ALL.high);
            dirty.push(Dirty { low: event.key, high });
        }
    }
    dirty
}

/// A fact of a group.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct GroupFact {
    /// The property that names the group.
    pub property: usize,
    /// Its value.
    pub id: Arc<str>,
    /// The event that comes or goes; whose it is does not matter.
    pub fact: Fact,
}

impl GroupFact {
    /// What a fact is to the groups that funnels count. An empty text names none.
    pub fn of<'a>(catalog: &'a Catalog, fact: &'a Fact) -> impl Iterator<Item = Self> + 'a {
        catalog.groups.iter().filter_map(|&property| {
            let id: Arc<str> = match fact.event.properties.value(property)? {
                Value::Str(text) => Arc::clone(text),
                other => other.to_string().into(),
            };
            (!id.is_empty()).then(|| Self { property, id, fact: fact.clone() })
        })
    }
}

/// A group's facts and funnels.
#[derive(Debug, Default)]
pub(super) struct GroupState {
    pub touched: bool,
    /// [`GroupState::bytes`] as it was last counted.
    pub held: usize,
    pub pending: Vec<Delta>,
    facts: Facts,
    funnels: Funnels,
}

impl GroupState {
    /// Memory that it refers to, in bytes, about; events are left out.
    pub(super) fn bytes(&self) -> usize {
        self.facts.bytes() + self.funnels.bytes()
    }

    /// Brings the group up to date; `true` if nothing is left of it.
    pub(super) fn advance(
        &mut self,
        catalog: &mut Catalog,
        (tenant, property, id): (&Arc<str>, usize, &Arc<str>),
        out: &mut PeopleOutput,
    ) -> bool {
        self.touched = false;
        let mut deltas = std::mem::take(&mut self.pending);
        net(&mut deltas);
        for (event, diff, _) in &deltas {
            if *diff > 0 {
                self.facts.insert(Placed::new(event));
            } else {
                self.facts.remove(event.key);
            }
        }
        let cause = deltas.iter().map(|d| d.2).max().unwrap_or_default();
        let (facts, group) = (&self.facts, Some(property));
        let deltas = &*deltas;
        let changed = Changed { tenant, facts, deltas, cause, group, presence: None };
        self.funnels.update(catalog, &changed, Some(&Cell::Str(Arc::clone(id))), out);
        self.facts.is_empty()
    }
}
