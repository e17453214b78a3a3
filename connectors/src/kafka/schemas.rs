//! How values of a registry's schemas become JSON: each schema is asked for until there is an
//! answer. That it does not exist is one only after a while: a schema that was registered a moment
//! ago may be known to another of the registry's servers alone.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use reqwest::StatusCode;

use super::KafkaError;
use super::registry::{Missing, Reference, Registry, RegistryUrl};
use crate::avro::Schema;
use crate::protobuf::Messages;

/// Schemas that refer to others that refer to others …, at most.
const REFERENCES_MAX: usize = 200;
/// After a schema has been waited for in vain, others are not waited for, for so long: values that
/// only look as if they had one must not hold up all that follow. Then it is asked for again.
const IN_VAIN: Duration = Duration::from_millis(if cfg!(test) { 500 } else { 60_000 });

/// Schemas that are not there and are remembered at most: values that only look as if they had one
/// may name as many as there are numbers.
const MISSING_MAX: usize = if cfg!(test) { 3 } else { 4096 };

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
    /// They can't be read, because the registry does not have all of it: why.
    Missing(String),
}

/// The schemas that a registry has given.
pub(super) struct Schemas {
    registry: Registry,
    known: HashMap<u32, Reading>,
    /// When those were asked for last that it does not have.
    missing: HashMap<u32, Instant>,
    /// How long what the registry does not have is asked for again.
    patience: Duration,
    /// The schema that is asked for again, and since when.
    waits: Option<(u32, Instant)>,
    /// When one was last given up.
    given_up: Option<Instant>,
}

impl Schemas {
    /// Those of a registry; it is not asked yet. What it does not have it is asked for again, for
    /// so long.
    pub(super) fn new(
        what: &str,
        url: &RegistryUrl,
        patience: Duration,
    ) -> Result<Self, KafkaError> {
        Ok(Self {
            registry: Registry::new(what, url)?,
            known: HashMap::new(),
            missing: HashMap::new(),
            patience,
            waits: None,
            given_up: None,
        })
    }

    /// Whether a schema has been asked for; one that is not there, lately.
    pub(super) fn knows(&self, id: u32) -> bool {
        let lately = |asked: &Instant| asked.elapsed() < IN_VAIN;
        match self.known(id) {
            None => false,
            Some(Reading::Missing(_)) => self.missing.get(&id).is_some_and(lately),
            Some(_) => true,
        }
    }

    /// How values of a schema are read, once it has been asked for.
    pub(super) fn known(&self, id: u32) -> Option<&Reading> {
        self.known.get(&id)
    }

    /// Asks for a schema.
    ///
    /// # Errors
    /// Why it has to be asked for again: the registry does not answer, or has no such schema as
    /// yet.
    pub(super) fn learn(&mut self, id: u32) -> Result<(), KafkaError> {
        let mut lacks = None;
        let reading = self.ask(id, &mut lacks);
        let reading = reading.map_err(|cause| self.registry.unreachable(cause))?;
        if let Some(thing) = &lacks
            && !self.known.contains_key(&id)
            && self.given_up.is_none_or(|at| at.elapsed() >= IN_VAIN)
        {
            let since = self.waits.filter(|(of, _)| *of == id).map(|(_, since)| since);
            let since = since.unwrap_or_else(Instant::now);
            self.waits = Some((id, since));
            if since.elapsed() < self.patience {
                return Err(self.registry.lacks(thing));
            }
            self.given_up = Some(Instant::now());
        }
        self.waits = None;
        let reading = match reading {
            Reading::Not(why) if lacks.is_some() => {
                if self.missing.len() >= MISSING_MAX {
                    self.forget_missing();
                }
                self.missing.insert(id, Instant::now());
                Reading::Missing(why)
            }
            reading => {
                self.missing.remove(&id);
                reading
            }
        };
        self.known.insert(id, reading);
        Ok(())
    }

    /// Forgets what the registry does not have: it is asked for again where it comes again.
    fn forget_missing(&mut self) {
        self.missing.clear();
        self.known.retain(|_, reading| !matches!(reading, Reading::Missing(_)));
    }

