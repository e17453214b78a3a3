//! What the engine keeps of a cluster.

use smallvec::SmallVec;

use super::Incremental;
use super::chunks::Chunks;
use super::slots::{ClusterId, NOBODY, Node, SlotList};
use super::tally::Tally;
use super::touched::Touched;
use crate::bytes;
use crate::identity::{FOREVER, Handle, IdentityConfig, NO_LIMIT, Own};
use crate::model::{EventKey, Micros, Token};

/// The limits of a cluster: the strictest of its members' types.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Limits {
    pub owners_max: u32,
    pub forward: Micros,
    pub back: Micros,
    /// Of the strongest member's type.
    pub own: Own,
}

impl Limits {
    const NONE: Self =
        Self { owners_max: NO_LIMIT, forward: FOREVER, back: FOREVER, own: Own::Time };
}

/// A span of the total order, both ends included.
pub(super) type Span = (EventKey, EventKey);

/// All time.
pub(super) const ALWAYS: Span = (EventKey::MIN, EventKey::MAX);

/// A cluster of identifiers of one rank, which is a person, unless all its events belong to
/// stronger ones. This part is what an event of it reads.
#[derive(Debug)]
pub(super) struct Cluster {
    /// 0: the number is free.
    pub handle: Handle,
    /// Events whose reported person this is.
    pub assigned: u32,
    pub rank: u8,
    flags: u8,
}

/// The rest of a cluster.
#[derive(Debug)]
pub(super) struct ClusterRest {
    /// Weights of the members, modulo their size: which of two clusters moves is decided by it, and
    /// nothing else.
    pub weight: u32,
    /// A member, and how many there are.
    head: Node,
    count: u32,
    /// The strongest member, unless the cluster is stale; it names the person.
    pub strongest: Node,
    /// Identifiers whose reported person this is.
    pub shown: u32,
    /// Index into the table of limits, as of the last `refresh`.
    pub limits: u32,
    extra: Option<Box<Extra>>,
}

/// What clusters without claims, without hubs and of one type do not need.
#[derive(Debug, Default)]
pub(super) struct Extra {
    /// Events that show an owner.
    pub claims: SlotList,
    /// Owners of the claims.
    pub owners: Tally,
    /// Weaker clusters of which this one owns claims.
    pub owned: Tally,
    /// The owner of the first or last claim as of the last `refresh`, where `own` asks for it.
    pub chosen: Option<ClusterId>,
    /// How many members are hubs.
    pub hubs: u32,
    /// How many members there are of each type, if they are of several.
    kinds: SmallVec<[(u8, u32); 2]>,
}

impl Extra {
    fn is_empty(&self) -> bool {
        self.claims.is_empty()
            && self.owners.len() == 0
            && self.owned.len() == 0
            && self.chosen.is_none()
            && self.hubs == 0
            && self.kinds.is_empty()
    }
}

const PUBLIC: u8 = 1;
/// The strongest member left: it is to be found anew.
const STALE: u8 = 2;
/// A person id was reported: the strongest member's token.
const NAMED: u8 = 4;
/// There are claims.
const CLAIMED: u8 = 8;
/// A merge across ranks gives it to a stronger one.
const GIVEN: u8 = 16;
/// The report of this epoch concerns it.
const SEEN: u8 = 32;
/// It is in the list of those that were touched in this epoch.
const TOUCHED: u8 = 64;
/// It is a part of a divided group.
const PART: u8 = 128;

impl Cluster {
    fn set(&mut self, flag: u8, on: bool) {
        self.flags = if on { self.flags | flag } else { self.flags & !flag };
    }

    pub(super) fn is_public(&self) -> bool {
        self.flags & PUBLIC != 0
    }

    pub(super) fn set_public(&mut self, public: bool) {
        self.set(PUBLIC, public);
    }

    pub(super) fn is_stale(&self) -> bool {
        self.flags & STALE != 0
    }

    pub(super) fn is_named(&self) -> bool {
        self.flags & NAMED != 0
    }

    pub(super) fn set_named(&mut self, named: bool) {
        self.set(NAMED, named);
    }

    pub(super) fn is_seen(&self) -> bool {
        self.flags & SEEN != 0
    }

