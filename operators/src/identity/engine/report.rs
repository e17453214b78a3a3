//! The report of an epoch: events, memberships, person ids and their changes.

use super::person::Held;
use super::slots::{ClusterId, NOBODY};
use super::{Incremental, Map, Set};
use crate::identity::{Assign, Handle, IdChange, Membership, Resolution};
use crate::model::{Cause, EventKey, Token};

/// Person ids that people had, and those that are given now, of people that something happened to.
type Names = (Map<ClusterId, Token>, Set<Token>);
/// Clusters between which events moved, with what brought it about.
type Moves = std::collections::BTreeMap<(ClusterId, ClusterId), EventKey>;

/// A person whose id changed: the cluster, the former id and the new one, and what touched it.
type Renamed = (ClusterId, Token, Token, EventKey);

impl Incremental {
    /// Evaluates what was touched and reports what differs. But for handles, that is the same
    /// whatever handles people have.
    pub(super) fn report(&mut self, out: &mut Resolution) {
        let (mut held, mut seen, mut moves) = (Held::default(), Set::default(), Moves::new());
        self.report_fresh(out);
        let first = out.assigns.len();
        let moved = self.report_marked(out, &mut held, &mut seen, &mut moves);
        self.report_memberships(out, &mut held, &mut seen);
        let (former, given) = self.report_names(out, seen, &moves);
        for (assign, (from, to)) in out.assigns[first..].iter_mut().zip(moved) {
            let Some(name) = former.get(&from) else { continue };
            if Some(*name) != self.name(to) {
                assign.cause = if given.contains(name) { Cause::Split } else { Cause::Merge };
            }
        }
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

    /// Reports events that were marked. For each that has a person: the former one, and it.
    fn report_marked(
        &mut self,
        out: &mut Resolution,
        held: &mut Held,
        seen: &mut Set<ClusterId>,
        moves: &mut Moves,
    ) -> Vec<(ClusterId, ClusterId)> {
        let mut moved = Vec::new();
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
                let first = moves.entry((before, person)).or_insert(by);
                *first = by.min(*first);
            }
            if last != (before, person) {
                seen.extend([before, person].into_iter().filter(|&id| id != NOBODY));
                last = (before, person);
            }
            moved.push((before, person));
            let from = (before != NOBODY).then(|| self.clusters[before].handle);
            let to = Some(self.clusters[person].handle);
            out.assigns.push(Assign { event: key, from, to, cause: Cause::New });
        }
        let mut gone: Vec<_> = std::mem::take(&mut self.changed.gone).into_iter().collect();
        gone.sort_unstable();
        out.assigns.extend(gone.into_iter().map(|(event, person)| Assign {
            event,
            from: Some(self.clusters[person].handle),
            to: None,
            cause: Cause::New,
        }));
        moved
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
    fn report_names(
        &mut self,
        out: &mut Resolution,
        mut seen: Set<ClusterId>,
        moves: &Moves,
    ) -> Names {
        seen.extend(self.changed.touched.iter().map(|touched| touched.id));
        let mut ids: Vec<ClusterId> = seen.into_iter().collect();
        ids.sort_unstable_by_key(|&id| self.clusters[id].handle);
        let mut given: Set<Token> = Set::default();
        let mut changes: Vec<(Token, Token, EventKey)> = Vec::new();
        let mut renamed: Vec<Renamed> = Vec::new();
        let (first, mut old_names) = (out.names.len(), Vec::new());
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
                    && old != new
                {
                    renamed.push((id, old, new, touched.by));
                }
            }
            given.extend(name);
            if old != name {
                out.names.push((self.clusters[id].handle, name, Cause::Merge));
                old_names.push(old);
            }
            self.clusters[id].set_named(name.is_some());
        }
        for (name, old) in out.names[first..].iter_mut().zip(old_names) {
            if old.is_some_and(|old| given.contains(&old)) {
                name.2 = Cause::Split;
            }
        }
        self.keep_stayed(&mut renamed, out);
        changes.extend(renamed.into_iter().map(|(_, old, new, by)| (old, new, by)));
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
        (former, given)
    }

    /// Of people whose id changed, keeps those with events that they had before.
    fn keep_stayed(&self, renamed: &mut Vec<Renamed>, out: &Resolution) {
        if renamed.is_empty() {
            return;
        }
        let handle = |renamed: &Renamed| self.clusters[renamed.0].handle;
        let mut came: Map<Handle, u32> = renamed.iter().map(|r| (handle(r), 0)).collect();
        for assign in out.assigns.iter().filter(|assign| assign.from != assign.to) {
            if let Some(count) = assign.to.and_then(|to| came.get_mut(&to)) {
                *count += 1;
            }
        }
        renamed.retain(|r| self.clusters[r.0].assigned > came[&handle(r)]);
    }
}
