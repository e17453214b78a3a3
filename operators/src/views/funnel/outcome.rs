//! What comes of an entry, and which of several counts.

use std::fmt::Write as _;
use std::sync::Arc;

use smallvec::SmallVec;

use super::spec::{BreakdownBy, FunnelSpec, Order, STEPS_MAX};
use super::traits::Traits;
use crate::model::{Cell, Event, EventKey, Micros, Value};
use crate::views::contribution::Measure;

/// The events that took the steps, by step and the entry first; `None` where an optional step was
/// passed over. The last is there. Its length is the furthest step.
pub type Chain = SmallVec<[Option<Arc<Event>>; 3]>;

/// What comes of an entry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// The steps taken.
    pub chain: Chain,
    /// Whether an exclusion came between; then the entry does not count.
    pub excluded: bool,
}

/// The lesser rank counts: further, then not excluded, then sooner there, then the later entry. In
/// any order: not excluded, then further, then sooner there, then the earlier entry.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Rank {
    /// What counts first, as one number.
    pub(super) class: u32,
    pub(super) reached: EventKey,
    /// The entry, or all its bits turned over: then the later is the lesser.
    entry: EventKey,
}

impl Rank {
    /// Below every other.
    pub const LEAST: Self = Self { class: 0, reached: EventKey::MIN, entry: EventKey::MIN };

    /// The rank of an outcome of this length.
    pub(super) fn new(
        order: Order,
        length: usize,
        excluded: bool,
        entry: EventKey,
        reached: EventKey,
    ) -> Self {
        let dropped = excluded && order == Order::Unordered;
        let short = (STEPS_MAX - length) as u32;
        let class = u32::from(dropped) << 16 | short << 1 | u32::from(excluded);
        let entry = match order {
            Order::Ordered | Order::Strict => {
                EventKey { time: !entry.time, seq: !entry.seq, id: !entry.id }
            }
            Order::Unordered => entry,
        };
        Self { class, reached, entry }
    }

    /// The length of an outcome of this class.
    pub(super) fn length(class: u32) -> usize {
        STEPS_MAX - (class as u16 >> 1) as usize
    }
}

impl Outcome {
    /// Key of the entry.
    pub fn entry(&self) -> EventKey {
        self.chain.iter().flatten().next().map_or(EventKey::MIN, |e| e.key)
    }

    /// Key of the event that took the furthest step.
    pub fn reached(&self) -> EventKey {
        self.chain.iter().flatten().next_back().map_or(EventKey::MIN, |e| e.key)
    }

    /// By this the best outcome is chosen.
    pub fn rank(&self, order: Order) -> Rank {
        Rank::new(order, self.chain.len(), self.excluded, self.entry(), self.reached())
    }

    /// What it adds to its group.
    pub fn measure(&self) -> Measure {
        let start = self.entry().time;
        let offset = |event: &Option<Arc<Event>>| match event {
            Some(event) => event.key.time.saturating_sub(start),
            None => Measure::SKIPPED,
        };
        Measure::Attempt(self.chain.iter().map(offset).collect())
    }

    /// Times of the steps, and message ids, for the row of a person.
    pub fn witnesses(&self) -> (Cell, Cell) {
        let time = |event: &Option<Arc<Event>>| event.as_ref().map_or(Cell::Null, time_cell);
        let id = |event: &Option<Arc<Event>>| {
            event.as_ref().map_or(Cell::Null, |e| e.message_id.as_cell().into())
        };
        let list = |cells: Vec<Cell>| Cell::List(cells.into());
        (list(self.chain.iter().map(time).collect()), list(self.chain.iter().map(id).collect()))
    }
}

fn time_cell(event: &Arc<Event>) -> Cell {
    Cell::Time(event.key.time)
}

/// An event that has a value of the breakdown.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Touch {
    /// The event.
    pub key: EventKey,
    /// Its value.
    pub value: Cell,
}

/// The instant of an event: events that agree in both have no order among themselves.
pub(super) fn instant(event: &Event) -> (Micros, u64) {
    (event.key.time, event.key.seq)
}

fn text(value: Option<&Value>) -> Option<Arc<str>> {
    value.map(|value| match value {
        Value::Str(text) => Arc::clone(text),
        other => other.to_string().into(),
    })
}

/// The breakdown's value at an event: text, or a JSON list of texts if there are several. Null
/// without a breakdown, and where nothing is set.
pub(super) fn value(spec: &FunnelSpec, traits: &Traits, event: &Event) -> Cell {
    let one = |by: &BreakdownBy| match by {
        BreakdownBy::Cohort(cohort) => traits.is_in(cohort).then(|| Arc::clone(&cohort.label)),
        BreakdownBy::Channel => Some(Arc::clone(&event.kind.channel)),
        BreakdownBy::Property(property) => text(event.properties.value(*property)),
        BreakdownBy::Trait { property, at_event } => {
            text(traits.get(*property, *at_event, event.key))
        }
    };
    match spec.breakdown.as_slice() {
        [] => Cell::Null,
        [by] => one(by).map_or(Cell::Null, Cell::Str),
        several => {
            let values: SmallVec<[Option<Arc<str>>; 4]> = several.iter().map(one).collect();
            if values.iter().all(Option::is_none) { Cell::Null } else { json_list(&values) }
        }
    }
}

fn json_list(values: &[Option<Arc<str>>]) -> Cell {
    let mut out = String::from("[");
    for (place, value) in values.iter().enumerate() {
        if place > 0 {
            out.push(',');
        }
        let Some(value) = value else {
            out.push_str("null");
            continue;
        };
        out.push('"');
        for c in value.chars() {
            match c {
                '"' | '\\' => out.extend(['\\', c]),
                // Writing to a string can't fail.
                c if c < ' ' => drop(write!(out, "\\u{:04x}", c as u32)),
                c => out.push(c),
            }
        }
        out.push('"');
    }
    out.push(']');
    Cell::Str(out.into())
}
