//! The tables of a job: which views there are, and what their rows look like.

use std::sync::Arc;

use super::funnel::DENSE_FROM;
use super::spec::{FunnelSpec, ViewSpec};
use crate::model::{Column, ColumnType, Matches, ViewSchema};
use crate::time::{Calendar, UnknownZone};

/// Facts of a person in one second of event time, beyond which the person is flagged as a machine.
/// An app that sends what it kept while offline stamps it with the times of its taps, of which
/// there are some in a second; a screen that is drawn sends tens.
pub const FACTS_PER_SECOND_MAX: usize = 100;

/// Names of the views that are there without being asked for.
pub const BUILT_IN: [&str; 6] =
    ["events", "identifiers", "people", "id_changes", "dead_letters", "duplicates"];

/// Indices into [`Catalog::schemas`] of the built-in views; `None` for one the job is without.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct BuiltIn {
    /// One row per event.
    pub events: Option<u16>,
    /// One row per identifier.
    pub identifiers: Option<u16>,
    /// One row per person.
    pub people: Option<u16>,
    /// One row per merge or split, only added to.
    pub id_changes: Option<u16>,
    /// One row per record that could not be used, only added to.
    pub dead_letters: Option<u16>,
    /// One row per message id and cause.
    pub duplicates: Option<u16>,
}

/// The views of a job with the tables they fill.
#[derive(Clone, Debug)]
pub struct Catalog {
    /// The job's views; [`super::contribution::Group::view`] is an index into them.
    pub specs: Vec<ViewSpec>,
    /// All tables; [`crate::model::Row::view`] is an index into them.
    pub schemas: Vec<ViewSchema>,
    /// Tables of the built-in views.
    pub built_in: BuiltIn,
    /// For each of `specs` the index of its (first) table. A funnel's table of people (or groups)
    /// follows it, then that of times.
    pub tables: Vec<u16>,
    /// The properties that are traits of people and asked for as such.
    pub traits: Vec<usize>,
    /// The properties that name groups that are counted.
    pub groups: Vec<usize>,
    /// The views that cohorts are of.
    pub cohorts: Vec<u16>,
    /// For each of `specs` that is a funnel its [`FunnelSpec::mask`].
    pub masks: Vec<Matches>,
    /// A person with more facts in one second is a machine.
    pub facts_per_second_max: usize,
    /// Facts of a person from which on funnels follow one change entry by entry. Changes no result.
    pub dense_from: usize,
    /// Periods in the job's zone.
    pub calendar: Calendar,
}

fn column(name: &'static str, kind: ColumnType) -> Column {
    Column { name, kind, nullable: false }
}

fn optional(name: &'static str, kind: ColumnType) -> Column {
    Column { name, kind, nullable: true }
}

fn schema(name: &str, columns: Vec<Column>, key: &[&str], date: Option<&str>) -> ViewSchema {
    let place = |wanted: &str| columns.iter().position(|c| c.name == wanted);
    let key = std::iter::once("tenant").chain(key.iter().copied()).filter_map(place).collect();
    let date = date.and_then(place);
    ViewSchema { name: Arc::from(name), columns, key, date, append_only: false }
}

fn built_in(name: &str) -> ViewSchema {
    use ColumnType::{Bool, Bytes, Id, Int, Str, StrList, Time};
    let tenant = column("tenant", Str);
    match name {
        "events" => schema(
            name,
            vec![
                tenant,
                column("message_id", Str),
                column("time", Time),
                column("channel", Str),
                column("event", Str),
                optional("person_id", Id),
            ],
            &["message_id", "time"],
            Some("time"),
        ),
        "identifiers" => schema(
            name,
            vec![
                tenant,
                column("type", Str),
                column("token", Id),
                column("person_id", Id),
                column("public", Bool),
            ],
            &["type", "token"],
            None,
        ),
        "people" => schema(
            name,
            vec![
                tenant,
                column("person_id", Id),
                column("first_seen", Time),
                column("last_seen", Time),
                column("events", Int),
                column("channels", StrList),
                column("machine", Bool),
            ],
            &["person_id"],
            None,
        ),
        "id_changes" => ViewSchema {
            append_only: true,
            ..schema(
                name,
                vec![
                    tenant,
                    column("person_id", Id),
                    column("other_person_id", Id),
                    column("change_type", Str),
                    column("epoch", Int),
                    optional("cause", Str),
                    column("message_id", Str),
                ],
                &["person_id", "other_person_id", "change_type", "epoch", "message_id"],
                None,
            )
        },
        "dead_letters" => ViewSchema {
            append_only: true,
            ..schema(
                name,
                vec![
                    tenant,
                    column("source", Str),
                    column("partition", Int),
                    column("offset", Int),
                    column("reason", Str),
                    column("detail", Str),
                    column("payload", Bytes),
                ],
                &["source", "partition", "offset"],
                None,
            )
        },
        _ => schema(
            name,
            vec![tenant, column("message_id", Str), column("cause", Str), column("copies", Int)],
            &["message_id", "cause"],
            None,
        ),
    }
}

