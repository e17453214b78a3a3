//! From a number to the people behind it, each with the events that count.
//!
//! All that the number's tenant has sent is read again, and the view's own code says what each
//! person adds. What it comes to is compared with the row that stands: should it be something else,
//! that is an error and no answer. Memory: about what the job itself needs for the tenant's events.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use operators::identity::explain::Evidence;
use operators::model::{Cause, Cell, CellRef, Event, Micros, Row, Token};
use operators::people::GroupFact;
use operators::people::shares::{Share, Shares, Whose};
use operators::store::Fact;
use operators::views::catalog::Catalog;
use operators::views::contribution::{Group, Measure};
use operators::views::counts::{Counts, count_of, counts_in, group_of};
use operators::views::sessions;
use operators::views::spec::{Period, SessionsSpec, ViewSpec};
use serde::Serialize;

use super::connected::Counting;
use super::past::Past;
use super::said::Witness;
use super::telling::witness;
use crate::query::QueryError;
use crate::query::explain::text;
use crate::runtime::Progress;

/// Whoever adds to a number.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Who {
    /// A person, by id.
    PersonId(String),
    /// A group, by id.
    GroupId(String),
    /// Nobody: events without an identifier.
    Nobody,
}

/// What one person adds to a number.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct PartSaid {
    /// The person.
    pub who: Who,
    /// How many times the person counts.
    pub counts: usize,
    /// What the person adds to a sum; null where it is no sum.
    pub sum: Option<f64>,
    /// The events of each time it counts: of a funnel one for each step, null for one that was
    /// passed over.
    pub witnesses: Vec<Vec<Option<Witness>>>,
}

/// Who is behind a number.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct BehindSaid {
    /// The key of its row.
    pub key: BTreeMap<String, String>,
    /// How many times somebody counts in it.
    pub counts: usize,
    /// Those who do, who counts most first.
    pub parts: Vec<PartSaid>,
}

/// Who is behind rows of one table of the past's job.
///
/// # Errors
///
/// The past can't be read; what it comes to is not what stands.
pub fn behind(
    past: &Past,
    rows: &[Row],
    progress: &dyn Progress,
) -> Result<Vec<BehindSaid>, QueryError> {
    let Some(table) = rows.first().map(|row| row.view) else { return Ok(Vec::new()) };
    let catalog = &past.plan.catalog;
    let people = catalog.built_in.people == Some(table);
    if catalog.view_of(table).is_none() && !people {
        return Ok(Vec::new());
    }
    let tenant = |row: &Row| match row.cells.get(0) {
        CellRef::Str(name) => name.to_owned(),
        _ => String::new(),
    };
    let mut records: BTreeMap<String, Vec<Arc<Event>>> =
        rows.iter().map(|row| (tenant(row), Vec::new())).collect();
    past.each(progress, |event| {
        if let Some(list) = records.get_mut(&*event.kind.tenant) {
            list.push(event);
        }
    })?;
    let mut said = Vec::new();
    for (name, records) in records {
        let counting = Counting::new(&past.plan.job(), &records);
        drop(records);
        let facts = Facts::new(past, &counting);
        let rows: Vec<&Row> = rows.iter().filter(|row| tenant(row) == name).collect();
        said.extend(facts.behind(&rows)?);
    }
    Ok(said)
}

/// The facts of one tenant.
struct Facts<'a> {
    past: &'a Past,
    /// In order; `None` holds those of nobody.
    people: BTreeMap<Option<Token>, Vec<Arc<Event>>>,
}

/// Shares of somebody in one row.
type Parts = BTreeMap<Who, Vec<Share>>;

impl<'a> Facts<'a> {
    fn new(past: &'a Past, counting: &Counting) -> Self {
        let evidence = Evidence::new(&past.plan.identity, &counting.sightings());
        let mut people: BTreeMap<Option<Token>, Vec<Arc<Event>>> = BTreeMap::new();
        for (key, event) in &counting.events {
            if event.command().is_none() && !counting.shadowed.contains(key) {
                people.entry(evidence.person_of(*key)).or_default().push(Arc::clone(event));
            }
        }
        Self { past, people }
    }

    fn behind(&self, rows: &[&Row]) -> Result<Vec<BehindSaid>, QueryError> {
        let catalog = &self.past.plan.catalog;
        let view = rows.first().and_then(|row| catalog.view_of(row.view));
        let parts: Vec<Option<Parts>> = match view
            .map(|(view, table)| (&catalog.specs[usize::from(view)], view, table))
        {
            Some((ViewSpec::Sessions(spec), ..)) => {
                rows.iter().map(|row| self.of_session(spec, row)).collect()
            }
            Some((ViewSpec::Funnel(_), _, 1)) => rows.iter().map(|row| self.of_best(row)).collect(),
            Some((_, view, _)) => self.of_numbers(view, rows),
            None => rows.iter().map(|row| self.of_overview(row)).collect(),
        };
        rows.iter().zip(parts).map(|(row, parts)| self.tell(row, parts)).collect()
    }

