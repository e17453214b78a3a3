//! From what changed in the collections to what is reported, per tenant and epoch.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use differential_dataflow::consolidation::consolidate;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::operator::Operator as _;

use super::Seen;
use super::code::{Coded as _, Delta};
use super::table::{Table, Update};
use crate::identity::{Assign, Handle, IdChange, Membership, Resolution, Sighting};
use crate::model::{Cause, Epoch, EventKey, Ident, Idents};
use crate::shard::tenant;

/// What an epoch brings to a tenant.
#[derive(Debug, Default)]
struct Gathered {
    /// Events and commands that come or go, with the identifiers that they name.
    sighted: Vec<(EventKey, Idents)>,
    deltas: Vec<(Delta, isize)>,
}

/// Gathers the changes of an epoch, each at its own time, and reports when it is complete.
pub(super) fn report<'scope>(
    seen: StreamVec<'scope, Epoch, Seen>,
    deltas: Table<'scope, u64, Delta>,
) -> StreamVec<'scope, Epoch, (Arc<str>, Resolution)> {
    let by_name = Exchange::new(|(name, ..): &Seen| tenant(name));
    let by_tenant = Exchange::new(|update: &Update| u64::read(&update.0.0).unwrap_or_default());
    seen.binary_frontier::<_, CapacityContainerBuilder<Vec<_>>, _, _, _, _>(
        deltas.updates(),
        by_name,
        by_tenant,
        "Identity: report",
        |_, _| {
            let mut tenants: BTreeMap<u64, Tenant> = BTreeMap::new();
            let mut epochs: BTreeMap<Epoch, (Capability<Epoch>, BTreeMap<u64, Gathered>)> =
                BTreeMap::new();
            move |(seen, seen_frontier), (deltas, deltas_frontier), output| {
                seen.for_each_stamp(|capability, data| {
                    let Some(&epoch) = capability.stamp().iter().next() else { return };
                    let held = || (capability.delayed(&epoch, 0), BTreeMap::new());
                    let (_, gathered) = epochs.entry(epoch).or_insert_with(held);
                    for (name, sighting, _) in data.flat_map(std::mem::take) {
                        let id = tenant(&name);
                        tenants.entry(id).or_insert_with(|| Tenant::new(name));
                        gathered.entry(id).or_default().sighted.push(named(sighting));
                    }
                });
                deltas.for_each_stamp(|capability, data| {
                    for ((key, value), epoch, times) in data.flat_map(std::mem::take) {
                        let Some((id, delta)) = u64::read(&key).zip(Delta::read(&value)) else {
                            continue;
                        };
                        let held = || (capability.delayed(&epoch, 0), BTreeMap::new());
                        let (_, gathered) = epochs.entry(epoch).or_insert_with(held);
                        gathered.entry(id).or_default().deltas.push((delta, times));
                    }
                });
                while let Some(entry) = epochs.first_entry() {
                    if seen_frontier.less_equal(entry.key())
                        || deltas_frontier.less_equal(entry.key())
                    {
                        break;
                    }
                    let (capability, gathered) = entry.remove();
                    let mut session = output.session(&capability);
                    for (id, gathered) in gathered {
                        let Some(tenant) = tenants.get_mut(&id) else { continue };
                        let resolution = tenant.advance(gathered);
                        if !resolution.is_empty() {
                            session.give((Arc::clone(&tenant.name), resolution));
                        }
                    }
                }
            }
        },
    )
}

fn named(sighting: Sighting) -> (EventKey, Idents) {
    match sighting {
        Sighting::Event(key, idents) => (key, idents),
        Sighting::Command(key, command) => (key, Idents::from_iter([command.x, command.y])),
    }
}

/// A person, under its strongest identifier.
#[derive(Debug)]
struct Person {
    handle: Handle,
    /// Events whose person it is.
    events: isize,
    /// Identifiers that lead to it.
    shown: isize,
}

/// What a report needs to know of the past.
#[derive(Debug)]
struct Tenant {
    name: Arc<str>,
    /// The last handle given out.
    last: Handle,
    people: BTreeMap<Ident, Person>,
    /// The cluster of each identifier.
    clusters: BTreeMap<Ident, Ident>,
}

/// What an epoch changed, by kind.
#[derive(Debug, Default)]
struct Changed {
    /// Events that came or went, and commands.
    sighted: Vec<(EventKey, Idents)>,
    clusters: Vec<(Ident, Ident, isize)>,
    /// Person of an event before and now.
    persons: BTreeMap<EventKey, [Option<Ident>; 2]>,
    members: Vec<(Ident, Ident, bool, isize)>,
}

impl Tenant {
    fn new(name: Arc<str>) -> Self {
        Self { name, last: 0, people: BTreeMap::new(), clusters: BTreeMap::new() }
    }

