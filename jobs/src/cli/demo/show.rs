//! The rows of the story's people, and of yesterday's funnel, read from the tables.

use std::fmt::Write as _;

use connectors::table::{TableError, read};
use operators::model::{Cell, ColumnType};

use super::story::Story;
use crate::runtime::Plan;

/// A table's rows that matter here.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Part {
    title: &'static str,
    columns: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

/// What stands in the tables of the story.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Scene(Vec<Part>);

impl Scene {
    /// Yesterday's funnel.
    pub(super) fn funnel(&self) -> &[Vec<Cell>] {
        self.0.last().map_or(&[], |part| &part.rows)
    }

    pub(super) fn text(&self) -> String {
        let mut out = String::new();
        for part in &self.0 {
            // Writing to a string can't fail.
            let _ = writeln!(out, "    {}", part.title);
            out.push_str(&table(&part.columns, &part.rows));
        }
        out
    }
}

const PEOPLE: [(&str, ColumnType); 3] =
    [("person_id", ColumnType::Id), ("events", ColumnType::Int), ("channels", ColumnType::StrList)];
const SESSIONS: [(&str, ColumnType); 4] = [
    ("person_id", ColumnType::Id),
    ("start", ColumnType::Time),
    ("entry_event", ColumnType::Str),
    ("exit_event", ColumnType::Str),
];
const FUNNEL: [(&str, ColumnType); 6] = [
    ("period", ColumnType::Str),
    ("period_start", ColumnType::Time),
    ("step", ColumnType::Int),
    ("event", ColumnType::Str),
    ("count", ColumnType::Int),
    ("average_s", ColumnType::Float),
];

/// The people that the story's identifiers lead to now.
fn people(plan: &Plan, story: &Story) -> Result<Vec<Cell>, TableError> {
    let columns = [("token", ColumnType::Id), ("person_id", ColumnType::Id)];
    let tokens = [Cell::Id(story.user), Cell::Id(story.laptop)];
    let rows = read(&plan.out.join("identifiers"), &columns)?;
    let mut found: Vec<Cell> =
        rows.into_iter().filter(|r| tokens.contains(&r[0])).map(|r| r[1].clone()).collect();
    found.sort();
    found.dedup();
    Ok(found)
}

/// What stands now.
pub(super) fn scene(plan: &Plan, story: &Story) -> Result<Scene, TableError> {
    let wanted = people(plan, story)?;
    let yesterday = Cell::Time(story.yesterday);
    let mut parts = Vec::new();
    let mut part = |title,
                    view: &str,
                    columns: &[(&'static str, ColumnType)],
                    keep: &dyn Fn(&[Cell]) -> bool| {
        let mut rows = read(&plan.out.join(view), columns)?;
        rows.retain(|row| keep(row));
        rows.sort();
        parts.push(Part { title, columns: columns.iter().map(|c| c.0).collect(), rows });
        Ok::<(), TableError>(())
    };
    part("people", "people", &PEOPLE, &|row| wanted.contains(&row[0]))?;
    part("sessions", "sessions", &SESSIONS, &|row| wanted.contains(&row[0]))?;
    part("funnel_purchase, entries of yesterday", "funnel_purchase", &FUNNEL, &|row| {
        row[0] == Cell::str("day") && row[1] == yesterday
    })?;
    Ok(Scene(parts))
}

/// What was published of the story after an epoch.
pub(super) fn changes(plan: &Plan, story: &Story, after: u64) -> Result<String, TableError> {
    const META: [(&str, ColumnType); 3] =
        [("_op", ColumnType::Str), ("_cause", ColumnType::Str), ("_epoch", ColumnType::Int)];
    let mut out = String::new();
    let funnel = |row: &[Cell]| row[3] == Cell::str("day") && row[4] == Cell::Time(story.yesterday);
    let views: [(&str, &[(&'static str, ColumnType)], &dyn Fn(&[Cell]) -> bool); 3] = [
        ("people", &PEOPLE, &|_| true),
        ("sessions", &SESSIONS, &|_| true),
        ("funnel_purchase", &FUNNEL, &funnel),
    ];
    for (view, own, keep) in views {
        let columns: Vec<_> = META.iter().chain(own).copied().collect();
        let mut rows = read(&plan.out.join("changelog").join(view), &columns)?;
        rows.retain(|row| row[2] > Cell::Int(after as i64) && keep(row));
        rows.sort();
        for row in &mut rows {
            row.remove(2);
        }
        let names: Vec<&str> =
            columns.iter().map(|c| c.0).filter(|name| *name != "_epoch").collect();
        // Writing to a string can't fail.
        let _ = writeln!(out, "    {view}");
        out.push_str(&table(&names, &rows));
    }
    Ok(out)
}

fn table(columns: &[&str], rows: &[Vec<Cell>]) -> String {
    let lines: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(plain).collect()).collect();
    let width = |place: usize| {
        let cells = lines.iter().map(|line| line[place].chars().count());
        cells.chain([columns[place].len()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let mut out = String::new();
    let mut line = |cells: &mut dyn Iterator<Item = &str>| {
        out.push_str("      ");
        for (cell, width) in cells.zip(&widths) {
            // Writing to a string can't fail.
            let _ = write!(out, "{cell:<width$}  ");
        }
        out.truncate(out.trim_end().len());
        out.push('\n');
    };
    line(&mut columns.iter().copied());
    for cells in &lines {
        line(&mut cells.iter().map(String::as_str));
    }
    out
}

/// A cell as a person reads it; ids are shortened.
fn plain(cell: &Cell) -> String {
    match cell {
        Cell::Null => "-".to_owned(),
        Cell::Bool(b) => b.to_string(),
        Cell::Int(i) => i.to_string(),
        Cell::Float(bits) => format!("{:.0}", f64::from_bits(*bits)),
        Cell::Time(at) => jiff::Timestamp::from_microsecond(*at)
            .map_or_else(|_| at.to_string(), |t| t.strftime("%Y-%m-%d %H:%M").to_string()),
        Cell::Id(token) => format!("{:08x}…", token.0 >> 96),
        Cell::Uuid(uuid) => uuid.to_string(),
        Cell::Str(text) => text.to_string(),
        Cell::Bytes(bytes) => format!("{} bytes", bytes.len()),
        Cell::List(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
    }
}
