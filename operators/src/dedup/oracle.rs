//! Which records count, as a naive batch function.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Duplicates;
use super::order::order;
use crate::model::{Event, MessageId, Micros};

/// Duplicates by tenant and message id.
pub type ById = BTreeMap<(Arc<str>, MessageId), Duplicates>;

/// The copies that count, and the duplicates of each (tenant, message id) that has any.
pub fn resolve(ids: Micros, records: &[Arc<Event>]) -> (Vec<Arc<Event>>, ById) {
    let mut sorted = records.to_vec();
    sorted.sort_by_key(|e| (e.kind.tenant.clone(), e.message_id.clone(), order(e)));
    let mut counting: Vec<Arc<Event>> = Vec::new();
    let mut duplicates = BTreeMap::new();
    let mut last: Option<&Arc<Event>> = None;
    for event in &sorted {
        let same_id =
            |e: &Arc<Event>| e.kind.tenant == event.kind.tenant && e.message_id == event.message_id;
        let winner = counting.last().filter(|w| same_id(w));
        let again = last.filter(|l| same_id(l)).is_some_and(|l| order(l) == order(event));
        last = Some(event);
        let id = (event.kind.tenant.clone(), event.message_id.clone());
        if again {
            duplicates.entry(id).or_insert_with(Duplicates::default).redelivered += 1;
        } else if winner.is_some_and(|w| event.key.time - w.key.time <= ids) {
            duplicates.entry(id).or_insert_with(Duplicates::default).restamped += 1;
        } else {
            counting.push(Arc::clone(event));
        }
    }
    (counting, duplicates)
}
