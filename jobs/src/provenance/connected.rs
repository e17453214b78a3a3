//! What is connected: records with an identifier, a message id or a business key in common. Others
//! have no say in who is who among them, in which copies count, or in what is shadowed.
//!
//! Two passes over the past: the first notes what is connected, in some 30 bytes for each different
//! identifier and message id; the second takes out the records that are connected with somebody.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use foldhash::fast::FixedState;
use operators::dedup::shadow::Shadows;
use operators::dedup::{Admitted, Changes, Dedup};
use operators::graph::Job;
use operators::identity::Sighting;
use operators::model::{Event, EventKey, Ident};
use operators::shard::place;

use super::past::Past;
use crate::query::QueryError;
use crate::runtime::Progress;

/// Sets of what is connected. Things are known by a hash of 64 bits: should two have the same, more
/// is taken out than is needed, which changes nothing.
#[derive(Default)]
pub(super) struct Connected {
    places: HashMap<u64, u32, FixedState>,
    parents: Vec<u32>,
    pub tenants: BTreeSet<Arc<str>>,
}

/// What stands for an identifier of a tenant.
fn of_ident(tenant: &Arc<str>, ident: Ident) -> u64 {
    place(&(0u8, tenant, ident))
}

/// What stands for a message id.
fn of_message(event: &Event) -> u64 {
    place(&(1u8, &event.kind.tenant, { event.key.id }))
}

impl Connected {
    /// Reads everything.
    pub(super) fn read(past: &Past, progress: &dyn Progress) -> Result<Self, QueryError> {
        let mut connected = Self::default();
        past.each(progress, |event| connected.add(&event))?;
        Ok(connected)
    }

    fn add(&mut self, event: &Event) {
        if !self.tenants.contains(&event.kind.tenant) {
            self.tenants.insert(Arc::clone(&event.kind.tenant));
        }
        let first = self.node(of_message(event));
        let command = event.command().into_iter().flat_map(|command| [command.x, command.y]);
        for ident in event.idents.iter().copied().chain(command) {
            let other = self.node(of_ident(&event.kind.tenant, ident));
            self.join(first, other);
        }
        if let Some(key) = event.business_key() {
            let other = self.node(place(&(2u8, &event.kind.tenant, key)));
            self.join(first, other);
        }
    }

    fn node(&mut self, hash: u64) -> u32 {
        let next = self.parents.len() as u32;
        let node = *self.places.entry(hash).or_insert(next);
        if node == next {
            self.parents.push(next);
        }
        node
    }

    fn find(&mut self, mut node: u32) -> u32 {
        while self.parents[node as usize] != node {
            let above = self.parents[self.parents[node as usize] as usize];
            self.parents[node as usize] = above;
            node = above;
        }
        node
    }

    fn join(&mut self, x: u32, y: u32) {
        let (x, y) = (self.find(x), self.find(y));
        // The elder stays: few have many behind them, and paths are halved as they are walked.
        self.parents[x.max(y) as usize] = x.min(y);
    }

    fn set(&mut self, hash: u64) -> Option<u32> {
        let node = *self.places.get(&hash)?;
        Some(self.find(node))
    }

    /// Whether anything names an identifier.
    pub(super) fn knows(&self, tenant: &Arc<str>, ident: Ident) -> bool {
        self.places.contains_key(&of_ident(tenant, ident))
    }

    /// The records of a tenant that are connected with one of some identifiers.
    pub(super) fn records(
        &mut self,
        past: &Past,
        (tenant, idents): (&Arc<str>, &[Ident]),
        progress: &dyn Progress,
    ) -> Result<Vec<Arc<Event>>, QueryError> {
        let sets = idents.iter().filter_map(|ident| self.set(of_ident(tenant, *ident)));
        let sets: Vec<u32> = sets.collect();
        let mut records = Vec::new();
        past.each(progress, |event| {
            if event.kind.tenant == *tenant
                && self.set(of_message(&event)).is_some_and(|set| sets.contains(&set))
            {
                records.push(event);
            }
        })?;
        Ok(records)
    }
}

/// The records of one tenant, sorted out.
pub(super) struct Counting {
    /// Those that count, by key.
    pub events: BTreeMap<EventKey, Arc<Event>>,
    /// Of each that counts, the other records with its message id.
    pub copies: BTreeMap<EventKey, Vec<Arc<Event>>>,
    /// Those that count for identity only, for another of the same business key counts.
    pub shadowed: BTreeSet<EventKey>,
}

impl Counting {
    pub(super) fn new(job: &Job, records: &[Arc<Event>]) -> Self {
        let mut dedup = Dedup::new(job.time.ids);
        for event in records {
            dedup.update(Admitted { event: Arc::clone(event), late: false });
        }
        let mut changes = Changes::default();
        dedup.advance(&mut changes);
        // All come at once, so none ceases to count.
        let counting: Vec<Arc<Event>> =
            changes.counted.into_iter().map(|counted| counted.event).collect();
        let mut shadows = Shadows::new(job.strongest.clone());
        let mut shadowed = Vec::new();
        counting.iter().for_each(|event| shadows.update(event, 1));
        shadows.advance(&mut shadowed);
        let events: BTreeMap<EventKey, Arc<Event>> =
            counting.into_iter().map(|event| (event.key, event)).collect();
        let mut by_id: HashMap<u128, Vec<EventKey>, FixedState> = HashMap::default();
        for key in events.keys() {
            by_id.entry(key.id).or_default().push(*key);
        }
        let mut copies: BTreeMap<EventKey, Vec<Arc<Event>>> = BTreeMap::new();
        for record in records {
            let of = by_id.get(&{ record.key.id }).map_or(&[][..], Vec::as_slice);
            // A copy is one of the last that counts and does not come after it.
            let at = of.partition_point(|key| key.time <= record.key.time);
            let Some(key) = of.get(at.saturating_sub(1)) else { continue };
            if !Arc::ptr_eq(&events[key], record) {
                copies.entry(*key).or_default().push(Arc::clone(record));
            }
        }
        let shadowed = shadowed.into_iter().filter(|s| s.shadowed).map(|s| s.event).collect();
        Self { events, copies, shadowed }
    }

    /// What identity is told.
    pub(super) fn sightings(&self) -> Vec<Sighting> {
        let sighting = |event: &Arc<Event>| match &event.command() {
            Some(command) => Sighting::Command(event.key, **command),
            None => Sighting::Event(event.key, event.idents.clone()),
        };
        self.events.values().map(sighting).collect()
    }
}
