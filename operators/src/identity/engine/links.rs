//! Links between identifiers of one rank, and what they connect: units and groups.

use super::partition::{Edge, Partition, cut};
use super::slots::{ClusterId, Node};
use super::{Incremental, Map, Set};

/// A raw link: the number of events that show it, and its places in the two lists of neighbours.
#[derive(Debug)]
struct Link {
    events: u32,
    places: [u32; 2],
}

/// Links and what they connect.
#[derive(Debug, Default)]
pub(super) struct Links {
    raw: Map<(Node, Node), Link>,
    /// Connected by links in force.
    units: Partition,
    /// Connected by the links of units within `cluster_max` and by merges.
    groups: Partition,
    /// Merges in force inside a rank, both ways.
    joins: Map<Node, Vec<Node>>,
    /// Pairs of one rank with an unmerge in force: a link of such a pair does not count.
    pub apart: Set<(Node, Node)>,
    /// Groups that an unmerge divides: their clusters are found by `settle`.
    pub divided: Set<u32>,
    /// A node that is becoming a hub, and the neighbours whose link is closed already.
    closing: Option<(Node, Set<Node>)>,
}

/// The pair with the smaller node first.
pub(super) fn pair(x: Node, y: Node) -> (Node, Node) {
    (x.min(y), x.max(y))
}

impl Links {
    pub(super) fn add_node(&mut self, node: Node) {
        self.units.add(node);
        self.groups.add(node);
    }

    /// Forgets a node without links and merges.
    pub(super) fn remove_node(&mut self, node: Node) {
        self.divided.remove(&self.groups.of(node));
        self.units.remove(node);
        self.groups.remove(node);
    }

    pub(super) fn group(&self, node: Node) -> u32 {
        self.groups.of(node)
    }

    pub(super) fn group_members(&self, group: u32) -> &[Node] {
        self.groups.members(group)
    }

    pub(super) fn has(&self, pair: (Node, Node)) -> bool {
        self.raw.contains_key(&pair)
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
        let key = pair(x, y);
        if let Some(link) = self.links.raw.get_mut(&key) {
            link.events += 1;
            return;
        }
        let mut places = [0; 2];
        for (place, (at, to)) in places.iter_mut().zip([key, (key.1, key.0)]) {
            let list = &mut self.nodes[at as usize].neighbours;
            *place = list.len() as u32;
            list.push(to);
        }
        self.links.raw.insert(key, Link { events: 1, places });
        self.grow_hub(x, y);
        self.grow_hub(y, x);
        if self.in_force(x, y) {
            self.link_up(x, y);
        }
    }

    /// One event fewer shows the link.
    pub(super) fn unlink(&mut self, x: Node, y: Node) {
        let key = pair(x, y);
        let Some(link) = self.links.raw.get_mut(&key) else { return };
        link.events -= 1;
        if link.events > 0 {
            return;
        }
        let places = link.places;
        let in_force = self.in_force(x, y);
        self.links.raw.remove(&key);
        for (place, at) in places.into_iter().zip([key.0, key.1]) {
            let list = &mut self.nodes[at as usize].neighbours;
            list.swap_remove(place as usize);
            if let Some(&moved) = list.get(place as usize)
                && let Some(other) = self.links.raw.get_mut(&pair(at, moved))
            {
                other.places[usize::from(at > moved)] = place;
            }
        }
        if in_force {
            self.link_down(x, y);
        }
        self.shrink_hub(x);
        self.shrink_hub(y);
    }

    /// Whether a raw link counts: neither end is a hub, and no unmerge names the pair.
    pub(super) fn in_force(&self, x: Node, y: Node) -> bool {
        !self.nodes[x as usize].hub && !self.nodes[y as usize].hub && !self.links.closed(x, y)
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
        self.links.units.size(node) > self.config.cluster_max as usize
    }

    fn degree_max(&self, node: Node) -> usize {
        let kind = self.nodes[node as usize].ident.kind;
        self.config.types[usize::from(kind)].degree_max as usize
    }

    /// After `node` was linked with `new`, not yet in force: closes all its links if it is a hub
    /// now.
    fn grow_hub(&mut self, node: Node, new: Node) {
        let record = &self.nodes[node as usize];
        if record.hub || record.neighbours.len() <= self.degree_max(node) {
            return;
        }
        let neighbours = record.neighbours.clone();
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
        let record = &self.nodes[node as usize];
        if !record.hub || record.neighbours.len() > self.degree_max(node) {
            return;
        }
        let neighbours = record.neighbours.clone();
        self.set_hub(node, false);
        for other in neighbours {
            if self.in_force(node, other) {
                self.link_up(node, other);
            }
        }
    }

