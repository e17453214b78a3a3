//! Identifiers: interned, numbered, with what the engine keeps of each.

use super::Incremental;
use super::chunks::Chunks;
use super::neighbours::Neighbours;
use super::slots::{ClusterId, NOBODY, Node, Slot, SlotList};
use crate::bytes;
use crate::model::{EventKey, Ident, Token};
use crate::table::{Numbered, Parts};

/// An identifier: 64 bytes, which is what an event of it reads.
#[derive(Debug)]
pub(super) struct NodeRecord {
    token: Token,
    pub cluster: ClusterId,
    /// The next member of the cluster, round a ring.
    pub next: Node,
    /// The coarse time of the last event, see [`coarse`]; 0 if there is none.
    last: u32,
    kind: u8,
    pub rank: u8,
    flags: u8,
    pub events: SlotList,
    /// Neighbours by raw links.
    pub neighbours: Neighbours,
}

/// What is seldom read.
#[derive(Debug)]
pub(super) struct NodeRest {
    /// The member of the cluster before it, round a ring.
    pub previous: Node,
    /// The person of the membership last reported, or nobody.
    shown: ClusterId,
}

/// Linked with too many others of its rank.
const HUB: u8 = 1;
/// In the list of nodes whose membership may differ.
const DIRTY: u8 = 2;
/// The membership last reported is in its own cluster, which is not public.
const SETTLED: u8 = 4;
/// Reported as public.
const SHOWN_PUBLIC: u8 = 8;
/// Some command names it.
const COMMANDED: u8 = 16;

/// A time in units of about a second, from 1 up; all too early and too late ones are one.
fn coarse(key: EventKey) -> u32 {
    const FROM: i64 = -(1 << 30);
    ((key.time >> 20).clamp(FROM, i64::from(u32::MAX) + FROM - 1) - FROM + 1) as u32
}

impl NodeRecord {
    pub(super) fn ident(&self) -> Ident {
        Ident { kind: self.kind, token: self.token }
    }

    fn is(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    fn set(&mut self, flag: u8, on: bool) {
        self.flags = if on { self.flags | flag } else { self.flags & !flag };
    }

    pub(super) fn is_hub(&self) -> bool {
        self.is(HUB)
    }

    pub(super) fn set_hub(&mut self, hub: bool) {
        self.set(HUB, hub);
    }

    pub(super) fn is_dirty(&self) -> bool {
        self.is(DIRTY)
    }

    pub(super) fn is_settled(&self) -> bool {
        self.is(SETTLED)
    }

    /// What it weighs when it moves: about the number of its events, so that one more seldom
    /// changes it, and at least 1.
    pub(super) fn weight(&self) -> u32 {
        match self.events.len() {
            0 => 1,
            events => 1 + events.next_power_of_two() as u32,
        }
    }

    pub(super) fn enter(&mut self, cluster: ClusterId) {
        self.cluster = cluster;
        self.set(SETTLED, false);
    }
}

/// Tokens are keyed hashes, but not those that tests and commands may make up.
fn hash(ident: Ident) -> u32 {
    let folded = (ident.token.0 >> 64) as u64 ^ ident.token.0 as u64 ^ u64::from(ident.kind);
    (folded.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32
}

/// All identifiers.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    interned: Parts<Numbered>,
    records: Chunks<NodeRecord>,
    rest: Chunks<NodeRest>,
    free: Vec<Node>,
    /// Memory of lists of events that is their own, in bytes, about.
    listed: usize,
    /// Links that have memory of their own, counted at each of their ends.
    pub linked: u64,
}

impl Nodes {
    pub(super) fn len(&self) -> usize {
        self.interned.len()
    }

    /// Memory that is held, in bytes, about.
    pub(super) fn bytes(&self) -> usize {
        let lists = self.listed + bytes::list(&self.free);
        // Long lists of links have an index beside them.
        let links = self.linked as usize * 2 * size_of::<(Node, u32)>();
        self.interned.bytes() + self.records.bytes() + self.rest.bytes() + lists + links
    }

    /// Brings near what a look-up of an identifier reads first.
    pub(super) fn touch(&self, ident: Ident) -> bool {
        self.interned.touch(hash(ident))
    }

    /// A node that may be the identifier's, or [`NOBODY`]: one of the same hash.
    pub(super) fn guess(&self, ident: Ident) -> Node {
        let found = self.interned.find(hash(ident), |_| true).ok();
        let entry = found.and_then(|place| self.interned.at(place));
        entry.map_or(NOBODY, Numbered::number)
    }

    pub(super) fn find(&self, ident: Ident) -> Option<Node> {
        let is = |entry: &Numbered| self.records[entry.number()].ident() == ident;
        let place = self.interned.find(hash(ident), is).ok()?;
        self.interned.at(place).map(Numbered::number)
    }

    /// Adds an identifier that is not there.
    fn add(&mut self, ident: Ident, rank: u8) -> Node {
        let record = NodeRecord {
            token: ident.token,
            cluster: NOBODY,
            next: NOBODY,
            last: 0,
            kind: ident.kind,
            rank,
            flags: 0,
            events: SlotList::default(),
            neighbours: Neighbours::default(),
        };
        let rest = NodeRest { previous: NOBODY, shown: NOBODY };
        let free = self.free.pop();
        let node = self.records.put(free, record);
        self.rest.put(free, rest);
        let hash = hash(ident);
        let place = self.interned.find(hash, |_| false).unwrap_or_else(|place| place);
        self.interned.insert(place, Numbered::new(hash, node));
        node
    }

    pub(super) fn remove(&mut self, node: Node) {
        let ident = self[node].ident();
        let is = |entry: &Numbered| entry.number() == node;
        if let Ok(place) = self.interned.find(hash(ident), is) {
            self.interned.remove(place);
            self.free.push(node);
        }
    }

