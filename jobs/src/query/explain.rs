//! Why numbers of a view changed: changes of its changelog between two epochs, added up by cause.

use std::collections::BTreeMap;

use connectors::table::{LoggedChange, logged};
use operators::model::{Cause, Cell, CellRef, ColumnType, Epoch, Row, ViewSchema};
use serde::Serialize;

use super::moment::last;
use super::{Known, QueryError, are_told, view};
use crate::runtime::Plan;
use crate::runtime::job_file::nearest;

/// Epochs that are named for a number at most: those that changed it most.
const CONTRIBUTORS: usize = 3;
/// Merges and splits that are named for an epoch at most.
const REASONS: usize = 3;

/// What changes of one cause did to a number.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct ByCause {
    /// How many changes.
    pub changes: u64,
    /// By how much they changed it, together.
    pub by: f64,
}

/// An epoch that changed a number.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Contributor {
    /// The epoch.
    pub epoch: Epoch,
    /// Why: `new`, `late`, `merge`, `split`, `consent`, `erase` or `upgrade`.
    pub cause: &'static str,
    /// By how much.
    pub by: f64,
    /// The merges or splits of the epoch, some of them.
    pub people: Vec<String>,
}

/// A number that changed.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Number {
    /// The key of its row.
    pub key: BTreeMap<String, String>,
    /// Its column.
    pub column: &'static str,
    /// What it was; none if there was no row, or no value in it.
    pub before: Option<f64>,
    /// What it is.
    pub after: Option<f64>,
    /// What each cause did.
    pub causes: BTreeMap<&'static str, ByCause>,
    /// The epochs that changed it most, the first of them first.
    pub contributors: Vec<Contributor>,
}

/// All numbers of a view that changed.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Explained {
    /// The view.
    pub view: String,
    /// After this epoch,
    pub since: Epoch,
    /// and up to this one.
    pub until: Epoch,
    /// The numbers.
    pub numbers: Vec<Number>,
    /// The rows that stand, of those that are asked for.
    #[serde(skip)]
    pub rows: Vec<Row>,
    /// Why there is nothing to say, where it is not that nothing has changed.
    #[serde(skip)]
    pub why_none: Option<String>,
}

/// What is asked.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Question {
    /// From after this epoch on; without it from the beginning.
    pub since: Option<Known>,
    /// Up to this epoch; without it to the last one.
    pub until: Option<Known>,
    /// Rows with these values in columns, as text: where such a column is not part of the key, in
    /// the last row that stood.
    pub key: Vec<(String, String)>,
}

fn word(cause: Cause) -> &'static str {
    cause.word().unwrap_or("new")
}

/// A cell as text.
pub(crate) fn text(cell: CellRef<'_>) -> String {
    match cell {
        CellRef::Null => "null".to_owned(),
        CellRef::Bool(value) => value.to_string(),
        CellRef::Int(value) => value.to_string(),
        CellRef::Float(bits) => f64::from_bits(bits).to_string(),
        CellRef::Time(at) => jiff::Timestamp::from_microsecond(at)
            .map_or_else(|_| at.to_string(), |at| at.to_string()),
        CellRef::Id(id) => id.to_string(),
        CellRef::Uuid(uuid) => uuid.to_string(),
        CellRef::Str(text) => text.to_owned(),
        CellRef::Bytes(bytes) => format!("{} bytes", bytes.len()),
        CellRef::List(items) => {
            items.iter().map(|item| text(item.as_ref())).collect::<Vec<_>>().join(" ")
        }
    }
}

fn number(row: Option<&Row>, column: usize) -> Option<f64> {
    match row?.cells.get(column) {
        CellRef::Int(value) => Some(value as f64),
        CellRef::Float(bits) => Some(f64::from_bits(bits)),
        _ => None,
    }
}

/// A row's number on its way.
#[derive(Default)]
struct Course {
    before: Option<f64>,
    after: Option<f64>,
    causes: BTreeMap<&'static str, ByCause>,
    steps: Vec<(Epoch, Cause, f64)>,
}