    fn set_hub(&mut self, node: Node, hub: bool) {
        self.nodes[node as usize].hub = hub;
        let cluster = self.cluster_of(node);
        let hubs = &mut self.clusters[cluster as usize].hubs;
        *hubs = if hub { *hubs + 1 } else { *hubs - 1 };
        self.touch(cluster);
    }

    /// A link came into force.
    pub(super) fn link_up(&mut self, x: Node, y: Node) {
        self.touch_group(x);
        self.touch_group(y);
        let units = &mut self.links.units;
        if units.of(x) == units.of(y) {
            return;
        }
        let max = self.config.cluster_max as usize;
        let sizes = [(x, units.size(x)), (y, units.size(y))];
        units.join(x, y);
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
        let oversize = self.oversize(x);
        let Some(side) = cut(x, y, |node, edge| self.unit_edge(node, edge)) else { return };
        if !oversize {
            // Only merges could still connect the side with the rest of the group.
            if side.iter().all(|&node| self.merged_with(node).is_empty()) {
                self.separate_groups(&side);
            } else {
                self.search_groups(x, y);
            }
        }
        self.links.units.separate(&side);
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

    /// Notes that a divided group is to be divided anew.
    fn touch_group(&mut self, node: Node) {
        if self.links.divided.contains(&self.links.group(node)) {
            self.changed.groups.push(node);
        }
    }

    fn unit_edge(&self, node: Node, edge: usize) -> Edge {
        match self.nodes[node as usize].neighbours.get(edge) {
            Some(&to) if self.in_force(node, to) => Edge::To(to),
            Some(_) => Edge::Closed,
            None => Edge::End,
        }
    }

    fn group_edge(&self, node: Node, edge: usize) -> Edge {
        let neighbours = &self.nodes[node as usize].neighbours;
        if let Some(&to) = neighbours.get(edge) {
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

    /// Joins the groups of two nodes, and their clusters.
    fn join_groups(&mut self, x: Node, y: Node) {
        let (gx, gy) = (self.links.group(x), self.links.group(y));
        if gx == gy {
            return;
        }
        self.changed.structure = true;
        let divided = self.links.divided.remove(&gx) | self.links.divided.remove(&gy);
        self.links.groups.join(x, y);
        if divided {
            self.links.divided.insert(self.links.group(x));
            self.changed.groups.push(x);
        } else {
            self.merge_clusters(self.cluster_of(x), self.cluster_of(y));
        }
    }

    /// After an edge went: separates the groups of its ends if nothing else connects them.
    fn search_groups(&mut self, x: Node, y: Node) {
        if self.links.group(x) == self.links.group(y)
            && let Some(side) = cut(x, y, |node, edge| self.group_edge(node, edge))
        {
            self.separate_groups(&side);
        }
    }

    /// Makes some nodes of one group a group of their own, and a cluster.
    fn separate_groups(&mut self, side: &[Node]) {
        let Some(&first) = side.first() else { return };
        let whole = self.links.group(first);
        self.changed.structure = true;
        self.links.groups.separate(side);
        if self.links.divided.contains(&whole) {
            self.links.divided.insert(self.links.group(first));
            self.changed.groups.push(first);
            self.changed.groups.extend(self.links.groups.members(whole).first());
            return;
        }
        let from: ClusterId = self.cluster_of(first);
        let cluster = &self.clusters[from as usize];
        let weight: u64 =
            side.iter().map(|&n| self.nodes[n as usize].events.len() as u64 + 1).sum();
        let light = if weight * 2 <= cluster.weight {
            side.to_vec()
        } else {
            self.links.groups.members(whole).to_vec()
        };
        let to = self.split_off(from);
        self.move_nodes(&light, to);
    }

    /// Finds the groups of a node's group anew, after its links ceased to join.
    fn regroup(&mut self, node: Node) {
        let all = self.links.groups.members(self.links.group(node)).to_vec();
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
        let unit = self.links.units.members(self.links.units.of(node)).to_vec();
        for x in unit {
            self.touch_group(x);
            for y in self.nodes[x as usize].neighbours.clone() {
                if x < y && self.in_force(x, y) {
                    self.join_groups(x, y);
                }
            }
        }
    }
}
