//! The report of an epoch: events, memberships, person ids and their changes. It is told in steps,
//! so that one of many items need not be told at once; nothing changes in between.

use std::ops::Range;

use super::person::Held;
use super::slots::{ClusterId, NOBODY, Slot};
use super::{Incremental, Map};
use crate::identity::{Assign, Handle, IdChange, Membership, Resolution};
use crate::model::{Cause, EventKey, Ident, Token};

/// What is told, in this order.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Stage {
    /// No report is under way.
    #[default]
    None,
    /// New events whose person was clear when they came.
    Fresh,
    /// Events that were marked. Of those that moved the cause depends on names.
    Marked,
    Memberships,
    /// Finds out the names of people, and which differ.
    Names,
    /// Tells those.
    Renamed,
    /// Events that moved.
    Moved,
    /// People merged and split.
    Changes,
    /// Clears the marks of the epoch.
    Forget,
}

/// A report under way.
#[derive(Debug, Default)]
pub(super) struct Report {
    stage: Stage,
    /// Items of the stage that are done.
    done: usize,
    held: Held,
    /// People whom it concerns, each once.
    seen: Vec<ClusterId>,
    /// People of marked events that are new.
    arrived: Vec<ClusterId>,
    /// Events that left a person for another.
    moved: Vec<Moved>,
    /// People between whom events moved, with what brought it about.
    moves: Vec<(ClusterId, ClusterId, EventKey)>,
    /// People whose id differs.
    names: Vec<Named>,
    /// Former ids of those of them that nothing touched.
    ended: Map<ClusterId, Token>,
    /// Person ids that became others.
    changes: Vec<(Token, Token, EventKey)>,
}

/// An event that left a person for another.
#[derive(Debug)]
struct Moved {
    event: EventKey,
    from: ClusterId,
    to: ClusterId,
}

/// A person whose id differs.
#[derive(Debug)]
struct Named {
    id: ClusterId,
    old: Option<Token>,
    new: Option<Token>,
}

/// Forgets what a list holds, and its memory if it is large beside what was needed now: each tenant
/// has such lists, and a first epoch may need much more than others.
pub(super) fn clear<T>(list: &mut Vec<T>) {
    const KEPT: usize = 64;
    let needed = list.len().max(KEPT);
    list.clear();
    if list.capacity() > 4 * needed {
        list.shrink_to(needed);
    }
}

impl Report {
    pub(super) fn is_under_way(&self) -> bool {
        self.stage != Stage::None
    }

    fn clear(&mut self) {
        clear(&mut self.seen);
        clear(&mut self.arrived);
        clear(&mut self.moved);
        clear(&mut self.moves);
        clear(&mut self.names);
        (self.held, self.ended, self.changes) = Default::default();
    }
}

impl Incremental {
    /// Begins to evaluate what was touched and to report what differs. But for handles, that is the
    /// same whatever handles people have.
    pub(super) fn begin_report(&mut self) {
        self.report.stage = Stage::Fresh;
        let gone: Vec<ClusterId> = self.changed.gone.values().copied().collect();
        for person in gone {
            self.clusters[person].assigned -= 1;
            self.see(person);
        }
    }

    /// Reports about `budget` items, which is counted down; whether that was all.
    pub(super) fn report(&mut self, out: &mut Resolution, budget: &mut usize) -> bool {
        while *budget > 0 {
            let stage = self.report.stage;
            let Some((len, next)) = self.stage(stage) else { return true };
            let from = self.report.done;
            let to = len.min(from + *budget);
            let part = from..to;
            match stage {
                Stage::None => {}
                Stage::Fresh => self.report_fresh(part, out),
                Stage::Marked => self.report_marked(part, out),
                Stage::Memberships => self.report_memberships(part, out),
                Stage::Names => self.find_names(part),
                Stage::Renamed => self.report_names(part, out),
                Stage::Moved => self.report_moved(part, out),
                Stage::Changes => self.report_changes(part, out),
                Stage::Forget => self.forget_nodes(part),
            }
            *budget -= to - from;
            self.report.done = to;
            if to == len {
                self.end(stage, out);
                (self.report.stage, self.report.done) = (next, 0);
            }
        }
        !self.report.is_under_way()
    }

    /// How many items a stage has, and what comes after it.
    fn stage(&self, stage: Stage) -> Option<(usize, Stage)> {
        let report = &self.report;
        Some(match stage {
            Stage::None => return None,
            Stage::Fresh => (self.changed.fresh.len(), Stage::Marked),
            Stage::Marked => (self.changed.events.len(), Stage::Memberships),
            Stage::Memberships => (self.changed.nodes.len(), Stage::Names),
            Stage::Names => (report.seen.len(), Stage::Renamed),
            Stage::Renamed => (report.names.len(), Stage::Moved),
            Stage::Moved => (report.moved.len(), Stage::Changes),
            Stage::Changes => (report.changes.len(), Stage::Forget),
            Stage::Forget => (self.changed.nodes.len(), Stage::None),
        })
    }

