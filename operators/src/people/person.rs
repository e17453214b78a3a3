//! One person: facts, and the state of each view.

use std::sync::Arc;

use thin_vec::ThinVec;

use super::funnels::{Changed, Deltas, Funnels};
use super::idents::{Idents, Owned};
use super::{Facts, PeopleOutput, Placed, SortedChunks};
use crate::bytes;
use crate::model::{
    Cause, Cell, Cells, Event, EventKey, Micros, Overview, Row, SECOND, Session, Token, list,
};
use crate::views::catalog::Catalog;
use crate::views::spec::ViewSpec;
use crate::views::trend::{self, Presence};
use crate::views::{events, sessions};

/// A fact that comes (+1) or goes (-1).
pub(super) type Delta = (Arc<Event>, i8, Cause);

/// A person's state. Everything is as of the last advance, save names and what has moved. There are
/// very many, most of them small: lists are one word while they are empty.
#[derive(Debug, Default)]
pub(super) struct Person {
    pub touched: bool,
    /// [`Person::bytes`] as it was last counted.
    pub held: usize,
    /// Whether identity still knows the person.
    pub named: bool,
    /// Why it has another name.
    pub renaming: Cause,
    pub tenant: Option<Arc<str>>,
    /// Person id.
    pub name: Token,
    /// Person id in the rows that stand.
    shown: Token,
    facts: Facts,
    /// By index of the view's specification.
    sessions: ThinVec<(u16, SortedChunks<Arc<Session>>)>,
    funnels: Funnels,
    /// Events per channel.
    channels: ThinVec<(Arc<str>, u64)>,
    /// The seconds with more facts than a person can cause, by their number, in order.
    rushes: ThinVec<i64>,
    presence: Presence,
    pub moved: ThinVec<(Owned, i8, Cause)>,
    idents: Idents,
}

impl Person {
    /// Whether nothing is left of the person.
    pub(super) fn is_nobody(&self) -> bool {
        !self.named && !self.has_rows()
    }

    /// Memory that it takes, in bytes, about; events are left out.
    pub(super) fn bytes(&self) -> usize {
        let sessions: usize = self.sessions.iter().map(|(_, list)| sessions::bytes(list)).sum();
        let lists = bytes::thin(&self.sessions) + bytes::thin(&self.channels);
        let seldom = bytes::thin(&self.rushes) + bytes::thin(&self.moved);
        let own = size_of::<Self>() + self.idents.bytes() + lists + seldom;
        own + self.facts.bytes() + sessions + self.funnels.bytes() + self.presence.bytes()
    }

    fn has_rows(&self) -> bool {
        !self.facts.is_empty() || !self.idents.is_empty()
    }

    /// Reads a first word of all that an advance will look at, up to a depth of as many pointers:
    /// what comes of it means nothing.
    pub(super) fn touch(&self, depth: usize) -> u64 {
        match depth {
            0 => self.shown.0 as u64 ^ u64::from(self.rushes.is_empty()),
            1 => {
                let fact = self.facts.last().map_or(0, |fact| fact.time as u64);
                let channels = self.channels.len() as u64;
                fact ^ channels ^ self.sessions.len() as u64 ^ self.funnels.touch(depth)
            }
            _ => {
                let last = |list: &(u16, SortedChunks<Arc<Session>>)| match list.1.last() {
                    Some(session) if depth > 2 => session.end as u64,
                    Some(_) => 1,
                    None => 0,
                };
                let sessions = self.sessions.iter().map(last);
                sessions.fold(self.funnels.touch(depth), |all, one| all ^ one)
            }
        }
    }

