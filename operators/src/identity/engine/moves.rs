//! Claims, and nodes that move from one cluster to another.

use smallvec::SmallVec;

use super::Incremental;
use super::cluster::ALWAYS;
use super::slots::{ClusterId, Node, Slot};
use crate::identity::Own;
use crate::model::EventKey;

impl Incremental {
    /// The strongest identifier of an event that is stronger than `rank` and not public.
    pub(super) fn owner(&self, slot: Slot, rank: u8) -> Option<Node> {
        let nodes = self.events.nodes(slot).iter().copied();
        nodes
            .take_while(|&n| self.rank(n) < rank)
            .find(|&n| !self.clusters[self.cluster_of(n)].is_public())
    }

    fn owner_cluster(&self, slot: Slot, rank: u8) -> Option<ClusterId> {
        self.owner(slot, rank).map(|n| self.cluster_of(n))
    }

    /// The owner that a cluster's claim shows.
    pub(super) fn claimed_by(&self, cluster: ClusterId, claim: Slot) -> Option<ClusterId> {
        self.owner_cluster(claim, self.clusters[cluster].rank)
    }

    /// Adds (`diff` > 0) or takes away the claims of an event.
    pub(super) fn claim(&mut self, slot: Slot, nodes: &[Node], diff: i8) {
        if nodes.last().is_none_or(|&last| self.rank(last) == self.rank(nodes[0])) {
            return; // strongest first: no identifier has a stronger one beside it
        }
        for (place, &node) in nodes.iter().enumerate() {
            let cluster = self.cluster_of(node);
            let Some(owner) = self.owner_cluster(slot, self.rank(node)) else { continue };
            if nodes[..place].iter().any(|&n| self.cluster_of(n) == cluster) {
                continue;
            }
            if diff > 0 {
                self.replace(cluster, slot, None, Some(owner), true);
            } else {
                self.replace(cluster, slot, Some(owner), None, true);
            }
        }
    }

    /// Changes the owner that a cluster's claim shows.
    ///
    /// A claim that comes or goes `alone` marks no time in which its neighbours show the same
    /// owner. Where what other claims show has changed too, and not all of them are replaced yet,
    /// that comparison would be wrong.
    fn replace(
        &mut self,
        cluster: ClusterId,
        slot: Slot,
        before: Option<ClusterId>,
        after: Option<ClusterId>,
        alone: bool,
    ) {
        if before == after {
            return;
        }
        self.touch(cluster);
        if before.is_none() {
            self.clusters.extra_mut(cluster).claims.insert(&mut self.events, slot);
        }
        let comes_or_goes = before.is_none() || after.is_none();
        let owner = before.or(after).filter(|_| alone && comes_or_goes);
        self.mark_claim(cluster, slot, owner);
        if after.is_none() {
            self.clusters.extra_mut(cluster).claims.remove(&mut self.events, slot);
        }
        self.clusters.note_claims(cluster);
        if let Some(owner) = before {
            self.clusters.extra_mut(cluster).owners.remove(owner);
            self.clusters.extra_mut(owner).owned.remove(cluster);
            self.clusters.trim(owner);
        }
        if let Some(owner) = after {
            self.clusters.extra_mut(cluster).owners.add(owner);
            self.clusters.extra_mut(owner).owned.add(cluster);
        }
    }

    /// Marks the time that a claim may decide: up to its neighbours, within the limits, less that
    /// in which neighbours of the same owner decide the same.
    fn mark_claim(&mut self, id: ClusterId, slot: Slot, owner: Option<ClusterId>) {
        // `first` and `last`, a gift, an unmerge and becoming public mark the whole elsewhere.
        let limits = self.clusters.limits(id);
        if self.clusters[id].is_public() || limits.own != Own::Time {
            return;
        }
        let key = self.events.key(slot);
        let (before, after) = self.clusters.extra(id).claims.around(&self.events, key);
        let at = |slot: Slot| self.events.key(slot);
        let since = |time| EventKey { time, ..EventKey::MIN };
        let until = |time| EventKey { time, ..EventKey::MAX };
        let mut low = since(key.time.saturating_sub(limits.back));
        let mut high = until(key.time.saturating_add(limits.forward));
        let same = |other: Slot| owner.is_some() && self.claimed_by(id, other) == owner;
        if let Some(before) = before {
            low = low.max(at(before));
        }
        if let Some(after) = after {
            high = high.min(at(after));
        }
        match (before, after) {
            (Some(before), _) if same(before) => {
                let reach = at(before).time.saturating_add(limits.forward);
                if reach == i64::MAX {
                    return;
                }
                low = low.max(since(reach + 1));
                if let Some(after) = after.filter(|&after| same(after)) {
                    high = high.min(reached_back(at(after), limits.back));
                }
            }
            (None, Some(after)) if same(after) => {
                high = high.min(reached_back(at(after), limits.back));
            }
            _ => {}
        }
        self.mark(id, (low, high));
    }

    /// Makes one cluster of two: the one with fewer events moves.
    pub(super) fn merge_clusters(&mut self, a: ClusterId, b: ClusterId) {
        let weight = |id: ClusterId| self.clusters.rest(id).weight;
        // Of equal ones the older stays.
        let order = |id: ClusterId| (weight(id), std::cmp::Reverse(self.clusters[id].handle));
        let (keep, lose) = if order(a) > order(b) { (a, b) } else { (b, a) };
        let members = self.members(lose);
        self.read_events(&members);
        self.move_nodes(&members, keep);
    }

