//! Answers as text.

use std::io::Write;

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::{Schema, SchemaRef};
use arrow::json::WriterBuilder;
use arrow::json::writer::LineDelimited;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use arrow::util::pretty::pretty_format_batches;
use clap::ValueEnum;

use super::QueryError;

/// How an answer is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub enum Format {
    /// A table for the eye.
    #[default]
    Table,
    /// A JSON object for each row, each on a line.
    Json,
    /// CSV with a header.
    Csv,
}

/// Writes an answer.
pub(super) struct Writer<'a> {
    format: Format,
    out: &'a mut dyn Write,
    /// What a table is made of, for its columns are as wide as their longest value.
    batches: Vec<RecordBatch>,
}

/// A value as a field of a line of CSV.
fn field(value: &str) -> String {
    let quote = value.is_empty() || value.contains(['"', ',', '\n', '\r']);
    if quote { format!("\"{}\"", value.replace('"', "\"\"")) } else { value.to_owned() }
}

impl<'a> Writer<'a> {
    pub(super) fn new(
        format: Format,
        schema: &SchemaRef,
        out: &'a mut dyn Write,
    ) -> Result<Self, QueryError> {
        if format == Format::Csv {
            let names: Vec<String> = schema.fields().iter().map(|f| field(f.name())).collect();
            writeln!(out, "{}", names.join(",")).map_err(QueryError::write)?;
        }
        let batches = vec![RecordBatch::new_empty(SchemaRef::clone(schema))];
        Ok(Self { format, out, batches })
    }

    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<(), QueryError> {
        match self.format {
            Format::Table => self.batches.push(batch.clone()),
            Format::Json => {
                let builder = WriterBuilder::new().with_explicit_nulls(true);
                let mut writer = builder.build::<_, LineDelimited>(&mut self.out);
                writer.write(batch).and_then(|()| writer.finish()).map_err(QueryError::write)?;
            }
            Format::Csv => self.write_csv(batch)?,
        }
        Ok(())
    }

    /// Null is nothing, an empty text two quotes; lists stand in brackets.
    fn write_csv(&mut self, batch: &RecordBatch) -> Result<(), QueryError> {
        let options = FormatOptions::default();
        let columns = batch.columns().iter();
        let columns: Result<Vec<ArrayFormatter<'_>>, _> =
            columns.map(|column| ArrayFormatter::try_new(column, &options)).collect();
        let columns = columns.map_err(QueryError::write)?;
        let nulls: Vec<_> = batch.columns().iter().map(Array::logical_nulls).collect();
        for row in 0..batch.num_rows() {
            let mut fields = Vec::new();
            for (column, nulls) in columns.iter().zip(&nulls) {
                let value = || column.value(row).try_to_string().map(|value| field(&value));
                let null = nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
                fields.push(if null {
                    String::new()
                } else {
                    value().map_err(QueryError::write)?
                });
            }
            writeln!(self.out, "{}", fields.join(",")).map_err(QueryError::write)?;
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Result<(), QueryError> {
        if self.format == Format::Table && self.batches[0].schema().as_ref() != &Schema::empty() {
            let table = pretty_format_batches(&self.batches).map_err(QueryError::write)?;
            writeln!(self.out, "{table}").map_err(QueryError::write)?;
        }
        self.out.flush().map_err(QueryError::write)
    }
}
