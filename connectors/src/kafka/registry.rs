//! A schema registry, by Confluent's API, and values framed as it says: a zero, the schema's id in
//! four bytes, the value.

use std::fmt;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use reqwest::{RequestBuilder, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::runtime::{Builder, Runtime};
use url::Url;

use super::KafkaError;
use crate::avro::int;

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(10);
/// Bytes of a registry's own words that a message repeats at most.
const SAID_MAX: usize = 500;
/// More messages than a schema has, beside or in one another.
const PLACES_MAX: usize = 100_000;

/// The URL of a registry, which may hold a user and a password. What has a meaning in a URL stands
/// in them as in all its parts: `/` as `%2F`, `%` as `%25`.
#[derive(Clone, PartialEq, Eq)]
pub struct RegistryUrl(Url);

impl RegistryUrl {
    /// Reads a URL.
    ///
    /// # Errors
    /// What is wrong with it, and what to write instead.
    pub fn parse(url: &str) -> Result<Self, String> {
        const SHAPE: &str = "write registry = \"http://host:8081\"";
        let parsed = Url::parse(url).map_err(|e| format!("the registry's URL: {e}; {SHAPE}"))?;
        let web = ["http", "https"].contains(&parsed.scheme()) && parsed.has_host();
        if !web {
            return Err(format!("the registry's URL names no web server; {SHAPE}"));
        }
        Ok(Self(parsed))
    }

    fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }

    /// The user and the password as they are meant, if there is a user.
    fn credentials(&self) -> Option<(String, Option<String>)> {
        let meant = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let (user, password) = (self.0.username(), self.0.password());
        (!user.is_empty()).then(|| (meant(user), password.map(meant)))
    }
}

/// It may hold a password.
impl fmt::Debug for RegistryUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RegistryUrl({:?})", self.host())
    }
}

/// What stands before a value of a schema.
pub(super) fn frame(id: u32) -> [u8; 5] {
    let [a, b, c, d] = id.to_be_bytes();
    [0, a, b, c, d]
}

/// The id of a framed value's schema, and what is behind the frame.
pub(super) fn unframe(bytes: &[u8]) -> Option<(u32, &[u8])> {
    match bytes {
        [0, a, b, c, d, body @ ..] => Some((u32::from_be_bytes([*a, *b, *c, *d]), body)),
        _ => None,
    }
}

/// Which of its schema's messages a framed Protobuf value is, by the places of the messages that it
/// is in, and what is behind that.
///
/// # Errors
/// What is wrong with it.
pub(super) fn message_path(mut body: &[u8]) -> Result<(Vec<usize>, &[u8]), String> {
    let mut number = || {
        let number = usize::try_from(int(&mut body)?).ok().filter(|n| *n <= PLACES_MAX);
        number.ok_or_else(|| "a place of its message that no schema has".to_owned())
    };
    let path = match number()? {
        // The first of all, in short.
        0 => vec![0],
        count => (0..count).map(|_| number()).collect::<Result<_, _>>()?,
    };
    Ok((path, body))
}

/// A schema as a registry has it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Registered {
    pub schema: String,
    /// Avro where it isn't said.
    pub schema_type: Option<String>,
    #[serde(default)]
    pub references: Vec<Reference>,
}

/// A schema that another one refers to.
#[derive(Deserialize)]
pub(super) struct Reference {
    /// The name by which it is referred to.
    pub name: String,
    pub subject: String,
    pub version: u32,
}

/// Why there is no answer that can be used.
pub(super) enum Missing {
    /// The registry says no, and why.
    Refused(StatusCode, String),
    /// It may be asked again.
    Later(String),
}

/// A registry that can be asked.
pub(super) struct Registry {
    what: String,
    url: RegistryUrl,
    client: reqwest::Client,
    runtime: Runtime,
}

