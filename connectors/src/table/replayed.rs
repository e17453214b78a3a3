//! Changes read back from a changelog, and what they do to the current rows.
//!
//! An update does not say which row it takes the place of; the key does: no two rows of a key stand
//! at once, but in views that are only added to. Tenant and date are part of the key, so what takes
//! a row's place is in the same partition.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use operators::model::{
    Cause, Cell, CellRef, Change, ColumnType, Epoch, Micros, Row, Status, ViewSchema,
};

use super::changelog::{CAUSE, OP};
use super::changes::{Buckets, Op, Place, Waiting, by_key, sorted};
use super::columns::{Layout, cells};
use super::delta::{EPOCH, Partition};
use super::merged::Step;
use super::view::{own_columns, unfit};
use super::{Granularity, TableError};

pub(super) const STATUS: Layout = ("_status", ColumnType::Str, false);
pub(super) const FINAL_AT: Layout = ("_final_at", ColumnType::Time, true);

pub(super) fn provisional() -> Cell {
    Cell::str(Status::Provisional.word())
}

/// A row's `final_at` as its column has it: null for at once and for never.
pub(super) fn final_cell(at: Micros) -> CellRef<'static> {
    if at == Micros::MIN || at == Micros::MAX { CellRef::Null } else { CellRef::Time(at) }
}

/// The inverse of [`final_cell`]: the status tells at once from never.
pub(super) fn final_moment(at: &Cell, state: &Cell) -> Micros {
    match at {
        Cell::Time(at) => *at,
        _ if *state == provisional() => Micros::MAX,
        _ => Micros::MIN,
    }
}

/// Lines of a changelog, in no order.
#[derive(Default)]
pub(super) struct Replayed {
    /// Their rows.
    rows: Waiting,
    /// What they say of them.
    said: Vec<(Epoch, Op)>,
}

impl Replayed {
    /// The lines: epoch, operation, cause, row.
    pub(super) fn into_lines(self) -> impl Iterator<Item = (Epoch, Op, Cause, Row)> {
        let changes = self.rows.into_changes();
        changes.zip(self.said).map(|(change, (epoch, op))| (epoch, op, change.cause, change.row))
    }

    /// Takes in the lines of a batch that are of the epochs asked for.
    pub(super) fn read(
        &mut self,
        (index, schema): (u16, &ViewSchema),
        batch: &RecordBatch,
        within: impl Fn(Epoch) -> bool,
    ) -> Result<(), TableError> {
        let column = |layout: Layout| {
            let wrong = || unfit(schema, &format!("column {} is not as it was written", layout.0));
            let array = batch.column_by_name(layout.0).ok_or_else(wrong)?;
            cells(layout.1, array).ok_or_else(wrong)
        };
        let mut own = Vec::new();
        for layout in own_columns(schema) {
            own.push(column(layout)?.into_iter());
        }
        let meta = [OP, STATUS, FINAL_AT, CAUSE];
        let [ops, states, final_at, causes] = meta.map(column);
        let meta = ops?.into_iter().zip(states?).zip(final_at?).zip(causes?);
        for (epoch, (((op, state), at), cause)) in
            column((EPOCH, ColumnType::Int, false))?.iter().zip(meta)
        {
            let cells: Vec<Cell> =
                own.iter_mut().map(|cells| cells.next().unwrap_or_default()).collect();
            let op = if let Cell::Str(word) = op { Op::from_word(&word) } else { None };
            let (Cell::Int(epoch), Some(op)) = (epoch, op) else {
                return Err(unfit(schema, "a line of the changelog has no operation or epoch"));
            };
            if within(*epoch as Epoch) {
                let final_at = final_moment(&at, &state);
                let row = Row { view: index, cells: cells.into(), final_at };
                self.said.push((*epoch as Epoch, op));
                let cause =
                    if let Cell::Str(word) = cause { Cause::from_word(&word) } else { None };
                let cause = cause.unwrap_or_default();
                self.rows.push(0, Micros::MIN, Change { row, diff: 1, cause });
            }
        }
        Ok(())
    }
}

/// What some epochs did to a key.
pub(super) struct Outcome<'a> {
    /// The last row of the key.
    row: &'a Row,
    /// Whether a row of the key stood before.
    stood: bool,
    /// Whether the row stands now.
    stands: bool,
}

impl<'a> Outcome<'a> {
    /// The same, as a step of a merge.
    pub(super) fn step(self) -> Step<'a> {
        let (goes, comes) = (usize::from(self.stood), usize::from(self.stands));
        Step { row: self.row, goes, comes, by_key: true }
    }

    /// The row that stands.
    pub(super) fn standing(&self) -> Option<&'a Row> {
        self.stands.then_some(self.row)
    }
}

/// What lines of a changelog did to each key, in order, by partition.
pub(super) fn outcomes<'a>(
    schema: &'a ViewSchema,
    granularity: Granularity,
    replayed: &'a Replayed,
) -> BTreeMap<Partition, Vec<Outcome<'a>>> {
    let Replayed { rows, said } = replayed;
    let places = sorted(schema, rows, 0);
    let mut buckets = Buckets::new(schema, granularity);
    let row = |place: &Place| rows.row(*place);
    let said = |place: &&Place| said[place.index as usize];
    let groups = places.chunk_by(|a, b| {
        let same = || a.first() == b.first() && by_key(schema, row(a), row(b)).is_eq();
        !schema.append_only && same()
    });
    for group in groups {
        let epoch = |place: &&Place| said(place).0;
        let (first, last) = (group.iter().min_by_key(epoch), group.iter().max_by_key(epoch));
        let (Some(first), Some(last)) = (first, last) else { continue };
        let (stood, stands) = (said(&first).1 != Op::Insert, said(&last).1 != Op::Delete);
        if stood || stands {
            let outcome = Outcome { row: row(last), stood, stands };
            buckets.push(*last, row(last), outcome);
        }
    }
    buckets.named()
}
