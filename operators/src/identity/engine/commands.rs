//! Merges and unmerges: the last word on each pair, and those that cross ranks.

use std::collections::BTreeMap;

use super::cluster::ALWAYS;
use super::links::pair;
use super::slots::{ClusterId, Node};
use super::{Incremental, Map};
use crate::model::{Command, CommandKind, EventKey, Micros};
use crate::people::{Keyed, SortedChunks};

/// The order of commands: time, then message id hash.
pub(super) type Order = (Micros, u128);

/// A command in force between identifiers of different ranks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Cross {
    pub order: Order,
    pub strong: Node,
    pub weak: Node,
}

/// Its place among commands: the same order as that of the whole. The hash of the message id comes
/// before the nodes, so its halves stand in both parts.
impl Keyed for Cross {
    fn key(&self) -> EventKey {
        let (time, hash) = self.order;
        let nodes = u128::from(self.strong) << 32 | u128::from(self.weak);
        EventKey { time, seq: (hash >> 64) as u64, id: hash << 64 | nodes }
    }
}

/// Commands by a node or cluster, in order: one that comes or goes costs a search.
type By = Map<u32, SortedChunks<Cross>>;

/// Cross-rank commands of one kind, found from either end.
#[derive(Debug, Default)]
pub(super) struct Crossings {
    of_node: By,
    by_weak: By,
    by_strong: By,
}

fn put(map: &mut By, key: u32, cross: Cross) {
    map.entry(key).or_default().insert(cross);
}

fn take(map: &mut By, key: u32, cross: Cross) {
    if let Some(list) = map.get_mut(&key) {
        list.remove(cross.key());
        if list.is_empty() {
            map.remove(&key);
        }
    }
}

impl Crossings {
    fn add(&mut self, cross: Cross, weak: ClusterId, strong: ClusterId) {
        put(&mut self.of_node, cross.weak, cross);
        put(&mut self.of_node, cross.strong, cross);
        put(&mut self.by_weak, weak, cross);
        put(&mut self.by_strong, strong, cross);
    }

    fn remove(&mut self, cross: Cross, weak: ClusterId, strong: ClusterId) {
        take(&mut self.of_node, cross.weak, cross);
        take(&mut self.of_node, cross.strong, cross);
        take(&mut self.by_weak, weak, cross);
        take(&mut self.by_strong, strong, cross);
    }

    /// Whether there is a command whose weaker identifier is in the cluster.
    pub(super) fn any_on(&self, weak: ClusterId) -> bool {
        self.by_weak.contains_key(&weak)
    }

    /// The last command whose weaker identifier is in the cluster.
    pub(super) fn last_on(&self, weak: ClusterId) -> Option<&Cross> {
        self.by_weak.get(&weak)?.last()
    }

    /// The commands whose weaker identifier is in the cluster.
    pub(super) fn on(&self, weak: ClusterId) -> impl Iterator<Item = &Cross> {
        self.by_weak.get(&weak).into_iter().flat_map(SortedChunks::iter)
    }

    /// The commands whose stronger identifier is in the cluster.
    pub(super) fn from(&self, strong: ClusterId) -> impl Iterator<Item = &Cross> {
        self.by_strong.get(&strong).into_iter().flat_map(SortedChunks::iter)
    }

    /// Follows a node to another cluster; returns its commands.
    fn follow(&mut self, node: Node, from: ClusterId, to: ClusterId) -> Vec<Cross> {
        let Some(list) = self.of_node.get(&node) else { return Vec::new() };
        let list: Vec<Cross> = list.iter().copied().collect();
        for &cross in &list {
            let map = if cross.weak == node { &mut self.by_weak } else { &mut self.by_strong };
            take(map, from, cross);
            put(map, to, cross);
        }
        list
    }
}

/// The commands that name an identifier.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Named {
    /// In force or not: it is kept while there are any.
    commands: u32,
    /// Merges in force: it is somebody while there are any.
    pub merges: u32,
}

/// All commands.
#[derive(Debug, Default)]
pub(super) struct Commands {
    words: Map<(Node, Node), BTreeMap<Order, CommandKind>>,
    named: Map<Node, Named>,
    /// Merges in force across ranks: the weaker cluster is the stronger one's, at all times.
    pub gifts: Crossings,
    /// Unmerges in force across ranks: claims of the stronger one's person do not count.
    pub bars: Crossings,
}

impl Commands {
    /// The order of the word in force on a pair.
    pub(super) fn order(&self, x: Node, y: Node) -> Option<Order> {
        self.words.get(&pair(x, y))?.last_key_value().map(|(order, _)| *order)
    }

    /// The commands that name a node, if there are any.
    pub(super) fn named(&self, node: Node) -> Option<Named> {
        self.named.get(&node).copied()
    }

    /// Counts commands and merges in force that come (+1) or go (-1).
    fn count(&mut self, node: Node, commands: i32, merges: i32) {
        let named = self.named.entry(node).or_default();
        named.commands = named.commands.saturating_add_signed(commands);
        named.merges = named.merges.saturating_add_signed(merges);
        if *named == Named::default() {
            self.named.remove(&node);
        }
    }
}