/// The names of a view's tables.
pub fn tables(spec: &ViewSpec) -> impl Iterator<Item = Arc<str>> {
    of_view(spec).into_iter().map(|schema| schema.name)
}

fn of_view(spec: &ViewSpec) -> Vec<ViewSchema> {
    use ColumnType::{Float, Id, Int, Str, StrList, Time, TimeList};
    let tenant = || column("tenant", Str);
    let group =
        || [column("period", Str), optional("period_start", Time), optional("breakdown", Str)];
    match spec {
        ViewSpec::Sessions(_) => vec![schema(
            "sessions",
            vec![
                tenant(),
                column("session_id", Id),
                column("person_id", Id),
                column("start", Time),
                column("end", Time),
                column("duration_s", Float),
                column("events", Int),
                column("channels", StrList),
                column("entry_event", Str),
                column("exit_event", Str),
            ],
            &["session_id", "start"],
            Some("start"),
        )],
        ViewSpec::Trend(trend) => {
            let mut columns = vec![tenant()];
            columns.extend(group());
            columns.push(column("value", Float));
            let name = format!("trend_{}", trend.name);
            vec![schema(&name, columns, &["period", "period_start", "breakdown"], None)]
        }
        ViewSpec::Funnel(funnel) => {
            let mut columns = vec![tenant()];
            columns.extend(group());
            columns.extend([
                column("step", Int),
                column("event", Str),
                column("count", Int),
                optional("conversion_from_start", Float),
                optional("conversion_from_previous", Float),
                optional("average_s", Float),
                optional("median_s", Float),
                optional("dropped", Int),
                optional("average_from_start_s", Float),
                optional("median_from_start_s", Float),
            ]);
            let name = format!("funnel_{}", funnel.name);
            let (who, kind, plural) = match funnel.group {
                None => ("person_id", Id, "people"),
                Some(_) => ("group_id", Str, "groups"),
            };
            let people = vec![
                tenant(),
                column(who, kind),
                optional("breakdown", Str),
                column("furthest_step", Int),
                column("step_times", TimeList),
                column("message_ids", StrList),
            ];
            let mut times = vec![tenant()];
            times.extend(group());
            times.extend([
                column("from_step", Int),
                column("to_step", Int),
                column("from_s", Float),
                optional("to_s", Float),
                column("count", Int),
            ]);
            let times_key =
                ["period", "period_start", "breakdown", "from_step", "to_step", "from_s"];
            vec![
                schema(&name, columns, &["period", "period_start", "breakdown", "step"], None),
                schema(&format!("{name}_{plural}"), people, &[who, "breakdown"], None),
                schema(&format!("{name}_times"), times, &times_key, None),
            ]
        }
    }
}

impl Catalog {
    /// The tables of a job with these views, without the built-in ones named in `without`.
    pub fn new(specs: Vec<ViewSpec>, without: &[String], zone: &str) -> Result<Self, UnknownZone> {
        let calendar = Calendar::new(zone)?;
        let mut schemas = Vec::new();
        let mut add = |name: &str| {
            let wanted = !without.iter().any(|w| w == name);
            wanted.then(|| {
                schemas.push(built_in(name));
                (schemas.len() - 1) as u16
            })
        };
        let built_in = BuiltIn {
            events: add("events"),
            identifiers: add("identifiers"),
            people: add("people"),
            id_changes: add("id_changes"),
            dead_letters: add("dead_letters"),
            duplicates: add("duplicates"),
        };
        let mut tables = Vec::new();
        for spec in &specs {
            tables.push(schemas.len() as u16);
            schemas.extend(of_view(spec));
        }
        let funnels = || specs.iter().filter_map(ViewSpec::funnel);
        let mut traits: Vec<usize> = funnels().flat_map(FunnelSpec::traits).map(|t| t.0).collect();
        let mut groups: Vec<usize> = funnels().filter_map(|f| f.group).collect();
        let mut cohorts: Vec<u16> =
            funnels().flat_map(FunnelSpec::cohorts).map(|cohort| cohort.view).collect();
        cohorts.sort_unstable();
        cohorts.dedup();
        for list in [&mut traits, &mut groups] {
            list.sort_unstable();
            list.dedup();
        }
        let mask = |spec: &ViewSpec| spec.funnel().map(FunnelSpec::mask).unwrap_or_default();
        let masks = specs.iter().map(mask).collect();
        Ok(Self {
            specs,
            schemas,
            built_in,
            tables,
            traits,
            groups,
            cohorts,
            masks,
            facts_per_second_max: FACTS_PER_SECOND_MAX,
            dense_from: DENSE_FROM,
            calendar,
        })
    }

    /// The view that fills a table, and which of its tables that is, from 0; none for those that
    /// are there without being asked for.
    pub fn view_of(&self, table: u16) -> Option<(u16, u16)> {
        let view = self.tables.partition_point(|first| *first <= table).checked_sub(1)?;
        Some((view as u16, table - self.tables[view]))
    }
}
