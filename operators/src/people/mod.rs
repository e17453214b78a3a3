//! A person's facts, and the rows and numbers that follow from them.
//!
//! What comes in: [`Fact`]s, person ids, memberships. What goes out, per [`People::advance`]: the
//! net changes of each touched person's rows, and of what the person adds to numbers over people.
//! Nothing is emitted that did not change. A view is brought up to date from the changed facts
//! outward, up to where it is again as it was: sessions to the next session that starts where one
//! started before, funnels to the days that see a changed fact. So a small person is a plain
//! rescan, and a long one costs its neighbourhood.

mod chunks;
mod funnels;
mod idents;
pub mod oracle;
mod person;
pub mod shares;
#[doc(hidden)]
pub mod testing;
#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::sync::Arc;

use foldhash::fast::FixedState;
use smallvec::SmallVec;

pub use self::chunks::{Facts, Keyed, Placed, SortedChunks};
pub use self::funnels::GroupFact;
use self::funnels::GroupState;
use self::person::{Delta, Person, net};
use crate::bytes;
use crate::identity::Membership;
use crate::model::{Cause, Change, Row, Token};
use crate::store::{Fact, PersonRef};
use crate::views::catalog::Catalog;
use crate::views::contribution::{Contribution, Tally};
use crate::views::{events, trend};

/// What one advance changed.
#[derive(Clone, Debug, Default)]
pub struct PeopleOutput {
    /// Rows that came and went.
    pub changes: Vec<Change>,
    /// What people add to numbers.
    pub contributions: Vec<Contribution>,
    /// Those that count as one, until the advance is done.
    pub(crate) counted: Tally,
}

impl PeopleOutput {
    fn change(&mut self, row: Row, diff: i64, cause: Cause) {
        self.changes.push(Change { row, diff, cause });
    }

    /// Replaces rows by others; those that are in both don't change.
    fn replace(&mut self, before: Vec<Row>, after: Vec<Row>, cause: Cause) {
        difference(before, after, |row, diff| self.change(row, diff, cause));
    }
}

/// Tells which rows went (-1) and came (+1); those that are in both don't change.
pub(crate) fn difference(
    mut before: Vec<Row>,
    mut after: Vec<Row>,
    mut changed: impl FnMut(Row, i64),
) {
    before.sort_unstable();
    after.sort_unstable();
    let (mut gone, mut come) = (before.into_iter().peekable(), after.into_iter().peekable());
    loop {
        let order = match (gone.peek(), come.peek()) {
            (None, None) => return,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(gone), Some(come)) => gone.cmp(come),
        };
        let went = if order.is_le() { gone.next() } else { None };
        let came = if order.is_ge() { come.next() } else { None };
        if order.is_ne() {
            if let Some(row) = went {
                changed(row, -1);
            }
            if let Some(row) = came {
                changed(row, 1);
            }
        }
    }
}

/// What a group is found by: tenant, property and id.
type GroupKey = (Arc<str>, usize, Arc<str>);

/// All people of one shard.
#[derive(Debug)]
pub struct People {
    catalog: Catalog,
    /// Names of the identity types, by kind.
    types: Vec<Arc<str>>,
    /// Boxed, for a growing map moves what it holds.
    by_id: std::collections::HashMap<PersonRef, Box<Person>, FixedState>,
    /// Facts that came and went since the last advance.
    pending: Vec<(PersonRef, Delta)>,
    /// Of whom something else changed.
    touched: Vec<PersonRef>,
    groups: std::collections::HashMap<GroupKey, GroupState, FixedState>,
    groups_touched: Vec<GroupKey>,
    /// Events of nobody: they count in trends of events and in the list of events only.
    nobody: Vec<Fact>,
    /// Bytes of all people and groups.
    held: usize,
}

impl People {
    /// Nobody yet. `types` are the names of the identity types, by kind.
    pub fn new(catalog: &Catalog, types: Vec<Arc<str>>) -> Self {
        Self {
            catalog: catalog.clone(),
            types,
            by_id: std::collections::HashMap::default(),
            pending: Vec::new(),
            touched: Vec::new(),
            groups: std::collections::HashMap::default(),
            groups_touched: Vec::new(),
            nobody: Vec::new(),
            held: 0,
        }
    }

    /// Memory that is held, in bytes, about; events are left out.
    pub fn bytes(&self) -> usize {
        let people = bytes::map(self.by_id.capacity(), size_of::<(PersonRef, Box<Person>)>());
        let groups = bytes::map(self.groups.capacity(), size_of::<(GroupKey, GroupState)>());
        people + groups + self.held
    }

