//! The past of a view, from its changelog: its rows as they were known after an epoch, and the
//! changes that led there.

use std::collections::BTreeSet;
use std::path::Path;

use arrow::array::{ArrayRef, RecordBatch};
use operators::model::{Cause, CellRef, Epoch, Micros, Row, ViewSchema};

use super::changes::{Op, status};
use super::columns::{COLUMN_BYTES, Layout, batches, constant};
use super::encode::ROWS_AT_ONCE;
use super::replayed::{FINAL_AT, Outcome, Replayed, STATUS, final_cell, outcomes};
use super::stored::{Stored, Which};
use super::view::{own_columns, unfit};
use super::{Begins, Granularity, TableError};

/// The epochs that the changelogs hold, in order, with the watermark after each.
///
/// # Errors
///
/// The table of epochs can't be read.
pub fn epochs(out: &Path) -> Result<Vec<(Epoch, Micros)>, TableError> {
    let mut epochs = Vec::new();
    let Some(stored) = Stored::open(out, Which::Epochs)? else { return Ok(epochs) };
    for file in 0..stored.files() {
        for batch in stored.read_whole(file)? {
            epochs.extend(super::epochs::lines(&batch?));
        }
    }
    epochs.sort_unstable();
    Ok(epochs)
}

/// The views that have no changelog although epochs up to one have been committed, and those of
/// which it was begun anew and has nothing yet.
///
/// # Errors
///
/// A changelog can't be read.
pub fn changelogs_gone(
    out: &Path,
    (schemas, begins): (&[ViewSchema], &Begins),
    committed: Epoch,
) -> Result<BTreeSet<String>, TableError> {
    let mut gone = BTreeSet::new();
    for schema in schemas {
        let which = Which::Changelog(schema);
        let begun_anew = begins.of(&schema.name).is_some_and(|begin| begin > committed);
        if !which.exists(out)?
            || (begun_anew && Stored::open(out, which)?.is_none_or(|log| log.rows() == 0))
        {
            gone.insert(schema.name.to_string());
        }
    }
    Ok(gone)
}

fn replayed(
    changelog: &Stored,
    view: (u16, &ViewSchema),
    upto: Epoch,
) -> Result<Replayed, TableError> {
    let mut replayed = Replayed::default();
    for file in changelog.files_upto(upto) {
        for batch in changelog.read_whole(file)? {
            replayed.read(view, &batch?, |epoch| epoch <= upto)?;
        }
    }
    Ok(replayed)
}

/// The rows of a view as they were known after an epoch, when the watermark was at `watermark`,
/// with the columns of its table of current rows.
///
/// # Errors
///
/// The changelog can't be read.
pub fn known(
    changelog: &Stored,
    (index, schema): (u16, &ViewSchema),
    granularity: Granularity,
    (epoch, watermark): (Epoch, Micros),
) -> Result<Vec<RecordBatch>, TableError> {
    let replayed = replayed(changelog, (index, schema), epoch)?;
    let own = schema.columns.len();
    let columns: Vec<Layout> = own_columns(schema).chain([STATUS, FINAL_AT]).collect();
    let whole = Which::Current(schema, granularity).schema();
    let wrong = |e: arrow::error::ArrowError| unfit(schema, &e.to_string());
    let mut known = Vec::new();
    for (partition, outcomes) in outcomes(schema, granularity, &replayed) {
        let rows: Vec<&Row> = outcomes.iter().filter_map(Outcome::standing).collect();
        let at_once = (ROWS_AT_ONCE, COLUMN_BYTES);
        let lines = batches(&columns, &rows, at_once, |row, place| match place.checked_sub(own) {
            Some(0) => CellRef::Str(status(row.final_at, watermark).word()),
            Some(_) => final_cell(row.final_at),
            None => row.cells.get(place),
        });
        for lines in lines {
            let lines = lines.map_err(wrong)?;
            let mut arrays: Vec<ArrayRef> = lines.columns().to_vec();
            arrays.extend(partition.get(1).map(|date| constant(date, lines.num_rows())));
            known.push(RecordBatch::try_new(whole.clone(), arrays).map_err(wrong)?);
        }
    }
    Ok(known)
}

/// The rows of a view that stood after an epoch, in no order.
///
/// # Errors
///
/// The changelog can't be read.
pub fn standing(
    out: &Path,
    (index, schema): (u16, &ViewSchema),
    upto: Epoch,
) -> Result<Vec<Row>, TableError> {
    let Some(changelog) = Stored::open(out, Which::Changelog(schema))? else {
        return Ok(Vec::new());
    };
    let replayed = replayed(&changelog, (index, schema), upto)?;
    let outcomes = outcomes(schema, Granularity::None, &replayed).into_values().flatten();
    Ok(outcomes.filter_map(|outcome| outcome.standing().cloned()).collect())
}

/// A change of a view as its changelog has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LoggedChange {
    /// The epoch.
    pub epoch: Epoch,
    /// Why.
    pub cause: Cause,
    /// The row that came, or that went.
    pub row: Row,
    /// Whether the row went; otherwise it takes the place of the one of its key, if there is one.
    pub gone: bool,
}

/// The changes of a view up to an epoch, in the order of their epochs.
///
/// # Errors
///
/// The changelog can't be read.
pub fn logged(
    out: &Path,
    view: (u16, &ViewSchema),
    upto: Epoch,
) -> Result<Vec<LoggedChange>, TableError> {
    let changelog = Stored::open(out, Which::Changelog(view.1))?;
    let Some(changelog) = changelog else { return Ok(Vec::new()) };
    let lines = replayed(&changelog, view, upto)?.into_lines();
    let change =
        |(epoch, op, cause, row)| LoggedChange { epoch, cause, row, gone: op == Op::Delete };
    let mut changes: Vec<LoggedChange> = lines.map(change).collect();
    changes.sort_by_key(|change| change.epoch);
    Ok(changes)
}