impl Incremental {
    /// Takes in a command that comes or goes.
    pub(super) fn command(&mut self, key: EventKey, command: Command, diff: i8) {
        let (x, y) = (self.intern(command.x), self.intern(command.y));
        if x == y {
            return; // a pair is two identifiers
        }
        let order = (key.time, key.id);
        let words = self.commands.words.entry(pair(x, y)).or_default();
        let before = words.last_key_value().map(|(&o, &k)| (o, k));
        let changed = if diff > 0 {
            words.insert(order, command.kind).is_none()
        } else {
            words.remove(&order).is_some()
        };
        let after = words.last_key_value().map(|(&o, &k)| (o, k));
        if after.is_none() {
            self.commands.words.remove(&pair(x, y));
        }
        for node in [x, y] {
            if changed {
                self.commands.count(node, i32::from(diff), 0);
            }
            self.touch_node(node);
        }
        if before != after {
            if let Some((order, kind)) = before {
                self.revoke(x, y, order, kind);
            }
            if let Some((order, kind)) = after {
                self.enforce(x, y, order, kind);
            }
        }
        for node in [x, y] {
            self.set_commanded(node);
        }
    }

    fn count_merge(&mut self, nodes: [Node; 2], diff: i32) {
        for node in nodes {
            self.commands.count(node, 0, diff);
        }
    }

    fn cross(&self, x: Node, y: Node, order: Order) -> Cross {
        let (strong, weak) = if self.rank(x) < self.rank(y) { (x, y) } else { (y, x) };
        Cross { order, strong, weak }
    }

    fn enforce(&mut self, x: Node, y: Node, order: Order, kind: CommandKind) {
        let merge = kind == CommandKind::Merge;
        if merge {
            self.count_merge([x, y], 1);
        }
        if self.rank(x) != self.rank(y) {
            let cross = self.cross(x, y, order);
            let (weak, strong) = (self.cluster_of(cross.weak), self.cluster_of(cross.strong));
            let commands = &mut self.commands;
            let list = if merge { &mut commands.gifts } else { &mut commands.bars };
            list.add(cross, weak, strong);
            self.note_given(weak);
            self.mark(weak, ALWAYS);
        } else if merge {
            self.join(x, y);
        } else {
            let linked = self.in_force(x, y) && self.nodes[x].neighbours.has(y);
            self.links.apart.insert(pair(x, y));
            self.changed.groups.extend([x, y]);
            if linked {
                self.link_down(x, y);
            }
        }
    }

    fn revoke(&mut self, x: Node, y: Node, order: Order, kind: CommandKind) {
        let merge = kind == CommandKind::Merge;
        if merge {
            self.count_merge([x, y], -1);
        }
        if self.rank(x) != self.rank(y) {
            let cross = self.cross(x, y, order);
            let (weak, strong) = (self.cluster_of(cross.weak), self.cluster_of(cross.strong));
            let commands = &mut self.commands;
            let list = if merge { &mut commands.gifts } else { &mut commands.bars };
            list.remove(cross, weak, strong);
            self.note_given(weak);
            self.mark(weak, ALWAYS);
        } else if merge {
            self.unjoin(x, y);
        } else {
            self.links.apart.remove(&pair(x, y));
            self.changed.groups.extend([x, y]);
            if self.in_force(x, y) && self.nodes[x].neighbours.has(y) {
                self.link_up(x, y);
            }
        }
    }

    /// Notes whether a merge gives a cluster to a stronger one.
    fn note_given(&mut self, id: ClusterId) {
        let given = self.commands.gifts.any_on(id);
        self.clusters[id].set_given(given);
    }

    /// A node moved: so do its commands, and weaker clusters may follow another person.
    pub(super) fn move_commands(&mut self, node: Node, from: ClusterId, to: ClusterId) {
        let mut moved = self.commands.gifts.follow(node, from, to);
        moved.extend(self.commands.bars.follow(node, from, to));
        for cross in moved {
            if cross.weak == node {
                self.note_given(from);
                self.note_given(to);
                self.mark(from, ALWAYS);
                self.mark(to, ALWAYS);
            } else {
                self.mark(self.cluster_of(cross.weak), ALWAYS);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::testing::Seeded;

    #[test]
    fn commands_stand_in_their_own_order() {
        let mut random = Seeded(4);
        let ends = [0, 1, u64::MAX - 1, u64::MAX];
        let mut commands = Vec::new();
        for _ in 0..400 {
            let hash = u128::from(random.pick(&ends)) << 64 | u128::from(random.pick(&ends));
            let order = (random.below(2) as Micros, hash);
            let (strong, weak) = (random.below(3) as Node, random.below(3) as Node);
            commands.push(Cross { order, strong, weak });
        }
        let mut by_key = commands.clone();
        by_key.sort_by_key(Keyed::key);
        commands.sort_unstable();
        assert_eq!(commands, by_key);
    }
}
