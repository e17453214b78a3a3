//! Rows that no person has: dead letters, duplicates, identity changes.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use foldhash::fast::FixedState;

use super::Job;
use crate::bytes;
use crate::dedup::Recount;
use crate::identity::IdChange;
use crate::model::{
    Cause, Cell, Cells, Change, DeadLetter, Epoch, Event, Micros, Reason, Row, Token,
};

/// A dead letter as a row, if the job has a table of them.
pub(super) fn letter(job: &Job, letter: DeadLetter) -> Option<Change> {
    let view = job.catalog.built_in.dead_letters?;
    let source = job.sources.get(usize::from(letter.origin.source));
    let row = Row {
        view,
        cells: Cells::from([
            Cell::Str(letter.tenant),
            source.map_or_else(|| Cell::str(""), |name| Cell::Str(Arc::clone(name))),
            Cell::Int(i64::from(letter.origin.partition)),
            Cell::Int(letter.origin.offset as i64),
            Cell::str(letter.reason.word()),
            Cell::str(&letter.detail),
            Cell::Bytes(letter.payload.into()),
        ]),
        final_at: Micros::MIN,
    };
    Some(Change { row, diff: 1, cause: Cause::New })
}

/// The dead letter of an event that is refused after it was decoded, as too late for the watermark
/// `mark` or too early for its receipt at `mark`. Its payload is what identifies the record; the
/// bytes stand at the origin.
pub fn refused(event: &Event, reason: Reason, mark: Micros) -> DeadLetter {
    let (at, mark) = (moment(event.key.time), moment(mark));
    let detail = match reason {
        Reason::TooEarly => {
            format!("its time {at} is ahead of its receipt {mark} by over `future`")
        }
        _ => format!("its time {at} is behind the watermark {mark} by over `admit`"),
    };
    let payload = format!(
        "messageId={} event={} channel={} time_us={}",
        event.message_id, event.kind.name, event.kind.channel, event.key.time
    );
    DeadLetter {
        tenant: Arc::clone(&event.kind.tenant),
        origin: event.origin,
        reason,
        detail: detail.into(),
        payload: payload.into_bytes().into(),
    }
}

/// A moment for a person.
fn moment(at: Micros) -> String {
    jiff::Timestamp::from_microsecond(at).map_or_else(|_| at.to_string(), |t| t.to_string())
}

fn duplicate(view: u16, event: &Event, cause: &str, copies: u64, final_at: Micros) -> Row {
    Row {
        view,
        cells: Cells::from([
            Cell::Str(Arc::clone(&event.kind.tenant)),
            event.message_id.as_cell().into(),
            Cell::str(cause),
            Cell::Int(copies as i64),
        ]),
        final_at,
    }
}

/// What changes in the table of duplicates.
pub(super) fn duplicates(view: u16, recount: &Recount) -> Vec<Change> {
    let pairs = [
        ("redelivered", recount.before.redelivered, recount.after.redelivered),
        ("re-stamped", recount.before.restamped, recount.after.restamped),
    ];
    let mut changes = Vec::new();
    for (word, before, after) in pairs {
        for (copies, diff) in [(before, -1), (after, 1)] {
            if before != after && copies > 0 {
                let row = duplicate(view, &recount.event, word, copies, Micros::MAX);
                changes.push(Change { row, diff, cause: recount.cause });
            }
        }
    }
    changes
}

/// How many events of each message id are shadowed, for the table of duplicates: copies further
/// apart than `ids` are events of their own, and one row tells of all. Ids without are not held.
#[derive(Debug, Default)]
pub(super) struct Hidden(HashMap<(u64, u128), u64, FixedState>);

impl Hidden {
    /// Memory that is held, in bytes, about.
    pub(super) fn bytes(&self) -> usize {
        bytes::map(self.0.capacity(), size_of::<((u64, u128), u64)>())
    }

    /// What changes in the table after events began (true) and ceased to be shadowed.
    pub(super) fn update<'a>(
        &mut self,
        view: u16,
        list: impl Iterator<Item = (&'a Arc<Event>, bool)>,
    ) -> Vec<Change> {
        let mut moved: BTreeMap<(u64, u128), (&Arc<Event>, i64)> = BTreeMap::new();
        for (event, shadowed) in list {
            let id = (event.kind.tenant_number(), event.key.id);
            moved.entry(id).or_insert((event, 0)).1 += if shadowed { 1 } else { -1 };
        }
        let mut changes = Vec::new();
        for (id, (event, more)) in moved {
            let before = self.0.remove(&id).unwrap_or(0);
            let after = before.saturating_add_signed(more);
            if after > 0 {
                self.0.insert(id, after);
            }
            for (copies, diff) in [(before, -1), (after, 1)] {
                if before != after && copies > 0 {
                    let row = duplicate(view, event, "shadowed", copies, Micros::MAX);
                    changes.push(Change { row, diff, cause: Cause::New });
                }
            }
        }
        changes
    }
}

/// A merge or split in the table of identity changes.
pub(super) fn id_change(
    view: u16,
    tenant: &Arc<str>,
    change: &IdChange,
    by: Option<&Arc<Event>>,
    epoch: Epoch,
) -> Change {
    let message = match by {
        Some(event) => event.message_id.as_cell().into(),
        None => Cell::Str(Token(change.by.id).to_string().into()),
    };
    let kind = if change.kind == Cause::Merge { "merge" } else { "split" };
    let row = Row {
        view,
        cells: Cells::from([
            Cell::Str(Arc::clone(tenant)),
            Cell::Id(change.from),
            Cell::Id(change.to),
            Cell::str(kind),
            Cell::Int(epoch as i64),
            change.kind.word().map_or(Cell::Null, Cell::str),
            message,
        ]),
        final_at: Micros::MIN,
    };
    Change { row, diff: 1, cause: change.kind }
}
