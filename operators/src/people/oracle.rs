//! People's rows and their share of the numbers as a naive batch function.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::identity::Membership;
use crate::model::{Cause, Cell, Cells, Event, Micros, Row, SECOND, Session, Token};
use crate::people::PeopleOutput;
use crate::store::PersonRef;
use crate::time::Calendar;
use crate::views::catalog::Catalog;
use crate::views::contribution::{Contribution, Group, Measure};
use crate::views::spec::{FunnelSpec, Metric, ViewSpec};
use crate::views::{funnel, sessions, trend};

/// Everything that people follow from.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// Each person's events; `None` holds those of nobody.
    pub facts: BTreeMap<Option<PersonRef>, Vec<Arc<Event>>>,
    /// Person ids.
    pub names: BTreeMap<PersonRef, Token>,
    /// Each person's identifiers.
    pub memberships: BTreeMap<PersonRef, BTreeSet<Membership>>,
}

/// An event as a row of the list of events.
fn event_row(view: u16, event: &Event, person: Option<Token>) -> Row {
    Row {
        view,
        cells: Cells::from([
            Cell::Str(Arc::clone(&event.kind.tenant)),
            event.message_id.as_cell().into(),
            Cell::Time(event.key.time),
            Cell::Str(Arc::clone(&event.kind.channel)),
            Cell::Str(Arc::clone(&event.kind.name)),
            person.map_or(Cell::Null, Cell::Id),
        ]),
        final_at: event.key.time.saturating_add(1),
    }
}

/// A session as a row.
fn session_row(view: u16, tenant: &Arc<str>, person: Token, of: &Session, gap: Micros) -> Row {
    Row {
        view,
        cells: Cells::from([
            Cell::Str(Arc::clone(tenant)),
            Cell::Id(of.id),
            Cell::Id(person),
            Cell::Time(of.first.time),
            Cell::Time(of.end),
            Cell::float(of.end.saturating_sub(of.first.time) as f64 / 1e6),
            Cell::Int(of.events as i64),
            Cell::List(Arc::clone(&of.texts.channels)),
            Cell::Str(Arc::clone(&of.texts.entry)),
            Cell::Str(Arc::clone(&of.texts.exit)),
        ]),
        final_at: of.end.saturating_add(gap).saturating_add(1),
    }
}

/// What an event adds to trends of events and values.
fn of_event(catalog: &mut Catalog, event: &Event, out: &mut PeopleOutput) {
    let Catalog { specs, calendar, .. } = catalog;
    for (view, spec) in specs.iter().enumerate() {
        let ViewSpec::Trend(spec) = spec else { continue };
        let Some(measure) = trend::measure(spec.metric, event) else { continue };
        if trend::counts(spec, event) {
            let group = Group {
                view: view as u16,
                tenant: Arc::clone(&event.kind.tenant),
                period: spec.period,
                start: calendar.start(spec.period, event.key.time),
                breakdown: funnel::breakdown_value(spec.breakdown, event),
            };
            out.contributions.push(Contribution { group, measure, diff: 1, cause: Cause::New });
        }
    }
}

/// All rows that people have, and all that they add to numbers.
pub fn all(
    catalog: &Catalog,
    types: &[Arc<str>],
    tenant: &Arc<str>,
    world: &World,
) -> (Vec<Row>, Vec<Contribution>) {
    let mut catalog = catalog.clone();
    let mut out = PeopleOutput::default();
    let mut rows = Vec::new();
    for (person, facts) in &world.facts {
        let mut facts = facts.clone();
        facts.sort_by_key(|event| event.key);
        let name = person.map(|p| world.names[&p]);
        for event in &facts {
            rows.extend(catalog.built_in.events.map(|view| event_row(view, event, name)));
            of_event(&mut catalog, event, &mut out);
        }
        if let Some(name) = name.filter(|_| !facts.is_empty()) {
            of_person(&mut catalog, tenant, name, &facts, &mut rows, &mut out);
        }
    }
    of_groups(&catalog, tenant, world, &mut rows, &mut out);
    for (person, list) in &world.memberships {
        for member in list {
            rows.extend(catalog.built_in.identifiers.map(|view| Row {
                view,
                cells: Cells::from([
                    Cell::Str(Arc::clone(tenant)),
                    Cell::Str(Arc::clone(&types[usize::from(member.ident.kind)])),
                    Cell::Id(member.ident.token),
                    Cell::Id(world.names[person]),
                    Cell::Bool(member.public),
                ]),
                final_at: Micros::MAX,
            }));
        }
    }
    rows.sort_unstable();
    (rows, out.contributions)
}

