//! The shell of identity: one incremental engine per tenant, or the reference for all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::vec::Map as _;

use super::Job;
use super::shell::{Batches, per_epoch};
use crate::dedup::Counted;
use crate::identity::differential::{self, Seen};
use crate::identity::engine::Incremental;
use crate::identity::{
    Assign, Engine, EngineKind, IdChange, IdentityConfig, Membership, Resolution, Sighting,
};
use crate::model::{Cause, Epoch, EventKey, Token};
use crate::shard::{place, tenant};
use crate::store::PersonRef;

/// What identity says, each item to the shard it concerns.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) enum IdentityOut {
    /// To the store: the person of an event of a tenant.
    Assign(u64, Assign),
    /// To the store, which knows message ids: two people became one or one two.
    Change(Arc<str>, IdChange),
    /// To people: a person id.
    Name(PersonRef, Option<Token>),
    /// To people: whose an identifier is.
    Member { name: Arc<str>, member: Membership, diff: i8, cause: Cause },
}

impl IdentityOut {
    /// The event whose shard in the store it concerns.
    pub(super) fn event(&self) -> Option<EventKey> {
        match self {
            Self::Assign(_, assign) => Some(assign.event),
            Self::Change(_, change) => Some(change.by),
            Self::Name(..) | Self::Member { .. } => None,
        }
    }

    /// The person whom it concerns.
    pub(super) fn person(&self) -> Option<PersonRef> {
        match self {
            Self::Name(person, _) => Some(*person),
            Self::Member { name, member, .. } => {
                Some(PersonRef { tenant: tenant(name), handle: member.person })
            }
            Self::Assign(..) | Self::Change(..) => None,
        }
    }
}

/// Resolves who is who, per tenant.
pub(super) fn resolve<'scope>(
    counted: StreamVec<'scope, Epoch, Counted>,
    job: &Arc<Job>,
) -> StreamVec<'scope, Epoch, IdentityOut> {
    let seen = counted.map(|c| {
        let sighting = match &c.event.command {
            Some(command) => Sighting::Command(c.event.key, **command),
            None => Sighting::Event(c.event.key, c.event.idents.clone()),
        };
        (Arc::clone(&c.event.tenant), sighting, c.diff)
    });
    let resolved = match job.engine {
        EngineKind::Incremental => incremental(seen, &job.identity),
        EngineKind::Differential => differential::resolve(seen, &job.identity),
    };
    resolved.flat_map(|(name, resolution)| hand_on(&name, resolution))
}

fn incremental<'scope>(
    seen: StreamVec<'scope, Epoch, Seen>,
    config: &Arc<IdentityConfig>,
) -> StreamVec<'scope, Epoch, (Arc<str>, Resolution)> {
    let by_tenant = Exchange::new(|(name, ..): &Seen| place(name));
    let mut engines: BTreeMap<Arc<str>, Incremental> = BTreeMap::new();
    let config = Arc::clone(config);
    per_epoch(seen, by_tenant, "Identity", move |_, list: Batches<Seen>, out| {
        let mut list: Vec<Seen> = list.into_iter().flatten().collect();
        // The order decides handles and named causes: it must not depend on how records arrived.
        list.sort_unstable_by(|a, b| (&a.0, a.2, &a.1).cmp(&(&b.0, b.2, &b.1)));
        let mut touched: BTreeSet<Arc<str>> = BTreeSet::new();
        for (name, sighting, diff) in list {
            let engine =
                engines.entry(Arc::clone(&name)).or_insert_with(|| Incremental::new(&config));
            engine.update(sighting, diff);
            touched.insert(name);
        }
        for name in touched {
            let Some(engine) = engines.get_mut(&name) else { continue };
            let mut resolution = Resolution::default();
            engine.advance(&mut resolution);
            out.push((name, resolution));
        }
    })
}

fn hand_on(name: &Arc<str>, resolution: Resolution) -> Vec<IdentityOut> {
    let tenant = tenant(name);
    let mut out = Vec::new();
    out.extend(resolution.assigns.into_iter().map(|a| IdentityOut::Assign(tenant, a)));
    out.extend(
        resolution
            .names
            .into_iter()
            .map(|(handle, token)| IdentityOut::Name(PersonRef { tenant, handle }, token)),
    );
    out.extend(resolution.changes.into_iter().map(|c| IdentityOut::Change(Arc::clone(name), c)));
    let moved: BTreeSet<_> =
        resolution.memberships.iter().filter(|(_, d)| *d < 0).map(|(m, _)| m.ident).collect();
    for (member, diff) in resolution.memberships {
        let cause = if moved.contains(&member.ident) { Cause::Merge } else { Cause::New };
        out.push(IdentityOut::Member { name: Arc::clone(name), member, diff, cause });
    }
    out
}
