//! What the engine keeps of an identifier and of a cluster.

use smallvec::SmallVec;

use super::Incremental;
use super::slots::{ClusterId, NOBODY, Node, SlotList};
use super::tally::Tally;
use crate::identity::{FOREVER, Handle, NO_LIMIT, Own};
use crate::model::{EventKey, Ident, Micros, Token};

/// An identifier.
#[derive(Debug)]
pub(super) struct NodeRecord {
    pub ident: Ident,
    pub rank: u8,
    /// Linked with too many others of its rank.
    pub hub: bool,
    pub dirty: bool,
    /// Commands that name it, in force or not: it is kept while there are any.
    pub commands: u32,
    /// Merges in force that name it: it is somebody while there are any.
    pub merges: u32,
    pub cluster: ClusterId,
    /// Place in the cluster's members.
    pub place: u32,
    /// Neighbours by raw links, each once.
    pub neighbours: Vec<Node>,
    pub events: SlotList,
    /// The membership last reported: person and whether public.
    pub shown: Option<(ClusterId, bool)>,
}

impl NodeRecord {
    pub(super) fn new(ident: Ident, rank: u8) -> Self {
        Self {
            ident,
            rank,
            hub: false,
            dirty: false,
            commands: 0,
            merges: 0,
            cluster: NOBODY,
            place: 0,
            neighbours: Vec::new(),
            events: SlotList::default(),
            shown: None,
        }
    }

    /// Whether the rules know the identifier: an event or a merge in force names it.
    pub(super) fn exists(&self) -> bool {
        self.merges > 0 || !self.events.is_empty()
    }
}

/// The limits of a cluster: the strictest of its members' types.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Limits {
    pub owners_max: u32,
    pub forward: Micros,
    pub back: Micros,
    /// Of the strongest member's type.
    pub own: Own,
}

/// A span of the total order, both ends included.
pub(super) type Span = (EventKey, EventKey);

/// All time.
pub(super) const ALWAYS: Span = (EventKey::MIN, EventKey::MAX);

/// A cluster of identifiers of one rank: a person, unless all its events belong to stronger ones.
#[derive(Debug)]
pub(super) struct Cluster {
    pub handle: Handle,
    pub rank: u8,
    pub public: bool,
    pub members: Vec<Node>,
    /// How many members there are of each type.
    pub kinds: SmallVec<[(u8, u32); 2]>,
    /// How many members are hubs.
    pub hubs: u32,
    /// Events of the members, each counted for each member: what moving the cluster costs.
    pub weight: u64,
    /// The strongest member, unless `stale`; it names the person.
    pub strongest: Option<Node>,
    /// As of the last `refresh`.
    pub limits: Limits,
    /// The owner of the first or last claim as of the last `refresh`, where `own` asks for it.
    pub chosen: Option<ClusterId>,
    /// Events that show an owner.
    pub claims: SlotList,
    /// Owners of the claims.
    pub owners: Tally,
    /// Weaker clusters of which this one owns claims.
    pub owned: Tally,
    /// Events whose reported person this is.
    pub assigned: u32,
    /// Identifiers whose reported person this is.
    pub shown: u32,
    /// Person id last reported.
    pub name: Option<Token>,
    /// Spans in which the person may have changed in this epoch.
    pub marks: Vec<Span>,
    /// In the list of touched clusters.
    pub touched: bool,
    /// The strongest member left: it is to be found anew.
    pub stale: bool,
    /// What touched it last in this epoch.
    pub by: EventKey,
}

impl Incremental {
    /// A new cluster without members.
    pub(super) fn new_cluster(&mut self, rank: u8) -> ClusterId {
        let cluster = Cluster {
            handle: self.next_handle,
            rank,
            public: false,
            members: Vec::new(),
            kinds: SmallVec::new(),
            hubs: 0,
            weight: 0,
            strongest: None,
            limits: Limits {
                owners_max: NO_LIMIT,
                forward: FOREVER,
                back: FOREVER,
                own: Own::Time,
            },
            chosen: None,
            claims: SlotList::default(),
            owners: Tally::default(),
            owned: Tally::default(),
            assigned: 0,
            shown: 0,
            name: None,
            marks: Vec::new(),
            touched: false,
            stale: false,
            by: self.changed.by,
        };
        self.next_handle += 1;
        if let Some(id) = self.free_clusters.pop() {
            self.clusters[id as usize] = cluster;
            id
        } else {
            self.clusters.push(cluster);
            (self.clusters.len() - 1) as ClusterId
        }
    }

