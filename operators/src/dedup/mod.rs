//! One copy of each event.
//!
//! Of several records with one message id the first in the order (time, sequence, what it says)
//! counts, also when it arrives last. Records of one id further apart in event time than `ids`
//! after the one that counts are other events. What comes out: [`Counted`] copies that begin and
//! cease to count.
//!
//! What is held. Of an id with one record: a slot of 16 bytes, with the event shared (the store
//! holds the same one, and it says all that a later record must be compared with). Of others, also
//! how many records there are, and the distinct copies.
//!
//! Forgetting is exact. A record admitted when the watermark is `w` or later is not older than
//! `w - admit`. So when all copies of an id are older than `before = w - admit - ids`, whatever
//! comes under this id is more than `ids` later than each of them: it counts or not as if they had
//! never been, and comes after them in the order, so it does not change which of them count. Of an
//! id with both older and newer copies those before the last counting one that is older than
//! `before` may go: which of the rest count follows from that one. What remains of a forgotten id
//! is the number of its duplicates, if it had any, for a table of duplicates adds up over all
//! events of an id.

mod chain;
pub mod oracle;
mod order;
pub mod shadow;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::hash::BuildHasher as _;
use std::sync::Arc;

use foldhash::fast::FixedState;
use serde::{Deserialize, Serialize};

use self::chain::Chain;
use self::order::order;
use crate::bytes;
use crate::model::{Cause, Event, Micros};
use crate::table::{Hashed, Table};

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

/// What one advance changed.
#[derive(Debug, Default)]
pub struct Changes {
    /// Copies that begin and cease to count; of one id the latter first.
    pub counted: Vec<Counted>,
    /// Message ids with another number of duplicates.
    pub recounts: Vec<Recount>,
}

/// What is known of an id of which more than one record came.
#[derive(Debug, Default)]
struct Copies {
    /// Records beyond the first of each copy, and forgotten copies that did not count.
    redelivered: u64,
    restamped: u64,
    /// If there is more than one copy.
    chain: Option<Box<Chain>>,
    touched: Option<Cause>,
}

impl Copies {
    fn duplicates(&self) -> Duplicates {
        let idle = self.chain.as_ref().map_or(0, |chain| chain.idle());
        Duplicates { redelivered: self.redelivered, restamped: self.restamped + idle }
    }
}

/// An id with several records that got one more in this epoch.
#[derive(Debug)]
struct Touched {
    /// Its first record that is held.
    event: Arc<Event>,
    /// Its part, and the index there.
    place: (usize, u32),
    /// What was reported of it.
    before: Duplicates,
}

/// An id with its first record.
#[derive(Debug)]
struct Slot {
    hash: u32,
    /// The coarse time of the record, or, with [`SEVERAL`], an index into the part's `several`.
    note: u32,
    event: Arc<Event>,
}

impl Hashed for Slot {
    fn hash(&self) -> u32 {
        self.hash
    }
}

/// A part of the ids.
#[derive(Debug)]
struct Part {
    ids: Table<Slot>,
    several: Vec<Copies>,
    free: Vec<u32>,
    /// The horizon up to which it has forgotten.
    forgotten: u32,
}

/// Marks a note as an index.
const SEVERAL: u32 = 1 << 31;
/// Parts: enough that the growth of one does not hold up the others.
const PARTS: usize = 256;
/// Slots that `forget` looks at for each id that came: what it might forget is then at most about a
/// third of all that is held.
const SWEEP: usize = 4;
/// Records that are looked up together, so that the memory they need is fetched together.
const GROUP: usize = 32;

/// A time in units of 16.8 s, as a number below [`SEVERAL`]; times 570 years off are one.
fn coarse(time: Micros) -> u32 {
    const HALF: Micros = 1 << 30;
    ((time >> 24).clamp(-HALF, HALF - 1) + HALF) as u32
}

/// The message ids of one shard.
#[derive(Debug)]
pub struct Dedup {
    ids: Micros,
    parts: Vec<Part>,
    /// Records taken in and not yet looked up, with the hash of tenant and id.
    waiting: Vec<(Admitted, u64)>,
    /// First records of ids: they count, unless an earlier copy came in the same epoch.
    fresh: Vec<Counted>,
    /// Ids with several records that got one more.
    touched: Vec<Touched>,
    /// Duplicates of ids that are forgotten.
    residue: HashMap<(u64, u128), Duplicates, FixedState>,
    horizon: u32,
    /// The part to forget in next.
    next: usize,
    /// Slots to look at in the next call of `forget`.
    sweep: usize,
    /// Bytes of all chains.
    chained: usize,
}

