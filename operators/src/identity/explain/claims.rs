//! Claims: which weaker cluster belongs to which stronger one, and when.

use std::collections::{BTreeMap, BTreeSet};

use super::clusters::{Clusters, Node};
use super::{Public, Through};
use crate::identity::{FOREVER, Own};
use crate::model::{CommandKind, EventKey, Micros};

/// An event that shows a cluster with an owner; clusters by their lead.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claim {
    pub key: EventKey,
    pub owner: Node,
    /// The unmerge that keeps the two apart.
    pub refused_by: Option<EventKey>,
}

/// All claims; clusters by their lead.
#[derive(Debug)]
pub(super) struct Claims<'a> {
    pub clusters: Clusters<'a>,
    /// Of each cluster in order, at most one for an event.
    pub of: BTreeMap<Node, Vec<Claim>>,
    /// Of each cluster those that hold.
    held: BTreeMap<Node, Vec<(EventKey, Node)>>,
    pub public: BTreeMap<Node, Public>,
    /// What a merge across ranks gives to a stronger cluster, and the newest such merge.
    given: BTreeMap<Node, (Node, EventKey)>,
    /// What an unmerge keeps a cluster apart from.
    bars: BTreeMap<Node, Vec<(Node, EventKey)>>,
}

/// A step from a cluster to the stronger one that it belongs to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    pub to: Node,
    pub by: EventKey,
    pub merged: bool,
}

impl<'a> Claims<'a> {
    pub(super) fn new(clusters: Clusters<'a>) -> Self {
        let mut claims = Self {
            of: BTreeMap::new(),
            held: BTreeMap::new(),
            public: BTreeMap::new(),
            given: BTreeMap::new(),
            bars: BTreeMap::new(),
            clusters,
        };
        claims.across_ranks();
        let clusters = &claims.clusters;
        let ranks: BTreeSet<u8> =
            clusters.by_lead.keys().map(|lead| clusters.rank(*lead)).collect();
        for rank in ranks {
            claims.find(rank);
            claims.hold(rank);
        }
        claims
    }

    /// Merges and unmerges of identifiers of different ranks.
    fn across_ranks(&mut self) {
        let clusters = &self.clusters;
        let across = |(strong, weak): (Node, Node)| clusters.rank(strong) < clusters.rank(weak);
        for (place, (strong, weak)) in clusters.in_force(CommandKind::Merge) {
            if across((strong, weak)) {
                let to = (clusters.lead(strong), clusters.words[place].key);
                // The newest comes first.
                self.given.entry(clusters.lead(weak)).or_insert(to);
            }
        }
        for (place, (strong, weak)) in clusters.in_force(CommandKind::Unmerge) {
            if across((strong, weak)) {
                let bar = (clusters.lead(strong), clusters.words[place].key);
                self.bars.entry(clusters.lead(weak)).or_default().push(bar);
            }
        }
    }

    /// Finds the claims on clusters of a rank, and which of these are public. Those of the ranks
    /// above are known.
    fn find(&mut self, rank: u8) {
        let clusters = &self.clusters;
        for (key, nodes) in &clusters.events {
            let stronger = nodes.iter().take_while(|node| clusters.rank(**node) < rank);
            let mut owners = stronger.map(|node| clusters.lead(*node));
            let Some(owner) = owners.find(|lead| !self.public.contains_key(lead)) else { continue };
            let claimed: BTreeSet<Node> = nodes
                .iter()
                .filter(|node| clusters.rank(**node) == rank)
                .map(|node| clusters.lead(*node))
                .collect();
            for lead in claimed {
                let claim = Claim { key: *key, owner, refused_by: None };
                self.of.entry(lead).or_default().push(claim);
            }
        }
        let leads = clusters.by_lead.iter().filter(|(lead, _)| clusters.rank(**lead) == rank);
        for (lead, cluster) in leads.filter(|_| rank > 0) {
            let owners: BTreeSet<Node> =
                self.of.get(lead).into_iter().flatten().map(|claim| claim.owner).collect();
            let hub = cluster.members.iter().find(|node| clusters.is_hub(**node));
            let public = if let Some(hub) = hub {
                let (ident, most) = (clusters.ident(*hub), clusters.degree_max(*hub));
                Public::Hub { ident, neighbours: clusters.degree[*hub as usize], most }
            } else if owners.len() > cluster.owners_max as usize {
                Public::Owners { owners: owners.len() as u32, most: cluster.owners_max }
            } else {
                continue;
            };
            self.public.insert(*lead, public);
        }
    }

    /// Finds out which of the claims on clusters of a rank hold.
    fn hold(&mut self, rank: u8) {
        let mut of = std::mem::take(&mut self.of);
        for (lead, claims) in of.iter_mut().filter(|(lead, _)| self.clusters.rank(**lead) == rank) {
            for claim in &mut *claims {
                let mut bars = self.bars.get(lead).into_iter().flatten();
                let same =
                    |bar: Node| self.person(claim.owner, claim.key) == self.person(bar, claim.key);
                claim.refused_by = bars.find(|(bar, _)| same(*bar)).map(|(_, by)| *by);
            }
            let held = claims.iter().filter(|claim| claim.refused_by.is_none());
            self.held.insert(*lead, held.map(|claim| (claim.key, claim.owner)).collect());
        }
        self.of = of;
    }

    /// The cluster that a cluster belongs to at a moment, if to any; it is stronger.
    pub(super) fn step(&self, lead: Node, at: EventKey) -> Option<Step> {
        if let Some(&(to, by)) = self.given.get(&lead) {
            return Some(Step { to, by, merged: true });
        }
        if self.public.contains_key(&lead) {
            return None;
        }
        let held = self.held.get(&lead)?;
        let cluster = &self.clusters.by_lead[&lead];
        let (by, to) = match cluster.own {
            Own::First => held.first().copied(),
            Own::Last => held.last().copied(),
            Own::Time => {
                let within = |from: Micros, to: Micros, limit: Micros| {
                    limit == FOREVER || to.saturating_sub(from) <= limit
                };
                let next = held.partition_point(|(key, _)| *key <= at);
                let before = next.checked_sub(1).map(|last| held[last]);
                let before = before.filter(|(k, _)| within(k.time, at.time, cluster.forward));
                let after = held.get(next).copied();
                before.or(after.filter(|(k, _)| within(at.time, k.time, cluster.back)))
            }
        }?;
        Some(Step { to, by, merged: false })
    }

    /// The cluster that a cluster ends at.
    pub(super) fn person(&self, mut lead: Node, at: EventKey) -> Node {
        // Ranks fall strictly, so it ends.
        while let Some(step) = self.step(lead, at) {
            lead = step.to;
        }
        lead
    }

    /// What an event belongs to by itself: its strongest identifier that is not public.
    pub(super) fn anchor(&self, nodes: &[Node]) -> Option<Node> {
        let own = |node: &&Node| !self.public.contains_key(&self.clusters.lead(**node));
        nodes.iter().find(own).or(nodes.first()).copied()
    }

    /// How a cluster comes to the one that it ends at.
    pub(super) fn path(&self, mut lead: Node, at: EventKey) -> Vec<Through> {
        let mut path = Vec::new();
        while let Some(step) = self.step(lead, at) {
            let (of, owner) = (self.clusters.ident(lead), self.clusters.ident(step.to));
            path.push(Through { of, owner, by: step.by, merged: step.merged });
            lead = step.to;
        }
        path
    }
}
