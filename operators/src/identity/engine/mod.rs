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
//! - `chunks`, `blocks`, `slots`, `events`, `nodes`, `cluster`: what is kept, and sorted lists of
//!   events; `touched`: what an epoch has changed of clusters;
//! - `neighbours`, `links`: raw links with multiplicity and degree; `units`, connected by the links
//!   that are in force (no hub, no unmerge of that very pair), whose size `cluster_max` bounds;
//!   `groups`, connected by the links of units that are not too large and by merges inside the
//!   rank; `cut`: the search for what a link that went has separated;
//! - `settle`: a group with an unmerge inside is divided by the rule's constrained loop; any other
//!   group is one cluster;
//! - `moves`: clusters, their claims (events that show an owner), owners, and moving a node;
//! - `commands`: merges and unmerges, inside a rank and across;
//! - `follow`: marks and their way down the ranks; `person`: the rule itself, for one event;
//!   `report`: what differs from the last report.
//!
//! Costs. A link inside a group is one look-up; joining moves the side with fewer events; a cut
//! searches from both ends and stops when the smaller side is exhausted; a claim marks the time up
//! to the neighbouring claims, and nothing if the neighbour has the same owner. A group with an
//! unmerge inside is divided anew, as a whole, in each epoch that touches it.
//!
//! Most events show a link that is known, between identifiers of one cluster that no claim and no
//! command concerns. Such an event costs what it reads: the table of identifiers, the record of
//! each, the ends of their lists, the head of the cluster. Each of these is a line or two of
//! memory, far apart; so events are taken in by groups, and what a group needs is read in one go
//! before.

mod blocks;
mod chunks;
mod cluster;
mod commands;
mod cut;
mod events;
mod follow;
mod groups;
mod links;
mod moves;
mod neighbours;
mod nodes;
mod person;
mod report;
mod settle;
mod slots;
mod tally;
#[cfg(test)]
mod tests;
mod touched;
mod units;
mod waiting;

use foldhash::fast::FixedState;

use self::cluster::Clusters;
use self::commands::Commands;
use self::events::Events;
use self::groups::Groups;
use self::links::Links;
use self::nodes::Nodes;
use self::report::Report;
use self::slots::{ClusterId, NOBODY, Node, Slot};
use self::touched::AllTouched;
use self::waiting::Waiting;
use super::{Engine, Handle, IdentityConfig, Resolution, Sighting};
use crate::model::{EventKey, Ident};

// A fixed state: the order of iteration must not differ between two runs over the same input. Keys
// are keyed hashes or our own numbers, so nobody outside can make them collide.
type Map<K, V> = std::collections::HashMap<K, V, FixedState>;
type Set<K> = std::collections::HashSet<K, FixedState>;

/// Events to take in, or items to tell of, before others on the same thread have their turn: a
/// millisecond or two.
pub const STEP: usize = 1_024;

/// The incremental implementation of the identity rules for one tenant.
#[derive(Debug)]
pub struct Incremental {
    config: IdentityConfig,
    /// Ranks that occur in the configuration, strongest first.
    ranks: Vec<u8>,
    nodes: Nodes,
    events: Events,
    clusters: Clusters,
    links: Links,
    groups: Groups,
    commands: Commands,
    changed: Changed,
    report: Report,
    /// Events that came and are not taken in yet.
    waiting: Waiting,
    /// See [`Incremental::work`].
    work: u64,
}