/// A row on its way.
#[derive(Default)]
struct Story {
    standing: Option<Row>,
    /// The last row that stood.
    last: Option<Row>,
    numbers: Vec<Course>,
}

impl Story {
    fn take(&mut self, change: LoggedChange, columns: &[usize], since: Epoch) {
        self.numbers.resize_with(columns.len(), Course::default);
        if !change.gone || self.last.is_none() {
            self.last = Some(change.row.clone());
        }
        let row = Some(change.row).filter(|_| !change.gone);
        for (course, column) in self.numbers.iter_mut().zip(columns) {
            let old = number(self.standing.as_ref(), *column);
            let new = number(row.as_ref(), *column);
            course.after = new;
            if change.epoch <= since {
                course.before = new;
            } else if old != new {
                let by = new.unwrap_or(0.0) - old.unwrap_or(0.0);
                let cause = course.causes.entry(word(change.cause)).or_default();
                cause.changes += 1;
                cause.by += by;
                course.steps.push((change.epoch, change.cause, by));
            }
        }
        self.standing = row;
    }
}

/// Says why the numbers of a view changed.
///
/// # Errors
///
/// There is no such view or column; its changelog can't be read.
pub fn explain(plan: &Plan, name: &str, question: &Question) -> Result<Explained, QueryError> {
    if plan.tables.is_none() {
        return Err(QueryError::NoTables);
    }
    let names = || plan.catalog.schemas.iter().map(|schema| schema.name.to_string());
    let found = view(plan, name);
    let (index, schema) =
        found.ok_or_else(|| QueryError::unknown_view(name, &names().collect::<Vec<_>>()))?;
    let wanted = wanted(schema, &question.key)?;
    for known in question.since.into_iter().chain(question.until) {
        are_told(plan, [name].into_iter(), known.epoch)?;
    }
    let since = question.since.map_or(0, |known| known.epoch);
    let until = question.until.map_or_else(|| last(plan), Ok)?.epoch;
    let numeric = |place: &usize| {
        let kind = schema.columns[*place].kind;
        matches!(kind, ColumnType::Int | ColumnType::Float) && !schema.key.contains(place)
    };
    let columns: Vec<usize> = (0..schema.columns.len()).filter(numeric).collect();
    let mut stories: BTreeMap<Vec<Cell>, Story> = BTreeMap::new();
    for change in logged(&plan.out, (index, schema), until)? {
        let cells = &change.row.cells;
        let in_key = wanted.iter().filter(|(column, _)| schema.key.contains(column));
        if is_as_wanted(&change.row, in_key) {
            let key = schema.key.iter().map(|column| cells.get(*column).into()).collect();
            stories.entry(key).or_default().take(change, &columns, since);
        }
    }
    stories.retain(|_, story| story.last.as_ref().is_some_and(|row| is_as_wanted(row, &wanted)));
    let why_none = if columns.is_empty() {
        Some(format!("{name} has no numbers"))
    } else if stories.is_empty() && !question.key.is_empty() {
        let key = question.key.iter().map(|(column, value)| format!("{column}={value}"));
        let key = key.collect::<Vec<_>>().join(",");
        Some(format!("{name} has no row with {key}; times are UTC, as `braid query` shows them"))
    } else {
        None
    };
    let rows = stories.values().filter_map(|story| story.standing.clone()).collect();
    let people = people(plan, until)?;
    let mut numbers = Vec::new();
    for (key, story) in stories {
        for (course, column) in story.numbers.into_iter().zip(&columns) {
            if course.before == course.after {
                continue;
            }
            let names = schema.key.iter().map(|column| schema.columns[*column].name.to_owned());
            numbers.push(Number {
                key: names.zip(key.iter().map(|cell| text(cell.as_ref()))).collect(),
                column: schema.columns[*column].name,
                before: course.before,
                after: course.after,
                contributors: contributors(course.steps, &people),
                causes: course.causes,
            });
        }
    }
    Ok(Explained { view: name.to_owned(), since, until, numbers, rows, why_none })
}