    /// Reads the records of the events of some nodes, which are far from each other in memory, in
    /// one go. What is read does not matter, but must not be optimised away.
    fn read_events(&self, nodes: &[Node]) {
        let mut sum: u32 = 0;
        for &node in nodes {
            sum ^= self.nodes[node].events.last(&self.events).unwrap_or(0)
                ^ self.nodes.rest(node).previous;
        }
        for &node in nodes {
            for slot in self.nodes[node].events.iter(&self.events) {
                sum ^= self.events.person(slot);
            }
        }
        std::hint::black_box(sum);
    }

    /// A new empty cluster, public if the one it is split from is.
    pub(super) fn split_off(&mut self, from: ClusterId) -> ClusterId {
        let (rank, public) = (self.clusters[from].rank, self.clusters[from].is_public());
        let id = self.new_cluster(rank);
        self.clusters[id].set_public(public);
        id
    }

    /// Moves nodes to another cluster of their rank.
    pub(super) fn move_nodes(&mut self, nodes: &[Node], to: ClusterId) {
        for &node in nodes {
            if self.cluster_of(node) != to {
                self.move_node(node, to);
            }
        }
    }

    fn move_node(&mut self, node: Node, to: ClusterId) {
        self.work += 1;
        let from = self.cluster_of(node);
        let rank = self.rank(node);
        let slots: Vec<Slot> = self.nodes[node].events.iter(&self.events).collect();
        let flips = self.clusters[from].is_public() != self.clusters[to].is_public();

        // What weaker clusters show as owner because of this node.
        let mut shown = Vec::new();
        if self.ranks.last() != Some(&rank) {
            for &slot in &slots {
                self.each_weaker(slot, rank, |engine, cluster, weaker| {
                    let owner = engine.owner(slot, weaker);
                    if flips || owner == Some(node) {
                        shown.push((cluster, slot, weaker, owner.map(|n| engine.cluster_of(n))));
                    }
                });
            }
        }
        // The node's own claims go along, unless another member shows them too.
        let weaker_than_some = self.ranks.first() != Some(&rank);
        for &slot in slots.iter().filter(|_| weaker_than_some) {
            let Some(owner) = self.owner_cluster(slot, rank) else { continue };
            let other_in = |cluster: ClusterId| {
                let mut nodes = self.events.nodes(slot).iter();
                nodes.any(|&n| n != node && self.cluster_of(n) == cluster)
            };
            let (stays, there) = (other_in(from), other_in(to));
            if !stays {
                self.replace(from, slot, Some(owner), None, true);
            }
            if !there {
                self.replace(to, slot, None, Some(owner), true);
            }
        }
        self.leave(node);
        self.enter(node, to);
        self.move_commands(node, from, to);
        for (cluster, slot, weaker, before) in shown {
            let after = self.owner_cluster(slot, weaker);
            self.replace(cluster, slot, before, after, false);
        }
        for slot in slots {
            self.touch_event(slot);
        }
        self.touch_node(node);
    }

    /// Calls `visit` for each cluster of an event that is weaker than `rank`, once, with its rank.
    fn each_weaker(&self, slot: Slot, rank: u8, mut visit: impl FnMut(&Self, ClusterId, u8)) {
        let mut seen: SmallVec<[ClusterId; 4]> = SmallVec::new();
        for &node in self.events.nodes(slot).iter().rev() {
            let weaker = self.rank(node);
            if weaker <= rank {
                break;
            }
            let cluster = self.cluster_of(node);
            if !seen.contains(&cluster) {
                seen.push(cluster);
                visit(self, cluster, weaker);
            }
        }
    }

    /// Makes a cluster public, or no longer: what it owns passes to the next stronger or weaker.
    pub(super) fn flip(&mut self, id: ClusterId) {
        let (rank, members) = (self.clusters[id].rank, self.members(id));
        let mut shown = Vec::new();
        for &node in &members {
            self.touch_node(node);
            if self.ranks.last() == Some(&rank) {
                continue;
            }
            for slot in self.nodes[node].events.iter(&self.events) {
                let mut of_cluster = self.events.nodes(slot).iter();
                if of_cluster.find(|&&n| self.cluster_of(n) == id) != Some(&node) {
                    continue; // another member has taken care of this event
                }
                self.each_weaker(slot, rank, |engine, cluster, weaker| {
                    shown.push((cluster, slot, weaker, engine.owner_cluster(slot, weaker)));
                });
            }
        }
        self.touch(id);
        let public = self.clusters[id].is_public();
        self.clusters[id].set_public(!public);
        for (cluster, slot, weaker, before) in shown {
            let after = self.owner_cluster(slot, weaker);
            self.replace(cluster, slot, before, after, false);
        }
        self.mark(id, ALWAYS);
    }
}

/// The last moment before those that a claim at `key` reaches back to.
fn reached_back(key: EventKey, back: i64) -> EventKey {
    match key.time.saturating_sub(back) {
        i64::MIN => EventKey::MIN,
        time => EventKey { time: time - 1, ..EventKey::MAX },
    }
}