    /// How values of a schema are read; what the registry does not have of it goes to `lacks`.
    fn ask(&self, id: u32, lacks: &mut Option<String>) -> Result<Reading, String> {
        let Some(schema) = there(self.registry.get(&["schemas", "ids", &id.to_string()]))? else {
            *lacks = Some(format!("schema {id}"));
            return Ok(Reading::Not(format!("the registry has no schema {id}")));
        };
        Ok(match schema.schema_type.as_deref() {
            None | Some("AVRO") => {
                let others = self.others(&schema.references, lacks)?;
                let texts: Vec<String> = others.into_iter().map(|(_, text)| text).collect();
                match Schema::with(&schema.schema, &texts) {
                    Ok(schema) => Reading::Avro(Box::new(schema)),
                    Err(wrong) => Reading::Not(format!("schema {id}: {wrong}")),
                }
            }
            Some("PROTOBUF") => {
                let others = self.others(&schema.references, lacks)?;
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
    fn others(
        &self,
        references: &[Reference],
        lacks: &mut Option<String>,
    ) -> Result<Vec<(String, String)>, String> {
        let (mut texts, mut seen) = (Vec::new(), Vec::new());
        self.follow(references, (&mut texts, lacks), &mut seen)?;
        Ok(texts)
    }

    fn follow(
        &self,
        references: &[Reference],
        (texts, lacks): (&mut Vec<(String, String)>, &mut Option<String>),
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
                self.follow(&schema.references, (&mut *texts, &mut *lacks), seen)?;
                texts.push((name.clone(), schema.schema));
            } else {
                *lacks = Some(format!("version {version} of {subject:?}"));
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

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::net::TcpListener;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;

    /// A registry that has a schema by the name of a subject, but not at the first questions for
    /// it; and which has a schema that refers to it from the beginning. Gives its URL, and how
    /// often it is asked.
    fn registry(late: usize) -> (RegistryUrl, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        thread::spawn(move || {
            for mut client in listener.incoming().map(Result::unwrap) {
                let lines = BufReader::new(client.try_clone().unwrap()).lines();
                let head: Vec<String> =
                    lines.map(Result::unwrap).take_while(|line| !line.is_empty()).collect();
                let before = count.fetch_add(1, Ordering::AcqRel);
                let refers = r#"{"schema": "[\"null\", \"B\"]", "references":
                                 [{"name": "B", "subject": "b", "version": 1}]}"#;
                let late_one =
                    r#"{"schema": "{\"type\": \"fixed\", \"name\": \"B\", \"size\": 1}"}"#;
                let (status, body) = match head[0].split(' ').nth(1) {
                    Some("/schemas/ids/2") => (200, refers),
                    _ if before >= late => (200, late_one),
                    _ => (404, r#"{"message": "not found"}"#),
                };
                let length = body.len();
                let answer = format!(
                    "HTTP/1.1 {status} As said\r\nContent-Length: {length}\r\nConnection: close\
                     \r\n\r\n{body}"
                );
                client.write_all(answer.as_bytes()).unwrap();
            }
        });
        (RegistryUrl::parse(&url).unwrap(), asked)
    }

    /// Asks until there is an answer; gives why there was none before, each time.
    fn learn(schemas: &mut Schemas, id: u32) -> Vec<String> {
        let mut said = Vec::new();
        while let Err(error) = schemas.learn(id) {
            assert!(!schemas.knows(id));
            said.push(error.to_string());
        }
        said
    }

    /// One that is registered late is there all the same; so is one that another refers to.
    #[test]
    fn a_schema_may_come_late() {
        for (id, late, thing) in [(1, 3, "schema 1"), (2, 5, "version 1 of \"b\"")] {
            let (url, _) = registry(late);
            let mut schemas = Schemas::new("source \"s\"", &url, Duration::from_mins(1)).unwrap();
            let said = learn(&mut schemas, id);
            assert_eq!(said.len(), if id == 1 { 3 } else { 2 }, "{said:?}");
            let expected = format!(
                "source \"s\": the registry at 127.0.0.1 has no {thing}; it is asked again"
            );
            assert!(said.iter().all(|said| *said == expected), "{said:?}");
            assert!(matches!(schemas.known(id), Some(Reading::Avro(_))));
        }
    }

    /// What was given up is asked for again after a while, once each time, and then is there.
    #[test]
    fn a_schema_that_was_given_up_may_come() {
        let (url, asked) = registry(2);
        let mut schemas = Schemas::new("s", &url, Duration::ZERO).unwrap();
        for count in 1..=2 {
            assert!(!schemas.knows(1) && learn(&mut schemas, 1).is_empty());
            assert!(schemas.knows(1));
            assert!(matches!(schemas.known(1), Some(Reading::Missing(_))));
            assert_eq!(asked.load(Ordering::Acquire), count);
            thread::sleep(IN_VAIN);
        }
        assert!(!schemas.knows(1) && learn(&mut schemas, 1).is_empty());
        assert!(schemas.missing.is_empty() && matches!(schemas.known(1), Some(Reading::Avro(_))));
        thread::sleep(IN_VAIN);
        assert!(schemas.knows(1));
    }

    /// However many are not there, few are remembered; and what is there stays.
    #[test]
    fn few_of_those_that_are_not_there_are_remembered() {
        let (url, _) = registry(1);
        let mut schemas = Schemas::new("s", &url, Duration::ZERO).unwrap();
        assert!(learn(&mut schemas, 2).is_empty());
        let (url, _) = registry(usize::MAX);
        schemas.registry = Registry::new("s", &url).unwrap();
        for id in 10..30 {
            assert!(learn(&mut schemas, id).is_empty());
            assert!(matches!(schemas.known(id), Some(Reading::Missing(_))));
            assert!(schemas.known.len() <= 1 + MISSING_MAX && schemas.missing.len() <= MISSING_MAX);
        }
        assert!(matches!(schemas.known(2), Some(Reading::Avro(_))));
    }

    /// It is asked for no longer than there is patience, and the next one once.
    #[test]
    fn a_schema_that_is_not_there_is_given_up() {
        let (url, asked) = registry(usize::MAX);
        let mut schemas = Schemas::new("s", &url, Duration::from_millis(100)).unwrap();
        let begun = Instant::now();
        assert!(!learn(&mut schemas, 7).is_empty());
        assert!(begun.elapsed() >= Duration::from_millis(100));
        let not = |schemas: &Schemas, id| match schemas.known(id) {
            Some(Reading::Missing(why)) => why.clone(),
            other => panic!("{other:?}"),
        };
        assert_eq!(not(&schemas, 7), "the registry has no schema 7");
        let before = asked.load(Ordering::Acquire);
        assert!(learn(&mut schemas, 8).is_empty());
        assert_eq!(not(&schemas, 8), "the registry has no schema 8");
        assert_eq!(asked.load(Ordering::Acquire), before + 1);
    }
}
