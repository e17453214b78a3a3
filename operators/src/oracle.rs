//! The whole job as a naive batch function: admitted records to the rows of all views.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::dedup::{self, shadow::Shadows};
use crate::graph::Job;
use crate::identity::{Membership, Sighting, oracle::resolve};
use crate::model::{Cell, Cells, Event, Ident, MessageId, Micros, Row};
use crate::people::oracle::{World, all};
use crate::shard::tenant;
use crate::store::PersonRef;
use crate::views::counts;

/// The rows of every view that follows from the set of admitted records, sorted: all but dead
/// letters and identity changes, which tell what happened when.
pub fn rows(job: &Job, records: &[Arc<Event>]) -> Vec<Row> {
    let (counting, duplicates) = dedup::oracle::resolve(job.time.ids, records);
    let mut rows = Vec::new();
    let view = job.catalog.built_in.duplicates;
    let mut duplicate = |tenant: &Arc<str>, id: &MessageId, cause: &str, copies: u64| {
        rows.extend(view.filter(|_| copies > 0).map(|view| Row {
            view,
            cells: Cells::from([
                Cell::Str(Arc::clone(tenant)),
                id.as_cell().into(),
                Cell::str(cause),
                Cell::Int(copies as i64),
            ]),
            final_at: Micros::MAX,
        }));
    };
    for ((tenant, message_id), d) in &duplicates {
        duplicate(tenant, message_id, "redelivered", d.redelivered);
        duplicate(tenant, message_id, "re-stamped", d.restamped);
    }
    let mut shadows = Shadows::new(job.strongest.clone());
    for event in &counting {
        shadows.update(event, 1);
    }
    let mut shadowed = Vec::new();
    shadows.advance(&mut shadowed);
    let shadowed: BTreeSet<_> = shadowed.into_iter().map(|s| (s.tenant, s.event)).collect();
    let hidden = |e: &Arc<Event>| shadowed.contains(&(tenant(&e.kind.tenant), e.key));
    let mut ids: BTreeMap<(&Arc<str>, &MessageId), u64> = BTreeMap::new();
    for event in counting.iter().filter(|e| hidden(e)) {
        *ids.entry((&event.kind.tenant, &event.message_id)).or_default() += 1;
    }
    for ((tenant, message_id), events) in ids {
        duplicate(tenant, message_id, "shadowed", events);
    }

    let types: Vec<Arc<str>> = job.identity.types.iter().map(|t| t.name.as_str().into()).collect();
    let tenants: BTreeSet<Arc<str>> = counting.iter().map(|e| Arc::clone(&e.kind.tenant)).collect();
    let mut contributions = Vec::new();
    for name in tenants {
        let events: Vec<Arc<Event>> =
            counting.iter().filter(|e| e.kind.tenant == name).cloned().collect();
        let world = world(job, &events, &hidden);
        let (people, numbers) = all(&job.catalog, &types, &name, &world);
        rows.extend(people);
        contributions.extend(numbers);
    }
    rows.extend(counts::oracle::rows(&job.catalog, &contributions));
    for row in &mut rows {
        row.final_at = job.time.final_at(row.final_at);
    }
    rows.sort_unstable();
    rows
}

/// Who is who among the events of one tenant.
fn world(job: &Job, events: &[Arc<Event>], hidden: &impl Fn(&Arc<Event>) -> bool) -> World {
    let sightings: Vec<Sighting> = events
        .iter()
        .map(|e| match e.command() {
            Some(command) => Sighting::Command(e.key, *command),
            None => Sighting::Event(e.key, e.idents.clone()),
        })
        .collect();
    let resolved = resolve(&job.identity, &sightings);
    let mut world = World::default();
    let mut handles: BTreeMap<BTreeSet<Ident>, PersonRef> = BTreeMap::new();
    let tenant = events.first().map_or(0, |e| tenant(&e.kind.tenant));
    let mut person = |members: &BTreeSet<Ident>, world: &mut World| {
        let handle = handles.len() as u64 + 1;
        let id = *handles.entry(members.clone()).or_insert(PersonRef { tenant, handle });
        world.names.insert(id, members.iter().map(|i| i.token).min().unwrap_or_default());
        id
    };
    for event in events.iter().filter(|e| e.command().is_none() && !hidden(e)) {
        let members = resolved.events.get(&event.key).and_then(Option::as_ref);
        let id = members.map(|members| person(members, &mut world));
        world.facts.entry(id).or_default().push(Arc::clone(event));
    }
    for (ident, (members, public)) in &resolved.identifiers {
        let id = person(members, &mut world);
        let member = Membership { ident: *ident, person: id.handle, public: *public };
        world.memberships.entry(id).or_default().insert(member);
    }
    world
}
