//! Units: what links in force connect, where `cluster_max` bounds it. A unit is a number; when two
//! join, the smaller one is relabelled along its links.

use super::Incremental;
use super::Set;
use super::chunks::Chunks;
use super::slots::Node;
use crate::bytes;

/// The unit of each node and the size of each unit.
#[derive(Debug, Default)]
pub(super) struct Units {
    unit: Chunks<u32>,
    sizes: Chunks<u32>,
    free: Vec<u32>,
}

impl Units {
    /// Memory that is held, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.unit.bytes() + self.sizes.bytes() + bytes::list(&self.free)
    }

    /// A unit of one node.
    pub(super) fn add(&mut self, node: Node) {
        while self.unit.len() <= node {
            self.unit.push(u32::MAX);
        }
        self.unit[node] = self.sizes.put(self.free.pop(), 1);
    }

    /// Takes a node that is alone in its unit out.
    pub(super) fn remove(&mut self, node: Node) {
        self.free.push(self.unit[node]);
    }

    pub(super) fn of(&self, node: Node) -> u32 {
        self.unit[node]
    }

    pub(super) fn size(&self, node: Node) -> u32 {
        self.sizes[self.unit[node]]
    }

    /// Gives some nodes of one unit a new one.
    pub(super) fn separate(&mut self, nodes: &[Node]) {
        let Some(&first) = nodes.first() else { return };
        let count = nodes.len() as u32;
        let from = self.of(first);
        self.sizes[from] -= count;
        let to = self.sizes.put(self.free.pop(), count);
        for &node in nodes {
            self.unit[node] = to;
        }
    }
}

impl Incremental {
    /// Makes one unit of those of two nodes.
    pub(super) fn join_units(&mut self, x: Node, y: Node) {
        let Some(units) = &self.links.units else { return };
        let (keep, lose) = if units.size(x) < units.size(y) { (y, x) } else { (x, y) };
        let nodes = self.unit_members(lose);
        let Some(units) = &mut self.links.units else { return };
        let (to, from) = (units.of(keep), units.of(lose));
        units.sizes[to] += nodes.len() as u32;
        units.free.push(from);
        for node in nodes {
            units.unit[node] = to;
        }
    }

    /// The nodes of a node's unit. Links that are in force already but do not join units yet lead
    /// to other units and are passed over.
    pub(super) fn unit_members(&self, start: Node) -> Vec<Node> {
        let Some(units) = &self.links.units else { return vec![start] };
        let unit = units.of(start);
        let mut list = vec![start];
        if units.size(start) == 1 {
            return list;
        }
        let (mut seen, mut next) = (Set::from_iter([start]), 0);
        while let Some(&node) = list.get(next) {
            next += 1;
            for place in 0.. {
                let Some(to) = self.nodes[node].neighbours.get(place) else { break };
                if units.of(to) == unit && self.in_force(node, to) && seen.insert(to) {
                    list.push(to);
                }
            }
        }
        list
    }
}