    /// Number of people held.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there is nobody.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    fn touch(&mut self, id: PersonRef) -> &mut Person {
        let person = self.by_id.entry(id).or_default();
        if !person.touched {
            person.touched = true;
            self.touched.push(id);
        }
        person
    }

    /// An event comes to or leaves a person.
    pub fn update_fact(&mut self, fact: Fact) {
        match fact.person {
            Some(id) => self.pending.push((id, (fact.event, fact.diff, fact.cause))),
            None => self.nobody.push(fact),
        }
    }

    /// An event that names a group comes or goes.
    pub fn update_group(&mut self, group: GroupFact) {
        let GroupFact { property, id, fact } = group;
        let key = (Arc::clone(&fact.event.kind.tenant), property, id);
        let state = self.groups.entry(key.clone()).or_default();
        state.pending.push((fact.event, fact.diff, fact.cause));
        if !std::mem::replace(&mut state.touched, true) {
            self.groups_touched.push(key);
        }
    }

    /// A person's id is now this token; `None`: the person is no more. Until then the id is kept,
    /// also while the person has no facts.
    pub fn update_name(&mut self, id: PersonRef, name: Option<Token>, cause: Cause) {
        let person = self.touch(id);
        person.renaming = cause;
        person.named = name.is_some();
        person.name = name.unwrap_or(person.name);
    }

    /// An identifier comes to (`diff` > 0) or leaves a person.
    pub fn update_membership(
        &mut self,
        tenant: &Arc<str>,
        tenant_hash: u64,
        membership: Membership,
        diff: i8,
        cause: Cause,
    ) {
        let id = PersonRef { tenant: tenant_hash, handle: membership.person };
        let person = self.touch(id);
        person.tenant = Some(Arc::clone(tenant));
        person.moved.push(((membership.ident, membership.public), diff, cause));
    }

    /// Brings every touched person up to date and adds what changed to `out`.
    pub fn advance(&mut self, out: &mut PeopleOutput) {
        let nobody: Vec<_> = std::mem::take(&mut self.nobody);
        let nobody: Vec<_> = nobody.into_iter().map(|f| (f.event, f.diff, f.cause)).collect();
        if let Some(view) = self.catalog.built_in.events {
            for (event, diff, cause) in &nobody {
                out.change(events::event_row(view, event, None), i64::from(*diff), *cause);
            }
        }
        trend::of_events(&mut self.catalog, &nobody, out);
        for key in std::mem::take(&mut self.groups_touched) {
            let Some(group) = self.groups.get_mut(&key) else { continue };
            let over = group.advance(&mut self.catalog, (&key.0, key.1, &key.2), out);
            let bytes = if over { 0 } else { group.bytes() };
            self.held = self.held + bytes - std::mem::replace(&mut group.held, bytes);
            if over {
                self.groups.remove(&key);
            }
        }
        self.advance_people(out);
        let PeopleOutput { contributions, counted, .. } = out;
        contributions.extend(counted.drain());
    }

    fn advance_people(&mut self, out: &mut PeopleOutput) {
        // Taken out while people are looked up, and put back for their memory.
        let (mut all, mut ids) =
            (std::mem::take(&mut self.pending), std::mem::take(&mut self.touched));
        // Stable: of what happens to one event the order counts.
        all.sort_by_key(|(id, _)| *id);
        ids.extend(all.iter().map(|(id, _)| *id));
        ids.sort_unstable();
        ids.dedup();
        let mut pending = all.drain(..).peekable();
        let mut deltas: Vec<Delta> = Vec::new();
        for group in ids.chunks(GROUP) {
            self.read_ahead(group);
            for id in group {
                deltas.extend(std::iter::from_fn(|| Some(pending.next_if(|(of, _)| of == id)?.1)));
                net(&mut deltas);
                let person = self.by_id.entry(*id).or_default();
                person.advance(&mut self.catalog, &self.types, &deltas, out);
                deltas.clear();
                let over = person.is_nobody();
                let bytes = if over { 0 } else { person.bytes() };
                self.held = self.held + bytes - std::mem::replace(&mut person.held, bytes);
                if over {
                    self.by_id.remove(id);
                }
            }
        }
        drop(pending);
        ids.clear();
        (self.pending, self.touched) = (all, ids);
    }

    /// Reads what an advance of some people begins with: in turns, so that what is far away is
    /// fetched for all of them at once.
    fn read_ahead(&self, group: &[PersonRef]) {
        let people = group.iter().filter_map(|id| self.by_id.get(id).map(|person| &**person));
        let people: SmallVec<[&Person; GROUP]> = people.collect();
        let depths = (0..DEPTH).flat_map(|depth| people.iter().map(move |p| p.touch(depth)));
        std::hint::black_box(depths.fold(0, |all, word| all ^ word));
    }
}

/// People whose state is read together.
const GROUP: usize = 16;
/// Pointers that are followed for it.
const DEPTH: usize = 4;