    pub(super) fn set_seen(&mut self, seen: bool) {
        self.set(SEEN, seen);
    }

    pub(super) fn is_touched(&self) -> bool {
        self.flags & TOUCHED != 0
    }

    pub(super) fn set_touched(&mut self, touched: bool) {
        self.set(TOUCHED, touched);
    }

    pub(super) fn is_part(&self) -> bool {
        self.flags & PART != 0
    }

    pub(super) fn set_part(&mut self, part: bool) {
        self.set(PART, part);
    }

    pub(super) fn set_given(&mut self, given: bool) {
        self.set(GIVEN, given);
    }

    /// Whether its events are its own at all times: it is a person, and claims and merges say
    /// nothing else.
    pub(super) fn is_plain(&self) -> bool {
        self.flags & (PUBLIC | CLAIMED | GIVEN) == 0
    }
}

/// All clusters.
#[derive(Debug, Default)]
pub(super) struct Clusters {
    heads: Chunks<Cluster>,
    rest: Chunks<ClusterRest>,
    free: Vec<ClusterId>,
    /// Handles given out so far.
    handles: Handle,
    /// Limits of each type, and of the mixtures of types that occurred.
    limits: Vec<Limits>,
    none: Extra,
    /// How many clusters have an [`Extra`].
    extras: usize,
}

impl Clusters {
    /// No clusters of these types yet.
    pub(super) fn new(config: &IdentityConfig) -> Self {
        let of = |t: &crate::identity::IdentityType| Limits {
            owners_max: t.owners_max,
            forward: t.forward,
            back: t.back,
            own: t.own,
        };
        let mut clusters = Self { limits: vec![Limits::NONE], ..Self::default() };
        clusters.limits.extend(config.types.iter().map(of));
        clusters
    }

    /// Memory that is held, in bytes, about.
    pub(super) fn bytes(&self) -> usize {
        let extras = self.extras * size_of::<Extra>();
        self.heads.bytes() + self.rest.bytes() + bytes::list(&self.free) + extras
    }

    /// Limits by index.
    pub(super) fn limits_at(&self, index: u32) -> Limits {
        self.limits[index as usize]
    }

    /// The limits of the last `refresh`.
    pub(super) fn limits(&self, id: ClusterId) -> Limits {
        self.limits_at(self.rest[id].limits)
    }

    pub(super) fn rest(&self, id: ClusterId) -> &ClusterRest {
        &self.rest[id]
    }

    pub(super) fn rest_mut(&mut self, id: ClusterId) -> &mut ClusterRest {
        &mut self.rest[id]
    }

    pub(super) fn count(&self, id: ClusterId) -> usize {
        self.rest[id].count as usize
    }

    pub(super) fn extra(&self, id: ClusterId) -> &Extra {
        self.rest[id].extra.as_deref().unwrap_or(&self.none)
    }

    pub(super) fn extra_mut(&mut self, id: ClusterId) -> &mut Extra {
        let extra = &mut self.rest[id].extra;
        self.extras += usize::from(extra.is_none());
        extra.get_or_insert_default()
    }

    /// Notes whether there are claims, after they changed.
    pub(super) fn note_claims(&mut self, id: ClusterId) {
        let claimed = !self.extra(id).claims.is_empty();
        self.heads[id].set(CLAIMED, claimed);
    }

    /// Lets go of what an untouched cluster does not need.
    pub(super) fn trim(&mut self, id: ClusterId) {
        let rest = &mut self.rest[id];
        if rest.extra.as_ref().is_some_and(|extra| extra.is_empty()) {
            rest.extra = None;
            self.extras -= 1;
        }
    }

    /// Frees an empty cluster, which is free until it is made anew.
    pub(super) fn release(&mut self, id: ClusterId) {
        self.heads[id].handle = 0;
        self.extras -= usize::from(self.rest[id].extra.take().is_some());
        self.free.push(id);
    }
}

impl std::ops::Index<ClusterId> for Clusters {
    type Output = Cluster;
    fn index(&self, id: ClusterId) -> &Cluster {
        &self.heads[id]
    }
}

