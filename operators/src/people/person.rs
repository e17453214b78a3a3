//! One person: facts, and the state of each view.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use smallvec::SmallVec;

use super::funnels::{Changed, Funnels};
use super::{PeopleOutput, SortedChunks};
use crate::bytes;
use crate::model::{Cause, Cell, Cells, Event, EventKey, Ident, Micros, Row, SECOND, Token};
use crate::views::catalog::Catalog;
use crate::views::sessions::{self, Session};
use crate::views::spec::ViewSpec;
use crate::views::{events, trend};

/// How many events of a person fall in each (trend, period start, breakdown value).
pub(super) type Presence = BTreeMap<(u16, Micros, Cell), u32>;

/// A person's state. Everything is as of the last advance, save what is pending.
#[derive(Debug, Default)]
pub(super) struct Person {
    pub touched: bool,
    /// [`Person::bytes`] as it was last counted.
    pub held: usize,
    pub tenant: Option<Arc<str>>,
    /// Person id.
    pub name: Token,
    /// Whether identity still knows the person.
    pub named: bool,
    /// Person id in the rows that stand.
    shown: Token,
    /// Why it has another name.
    pub renaming: Cause,
    pub pending: Vec<(Arc<Event>, i8, Cause)>,
    pub moved: Vec<((Ident, bool), i8, Cause)>,
    idents: Vec<(Ident, bool)>,
    facts: SortedChunks<Arc<Event>>,
    /// Events per channel.
    channels: SmallVec<[(Arc<str>, u64); 2]>,
    /// By index of the view's specification.
    sessions: Vec<(u16, SortedChunks<Session>)>,
    funnels: Funnels,
    presence: Presence,
    /// The seconds with more facts than a person can cause, by their number.
    rushes: BTreeSet<i64>,
}

impl Person {
    /// Whether nothing is left of the person.
    pub(super) fn is_nobody(&self) -> bool {
        !self.named && !self.has_rows()
    }

    /// Memory that it takes, in bytes, about; events are left out.
    pub(super) fn bytes(&self) -> usize {
        let sessions: usize = self.sessions.iter().map(|(_, list)| list.bytes()).sum();
        let idents = bytes::list(&self.idents) + bytes::list(&self.sessions);
        let presence = bytes::tree(self.presence.len(), size_of::<((u16, Micros, Cell), u32)>());
        let rushes = bytes::tree(self.rushes.len(), size_of::<i64>());
        let views = sessions + self.funnels.bytes() + presence + rushes;
        size_of::<Self>() + self.facts.bytes() + idents + views
    }

    fn has_rows(&self) -> bool {
        !self.facts.is_empty() || !self.idents.is_empty()
    }

    pub(super) fn advance(
        &mut self,
        catalog: &mut Catalog,
        types: &[Arc<str>],
        out: &mut PeopleOutput,
    ) {
        self.touched = false;
        let deltas = net(std::mem::take(&mut self.pending));
        let renamed = self.shown != self.name && self.has_rows();
        let told = deltas.iter().map(|d| d.2).max();
        let cause = told.max(renamed.then_some(self.renaming)).unwrap_or_default();
        if let Some((event, ..)) = deltas.first() {
            self.tenant = Some(Arc::clone(&event.tenant));
        }
        let Some(tenant) = self.tenant.clone() else { return };

        let overview = self.overview(catalog, &tenant);
        // Rows that carry the old name go, save those that the deltas take away themselves.
        if renamed {
            self.retract_named(catalog, &tenant, cause, out);
        }
        let old_name = std::mem::replace(&mut self.shown, self.name);
        for (event, diff, cause) in &deltas {
            self.apply(catalog, event, *diff, *cause, renamed, out);
        }
        trend::of_events(catalog, &deltas, out);
        trend::of_person(catalog, &deltas, &mut self.presence, out);
        let mut changed: Vec<EventKey> = deltas.iter().map(|(event, ..)| event.key).collect();
        changed.dedup();
        if catalog.built_in.people.is_some() {
            self.update_rushes(catalog.facts_per_second_max, &changed);
        }
        self.update_views(catalog, &tenant, &deltas, &changed, (renamed, cause), out);
        let after = self.overview(catalog, &tenant);
        out.replace(overview.into_iter().collect(), after.into_iter().collect(), cause);
        self.update_idents(catalog, types, &tenant, (renamed, old_name), out);
    }

