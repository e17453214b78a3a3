//! Jobs in folders of their own, what their tables hold, and naive answers to compare with.

mod alike;
mod history;
mod job;
pub(crate) mod replayed;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use braid_tests::delta::cells;
use jobs::query::{Known, rows};
use jobs::runtime::Plan;
use operators::model::Cell;

pub(crate) use alike::Published;
pub(crate) use braid_tests::delta::Table;
pub(crate) use history::{as_read, events, source, sources, write_part};
pub(crate) use job::{Job, data, unpacked};

/// Every file below a folder with its bytes.
pub(crate) fn tree(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(tree(&path));
        } else {
            files.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    files
}

/// The text of a cell.
pub(crate) fn text(cell: &Cell) -> &str {
    let Cell::Str(text) = cell else { panic!("{cell:?} is no text") };
    text
}

/// Start, end and number of events of each session: a gap greater than `gap` splits.
pub(crate) fn sessions(mut times: Vec<i64>, gap: i64) -> Vec<(i64, i64, i64)> {
    times.sort_unstable();
    let mut sessions: Vec<(i64, i64, i64)> = Vec::new();
    for time in times {
        match sessions.last_mut() {
            Some((_, end, events)) if time - *end <= gap => (*end, *events) = (time, *events + 1),
            _ => sessions.push((time, time, 1)),
        }
    }
    sessions
}

/// The rows of an answer, sorted; ids are text.
pub(crate) fn ask(plan: &Plan, sql: &str, known: Option<Known>) -> Vec<Vec<Cell>> {
    let batches = rows(plan, sql, known).unwrap_or_else(|e| panic!("{sql}: {e}"));
    let mut all = Vec::new();
    for batch in batches {
        let columns: Vec<Vec<Cell>> = batch.columns().iter().map(cells).collect();
        let row = |row: usize| columns.iter().map(|column| column[row].clone()).collect();
        all.extend((0..batch.num_rows()).map(row));
    }
    all.sort_unstable();
    all
}

/// The rows that a view's changelog leads to, without the changelog's own columns, sorted.
pub(crate) fn net(job: &Job, plan: &Plan, view: &str) -> Vec<Vec<Cell>> {
    let schema = plan.catalog.schemas.iter().find(|schema| *schema.name == *view).unwrap();
    let log = job.changelog(view);
    let (op, epoch) = (log.place("_op"), log.place("_epoch"));
    let key = |row: &[Cell]| -> Vec<Cell> { schema.key.iter().map(|&c| row[c].clone()).collect() };
    let mut changes = log.rows;
    changes.sort_by(|a, b| a[epoch].cmp(&b[epoch]));
    let mut standing: BTreeMap<Vec<Cell>, Vec<Vec<Cell>>> = BTreeMap::new();
    for of_epoch in changes.chunk_by(|a, b| a[epoch] == b[epoch]) {
        // An update takes the place of what stands under its key, a delete takes it away.
        for row in of_epoch.iter().filter(|row| *text(&row[op]) != *"insert") {
            assert!(standing.contains_key(&key(row)), "there is nothing to change: {row:?}");
        }
        for row in of_epoch.iter().filter(|row| *text(&row[op]) != *"insert") {
            standing.remove(&key(row));
        }
        for row in of_epoch.iter().filter(|row| *text(&row[op]) != *"delete") {
            let columns = row[..schema.columns.len()].to_vec();
            standing.entry(key(row)).or_default().push(columns);
        }
    }
    let mut rows: Vec<Vec<Cell>> = standing.into_values().flatten().collect();
    rows.sort_unstable();
    rows
}
