//! How values of a registry's schemas become JSON: each schema is asked for once.

use std::collections::HashMap;

use reqwest::StatusCode;

use super::KafkaError;
use super::registry::{Missing, Reference, Registry, RegistryUrl};
use crate::avro::Schema;
use crate::protobuf::Messages;

/// Schemas that refer to others that refer to others …, at most.
const REFERENCES_MAX: usize = 200;

/// How values of a schema become JSON.
#[derive(Clone, Debug)]
pub(super) enum Reading {
    /// They are JSON.
    Json,
    /// They are Avro.
    Avro(Box<Schema>),
    /// They are Protobuf.
    Protobuf(Messages),
    /// They can't be read: why.
    Not(String),
}

/// The schemas that a registry has given.
pub(super) struct Schemas {
    registry: Registry,
    known: HashMap<u32, Reading>,
}

impl Schemas {
    /// Those of a registry; it is not asked yet.
    pub(super) fn new(what: &str, url: &RegistryUrl) -> Result<Self, KafkaError> {
        Ok(Self { registry: Registry::new(what, url)?, known: HashMap::new() })
    }

    /// Whether a schema has been asked for.
    pub(super) fn knows(&self, id: u32) -> bool {
        self.known.contains_key(&id)
    }

    /// How values of a schema are read, once it has been asked for.
    pub(super) fn known(&self, id: u32) -> Option<&Reading> {
        self.known.get(&id)
    }

    /// Asks for a schema.
    ///
    /// # Errors
    /// [`KafkaError::Unreachable`] if the registry does not answer; it may be asked again.
    pub(super) fn learn(&mut self, id: u32) -> Result<(), KafkaError> {
        let reading = self.ask(id).map_err(|cause| self.registry.unreachable(cause))?;
        self.known.insert(id, reading);
        Ok(())
    }

    fn ask(&self, id: u32) -> Result<Reading, String> {
        let Some(schema) = there(self.registry.get(&["schemas", "ids", &id.to_string()]))? else {
            return Ok(Reading::Not(format!("the registry has no schema {id}")));
        };
        Ok(match schema.schema_type.as_deref() {
            None | Some("AVRO") => {
                let others = self.others(&schema.references)?;
                let texts: Vec<String> = others.into_iter().map(|(_, text)| text).collect();
                match Schema::with(&schema.schema, &texts) {
                    Ok(schema) => Reading::Avro(Box::new(schema)),
                    Err(wrong) => Reading::Not(format!("schema {id}: {wrong}")),
                }
            }
            Some("PROTOBUF") => {
                let others = self.others(&schema.references)?;
                match Messages::parse(&schema.schema, &others) {
                    Ok(messages) => Reading::Protobuf(messages),
                    Err(wrong) => Reading::Not(format!("schema {id}: {wrong}")),
                }
            }
            Some("JSON") => Reading::Json,
            Some(other) => {
                Reading::Not(format!("schema {id} is {other}, not Avro, Protobuf or JSON"))
            }
        })
    }

    /// The names and texts of all schemas that are referred to, those first that others refer to.
    fn others(&self, references: &[Reference]) -> Result<Vec<(String, String)>, String> {
        let (mut texts, mut seen) = (Vec::new(), Vec::new());
        self.follow(references, &mut texts, &mut seen)?;
        Ok(texts)
    }

    fn follow(
        &self,
        references: &[Reference],
        texts: &mut Vec<(String, String)>,
        seen: &mut Vec<(String, u32)>,
    ) -> Result<(), String> {
        for Reference { name, subject, version } in references {
            let place = (subject.clone(), *version);
            if seen.contains(&place) || seen.len() >= REFERENCES_MAX {
                continue;
            }
            seen.push(place);
            let path = ["subjects", subject, "versions", &version.to_string()];
            // What one that isn't there would have defined is then missed by name.
            if let Some(schema) = there(self.registry.get(&path))? {
                self.follow(&schema.references, texts, seen)?;
                texts.push((name.clone(), schema.schema));
            }
        }
        Ok(())
    }
}

/// An answer, or `None` if there is no such thing.
///
/// # Errors
/// Why it has to be asked for again.
fn there<T>(answer: Result<T, Missing>) -> Result<Option<T>, String> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(Missing::Refused(StatusCode::NOT_FOUND, _)) => Ok(None),
        Err(Missing::Refused(_, said) | Missing::Later(said)) => Err(said),
    }
}