    pub(super) fn rest(&self, node: Node) -> &NodeRest {
        &self.rest[node]
    }

    pub(super) fn rest_mut(&mut self, node: Node) -> &mut NodeRest {
        &mut self.rest[node]
    }

    /// The membership last reported: person and whether public.
    pub(super) fn shown(&self, node: Node) -> Option<(ClusterId, bool)> {
        let person = self.rest[node].shown;
        (person != NOBODY).then(|| (person, self[node].is(SHOWN_PUBLIC)))
    }

    pub(super) fn show(&mut self, node: Node, shown: Option<(ClusterId, bool)>) {
        self.rest[node].shown = shown.map_or(NOBODY, |(person, _)| person);
        let record = &mut self[node];
        record.set(SHOWN_PUBLIC, shown.is_some_and(|(_, public)| public));
        let settled = shown == Some((record.cluster, false));
        record.set(SETTLED, settled);
    }
}

impl std::ops::Index<Node> for Nodes {
    type Output = NodeRecord;
    fn index(&self, node: Node) -> &NodeRecord {
        &self.records[node]
    }
}

impl std::ops::IndexMut<Node> for Nodes {
    fn index_mut(&mut self, node: Node) -> &mut NodeRecord {
        &mut self.records[node]
    }
}

impl Incremental {
    pub(super) fn intern(&mut self, ident: Ident) -> Node {
        self.nodes.find(ident).unwrap_or_else(|| self.create(ident, None))
    }

    pub(super) fn create(&mut self, ident: Ident, beside: Option<Node>) -> Node {
        let rank = self.config.rank(ident);
        let node = self.nodes.add(ident, rank);
        self.links.add_node(node);
        let cluster = match beside {
            Some(other) => self.cluster_of(other),
            None => self.new_cluster(rank),
        };
        self.enter(node, cluster);
        self.touch_node(node);
        node
    }

    pub(super) fn rank(&self, node: Node) -> u8 {
        self.nodes[node].rank
    }

    pub(super) fn cluster_of(&self, node: Node) -> ClusterId {
        self.nodes[node].cluster
    }

    /// Notes that the membership of an identifier may differ.
    pub(super) fn touch_node(&mut self, node: Node) {
        let record = &mut self.nodes[node];
        if !record.is(DIRTY) {
            record.set(DIRTY, true);
            self.changed.nodes.push(node);
        }
    }

    /// Takes the note of [`Self::touch_node`] off.
    pub(super) fn clean_node(&mut self, node: Node) {
        self.nodes[node].set(DIRTY, false);
    }

    /// Adds an event to a node's list.
    pub(super) fn list_event(&mut self, node: Node, slot: Slot, key: EventKey) {
        let record = &mut self.nodes[node];
        let (before, len, time) = (record.weight(), record.events.len(), coarse(key));
        if time > record.last {
            record.events.push(&mut self.events, slot);
            record.last = time;
        } else {
            record.events.insert(&mut self.events, slot);
        }
        let (after, cluster) = (record.weight(), record.cluster);
        self.nodes.listed += SlotList::bytes(record.events.len()) - SlotList::bytes(len);
        self.weigh(cluster, after.wrapping_sub(before));
    }

    /// A member of a cluster weighs that much more, modulo the size.
    fn weigh(&mut self, cluster: ClusterId, more: u32) {
        // Mostly nothing changes, and the memory is not at hand.
        if more != 0 {
            let rest = self.clusters.rest_mut(cluster);
            rest.weight = rest.weight.wrapping_add(more);
        }
    }

    /// Takes an event out of a node's list.
    pub(super) fn unlist_event(&mut self, node: Node, slot: Slot) {
        let record = &mut self.nodes[node];
        let (before, len) = (record.weight(), record.events.len());
        record.events.remove(&mut self.events, slot);
        record.last =
            record.events.last(&self.events).map_or(0, |last| coarse(self.events.key(last)));
        let (after, cluster) = (record.weight(), record.cluster);
        self.nodes.listed -= SlotList::bytes(len) - SlotList::bytes(record.events.len());
        self.weigh(cluster, after.wrapping_sub(before));
    }

    /// Whether the rules know the identifier: an event or a merge in force names it.
    pub(super) fn exists(&self, node: Node) -> bool {
        let record = &self.nodes[node];
        !record.events.is_empty()
            || (record.is(COMMANDED) && self.commands.named(node).is_some_and(|n| n.merges > 0))
    }

    /// Whether an event or a command names the identifier.
    pub(super) fn is_named(&self, node: Node) -> bool {
        let record = &self.nodes[node];
        !record.events.is_empty() || record.is(COMMANDED)
    }

    /// Notes whether commands name a node.
    pub(super) fn set_commanded(&mut self, node: Node) {
        let named = self.commands.named(node).is_some();
        self.nodes[node].set(COMMANDED, named);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_is_a_cache_line_and_a_little() {
        assert_eq!((size_of::<NodeRecord>(), size_of::<NodeRest>()), (64, 8));
        assert_eq!(size_of::<Option<Numbered>>(), 8);
    }

    #[test]
    fn coarse_times_are_in_order() {
        let key = |time| EventKey { time, ..EventKey::MIN };
        let times = [i64::MIN, -(1 << 51), -5, 0, 1 << 20, 1_800_000_000_000_000, i64::MAX];
        assert!(times.windows(2).all(|pair| coarse(key(pair[0])) <= coarse(key(pair[1]))));
        assert!(coarse(key(i64::MIN)) > 0);
        assert!(coarse(key(0)) < coarse(key(1 << 20)));
    }
}