    /// Puts a node that is in no cluster into one. Its claims are the caller's affair.
    pub(super) fn enter(&mut self, node: Node, id: ClusterId) {
        let record = &mut self.nodes[node as usize];
        let cluster = &mut self.clusters[id as usize];
        record.cluster = id;
        record.place = cluster.members.len() as u32;
        cluster.members.push(node);
        cluster.hubs += u32::from(record.hub);
        cluster.weight += record.events.len() as u64 + 1;
        let kind = record.ident.kind;
        match cluster.kinds.iter_mut().find(|k| k.0 == kind) {
            Some(entry) => entry.1 += 1,
            None => cluster.kinds.push((kind, 1)),
        }
        if !cluster.stale {
            let strongest = cluster.strongest.map(|n| self.nodes[n as usize].ident);
            let ident = self.nodes[node as usize].ident;
            if strongest.is_none_or(|s| self.config.strength(ident) < self.config.strength(s)) {
                cluster.strongest = Some(node);
            }
        }
        self.touch(id);
    }

    /// Takes a node out of its cluster.
    pub(super) fn leave(&mut self, node: Node) {
        let record = &self.nodes[node as usize];
        let (id, place, kind) = (record.cluster, record.place as usize, record.ident.kind);
        let cluster = &mut self.clusters[id as usize];
        cluster.members.swap_remove(place);
        cluster.hubs -= u32::from(record.hub);
        cluster.weight -= record.events.len() as u64 + 1;
        if let Some(entry) = cluster.kinds.iter().position(|k| k.0 == kind) {
            cluster.kinds[entry].1 -= 1;
            if cluster.kinds[entry].1 == 0 {
                cluster.kinds.swap_remove(entry);
            }
        }
        cluster.stale |= cluster.strongest == Some(node);
        if let Some(&moved) = cluster.members.get(place) {
            self.nodes[moved as usize].place = place as u32;
        } else if cluster.members.is_empty() {
            self.changed.emptied.push(id);
        }
        self.touch(id);
    }

    /// Notes that something about a cluster changed.
    pub(super) fn touch(&mut self, id: ClusterId) {
        let by = self.changed.by;
        let cluster = &mut self.clusters[id as usize];
        cluster.by = by;
        if !cluster.touched {
            cluster.touched = true;
            let rank = cluster.rank;
            let place = self.ranks.partition_point(|&r| r < rank);
            self.changed.clusters[place].push(id);
        }
    }

    /// Notes that the person of a cluster may have changed in a span.
    pub(super) fn mark(&mut self, id: ClusterId, span: Span) {
        if span.0 <= span.1 {
            self.clusters[id as usize].marks.push(span);
            self.touch(id);
        }
    }

    /// The limits that the members' types set. `own` is of the strongest member.
    pub(super) fn limits(&self, cluster: &Cluster) -> Limits {
        let mut limits =
            Limits { owners_max: NO_LIMIT, forward: FOREVER, back: FOREVER, own: Own::Time };
        for &(kind, _) in &cluster.kinds {
            let kind = &self.config.types[usize::from(kind)];
            limits.owners_max = limits.owners_max.min(kind.owners_max);
            limits.forward = limits.forward.min(kind.forward);
            limits.back = limits.back.min(kind.back);
            limits.own = kind.own;
        }
        if cluster.kinds.len() > 1
            && let Some(node) = cluster.strongest
        {
            limits.own = self.config.types[usize::from(self.nodes[node as usize].ident.kind)].own;
        }
        limits
    }
}
