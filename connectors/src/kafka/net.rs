//! What an epoch's changes come to: for each key the row that stands after it, or a tombstone.

use std::collections::BTreeMap;

use operators::model::{Cause, Change, Micros, Row, Status};

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

/// The rows of one key.
#[derive(Default)]
struct Rows {
    come: Option<Row>,
    gone: Option<Row>,
    cause: Cause,
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
    let mut rows: BTreeMap<Row, (i64, Cause)> = BTreeMap::new();
    for change in changes {
        let entry = rows.entry(change.row).or_default();
        entry.0 += change.diff;
        entry.1 = entry.1.max(change.cause);
    }
    let mut keys: BTreeMap<(u16, Vec<u8>), Rows> = BTreeMap::new();
    for (row, (diff, cause)) in rows {
        let Some(view) = views.get(usize::from(row.view)).filter(|_| diff != 0) else { continue };
        let entry = keys.entry((row.view, view.key(&row)?)).or_default();
        entry.cause = entry.cause.max(cause);
        let place = if diff > 0 { &mut entry.come } else { &mut entry.gone };
        if let Some(other) = place.replace(row).filter(|_| diff > 0) {
            let key = String::from_utf8_lossy(&json::key(&view.schema, &other)).into_owned();
            return Err(KafkaError::Inconsistent { view: view.schema.name.to_string(), key });
        }
    }
    let outgoing = |((view, key), rows): ((u16, Vec<u8>), Rows)| {
        let value = rows.come.as_ref().map(|row| views[usize::from(view)].value(row));
        let row = rows.come.as_ref().or(rows.gone.as_ref());
        let final_at = row.map_or(Micros::MIN, |row| row.final_at);
        let passed = watermark >= final_at;
        Ok(Outgoing {
            view,
            key,
            value: value.transpose()?,
            status: if passed { Status::Final } else { Status::Provisional },
            cause: rows.cause,
            final_at: Some(final_at).filter(|at| !passed && *at < Micros::MAX),
        })
    };
    keys.into_iter().map(outgoing).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use operators::identity::testing::Seeded;
    use operators::model::{Cell, Column, ColumnType, ViewSchema};

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