impl Dedup {
    /// No ids yet; copies further apart than `ids` are different events.
    pub fn new(ids: Micros) -> Self {
        Self {
            ids,
            parts: (0..PARTS).map(Part::new).collect(),
            waiting: Vec::with_capacity(GROUP),
            fresh: Vec::new(),
            touched: Vec::new(),
            residue: HashMap::default(),
            horizon: 0,
            next: 0,
            sweep: 0,
            chained: 0,
        }
    }

    /// Number of ids held.
    pub fn len(&self) -> usize {
        self.parts.iter().map(|part| part.ids.len()).sum()
    }

    /// Whether no id is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Memory that is held, in bytes, about; of copies that count their events are left out.
    pub fn bytes(&self) -> usize {
        let of =
            |part: &Part| part.ids.bytes() + bytes::list(&part.several) + bytes::list(&part.free);
        let residue = bytes::map(self.residue.capacity(), size_of::<((u64, u128), Duplicates)>());
        self.parts.iter().map(of).sum::<usize>() + residue + self.chained
    }

    /// Takes in a record.
    pub fn update(&mut self, admitted: Admitted) {
        let id = (admitted.event.kind.tenant_number(), admitted.event.key.id);
        let hash = FixedState::default().hash_one(id);
        self.waiting.push((admitted, hash));
        if self.waiting.len() == GROUP {
            self.look_up();
        }
    }

    fn look_up(&mut self) {
        let mut waiting = std::mem::take(&mut self.waiting);
        let mut read = false;
        for (_, hash) in &waiting {
            read ^= self.parts[part(*hash)].ids.touch(*hash as u32);
        }
        std::hint::black_box(read);
        for (admitted, hash) in waiting.drain(..) {
            self.take(admitted, hash);
        }
        self.waiting = waiting;
    }

    fn take(&mut self, admitted: Admitted, hash: u64) {
        let Admitted { event, late } = admitted;
        let cause = if late { Cause::Late } else { Cause::New };
        let place = part(hash);
        self.sweep += SWEEP;
        let Part { ids, several, free, .. } = &mut self.parts[place];
        let hash = hash as u32;
        let same = |slot: &Slot| same_id(&slot.event, &event);
        let found = match ids.find(hash, same) {
            Err(at) => {
                self.fresh.push(Counted { event: Arc::clone(&event), diff: 1, cause });
                ids.insert(at, Slot { hash, note: coarse(event.key.time), event });
                return;
            }
            Ok(at) => ids.at_mut(at),
        };
        let Some(slot) = found else { return };
        if slot.note & SEVERAL == 0 {
            let known = self.residue.remove(&name(&event)).unwrap_or_default();
            let Duplicates { redelivered, restamped } = known;
            let copies = Copies { redelivered, restamped, ..Copies::default() };
            let index = free.pop().unwrap_or_else(|| {
                if several.len() == several.capacity() {
                    several.reserve_exact((several.len() / 4).max(4));
                }
                several.push(Copies::default());
                (several.len() - 1) as u32
            });
            several[index as usize] = copies;
            slot.note = SEVERAL | index;
        }
        let index = slot.note & !SEVERAL;
        let copies = &mut several[index as usize];
        if copies.touched.is_none() {
            let (place, before) = ((place, index), copies.duplicates());
            self.touched.push(Touched { event: Arc::clone(&slot.event), place, before });
        }
        copies.touched = copies.touched.max(Some(cause));
        let known = match &mut copies.chain {
            None if order(&slot.event) == order(&event) => true,
            chain => {
                let before = chain.as_ref().map_or(0, |chain| chain.bytes());
                let first = || Box::new(Chain::new(Arc::clone(&slot.event)));
                let chain = chain.get_or_insert_with(first);
                let known = !chain.add(&event, self.ids);
                self.chained = self.chained + chain.bytes() - before;
                known
            }
        };
        copies.redelivered += u64::from(known);
    }

