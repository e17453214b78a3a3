//! A view's topic, and how rows are written there.

use operators::model::{Row, ViewSchema};

use super::registry::{Registry, RegistryUrl, frame};
use super::{KafkaError, KafkaSinkSpec, json};
use crate::avro::{avro_schemas, write};

/// How a sink writes rows.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum RowFormat {
    /// As JSON.
    #[default]
    Json,
    /// As Avro, framed as Confluent's clients do it, with schemas that this registry keeps under
    /// `<topic>-key` and `<topic>-value`.
    Avro(RegistryUrl),
}

impl RowFormat {
    /// The registry, if there is one; it is not asked yet.
    pub(super) fn registry(&self, what: &str) -> Result<Option<Registry>, KafkaError> {
        match self {
            Self::Json => Ok(None),
            Self::Avro(url) => Registry::new(what, url).map(Some),
        }
    }
}

/// How rows are written to one topic.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Form {
    Json,
    /// The ids of the schemas of keys and of values.
    Avro {
        key: u32,
        value: u32,
    },
}

/// A view's topic.
pub(super) struct View {
    pub schema: ViewSchema,
    pub topic: String,
    pub form: Form,
}

impl View {
    /// A view's topic; registers its schemas, where there is a registry.
    ///
    /// # Errors
    /// A registry that does not answer, or refuses a schema.
    pub(super) fn new(
        spec: &KafkaSinkSpec,
        schema: &ViewSchema,
        registry: Option<&Registry>,
    ) -> Result<Self, KafkaError> {
        let topic = spec.topic(&schema.name);
        let form = match registry {
            None => Form::Json,
            Some(registry) => {
                let (key, value) = avro_schemas(schema, &spec.prefix);
                Form::Avro {
                    key: registry.register(&format!("{topic}-key"), &key.to_string())?,
                    value: registry.register(&format!("{topic}-value"), &value.to_string())?,
                }
            }
        };
        Ok(Self { schema: schema.clone(), topic, form })
    }

    /// The id of the schema of its keys; `None` if they are JSON.
    pub(super) fn key_id(&self) -> Option<u32> {
        match self.form {
            Form::Json => None,
            Form::Avro { key, .. } => Some(key),
        }
    }

    /// Writes a row's record key. Equal keys are equal bytes.
    pub(super) fn key(&self, row: &Row, out: &mut Vec<u8>) -> Result<(), KafkaError> {
        match self.form {
            Form::Json => json::key(&self.schema, row, out),
            Form::Avro { key, .. } => self.avro(key, row, true, out)?,
        }
        Ok(())
    }

    /// Writes a row as a record's value.
    pub(super) fn value(&self, row: &Row, out: &mut Vec<u8>) -> Result<(), KafkaError> {
        match self.form {
            Form::Json => json::value(&self.schema, row, out),
            Form::Avro { value, .. } => self.avro(value, row, false, out)?,
        }
        Ok(())
    }

