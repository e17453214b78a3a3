//! Groups: what links and merges connect. A group is one cluster, unless an unmerge divides it:
//! then it is a list of clusters, which `settle` finds.

use super::slots::{ClusterId, NOBODY, Node};
use super::{Incremental, Map};

/// A group: a cluster, or, with [`DIVIDED`], a divided group.
pub(super) type Group = u32;
/// Marks a group as divided. Clusters are fewer than that.
pub(super) const DIVIDED: u32 = 1 << 31;

/// Groups that an unmerge divides, each with its clusters.
#[derive(Debug, Default)]
pub(super) struct Groups {
    divided: Map<Group, Vec<ClusterId>>,
    /// Which of them a cluster is a part of.
    of: Map<ClusterId, Group>,
    /// The last number given out. Numbers are not used again while others are free.
    last: u32,
}

impl Groups {
    /// The divided groups.
    pub(super) fn divided(&self) -> impl Iterator<Item = Group> {
        self.divided.keys().copied()
    }

    /// A number that no divided group has.
    fn fresh(&mut self) -> Group {
        loop {
            self.last = (self.last + 1) % DIVIDED;
            let group = self.last | DIVIDED;
            if group != NOBODY && !self.divided.contains_key(&group) {
                return group;
            }
        }
    }
}

impl Incremental {
    fn group_of(&self, id: ClusterId) -> Group {
        let divided = self.clusters[id].is_part().then(|| self.groups.of.get(&id));
        divided.flatten().copied().unwrap_or(id)
    }

    pub(super) fn group(&self, node: Node) -> Group {
        self.group_of(self.cluster_of(node))
    }

    /// Makes a cluster a part of a divided group, or of none.
    pub(super) fn set_part(&mut self, id: ClusterId, group: Option<Group>) {
        self.clusters[id].set_part(group.is_some());
        match group {
            Some(group) => self.groups.of.insert(id, group),
            None => self.groups.of.remove(&id),
        };
    }

    fn clusters_of(&self, group: Group) -> Vec<ClusterId> {
        self.groups.divided.get(&group).cloned().unwrap_or_else(|| vec![group])
    }

    pub(super) fn group_members(&self, group: Group) -> Vec<Node> {
        self.clusters_of(group).into_iter().flat_map(|id| self.members(id)).collect()
    }

    /// Whether a node's group is divided.
    pub(super) fn is_divided(&self, node: Node) -> bool {
        self.group(node) & DIVIDED != 0
    }

    /// Notes that a divided group is to be divided anew.
    pub(super) fn touch_group(&mut self, node: Node) {
        if self.is_divided(node) {
            self.changed.groups.push(node);
        }
    }

    /// Makes these clusters the clusters of a group: one stands for itself.
    pub(super) fn set_group(&mut self, group: Group, clusters: Vec<ClusterId>, divided: bool) {
        let before = self.groups.divided.remove(&group).unwrap_or_default();
        for id in before {
            self.set_part(id, None);
        }
        if divided {
            let group = if group & DIVIDED == 0 { self.groups.fresh() } else { group };
            for &id in &clusters {
                self.set_part(id, Some(group));
            }
            self.groups.divided.insert(group, clusters);
        }
    }

    /// Joins the groups of two nodes, and their clusters if no unmerge is about.
    pub(super) fn join_groups(&mut self, x: Node, y: Node) {
        let (gx, gy) = (self.group(x), self.group(y));
        if gx == gy {
            return;
        }
        self.changed.structure = true;
        if (gx | gy) & DIVIDED == 0 {
            self.merge_clusters(gx, gy);
            return;
        }
        let (keep, lose) = if gx & DIVIDED == 0 { (gy, gx) } else { (gx, gy) };
        let moved = self.clusters_of(lose);
        self.groups.divided.remove(&lose);
        for &id in &moved {
            self.set_part(id, Some(keep));
        }
        self.groups.divided.entry(keep).or_default().extend(moved);
        self.changed.groups.push(x);
    }

    /// Makes some nodes of one group a group of their own, and a cluster.
    pub(super) fn separate_groups(&mut self, side: &[Node]) {
        let Some(&first) = side.first() else { return };
        self.changed.structure = true;
        let group = self.group(first);
        if group & DIVIDED == 0 {
            self.separate_cluster(group, side);
            return;
        }
        let mut by_cluster: Vec<(ClusterId, Node)> =
            side.iter().map(|&node| (self.cluster_of(node), node)).collect();
        by_cluster.sort_unstable();
        let mut ours = Vec::new();
        let mut all = self.clusters_of(group);
        for run in by_cluster.chunk_by(|a, b| a.0 == b.0) {
            let id = run[0].0;
            let nodes: Vec<Node> = run.iter().map(|entry| entry.1).collect();
            if nodes.len() == self.clusters.count(id) {
                ours.push(id);
                continue;
            }
            let new = self.separate_cluster(id, &nodes);
            all.push(new);
            ours.push(self.cluster_of(nodes[0]));
        }
        all.retain(|id| !ours.contains(id));
        self.changed.groups.push(first);
        self.changed.groups.extend(all.first().and_then(|&id| self.members(id).first().copied()));
        self.set_group(group, all, true);
        let new = self.groups.fresh();
        self.set_group(new, ours, true);
    }

    /// Divides a cluster into some of its nodes and the rest; the lighter part becomes a new
    /// cluster, which is returned.
    fn separate_cluster(&mut self, from: ClusterId, side: &[Node]) -> ClusterId {
        let weights = side.iter().map(|&node| self.nodes[node].weight());
        let weight = weights.fold(0, u32::wrapping_add);
        let light = if weight <= self.clusters.rest(from).weight / 2 {
            side.to_vec()
        } else {
            let mut side = side.to_vec();
            side.sort_unstable();
            let mut rest = self.members(from);
            rest.retain(|node| side.binary_search(node).is_err());
            rest
        };
        let to = self.split_off(from);
        self.move_nodes(&light, to);
        to
    }
}
