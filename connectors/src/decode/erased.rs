//! What is erased, and which records carry it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use operators::model::{Event, Ident, message_hash};
use serde_json::Value as Json;

use super::Decoder;
use super::envelope::{each_text, identifiers, text};
use super::plan::Plan;
use super::raw::Raw;

/// What one tenant has erased.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ErasedIn {
    /// Identifiers: records that carry one are dropped.
    pub identifiers: HashSet<Ident>,
    /// [`operators::model::message_hash`]es of erased events.
    pub messages: HashSet<u128>,
}

/// The job's erased list, by tenant.
pub type Erased = HashMap<Arc<str>, ErasedIn>;

/// Whether an event is erased, or carries an identifier that is.
pub fn is_erased(erased: &Erased, event: &Event) -> bool {
    erased.get(&event.kind.tenant).is_some_and(|erased| {
        let pair = event.command().map(|command| [command.x, command.y]);
        let mut all = event.idents.iter().chain(pair.iter().flatten());
        erased.messages.contains(&{ event.key.id })
            || all.any(|ident| erased.identifiers.contains(ident))
    })
}

impl Decoder {
    /// Whether a record that can't be used is erased, by what can be read of it: a dead letter
    /// would keep all its bytes. Where its tenant can't be read, the lists of all tenants count.
    pub(super) fn is_refused_erased(
        &mut self,
        plan: &Plan,
        tenant: Option<&str>,
        slots: &[Raw<'_>],
    ) -> bool {
        let erased = Arc::clone(&self.erased);
        let of_tenant = |name: &str| tenant.is_none_or(|tenant| tenant == name);
        let lists: Vec<&ErasedIn> =
            erased.iter().filter(|(name, _)| of_tenant(name)).map(|(_, list)| list).collect();
        if lists.is_empty() {
            return false;
        }
        let message = text(&plan.message_id, slots, "").ok().flatten();
        let message = message.map(|id| message_hash(&id));
        message.is_some_and(|id| lists.iter().any(|list| list.messages.contains(&id)))
            || self
                .readable_idents(plan, slots)
                .iter()
                .any(|ident| lists.iter().any(|list| list.identifiers.contains(ident)))
    }

    /// The identifiers of a record that can be read, also those that it names as a command.
    fn readable_idents(&mut self, plan: &Plan, slots: &[Raw<'_>]) -> Vec<Ident> {
        let mut idents = Vec::new();
        for (kind, get, path) in &plan.idents {
            // What can't be read among them does not hide the others.
            let _ = each_text((get, path), slots, |value| {
                idents.extend(value.ok().and_then(|value| self.ident(*kind, &value)));
                Ok(())
            });
        }
        let kind = text(&plan.kind, slots, "");
        let kind = kind.as_ref().map(|kind| kind.as_deref().unwrap_or("track")).ok();
        if matches!(kind, Some("merge" | "unmerge") | None)
            && let Ok(list) = identifiers(plan, slots)
        {
            let named = list.as_array().into_iter().flatten();
            idents.extend(named.filter_map(|named: &Json| self.named(named).ok()));
        }
        if matches!(kind, Some("alias") | None) {
            let pair = [(self.previous_kind, &plan.previous_id), (self.user_kind, &plan.user_id)];
            for (kind, get) in pair {
                let value = text(get, slots, "").ok().flatten();
                idents.extend(kind.zip(value).and_then(|(kind, value)| self.ident(kind, &value)));
            }
        }
        idents
    }
}
