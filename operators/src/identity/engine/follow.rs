//! From what changed to what is reported: public clusters, marks down the ranks, and the report.

use std::collections::BTreeMap;

use super::cluster::{ALWAYS, Span};
use super::person::Held;
use super::slots::{ClusterId, NOBODY, Node};
use super::{Incremental, Map, Set};
use crate::identity::{Assign, IdChange, Membership, Own, Resolution};
use crate::model::{Cause, EventKey, Token};

impl Incremental {
    /// Decides which touched clusters are public, the strongest rank first: what a rank owns
    /// depends only on stronger ones.
    pub(super) fn decide_public(&mut self) {
        for place in 0..self.ranks.len() {
            let mut next = 0;
            while let Some(&id) = self.changed.clusters[place].get(next) {
                next += 1;
                let cluster = &self.clusters[id as usize];
                let owners_max = self.limits(cluster).owners_max as usize;
                let public = cluster.rank > 0
                    && !cluster.members.is_empty()
                    && (cluster.hubs > 0 || cluster.owners.len() > owners_max);
                if public != cluster.public {
                    self.changed.by = cluster.by;
                    self.flip(id);
                }
            }
        }
    }

    /// Finds the strongest members and limits of touched clusters anew, and marks what they change.
    pub(super) fn refresh(&mut self) {
        for place in 0..self.ranks.len() {
            for next in 0..self.changed.clusters[place].len() {
                let id = self.changed.clusters[place][next];
                let cluster = &self.clusters[id as usize];
                if cluster.stale {
                    let strength = |&n: &Node| self.config.strength(self.nodes[n as usize].ident);
                    let strongest = cluster.members.iter().copied().min_by_key(strength);
                    let cluster = &mut self.clusters[id as usize];
                    cluster.strongest = strongest;
                    cluster.stale = false;
                }
                let cluster = &self.clusters[id as usize];
                let limits = self.limits(cluster);
                let decisive = match limits.own {
                    Own::Time => None,
                    Own::First => cluster.claims.first(),
                    Own::Last => cluster.claims.last(),
                };
                let chosen = decisive.and_then(|claim| self.claimed_by(id, claim));
                let barred = !self.commands.bars.on(id).is_empty();
                if barred || limits != cluster.limits || chosen != cluster.chosen {
                    let cluster = &mut self.clusters[id as usize];
                    cluster.limits = limits;
                    cluster.chosen = chosen;
                    cluster.marks.push(ALWAYS);
                }
            }
        }
    }

    /// Turns marks into events to evaluate, and passes them on to the weaker clusters that follow.
    pub(super) fn follow(&mut self) {
        for place in 0..self.ranks.len() {
            let mut next = 0;
            while let Some(&id) = self.changed.clusters[place].get(next) {
                next += 1;
                let spans = merged(std::mem::take(&mut self.clusters[id as usize].marks));
                if spans.is_empty() {
                    continue;
                }
                self.changed.by = self.clusters[id as usize].by;
                self.touch_spans(id, &spans);
                let mut followers = self.clusters[id as usize].owned.clusters().to_vec();
                followers
                    .extend(self.commands.gifts.from(id).iter().map(|c| self.cluster_of(c.weak)));
                for follower in followers {
                    // Which claims an unmerge leaves depends on people at all of them.
                    if !self.commands.bars.on(follower).is_empty() {
                        self.mark(follower, ALWAYS);
                        continue;
                    }
                    for &span in &spans {
                        self.mark(follower, span);
                    }
                }
                for cross in self.commands.bars.from(id).to_vec() {
                    self.mark(self.cluster_of(cross.weak), ALWAYS);
                }
            }
        }
    }

    fn touch_spans(&mut self, id: ClusterId, spans: &[Span]) {
        let mut slots = Vec::new();
        for node in self.clusters[id as usize].members.clone() {
            let record = &self.nodes[node as usize];
            if record.events.is_empty() {
                self.touch_node(node);
                continue;
            }
            for &(low, high) in spans {
                record.events.between(&self.events, low, high, |slot| slots.push(slot));
            }
        }
        for slot in slots {
            self.touch_event(slot);
        }
    }

    /// Evaluates what was touched and reports what differs.
    pub(super) fn report(&mut self, out: &mut Resolution) {
        let mut held = Held::default();
        let mut seen = Set::default();
        let mut moves: BTreeMap<(ClusterId, ClusterId), EventKey> = BTreeMap::new();
        let first = out.assigns.len();
        let mut pairs = Vec::new();
        for &person in self.changed.gone.values() {
            self.clusters[person as usize].assigned -= 1;
            seen.insert(person);
        }
        for slot in std::mem::take(&mut self.changed.events) {
            self.events[slot].dirty = false;
            if self.events[slot].gone {
                continue;
            }
            let key = self.events[slot].key;
            let person = self.person_of(slot, &mut held);
            let mut before = self.events[slot].person;
            if person == before {
                continue;
            }
            if before == NOBODY {
                before = self.changed.gone.remove(&key).unwrap_or(NOBODY);
            } else {
                self.clusters[before as usize].assigned -= 1;
            }
            self.clusters[person as usize].assigned += 1;
            self.events[slot].person = person;
            for node in self.events[slot].nodes.clone() {
                if self.nodes[node as usize].events.last() == Some(slot) {
                    self.touch_node(node);
                }
            }
            if person == before {
                continue; // it went and came back in one epoch
            }
            seen.insert(person);
            if before != NOBODY {
                seen.insert(before);
                let touched = [before, person]
                    .into_iter()
                    .map(|id| &self.clusters[id as usize])
                    .find(|cluster| cluster.touched);
                moves.insert((before, person), touched.map_or(key, |cluster| cluster.by));
            }
            pairs.push((before, person));
            let from = (before != NOBODY).then(|| self.clusters[before as usize].handle);
            let to = Some(self.clusters[person as usize].handle);
            out.assigns.push(Assign { event: key, from, to, cause: Cause::New });
        }
        for (assign, (from, _)) in out.assigns[first..].iter_mut().zip(pairs) {
            if from != NOBODY {
                let left = self.clusters[from as usize].assigned;
                assign.cause = if left == 0 { Cause::Merge } else { Cause::Split };
            }
        }
        let mut gone: Vec<_> = std::mem::take(&mut self.changed.gone).into_iter().collect();
        gone.sort_unstable();
        out.assigns.extend(gone.into_iter().map(|(event, person)| Assign {
            event,
            from: Some(self.clusters[person as usize].handle),
            to: None,
            cause: Cause::New,
        }));
        self.report_memberships(out, &mut held, &mut seen);
        self.report_names(out, seen, moves);
    }

