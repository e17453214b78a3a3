//! The shell of identity: one incremental engine per tenant, or the reference for all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::vec::Map as _;

use super::held::Holder;
use super::shell::{Batches, in_steps};
use super::{HeldBytes, Job};
use crate::dedup::Counted;
use crate::identity::differential::{self, Seen};
use crate::identity::engine::{Incremental, STEP};
use crate::identity::{
    Assign, Engine as _, EngineKind, Handle, IdChange, IdentityConfig, Membership, Resolution,
    Sighting,
};
use crate::model::{Cause, Epoch, Event, EventKey, Ident, Token};
use crate::shard::{place, tenant};
use crate::store::PersonRef;

/// What identity says, each item to the shard it concerns. There is an assignment for each event,
/// on its way through several operators: what is rarer than that and larger is boxed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) enum IdentityOut {
    /// To the store: the person of an event of a tenant.
    Assign { tenant: u64, event: EventKey, to: To, cause: Cause },
    /// To the store, which knows message ids: two people became one or one two.
    Change(Box<(Arc<str>, IdChange)>),
    /// To people: a person id.
    Name(PersonRef, Option<Token>, Cause),
    /// To people: whose an identifier is.
    Member(Box<Member>),
}

/// A person or nobody, in one word.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct To(Option<NonZeroU64>);

impl To {
    fn new(person: Option<Handle>) -> Self {
        // Handles are given from 0 on, one by one.
        Self(person.and_then(|handle| NonZeroU64::MIN.checked_add(handle)))
    }

    /// The person.
    pub(super) fn person(self) -> Option<Handle> {
        self.0.map(|number| number.get() - 1)
    }
}

/// An identifier comes to a person or leaves one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Member {
    /// The tenant.
    pub name: Arc<str>,
    pub membership: Membership,
    pub diff: i8,
    pub cause: Cause,
}

impl IdentityOut {
    /// The event whose shard in the store it concerns.
    pub(super) fn event(&self) -> Option<EventKey> {
        match self {
            Self::Assign { event, .. } => Some(*event),
            Self::Change(change) => Some(change.1.by),
            Self::Name(..) | Self::Member(_) => None,
        }
    }

    /// The person whom it concerns.
    pub(super) fn person(&self) -> Option<PersonRef> {
        match self {
            Self::Name(person, ..) => Some(*person),
            Self::Member(member) => {
                let (tenant, handle) = (tenant(&member.name), member.membership.person);
                Some(PersonRef { tenant, handle })
            }
            Self::Assign { .. } | Self::Change(_) => None,
        }
    }
}

/// Resolves who is who, per tenant.
pub(super) fn resolve<'scope>(
    counted: StreamVec<'scope, Epoch, Counted>,
    job: &Arc<Job>,
    held: &HeldBytes,
) -> StreamVec<'scope, Epoch, IdentityOut> {
    match job.engine {
        EngineKind::Incremental => incremental(counted, &job.identity, held.clone()),
        EngineKind::Differential => {
            let resolved = differential::resolve(counted.map(|c| seen(&c)), &job.identity);
            resolved.flat_map(|(name, mut resolution)| {
                let (mut ended, mut out) = (BTreeSet::new(), Vec::new());
                hand_on(&name, &mut resolution, &mut ended, &mut out);
                members(&name, &mut resolution, &mut ended, &mut out);
                out
            })
        }
    }
}

/// What identity is told of an event.
fn sighting(event: &Event) -> Sighting {
    match event.command() {
        Some(command) => Sighting::Command(event.key, *command),
        None => Sighting::Event(event.key, event.idents.clone()),
    }
}

fn seen(counted: &Counted) -> Seen {
    (Arc::clone(&counted.event.kind.tenant), sighting(&counted.event), counted.diff)
}

fn incremental<'scope>(
    counted: StreamVec<'scope, Epoch, Counted>,
    config: &Arc<IdentityConfig>,
    held: HeldBytes,
) -> StreamVec<'scope, Epoch, IdentityOut> {
    let mut bytes = 0;
    let by_tenant = Exchange::new(|counted: &Counted| place(&counted.event.kind.tenant));
    let mut tenants: BTreeMap<Arc<str>, Tenant> = BTreeMap::new();
    let config = Arc::clone(config);
    // Tenants of the epoch under way.
    let mut touched: BTreeSet<Arc<str>> = BTreeSet::new();
    in_steps(counted, by_tenant, "Identity", move |_, list: Option<Batches<Counted>>, out| {
        for counted in list.into_iter().flatten().flatten() {
            let name = &counted.event.kind.tenant;
            let tenant = match tenants.get_mut(name) {
                Some(tenant) => tenant,
                None => tenants.entry(Arc::clone(name)).or_insert_with(|| Tenant::new(&config)),
            };
            if tenant.waiting.is_empty() {
                touched.insert(Arc::clone(name));
            }
            tenant.waiting.push((counted.diff, counted.event.key, counted.event));
        }
        let mut budget = STEP;
        while let Some(name) = touched.first().filter(|_| budget > 0) {
            if let Some(tenant) = tenants.get_mut(name) {
                if !tenant.step(name, out, &mut budget) {
                    return false;
                }
                let now = tenant.engine.bytes();
                bytes = bytes + now - std::mem::replace(&mut tenant.held, now);
            }
            touched.pop_first();
        }
        held.say(Holder::Identity, bytes);
        touched.is_empty()
    })
}

