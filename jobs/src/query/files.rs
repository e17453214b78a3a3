//! The files of the sources: what `partition` stands for where records are of files.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use connectors::bindings::Binding;
use operators::model::Epoch;

use super::QueryError;
use crate::runtime::{Plan, peek};

/// The columns of the table.
pub(super) fn schema() -> SchemaRef {
    let field = |name, kind| Field::new(name, kind, false);
    Arc::new(Schema::new(vec![
        field("source", DataType::Utf8),
        field("partition", DataType::Int64),
        field("path", DataType::Utf8),
    ]))
}

/// The files of each source, in its order, that a job has listed up to an epoch.
///
/// # Errors
///
/// The bindings can't be read.
pub(super) fn rows(plan: &Plan, upto: Option<Epoch>) -> Result<RecordBatch, QueryError> {
    let within = |binding: &&Binding| upto.is_none_or(|upto| binding.epoch <= upto);
    let (mut sources, mut partitions, mut paths) = (Vec::new(), Vec::new(), Vec::new());
    let mut listed = vec![0; plan.sources.len()];
    let bindings = peek(plan)?;
    for (source, entry) in bindings.iter().filter(within).flat_map(|binding| &binding.files) {
        let place = usize::from(*source);
        let Some(of) = plan.sources.get(place) else { continue };
        let Some(spec) = of.records.files() else { continue };
        sources.push(&*of.name);
        partitions.push(listed[place]);
        paths.push(spec.base.join(&entry.path).display().to_string());
        listed[place] += 1;
    }
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(sources)),
        Arc::new(Int64Array::from(partitions)),
        Arc::new(StringArray::from(paths)),
    ];
    RecordBatch::try_new(schema(), columns).map_err(|e| QueryError::Run(e.to_string()))
}
