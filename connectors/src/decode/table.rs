//! The wanted fields of a Parquet row.

use std::borrow::Cow;

use arrow::array::{Array, AsArray as _, RecordBatch};
use arrow::datatypes::{
    DataType, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    SchemaRef, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use operators::model::{Micros, Reason};
use serde_json::{Map, Value as Json};

use super::raw::Raw;
use super::spec::FieldPath;

/// Where each slot is, for one schema.
#[derive(Clone, Debug)]
pub(super) struct Cells {
    schema: SchemaRef,
    /// Slots with their column, and the fields to go down from there.
    places: Vec<(usize, Vec<usize>)>,
    too_deep: bool,
}

impl Cells {
    /// Each slot is the column named as its path, or the field of that path inside a struct column.
    pub(super) fn new(schema: &SchemaRef, wanted: &[(usize, FieldPath)]) -> Self {
        let places = wanted.iter().filter_map(|(slot, path)| Some((*slot, place(schema, path)?)));
        let places = places.collect();
        let depth = schema.fields().iter().map(|field| depth(field.data_type())).max();
        let too_deep = depth.unwrap_or(0) + 1 >= Reason::MAX_DEPTH;
        Self { schema: schema.clone(), places, too_deep }
    }

    /// Whether this is for that schema.
    pub(super) fn fits(&self, schema: &SchemaRef) -> bool {
        std::sync::Arc::ptr_eq(&self.schema, schema) || self.schema == *schema
    }

    /// Whether rows of the schema are nested [`Reason::MAX_DEPTH`] deep.
    pub(super) fn too_deep(&self) -> bool {
        self.too_deep
    }

    /// Reads a row into `slots`, which are all absent before.
    pub(super) fn read<'a>(&self, batch: &'a RecordBatch, row: usize, slots: &mut [Raw<'a>]) {
        for (slot, place) in &self.places {
            let [column, below @ ..] = place.as_slice() else { continue };
            let mut array: &dyn Array = &**batch.column(*column);
            let mut there = !array.is_null(row);
            for &field in below {
                array = &**array.as_struct().column(field);
                there &= !array.is_null(row);
            }
            if there {
                slots[*slot] = cell(array, row);
            }
        }
    }
}

fn place(schema: &SchemaRef, path: &FieldPath) -> Option<Vec<usize>> {
    let name = path.column();
    let find = |name: &str| schema.fields().iter().rposition(|field| field.name() == name);
    if let Some(column) = find(&name) {
        return Some(vec![column]);
    }
    let (first, below) = path.names().split_first()?;
    let mut place = vec![find(first)?];
    let mut kind = schema.field(place[0]).data_type();
    for name in below {
        let DataType::Struct(fields) = kind else { return None };
        let field = fields.iter().rposition(|field| field.name() == name)?;
        kind = fields[field].data_type();
        place.push(field);
    }
    Some(place)
}

fn depth(kind: &DataType) -> usize {
    match kind {
        DataType::List(field)
        | DataType::LargeList(field)
        | DataType::FixedSizeList(field, _)
        | DataType::Map(field, _) => 1 + depth(field.data_type()),
        DataType::Struct(fields) => {
            1 + fields.iter().map(|field| depth(field.data_type())).max().unwrap_or(0)
        }
        _ => 0,
    }
}

/// A cell that is not null. Types that JSON has no word for (decimals, dates, binary) are the text
/// that Arrow shows.
fn cell(array: &dyn Array, row: usize) -> Raw<'_> {
    macro_rules! number {
        ($kind:ty) => {
            Raw::Int(i64::from(array.as_primitive::<$kind>().value(row)))
        };
    }
    match array.data_type() {
        DataType::Null => Raw::Absent,
        DataType::Boolean => Raw::Bool(array.as_boolean().value(row)),
        DataType::Int8 => number!(Int8Type),
        DataType::Int16 => number!(Int16Type),
        DataType::Int32 => number!(Int32Type),
        DataType::Int64 => number!(Int64Type),
        DataType::UInt8 => number!(UInt8Type),
        DataType::UInt16 => number!(UInt16Type),
        DataType::UInt32 => number!(UInt32Type),
        DataType::UInt64 => {
            let value = array.as_primitive::<UInt64Type>().value(row);
            i64::try_from(value).map_or(Raw::Uint(value), Raw::Int)
        }
        DataType::Float16 => Raw::Float(array.as_primitive::<Float16Type>().value(row).to_f64()),
        DataType::Float32 => Raw::Float(f64::from(array.as_primitive::<Float32Type>().value(row))),
        DataType::Float64 => Raw::Float(array.as_primitive::<Float64Type>().value(row)),
        DataType::Utf8 => Raw::Str(Cow::Borrowed(array.as_string::<i32>().value(row))),
        DataType::LargeUtf8 => Raw::Str(Cow::Borrowed(array.as_string::<i64>().value(row))),
        DataType::Utf8View => Raw::Str(Cow::Borrowed(array.as_string_view().value(row))),
        DataType::Timestamp(unit, zone) => match (micros(array, *unit, row), zone) {
            (None, _) => shown(array, row),
            (Some(at), Some(_)) => Raw::Instant(at),
            (Some(at), None) => Raw::Local(at),
        },
        DataType::Dictionary(..) => {
            let dictionary = array.as_any_dictionary();
            let values = dictionary.values();
            match dictionary.normalized_keys().get(row) {
                Some(&key) if !values.is_null(key) => cell(&**values, key),
                _ => Raw::Absent,
            }
        }
        DataType::Struct(_)
        | DataType::List(_)
        | DataType::LargeList(_)
        | DataType::FixedSizeList(..)
        | DataType::Map(..) => Raw::Json(Box::new(tree(array, row))),
        DataType::Decimal32(..)
        | DataType::Decimal64(..)
        | DataType::Decimal128(..)
        | DataType::Decimal256(..) => match shown(array, row) {
            // Zeros that the column's type adds say nothing.
            Raw::Field(text) if text.contains('.') => {
                Raw::Field(Cow::Owned(text.trim_end_matches('0').trim_end_matches('.').to_owned()))
            }
            other => other,
        },
        _ => shown(array, row),
    }
}

