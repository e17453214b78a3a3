//! Schemas from a registry, by Confluent's API (`GET /schemas/ids/{id}`), and values framed as it
//! says: a zero, the schema's id in four bytes, the value.

use std::collections::HashMap;
use std::time::Duration;

use serde::Deserialize;
use tokio::runtime::{Builder, Runtime};
use url::Url;

use super::KafkaError;
use crate::avro::Schema;

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(10);
/// Schemas that refer to others that refer to others …, at most.
const REFERENCES_MAX: usize = 200;

/// How values of a schema become JSON.
#[derive(Clone, Debug)]
pub(super) enum Reading {
    /// They are JSON.
    Json,
    /// They are Avro.
    Avro(Box<Schema>),
    /// They can't be read: why.
    Not(String),
}

/// A registry, and the schemas it has given.
pub(super) struct Registry {
    what: String,
    url: Url,
    client: reqwest::Client,
    runtime: Runtime,
    known: HashMap<u32, Reading>,
}

/// What a registry says of a schema.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    schema: String,
    /// Avro where it isn't said.
    schema_type: Option<String>,
    #[serde(default)]
    references: Vec<Reference>,
}

#[derive(Deserialize)]
struct Reference {
    subject: String,
    version: u32,
}

/// Why there is no answer.
enum Missing {
    /// The registry does not know it.
    Unknown,
    /// It may be asked again.
    Later(String),
}

impl Registry {
    /// A registry at a URL, which may hold a user and a password. It is not asked yet.
    pub(super) fn new(what: &str, url: &str) -> Result<Self, KafkaError> {
        let fail = |detail: String| KafkaError::Client { what: what.to_owned(), detail };
        let url = check(url).map_err(fail)?;
        let client = reqwest::Client::builder().timeout(ANSWER).build();
        let client = client.map_err(|e| fail(format!("no client for the registry: {e}")))?;
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|e| fail(format!("no runtime: {e}")))?;
        Ok(Self { what: what.to_owned(), url, client, runtime, known: HashMap::new() })
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
        let reading = self.ask(id).map_err(|cause| KafkaError::Unreachable {
            what: self.what.clone(),
            brokers: format!("the registry at {}", self.url.host_str().unwrap_or_default()),
            cause,
        })?;
        self.known.insert(id, reading);
        Ok(())
    }

    fn ask(&self, id: u32) -> Result<Reading, String> {
        let answer = match self.get(&["schemas", "ids", &id.to_string()]) {
            Ok(answer) => answer,
            Err(Missing::Later(cause)) => return Err(cause),
            Err(Missing::Unknown) => {
                return Ok(Reading::Not(format!("the registry has no schema {id}")));
            }
        };
        Ok(match answer.schema_type.as_deref() {
            None | Some("AVRO") => {
                let others = self.others(&answer.references)?;
                match Schema::with(&answer.schema, &others) {
                    Ok(schema) => Reading::Avro(Box::new(schema)),
                    Err(wrong) => Reading::Not(format!("schema {id}: {wrong}")),
                }
            }
            Some("JSON") => Reading::Json,
            Some(other) => Reading::Not(format!("schema {id} is {other}, not Avro or JSON")),
        })
    }

    /// The texts of all schemas that are referred to, those first that others refer to.
    fn others(&self, references: &[Reference]) -> Result<Vec<String>, String> {
        let (mut texts, mut seen) = (Vec::new(), Vec::new());
        self.follow(references, &mut texts, &mut seen)?;
        Ok(texts)
    }

    fn follow(
        &self,
        references: &[Reference],
        texts: &mut Vec<String>,
        seen: &mut Vec<(String, u32)>,
    ) -> Result<(), String> {
        for Reference { subject, version } in references {
            let name = (subject.clone(), *version);
            if seen.contains(&name) || seen.len() >= REFERENCES_MAX {
                continue;
            }
            seen.push(name);
            match self.get(&["subjects", subject, "versions", &version.to_string()]) {
                Ok(answer) => {
                    self.follow(&answer.references, texts, seen)?;
                    texts.push(answer.schema);
                }
                // What it would have defined is then missed by name.
                Err(Missing::Unknown) => {}
                Err(Missing::Later(cause)) => return Err(cause),
            }
        }
        Ok(())
    }

    fn get(&self, path: &[&str]) -> Result<Answer, Missing> {
        let mut url = self.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        let (user, password) = (url.username().to_owned(), url.password().map(str::to_owned));
        // Both can be taken out of a URL that has a host.
        let _ = (url.set_username(""), url.set_password(None));
        let mut request = self.client.get(url);
        if !user.is_empty() {
            request = request.basic_auth(user, password);
        }
        let answer: Result<_, reqwest::Error> = self.runtime.block_on(async {
            let answer = request.send().await?;
            Ok((answer.status(), answer.text().await?))
        });
        // The error would name the URL; the cause is enough.
        let (status, text) = answer.map_err(|e| Missing::Later(e.without_url().to_string()))?;
        if status == reqwest::StatusCode::NOT_FOUND {
            return Err(Missing::Unknown);
        }
        if !status.is_success() {
            return Err(Missing::Later(format!("it answers {status}")));
        }
        serde_json::from_str(&text).map_err(|e| Missing::Later(format!("its answer is odd: {e}")))
    }
}

/// The URL of a registry.
///
/// # Errors
/// What to write instead.
pub(super) fn check(url: &str) -> Result<Url, String> {
    const SHAPE: &str = "write registry = \"http://host:8081\"";
    let parsed = Url::parse(url).map_err(|e| format!("the registry's URL: {e}; {SHAPE}"))?;
    let web = ["http", "https"].contains(&parsed.scheme()) && parsed.has_host();
    if web { Ok(parsed) } else { Err(format!("the registry's URL names no web server; {SHAPE}")) }
}
