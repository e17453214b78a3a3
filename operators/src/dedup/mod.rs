//! One copy of each event.
//!
//! Of several records with one message id the first in the order (time, sequence, content) counts,
//! also when it arrives last. Records of one id further apart in event time than `ids` after the one
//! that counts are other events. What comes out: [`Counted`] copies that begin and cease to count.

pub mod oracle;
pub mod shadow;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use foldhash::fast::FixedState;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::model::{Cause, Event, Micros};
use crate::shard::tenant;

/// An admitted record.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Admitted {
    /// The event.
    pub event: Arc<Event>,
    /// Whether it is older than the watermark that admitted it.
    pub late: bool,
}

/// A copy that begins (`diff` = 1) or ceases (-1) to count.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Counted {
    /// The copy.
    pub event: Arc<Event>,
    /// +1 or -1.
    pub diff: i8,
    /// [`Cause::Late`] if a late record brought it about.
    pub cause: Cause,
}

/// How many copies of one message id do not count, by cause.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Duplicates {
    /// The very same record again.
    pub redelivered: u64,
    /// The same id with another time, sequence or content.
    pub restamped: u64,
}

/// The duplicates of a message id changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recount {
    /// Any copy, for tenant and id.
    pub event: Arc<Event>,
    /// What was reported before.
    pub before: Duplicates,
    /// What holds now.
    pub after: Duplicates,
    /// Why.
    pub cause: Cause,
}

#[derive(Debug)]
struct Stamp {
    event: Arc<Event>,
    records: u64,
    counts: bool,
}

impl Stamp {
    fn order(event: &Event) -> (Micros, u64, u64) {
        (event.key.time, event.key.seq, event.content)
    }
}

#[derive(Debug, Default)]
struct Copies {
    /// Distinct copies in order.
    stamps: SmallVec<[Stamp; 1]>,
    reported: Duplicates,
    touched: Option<Cause>,
}

/// What one advance changed.
#[derive(Debug, Default)]
pub struct Changes {
    /// Copies that begin and cease to count; of one id the latter first.
    pub counted: Vec<Counted>,
    /// Message ids with another number of duplicates.
    pub recounts: Vec<Recount>,
}

/// The message ids of one shard.
#[derive(Debug)]
pub struct Dedup {
    ids: Micros,
    by_id: std::collections::HashMap<(u64, u128), Copies, FixedState>,
    touched: Vec<(u64, u128)>,
}

impl Dedup {
    /// No ids yet; copies further apart than `ids` are different events.
    pub fn new(ids: Micros) -> Self {
        Self { ids, by_id: std::collections::HashMap::default(), touched: Vec::new() }
    }

    /// Takes in a record.
    pub fn update(&mut self, admitted: Admitted) {
        let Admitted { event, late } = admitted;
        let id = (tenant(&event.tenant), event.key.id);
        let copies = self.by_id.entry(id).or_default();
        let order = Stamp::order(&event);
        match copies.stamps.binary_search_by_key(&order, |s| Stamp::order(&s.event)) {
            Ok(place) => copies.stamps[place].records += 1,
            Err(place) => {
                copies.stamps.insert(place, Stamp { event, records: 1, counts: false });
            }
        }
        if copies.touched.is_none() {
            self.touched.push(id);
        }
        let cause = if late { Cause::Late } else { Cause::New };
        copies.touched = copies.touched.max(Some(cause));
    }

    /// Decides which copies of the touched ids count.
    pub fn advance(&mut self, out: &mut Changes) {
        for id in std::mem::take(&mut self.touched) {
            let Some(copies) = self.by_id.get_mut(&id) else { continue };
            let cause = copies.touched.take().unwrap_or_default();
            let mut first: Option<Micros> = None;
            let mut now = Duplicates::default();
            let mut begin = SmallVec::<[Counted; 2]>::new();
            for stamp in &mut copies.stamps {
                let time = stamp.event.key.time;
                let counts = first.is_none_or(|first| time.saturating_sub(first) > self.ids);
                if counts {
                    first = Some(time);
                } else {
                    now.restamped += 1;
                }
                now.redelivered += stamp.records - 1;
                if counts != stamp.counts {
                    stamp.counts = counts;
                    let event = Arc::clone(&stamp.event);
                    let diff = if counts { 1 } else { -1 };
                    let counted = Counted { event, diff, cause };
                    if counts { begin.push(counted) } else { out.counted.push(counted) }
                }
            }
            out.counted.extend(begin);
            if now != copies.reported {
                let before = std::mem::replace(&mut copies.reported, now);
                let event = Arc::clone(&copies.stamps[0].event);
                out.recounts.push(Recount { event, before, after: now, cause });
            }
        }
    }
}
