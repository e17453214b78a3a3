//! A view's changelog: every change, appended; and read again by what lags behind it.

use std::path::Path;
use std::sync::Arc;

use operators::model::{CellRef, ColumnType, Epoch, ViewSchema};
use tokio::runtime::Runtime;

use super::changes::{Logged, Place, Waiting, changelog};
use super::columns::Layout;
use super::delta::{Delta, EPOCH, TableLayout};
use super::encode::{Encoded, encode};
use super::replayed::{FINAL_AT, Replayed, STATUS, final_cell};
use super::view::{own_columns, unfit, unique_columns};
use super::{TableError, TableOptions, Written};

/// What a change does.
pub(super) const OP: Layout = ("_op", ColumnType::Str, false);

/// Why.
pub(super) const CAUSE: Layout = ("_cause", ColumnType::Str, true);

/// Rows in a file at most.
const CHANGES_PER_FILE: usize = 1_000_000;
/// When the rows of a file have taken so many bytes in memory, it ends. But for payloads, so many
/// rows take less.
const BYTES_PER_FILE: usize = 1 << 30;

/// The changelog of a view.
pub(super) struct Changelog {
    schema: Arc<ViewSchema>,
    table: Delta,
    /// Hash of the job.
    job: String,
}

pub(super) fn columns(schema: &ViewSchema) -> Vec<Layout> {
    let meta = [
        OP,
        (EPOCH, ColumnType::Int, false),
        STATUS,
        FINAL_AT,
        CAUSE,
        ("_job", ColumnType::Str, false),
    ];
    own_columns(schema).chain(meta).collect()
}

/// Lines in parts of so many, and of fewer where their rows take so many bytes.
fn cut<'l, 'a>(
    lines: &'l [Logged<'a>],
    (rows, bytes): (usize, usize),
) -> impl Iterator<Item = &'l [Logged<'a>]> {
    let mut rest = lines;
    std::iter::from_fn(move || {
        let mut left = bytes;
        let ends = |line: &Logged<'_>| {
            left = left.saturating_sub(line.row.bytes());
            left == 0
        };
        let end = rest.iter().take(rows).position(ends).map_or(rows, |last| last + 1);
        let (part, later) = rest.split_at(end.min(rest.len()));
        rest = later;
        (!part.is_empty()).then_some(part)
    })
}

impl Changelog {
    /// Opens `<out>/changelog/<view>`.
    pub(super) fn open(
        runtime: &Runtime,
        out: &Path,
        schema: &Arc<ViewSchema>,
        options: &TableOptions,
    ) -> Result<Self, TableError> {
        let name = &*schema.name;
        let app = format!("{}/changelog/{name}", options.job);
        let plain = unique_columns(schema);
        let layout = TableLayout { columns: columns(schema), partition_by: Vec::new(), plain };
        let table = Delta::open_own(runtime, &out.join("changelog").join(name), &app, layout)?;
        Ok(Self { schema: Arc::clone(schema), table, job: options.job_hash.clone() })
    }

    /// Whether a commit up to an epoch is news.
    pub(super) fn is_behind(&self, upto: Epoch) -> bool {
        self.table.is_behind(upto)
    }

    /// The epoch up to which it is complete.
    pub(super) fn committed(&self) -> Option<Epoch> {
        self.table.committed()
    }

    /// Makes it complete up to an epoch; `sorted` has the places of what waits.
    pub(super) fn commit(
        &mut self,
        runtime: &Runtime,
        upto: Epoch,
        (waiting, sorted): (&Waiting, &[Place]),
        written: &mut Written,
    ) -> Result<(), TableError> {
        let new = waiting.after(self.table.committed(), sorted);
        let lines = changelog(&self.schema, waiting, &new);
        written.rows_changelog += lines.len() as u64;
        let mut files = Vec::new();
        for lines in cut(&lines, (CHANGES_PER_FILE, BYTES_PER_FILE)) {
            if let (Some(first), Some(last)) = (lines.first(), lines.last()) {
                files.push((self.encoded(lines)?, (first.epoch, last.epoch)));
            }
        }
        self.table.append(runtime, upto, &files, written)
    }

    /// Writes down that it is complete up to an epoch in which nothing happened to it.
    pub(super) fn settle(
        &mut self,
        runtime: &Runtime,
        upto: Option<Epoch>,
    ) -> Result<(), TableError> {
        match upto.filter(|upto| self.is_behind(*upto)) {
            Some(upto) => self.table.append(runtime, upto, &[], &mut Written::default()),
            None => Ok(()),
        }
    }

    /// The changes of the epochs after `after` and up to `upto`, to which it is complete; `index`
    /// is the view's place in the job's list.
    pub(super) fn since(
        &self,
        index: u16,
        after: Option<Epoch>,
        upto: Epoch,
    ) -> Result<Replayed, TableError> {
        let mut replayed = Replayed::default();
        let within = |epoch| Some(epoch) > after && epoch <= upto;
        self.table.read_epochs(after, upto, |batch| {
            replayed.read((index, &self.schema), batch, within)
        })?;
        Ok(replayed)
    }

    fn encoded(&self, lines: &[Logged<'_>]) -> Result<Encoded, TableError> {
        let own = self.schema.columns.len();
        let columns = columns(&self.schema);
        let layout = (columns.as_slice(), self.table.plain());
        let encoded = encode(layout, lines, |line, place| match place.checked_sub(own) {
            Some(0) => CellRef::Str(line.op.word()),
            Some(1) => CellRef::Int(line.epoch as i64),
            Some(2) => CellRef::Str(line.status.word()),
            Some(3) => final_cell(line.row.final_at),
            Some(4) => line.cause.word().map_or(CellRef::Null, CellRef::Str),
            Some(_) => CellRef::Str(&self.job),
            None => line.row.cells.get(place),
        });
        encoded.map_err(|e| unfit(&self.schema, &e.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use operators::model::{Cause, Cell, Row, Status};

    use super::super::changes::Op;
    use super::*;

    #[test]
    fn files_are_bounded_by_rows_and_bytes() {
        let row = |payload: usize| {
            let cells = [Cell::Int(payload as i64), Cell::Bytes(vec![0; payload].into())];
            Row { view: 0, cells: cells.into(), final_at: 0 }
        };
        let rows = [1, 1, 1, 9000, 1, 5000, 5000, 1, 20_000, 1].map(row);
        let line = |row| {
            let (op, status, cause) = (Op::Insert, Status::Final, Cause::New);
            Logged { row, op, epoch: 1, status, cause }
        };
        let lines: Vec<Logged<'_>> = rows.iter().map(line).collect();
        let sizes = |limits| cut(&lines, limits).map(<[_]>::len).collect::<Vec<_>>();
        assert_eq!(sizes((100, usize::MAX)), [10]);
        assert_eq!(sizes((4, usize::MAX)), [4, 4, 2]);
        assert_eq!(sizes((100, 9000)), [4, 3, 2, 1]);
        assert_eq!(sizes((3, 9000)), [3, 1, 3, 2, 1]);
        assert_eq!(sizes((3, 1)), [1; 10]);
    }
}