/// What this epoch has touched so far.
#[derive(Debug, Default)]
struct Changed {
    /// The sighting being taken in, to name the cause of what follows.
    by: EventKey,
    /// Events that may be fresh, with the handle of their person.
    fresh: Vec<(Slot, Handle)>,
    /// Events to evaluate again.
    events: Vec<Slot>,
    /// Removed events that had been reported: key and person.
    gone: Map<EventKey, ClusterId>,
    /// Slots of removed events.
    released: Vec<Slot>,
    /// Nodes whose membership may differ.
    nodes: Vec<Node>,
    touched: AllTouched,
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
            nodes: Nodes::default(),
            events: Events::default(),
            clusters: Clusters::new(config),
            links: Links::new(config),
            groups: Groups::default(),
            commands: Commands::default(),
            changed: Changed { clusters, ..Changed::default() },
            report: Report::default(),
            waiting: Waiting::default(),
            work: 0,
        }
    }

    /// Number of identifiers held.
    pub fn identifiers(&self) -> usize {
        self.nodes.len()
    }

    /// Memory that is held, in bytes, about. Commands and groups that one divides, of which there
    /// are few, are left out.
    pub fn bytes(&self) -> usize {
        self.nodes.bytes() + self.events.bytes() + self.clusters.bytes() + self.links.bytes()
    }

    /// Number of events to evaluate since the last [`Engine::advance`]: a measure of the work that
    /// is left, for tests of growth.
    pub fn marked(&self) -> usize {
        self.changed.events.len() + self.changed.fresh.len() + self.waiting.len()
    }

    /// Steps so far that depend on the sizes of what changes: edges looked at where a link went,
    /// identifiers that changed their cluster, events marked. For tests of growth.
    pub fn work(&self) -> u64 {
        self.work
    }

    /// Does a part of [`Engine::advance`], of about `budget` items, which is counted down; whether
    /// that was all. Until then nothing must be taken in.
    ///
    /// The first part also finds out what is to be evaluated, at the cost of what was touched; and
    /// a merge moves the lighter side in one go when its event is taken in. Neither is divided.
    pub fn step(&mut self, out: &mut Resolution, budget: &mut usize) -> bool {
        if !self.report.is_under_way() {
            self.take_in();
            self.settle();
            self.decide_public();
            self.refresh();
            self.follow();
            self.begin_report();
        }
        self.report(out, budget)
    }

    fn add_event(&mut self, key: EventKey, nodes: &[Node]) {
        let slot = self.events.add(key, nodes);
        for &node in nodes {
            self.list_event(node, slot, key);
        }
        self.claim(slot, nodes, 1);
        self.each_link(nodes, Self::link);
        // A move may have marked it already, and what is marked is evaluated in the end.
        let person = if self.events.is_marked(slot) { None } else { self.clear(nodes) };
        if let Some(person) = person {
            self.events.set_fresh(slot, person);
            let cluster = &mut self.clusters[person];
            cluster.assigned += 1;
            self.changed.fresh.push((slot, cluster.handle));
            return;
        }
        self.touch_event(slot);
        for &node in nodes {
            self.touch_node(node);
        }
    }

    /// The person of a new event of these nodes, if that is clear without a look at the rules, and
    /// changes nothing about where the nodes lead, save those that are looked at anyway.
    fn clear(&self, nodes: &[Node]) -> Option<ClusterId> {
        let id = self.cluster_of(*nodes.first()?);
        let settled = |&node: &Node| {
            let record = &self.nodes[node];
            record.cluster == id && (record.is_settled() || record.is_dirty())
        };
        // Or its name would not be reported.
        let named = || self.clusters[id].is_named() || self.touched(id).is_some();
        let clear = self.changed.gone.is_empty()
            && self.clusters[id].is_plain()
            && named()
            && nodes.iter().all(settled);
        clear.then_some(id)
    }

    fn remove_event(&mut self, key: EventKey, idents: &[Ident]) {
        let found = idents.first().and_then(|ident| self.nodes.find(*ident)).and_then(|node| {
            let list = &self.nodes[node].events;
            list.find(&self.events, key)
        });
        let Some(slot) = found else { return };
        let nodes = events::Nodes::from_slice(self.events.nodes(slot));
        self.each_link(&nodes, Self::unlink);
        self.claim(slot, &nodes, -1);
        for &node in &nodes {
            self.unlist_event(node, slot);
            self.touch_node(node);
        }
        self.touch_event(slot);
        self.events.set_gone(slot);
        let person = self.events.person(slot);
        if person != NOBODY {
            self.changed.gone.insert(key, person);
        }
        self.changed.released.push(slot);
    }

    /// Calls `act` for each pair of an event's identifiers of one rank, save rank 0.
    fn each_link(&mut self, nodes: &[Node], act: impl Fn(&mut Self, Node, Node)) {
        for (i, &x) in nodes.iter().enumerate() {
            let rank = self.rank(x);
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

    fn touch_event(&mut self, slot: Slot) {
        let (marked, spoiled) = self.events.mark(slot);
        if let Some(person) = spoiled {
            self.clusters[person].assigned -= 1;
        }
        if marked {
            self.work += 1;
            self.changed.events.push(slot);
        }
    }
}

impl Engine for Incremental {
    fn update(&mut self, sighting: Sighting, diff: i8) {
        debug_assert!(!self.report.is_under_way(), "an epoch is told as a whole first");
        match sighting {
            // Of nobody, now and always.
            Sighting::Event(_, idents) if idents.is_empty() => {}
            Sighting::Event(key, idents) if diff > 0 => {
                if self.waiting.push(key, &idents) {
                    self.take_in();
                }
            }
            Sighting::Event(key, idents) => {
                self.take_in();
                self.changed.by = key;
                self.remove_event(key, &idents);
            }
            Sighting::Command(key, command) => {
                self.take_in();
                self.changed.by = key;
                self.command(key, command, diff);
            }
        }
    }

    fn advance(&mut self, out: &mut Resolution) {
        let mut all = usize::MAX;
        while !self.step(out, &mut all) {}
    }
}