    /// Adds or removes one fact, with its row.
    fn apply(
        &mut self,
        catalog: &Catalog,
        event: &Arc<Event>,
        diff: i8,
        cause: Cause,
        renamed: bool,
        out: &mut PeopleOutput,
    ) {
        if diff > 0 {
            self.facts.insert(Arc::clone(event));
        } else {
            self.facts.remove(event.key);
        }
        self.count_channel(&event.channel, diff);
        if let Some(view) = catalog.built_in.events
            && !renamed
        {
            let row = events::event_row(view, event, Some(self.name));
            out.change(row, i64::from(diff), cause);
        }
    }

    fn count_channel(&mut self, channel: &Arc<str>, diff: i8) {
        match self.channels.iter().position(|c| c.0 == *channel) {
            Some(place) if diff > 0 => self.channels[place].1 += 1,
            Some(place) => {
                self.channels[place].1 -= 1;
                if self.channels[place].1 == 0 {
                    self.channels.remove(place);
                }
            }
            None => {
                let place = self.channels.partition_point(|c| c.0 < *channel);
                self.channels.insert(place, (Arc::clone(channel), 1));
            }
        }
    }

    /// Looks at the seconds of changed facts: whether each has more than `most` facts.
    fn update_rushes(&mut self, most: usize, changed: &[EventKey]) {
        let mut last = None;
        for key in changed {
            let second = key.time.div_euclid(SECOND);
            if last.replace(second) == Some(second) {
                continue;
            }
            let first = EventKey { time: second.saturating_mul(SECOND), ..EventKey::MIN };
            let own = self.facts.from(first);
            let own = own.take_while(|event| event.key.time.div_euclid(SECOND) == second);
            // Never more than the limit are looked at.
            if own.take(most.saturating_add(1)).count() > most {
                self.rushes.insert(second);
            } else {
                self.rushes.remove(&second);
            }
        }
    }

    /// Takes back every row under the old name that is written again under the new one.
    fn retract_named(
        &mut self,
        catalog: &Catalog,
        tenant: &Arc<str>,
        cause: Cause,
        out: &mut PeopleOutput,
    ) {
        if let Some(view) = catalog.built_in.events {
            for event in self.facts.iter() {
                out.change(events::event_row(view, event, Some(self.shown)), -1, cause);
            }
        }
        for row in self.session_and_funnel_rows(catalog, tenant, self.shown) {
            out.change(row, -1, cause);
        }
    }

    fn session_and_funnel_rows(
        &self,
        catalog: &Catalog,
        tenant: &Arc<str>,
        name: Token,
    ) -> Vec<Row> {
        let mut rows = Vec::new();
        for (view, list) in &self.sessions {
            if let ViewSpec::Sessions(spec) = &catalog.specs[usize::from(*view)] {
                let table = catalog.tables[usize::from(*view)];
                rows.extend(list.iter().map(|s| s.row(table, tenant, name, spec)));
            }
        }
        rows.extend(self.funnels.rows(catalog, tenant, &Cell::Id(name)));
        rows
    }

    fn update_views(
        &mut self,
        catalog: &mut Catalog,
        tenant: &Arc<str>,
        deltas: &[(Arc<Event>, i8, Cause)],
        changed: &[EventKey],
        (renamed, cause): (bool, Cause),
        out: &mut PeopleOutput,
    ) {
        let name = self.name;
        for view in 0..catalog.specs.len() as u16 {
            let table = catalog.tables[usize::from(view)];
            match &catalog.specs[usize::from(view)] {
                ViewSpec::Sessions(spec) => {
                    let list = slot(&mut self.sessions, view);
                    let facts = &self.facts;
                    let plain = match deltas {
                        [(event, 1, _)] => sessions::insert(spec, list, event),
                        _ => None,
                    };
                    let difference =
                        plain.unwrap_or_else(|| sessions::update(spec, facts, list, changed));
                    if renamed {
                        continue;
                    }
                    for (list, diff) in [(difference.gone, -1), (difference.come, 1)] {
                        for session in list {
                            out.change(session.row(table, tenant, name, spec), diff, cause);
                        }
                    }
                }
                ViewSpec::Trend(_) | ViewSpec::Funnel(_) => {}
            }
        }
        let facts = &self.facts;
        let presence = Some(&self.presence);
        let changed = Changed { tenant, facts, deltas, cause, group: None, presence };
        let who = Cell::Id(name);
        self.funnels.update(catalog, &changed, (!renamed).then_some(&who), out);
        if renamed {
            if let Some(view) = catalog.built_in.events {
                for event in self.facts.iter() {
                    out.change(events::event_row(view, event, Some(name)), 1, cause);
                }
            }
            for row in self.session_and_funnel_rows(catalog, tenant, name) {
                out.change(row, 1, cause);
            }
        }
    }

