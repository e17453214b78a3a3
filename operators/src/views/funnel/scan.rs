//! Events made ready for following chains: which steps each takes, and where each step is taken.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use foldhash::fast::FixedState;
use smallvec::SmallVec;

use super::outcome::{instant, value};
use super::spec::{Attribution, FunnelSpec, Order};
use super::traits::Traits;
use crate::model::{Cell, Event, EventKey, Matches, Value};

/// What events are seen against.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'a> {
    pub spec: &'a FunnelSpec,
    /// The predicates of the steps and exclusions.
    pub mask: &'a Matches,
    pub traits: &'a Traits,
    /// By step: the first event of the person, where the step asks for it.
    pub firsts: &'a [Option<EventKey>],
}

impl View<'_> {
    /// The steps that an event takes, as bits.
    fn steps(&self, event: &Event) -> u32 {
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

    /// The steps that an event takes and the exclusions that it satisfies, as bits.
    pub(super) fn taken(&self, event: &Event) -> (u32, u32) {
        if !event.matches.meets(self.mask) {
            return (0, 0);
        }
        (self.steps(event), self.exclusions(event))
    }

    /// The exclusions that an event satisfies, as bits.
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
    pub instant: u32,
    /// The first item of its instant.
    pub start: u32,
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
    /// Where each step is taken and each exclusion stands.
    places: Places,
    /// Whether no event takes two steps.
    pub single: bool,
}

/// Lists of places (lane, index), one after the other; each in order.
#[derive(Debug)]
struct Places {
    list: Vec<(u32, u32)>,
    /// Where each list ends.
    ends: SmallVec<[u32; 8]>,
}

impl Places {
    fn of(&self, list: usize) -> &[(u32, u32)] {
        let from = list.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.list[from as usize..self.ends[list] as usize]
    }

    /// The places of steps, by lane, then those of exclusions.
    fn new(spec: &FunnelSpec, items: &[Item<'_>]) -> Self {
        let steps = spec.steps.len();
        let lists = |item: &Item<'_>| {
            let taken = if item.lane == NO_LANE { 0 } else { item.steps };
            bits(taken).chain(bits(item.exclusions).map(move |exclusion| steps + exclusion))
        };
        // First how many there are in each list, then where each list begins.
        let mut ends: SmallVec<[u32; 8]> = SmallVec::from_elem(0, steps + spec.exclusions.len());
        for item in items {
            lists(item).for_each(|list| ends[list] += 1);
        }
        let mut total = 0;
        for end in &mut ends {
            total += std::mem::replace(end, total);
        }
        let mut list = vec![(0, 0); total as usize];
        for (index, item) in items.iter().enumerate() {
            for place in lists(item) {
                let lane = if place < steps { item.lane } else { 0 };
                list[ends[place] as usize] = (lane, index as u32);
                ends[place] += 1;
            }
        }
        let mut places = Self { list, ends };
        if !spec.hold.is_empty() {
            let mut from = 0;
            for end in &places.ends[..steps] {
                places.list[from..*end as usize].sort_unstable();
                from = *end as usize;
            }
        }
        places
    }
}

/// The scans of some events in the total order, by value: with `all_events` one for each value of
/// the breakdown, otherwise one under null.
pub(super) fn scans<'a>(
    view: View<'a>,
    events: impl Iterator<Item = &'a Arc<Event>>,
) -> Vec<(Cell, Scan<'a>)> {
    let spec = view.spec;
    let (apart, all) = (spec.attribution == Attribution::AllEvents, spec.order == Order::Strict);
    let mut lanes: HashMap<SmallVec<[Cow<'_, str>; 2]>, u32, FixedState> = HashMap::default();
    let mut parts: BTreeMap<Cell, Vec<Item<'a>>> = BTreeMap::new();
    let mut whole: Vec<Item<'a>> = Vec::new();
    for event in events {
        let (steps, exclusions) = view.taken(event);
        if steps == 0 && exclusions == 0 && !all {
            continue;
        }
        let mut lane = 0;
        if !spec.hold.is_empty() {
            let held = spec.hold.iter().map(|p| event.properties.value(*p).map(Value::written));
            lane = held.collect::<Option<SmallVec<_>>>().map_or(NO_LANE, |held| {
                let next = lanes.len() as u32;
                *lanes.entry(held).or_insert(next)
            });
        }
        let value = value(spec, view.traits, event);
        let part = apart.then(|| value.clone());
        let item = Item { event, steps, exclusions, lane, instant: 0, start: 0, value };
        match part {
            None => whole.push(item),
            Some(part) => parts.entry(part).or_default().push(item),
        }
    }
    if !whole.is_empty() {
        return vec![(Cell::Null, Scan::new(spec, whole))];
    }
    parts.into_iter().map(|(part, items)| (part, Scan::new(spec, items))).collect()
}

impl<'a> Scan<'a> {
    pub(super) fn new(spec: &'a FunnelSpec, mut items: Vec<Item<'a>>) -> Self {
        let mut single = true;
        let (mut at, mut number, mut start) = (None, 0, 0);
        for (index, item) in items.iter_mut().enumerate() {
            let here = instant(item.event);
            if at.replace(here).is_some_and(|before| before != here) {
                (number, start) = (number + 1, index as u32);
            }
            (item.instant, item.start) = (number, start);
            single &= item.steps.count_ones() <= 1;
        }
        let places = Places::new(spec, &items);
        Self { spec, items, places, single }
    }

    /// Where a step is taken in a lane, as (lane, index).
    pub(super) fn takers(&self, step: usize, lane: u32) -> &[(u32, u32)] {
        let list = self.places.of(step);
        if self.spec.hold.is_empty() {
            return list;
        }
        let from = list.partition_point(|place| place.0 < lane);
        let to = from + list[from..].partition_point(|place| place.0 == lane);
        &list[from..to]
    }

    /// Where an exclusion stands.
    pub(super) fn excluding(&self, exclusion: usize) -> &[(u32, u32)] {
        self.places.of(self.spec.steps.len() + exclusion)
    }

    /// Indices of the entries, in order.
    pub(super) fn entries(&self) -> impl Iterator<Item = usize> {
        let wanted = if self.spec.order == Order::Unordered { u32::MAX } else { 1 };
        let enters = move |item: &Item<'_>| item.steps & wanted != 0 && item.lane != NO_LANE;
        self.items.iter().enumerate().filter(move |(_, item)| enters(item)).map(|(i, _)| i)
    }

    /// Key of an item.
    pub(super) fn key(&self, item: u32) -> EventKey {
        self.items[item as usize].event.key
    }

    /// Whether an item is in the window of an entry.
    pub(super) fn within(&self, entry: u32, item: u32) -> bool {
        self.key(item).time.saturating_sub(self.key(entry).time) <= self.spec.window
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