    fn report_memberships(
        &mut self,
        out: &mut Resolution,
        held: &mut Held,
        seen: &mut Set<ClusterId>,
    ) {
        for next in 0..self.changed.nodes.len() {
            let node = self.changed.nodes[next];
            let record = &self.nodes[node as usize];
            let now = record.exists().then(|| {
                let person = match record.events.last() {
                    Some(slot) => self.events[slot].person,
                    None => self.person(record.cluster, EventKey::MAX, held),
                };
                (person, self.clusters[record.cluster as usize].public)
            });
            let before = record.shown;
            if now == before {
                continue;
            }
            let ident = record.ident;
            self.nodes[node as usize].shown = now;
            for (shown, diff) in [(before, -1), (now, 1)] {
                let Some((person, public)) = shown else { continue };
                seen.insert(person);
                let cluster = &mut self.clusters[person as usize];
                cluster.shown = if diff > 0 { cluster.shown + 1 } else { cluster.shown - 1 };
                let membership = Membership { ident, person: cluster.handle, public };
                out.memberships.push((membership, diff));
            }
        }
    }

    /// Reports person ids, and which person ids became which.
    fn report_names(
        &mut self,
        out: &mut Resolution,
        mut seen: Set<ClusterId>,
        moves: BTreeMap<(ClusterId, ClusterId), EventKey>,
    ) {
        seen.extend(self.changed.clusters.iter().flatten());
        let mut ids: Vec<ClusterId> = seen.into_iter().collect();
        ids.sort_unstable_by_key(|&id| self.clusters[id as usize].handle);
        let mut given: Set<Token> = Set::default();
        let mut changes: Vec<(Token, Token, EventKey)> = Vec::new();
        let mut former: Map<ClusterId, Token> = Map::default();
        for &id in &ids {
            let cluster = &self.clusters[id as usize];
            let alive = cluster.assigned > 0 || cluster.shown > 0;
            let token = cluster.strongest.filter(|_| alive);
            let name = token.map(|node| self.nodes[node as usize].ident.token);
            if let Some(old) = cluster.name {
                former.insert(id, old);
                if let Some(new) = name
                    && cluster.assigned > 0
                {
                    changes.push((old, new, cluster.by));
                }
            }
            given.extend(name);
            if cluster.name != name {
                out.names.push((cluster.handle, name));
            }
            self.clusters[id as usize].name = name;
        }
        for ((from, to), by) in moves {
            if let (Some(&old), Some(new)) = (former.get(&from), self.clusters[to as usize].name) {
                changes.push((old, new, by));
            }
        }
        changes.retain(|(from, to, _)| from != to);
        changes.sort_unstable_by_key(|&(from, to, by)| (from, to, by));
        changes.dedup_by_key(|change| (change.0, change.1));
        out.changes.extend(changes.into_iter().map(|(from, to, by)| {
            let kind = if given.contains(&from) { Cause::Split } else { Cause::Merge };
            IdChange { from, to, kind, by }
        }));
    }

    /// Clears the marks of the epoch and frees what is no more.
    pub(super) fn forget(&mut self) {
        for node in std::mem::take(&mut self.changed.nodes) {
            let record = &mut self.nodes[node as usize];
            record.dirty = false;
            if record.commands == 0 && record.events.is_empty() {
                self.interned.remove(&record.ident);
                self.leave(node);
                self.links.remove_node(node);
                self.free_nodes.push(node);
            }
        }
        for id in self.changed.clusters.iter_mut().flat_map(std::mem::take) {
            let cluster = &mut self.clusters[id as usize];
            cluster.touched = false;
            cluster.marks.clear();
        }
        for id in std::mem::take(&mut self.changed.emptied) {
            let cluster = &mut self.clusters[id as usize];
            let unused = cluster.members.is_empty() && cluster.assigned + cluster.shown == 0;
            if unused && cluster.handle != 0 {
                cluster.handle = 0; // free, until it is made anew
                self.free_clusters.push(id);
            }
        }
        for slot in std::mem::take(&mut self.changed.released) {
            self.events.release(slot);
        }
    }
}

/// Spans in order, overlapping ones made one.
fn merged(mut spans: Vec<Span>) -> Vec<Span> {
    spans.sort_unstable();
    spans.dedup_by(|next, last| {
        let overlap = next.0 <= last.1;
        if overlap {
            last.1 = last.1.max(next.1);
        }
        overlap
    });
    spans
}
