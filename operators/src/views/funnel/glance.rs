//! A stretch of a person's facts, read once for several funnels.
//!
//! Each funnel then looks only at the events that some step or exclusion of it asks for.

use std::sync::Arc;

use crate::model::{Event, EventKey, Matches, Micros};
use crate::people::{Facts, Placed};

#[derive(Debug)]
struct Seen<'a> {
    time: Micros,
    /// All words of the event's matches in one.
    word: u64,
    event: &'a Arc<Event>,
}

/// The events of a person from one moment to another, both included.
#[derive(Debug)]
pub struct Glance<'a> {
    low: Micros,
    high: Micros,
    list: Vec<Seen<'a>>,
}

impl<'a> Glance<'a> {
    /// Reads the events from one moment to another.
    pub fn new(facts: &'a Facts, low: Micros, high: Micros) -> Self {
        let first = EventKey { time: low, ..EventKey::MIN };
        let stretch = facts.from(first).take_while(|fact| fact.time <= high);
        let seen = |Placed { time, event }: &'a Placed| {
            let word = event.matches.folded();
            Seen { time: *time, word, event }
        };
        Self { low, high, list: stretch.map(seen).collect() }
    }

    /// The events from one moment to another, if it has them all: all, or at least those that have
    /// something in common with `wanted`.
    pub(super) fn stretch(
        &self,
        low: Micros,
        high: Micros,
        wanted: Option<&Matches>,
    ) -> Option<impl Iterator<Item = &'a Arc<Event>> + use<'_, 'a>> {
        if low < self.low || high > self.high {
            return None;
        }
        let from = self.list.partition_point(|seen| seen.time < low);
        let to = self.list.partition_point(|seen| seen.time <= high);
        let word = wanted.map(Matches::folded);
        let wanted = move |seen: &&Seen<'a>| word.is_none_or(|word| seen.word & word != 0);
        Some(self.list[from..to.max(from)].iter().filter(wanted).map(|seen| seen.event))
    }
}
