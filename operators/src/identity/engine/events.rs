//! The events that identity knows, in 48 bytes each.

use smallvec::SmallVec;

use super::Map;
use super::blocks::Blocks;
use super::chunks::Chunks;
use super::slots::{ClusterId, NOBODY, Node, Slot};
use crate::bytes;
use crate::model::EventKey;

/// The nodes of an event, strongest first.
pub(super) type Nodes = SmallVec<[Node; 4]>;

/// Nodes that need no memory of their own.
const FEW: usize = 3;
/// A sequence number that is kept apart.
const APART: u32 = u32::MAX;

#[derive(Debug)]
struct Record {
    time: i64,
    /// Upper and lower half: as one number it would be aligned to 16 bytes.
    id: [u64; 2],
    seq: u32,
    /// The person last reported.
    person: ClusterId,
    /// The nodes; if there are more than a few, the first is an index into `many`.
    nodes: [Node; FEW],
    /// How many nodes there are; one more than a few stands for any larger number.
    count: u8,
    /// In the list of events to look at again.
    dirty: bool,
    /// Removed; the slot is free after this epoch.
    gone: bool,
    /// New in this epoch, with a person that is not reported yet.
    fresh: bool,
}

/// All events, by slot.
#[derive(Debug, Default)]
pub(super) struct Events {
    records: Chunks<Record>,
    free: Vec<Slot>,
    /// Nodes of events that have more than a few.
    many: Chunks<Box<[Node]>>,
    free_many: Vec<u32>,
    /// Sequence numbers that are too large for a record.
    seqs: Map<Slot, u64>,
    /// Lists of events are in these.
    pub blocks: Blocks,
}

impl Events {
    /// Memory that is held, in bytes, about.
    pub(super) fn bytes(&self) -> usize {
        let many = self.many.len() as usize * (FEW + 2) * size_of::<Node>();
        let lists = bytes::list(&self.free) + bytes::list(&self.free_many);
        let seqs = bytes::map(self.seqs.capacity(), size_of::<(Slot, u64)>());
        self.records.bytes() + self.many.bytes() + many + lists + seqs + self.blocks.bytes()
    }

    pub(super) fn add(&mut self, key: EventKey, nodes: &[Node]) -> Slot {
        let mut few = [0; FEW];
        if nodes.len() <= FEW {
            few[..nodes.len()].copy_from_slice(nodes);
        } else {
            few[0] = self.many.put(self.free_many.pop(), nodes.into());
        }
        let seq = u32::try_from(key.seq).unwrap_or(APART);
        let record = Record {
            time: key.time,
            id: [(key.id >> 64) as u64, key.id as u64],
            seq,
            person: NOBODY,
            nodes: few,
            count: nodes.len().min(FEW + 1) as u8,
            dirty: false,
            gone: false,
            fresh: false,
        };
        let slot = self.records.put(self.free.pop(), record);
        if seq == APART {
            self.seqs.insert(slot, key.seq);
        }
        slot
    }

    pub(super) fn release(&mut self, slot: Slot) {
        let record = &mut self.records[slot];
        if usize::from(record.count) > FEW {
            let many = record.nodes[0];
            self.many[many] = Box::default();
            self.free_many.push(many);
        }
        record.count = 0;
        if record.seq == APART {
            self.seqs.remove(&slot);
        }
        self.free.push(slot);
    }

    pub(super) fn key(&self, slot: Slot) -> EventKey {
        let record = &self.records[slot];
        let seq = match record.seq {
            APART => self.seqs.get(&slot).copied().unwrap_or(u64::from(APART)),
            seq => u64::from(seq),
        };
        let id = u128::from(record.id[0]) << 64 | u128::from(record.id[1]);
        EventKey { time: record.time, seq, id }
    }

    /// Whether an event is before a key.
    pub(super) fn is_before(&self, slot: Slot, key: EventKey) -> bool {
        // Mostly the time tells.
        let time = self.records[slot].time;
        time < key.time || (time == key.time && self.key(slot) < key)
    }

    pub(super) fn time(&self, slot: Slot) -> i64 {
        self.records[slot].time
    }

    /// Its identifiers, strongest first.
    pub(super) fn nodes(&self, slot: Slot) -> &[Node] {
        let record = &self.records[slot];
        if usize::from(record.count) > FEW {
            &self.many[record.nodes[0]]
        } else {
            &record.nodes[..usize::from(record.count)]
        }
    }

    /// The person last reported, or that of a fresh event.
    pub(super) fn person(&self, slot: Slot) -> ClusterId {
        self.records[slot].person
    }

    pub(super) fn set_person(&mut self, slot: Slot, person: ClusterId) {
        self.records[slot].person = person;
    }

    /// Gives a new event a person that is to be reported.
    pub(super) fn set_fresh(&mut self, slot: Slot, person: ClusterId) {
        let record = &mut self.records[slot];
        (record.fresh, record.person) = (true, person);
    }

    /// Whether it is fresh; it is no more.
    pub(super) fn take_fresh(&mut self, slot: Slot) -> bool {
        std::mem::replace(&mut self.records[slot].fresh, false)
    }

    /// Marks it; false if it is marked already. If it is fresh, it is new and without a person
    /// again: the second is the one that it had.
    pub(super) fn mark(&mut self, slot: Slot) -> (bool, Option<ClusterId>) {
        let record = &mut self.records[slot];
        let marked = !std::mem::replace(&mut record.dirty, true);
        let fresh = std::mem::replace(&mut record.fresh, false);
        (marked, fresh.then(|| std::mem::replace(&mut record.person, NOBODY)))
    }

    pub(super) fn is_marked(&self, slot: Slot) -> bool {
        self.records[slot].dirty
    }

    /// Takes the mark off; the person last reported, if the event is still there.
    pub(super) fn clean(&mut self, slot: Slot) -> Option<ClusterId> {
        let record = &mut self.records[slot];
        record.dirty = false;
        (!record.gone).then_some(record.person)
    }

    /// Notes that it is removed.
    pub(super) fn set_gone(&mut self, slot: Slot) {
        self.records[slot].gone = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out() {
        assert_eq!(size_of::<Record>(), 48);
        let mut events = Events::default();
        let key = |time, seq, id| EventKey { time, seq, id };
        let all = [
            (key(-5, 0, u128::MAX), vec![]),
            (key(i64::MIN, u64::from(APART) - 1, 1 << 64), vec![1, 2, 3]),
            (key(0, u64::from(APART), 7), vec![4, 5, 6, 7]),
            (key(1, u64::MAX, 8), (0..200).collect()),
        ];
        for _ in 0..3 {
            let slots: Vec<Slot> = all.iter().map(|(key, nodes)| events.add(*key, nodes)).collect();
            for (&slot, (key, nodes)) in slots.iter().zip(&all) {
                assert_eq!((events.key(slot), events.nodes(slot)), (*key, &nodes[..]));
                events.release(slot);
            }
        }
        assert_eq!((events.records.len(), events.many.len(), events.seqs.len()), (4, 2, 0));
    }
}