impl std::ops::IndexMut<ClusterId> for Clusters {
    fn index_mut(&mut self, id: ClusterId) -> &mut Cluster {
        &mut self.heads[id]
    }
}

impl Incremental {
    /// A new cluster without members.
    pub(super) fn new_cluster(&mut self, rank: u8) -> ClusterId {
        let all = &mut self.clusters;
        all.handles += 1;
        let cluster = Cluster { handle: all.handles, assigned: 0, rank, flags: 0 };
        let rest = ClusterRest {
            weight: 0,
            head: NOBODY,
            count: 0,
            strongest: NOBODY,
            shown: 0,
            limits: 0,
            extra: None,
        };
        let free = all.free.pop();
        all.rest.put(free, rest);
        all.heads.put(free, cluster)
    }

    /// The members of a cluster.
    pub(super) fn members(&self, id: ClusterId) -> Vec<Node> {
        let rest = self.clusters.rest(id);
        let mut list = Vec::with_capacity(rest.count as usize);
        let mut node = rest.head;
        for _ in 0..rest.count {
            list.push(node);
            node = self.nodes[node].next;
        }
        list
    }

    /// Puts a node that is in no cluster into one. Its claims are the caller's affair.
    pub(super) fn enter(&mut self, node: Node, id: ClusterId) {
        if self.matters(node, id) {
            self.touch(id);
        }
        self.nodes[node].enter(id);
        let head = self.clusters.rest(id).head;
        let (before, after) = match head {
            NOBODY => (node, node),
            head => (self.nodes.rest(head).previous, head),
        };
        self.nodes[node].next = after;
        self.nodes.rest_mut(node).previous = before;
        self.nodes[before].next = node;
        self.nodes.rest_mut(after).previous = node;
        let (ident, hub, weight) = {
            let record = &self.nodes[node];
            (record.ident(), record.is_hub(), record.weight())
        };
        let first = (head != NOBODY).then(|| self.nodes[head].ident().kind);
        let rest = self.clusters.rest_mut(id);
        rest.weight = rest.weight.wrapping_add(weight);
        rest.count += 1;
        if head == NOBODY {
            rest.head = node;
        }
        let others = rest.count - 1;
        let strongest = rest.strongest;
        if hub {
            self.clusters.extra_mut(id).hubs += 1;
        }
        self.count_kind(id, ident.kind, first, others);
        if !self.clusters[id].is_stale() {
            let strength = |node: Node| self.config.strength(self.nodes[node].ident());
            if strongest == NOBODY || self.config.strength(ident) < strength(strongest) {
                self.clusters.rest_mut(id).strongest = node;
            }
        }
    }

    /// Whether a new member changes anything about a cluster but its size.
    fn matters(&self, node: Node, id: ClusterId) -> bool {
        let (record, rest) = (&self.nodes[node], self.clusters.rest(id));
        let strength = |node: Node| self.config.strength(self.nodes[node].ident());
        rest.head == NOBODY
            || record.is_hub()
            || self.nodes[rest.head].ident().kind != record.ident().kind
            || self.clusters[id].is_stale()
            || rest.extra.is_some()
            || strength(node) < strength(rest.strongest)
    }

    /// Takes a node out of its cluster.
    pub(super) fn leave(&mut self, node: Node) {
        let id = self.cluster_of(node);
        self.touch(id);
        let record = &self.nodes[node];
        let (next, kind, hub) = (record.next, record.ident().kind, record.is_hub());
        let weight = record.weight();
        let previous = self.nodes.rest(node).previous;
        self.nodes[previous].next = next;
        self.nodes.rest_mut(next).previous = previous;
        let rest = self.clusters.rest_mut(id);
        rest.weight = rest.weight.wrapping_sub(weight);
        rest.count -= 1;
        if rest.head == node {
            rest.head = if next == node { NOBODY } else { next };
        }
        let stale = rest.strongest == node;
        if rest.count == 0 {
            self.changed.emptied.push(id);
        }
        if hub {
            self.clusters.extra_mut(id).hubs -= 1;
        }
        if !self.clusters.extra(id).kinds.is_empty() {
            self.uncount_kind(id, kind);
        }
        if stale {
            self.clusters[id].set(STALE, true);
        }
    }

