//! The incremental engine: brings people up to date with a sighting at the cost of what it changes.
//!
//! The state is kept right for the sightings so far by small steps, each of which also *marks* what
//! it may have changed: an event, or a span of time of a cluster. Marks may say too much, never too
//! little. [`Incremental::advance`] then settles what depends on the whole (unmerges inside a
//! cluster, public identifiers), passes marks on to the weaker clusters that follow a marked one,
//! evaluates each marked event against the final state and reports those whose person differs.
//!
//! The layers, from the raw links up:
//!
//! - `slots`: the events and sorted lists of them;
//! - `links`: raw links with multiplicity and degree; *units*, connected by the links that are in
//!   force (no hub, no unmerge of that very pair), whose size `cluster_max` bounds; *groups*,
//!   connected by the links of units that are not too large and by merges inside the rank;
//! - `settle`: a group with an unmerge inside is divided by the rule's constrained loop; any other
//!   group is one cluster;
//! - `moves`: clusters, their claims (events that show an owner), owners, and moving a node;
//! - `commands`: merges and unmerges, inside a rank and across;
//! - `follow`: marks and their way down the ranks; `person`: the rule itself, for one event.
//!
//! Costs. A link inside a group is one look-up; joining moves the side with fewer events; a cut
//! searches from both ends and stops when the smaller side is exhausted; a claim marks the time up
//! to the neighbouring claims, and nothing if the neighbour has the same owner. A group with an
//! unmerge inside is divided anew, as a whole, in each epoch that touches it.

mod cluster;
mod commands;
mod follow;
mod links;
mod moves;
mod partition;
mod person;
mod settle;
mod slots;
mod tally;
#[cfg(test)]
mod tests;

use foldhash::fast::FixedState;

use self::cluster::{Cluster, NodeRecord};
use self::commands::Commands;
use self::links::Links;
use self::slots::{ClusterId, Events, NOBODY, Node, Slot};
use super::{Engine, IdentityConfig, Resolution, Sighting};
use crate::model::{EventKey, Ident};

// A fixed state: the order of iteration must not differ between two runs over the same input. Keys
// are keyed hashes or our own numbers, so nobody outside can make them collide.
type Map<K, V> = std::collections::HashMap<K, V, FixedState>;
type Set<K> = std::collections::HashSet<K, FixedState>;

/// The incremental implementation of the identity rules for one tenant.
#[derive(Debug)]
pub struct Incremental {
    config: IdentityConfig,
    /// Ranks that occur in the configuration, strongest first.
    ranks: Vec<u8>,
    interned: Map<Ident, Node>,
    nodes: Vec<NodeRecord>,
    free_nodes: Vec<Node>,
    events: Events,
    clusters: Vec<Cluster>,
    free_clusters: Vec<ClusterId>,
    /// The handle of the next new cluster.
    next_handle: u64,
    links: Links,
    commands: Commands,
    changed: Changed,
}

/// What this epoch has touched so far.
#[derive(Debug, Default)]
struct Changed {
    /// The sighting being taken in, to name the cause of what follows.
    by: EventKey,
    /// Events to evaluate again.
    events: Vec<Slot>,
    /// Removed events that had been reported: key and person.
    gone: Map<EventKey, ClusterId>,
    /// Slots of removed events.
    released: Vec<Slot>,
    /// Nodes whose membership may differ.
    nodes: Vec<Node>,
    /// Clusters touched, by rank.
    clusters: Vec<Vec<ClusterId>>,
    /// Clusters that may have become empty and unused.
    emptied: Vec<ClusterId>,
    /// Nodes that stand for groups to divide anew.
    groups: Vec<Node>,
    /// Whether any group changed.
    structure: bool,
}

impl Incremental {
    /// An engine without sightings.
    pub fn new(config: &IdentityConfig) -> Self {
        let mut ranks: Vec<u8> = config.types.iter().map(|t| t.rank).collect();
        ranks.sort_unstable();
        ranks.dedup();
        let clusters = vec![Vec::new(); ranks.len()];
        Self {
            config: config.clone(),
            ranks,
            interned: Map::default(),
            nodes: Vec::new(),
            free_nodes: Vec::new(),
            events: Events::default(),
            clusters: Vec::new(),
            free_clusters: Vec::new(),
            next_handle: 1,
            links: Links::default(),
            commands: Commands::default(),
            changed: Changed { clusters, ..Changed::default() },
        }
    }

