//! The rule for one event, evaluated against the final state.

use std::rc::Rc;

use super::Incremental;
use super::Map;
use super::slots::{ClusterId, NOBODY, Slot};
use crate::identity::Own;
use crate::model::EventKey;

/// Claims that unmerges leave to a cluster, evaluated once in an epoch: key and owner.
pub(super) type Held = Map<ClusterId, Rc<[(EventKey, ClusterId)]>>;

impl Incremental {
    /// The person of an event: where its strongest identifier that is not public leads.
    pub(super) fn person_of(&self, slot: Slot, held: &mut Held) -> ClusterId {
        let nodes = self.events.nodes(slot);
        let mut clusters = nodes.iter().map(|&n| self.cluster_of(n));
        let first = clusters.next().unwrap_or(NOBODY);
        if self.clusters[first].is_plain() {
            return first;
        }
        let not_public = |&id: &ClusterId| !self.clusters[id].is_public();
        let anchor = std::iter::once(first).chain(clusters).find(not_public).unwrap_or(first);
        self.person(anchor, self.events.key(slot), held)
    }

    /// The cluster that a cluster belongs to at a moment. Ranks fall strictly, so it ends.
    pub(super) fn person(&self, id: ClusterId, at: EventKey, held: &mut Held) -> ClusterId {
        let cluster = &self.clusters[id];
        if cluster.is_plain() {
            return id;
        }
        if let Some(gift) = self.commands.gifts.last_on(id) {
            return self.person(self.cluster_of(gift.strong), at, held);
        }
        if cluster.is_public() || self.clusters.extra(id).claims.is_empty() {
            return id;
        }
        let owner = if self.commands.bars.any_on(id) {
            let claims = self.held(id, held);
            owner_among(&claims, self.clusters.limits(id), at)
        } else {
            self.owner_at(id, at)
        };
        owner.map_or(id, |owner| self.person(owner, at, held))
    }

    /// The owner that decides at a moment, where no unmerge bars any.
    fn owner_at(&self, id: ClusterId, at: EventKey) -> Option<ClusterId> {
        let claims = &self.clusters.extra(id).claims;
        let limits = self.clusters.limits(id);
        let claim = match limits.own {
            Own::First => claims.first(&self.events),
            Own::Last => claims.last(&self.events),
            Own::Time => {
                let time = |slot: &Slot| self.events.time(*slot);
                let (before, after) = claims.beside(&self.events, at);
                before
                    .filter(|s| at.time.saturating_sub(time(s)) <= limits.forward)
                    .or(after.filter(|s| time(s).saturating_sub(at.time) <= limits.back))
            }
        };
        claim.and_then(|claim| self.claimed_by(id, claim))
    }

    /// The claims of a cluster whose owner is, at that moment, not a person it is kept apart from.
    fn held(&self, id: ClusterId, held: &mut Held) -> Rc<[(EventKey, ClusterId)]> {
        if let Some(list) = held.get(&id) {
            return Rc::clone(list);
        }
        let bars: Vec<ClusterId> =
            self.commands.bars.on(id).map(|bar| self.cluster_of(bar.strong)).collect();
        let mut list = Vec::new();
        for claim in self.clusters.extra(id).claims.iter(&self.events) {
            let key = self.events.key(claim);
            let Some(owner) = self.claimed_by(id, claim) else { continue };
            let person = self.person(owner, key, held);
            if bars.iter().all(|&bar| self.person(bar, key, held) != person) {
                list.push((key, owner));
            }
        }
        let list: Rc<[_]> = list.into();
        held.insert(id, Rc::clone(&list));
        list
    }
}

fn owner_among(
    claims: &[(EventKey, ClusterId)],
    limits: super::cluster::Limits,
    at: EventKey,
) -> Option<ClusterId> {
    let claim = match limits.own {
        Own::First => claims.first(),
        Own::Last => claims.last(),
        Own::Time => {
            let next = claims.partition_point(|c| c.0 <= at);
            let before = next.checked_sub(1).map(|place| &claims[place]);
            before
                .filter(|c| at.time.saturating_sub(c.0.time) <= limits.forward)
                .or(claims.get(next).filter(|c| c.0.time.saturating_sub(at.time) <= limits.back))
        }
    };
    claim.map(|c| c.1)
}