    /// Decides which copies of the touched ids count.
    pub fn advance(&mut self, out: &mut Changes) {
        self.look_up();
        let touched = std::mem::take(&mut self.touched);
        self.report_fresh(&touched, out);
        for Touched { event, place: (place, index), before } in touched {
            let copies = &mut self.parts[place].several[index as usize];
            let cause = copies.touched.take().unwrap_or_default();
            if let Some(chain) = &mut copies.chain {
                chain.report(|event, diff| out.counted.push(Counted { event, diff, cause }));
            }
            let after = copies.duplicates();
            if after != before {
                out.recounts.push(Recount { event, before, after, cause });
            }
        }
    }

    /// Hands out the first records of ids, save those with which other copies now compete.
    fn report_fresh(&mut self, touched: &[Touched], out: &mut Changes) {
        if touched.is_empty() {
            out.counted.append(&mut self.fresh);
            return;
        }
        // By where the first record is: events are not looked at, for they are far away.
        let address = |event: &Arc<Event>| Arc::as_ptr(event).addr();
        let places = touched.iter().map(|touched| (address(&touched.event), touched.place));
        let again: HashMap<usize, (usize, u32), FixedState> = places.collect();
        // Most are not among them, which one bit of a small map of bits tells.
        let bits = (touched.len() * 16).next_power_of_two();
        // Events lie some lines of 64 bytes apart.
        let bit = |address: usize| (address / 64) & (bits - 1);
        let mut some = vec![false; bits];
        again.keys().for_each(|&address| some[bit(address)] = true);
        for counted in self.fresh.drain(..) {
            let address = address(&counted.event);
            if some[bit(address)]
                && let Some(&(place, index)) = again.get(&address)
            {
                let copies = &mut self.parts[place].several[index as usize];
                copies.touched = copies.touched.max(Some(counted.cause));
                if let Some(chain) = &mut copies.chain {
                    chain.flip(counted.event, 1);
                    continue;
                }
            }
            out.counted.push(counted);
        }
    }

    /// Forgets ids whose copies are all older than `before`: the watermark less `admit` less `ids`.
    ///
    /// Does a part of the work in each call, in proportion to the records that came. Does nothing
    /// while records are taken in that no advance has decided.
    pub fn forget(&mut self, before: Micros) {
        if !self.touched.is_empty() || !self.waiting.is_empty() {
            return;
        }
        self.horizon = self.horizon.max(coarse(before));
        let mut left = std::mem::take(&mut self.sweep).max(SWEEP * GROUP) as isize;
        for _ in 0..PARTS {
            if left <= 0 {
                break;
            }
            let part = &mut self.parts[self.next];
            self.next = (self.next + 1) % PARTS;
            if part.forgotten < self.horizon {
                left -= part.ids.slots() as isize;
                part.forget(self.horizon, before, (&mut self.residue, &mut self.chained));
            }
        }
    }
}

impl Part {
    fn new(number: usize) -> Self {
        // From 32 to 48, so that the parts grow one after the other.
        let ids = Table::new(32 + 16 * number / PARTS);
        Self { ids, several: Vec::new(), free: Vec::new(), forgotten: 0 }
    }

    fn forget(
        &mut self,
        horizon: u32,
        before: Micros,
        (residue, chained): (&mut HashMap<(u64, u128), Duplicates, FixedState>, &mut usize),
    ) {
        self.forgotten = horizon;
        let Self { ids, several, free, .. } = self;
        ids.retain(|slot| {
            if slot.note & SEVERAL == 0 {
                return slot.note >= horizon;
            }
            let index = slot.note & !SEVERAL;
            let copies = &mut several[index as usize];
            let newest = copies.chain.as_ref().map_or(slot.event.key.time, |c| c.newest());
            if coarse(newest) < horizon {
                let copies = std::mem::take(copies);
                *chained -= copies.chain.as_ref().map_or(0, |chain| chain.bytes());
                free.push(index);
                residue.insert(name(&slot.event), copies.duplicates());
                return false;
            }
            if let Some(chain) = &mut copies.chain {
                let held = chain.bytes();
                copies.restamped += chain.trim(before);
                *chained = *chained + chain.bytes() - held;
            }
            true
        });
    }
}

/// The part that a hash falls in; the table in it uses the lower half of the hash.
fn part(hash: u64) -> usize {
    (hash >> 32) as usize % PARTS
}

fn same_id(a: &Event, b: &Event) -> bool {
    a.key.id == b.key.id
        && (Arc::ptr_eq(&a.kind.tenant, &b.kind.tenant) || a.kind.tenant == b.kind.tenant)
}

fn name(event: &Event) -> (u64, u128) {
    (event.kind.tenant_number(), event.key.id)
}