    /// The person's row in `people`.
    fn overview(&self, catalog: &Catalog, tenant: &Arc<str>) -> Option<Row> {
        let view = catalog.built_in.people?;
        let (first, last) = (self.facts.first()?, self.facts.last()?);
        Some(Row {
            view,
            cells: Cells::from([
                Cell::Str(Arc::clone(tenant)),
                Cell::Id(self.shown),
                Cell::Time(first.key.time),
                Cell::Time(last.key.time),
                Cell::Int(self.facts.len() as i64),
                Cell::List(self.channels.iter().map(|c| Cell::Str(Arc::clone(&c.0))).collect()),
                Cell::Bool(!self.rushes.is_empty()),
            ]),
            // A person may come back at any time.
            final_at: Micros::MAX,
        })
    }

    fn update_idents(
        &mut self,
        catalog: &Catalog,
        types: &[Arc<str>],
        tenant: &Arc<str>,
        (renamed, old_name): (bool, Token),
        out: &mut PeopleOutput,
    ) {
        let moved = std::mem::take(&mut self.moved);
        if moved.is_empty() && !renamed {
            return;
        }
        let told = moved.iter().map(|m| m.2).max();
        let cause = told.max(renamed.then_some(self.renaming)).unwrap_or_default();
        let view = catalog.built_in.identifiers;
        let rows = |idents: &[(Ident, bool)], name: Token| -> Vec<Row> {
            let row = |view| {
                idents.iter().map(move |(ident, public)| Row {
                    view,
                    cells: Cells::from([
                        Cell::Str(Arc::clone(tenant)),
                        Cell::Str(Arc::clone(&types[usize::from(ident.kind)])),
                        Cell::Id(ident.token),
                        Cell::Id(name),
                        Cell::Bool(*public),
                    ]),
                    final_at: Micros::MAX,
                })
            };
            view.into_iter().flat_map(row).collect()
        };
        let before = rows(&self.idents, old_name);
        for (ident, diff, _) in moved {
            if diff > 0 {
                self.idents.push(ident);
            } else if let Some(place) = self.idents.iter().position(|i| *i == ident) {
                self.idents.swap_remove(place);
            }
        }
        self.idents.sort_unstable();
        out.replace(before, rows(&self.idents, self.name), cause);
    }
}

/// The state of a view, made when it is first asked for.
pub(super) fn slot<T: Default>(list: &mut Vec<(u16, T)>, view: u16) -> &mut T {
    let place = list.binary_search_by_key(&view, |(v, _)| *v).unwrap_or_else(|place| {
        list.reserve_exact(1);
        list.insert(place, (view, T::default()));
        place
    });
    &mut list[place].1
}

/// Facts that came and went since the last advance, in order, without those that did both. Of one
/// key what goes stands before what comes.
pub(super) fn net(mut pending: Vec<(Arc<Event>, i8, Cause)>) -> Vec<(Arc<Event>, i8, Cause)> {
    if pending.len() <= 1 {
        return pending;
    }
    pending.sort_by_key(|(event, ..)| event.key);
    let mut net: Vec<(Arc<Event>, i8, Cause)> = Vec::with_capacity(pending.len());
    let mut first = 0;
    for (event, diff, cause) in pending {
        if net.get(first).is_none_or(|head| head.0.key != event.key) {
            first = net.len();
        }
        match net[first..].iter().position(|(e, d, _)| *d == -diff && *e == event) {
            Some(place) => {
                net.remove(first + place);
            }
            None => net.push((event, diff, cause)),
        }
        net[first..].sort_by_key(|(_, diff, _)| *diff);
    }
    net
}
