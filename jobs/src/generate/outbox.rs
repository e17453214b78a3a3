//! Records on their way: they leave in the order of their arrival.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::options::Rules;
use super::random::{Random, mix2};
use super::record::{Broken, Channel, Copy, Name, Record, Uuid};

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 86_400_000;

/// Records that have been made and not yet arrived: those of the last minutes, and the late ones.
#[derive(Debug)]
pub(super) struct Outbox {
    /// Arrival, order of making, place in `records`.
    arrivals: BinaryHeap<Reverse<(i64, u64, u32)>>,
    records: Vec<Record>,
    free: Vec<u32>,
    made: u64,
    limit: u64,
    orders: u64,
    random: Random,
    seed: u64,
}

/// The id of a device or message.
pub(super) fn uuid(a: u64, b: u64) -> Uuid {
    let (high, low) = (mix2(a, b), mix2(b, a ^ 0x5851_f42d_4c95_7f2d));
    let bits = u128::from(high) << 64 | u128::from(low);
    // Version 4, variant 1.
    let mask = (0xf_u128 << 76) | (0x3_u128 << 62);
    Uuid(bits & !mask | (4_u128 << 76) | (2_u128 << 62))
}

impl Outbox {
    pub(super) fn new(seed: u64, limit: u64) -> Self {
        Self {
            arrivals: BinaryHeap::new(),
            records: Vec::new(),
            free: Vec::new(),
            made: 0,
            limit,
            orders: 0,
            random: Random::new(mix2(seed, 2)),
            seed: mix2(seed, 3),
        }
    }

    /// Whether all records that were asked for have been made.
    pub(super) fn is_full(&self) -> bool {
        self.made >= self.limit
    }

    /// A new order number.
    pub(super) fn order(&mut self) -> u64 {
        self.orders += 1;
        self.orders
    }

    /// Records that have not yet arrived.
    pub(super) fn held(&self) -> usize {
        self.arrivals.len()
    }

    /// When the next record arrives.
    pub(super) fn next_ms(&self) -> Option<i64> {
        self.arrivals.peek().map(|Reverse((at, ..))| *at)
    }

    /// Takes the next record that arrives.
    pub(super) fn pop(&mut self) -> Option<Record> {
        let Reverse((.., slot)) = self.arrivals.pop()?;
        self.free.push(slot);
        Some(self.records[slot as usize])
    }

    /// Sends a record: gives it an id, breaks it, copies it, as chance has it.
    pub(super) fn send(&mut self, rules: &Rules, mut record: Record) {
        if self.is_full() {
            return;
        }
        record.truth.message = uuid(self.seed, self.made);
        if self.random.hit(rules.broken) {
            let kinds = Broken::ALL.len() as u64;
            record.truth.broken = Some(Broken::ALL[self.random.below(kinds) as usize]);
        }
        record.truth.event_ms = record.event_ms();
        let received_ms = record.truth.received_ms;
        self.put(received_ms, record);
        // A merge says the same however often, and a broken record is sent once.
        if record.truth.broken.is_some() || record.truth.name == Name::Merge {
            return;
        }
        if self.random.hit(rules.duplicates) && !self.is_full() {
            let mut copy = record;
            copy.truth.copy = Copy::Redelivered;
            let after = 1 + self.random.wait(10 * MINUTE_MS).min(DAY_MS);
            self.put(received_ms + after, copy);
        }
        if self.random.hit(rules.restamped) && !self.is_full() {
            let copy = self.restamp(record);
            self.put(copy.truth.received_ms, copy);
        }
    }

    /// The same event sent anew, with a time that differs from the first one's.
    fn restamp(&mut self, mut record: Record) -> Record {
        record.truth.copy = Copy::Restamped;
        if record.truth.channel == Channel::Backend {
            // The next night's file has it once more, with the time at which it was entered.
            record.original_ms += self.random.between(1, 2000);
            record.sent_ms += DAY_MS;
            record.truth.received_ms += DAY_MS;
        } else {
            let after = self.random.between(2000, 10 * MINUTE_MS);
            let latency = self.random.between(-20, 400);
            record.sent_ms += after;
            record.truth.received_ms += after + if latency == 0 { 1 } else { latency };
            if let Some(stamp) = &mut record.stamp_ms {
                *stamp += self.random.between(1, 5000);
            } else if self.random.percent(10) {
                record.original_ms += self.random.between(500, 60_000).min(after);
            }
        }
        record.truth.event_ms = record.event_ms();
        record
    }

    fn put(&mut self, arrival_ms: i64, record: Record) {
        let slot = if let Some(slot) = self.free.pop() {
            self.records[slot as usize] = record;
            slot
        } else {
            self.records.push(record);
            (self.records.len() - 1) as u32
        };
        self.arrivals.push(Reverse((arrival_ms, self.made, slot)));
        self.made += 1;
    }
}
