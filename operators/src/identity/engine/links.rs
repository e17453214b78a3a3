//! Links between identifiers of one rank, and what they connect: units and groups.

use super::cut::{Edge, cut};
use super::neighbours::Neighbours;
use super::slots::{NOBODY, Node};
use super::units::Units;
use super::{Incremental, Map, Set};
use crate::bytes;
use crate::identity::{IdentityConfig, NO_LIMIT};

/// Links and what they connect.
#[derive(Debug, Default)]
pub(super) struct Links {
    /// Connected by links in force; only where `cluster_max` is a limit.
    pub units: Option<Units>,
    /// `cluster_max`.
    max: usize,
    /// Merges in force inside a rank, both ways.
    joins: Map<Node, Vec<Node>>,
    /// Pairs of one rank with an unmerge in force: a link of such a pair does not count.
    pub apart: Set<(Node, Node)>,
    /// A node that is becoming a hub, and the neighbours whose link is closed already.
    closing: Option<(Node, Set<Node>)>,
}

/// The pair with the smaller node first.
pub(super) fn pair(x: Node, y: Node) -> (Node, Node) {
    (x.min(y), x.max(y))
}

impl Links {
    pub(super) fn new(config: &IdentityConfig) -> Self {
        let units = (config.cluster_max != NO_LIMIT).then(Units::default);
        Self { units, max: config.cluster_max as usize, ..Self::default() }
    }

    /// Memory that is held, in bytes, about.
    pub(super) fn bytes(&self) -> usize {
        // A list of merges has few of them.
        let joins = bytes::map(self.joins.capacity(), size_of::<(Node, Vec<Node>)>() + 16);
        let apart = bytes::map(self.apart.capacity(), size_of::<(Node, Node)>());
        self.units.as_ref().map_or(0, Units::bytes) + joins + apart
    }

    pub(super) fn add_node(&mut self, node: Node) {
        if let Some(units) = &mut self.units {
            units.add(node);
        }
    }

    /// Whether the units of these nodes can be made one within `cluster_max`, `NOBODY` being a new
    /// node.
    pub(super) fn have_room(&self, nodes: &[Node]) -> bool {
        self.units.as_ref().is_none_or(|units| {
            let size = |&node: &Node| if node == NOBODY { 1 } else { units.size(node) as usize };
            nodes.iter().map(size).sum::<usize>() <= self.max
        })
    }

    /// Forgets a node without links and merges.
    pub(super) fn remove_node(&mut self, node: Node) {
        if let Some(units) = &mut self.units {
            units.remove(node);
        }
    }

    fn closed(&self, x: Node, y: Node) -> bool {
        (!self.apart.is_empty() && self.apart.contains(&pair(x, y)))
            || self.closing.as_ref().is_some_and(|(hub, closed)| {
                (x == *hub && closed.contains(&y)) || (y == *hub && closed.contains(&x))
            })
    }
}

impl Incremental {
    /// One more event shows the link.
    pub(super) fn link(&mut self, x: Node, y: Node) {
        if self.nodes[x].neighbours.more(y) {
            self.nodes[y].neighbours.more(x);
            return;
        }
        for (node, other) in [(x, y), (y, x)] {
            let neighbours = &mut self.nodes[node].neighbours;
            neighbours.add(other);
            let apart = neighbours.len() > Neighbours::FEW;
            self.nodes.linked += u64::from(apart);
        }
        self.grow_hub(x, y);
        self.grow_hub(y, x);
        if self.in_force(x, y) {
            self.link_up(x, y);
        }
    }

    /// One event fewer shows the link.
    pub(super) fn unlink(&mut self, x: Node, y: Node) {
        let stays = self.nodes[x].neighbours.less(y);
        self.nodes[y].neighbours.less(x);
        if stays != Some(false) {
            return;
        }
        for node in [x, y] {
            let apart = self.nodes[node].neighbours.len() >= Neighbours::FEW;
            self.nodes.linked -= u64::from(apart);
        }
        if self.in_force(x, y) {
            self.link_down(x, y);
        }
        self.shrink_hub(x);
        self.shrink_hub(y);
    }

    /// Whether a raw link counts: neither end is a hub, and no unmerge names the pair.
    pub(super) fn in_force(&self, x: Node, y: Node) -> bool {
        !self.nodes[x].is_hub() && !self.nodes[y].is_hub() && !self.links.closed(x, y)
    }

    /// Whether a link that is in force joins clusters: its unit is within `cluster_max`.
    pub(super) fn joins(&self, x: Node, y: Node) -> bool {
        !self.oversize(x) && !self.oversize(y)
    }

    /// The other ends of a node's merges inside its rank.
    pub(super) fn merged_with(&self, node: Node) -> &[Node] {
        self.links.joins.get(&node).map_or(&[], Vec::as_slice)
    }

    fn oversize(&self, node: Node) -> bool {
        let max = self.config.cluster_max;
        self.links.units.as_ref().is_some_and(|units| units.size(node) > max)
    }

    fn degree_max(&self, node: Node) -> usize {
        let kind = self.nodes[node].ident().kind;
        self.config.types[usize::from(kind)].degree_max as usize
    }

    /// After `node` was linked with `new`, not yet in force: closes all its links if it is a hub
    /// now.
    fn grow_hub(&mut self, node: Node, new: Node) {
        let record = &self.nodes[node];
        if record.is_hub() || record.neighbours.len() <= self.degree_max(node) {
            return;
        }
        let neighbours = record.neighbours.all();
        self.links.closing = Some((node, Set::from_iter([new])));
        for other in neighbours {
            if self.in_force(node, other) {
                if let Some((_, closed)) = &mut self.links.closing {
                    closed.insert(other);
                }
                self.link_down(node, other);
            }
        }
        self.links.closing = None;
        self.set_hub(node, true);
    }