    /// Everybody's shares in a view of a catalog, with who has them.
    fn shares(&self, (catalog, view): (&Catalog, u16), mut each: impl FnMut(&Who, Share)) {
        let mut shares = Shares::new(catalog, view);
        let group = catalog.specs[usize::from(view)].funnel().and_then(|funnel| funnel.group);
        if let Some(property) = group {
            for (id, facts) in self.groups(property) {
                let who = Who::GroupId(id.to_string());
                let own = shares.of(&facts, Whose::Group(property));
                own.into_iter().for_each(|share| each(&who, share));
            }
            return;
        }
        for (person, facts) in &self.people {
            let (who, whose) = match person {
                Some(person) => (Who::PersonId(person.to_string()), Whose::Person),
                None => (Who::Nobody, Whose::Nobody),
            };
            shares.of(facts, whose).into_iter().for_each(|share| each(&who, share));
        }
    }

    /// The facts that name each group by a property, in order.
    fn groups(&self, property: usize) -> BTreeMap<Arc<str>, Vec<Arc<Event>>> {
        let catalog = &self.past.plan.catalog;
        let mut groups: BTreeMap<Arc<str>, Vec<Arc<Event>>> = BTreeMap::new();
        for event in self.people.values().flatten() {
            let event = Arc::clone(event);
            let fact = Fact { person: None, event, diff: 1, cause: Cause::New };
            let own = GroupFact::of(catalog, &fact).filter(|group| group.property == property);
            for GroupFact { id, fact, .. } in own {
                groups.entry(id).or_default().push(fact.event);
            }
        }
        groups.values_mut().for_each(|facts| facts.sort_by_key(|event| event.key));
        groups
    }

    /// Of rows of numbers. None of a row that does not come out as it stands.
    fn of_numbers(&self, view: u16, rows: &[&Row]) -> Vec<Option<Parts>> {
        let catalog = &self.past.plan.catalog;
        let mut places: HashMap<Group, Vec<usize>> = HashMap::new();
        for (place, row) in rows.iter().enumerate() {
            if let Some(group) = group_of(catalog, row) {
                places.entry(group).or_default().push(place);
            }
        }
        // Which values of a breakdown have rows of their own follows from all of a period.
        let home = |group: &Group| (group.period, group.start);
        let homes: HashSet<(Period, Micros)> = places.keys().map(home).collect();
        let mut counts = Counts::new(catalog);
        let mut kept: Vec<(Who, Share)> = Vec::new();
        self.shares((catalog, view), |who, share| {
            if homes.contains(&home(&share.group)) {
                counts.update(share.contribution());
                kept.push((who.clone(), share));
            }
        });
        counts.advance(&mut Vec::new());
        let mut stands = vec![false; rows.len()];
        for (group, places) in &places {
            let computed = counts.rows_of(group);
            for place in places {
                let row = rows[*place];
                let same = |other: &Row| other.view == row.view && other.cells == row.cells;
                stands[*place] = computed.iter().any(same);
            }
        }
        let mut parts: Vec<Parts> = vec![Parts::new(); rows.len()];
        for (who, share) in kept {
            for place in places.get(&counts.shown_in(&share.group)).into_iter().flatten() {
                if counts_in(catalog, rows[*place], &share.measure) {
                    parts[*place].entry(who.clone()).or_default().push(share.clone());
                }
            }
        }
        let counts = |parts: &Parts| parts.values().map(Vec::len).sum::<usize>() as i64;
        let all = rows.iter().zip(parts).zip(stands);
        all.map(|((row, parts), stands)| {
            let adds_up = count_of(catalog, row).is_none_or(|count| count == counts(&parts));
            (stands && adds_up).then_some(parts)
        })
        .collect()
    }

    fn facts_of(&self, row: &Row, column: usize) -> Option<(Token, &[Arc<Event>])> {
        let CellRef::Id(person) = row.cells.get(column) else { return None };
        Some((person, self.people.get(&Some(person))?))
    }

    /// What stands in a row of one person: each event by itself.
    fn each(person: Token, row: &Row, events: &[Arc<Event>]) -> Parts {
        let CellRef::Str(tenant) = row.cells.get(0) else { return Parts::new() };
        let group = Group {
            view: row.view,
            tenant: tenant.into(),
            period: Period::All,
            start: 0,
            breakdown: Cell::Null,
        };
        let share = |event: &Arc<Event>| Share {
            group: group.clone(),
            measure: Measure::One,
            events: vec![Some(Arc::clone(event))],
        };
        Parts::from([(Who::PersonId(person.to_string()), events.iter().map(share).collect())])
    }

    fn of_session(&self, spec: &SessionsSpec, row: &Row) -> Option<Parts> {
        let (person, mut rest) = self.facts_of(row, 2)?;
        for session in sessions::oracle(spec, rest.iter().map(|event| &**event)) {
            let (events, others) = rest.split_at(session.events as usize);
            let session = Arc::new(session);
            if sessions::row(row.view, &session, person, spec).cells == row.cells {
                return Some(Self::each(person, row, events));
            }
            rest = others;
        }
        None
    }

