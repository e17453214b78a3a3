//! Rows as Avro, and the schemas that say so.
//!
//! | column | Avro |
//! |---|---|
//! | `Bool`, `Int`, `Float` | `boolean`, `long`, `double` |
//! | `Time` | `long`, `timestamp-micros` |
//! | `Id` | `string`, 32 lower-case hexadecimal digits |
//! | `Str`, `Bytes` | `string`, `bytes` |
//! | `StrList` | an array of `string` |
//! | `TimeList` | an array of unions of `null` and `timestamp-micros` |
//!
//! A column that may be null is a union of `null` and its type with the default `null`: so that one
//! can be added, or left out, and readers of either schema read both.

use operators::model::{CellRef, ColumnType, Row, Uuid, ViewSchema};
use serde_json::{Map, Value as Json, json};

/// The schemas of a view's rows: of their keys and of their values. They are records named after
/// the view, in a namespace that is the prefix of the topics.
pub fn avro_schemas(schema: &ViewSchema, prefix: &str) -> (Json, Json) {
    let namespace: Vec<String> =
        prefix.split('.').filter(|part| !part.is_empty()).map(word).collect();
    let of = |name: String, columns: &[usize]| {
        let fields: Vec<Json> = columns.iter().map(|&index| field(schema, index)).collect();
        let mut record = Map::new();
        record.insert("type".to_owned(), json!("record"));
        record.insert("name".to_owned(), json!(name));
        record.insert("namespace".to_owned(), json!(namespace.join(".")));
        record.insert("fields".to_owned(), Json::Array(fields));
        Json::Object(record)
    };
    let all: Vec<usize> = (0..schema.columns.len()).collect();
    let name = word(&schema.name);
    (of(format!("{name}_key"), &schema.key), of(name, &all))
}

/// A name as Avro allows it: letters, digits and `_`, no digit first.
fn word(text: &str) -> String {
    let first = text.starts_with(|c: char| c.is_ascii_digit()).then_some('_');
    let fits = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    first.into_iter().chain(text.chars().map(fits)).collect()
}

fn field(schema: &ViewSchema, index: usize) -> Json {
    let column = &schema.columns[index];
    let time = json!({"type": "long", "logicalType": "timestamp-micros"});
    let kind = match column.kind {
        ColumnType::Bool => json!("boolean"),
        ColumnType::Int => json!("long"),
        ColumnType::Float => json!("double"),
        ColumnType::Time => time,
        ColumnType::Id | ColumnType::Str => json!("string"),
        ColumnType::Bytes => json!("bytes"),
        ColumnType::StrList => json!({"type": "array", "items": "string"}),
        ColumnType::TimeList => json!({"type": "array", "items": ["null", time]}),
    };
    if column.nullable {
        json!({"name": column.name, "type": ["null", kind], "default": null})
    } else {
        json!({"name": column.name, "type": kind})
    }
}

/// Writes a row behind what is in `out`: the columns of its key alone, or all of them.
///
/// # Errors
/// The name of a column that must have a value and has none.
pub(crate) fn write(
    schema: &ViewSchema,
    row: &Row,
    key_only: bool,
    out: &mut Vec<u8>,
) -> Result<(), &'static str> {
    let mut column = |index: usize| {
        let column = &schema.columns[index];
        let cell = row.cells.get(index);
        let from = out.len();
        if column.nullable {
            int(1, out);
        }
        let there = value(column.kind, cell, out);
        if !there && column.nullable {
            out.truncate(from);
            int(0, out);
        }
        if there || column.nullable { Ok(()) } else { Err(column.name) }
    };
    if key_only {
        schema.key.iter().copied().try_for_each(column)
    } else {
        (0..schema.columns.len()).try_for_each(&mut column)
    }
}

/// Writes a value; says whether there is one of this type.
fn value(kind: ColumnType, cell: CellRef<'_>, out: &mut Vec<u8>) -> bool {
    match (kind, cell) {
        (ColumnType::Bool, CellRef::Bool(value)) => out.push(u8::from(value)),
        (ColumnType::Int, CellRef::Int(value)) | (ColumnType::Time, CellRef::Time(value)) => {
            int(value, out);
        }
        (ColumnType::Float, CellRef::Float(bits)) => out.extend_from_slice(&bits.to_le_bytes()),
        (ColumnType::Id | ColumnType::Str, CellRef::Str(text)) => bytes(text.as_bytes(), out),
        (ColumnType::Id | ColumnType::Str, CellRef::Uuid(uuid)) => {
            bytes(uuid.text(&mut [0; Uuid::TEXT]).as_bytes(), out);
        }
        (ColumnType::Id | ColumnType::Str, CellRef::Id(id)) => {
            bytes(id.to_string().as_bytes(), out);
        }
        (ColumnType::Bytes, CellRef::Bytes(value)) => bytes(value, out),
        (ColumnType::StrList | ColumnType::TimeList, CellRef::List(items)) => {
            if !items.is_empty() {
                int(items.len() as i64, out);
            }
            for item in items {
                let there = match kind {
                    ColumnType::StrList => value(ColumnType::Str, item.as_ref(), out),
                    _ => moment_or_null(item.as_ref(), out),
                };
                if !there {
                    return false;
                }
            }
            // A block of none is the end.
            int(0, out);
        }
        _ => return false,
    }
    true
}

fn moment_or_null(cell: CellRef<'_>, out: &mut Vec<u8>) -> bool {
    int(i64::from(cell != CellRef::Null), out);
    cell == CellRef::Null || value(ColumnType::Time, cell, out)
}

/// A whole number: zigzag, seven bits in a byte.
fn int(value: i64, out: &mut Vec<u8>) {
    let mut bits = (value << 1 ^ value >> 63) as u64;
    while bits >= 0x80 {
        out.push(bits as u8 | 0x80);
        bits >>= 7;
    }
    out.push(bits as u8);
}

fn bytes(value: &[u8], out: &mut Vec<u8>) {
    int(value.len() as i64, out);
    out.extend_from_slice(value);
}