    /// Counts a member's type, if not all are of one type.
    fn count_kind(&mut self, id: ClusterId, kind: u8, first: Option<u8>, others: u32) {
        let known = self.clusters.extra(id);
        if known.kinds.is_empty() {
            if let Some(first) = first.filter(|&first| first != kind) {
                let kinds = [(first, others), (kind, 1)];
                self.clusters.extra_mut(id).kinds = SmallVec::from_iter(kinds);
            }
            return;
        }
        let kinds = &mut self.clusters.extra_mut(id).kinds;
        match kinds.iter_mut().find(|k| k.0 == kind) {
            Some(entry) => entry.1 += 1,
            None => kinds.push((kind, 1)),
        }
    }

    fn uncount_kind(&mut self, id: ClusterId, kind: u8) {
        let kinds = &mut self.clusters.extra_mut(id).kinds;
        if let Some(place) = kinds.iter().position(|k| k.0 == kind) {
            kinds[place].1 -= 1;
            if kinds[place].1 == 0 {
                kinds.swap_remove(place);
            }
        }
        if kinds.len() == 1 {
            *kinds = SmallVec::new();
        }
    }

    /// Notes that something about a cluster is about to change.
    pub(super) fn touch(&mut self, id: ClusterId) -> &mut Touched {
        let mut former = None;
        if !self.clusters[id].is_touched() {
            self.clusters[id].set_touched(true);
            former = self.name(id);
            let rank = self.clusters[id].rank;
            let of_rank = self.ranks.partition_point(|&r| r < rank);
            self.changed.clusters[of_rank].push(id);
        }
        self.changed.touched.note(id, self.changed.by, former)
    }

    /// What was noted of a cluster in this epoch.
    pub(super) fn touched(&self, id: ClusterId) -> Option<&Touched> {
        if self.clusters[id].is_touched() { self.changed.touched.get(id) } else { None }
    }

    /// The person id last reported, as long as the cluster is not touched.
    pub(super) fn name(&self, id: ClusterId) -> Option<Token> {
        let strongest = self.clusters.rest(id).strongest;
        self.clusters[id].is_named().then(|| self.nodes[strongest].ident().token)
    }

    /// Notes that the person of a cluster may have changed in a span.
    pub(super) fn mark(&mut self, id: ClusterId, span: Span) {
        if span.0 <= span.1 {
            self.touch(id).marks.push(span);
        }
    }

    /// Finds the strongest member anew.
    pub(super) fn find_strongest(&mut self, id: ClusterId) {
        let strength = |&n: &Node| self.config.strength(self.nodes[n].ident());
        let strongest = self.members(id).into_iter().min_by_key(strength);
        self.clusters.rest_mut(id).strongest = strongest.unwrap_or(NOBODY);
        self.clusters[id].set(STALE, false);
    }

    /// The limits that the members' types set, as an index into the table of limits. `own` is of
    /// the strongest member.
    pub(super) fn limits_now(&mut self, id: ClusterId) -> u32 {
        let rest = self.clusters.rest(id);
        if rest.head == NOBODY {
            return 0;
        }
        let kinds = &self.clusters.extra(id).kinds;
        if kinds.is_empty() {
            return u32::from(self.nodes[rest.head].ident().kind) + 1;
        }
        let mut mixed = Limits::NONE;
        for &(kind, _) in kinds {
            let one = &self.clusters.limits[usize::from(kind) + 1];
            mixed.owners_max = mixed.owners_max.min(one.owners_max);
            mixed.forward = mixed.forward.min(one.forward);
            mixed.back = mixed.back.min(one.back);
            mixed.own = one.own;
        }
        if rest.strongest != NOBODY {
            let kind = self.nodes[rest.strongest].ident().kind;
            mixed.own = self.config.types[usize::from(kind)].own;
        }
        let known = self.clusters.limits.iter().position(|l| *l == mixed);
        known.unwrap_or_else(|| {
            self.clusters.limits.push(mixed);
            self.clusters.limits.len() - 1
        }) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_is_small() {
        assert_eq!((size_of::<Cluster>(), size_of::<ClusterRest>()), (16, 32));
    }
}