    fn end(&mut self, stage: Stage, out: &mut Resolution) {
        match stage {
            Stage::Marked => self.report_gone(out),
            Stage::Memberships => {
                for place in 0..self.changed.touched.len() {
                    self.see(self.changed.touched.id(place));
                }
            }
            Stage::Moved => self.find_changes(),
            Stage::Forget => {
                for &id in &self.report.seen {
                    self.clusters[id].set_seen(false);
                }
                self.report.clear();
                self.forget();
            }
            Stage::None | Stage::Fresh | Stage::Names | Stage::Renamed | Stage::Changes => {}
        }
    }

    /// Notes that the report concerns a person.
    fn see(&mut self, id: ClusterId) {
        let cluster = &mut self.clusters[id];
        if !cluster.is_seen() {
            cluster.set_seen(true);
            self.report.seen.push(id);
        }
    }

    /// New events whose person was clear when they came, and which nothing has marked since.
    fn report_fresh(&mut self, part: Range<usize>, out: &mut Resolution) {
        for (slot, person) in &mut self.changed.fresh[part] {
            if self.events.take_fresh(*slot) {
                let (event, to) = (self.events.key(*slot), Some(*person));
                out.assigns.push(Assign { event, from: None, to, cause: Cause::New });
            } else {
                *person = Handle::MAX; // nobody's
            }
        }
    }

    fn report_marked(&mut self, part: Range<usize>, out: &mut Resolution) {
        let mut held = std::mem::take(&mut self.report.held);
        let mut last = None;
        for place in part {
            let slot = self.changed.events[place];
            let Some(mut from) = self.events.clean(slot) else { continue };
            let to = self.person_of(slot, &mut held);
            if to == from {
                continue;
            }
            let event = self.events.key(slot);
            if from != NOBODY {
                self.clusters[from].assigned -= 1;
            } else if !self.changed.gone.is_empty() {
                from = self.changed.gone.remove(&event).unwrap_or(NOBODY);
            }
            self.clusters[to].assigned += 1;
            self.events.set_person(slot, to);
            self.touch_last(slot);
            if to == from {
                continue; // it went and came back in one epoch
            }
            if from == NOBODY {
                self.see(to);
                let person = Some(self.clusters[to].handle);
                out.assigns.push(Assign { event, from: None, to: person, cause: Cause::New });
                self.report.arrived.push(to);
                continue;
            }
            if last != Some((from, to)) {
                self.see(to);
                self.see(from);
                let touched = [from, to].into_iter().find_map(|id| self.touched(id));
                let by = touched.map(|touched| touched.by);
                self.report.moves.push((from, to, by.unwrap_or(event)));
                // What touched them is the same for all their events.
                last = by.map(|_| (from, to));
            }
            self.report.moved.push(Moved { event, from, to });
        }
        self.report.held = held;
    }

    fn report_gone(&mut self, out: &mut Resolution) {
        let mut gone: Vec<_> = self.changed.gone.drain().collect();
        gone.sort_unstable();
        out.assigns.extend(gone.into_iter().map(|(event, person)| Assign {
            event,
            from: Some(self.clusters[person].handle),
            to: None,
            cause: Cause::New,
        }));
    }

    /// An event's person changed: so may that of the identifiers of which it is the last event.
    fn touch_last(&mut self, slot: Slot) {
        for place in 0..self.events.nodes(slot).len() {
            let node = self.events.nodes(slot)[place];
            let record = &self.nodes[node];
            if !record.is_dirty() && record.events.last(&self.events) == Some(slot) {
                self.touch_node(node);
            }
        }
    }

    fn report_memberships(&mut self, part: Range<usize>, out: &mut Resolution) {
        let mut held = std::mem::take(&mut self.report.held);
        for place in part {
            let node = self.changed.nodes[place];
            let record = &self.nodes[node];
            let now = self.exists(node).then(|| {
                let person = match record.events.last(&self.events) {
                    Some(slot) => self.events.person(slot),
                    None => self.person(record.cluster, EventKey::MAX, &mut held),
                };
                (person, self.clusters[record.cluster].is_public())
            });
            let before = self.nodes.shown(node);
            if now == before {
                // Its own cluster may be another one all the same.
                self.nodes.show(node, now);
                continue;
            }
            let ident = record.ident();
            self.nodes.show(node, now);
            for (shown, diff) in [(before, -1), (now, 1)] {
                let Some((person, public)) = shown else { continue };
                self.see(person);
                let count = &mut self.clusters.rest_mut(person).shown;
                *count = if diff > 0 { *count + 1 } else { *count - 1 };
                let membership = Membership { ident, person: self.clusters[person].handle, public };
                out.memberships.push((membership, diff));
            }
        }
        self.report.held = held;
    }

