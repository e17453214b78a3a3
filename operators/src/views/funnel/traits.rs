//! What funnels ask about a person: traits over time, which identify events set, and how far the
//! person got in other views.

use std::collections::BTreeMap;

use thin_vec::ThinVec;

use super::spec::{Cohort, Filter};
use crate::bytes;
use crate::model::{Event, EventKey, Value};

/// The values of some traits, each with the event that set it. A value holds from its event on.
#[derive(Clone, Debug, Default)]
pub struct Traits {
    /// By property.
    list: ThinVec<(usize, BTreeMap<EventKey, Value>)>,
    /// By view, how many of its steps are behind the person; a view that is not here: none.
    reached: ThinVec<(u16, usize)>,
}

impl Traits {
    /// Memory that they refer to, in bytes, about.
    pub fn bytes(&self) -> usize {
        let of = |values: &BTreeMap<EventKey, Value>| {
            bytes::tree(values.len(), size_of::<(EventKey, Value)>())
        };
        self.list.iter().map(|(_, values)| of(values)).sum()
    }

    /// How many steps of a view the person has behind it: 1 for a trend that counts it, 0 where it
    /// does not occur.
    pub fn reached(&self, view: u16) -> usize {
        self.reached.iter().find(|(v, _)| *v == view).map_or(0, |(_, steps)| *steps)
    }

    /// The person has this many steps of a view behind it.
    pub fn set_reached(&mut self, view: u16, steps: usize) {
        self.reached.retain(|(v, _)| *v != view);
        if steps > 0 {
            self.reached.push((view, steps));
        }
    }

    /// Whether the person is in a cohort, as of now.
    pub fn is_in(&self, cohort: &Cohort) -> bool {
        self.reached(cohort.view) > cohort.step
    }

    fn of(&self, property: usize) -> Option<&BTreeMap<EventKey, Value>> {
        self.list.iter().find(|(p, _)| *p == property).map(|(_, values)| values)
    }

    /// An event that sets a trait comes (`diff` > 0) or goes; other events change nothing.
    pub fn update(&mut self, property: usize, event: &Event, diff: i8) {
        let Some(value) = event.properties.value(property) else { return };
        let place = self.list.iter().position(|(p, _)| *p == property).unwrap_or_else(|| {
            self.list.push((property, BTreeMap::new()));
            self.list.len() - 1
        });
        let values = &mut self.list[place].1;
        if diff > 0 {
            values.insert(event.key, value.clone());
        } else {
            values.remove(&event.key);
        }
    }

    /// The value as of a place in the order, the event there included.
    pub fn at(&self, property: usize, key: EventKey) -> Option<&Value> {
        self.of(property)?.range(..=key).next_back().map(|(_, value)| value)
    }

    /// The last value of all.
    pub fn now(&self, property: usize) -> Option<&Value> {
        self.of(property)?.last_key_value().map(|(_, value)| value)
    }

    /// The value as of an event, or as of now.
    pub fn get(&self, property: usize, at_event: bool, key: EventKey) -> Option<&Value> {
        if at_event { self.at(property, key) } else { self.now(property) }
    }

    /// Where the next value after `key` is set.
    pub fn next(&self, property: usize, key: EventKey) -> Option<EventKey> {
        let after = (std::ops::Bound::Excluded(key), std::ops::Bound::Unbounded);
        self.of(property)?.range(after).next().map(|(key, _)| *key)
    }
}

impl Filter {
    /// Whether an event of a person with these traits satisfies the filter.
    pub fn holds(&self, event: &Event, traits: &Traits) -> bool {
        event.matches.has(self.predicate)
            && self
                .traits
                .iter()
                .all(|t| t.filter.holds(traits.get(t.filter.property(), t.at_event, event.key)))
    }
}