    /// Number of identifiers held.
    pub fn identifiers(&self) -> usize {
        self.interned.len()
    }

    /// Number of events marked for evaluation since the last [`Engine::advance`]: a measure of the
    /// work that is left, for tests of growth.
    pub fn marked(&self) -> usize {
        self.changed.events.len()
    }

    fn intern(&mut self, ident: Ident) -> Node {
        if let Some(&node) = self.interned.get(&ident) {
            return node;
        }
        let rank = self.config.rank(ident);
        let record = NodeRecord::new(ident, rank);
        let node = if let Some(node) = self.free_nodes.pop() {
            self.nodes[node as usize] = record;
            node
        } else {
            self.nodes.push(record);
            (self.nodes.len() - 1) as Node
        };
        self.interned.insert(ident, node);
        self.links.add_node(node);
        let cluster = self.new_cluster(rank);
        self.enter(node, cluster);
        self.touch_node(node);
        node
    }

    fn add_event(&mut self, key: EventKey, idents: &[Ident]) {
        let nodes = idents.iter().map(|&ident| self.intern(ident)).collect();
        let slot = self.events.add(key, nodes);
        self.touch_event(slot);
        let nodes = self.events[slot].nodes.clone();
        for &node in &nodes {
            self.nodes[node as usize].events.insert(&self.events, slot);
            let cluster = self.nodes[node as usize].cluster;
            self.clusters[cluster as usize].weight += 1;
            self.touch_node(node);
        }
        self.claim(slot, 1);
        self.each_link(slot, Self::link);
    }

    fn remove_event(&mut self, key: EventKey, idents: &[Ident]) {
        let found = idents.first().and_then(|ident| self.interned.get(ident)).and_then(|&node| {
            let list = &self.nodes[node as usize].events;
            list.find(&self.events, key)
        });
        let Some(slot) = found else { return };
        self.each_link(slot, Self::unlink);
        self.claim(slot, -1);
        let nodes = self.events[slot].nodes.clone();
        for &node in &nodes {
            self.nodes[node as usize].events.remove(&self.events, slot);
            let cluster = self.nodes[node as usize].cluster;
            self.clusters[cluster as usize].weight -= 1;
            self.touch_node(node);
        }
        let record = &mut self.events[slot];
        record.gone = true;
        if record.person != NOBODY {
            self.changed.gone.insert(key, record.person);
        }
        self.changed.released.push(slot);
    }

    /// Calls `act` for each pair of the event's identifiers of one rank, save rank 0.
    fn each_link(&mut self, slot: Slot, act: impl Fn(&mut Self, Node, Node)) {
        let nodes = self.events[slot].nodes.clone();
        for (i, &x) in nodes.iter().enumerate() {
            let rank = self.nodes[x as usize].rank;
            if rank == 0 {
                continue;
            }
            for &y in &nodes[i + 1..] {
                if self.rank(y) != rank {
                    break;
                }
                act(self, x, y);
            }
        }
    }

    fn rank(&self, node: Node) -> u8 {
        self.nodes[node as usize].rank
    }

    fn cluster_of(&self, node: Node) -> ClusterId {
        self.nodes[node as usize].cluster
    }

    fn touch_event(&mut self, slot: Slot) {
        let record = &mut self.events[slot];
        if !record.dirty {
            record.dirty = true;
            self.changed.events.push(slot);
        }
    }

    fn touch_node(&mut self, node: Node) {
        let record = &mut self.nodes[node as usize];
        if !record.dirty {
            record.dirty = true;
            self.changed.nodes.push(node);
        }
    }
}

impl Engine for Incremental {
    fn update(&mut self, sighting: Sighting, diff: i8) {
        match sighting {
            Sighting::Event(key, idents) => {
                self.changed.by = key;
                if idents.is_empty() {
                    return; // nobody's, now and always
                }
                if diff > 0 {
                    self.add_event(key, &idents);
                } else {
                    self.remove_event(key, &idents);
                }
            }
            Sighting::Command(key, command) => {
                self.changed.by = key;
                self.command(key, command, diff);
            }
        }
    }

    fn advance(&mut self, out: &mut Resolution) {
        self.settle();
        self.decide_public();
        self.refresh();
        self.follow();
        self.report(out);
        self.forget();
    }
}