fn of_person(
    catalog: &mut Catalog,
    tenant: &Arc<str>,
    name: Token,
    facts: &[Arc<Event>],
    rows: &mut Vec<Row>,
    out: &mut PeopleOutput,
) {
    let mut seconds: BTreeMap<i64, usize> = BTreeMap::new();
    for event in facts {
        *seconds.entry(event.key.time.div_euclid(SECOND)).or_default() += 1;
    }
    let machine = seconds.values().any(|count| *count > catalog.facts_per_second_max);
    let channels: BTreeSet<Arc<str>> = facts.iter().map(|e| Arc::clone(&e.kind.channel)).collect();
    rows.extend(catalog.built_in.people.map(|view| Row {
        view,
        cells: Cells::from([
            Cell::Str(Arc::clone(tenant)),
            Cell::Id(name),
            Cell::Time(facts[0].key.time),
            Cell::Time(facts[facts.len() - 1].key.time),
            Cell::Int(facts.len() as i64),
            Cell::List(channels.into_iter().map(Cell::Str).collect()),
            Cell::Bool(machine),
        ]),
        final_at: Micros::MAX,
    }));
    let mut calendar = catalog.calendar.clone();
    let mut reached = BTreeMap::new();
    for (view, spec) in catalog.specs.iter().enumerate() {
        let table = catalog.tables[view];
        let view = view as u16;
        match spec {
            ViewSpec::Sessions(spec) => {
                let list = sessions::oracle(spec, facts.iter().map(|e| &**e));
                rows.extend(list.iter().map(|s| session_row(table, tenant, name, s, spec.gap)));
            }
            ViewSpec::Funnel(spec) if spec.group.is_none() => {
                let of = Of { view, tenant, who: &Cell::Id(name), table };
                of_funnel(spec, &of, facts, &mut calendar, &mut reached, (rows, out));
            }
            ViewSpec::Trend(spec) if spec.metric == Metric::People => {
                let counted = facts
                    .iter()
                    .filter(|e| spec.filter.is_none_or(|predicate| e.matches.has(predicate)));
                let groups: BTreeSet<(Micros, Cell)> = counted
                    .map(|e| {
                        let start = calendar.start(spec.period, e.key.time);
                        (start, funnel::breakdown_value(spec.breakdown, e))
                    })
                    .collect();
                if !groups.is_empty() {
                    reached.insert(view, 1);
                }
                for (start, breakdown) in groups {
                    let (tenant, period) = (Arc::clone(tenant), spec.period);
                    let group = Group { view, tenant, period, start, breakdown };
                    let (measure, diff, cause) = (Measure::One, 1, Cause::New);
                    out.contributions.push(Contribution { group, measure, diff, cause });
                }
            }
            ViewSpec::Trend(_) | ViewSpec::Funnel(_) => {}
        }
    }
}

/// The funnels of groups: all facts that name one, whoever's they are.
fn of_groups(
    catalog: &Catalog,
    tenant: &Arc<str>,
    world: &World,
    rows: &mut Vec<Row>,
    out: &mut PeopleOutput,
) {
    let mut calendar = catalog.calendar.clone();
    let mut reached: BTreeMap<(usize, String), BTreeMap<u16, usize>> = BTreeMap::new();
    for (view, spec) in catalog.specs.iter().enumerate() {
        let ViewSpec::Funnel(spec) = spec else { continue };
        let Some(property) = spec.group else { continue };
        let mut groups: BTreeMap<String, Vec<Arc<Event>>> = BTreeMap::new();
        for event in world.facts.values().flatten() {
            let id = event.properties.value(property).map(ToString::to_string);
            if let Some(id) = id.filter(|id| !id.is_empty()) {
                groups.entry(id).or_default().push(Arc::clone(event));
            }
        }
        for (id, mut facts) in groups {
            facts.sort_by_key(|event| event.key);
            let (who, table) = (Cell::str(&id), catalog.tables[view]);
            let of = Of { view: view as u16, tenant, who: &who, table };
            let reached = reached.entry((property, id)).or_default();
            of_funnel(spec, &of, &facts, &mut calendar, reached, (rows, out));
        }
    }
}

/// Which view of whom.
struct Of<'a> {
    view: u16,
    tenant: &'a Arc<str>,
    who: &'a Cell,
    table: u16,
}

fn of_funnel(
    spec: &FunnelSpec,
    of: &Of<'_>,
    facts: &[Arc<Event>],
    calendar: &mut Calendar,
    reached: &mut BTreeMap<u16, usize>,
    (rows, out): (&mut Vec<Row>, &mut PeopleOutput),
) {
    let Of { view, tenant, who, table } = *of;
    let (numbers, bests) = funnel::oracle::of_person(spec, calendar, facts, reached);
    let furthest = bests.iter().map(|best| best.outcome.chain.len()).max();
    reached.extend(furthest.map(|steps| (view, steps)));
    rows.extend(bests.iter().map(|best| funnel::best_row(table + 1, tenant, who, best)));
    for (period, start, breakdown, measure) in numbers {
        let group = Group { view, tenant: Arc::clone(tenant), period, start, breakdown };
        out.contributions.push(Contribution { group, measure, diff: 1, cause: Cause::New });
    }
}
