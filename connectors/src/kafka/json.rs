//! Rows as JSON, and the schema that says so.
//!
//! | column | JSON |
//! |---|---|
//! | `Bool` | `true`, `false` |
//! | `Int` | a whole number, up to 64 bits |
//! | `Float` | a number, the shortest that reads back as the same; infinite ones as `null` |
//! | `Time` | text, RFC 3339 in UTC with six decimals: `2026-01-02T03:04:05.000006Z` |
//! | `Id` | text, 32 lower-case hexadecimal digits |
//! | `Str` | text |
//! | `Bytes` | text, Base64 (RFC 4648, padded) |
//! | `StrList`, `TimeList` | a list of such |
//!
//! A cell without a value is `null`. A moment beyond year 9999 is a number, its microseconds.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use operators::model::{CellRef, ColumnType, Micros, Row, Uuid, ViewSchema};
use serde_json::{Map, Value as Json, json};

/// Writes text with its quotes.
fn text(text: &str, out: &mut Vec<u8>) {
    // Writing to memory can't fail.
    let _ = serde_json::to_writer(out, text);
}

/// Writes text in which nothing is to be escaped, with its quotes.
fn plain(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
}

fn moment(at: Micros, out: &mut Vec<u8>) {
    // Writing to memory can't fail.
    let _ = match jiff::Timestamp::from_microsecond(at) {
        Ok(at) => write!(out, "\"{at:.6}\""),
        Err(_) => write!(out, "{at}"),
    };
}

/// Writes a cell.
fn cell(cell_: CellRef<'_>, out: &mut Vec<u8>) {
    match cell_ {
        CellRef::Null => out.extend_from_slice(b"null"),
        CellRef::Bool(value) => out.extend_from_slice(if value { b"true" } else { b"false" }),
        CellRef::Int(value) => {
            let _ = write!(out, "{value}");
        }
        CellRef::Float(bits) => {
            // Writing to memory can't fail; what is not finite is written as null.
            let _ = serde_json::to_writer(out, &f64::from_bits(bits));
        }
        CellRef::Time(at) => moment(at, out),
        CellRef::Id(token) => plain(token.hex(&mut [0; 32]), out),
        CellRef::Uuid(uuid) => plain(uuid.text(&mut [0; Uuid::TEXT]), out),
        CellRef::Str(value) => text(value, out),
        CellRef::Bytes(value) => plain(&STANDARD.encode(value), out),
        CellRef::List(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                cell(item.as_ref(), out);
            }
            out.push(b']');
        }
    }
}

fn object(schema: &ViewSchema, columns: impl Iterator<Item = usize>, row: &Row, out: &mut Vec<u8>) {
    let mut before = b'{';
    for index in columns {
        out.push(before);
        text(schema.columns[index].name, out);
        out.push(b':');
        cell(row.cells.get(index), out);
        before = b',';
    }
    if before == b'{' {
        out.push(before);
    }
    out.push(b'}');
}

/// Writes a row as a record's value: all columns, in their order.
pub(super) fn value(schema: &ViewSchema, row: &Row, out: &mut Vec<u8>) {
    object(schema, 0..schema.columns.len(), row, out);
}

/// Writes a row's record key: the key columns, in their order. Equal keys are equal bytes.
pub(super) fn key(schema: &ViewSchema, row: &Row, out: &mut Vec<u8>) {
    object(schema, schema.key.iter().copied(), row, out);
}

/// The JSON Schemas (2020-12) of a view's topic: of its keys and of its values.
pub fn json_schemas(schema: &ViewSchema) -> (Json, Json) {
    let of = |title: String, columns: &[usize]| {
        let mut properties = Map::new();
        for &index in columns {
            let column = &schema.columns[index];
            properties.insert(column.name.to_owned(), kind(column.kind, column.nullable));
        }
        let names: Vec<&str> = columns.iter().map(|&index| schema.columns[index].name).collect();
        json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": title,
            "type": "object",
            "properties": properties,
            "required": names,
            "additionalProperties": false,
        })
    };
    let all: Vec<usize> = (0..schema.columns.len()).collect();
    (of(format!("{} key", schema.name), &schema.key), of(schema.name.to_string(), &all))
}