    /// Brings everything up to date after facts, net and in order, came and went.
    pub(super) fn advance(
        &mut self,
        catalog: &mut Catalog,
        types: &[Arc<str>],
        deltas: &Deltas,
        out: &mut PeopleOutput,
    ) {
        self.touched = false;
        let renamed = self.shown != self.name && self.has_rows();
        let told = deltas.iter().map(|d| d.2).max();
        let cause = told.max(renamed.then_some(self.renaming)).unwrap_or_default();
        // Taken out while it is lent, which counts no references.
        let tenant = match (deltas.first(), self.tenant.take()) {
            (Some((event, ..)), None) => Arc::clone(&event.kind.tenant),
            (_, Some(tenant)) => tenant,
            (None, None) => return,
        };
        let overview = self.overview(catalog, &tenant);
        // Rows that carry the old name go, save those that the deltas take away themselves.
        if renamed {
            self.retract_named(catalog, &tenant, cause, out);
        }
        let old_name = std::mem::replace(&mut self.shown, self.name);
        for (event, diff, cause) in deltas {
            self.apply(catalog, event, *diff, *cause, renamed, out);
        }
        trend::of_events(catalog, deltas, out);
        trend::of_person(catalog, deltas, &mut self.presence, out);
        if catalog.built_in.people.is_some() {
            self.update_rushes(catalog.facts_per_second_max, deltas);
        }
        self.update_views(catalog, &tenant, deltas, (renamed, cause), out);
        if let Some(view) = catalog.built_in.people {
            let after = self.overview(catalog, &tenant);
            if overview != after {
                for (overview, diff) in [(overview, -1), (after, 1)] {
                    let Some(overview) = overview else { continue };
                    let cells = Cells::Overview(Box::new(overview));
                    // A person may come back at any time.
                    out.change(Row { view, cells, final_at: Micros::MAX }, diff, cause);
                }
            }
        }
        self.update_idents(catalog, types, &tenant, (renamed, old_name), out);
        self.tenant = Some(tenant);
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
            self.facts.insert(Placed::new(event));
        } else {
            self.facts.remove(event.key);
        }
        self.count_channel(&event.kind.channel, diff);
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
    fn update_rushes(&mut self, most: usize, deltas: &Deltas) {
        if self.facts.len() <= most {
            self.rushes.clear();
            return;
        }
        let mut last = None;
        for (event, ..) in deltas {
            let second = event.key.time.div_euclid(SECOND);
            if last.replace(second) == Some(second) {
                continue;
            }
            let first = EventKey { time: second.saturating_mul(SECOND), ..EventKey::MIN };
            let own = self.facts.from(first);
            let own = own.take_while(|fact| fact.time.div_euclid(SECOND) == second);
            // Never more than the limit are looked at.
            let rush = own.take(most.saturating_add(1)).count() > most;
            match self.rushes.binary_search(&second) {
                Err(place) if rush => self.rushes.insert(place, second),
                Ok(place) if !rush => drop(self.rushes.remove(place)),
                _ => {}
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
            for Placed { event, .. } in self.facts.iter() {
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
                rows.extend(list.iter().map(|s| sessions::row(table, s, name, spec)));
            }
        }
        rows.extend(self.funnels.rows(catalog, tenant, &Cell::Id(name)));
        rows
    }

    fn update_views(
        &mut self,
        catalog: &mut Catalog,
        tenant: &Arc<str>,
        deltas: &Deltas,
        (renamed, cause): (bool, Cause),
        out: &mut PeopleOutput,
    ) {
        let name = self.name;
        for view in 0..catalog.specs.len() as u16 {
            let table = catalog.tables[usize::from(view)];
            match &catalog.specs[usize::from(view)] {
                ViewSpec::Sessions(spec) => {
                    if deltas.is_empty() {
                        continue;
                    }
                    let list = slot(&mut self.sessions, view);
                    let difference = sessions::follow(spec, &self.facts, list, deltas);
                    if renamed {
                        continue;
                    }
                    for (list, diff) in [(difference.gone, -1), (difference.come, 1)] {
                        for session in list {
                            out.change(sessions::row(table, &session, name, spec), diff, cause);
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
                for Placed { event, .. } in self.facts.iter() {
                    out.change(events::event_row(view, event, Some(name)), 1, cause);
                }
            }
            for row in self.session_and_funnel_rows(catalog, tenant, name) {
                out.change(row, 1, cause);
            }
        }
    }

    /// What the person's row in `people` shows, if there is such a table.
    fn overview(&self, catalog: &Catalog, tenant: &Arc<str>) -> Option<Overview> {
        catalog.built_in.people?;
        let (first, last) = (self.facts.first()?, self.facts.last()?);
        Some(Overview {
            tenant: Arc::clone(tenant),
            person: self.shown,
            first: first.time,
            last: last.time,
            events: self.facts.len() as u64,
            channels: list(&self.channels.iter().map(|(channel, _)| channel)),
            machine: !self.rushes.is_empty(),
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
        let row = |(ident, public): &Owned, name: Token| {
            view.map(|view| Row {
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
        // A new name is in the rows of all.
        let all = |idents: &Idents, name: Token| -> Vec<Row> {
            idents.iter().filter(|_| renamed).filter_map(|owned| row(owned, name)).collect()
        };
        let mut before = all(&self.idents, old_name);
        let (gone, come) = self.idents.update(moved.into_iter().map(|m| (m.0, m.1)));
        let mut after = all(&self.idents, self.name);
        if !renamed {
            before.extend(gone.iter().filter_map(|owned| row(owned, old_name)));
            after.extend(come.iter().filter_map(|owned| row(owned, self.name)));
        }
        out.replace(before, after, cause);
    }
}

/// The state of a view, made when it is first asked for.
pub(super) fn slot<T: Default>(list: &mut ThinVec<(u16, T)>, view: u16) -> &mut T {
    let place = list.binary_search_by_key(&view, |(v, _)| *v).unwrap_or_else(|place| {
        list.reserve_exact(1);
        list.insert(place, (view, T::default()));
        place
    });
    &mut list[place].1
}

/// Brings facts that came and went in order, without those that did both. Of one key what goes
/// stands before what comes.
pub(super) fn net(pending: &mut Vec<Delta>) {
    if pending.len() <= 1 {
        return;
    }
    pending.sort_by_key(|(event, ..)| event.key);
    if pending.windows(2).all(|pair| pair[0].0.key != pair[1].0.key) {
        return;
    }
    let mut net: Vec<Delta> = Vec::with_capacity(pending.len());
    let mut first = 0;
    for (event, diff, cause) in pending.drain(..) {
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
    pending.append(&mut net);
}