/// A timestamp in microseconds; digits below are cut off, towards the past.
fn micros(array: &dyn Array, unit: TimeUnit, row: usize) -> Option<Micros> {
    match unit {
        TimeUnit::Second => {
            array.as_primitive::<TimestampSecondType>().value(row).checked_mul(1_000_000)
        }
        TimeUnit::Millisecond => {
            array.as_primitive::<TimestampMillisecondType>().value(row).checked_mul(1000)
        }
        TimeUnit::Microsecond => Some(array.as_primitive::<TimestampMicrosecondType>().value(row)),
        TimeUnit::Nanosecond => {
            Some(array.as_primitive::<TimestampNanosecondType>().value(row).div_euclid(1000))
        }
    }
}

fn shown(array: &dyn Array, row: usize) -> Raw<'static> {
    match ArrayFormatter::try_new(array, &FormatOptions::default()) {
        Ok(formatter) => match formatter.value(row).try_to_string() {
            Ok(text) => Raw::Field(Cow::Owned(text)),
            Err(_) => Raw::Absent,
        },
        Err(_) => Raw::Absent,
    }
}

/// A cell as JSON.
fn tree(array: &dyn Array, row: usize) -> Json {
    if array.is_null(row) {
        return Json::Null;
    }
    let list = |items: &dyn Array| Json::Array((0..items.len()).map(|i| tree(items, i)).collect());
    match array.data_type() {
        DataType::Struct(fields) => {
            let columns = fields.iter().zip(array.as_struct().columns());
            Json::Object(columns.map(|(f, c)| (f.name().clone(), tree(&**c, row))).collect())
        }
        DataType::List(_) => list(&*array.as_list::<i32>().value(row)),
        DataType::LargeList(_) => list(&*array.as_list::<i64>().value(row)),
        DataType::FixedSizeList(..) => list(&*array.as_fixed_size_list().value(row)),
        DataType::Map(..) => list(&array.as_map().value(row)),
        _ => match cell(array, row) {
            Raw::Absent => Json::Null,
            Raw::Bool(b) => Json::Bool(b),
            Raw::Int(i) => Json::from(i),
            Raw::Uint(u) => Json::from(u),
            Raw::Float(f) => Json::from(f),
            Raw::Str(s) | Raw::Field(s) => Json::String(s.into_owned()),
            Raw::Json(json) => *json,
            moment => Json::String(moment.text().ok().flatten().unwrap_or_default().into_owned()),
        },
    }
}

/// A row as JSON text.
pub(super) fn row_json(batch: &RecordBatch, row: usize) -> Vec<u8> {
    let schema = batch.schema_ref();
    let columns = schema.fields().iter().zip(batch.columns());
    let fields: Map<_, _> =
        columns.map(|(field, column)| (field.name().clone(), tree(&**column, row))).collect();
    Json::Object(fields).to_string().into_bytes()
}

/// Bytes of a row that is too large, else `None`. Looked at only where the batch has as much text.
pub(super) fn too_large(batch: &RecordBatch, row: usize) -> Option<u64> {
    if batch.get_array_memory_size() < Reason::MAX_BYTES {
        return None;
    }
    let bytes: usize = batch.columns().iter().map(|column| length(&**column, row)).sum();
    (bytes >= Reason::MAX_BYTES).then_some(bytes as u64)
}

/// About how many bytes a cell takes as text.
fn length(array: &dyn Array, row: usize) -> usize {
    if array.is_null(row) {
        return 4;
    }
    let all = |items: &dyn Array| (0..items.len()).map(|i| length(items, i)).sum();
    match array.data_type() {
        DataType::Utf8 => array.as_string::<i32>().value(row).len(),
        DataType::LargeUtf8 => array.as_string::<i64>().value(row).len(),
        DataType::Utf8View => array.as_string_view().value(row).len(),
        DataType::Binary => array.as_binary::<i32>().value(row).len(),
        DataType::LargeBinary => array.as_binary::<i64>().value(row).len(),
        DataType::BinaryView => array.as_binary_view().value(row).len(),
        DataType::Struct(_) => {
            array.as_struct().columns().iter().map(|column| length(&**column, row)).sum()
        }
        DataType::List(_) => all(&*array.as_list::<i32>().value(row)),
        DataType::LargeList(_) => all(&*array.as_list::<i64>().value(row)),
        DataType::FixedSizeList(..) => all(&*array.as_fixed_size_list().value(row)),
        DataType::Map(..) => all(&array.as_map().value(row)),
        _ => 8,
    }
}