    fn avro(
        &self,
        id: u32,
        row: &Row,
        key_only: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), KafkaError> {
        out.extend_from_slice(&frame(id));
        write(&self.schema, row, key_only, out).map_err(|column| KafkaError::NoValue {
            view: self.schema.name.to_string(),
            column: column.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use operators::identity::testing::Seeded;
    use operators::model::{Cell, CellRef, Column, ColumnType, MessageId, Token};

    use super::super::registry::unframe;
    use super::*;
    use crate::avro::Schema;

    const KINDS: [ColumnType; 9] = [
        ColumnType::Bool,
        ColumnType::Int,
        ColumnType::Float,
        ColumnType::Time,
        ColumnType::Id,
        ColumnType::Str,
        ColumnType::Bytes,
        ColumnType::StrList,
        ColumnType::TimeList,
    ];
    const NAMES: [&str; 6] = ["tenant", "a", "b", "c", "d", "e"];

    fn view(random: &mut Seeded) -> View {
        let columns = NAMES.map(|name| Column {
            name,
            kind: random.pick(&KINDS),
            nullable: random.once_in(2),
        });
        let schema = ViewSchema {
            name: Arc::from("funnel_a-b"),
            columns: columns.into(),
            key: (0..NAMES.len()).filter(|_| random.once_in(2)).collect(),
            date: None,
            append_only: false,
        };
        let form = Form::Avro { key: random.bits() as u32, value: random.bits() as u32 };
        View { schema, topic: String::new(), form }
    }

    /// Small numbers and numbers of every length.
    fn number(random: &mut Seeded) -> i64 {
        let shift = random.below(64);
        (random.bits() as i64) >> shift
    }

    fn text(random: &mut Seeded) -> String {
        if random.once_in(5) {
            return format!("{:08x}-0000-4000-8000-000000000000", random.bits() as u32);
        }
        let count = random.pick(&[0, 1, 5, 100]);
        (0..count).map(|_| random.pick(&['a', '"', '\n', 'é', '\u{10348}', '\0'])).collect()
    }

    fn cell(random: &mut Seeded, kind: ColumnType) -> Cell {
        // From year 1 to year 9999, which JSON has a form for.
        let moment = |random: &mut Seeded| {
            Cell::Time(random.below(300_000_000_000_000_000) as i64 - 60_000_000_000_000_000)
        };
        match kind {
            ColumnType::Bool => Cell::Bool(random.once_in(2)),
            ColumnType::Int => Cell::Int(number(random)),
            ColumnType::Float => Cell::float(f64::from_bits(random.bits())),
            ColumnType::Time => moment(random),
            ColumnType::Id => Cell::Id(Token(u128::from(random.bits()))),
            ColumnType::Str => MessageId::from(text(random)).as_cell().into(),
            ColumnType::Bytes => Cell::Bytes(Arc::from(text(random).as_bytes())),
            ColumnType::StrList => {
                let items = random.below(4);
                let item = |_| MessageId::from(text(random)).as_cell().into();
                Cell::List((0..items).map(item).collect())
            }
            ColumnType::TimeList => {
                let item = |random: &mut Seeded| {
                    if random.once_in(3) { Cell::Null } else { moment(random) }
                };
                Cell::List((0..random.below(4)).map(|_| item(random)).collect())
            }
        }
    }

    fn row(random: &mut Seeded, schema: &ViewSchema) -> Row {
        let cell = |column: &Column| {
            let null = column.nullable && random.once_in(3);
            if null { Cell::Null } else { cell(random, column.kind) }
        };
        let cells: Vec<Cell> = schema.columns.iter().map(cell).collect();
        Row { view: 0, cells: cells.into(), final_at: 0 }
    }

    /// Rows of any columns: read back by the schema, Avro says what JSON says.
    #[test]
    fn avro_says_what_json_says() {
        for seed in 0..500 {
            let mut random = Seeded(seed);
            let view = view(&mut random);
            let Form::Avro { key: key_id, value: value_id } = view.form else { unreachable!() };
            let (key_schema, value_schema) = avro_schemas(&view.schema, "7shop.eu-1");
            assert_eq!(value_schema["namespace"], "_7shop.eu_1");
            assert_eq!(key_schema["name"], "funnel_a_b_key");
            let read = |schema: &serde_json::Value, bytes: &[u8], id: u32| {
                let (found, body) = unframe(bytes).unwrap();
                assert_eq!(found, id, "seed {seed}");
                let mut text = Vec::new();
                let schema = Schema::parse(&schema.to_string()).unwrap();
                schema.json(body, &mut text).map(|()| String::from_utf8(text).unwrap()).unwrap()
            };
            for _ in 0..10 {
                let row = row(&mut random, &view.schema);
                // A number that is none has no place in a column that must have one.
                let (mut key, mut value) = (Vec::new(), Vec::new());
                let written = view.key(&row, &mut key).and_then(|()| view.value(&row, &mut value));
                if written.is_err() {
                    let mut cells = row.cells.iter().zip(&view.schema.columns);
                    let missing = cells.any(|(c, column)| c == CellRef::Null && !column.nullable);
                    assert!(missing, "seed {seed}");
                    continue;
                }
                let json = |write: fn(&ViewSchema, &Row, &mut Vec<u8>)| {
                    let mut out = Vec::new();
                    write(&view.schema, &row, &mut out);
                    String::from_utf8(out).unwrap()
                };
                let expected = json(json::value);
                assert_eq!(read(&value_schema, &value, value_id), expected, "seed {seed}");
                let expected = json(json::key);
                assert_eq!(read(&key_schema, &key, key_id), expected, "seed {seed}");
            }
        }
    }

    #[test]
    fn a_row_without_what_it_must_have_is_no_row() {
        let column = |name, nullable| Column { name, kind: ColumnType::Int, nullable };
        let schema = ViewSchema {
            name: Arc::from("v"),
            columns: vec![column("tenant", true), column("count", false)],
            key: vec![0],
            date: None,
            append_only: false,
        };
        let view = View { schema, topic: String::new(), form: Form::Avro { key: 1, value: 2 } };
        let row = Row { view: 0, cells: [Cell::Null, Cell::Null].into(), final_at: 0 };
        let mut out = Vec::new();
        view.key(&row, &mut out).unwrap();
        assert_eq!(out, [0, 0, 0, 0, 1, 0]);
        let error = view.value(&row, &mut out).unwrap_err().to_string();
        assert_eq!(error, "internal: v has a row without count");
    }
}