    fn advance(&mut self, gathered: Gathered) -> Resolution {
        let mut deltas = gathered.deltas;
        consolidate(&mut deltas);
        let mut changed = Changed { sighted: gathered.sighted, ..Changed::default() };
        for (delta, times) in deltas {
            match delta {
                Delta::Cluster(ident, cluster) => changed.clusters.push((ident, cluster, times)),
                Delta::Person(key, person) => {
                    let sides = changed.persons.entry(key).or_default();
                    sides[usize::from(times > 0)] = Some(person);
                }
                Delta::Member(ident, person, public) => {
                    changed.members.push((ident, person, public, times));
                }
            }
        }
        let by = self.causes(&changed);
        let mut out = Resolution::default();
        let new = self.count(&changed);
        self.moves(&changed, &by, &mut out);
        for &(ident, person, public, times) in &changed.members {
            let Some(person) = self.people.get(&person).map(|p| p.handle) else { continue };
            let diff = if times > 0 { 1 } else { -1 };
            out.memberships.push((Membership { ident, person, public }, diff));
        }
        self.names(&changed, &new, &mut out);
        out
    }

    /// The last sighting of the epoch that names an identifier of a cluster, as it was or is.
    fn causes(&mut self, changed: &Changed) -> BTreeMap<Ident, EventKey> {
        let mut by: BTreeMap<Ident, EventKey> = BTreeMap::new();
        let mut note = |clusters: &BTreeMap<Ident, Ident>| {
            for (key, idents) in &changed.sighted {
                for cluster in idents.iter().filter_map(|ident| clusters.get(ident)) {
                    let last = by.entry(*cluster).or_insert(*key);
                    *last = (*key).max(*last);
                }
            }
        };
        note(&self.clusters);
        for (ident, ..) in changed.clusters.iter().filter(|c| c.2 < 0) {
            self.clusters.remove(ident);
        }
        for (ident, cluster, _) in changed.clusters.iter().filter(|c| c.2 > 0) {
            self.clusters.insert(*ident, *cluster);
        }
        note(&self.clusters);
        by
    }

    /// Brings the counts up to date and returns who is new.
    fn count(&mut self, changed: &Changed) -> BTreeSet<Ident> {
        let mut new = BTreeSet::new();
        let last = &mut self.last;
        let mut of = |people: &mut BTreeMap<Ident, Person>, ident, events, shown| {
            let person = people.entry(ident).or_insert_with(|| {
                new.insert(ident);
                *last += 1;
                Person { handle: *last, events: 0, shown: 0 }
            });
            person.events += events;
            person.shown += shown;
        };
        for [before, now] in changed.persons.values() {
            for (person, diff) in [(before, -1), (now, 1)] {
                if let Some(person) = person {
                    of(&mut self.people, *person, diff, 0);
                }
            }
        }
        for (_, person, _, times) in &changed.members {
            of(&mut self.people, *person, 0, *times);
        }
        new
    }

    /// Reports events that changed person, and the people that they left and went to.
    fn moves(&self, changed: &Changed, by: &BTreeMap<Ident, EventKey>, out: &mut Resolution) {
        let mut pairs: BTreeMap<(Ident, Ident), EventKey> = BTreeMap::new();
        for (event, [before, now]) in &changed.persons {
            let handle = |ident: &Ident| self.people.get(ident).map(|p| p.handle);
            let cause = match (before, now) {
                (Some(before), Some(now)) => {
                    let last = [by.get(before), by.get(now)].into_iter().flatten().max();
                    pairs.entry((*before, *now)).or_insert(*last.unwrap_or(event));
                    if self.is_left(before) { Cause::Split } else { Cause::Merge }
                }
                _ => Cause::New,
            };
            let from = before.as_ref().and_then(handle);
            let to = now.as_ref().and_then(handle);
            out.assigns.push(Assign { event: *event, from, to, cause });
        }
        out.changes.extend(pairs.into_iter().map(|((from, to), by)| {
            let kind = if self.is_left(&from) { Cause::Split } else { Cause::Merge };
            IdChange { from: from.token, to: to.token, kind, by }
        }));
    }

    /// Whether somebody has a person id.
    fn is_left(&self, ident: &Ident) -> bool {
        self.people.get(ident).is_some_and(|p| p.events + p.shown > 0)
    }

    /// Reports who is new and who is no more.
    fn names(&mut self, changed: &Changed, new: &BTreeSet<Ident>, out: &mut Resolution) {
        let persons = changed.persons.values().flatten().flatten();
        let touched: BTreeSet<Ident> =
            persons.chain(changed.members.iter().map(|(_, person, ..)| person)).copied().collect();
        for ident in touched {
            let Some(person) = self.people.get(&ident) else { continue };
            let alive = person.events + person.shown > 0;
            if alive && new.contains(&ident) {
                out.names.push((person.handle, Some(ident.token), Cause::New));
            } else if !alive {
                if !new.contains(&ident) {
                    out.names.push((person.handle, None, Cause::New));
                }
                self.people.remove(&ident);
            }
        }
    }
}
