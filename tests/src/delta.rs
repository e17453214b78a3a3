//! Reads a Delta table by the letter of its protocol: no code shared with what wrote it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, AsArray as _};
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType};
use operators::model::Cell;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;

/// The rows of a table, sorted. Ids are text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Table {
    /// Names of the columns.
    pub columns: Vec<String>,
    /// The rows.
    pub rows: Vec<Vec<Cell>>,
}

impl Table {
    /// Place of a column.
    pub fn place(&self, column: &str) -> usize {
        let found = self.columns.iter().position(|c| c == column);
        found.unwrap_or_else(|| panic!("no column {column} in {:?}", self.columns))
    }

    /// These columns of each row, sorted.
    pub fn select(&self, columns: &[&str]) -> Vec<Vec<Cell>> {
        let places: Vec<usize> = columns.iter().map(|c| self.place(c)).collect();
        let row = |row: &Vec<Cell>| places.iter().map(|&p| row[p].clone()).collect();
        let mut rows: Vec<Vec<Cell>> = self.rows.iter().map(row).collect();
        rows.sort_unstable();
        rows
    }

    /// One column, in the order of the rows.
    pub fn column(&self, column: &str) -> Vec<Cell> {
        let place = self.place(column);
        self.rows.iter().map(|row| row[place].clone()).collect()
    }
}

/// What a table's log says.
#[derive(Default)]
struct Log {
    columns: Vec<String>,
    /// Path and partition values of each file.
    files: BTreeMap<String, Value>,
}

fn log(table: &Path) -> Log {
    let mut names: Vec<_> = fs::read_dir(table.join("_delta_log"))
        .unwrap_or_else(|e| panic!("{}: {e}", table.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "json"))
        .collect();
    names.sort_unstable();
    let mut log = Log::default();
    for (version, path) in names.iter().enumerate() {
        let expected = format!("{version:020}.json");
        assert_eq!(path.file_name().unwrap().to_str(), Some(&*expected), "no version is missing");
        for line in fs::read_to_string(path).unwrap().lines() {
            let action: Value = serde_json::from_str(line).unwrap();
            if let Some(add) = action.get("add") {
                log.files.insert(decoded(&add["path"]), add["partitionValues"].clone());
            } else if let Some(remove) = action.get("remove") {
                let path = decoded(&remove["path"]);
                assert!(log.files.remove(&path).is_some(), "{path} goes that is not there");
            } else if let Some(schema) = action.pointer("/metaData/schemaString") {
                let schema: Value = serde_json::from_str(schema.as_str().unwrap()).unwrap();
                let fields = schema["fields"].as_array().unwrap();
                let names = fields.iter().map(|f| f["name"].as_str().unwrap().to_owned());
                log.columns = names.collect();
            }
        }
    }
    log
}

/// A path of the log, which is written as a URL is.
fn decoded(path: &Value) -> String {
    let mut bytes = Vec::new();
    let mut rest = path.as_str().unwrap().as_bytes();
    while let [first, tail @ ..] = rest {
        if let (b'%', [high, low, tail @ ..]) = (first, tail) {
            let digits = [*high, *low];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
            rest = tail;
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8(bytes).unwrap()
}

/// Names and bytes of a table's files.
pub fn files(table: &Path) -> BTreeMap<String, Vec<u8>> {
    let names = log(table).files.into_keys();
    names.map(|name| (name.clone(), fs::read(table.join(name)).unwrap())).collect()
}

/// Reads a table's rows.
pub fn read(table: &Path) -> Table {
    let log = log(table);
    let mut rows = Vec::new();
    for (path, partition) in &log.files {
        let file = File::open(table.join(path)).unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
        for batch in reader {
            let batch = batch.unwrap();
            let columns: Vec<Vec<Cell>> = log
                .columns
                .iter()
                .map(|name| match (batch.column_by_name(name), partition[name].as_str()) {
                    (Some(array), _) => cells(array),
                    (None, Some(value)) => vec![Cell::str(value); batch.num_rows()],
                    (None, None) => panic!("{path} has no {name}"),
                })
                .collect();
            let row = |row: usize| columns.iter().map(|column| column[row].clone()).collect();
            rows.extend((0..batch.num_rows()).map(row));
        }
    }
    rows.sort_unstable();
    Table { columns: log.columns, rows }
}

/// An array as cells; every type that design and catalog know.
///
/// # Panics
/// With another type.
pub fn cells(array: &Arc<dyn Array>) -> Vec<Cell> {
    let filled = |place: usize| !array.is_null(place);
    let one = |place: usize| match array.data_type() {
        DataType::Boolean => Cell::Bool(array.as_boolean().value(place)),
        DataType::Int64 => Cell::Int(array.as_primitive::<Int64Type>().value(place)),
        DataType::Float64 => {
            Cell::Float(array.as_primitive::<Float64Type>().value(place).to_bits())
        }
        DataType::Timestamp(TimeUnit::Microsecond, Some(zone)) if **zone == *"UTC" => {
            Cell::Time(array.as_primitive::<TimestampMicrosecondType>().value(place))
        }
        DataType::Utf8 => Cell::str(array.as_string::<i32>().value(place)),
        DataType::Binary => Cell::Bytes(array.as_binary::<i32>().value(place).into()),
        DataType::List(_) => Cell::List(cells(&array.as_list::<i32>().value(place)).into()),
        other => panic!("no column has the type {other}"),
    };
    (0..array.len()).map(|place| if filled(place) { one(place) } else { Cell::Null }).collect()
}