impl Registry {
    /// It is not asked yet.
    pub(super) fn new(what: &str, url: &RegistryUrl) -> Result<Self, KafkaError> {
        let fail = |detail: String| KafkaError::Client { what: what.to_owned(), detail };
        let client = reqwest::Client::builder().timeout(ANSWER).build();
        let client = client.map_err(|e| fail(format!("no client for the registry: {e}")))?;
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|e| fail(format!("no runtime: {e}")))?;
        Ok(Self { what: what.to_owned(), url: url.clone(), client, runtime })
    }

    /// The error for a registry that does not answer.
    pub(super) fn unreachable(&self, cause: String) -> KafkaError {
        KafkaError::Unreachable {
            what: self.what.clone(),
            brokers: format!("the registry at {}", self.url.host()),
            cause,
        }
    }

    /// The error for something that the registry does not have, and may have in a moment.
    pub(super) fn lacks(&self, thing: &str) -> KafkaError {
        let host = self.url.host();
        let detail = format!("the registry at {host} has no {thing}; it is asked again");
        KafkaError::Client { what: self.what.clone(), detail }
    }

    /// The schema at a path.
    pub(super) fn get(&self, path: &[&str]) -> Result<Registered, Missing> {
        let url = self.at(path);
        self.ask(self.client.get(url))
    }

    /// Registers an Avro schema under a subject; gives its id. One that is there already keeps its
    /// id.
    ///
    /// # Errors
    /// [`KafkaError::Schema`] with the registry's reason, such as that it is not compatible with
    /// the one before; [`KafkaError::Unreachable`].
    pub(super) fn register(&self, subject: &str, schema: &str) -> Result<u32, KafkaError> {
        #[derive(Deserialize)]
        struct Answer {
            id: u32,
        }
        let body = json!({ "schema": schema }).to_string();
        let request = self.client.post(self.at(&["subjects", subject, "versions"]));
        let request = request.header("Content-Type", "application/vnd.schemaregistry.v1+json");
        let (status, said) = match self.ask::<Answer>(request.body(body)) {
            Ok(answer) => return Ok(answer.id),
            Err(Missing::Later(cause)) => return Err(self.unreachable(cause)),
            Err(Missing::Refused(status, said)) => (status, said),
        };
        let remedy = match status {
            StatusCode::CONFLICT => {
                "write to another prefix, or change the subject's compatibility"
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                "write a user who may register schemas: registry = \"http://user:password@host\""
            }
            _ => "look at the registry's URL and its settings",
        };
        Err(KafkaError::Schema {
            what: self.what.clone(),
            subject: subject.to_owned(),
            detail: format!("{said}; {remedy}"),
        })
    }

    /// A place of the registry, without user and password.
    fn at(&self, path: &[&str]) -> Url {
        let mut url = self.url.0.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        // Both can be taken out of a URL that has a host.
        let _ = (url.set_username(""), url.set_password(None));
        url
    }

    fn ask<T: DeserializeOwned>(&self, mut request: RequestBuilder) -> Result<T, Missing> {
        if let Some((user, password)) = self.url.credentials() {
            request = request.basic_auth(user, password);
        }
        let answer: Result<_, reqwest::Error> = self.runtime.block_on(async {
            let answer = request.send().await?;
            Ok((answer.status(), answer.text().await?))
        });
        // The error would name the URL; the cause is enough.
        let (status, text) = answer.map_err(|e| Missing::Later(e.without_url().to_string()))?;
        let passes = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS];
        if status.is_client_error() && !passes.contains(&status) {
            return Err(Missing::Refused(status, said(status, &text)));
        }
        if !status.is_success() {
            return Err(Missing::Later(format!("it answers {status}")));
        }
        serde_json::from_str(&text).map_err(|e| Missing::Later(format!("its answer is odd: {e}")))
    }
}

/// What a registry says with a refusal.
fn said(status: StatusCode, text: &str) -> String {
    #[derive(Deserialize)]
    struct Answer {
        message: String,
    }
    match serde_json::from_str::<Answer>(text) {
        Ok(Answer { message }) => message.chars().take(SAID_MAX).collect(),
        Err(_) => format!("it answers {status}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_and_passwords_are_those_that_the_url_means() {
        for (url, user, password) in [
            ("http://key:a%2Fb%3D@host/base", "key", Some("a/b=")),
            ("http://key:a=b+c@host", "key", Some("a=b+c")),
            ("http://me%40shop:100%25@host", "me@shop", Some("100%")),
            ("http://key@host", "key", None),
        ] {
            let found = RegistryUrl::parse(url).unwrap().credentials().unwrap();
            assert_eq!((&*found.0, found.1.as_deref()), (user, password), "{url}");
        }
        assert_eq!(RegistryUrl::parse("http://host").unwrap().credentials(), None);
    }
}