    fn shrink_hub(&mut self, node: Node) {
        let record = &self.nodes[node];
        if !record.is_hub() || record.neighbours.len() > self.degree_max(node) {
            return;
        }
        let neighbours = record.neighbours.all();
        self.set_hub(node, false);
        for other in neighbours {
            if self.in_force(node, other) {
                self.link_up(node, other);
            }
        }
    }

    fn set_hub(&mut self, node: Node, hub: bool) {
        self.nodes[node].set_hub(hub);
        let cluster = self.cluster_of(node);
        self.touch(cluster);
        let hubs = &mut self.clusters.extra_mut(cluster).hubs;
        *hubs = if hub { *hubs + 1 } else { *hubs - 1 };
    }

    /// A link came into force.
    pub(super) fn link_up(&mut self, x: Node, y: Node) {
        self.touch_group(x);
        self.touch_group(y);
        let Some(units) = &self.links.units else { return self.join_groups(x, y) };
        if units.of(x) == units.of(y) {
            return;
        }
        let max = self.config.cluster_max;
        let sizes = [(x, units.size(x)), (y, units.size(y))];
        self.join_units(x, y);
        if sizes[0].1 + sizes[1].1 <= max {
            self.join_groups(x, y);
            return;
        }
        for (node, size) in sizes {
            if size <= max {
                self.regroup(node); // its links join no longer
            }
        }
    }

    /// A link is in force no longer; `in_force` says so already.
    pub(super) fn link_down(&mut self, x: Node, y: Node) {
        self.touch_group(x);
        if self.links.units.is_none() {
            return self.search_groups(x, y);
        }
        let oversize = self.oversize(x);
        let (side, steps) = cut(x, y, |node, edge| self.unit_edge(node, edge));
        self.work += steps;
        let Some(side) = side else { return };
        if !oversize {
            // Only merges could still connect the side with the rest of the group.
            if side.iter().all(|&node| self.merged_with(node).is_empty()) {
                self.separate_groups(&side);
            } else {
                self.search_groups(x, y);
            }
        }
        if let Some(units) = &mut self.links.units {
            units.separate(&side);
        }
        if oversize {
            for node in [x, y] {
                if !self.oversize(node) {
                    self.condense(node);
                }
            }
        }
    }

    /// A merge inside the rank came into force.
    pub(super) fn join(&mut self, x: Node, y: Node) {
        self.links.joins.entry(x).or_default().push(y);
        self.links.joins.entry(y).or_default().push(x);
        self.touch_group(x);
        self.touch_group(y);
        self.join_groups(x, y);
    }

    /// A merge inside the rank is in force no longer.
    pub(super) fn unjoin(&mut self, x: Node, y: Node) {
        for (at, other) in [(x, y), (y, x)] {
            if let Some(list) = self.links.joins.get_mut(&at) {
                if let Some(place) = list.iter().position(|&n| n == other) {
                    list.swap_remove(place);
                }
                if list.is_empty() {
                    self.links.joins.remove(&at);
                }
            }
        }
        self.touch_group(x);
        self.search_groups(x, y);
    }

    fn unit_edge(&self, node: Node, edge: usize) -> Edge {
        match self.nodes[node].neighbours.get(edge) {
            Some(to) if self.in_force(node, to) => Edge::To(to),
            Some(_) => Edge::Closed,
            None => Edge::End,
        }
    }

    fn group_edge(&self, node: Node, edge: usize) -> Edge {
        let neighbours = &self.nodes[node].neighbours;
        if let Some(to) = neighbours.get(edge) {
            if self.in_force(node, to) && self.joins(node, to) {
                return Edge::To(to);
            }
            return Edge::Closed;
        }
        match self.merged_with(node).get(edge - neighbours.len()) {
            Some(&to) => Edge::To(to),
            None => Edge::End,
        }
    }

    /// After an edge went: separates the groups of its ends if nothing else connects them.
    fn search_groups(&mut self, x: Node, y: Node) {
        if self.group(x) != self.group(y) {
            return;
        }
        let (side, steps) = cut(x, y, |node, edge| self.group_edge(node, edge));
        self.work += steps;
        if let Some(side) = side {
            self.separate_groups(&side);
        }
    }

    /// Finds the groups of a node's group anew, after its links ceased to join.
    fn regroup(&mut self, node: Node) {
        let all = self.group_members(self.group(node));
        let mut seen = Set::default();
        let mut parts: Vec<Vec<Node>> = Vec::new();
        for start in all {
            if !seen.insert(start) {
                continue;
            }
            let mut part = vec![start];
            let mut head = 0;
            while let Some(&at) = part.get(head) {
                head += 1;
                for edge in 0.. {
                    match self.group_edge(at, edge) {
                        Edge::To(to) if seen.insert(to) => part.push(to),
                        Edge::To(_) | Edge::Closed => {}
                        Edge::End => break,
                    }
                }
            }
            parts.push(part);
        }
        let largest = (0..parts.len()).max_by_key(|&i| parts[i].len());
        for (index, part) in parts.iter().enumerate() {
            if Some(index) != largest {
                self.separate_groups(part);
            }
        }
    }

    /// Joins the groups of a node's unit along its links, after they began to join.
    fn condense(&mut self, node: Node) {
        for x in self.unit_members(node) {
            self.touch_group(x);
            for y in self.nodes[x].neighbours.all() {
                if x < y && self.in_force(x, y) {
                    self.join_groups(x, y);
                }
            }
        }
    }
}
