//! What an epoch's changes come to: for each key the row that stands after it, or a tombstone.

use std::ops::Range;

use operators::model::{Cause, Change, Micros, Status};

use super::view::View;
use super::{KafkaError, json};

/// A record that is to be written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Outgoing {
    pub view: u16,
    pub key: Vec<u8>,
    /// The row, or `None` if none stands.
    pub value: Option<Vec<u8>>,
    pub status: Status,
    pub cause: Cause,
    /// When a provisional row becomes final.
    pub final_at: Option<Micros>,
}

impl Outgoing {
    /// Bytes of key and value.
    pub(super) fn bytes(&self) -> usize {
        self.key.len() + self.value.as_ref().map_or(0, Vec::len)
    }
}

/// A change with its key, which stands in a list of all keys.
struct Keyed {
    key: Range<usize>,
    change: Change,
}

/// The records of an epoch, by view and key.
///
/// # Errors
/// [`KafkaError::Inconsistent`] if two rows of one key come, [`KafkaError::NoValue`] if one can't
/// be written.
pub(super) fn net(
    views: &[View],
    changes: Vec<Change>,
    watermark: Micros,
) -> Result<Vec<Outgoing>, KafkaError> {
    let (mut keys, mut keyed) = (Vec::new(), Vec::with_capacity(changes.len()));
    for change in changes {
        let Some(view) = views.get(usize::from(change.row.view)) else { continue };
        let begin = keys.len();
        view.key(&change.row, &mut keys)?;
        keyed.push(Keyed { key: begin..keys.len(), change });
    }
    // Most keys have one row that goes and one that comes: rows are compared only then.
    let key = |keyed: &Keyed| (keyed.change.row.view, &keys[keyed.key.clone()]);
    keyed
        .sort_unstable_by(|a, b| key(a).cmp(&key(b)).then_with(|| a.change.row.cmp(&b.change.row)));
    let (mut records, mut value) = (Vec::new(), Vec::new());
    for of_key in keyed.chunk_by(|a, b| key(a) == key(b)) {
        let (view, key) = key(&of_key[0]);
        let place = (view, key, &views[usize::from(view)]);
        records.extend(record(place, of_key, watermark, &mut value)?);
    }
    Ok(records)
}

/// What the changes of one key come to, equal rows being beside each other; `None` if to nothing.
/// In `value` values are written.
fn record(
    (place, key, view): (u16, &[u8], &View),
    changes: &[Keyed],
    watermark: Micros,
    value: &mut Vec<u8>,
) -> Result<Option<Outgoing>, KafkaError> {
    let (mut come, mut gone, mut cause) = (None, None, Cause::default());
    for same in changes.chunk_by(|a, b| a.change.row == b.change.row) {
        let row = &same[0].change.row;
        let diff: i64 = same.iter().map(|keyed| keyed.change.diff).sum();
        if diff == 0 {
            continue;
        }
        cause = same.iter().map(|keyed| keyed.change.cause).fold(cause, Cause::max);
        if diff < 0 {
            gone = Some(row);
        } else if come.replace(row).is_some() {
            let mut key = Vec::new();
            json::key(&view.schema, row, &mut key);
            let key = String::from_utf8_lossy(&key).into_owned();
            return Err(KafkaError::Inconsistent { view: view.schema.name.to_string(), key });
        }
    }
    let Some(final_at) = come.or(gone).map(|row| row.final_at) else { return Ok(None) };
    let passed = watermark >= final_at;
    value.clear();
    if let Some(row) = come {
        view.value(row, value)?;
    }
    Ok(Some(Outgoing {
        view: place,
        key: key.to_vec(),
        value: come.map(|_| value.clone()),
        status: if passed { Status::Final } else { Status::Provisional },
        cause,
        final_at: Some(final_at).filter(|at| !passed && *at < Micros::MAX),
    }))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use operators::identity::testing::Seeded;
    use operators::model::{Cell, Column, ColumnType, Row, ViewSchema};

    use super::super::view::Form;
    use super::*;

    fn view() -> View {
        let column = |name, kind| Column { name, kind, nullable: false };
        let columns = vec![column("tenant", ColumnType::Int), column("value", ColumnType::Int)];
        let name = Arc::from("v");
        let schema = ViewSchema { name, columns, key: vec![0], date: None, append_only: false };
        View { schema, topic: "p.v".to_owned(), form: Form::Json }
    }

    fn change(key: i64, value: i64, diff: i64, cause: Cause) -> Change {
        let cells = [Cell::Int(key), Cell::Int(value)].into();
        Change { row: Row { view: 0, cells, final_at: 10 }, diff, cause }
    }

    /// Records applied one after the other give the rows that the changes give, whatever came and
    /// went on the way, and whatever the changes' order.
    #[test]
    fn records_give_the_rows_that_stand() {
        for seed in 0..300 {
            let mut random = Seeded(seed);
            let (mut standing, mut read) = (BTreeMap::new(), BTreeMap::new());
            for _ in 0..8 {
                let (mut changes, mut touched) = (Vec::new(), BTreeMap::new());
                for _ in 0..random.below(12) {
                    let key = random.below(4) as i64;
                    let value = random.below(3) as i64;
                    let cause = random.pick(&[Cause::New, Cause::Late, Cause::Merge]);
                    let strongest = touched.entry(key).or_insert(cause);
                    *strongest = cause.max(*strongest);
                    if let Some(old) = standing.remove(&key) {
                        changes.push(change(key, old, -1, cause));
                    }
                    if !random.once_in(3) {
                        standing.insert(key, value);
                        changes.push(change(key, value, 1, cause));
                    }
                }
                for index in (1..changes.len()).rev() {
                    changes.swap(index, random.below(index as u64 + 1) as usize);
                }
                for record in net(&[view()], changes, 5).unwrap() {
                    let key: serde_json::Value = serde_json::from_slice(&record.key).unwrap();
                    let key = key["tenant"].as_i64().unwrap();
                    assert!(record.cause <= touched[&key], "seed {seed}");
                    assert_eq!((record.status, record.final_at), (Status::Provisional, Some(10)));
                    match record.value {
                        None => assert!(read.remove(&key).is_some(), "seed {seed}: nothing to go"),
                        Some(value) => {
                            let row: serde_json::Value = serde_json::from_slice(&value).unwrap();
                            read.insert(key, row["value"].as_i64().unwrap());
                        }
                    }
                }
                assert_eq!(read, standing, "seed {seed}");
            }
        }
    }

    #[test]
    fn two_rows_of_a_key_are_refused() {
        let changes = vec![change(1, 1, 1, Cause::New), change(1, 2, 1, Cause::New)];
        let error = net(&[view()], changes, 99).unwrap_err();
        assert_eq!(error.to_string(), "internal: v has two rows of the key {\"tenant\":1}");
        // The same row twice is one record.
        let changes = vec![change(1, 1, 2, Cause::New)];
        let records = net(&[view()], changes, 99).unwrap();
        assert_eq!(
            (records.len(), records[0].status, records[0].final_at),
            (1, Status::Final, None)
        );
    }
}
