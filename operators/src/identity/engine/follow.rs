//! From what changed to what is looked at again: public clusters, and marks down the ranks.

use std::ops::Range;

use super::Incremental;
use super::cluster::{ALWAYS, Span};
use super::report::clear;
use super::slots::ClusterId;
use crate::identity::Own;

impl Incremental {
    /// Decides which touched clusters are public, the strongest rank first: what a rank owns
    /// depends only on stronger ones.
    pub(super) fn decide_public(&mut self) {
        for place in 0..self.ranks.len() {
            let mut next = 0;
            while let Some(&id) = self.changed.clusters[place].get(next) {
                next += 1;
                let limits = self.limits_now(id);
                let owners_max = self.clusters.limits_at(limits).owners_max as usize;
                let extra = self.clusters.extra(id);
                let public = self.clusters[id].rank > 0
                    && self.clusters.count(id) > 0
                    && (extra.hubs > 0 || extra.owners.len() > owners_max);
                if public != self.clusters[id].is_public() {
                    self.changed.by = self.touch(id).by;
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
                if self.clusters[id].is_stale() {
                    self.find_strongest(id);
                }
                let index = self.limits_now(id);
                let limits = self.clusters.limits_at(index);
                let changed = limits != self.clusters.limits(id);
                self.clusters.rest_mut(id).limits = index;
                let claims = &self.clusters.extra(id).claims;
                let decisive = match limits.own {
                    Own::Time => None,
                    Own::First => claims.first(&self.events),
                    Own::Last => claims.last(&self.events),
                };
                let chosen = decisive.and_then(|claim| self.claimed_by(id, claim));
                let barred = self.commands.bars.any_on(id);
                let chooses = chosen != self.clusters.extra(id).chosen;
                if chooses {
                    self.clusters.extra_mut(id).chosen = chosen;
                }
                if barred || changed || chooses {
                    self.mark(id, ALWAYS);
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
                let Some(touched) = self.changed.touched.get_mut(id) else { continue };
                let spans = merged(std::mem::take(&mut touched.marks));
                if spans.is_empty() {
                    continue;
                }
                self.changed.by = touched.by;
                self.touch_spans(id, &spans);
                let mut followers = self.clusters.extra(id).owned.clusters().to_vec();
                followers.extend(self.commands.gifts.from(id).map(|c| self.cluster_of(c.weak)));
                for follower in followers {
                    // Which claims an unmerge leaves depends on people at all of them.
                    if self.commands.bars.any_on(follower) {
                        self.mark(follower, ALWAYS);
                        continue;
                    }
                    for &span in &spans {
                        self.mark(follower, span);
                    }
                }
                for cross in self.commands.bars.from(id).copied().collect::<Vec<_>>() {
                    self.mark(self.cluster_of(cross.weak), ALWAYS);
                }
            }
        }
    }

    fn touch_spans(&mut self, id: ClusterId, spans: &[Span]) {
        let mut slots = Vec::new();
        for node in self.members(id) {
            let record = &self.nodes[node];
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

    /// Takes the marks off some of the nodes, and frees those that are no more.
    pub(super) fn forget_nodes(&mut self, part: Range<usize>) {
        for place in part {
            let node = self.changed.nodes[place];
            self.clean_node(node);
            if !self.is_named(node) {
                self.leave(node);
                self.links.remove_node(node);
                self.nodes.remove(node);
            }
        }
    }

    /// Clears the other marks of the epoch and frees what is no more.
    pub(super) fn forget(&mut self) {
        clear(&mut self.changed.nodes);
        clear(&mut self.changed.fresh);
        clear(&mut self.changed.events);
        self.changed.clusters.iter_mut().for_each(clear);
        let touched = std::mem::take(&mut self.changed.touched);
        for id in (0..touched.len()).map(|place| touched.id(place)) {
            self.clusters[id].set_touched(false);
            self.clusters.trim(id);
        }
        for id in std::mem::take(&mut self.changed.emptied) {
            let unused = self.clusters.count(id) == 0
                && self.clusters[id].assigned + self.clusters.rest(id).shown == 0;
            if unused && self.clusters[id].handle != 0 {
                if self.clusters[id].is_part() {
                    self.set_part(id, None);
                }
                self.clusters.release(id);
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
