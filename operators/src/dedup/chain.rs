//! The distinct copies of one message id, and which of them count.
//!
//! The first counts; after one that counts, the next is the first copy more than `ids` later. A
//! copy that comes costs a search, and as many more as copies begin or cease to count because of
//! it.

use std::sync::Arc;

use super::order::order;
use crate::model::{Event, EventKey, Micros};
use crate::people::{Keyed, SortedChunks};

/// A copy, by its place in the order of copies of one id.
#[derive(Clone, Debug)]
struct Stamp(Arc<Event>);

impl Keyed for Stamp {
    fn key(&self) -> EventKey {
        order(&self.0)
    }
}

/// Copies that differ in time, sequence or content.
#[derive(Debug, Default)]
pub(super) struct Chain {
    all: SortedChunks<Stamp>,
    counting: SortedChunks<Stamp>,
    /// Copies that began and ceased to count, not netted.
    flips: Vec<(Arc<Event>, i8)>,
    /// Bytes of the events of all copies.
    events: usize,
}

impl Chain {
    /// A chain of one copy, which counts and is known to.
    pub(super) fn new(event: Arc<Event>) -> Self {
        let mut chain = Self { events: event.bytes(), ..Self::default() };
        chain.counting.insert(Stamp(Arc::clone(&event)));
        chain.all.insert(Stamp(event));
        chain
    }

    /// Memory that it takes, in bytes, with the share of the copies that do not count in the
    /// events; as after the last [`Self::add`] or [`Self::trim`].
    pub(super) fn bytes(&self) -> usize {
        let copies = self.all.len().max(1);
        let idle = self.events * (copies - self.counting.len().min(copies)) / copies;
        size_of::<Self>() + self.all.bytes() + self.counting.bytes() + idle
    }

    /// Notes a flip.
    pub(super) fn flip(&mut self, event: Arc<Event>, diff: i8) {
        self.flips.push((event, diff));
    }

    /// The newest copy's time.
    pub(super) fn newest(&self) -> Micros {
        self.all.last().map_or(Micros::MIN, |stamp| stamp.0.key.time)
    }

    /// Adds a copy; false if it is there already.
    pub(super) fn add(&mut self, event: &Arc<Event>, ids: Micros) -> bool {
        let key = order(event);
        if self.all.get(key).is_some() {
            return false;
        }
        self.all.insert(Stamp(Arc::clone(event)));
        self.events += event.bytes();
        let first = self.counting.at_or_before(key).map(|stamp| stamp.0.key.time);
        if first.is_none_or(|first| key.time.saturating_sub(first) > ids) {
            self.begin(event);
            self.settle(key, ids);
        }
        true
    }

    /// Finds anew what counts after a copy that began to, up to where it is as before.
    fn settle(&mut self, mut at: EventKey, ids: Micros) {
        loop {
            let reach = at.time.saturating_add(ids);
            let beyond = EventKey { time: reach.saturating_add(1), ..EventKey::MIN };
            let next = self.all.from(beyond).next().filter(|_| reach < Micros::MAX);
            let next = next.map(|stamp| Arc::clone(&stamp.0));
            let end = next.as_ref().map_or(EventKey::MAX, |event| order(event));
            let after = EventKey { id: at.id + 1, ..at };
            for stamp in self.counting.drain(after, end) {
                self.flip(stamp.0, -1);
            }
            match next {
                Some(event) if self.counting.get(end).is_none() => {
                    self.begin(&event);
                    at = end;
                }
                _ => return,
            }
        }
    }

    fn begin(&mut self, event: &Arc<Event>) {
        self.counting.insert(Stamp(Arc::clone(event)));
        self.flip(Arc::clone(event), 1);
    }

    /// How many copies there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// How many copies do not count.
    pub(super) fn idle(&self) -> u64 {
        (self.all.len() - self.counting.len()) as u64
    }

    /// Hands out the copies that began (+1) and ceased (-1) to count since the last time, the
    /// latter first.
    pub(super) fn report(&mut self, mut tell: impl FnMut(Arc<Event>, i8)) {
        let mut flips = std::mem::take(&mut self.flips);
        flips.sort_by_key(|(event, _)| order(event));
        let mut net: Vec<(Arc<Event>, i8)> = Vec::new();
        for (event, diff) in flips {
            match net.last_mut().filter(|(last, _)| order(last) == order(&event)) {
                Some((_, sum)) => *sum += diff,
                None => net.push((event, diff)),
            }
        }
        net.sort_by_key(|(_, diff)| *diff);
        for (event, diff) in net.into_iter().filter(|(_, diff)| *diff != 0) {
            tell(event, diff);
        }
    }

    /// Forgets the copies before the last one older than `before` that counts: what counts from
    /// there on follows from it. Returns how many of the forgotten did not count.
    pub(super) fn trim(&mut self, before: Micros) -> u64 {
        let moment = EventKey { time: before.saturating_sub(1), ..EventKey::MAX };
        let floor = self.counting.at_or_before(moment).map(Keyed::key);
        let Some(floor) = floor else { return 0 };
        let idle = self.idle();
        for stamp in self.all.drain(EventKey::MIN, floor) {
            self.events -= stamp.0.bytes();
        }
        self.counting.drain(EventKey::MIN, floor);
        idle - self.idle()
    }
}
