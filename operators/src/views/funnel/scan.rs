//! Events made ready for following chains: which steps each takes, and where each step is taken.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use foldhash::fast::FixedState;
use smallvec::SmallVec;

use super::outcome::{instant, value};
use super::spec::{Attribution, FunnelSpec, Order};
use super::traits::Traits;
use crate::model::{Cell, Event, EventKey, Value};

/// What events are seen against.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'a> {
    pub spec: &'a FunnelSpec,
    pub traits: &'a Traits,
    /// By step: the first event of the person, where the step asks for it.
    pub firsts: &'a [Option<EventKey>],
}

impl View<'_> {
    /// The steps that an event takes, as bits.
    pub(super) fn steps(&self, event: &Event) -> u32 {
        let mut bits = 0;
        for (place, step) in self.spec.steps.iter().enumerate() {
            let first = step.first.is_none()
                || self.firsts.get(place).copied().flatten() == Some(event.key);
            if first && step.filter.holds(event, self.traits) {
                bits |= 1 << place;
            }
        }
        bits
    }

    fn exclusions(&self, event: &Event) -> u32 {
        let mut bits = 0;
        for (place, exclusion) in self.spec.exclusions.iter().enumerate() {
            if exclusion.filter.holds(event, self.traits) {
                bits |= 1 << place;
            }
        }
        bits
    }
}

/// An event of a scan.
#[derive(Debug)]
pub(super) struct Item<'a> {
    pub event: &'a Arc<Event>,
    pub steps: u32,
    pub exclusions: u32,
    /// Which values of the properties held constant; [`NO_LANE`] if one is not set.
    pub lane: u32,
    /// Number of its instant.
    pub instant: usize,
    /// Value of the breakdown.
    pub value: Cell,
}

/// The lane of events that lack a property held constant.
pub(super) const NO_LANE: u32 = u32::MAX;

/// Events in the total order, with indices. Strict funnels have all events in it, others those that
/// take a step or are excluded.
#[derive(Debug)]
pub(super) struct Scan<'a> {
    pub spec: &'a FunnelSpec,
    pub items: Vec<Item<'a>>,
    /// For each item the first one of its instant.
    pub starts: Vec<usize>,
    /// Where each step is taken, by lane.
    pub places: HashMap<(usize, u32), Vec<usize>, FixedState>,
    /// Where each exclusion stands.
    pub excluding: Vec<Vec<usize>>,
    /// Whether no event takes two steps.
    pub single: bool,
}

/// The scans of some events in the total order: with `all_events` one for each value of the
/// breakdown, otherwise one under null.
pub(super) fn scans<'a>(
    view: View<'a>,
    events: impl Iterator<Item = &'a Arc<Event>>,
) -> BTreeMap<Cell, Scan<'a>> {
    let spec = view.spec;
    let apart = spec.attribution == Attribution::AllEvents;
    let mut lanes: HashMap<SmallVec<[&Value; 2]>, u32, FixedState> = HashMap::default();
    let mut parts: BTreeMap<Cell, Vec<Item<'a>>> = BTreeMap::new();
    for event in events {
        let (steps, exclusions) = (view.steps(event), view.exclusions(event));
        if steps == 0 && exclusions == 0 && spec.order != Order::Strict {
            continue;
        }
        let mut lane = 0;
        if !spec.hold.is_empty() {
            let held = spec.hold.iter().map(|p| event.properties[*p].as_ref());
            lane = held.collect::<Option<SmallVec<[&Value; 2]>>>().map_or(NO_LANE, |held| {
                let next = lanes.len() as u32;
                *lanes.entry(held).or_insert(next)
            });
        }
        let value = value(spec, view.traits, event);
        let part = if apart { value.clone() } else { Cell::Null };
        let item = Item { event, steps, exclusions, lane, instant: 0, value };
        match parts.get_mut(&part) {
            Some(items) => items.push(item),
            None => drop(parts.insert(part, vec![item])),
        }
    }
    parts.into_iter().map(|(part, items)| (part, Scan::new(spec, items))).collect()
}

impl<'a> Scan<'a> {
    fn new(spec: &'a FunnelSpec, mut items: Vec<Item<'a>>) -> Self {
        let mut starts = Vec::with_capacity(items.len());
        let mut places: HashMap<(usize, u32), Vec<usize>, FixedState> = HashMap::default();
        let mut excluding = vec![Vec::new(); spec.exclusions.len()];
        let mut single = true;
        for index in 0..items.len() {
            let same = index > 0 && instant(items[index - 1].event) == instant(items[index].event);
            let (start, number) = match (index, same) {
                (0, _) => (0, 0),
                (_, true) => (starts[index - 1], items[index - 1].instant),
                (_, false) => (index, items[index - 1].instant + 1),
            };
            starts.push(start);
            items[index].instant = number;
            let item = &items[index];
            single &= item.steps.count_ones() <= 1;
            if item.lane != NO_LANE {
                for step in bits(item.steps) {
                    places.entry((step, item.lane)).or_default().push(index);
                }
            }
            for exclusion in bits(item.exclusions) {
                excluding[exclusion].push(index);
            }
        }
        Self { spec, items, starts, places, excluding, single }
    }

    /// Indices of the entries, in order.
    pub(super) fn entries(&self) -> impl Iterator<Item = usize> {
        let wanted = if self.spec.order == Order::Unordered { u32::MAX } else { 1 };
        let enters = move |item: &Item| item.steps & wanted != 0 && item.lane != NO_LANE;
        self.items.iter().enumerate().filter(move |(_, item)| enters(item)).map(|(i, _)| i)
    }

    /// Whether an item is in the window of an entry.
    pub(super) fn within(&self, entry: usize, item: usize) -> bool {
        let (entry, item) = (self.items[entry].event, self.items[item].event);
        item.key.time.saturating_sub(entry.key.time) <= self.spec.window
    }
}

/// The places of the ones in a word.
pub(super) fn bits(mut word: u32) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let place = (word != 0).then(|| word.trailing_zeros())?;
        word &= word - 1;
        Some(place as usize)
    })
}
