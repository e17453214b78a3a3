//! The funnels of one person or group, and groups themselves.
//!
//! A group's facts are all events that carry its id, whoever caused them; it has funnels and
//! nothing else.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::person::{net, slot};
use super::{PeopleOutput, SortedChunks};
use crate::model::{Cause, Cell, Event, Row, Value};
use crate::store::Fact;
use crate::views::catalog::Catalog;
use crate::views::funnel::{Best, Dirty, FunnelState, Scope, Traits, best_row, concerns};
use crate::views::spec::{FunnelSpec, ViewSpec};

/// Facts that come (+1) and go (-1), in order.
pub(super) type Deltas = [(Arc<Event>, i8, Cause)];

/// The state of each funnel, by index of the view's specification.
#[derive(Debug, Default)]
pub(super) struct Funnels {
    states: SmallVec<[(u16, FunnelState); 1]>,
    pub traits: Traits,
}

/// What funnels are updated with.
pub(super) struct Changed<'a> {
    pub tenant: &'a Arc<str>,
    pub facts: &'a SortedChunks<Arc<Event>>,
    pub deltas: &'a Deltas,
    pub cause: Cause,
    /// The property that names the group whose funnels these are; `None` for a person.
    pub group: Option<usize>,
}

impl Funnels {
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
        let Catalog { specs, calendar, tables, traits, .. } = catalog;
        let moved = |property: usize| {
            let place = traits.iter().position(|p| *p == property);
            place.is_some_and(|p| before[p].as_ref() != self.traits.now(property))
        };
        for (view, spec) in specs.iter().enumerate() {
            let ViewSpec::Funnel(spec) = spec else { continue };
            if spec.group != changed.group {
                continue;
            }
            let dirty = dirty(spec, changed.deltas, &self.traits, traits.is_empty(), &moved);
            if dirty.is_empty() {
                continue;
            }
            let mut scope = Scope {
                spec,
                view: view as u16,
                tenant: changed.tenant,
                calendar,
                facts: changed.facts,
                traits: &self.traits,
                cause: changed.cause,
                out: &mut out.contributions,
            };
            let (gone, come) = slot(&mut self.states, view as u16).update(&mut scope, &dirty);
            let Some(who) = who else { continue };
            let rows = |list: Vec<Best>| -> Vec<Row> {
                let table = tables[view] + 1;
                list.iter().map(|best| best_row(table, changed.tenant, who, best)).collect()
            };
            out.replace(rows(gone), rows(come), changed.cause);
        }
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

/// What a funnel has to look at again.
fn dirty(
    spec: &FunnelSpec,
    deltas: &Deltas,
    traits: &Traits,
    without_traits: bool,
    moved: &impl Fn(usize) -> bool,
) -> Vec<Dirty> {
    let mut dirty: Vec<Dirty> = Vec::new();
    for (event, ..) in deltas.iter().filter(|d| concerns(spec, &d.0)) {
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
        for (event, ..) in deltas.iter().filter(|d| d.0.properties[property].is_some()) {
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
    /// What a fact is to the groups that funnels count.
    pub fn of<'a>(catalog: &'a Catalog, fact: &'a Fact) -> impl Iterator<Item = Self> + 'a {
        catalog.groups.iter().filter_map(|&property| {
            let id: Arc<str> = match fact.event.properties.get(property)?.as_ref()? {
                Value::Str(text) => Arc::clone(text),
                other => other.to_string().into(),
            };
            Some(Self { property, id, fact: fact.clone() })
        })
    }
}

/// A group's facts and funnels.
#[derive(Debug, Default)]
pub(super) struct GroupState {
    pub touched: bool,
    pub pending: Vec<(Arc<Event>, i8, Cause)>,
    facts: SortedChunks<Arc<Event>>,
    funnels: Funnels,
}

impl GroupState {
    /// Brings the group up to date; `true` if nothing is left of it.
    pub(super) fn advance(
        &mut self,
        catalog: &mut Catalog,
        (tenant, property, id): (&Arc<str>, usize, &Arc<str>),
        out: &mut PeopleOutput,
    ) -> bool {
        self.touched = false;
        let deltas = net(std::mem::take(&mut self.pending));
        for (event, diff, _) in &deltas {
            if *diff > 0 {
                self.facts.insert(Arc::clone(event));
            } else {
                self.facts.remove(event.key);
            }
        }
        let cause = deltas.iter().map(|d| d.2).max().unwrap_or_default();
        let (facts, group) = (&self.facts, Some(property));
        let changed = Changed { tenant, facts, deltas: &deltas, cause, group };
        self.funnels.update(catalog, &changed, Some(&Cell::Str(Arc::clone(id))), out);
        self.facts.is_empty()
    }
}