fn kind(kind_: ColumnType, nullable: bool) -> Json {
    let moment = json!({"type": "string", "format": "date-time"});
    let (word, mut more) = match kind_ {
        ColumnType::Bool => ("boolean", json!({})),
        ColumnType::Int => ("integer", json!({})),
        ColumnType::Float => ("number", json!({})),
        ColumnType::Time => ("string", json!({"format": "date-time"})),
        ColumnType::Id => ("string", json!({"pattern": "^[0-9a-f]{32}$"})),
        ColumnType::Str => ("string", json!({})),
        ColumnType::Bytes => ("string", json!({"contentEncoding": "base64"})),
        ColumnType::StrList => ("array", json!({"items": {"type": "string"}})),
        ColumnType::TimeList => ("array", json!({"items": {"anyOf": [moment, {"type": "null"}]}})),
    };
    more["type"] = if nullable { json!([word, "null"]) } else { json!(word) };
    more
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use operators::model::{Cell, Column, Token};

    use super::*;

    fn schema(kinds: &[ColumnType]) -> ViewSchema {
        const NAMES: [&str; 9] = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];
        let columns = kinds.iter().zip(NAMES);
        ViewSchema {
            name: Arc::from("view"),
            columns: columns.map(|(&kind, name)| Column { name, kind, nullable: true }).collect(),
            key: vec![0, 1],
            date: None,
            append_only: false,
        }
    }

    fn written(
        write: fn(&ViewSchema, &Row, &mut Vec<u8>),
        schema: &ViewSchema,
        row: &Row,
    ) -> String {
        let mut out = Vec::new();
        write(schema, row, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_kind_of_cell_has_its_form() {
        use ColumnType::{Bool, Bytes, Float, Id, Int, Str, StrList, Time, TimeList};
        let schema = schema(&[Str, Int, Float, Time, Id, Bytes, StrList, TimeList, Bool]);
        let cells = vec![
            Cell::str("q\"\u{1}é"),
            Cell::Int(i64::MIN),
            Cell::float(0.1),
            Cell::Time(1_767_323_045_000_006),
            Cell::Id(Token(0xab)),
            Cell::Bytes(Arc::from([0xff_u8, 0, 1])),
            Cell::List(Arc::from([Cell::str("x"), Cell::Id(Token(1))])),
            Cell::List(Arc::from([Cell::Time(0), Cell::Null])),
            Cell::Bool(true),
        ];
        let row = Row { view: 0, cells: cells.into(), final_at: 0 };
        let text = written(value, &schema, &row);
        assert_eq!(
            text,
            "{\"a\":\"q\\\"\\u0001é\",\"b\":-9223372036854775808,\"c\":0.1,\
             \"d\":\"2026-01-02T03:04:05.000006Z\",\"e\":\"000000000000000000000000000000ab\",\
             \"f\":\"/wAB\",\"g\":[\"x\",\"00000000000000000000000000000001\"],\
             \"h\":[\"1970-01-01T00:00:00.000000Z\",null],\"i\":true}"
        );
        serde_json::from_str::<Json>(&text).unwrap();
        let text = written(key, &schema, &row);
        assert_eq!(text, "{\"a\":\"q\\\"\\u0001é\",\"b\":-9223372036854775808}");
    }

    #[test]
    fn odd_values_are_still_json() {
        let schema = schema(&[ColumnType::Float, ColumnType::Time, ColumnType::Str]);
        let cells = vec![Cell::float(f64::INFINITY), Cell::Time(Micros::MAX)];
        let row = Row { view: 0, cells: cells.into(), final_at: 0 };
        let text = written(value, &schema, &row);
        assert_eq!(text, "{\"a\":null,\"b\":9223372036854775807,\"c\":null}");
    }

    #[test]
    fn schemas_name_what_is_there() {
        let (key, value) = json_schemas(&schema(&[ColumnType::Str, ColumnType::Int]));
        assert_eq!(key["required"], json!(["a", "b"]));
        assert_eq!(value["properties"]["b"], json!({"type": ["integer", "null"]}));
    }
}