/// Whether a row has values in columns, as text.
fn is_as_wanted<'a, 'q: 'a>(
    row: &Row,
    wanted: impl IntoIterator<Item = &'a (usize, &'q str)>,
) -> bool {
    wanted.into_iter().all(|(column, value)| text(row.cells.get(*column)) == *value)
}

/// The places of the columns that are asked for.
fn wanted<'q>(
    schema: &ViewSchema,
    key: &'q [(String, String)],
) -> Result<Vec<(usize, &'q str)>, QueryError> {
    let mut wanted = Vec::new();
    for (column, value) in key {
        let Some(place) = schema.columns.iter().position(|known| known.name == *column) else {
            let names: Vec<&str> = schema.columns.iter().map(|known| known.name).collect();
            let (view, meant) = (&schema.name, nearest(column, &names));
            let meant = meant.map(|meant| format!("did you mean {meant}? ")).unwrap_or_default();
            let message =
                format!("{view} has no column {column:?}; {meant}it has {}", names.join(", "));
            return Err(QueryError::Usage(message));
        };
        wanted.push((place, value.as_str()));
    }
    Ok(wanted)
}

/// The merges and splits of each epoch.
type People = BTreeMap<(Epoch, &'static str), Vec<String>>;

fn people(plan: &Plan, until: Epoch) -> Result<People, QueryError> {
    let mut people = People::new();
    let Some(index) = plan.catalog.built_in.id_changes else { return Ok(people) };
    let schema = &plan.catalog.schemas[usize::from(index)];
    for change in logged(&plan.out, (index, schema), until)? {
        let cells = &change.row.cells;
        let (person, other) = (text(cells.get(1)), text(cells.get(2)));
        let (what, said) = match cells.get(3) {
            CellRef::Str("merge") => ("merge", format!("{person} and {other} are one")),
            _ => ("split", format!("{person} and {other} are two")),
        };
        people.entry((change.epoch, what)).or_default().push(said);
    }
    Ok(people)
}

fn contributors(mut steps: Vec<(Epoch, Cause, f64)>, people: &People) -> Vec<Contributor> {
    steps.sort_by(|a, b| b.2.abs().total_cmp(&a.2.abs()).then(a.0.cmp(&b.0)));
    steps.truncate(CONTRIBUTORS);
    let contributor = |(epoch, cause, by)| {
        let all = people.get(&(epoch, word(cause))).map_or(&[][..], Vec::as_slice);
        let people = all.iter().take(REASONS).cloned().collect();
        Contributor { epoch, cause: word(cause), by, people }
    };
    steps.into_iter().map(contributor).collect()
}

impl Explained {
    /// As a person reads it.
    pub fn text(&self) -> String {
        if let Some(why) = &self.why_none {
            return why.clone();
        }
        let Self { view, since, until, numbers, .. } = self;
        let many = match numbers.len() {
            0 => "no number".to_owned(),
            1 => "a number".to_owned(),
            n => format!("{n} numbers"),
        };
        let mut lines = vec![format!("{view}: {many} changed after epoch {since}, up to {until}")];
        let value = |value: Option<f64>| value.map_or("none".to_owned(), |value| value.to_string());
        for number in numbers {
            let key: Vec<String> =
                number.key.iter().map(|(column, value)| format!("{column}={value}")).collect();
            let (before, after) = (value(number.before), value(number.after));
            lines.push(format!("  {}", key.join(" ")));
            lines.push(format!("    {} {before} -> {after}", number.column));
            for (cause, ByCause { changes, by }) in &number.causes {
                let plural = if *changes == 1 { "change" } else { "changes" };
                lines.push(format!("      {cause} {by:+} in {changes} {plural}"));
            }
            for Contributor { epoch, cause, by, people } in &number.contributors {
                let because = if people.is_empty() {
                    String::new()
                } else {
                    format!(": {}", people.join("; "))
                };
                lines.push(format!("      epoch {epoch}, {cause} {by:+}{because}"));
            }
        }
        lines.join("\n")
    }
}