    fn find_names(&mut self, part: Range<usize>) {
        for place in part {
            let id = self.report.seen[place];
            let rest = self.clusters.rest(id);
            let alive = self.clusters[id].assigned > 0 || rest.shown > 0;
            let named = alive && rest.strongest != NOBODY;
            let new = named.then(|| self.nodes[rest.strongest].ident().token);
            let touched = self.touched(id);
            let old = touched.map_or_else(|| self.name(id), |touched| touched.former);
            if old != new {
                if let (None, Some(old)) = (touched, old) {
                    self.report.ended.insert(id, old);
                }
                self.report.names.push(Named { id, old, new });
            }
            self.clusters[id].set_named(named);
        }
    }

    /// The id that a person had before this epoch.
    fn former(&self, id: ClusterId) -> Option<Token> {
        match self.touched(id) {
            Some(touched) => touched.former,
            None if self.report.ended.is_empty() => self.name(id),
            None => self.report.ended.get(&id).copied().or_else(|| self.name(id)),
        }
    }

    /// Whether somebody whom the report concerns has this id now.
    fn is_given(&self, name: Token) -> bool {
        let names = |kind| {
            let node = self.nodes.find(Ident { kind, token: name })?;
            let id = self.cluster_of(node);
            let (cluster, rest) = (&self.clusters[id], self.clusters.rest(id));
            (cluster.is_seen() && cluster.is_named() && rest.strongest == node).then_some(())
        };
        (0..self.config.types.len()).any(|kind| names(kind as u8).is_some())
    }

    fn report_names(&mut self, part: Range<usize>, out: &mut Resolution) {
        for Named { id, old, new } in &self.report.names[part] {
            let split = old.is_some_and(|old| self.is_given(old));
            let cause = if split { Cause::Split } else { Cause::Merge };
            out.names.push((self.clusters[*id].handle, *new, cause));
        }
    }

    fn report_moved(&mut self, part: Range<usize>, out: &mut Resolution) {
        out.assigns.reserve(part.len());
        let mut last = (NOBODY, NOBODY, Cause::New);
        for &Moved { event, from, to } in &self.report.moved[part] {
            if (from, to) != (last.0, last.1) {
                let cause = match self.former(from) {
                    None => Cause::New,
                    former if former == self.name(to) => Cause::New,
                    Some(former) if self.is_given(former) => Cause::Split,
                    Some(_) => Cause::Merge,
                };
                last = (from, to, cause);
            }
            let handle = |id| Some(self.clusters[id].handle);
            out.assigns.push(Assign { event, from: handle(from), to: handle(to), cause: last.2 });
        }
    }

    /// Finds out which person ids became which.
    fn find_changes(&mut self) {
        let mut changes = self.stayed();
        for &(from, to, by) in &self.report.moves {
            if let (Some(old), Some(new)) = (self.former(from), self.name(to)) {
                changes.push((old, new, by));
            }
        }
        changes.retain(|(from, to, _)| from != to);
        changes.sort_unstable();
        changes.dedup_by_key(|change| (change.0, change.1));
        self.report.changes = changes;
    }

    /// Of people whose id changed, those with events that they had before.
    fn stayed(&self) -> Vec<(Token, Token, EventKey)> {
        let renamed = |named: &Named| {
            let touched = self.touched(named.id)?;
            let both = named.old.zip(named.new)?;
            let (cluster, change) = (&self.clusters[named.id], (both.0, both.1, touched.by));
            (cluster.assigned > 0).then_some((cluster, change))
        };
        let renamed: Vec<_> = self.report.names.iter().filter_map(renamed).collect();
        if renamed.is_empty() {
            return Vec::new();
        }
        let mut came: Map<Handle, u32> = renamed.iter().map(|(c, _)| (c.handle, 0)).collect();
        let moved = self.report.moved.iter().map(|moved| moved.to);
        let others = self.report.arrived.iter().copied().chain(moved);
        let others = others.map(|id| self.clusters[id].handle);
        for person in self.changed.fresh.iter().map(|fresh| fresh.1).chain(others) {
            if let Some(count) = came.get_mut(&person) {
                *count += 1;
            }
        }
        let stays = renamed.into_iter().filter(|(c, _)| c.assigned > came[&c.handle]);
        stays.map(|(_, change)| change).collect()
    }

    fn report_changes(&mut self, part: Range<usize>, out: &mut Resolution) {
        for &(from, to, by) in &self.report.changes[part] {
            let kind = if self.is_given(from) { Cause::Split } else { Cause::Merge };
            out.changes.push(IdChange { from, to, kind, by });
        }
    }
}