/// A tenant's engine, and what it is told when the epoch is complete: what goes first, then in the
/// order of events.
struct Tenant {
    engine: Incremental,
    waiting: Vec<(i8, EventKey, Arc<Event>)>,
    /// How many of those were told, once they are in order.
    told: Option<usize>,
    /// Bytes that the engine held when it acted last.
    held: usize,
    /// Empty but for memberships, which wait until all is told; its memory is used again.
    resolution: Resolution,
    /// Persons that ended in the epoch that is being told.
    ended: BTreeSet<Handle>,
}

impl Tenant {
    fn new(config: &IdentityConfig) -> Self {
        let (waiting, resolution) = (Vec::new(), Resolution::default());
        let (engine, ended) = (Incremental::new(config), BTreeSet::new());
        Self { engine, waiting, told: None, held: 0, resolution, ended }
    }

    /// Does a part of the epoch, which `budget` bounds; whether that was all.
    fn step(&mut self, name: &Arc<str>, out: &mut Vec<IdentityOut>, budget: &mut usize) -> bool {
        let from = self.told.unwrap_or_else(|| {
            // The order decides handles and named causes: it must not depend on how records came.
            // Records of a source mostly come in order: a sort by merging runs uses that.
            self.waiting.sort_by(|(a_diff, a_key, a), (b_diff, b_key, b)| {
                (a_diff, a_key).cmp(&(b_diff, b_key)).then_with(|| sighting(a).cmp(&sighting(b)))
            });
            0
        });
        let to = self.waiting.len().min(from + *budget);
        for (diff, _, event) in &self.waiting[from..to] {
            self.engine.update(sighting(event), *diff);
        }
        *budget -= to - from;
        self.told = Some(to);
        if to < self.waiting.len() || *budget == 0 {
            return false;
        }
        let done = self.engine.step(&mut self.resolution, budget);
        hand_on(name, &mut self.resolution, &mut self.ended, out);
        if done {
            members(name, &mut self.resolution, &mut self.ended, out);
            self.waiting.clear();
            self.told = None;
        }
        done
    }
}

/// Empties a resolution, but for its memberships, into what is handed on, and notes who ended.
fn hand_on(
    name: &Arc<str>,
    resolution: &mut Resolution,
    ended: &mut BTreeSet<Handle>,
    out: &mut Vec<IdentityOut>,
) {
    let tenant = tenant(name);
    let Resolution { assigns, names, changes, .. } = resolution;
    ended.extend(names.iter().filter(|(_, name, _)| name.is_none()).map(|(handle, ..)| *handle));
    out.extend(assigns.drain(..).map(|Assign { event, to, cause, .. }| IdentityOut::Assign {
        tenant,
        event,
        to: To::new(to),
        cause,
    }));
    out.extend(names.drain(..).map(|(handle, token, cause)| {
        IdentityOut::Name(PersonRef { tenant, handle }, token, cause)
    }));
    let changed = |change| IdentityOut::Change(Box::new((Arc::clone(name), change)));
    out.extend(changes.drain(..).map(changed));
}

/// Empties the memberships of an epoch, when all names are told, into what is handed on: an
/// identifier goes from one person to another because the first one ended, or by a split.
fn members(
    name: &Arc<str>,
    resolution: &mut Resolution,
    ended: &mut BTreeSet<Handle>,
    out: &mut Vec<IdentityOut>,
) {
    let mut moved: BTreeMap<Ident, [Option<Handle>; 2]> = BTreeMap::new();
    for (Membership { ident, person, .. }, diff) in &resolution.memberships {
        moved.entry(*ident).or_default()[usize::from(*diff > 0)] = Some(*person);
    }
    for (membership, diff) in resolution.memberships.drain(..) {
        let cause = match moved.get(&membership.ident) {
            Some([Some(from), Some(to)]) if from != to => {
                if ended.contains(from) {
                    Cause::Merge
                } else {
                    Cause::Split
                }
            }
            _ => Cause::New,
        };
        let name = Arc::clone(name);
        out.push(IdentityOut::Member(Box::new(Member { name, membership, diff, cause })));
    }
    ended.clear();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Token;

    /// Identifiers that move have the cause of their person's change; others have none.
    #[test]
    fn an_identifier_moves_by_a_merge_or_by_a_split() {
        let ident = |token| Ident { kind: 0, token: Token(token) };
        let shown = |token, person, public| Membership { ident: ident(token), person, public };
        let mut resolution = Resolution {
            memberships: vec![
                (shown(1, 1, false), -1),
                (shown(1, 3, false), 1),
                (shown(2, 2, false), -1),
                (shown(2, 3, false), 1),
                (shown(3, 3, false), -1),
                (shown(3, 3, true), 1),
                (shown(4, 2, false), -1),
                (shown(5, 3, false), 1),
            ],
            names: vec![(1, None, Cause::Merge), (3, Some(Token(1)), Cause::Merge)],
            ..Resolution::default()
        };
        let (mut ended, mut out) = (BTreeSet::new(), Vec::new());
        hand_on(&"t".into(), &mut resolution, &mut ended, &mut out);
        assert_eq!(out.len(), 2);
        members(&"t".into(), &mut resolution, &mut ended, &mut out);
        let causes: Vec<Cause> = out[2..]
            .iter()
            .map(|out| match out {
                IdentityOut::Member(member) => member.cause,
                other => panic!("{other:?}"),
            })
            .collect();
        let moved = [Cause::Merge, Cause::Merge, Cause::Split, Cause::Split];
        assert_eq!(causes, [&moved[..], &[Cause::New; 4]].concat());
        assert!(resolution.is_empty() && ended.is_empty());
    }

    #[test]
    fn what_is_said_of_every_event_is_small() {
        assert!(size_of::<IdentityOut>() <= 56);
        for person in [None, Some(0), Some(7), Some(Handle::MAX - 1)] {
            assert_eq!(To::new(person).person(), person);
        }
    }
}