    fn of_overview(&self, row: &Row) -> Option<Parts> {
        let (person, facts) = self.facts_of(row, 1)?;
        let same = row.cells.get(4) == CellRef::Int(facts.len() as i64);
        same.then(|| Self::each(person, row, facts))
    }

    /// Of a row of a funnel's people or groups.
    fn of_best(&self, row: &Row) -> Option<Parts> {
        let mut catalog = Catalog::clone(&self.past.plan.catalog);
        let (view, _) = catalog.view_of(row.view)?;
        // The best is that of all time, which need not be a period that is counted.
        if let ViewSpec::Funnel(funnel) = &mut catalog.specs[usize::from(view)]
            && !funnel.periods.contains(&Period::All)
        {
            funnel.periods.push(Period::All);
        }
        let mut found = None;
        let of = match row.cells.get(1) {
            CellRef::Id(person) => Who::PersonId(person.to_string()),
            CellRef::Str(group) => Who::GroupId(group.to_owned()),
            _ => return None,
        };
        let (times, ids) = (text(row.cells.get(4)), text(row.cells.get(5)));
        self.shares((&catalog, view), |who, share| {
            if *who != of || found.is_some() || share.group.breakdown.as_ref() != row.cells.get(2) {
                return;
            }
            let null = || "null".to_owned();
            let said = |say: &dyn Fn(&Event) -> String| -> String {
                let each = share.events.iter();
                let each = each.map(|event| event.as_deref().map_or_else(null, say));
                each.collect::<Vec<_>>().join(" ")
            };
            let at = |event: &Event| text(CellRef::Time(event.key.time));
            if said(&at) == times && said(&|event| event.message_id.to_string()) == ids {
                found = Some(share);
            }
        });
        found.map(|share| Parts::from([(of, vec![share])]))
    }

    fn tell(&self, row: &Row, parts: Option<Parts>) -> Result<BehindSaid, QueryError> {
        let schema = &self.past.plan.catalog.schemas[usize::from(row.view)];
        let key = schema
            .key
            .iter()
            .map(|column| (schema.columns[*column].name.to_owned(), text(row.cells.get(*column))));
        let key: BTreeMap<String, String> = key.collect();
        let Some(parts) = parts else {
            let key: Vec<String> =
                key.iter().map(|(name, value)| format!("{name}={value}")).collect();
            return Err(QueryError::Run(format!(
                "what was read does not come to what stands in {} under {}: the records are not \
                 those that it was made of, or this is an error of braid's",
                schema.name,
                key.join(" ")
            )));
        };
        let mut parts: Vec<PartSaid> =
            parts.into_iter().map(|(who, shares)| self.part(who, &shares)).collect();
        parts.sort_by(|a, b| b.counts.cmp(&a.counts).then_with(|| a.who.cmp(&b.who)));
        Ok(BehindSaid { key, counts: parts.iter().map(|part| part.counts).sum(), parts })
    }

    fn part(&self, who: Who, shares: &[Share]) -> PartSaid {
        let number = |share: &Share| match share.measure {
            Measure::Number(number) => Some(number),
            Measure::One | Measure::Attempt(_) => None,
        };
        let numbers = shares.iter().map(number);
        let sum: Option<i128> = numbers.sum();
        let record =
            |event: &Option<Arc<Event>>| event.as_ref().map(|event| witness(self.past, event));
        PartSaid {
            who,
            counts: shares.len(),
            sum: sum.filter(|_| !shares.is_empty()).map(|sum| sum as f64 / 1e9),
            witnesses: shares
                .iter()
                .map(|share| share.events.iter().map(record).collect())
                .collect(),
        }
    }
}

/// Records that are named for one person at most.
const WITNESSES: usize = 4;

impl BehindSaid {
    /// As a person reads it, with no more than `most` people.
    pub fn text(&self, most: usize) -> String {
        let key: Vec<String> =
            self.key.iter().map(|(column, value)| format!("{column}={value}")).collect();
        let mut lines = vec![format!("  behind {}: {}", key.join(" "), self.counts)];
        for part in self.parts.iter().take(most) {
            let who = match &part.who {
                Who::PersonId(id) => format!("person {id}"),
                Who::GroupId(id) => format!("group {id}"),
                Who::Nobody => "nobody".to_owned(),
            };
            let times =
                if part.counts == 1 { String::new() } else { format!(" {} times", part.counts) };
            let sum = part.sum.map(|sum| format!(", {sum} in all")).unwrap_or_default();
            let all = part.witnesses.iter().flatten().flatten();
            let mut records: Vec<String> =
                all.clone().take(WITNESSES).map(Witness::brief).collect();
            if let more @ 1.. = all.count().saturating_sub(WITNESSES) {
                records.push(format!("and {more} more"));
            }
            lines.push(format!("    {who}{times}{sum}: {}", records.join(", ")));
        }
        if let more @ 1.. = self.parts.len().saturating_sub(most) {
            lines.push(format!("    and {more} more: --limit {}", self.parts.len()));
        }
        lines.join("\n")
    }
}
