//! The report of an epoch: events, memberships, person ids and their changes.

use super::person::Held;
use super::slots::{ClusterId, NOBODY};
use super::{Incremental, Map, Set};
use crate::identity::{Assign, IdChange, Membership, Resolution};
use crate::model::{Cause, EventKey, Token};

/// Clusters between which events moved, with what brought it about.
type Moves = std::collections::BTreeMap<(ClusterId, ClusterId), EventKey>;

impl Incremental {
    /// Evaluates what was touched and reports what differs.
    pub(super) fn report(&mut self, out: &mut Resolution) {
        let (mut held, mut seen, mut moves) = (Held::default(), Set::default(), Moves::new());
        self.report_fresh(out);
        self.report_marked(out, &mut held, &mut seen, &mut moves);
        self.report_memberships(out, &mut held, &mut seen);
        self.report_names(out, seen, &moves);
    }

    /// New events whose person was clear when they came, and which nothing has marked since.
    fn report_fresh(&mut self, out: &mut Resolution) {
        out.assigns.reserve(self.changed.fresh.len());
        for (slot, person) in self.changed.fresh.drain(..) {
            if self.events.take_fresh(slot) {
                let (event, to) = (self.events.key(slot), Some(person));
                out.assigns.push(Assign { event, from: None, to, cause: Cause::New });
            }
        }
    }

    fn report_marked(
        &mut self,
        out: &mut Resolution,
        held: &mut Held,
        seen: &mut Set<ClusterId>,
        moves: &mut Moves,
    ) {
        let first = out.assigns.len();
        let mut origins = Vec::new();
        for &person in self.changed.gone.values() {
            self.clusters[person].assigned -= 1;
            seen.insert(person);
        }
        let mut last = (NOBODY, NOBODY);
        for slot in std::mem::take(&mut self.changed.events) {
            if !self.events.clean(slot) {
                continue;
            }
            let person = self.person_of(slot, held);
            let mut before = self.events.person(slot);
            if person == before {
                continue;
            }
            let key = self.events.key(slot);
            if before == NOBODY {
                before = self.changed.gone.remove(&key).unwrap_or(NOBODY);
            } else {
                self.clusters[before].assigned -= 1;
            }
            self.clusters[person].assigned += 1;
            self.events.set_person(slot, person);
            self.touch_last(slot);
            if person == before {
                continue; // it went and came back in one epoch
            }
            if before != NOBODY {
                let touched = [before, person].into_iter().find_map(|id| self.touched(id));
                let by = touched.map_or(key, |touched| touched.by);
                moves.insert((before, person), by);
            }
            if last != (before, person) {
                seen.extend([before, person].into_iter().filter(|&id| id != NOBODY));
                last = (before, person);
            }
            origins.push(before);
            let from = (before != NOBODY).then(|| self.clusters[before].handle);
            let to = Some(self.clusters[person].handle);
            out.assigns.push(Assign { event: key, from, to, cause: Cause::New });
        }
        for (assign, from) in out.assigns[first..].iter_mut().zip(origins) {
            if from != NOBODY {
                let left = self.clusters[from].assigned;
                assign.cause = if left == 0 { Cause::Merge } else { Cause::Split };
            }
        }
        let mut gone: Vec<_> = std::mem::take(&mut self.changed.gone).into_iter().collect();
        gone.sort_unstable();
        out.assigns.extend(gone.into_iter().map(|(event, person)| Assign {
            event,
            from: Some(self.clusters[person].handle),
            to: None,
            cause: Cause::New,
        }));
    }

    /// An event's person changed: so may that of the identifiers of which it is the last event.
    fn touch_last(&mut self, slot: u32) {
        for place in 0..self.events.nodes(slot).len() {
            let node = self.events.nodes(slot)[place];
            if self.nodes[node].events.last() == Some(slot) {
                self.touch_node(node);
            }
        }
    }

    fn report_memberships(
        &mut self,
        out: &mut Resolution,
        held: &mut Held,
        seen: &mut Set<ClusterId>,
    ) {
        for next in 0..self.changed.nodes.len() {
            let node = self.changed.nodes[next];
            let record = &self.nodes[node];
            let now = self.exists(node).then(|| {
                let person = match record.events.last() {
                    Some(slot) => self.events.person(slot),
                    None => self.person(record.cluster, EventKey::MAX, held),
                };
                (person, self.clusters[record.cluster].is_public())
            });
            let before = self.nodes.shown(node);
            let ident = record.ident();
            self.nodes.show(node, now);
            if now == before {
                continue;
            }
            for (shown, diff) in [(before, -1), (now, 1)] {
                let Some((person, public)) = shown else { continue };
                seen.insert(person);
                let count = &mut self.clusters.rest_mut(person).shown;
                *count = if diff > 0 { *count + 1 } else { *count - 1 };
                let membership = Membership { ident, person: self.clusters[person].handle, public };
                out.memberships.push((membership, diff));
            }
        }
    }

    /// Reports person ids, and which person ids became which.
    fn report_names(&mut self, out: &mut Resolution, mut seen: Set<ClusterId>, moves: &Moves) {
        seen.extend(self.changed.touched.iter().map(|touched| touched.id));
        let mut ids: Vec<ClusterId> = seen.into_iter().collect();
        ids.sort_unstable_by_key(|&id| self.clusters[id].handle);
        let mut given: Set<Token> = Set::default();
        let mut changes: Vec<(Token, Token, EventKey)> = Vec::new();
        let mut former: Map<ClusterId, Token> = Map::default();
        for &id in &ids {
            let alive = self.clusters[id].assigned > 0 || self.clusters.rest(id).shown > 0;
            let strongest = self.clusters.rest(id).strongest;
            let name = (alive && strongest != NOBODY).then(|| self.nodes[strongest].ident().token);
            let touched = self.touched(id);
            let old = touched.map_or_else(|| self.name(id), |touched| touched.former);
            if let Some(old) = old {
                former.insert(id, old);
                if let (Some(new), Some(touched)) = (name, touched)
                    && self.clusters[id].assigned > 0
                {
                    changes.push((old, new, touched.by));
                }
            }
            given.extend(name);
            if old != name {
                out.names.push((self.clusters[id].handle, name));
            }
            self.clusters[id].set_named(name.is_some());
        }
        for (&(from, to), &by) in moves {
            if let (Some(&old), Some(new)) = (former.get(&from), self.name(to)) {
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
}
