//! Rows as JSON, as topics have them: of Arrow files, of topics, of the oracle.

use std::collections::BTreeMap;
use std::path::Path;

use arrow::array::{Array, AsArray as _};
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType};
use arrow::ipc::reader::FileReader;
use operators::model::{Cell, Row, ViewSchema};
use serde_json::{Map, Value, json};

use crate::kafka::Message;

/// Rows, with how often each stands.
pub type Rows = BTreeMap<String, usize>;

/// The rows that stand for a reader of a topic.
///
/// # Panics
/// Where the topic is no history of rows: an epoch that comes twice, a row that goes and is not
/// there.
pub fn published(messages: &[Message]) -> Rows {
    let (mut standing, mut seen) = (BTreeMap::new(), BTreeMap::new());
    for message in messages {
        let key = message.key.clone().expect("a row has a key");
        let epoch: u64 = message.header("epoch").parse().expect("an epoch");
        let before = seen.insert(key.clone(), epoch);
        assert!(before.is_none_or(|before| before < epoch), "epoch {epoch} of {key} comes twice");
        match &message.value {
            None => assert!(standing.remove(&key).is_some(), "{key} goes and is not there"),
            Some(value) => drop(standing.insert(key, value.clone())),
        }
    }
    let mut rows = Rows::new();
    for value in standing.into_values() {
        // Compared as written: reading a number and writing it again may change its last digit.
        serde_json::from_str::<Value>(&value).expect("a row is JSON");
        *rows.entry(value).or_default() += 1;
    }
    rows
}

/// Rows as they come out of the oracle.
pub fn computed<'a>(schema: &ViewSchema, rows: impl Iterator<Item = &'a Row>) -> Rows {
    let mut all = Rows::new();
    for row in rows {
        let names = schema.columns.iter().map(|column| column.name.to_owned());
        let object: Map<String, Value> =
            names.zip(row.cells.to_vec().iter().map(of_cell)).collect();
        *all.entry(Value::Object(object).to_string()).or_default() += 1;
    }
    all
}

fn of_cell(cell: &Cell) -> Value {
    match cell {
        Cell::Null | Cell::Bytes(_) => Value::Null, // payloads are not compared
        Cell::Bool(value) => json!(value),
        Cell::Int(value) => json!(value),
        Cell::Float(bits) => json!(f64::from_bits(*bits)),
        Cell::Time(at) => moment(*at),
        Cell::Id(id) => json!(id.to_string()),
        Cell::Uuid(uuid) => json!(uuid.to_string()),
        Cell::Str(text) => json!(**text),
        Cell::List(items) => items.iter().map(of_cell).collect(),
    }
}

fn moment(at: i64) -> Value {
    json!(format!("{:.6}", jiff::Timestamp::from_microsecond(at).expect("a moment")))
}

/// Some rows that only one of the two has.
pub fn difference((a, a_is): (&Rows, &str), (b, b_is): (&Rows, &str)) -> String {
    let only = |x: &Rows, y: &Rows| {
        let rows = x.iter().filter(|(row, times)| y.get(*row) != Some(times));
        rows.take(3).map(|(row, _)| row.clone()).collect::<Vec<_>>().join("\n")
    };
    format!("only {a_is}:\n{}\nonly {b_is}:\n{}", only(a, b), only(b, a))
}

/// The rows of an Arrow file, without what only tables have.
pub fn stored(path: &Path) -> Rows {
    let file = std::fs::File::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut rows = Rows::new();
    for batch in FileReader::try_new(file, None).unwrap() {
        let batch = batch.unwrap();
        let schema = batch.schema();
        for row in 0..batch.num_rows() {
            let mut object = Map::new();
            for (field, column) in schema.fields().iter().zip(batch.columns()) {
                if !field.name().starts_with('_') {
                    object.insert(field.name().clone(), cell(column, row));
                }
            }
            *rows.entry(Value::Object(object).to_string()).or_default() += 1;
        }
    }
    rows
}

fn cell(column: &dyn Array, row: usize) -> Value {
    if column.is_null(row) {
        return Value::Null;
    }
    match column.data_type() {
        DataType::Boolean => json!(column.as_boolean().value(row)),
        DataType::Int64 => json!(column.as_primitive::<Int64Type>().value(row)),
        DataType::Float64 => json!(column.as_primitive::<Float64Type>().value(row)),
        DataType::Utf8 => json!(column.as_string::<i32>().value(row)),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            moment(column.as_primitive::<TimestampMicrosecondType>().value(row))
        }
        DataType::List(_) => {
            let items = column.as_list::<i32>().value(row);
            (0..items.len()).map(|item| cell(&items, item)).collect()
        }
        DataType::Binary => Value::Null, // payloads are not compared
        other => panic!("no form for {other}"),
    }
}
