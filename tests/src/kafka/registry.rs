//! A schema registry of our own, as far as programs ask one: schemas by id and by subject, and what
//! it registers, if a reader of the new schema can read what the last one wrote.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

use crate::http::{Request, serve};

/// A registry in this process; it serves until the process ends.
pub struct Registry {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// By id, from 1.
    schemas: Vec<Value>,
    /// The ids of each subject's versions.
    subjects: BTreeMap<String, Vec<usize>>,
    /// How many questions get no answer yet.
    away: usize,
}

impl Registry {
    /// Starts one that knows nothing.
    pub fn start() -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let ours = Arc::clone(&state);
        let address = serve(move |request| {
            // A question that made one fail is one test's.
            ours.lock().unwrap_or_else(PoisonError::into_inner).asked(request)
        });
        Self { address, state }
    }

    /// Where it is, with the user and password that it asks for.
    pub fn url(&self) -> String {
        format!("http://user:secret@{}/base", self.address)
    }

    /// Lets so many questions go without an answer.
    pub fn away(&self, questions: usize) {
        self.state.lock().unwrap().away = questions;
    }

    /// Registers a schema (`schema`, `schemaType`, `references`) whatever there is; gives its id.
    pub fn put(&self, subject: &str, schema: Value) -> u32 {
        self.state.lock().unwrap().put(subject, schema) as u32
    }

    /// How many versions a subject has.
    pub fn versions(&self, subject: &str) -> usize {
        self.state.lock().unwrap().subjects.get(subject).map_or(0, Vec::len)
    }
}

impl State {
    fn put(&mut self, subject: &str, schema: Value) -> usize {
        let known = self.schemas.iter().position(|known| *known == schema);
        let id = 1 + known.unwrap_or_else(|| {
            self.schemas.push(schema);
            self.schemas.len() - 1
        });
        let versions = self.subjects.entry(subject.to_owned()).or_default();
        if !versions.contains(&id) {
            versions.push(id);
        }
        id
    }

    fn asked(&mut self, request: &Request) -> (u16, Value) {
        if self.away > 0 {
            self.away -= 1;
            return (503, json!({}));
        }
        // user:secret
        if request.authorization != "Basic dXNlcjpzZWNyZXQ=" {
            return (401, json!({ "error_code": 401, "message": "Unauthorized" }));
        }
        self.answer(&request.method, &request.path, &request.body)
    }

    fn answer(&mut self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let parts: Vec<&str> = path.trim_start_matches("/base/").split('/').collect();
        let unknown = |code: u32| (404, json!({ "error_code": code, "message": "not found" }));
        match (method, parts.as_slice()) {
            ("GET", ["schemas", "ids", id]) => {
                let place = id.parse::<usize>().unwrap().checked_sub(1);
                let schema = place.and_then(|place| self.schemas.get(place));
                schema.map_or_else(|| unknown(40403), |schema| (200, schema.clone()))
            }
            ("GET", ["subjects", subject, "versions", version]) => {
                let versions = self.subjects.get(*subject).map_or(&[][..], Vec::as_slice);
                let place = match *version {
                    "latest" => versions.len().checked_sub(1),
                    number => number.parse::<usize>().unwrap().checked_sub(1),
                };
                let Some(id) = place.and_then(|place| versions.get(place)) else {
                    return unknown(40402);
                };
                let mut answer = self.schemas[id - 1].clone();
                answer["id"] = json!(id);
                answer["subject"] = json!(subject);
                (200, answer)
            }
            ("POST", ["subjects", subject, "versions"]) => {
                let asked: Value = serde_json::from_str(body).unwrap();
                let last = self.subjects.get(*subject).and_then(|ids| ids.last());
                let last = last.map(|id| self.schemas[id - 1].clone());
                if let Some(field) = last.and_then(|last| in_the_way(&last, &asked)) {
                    let message = format!(
                        "Schema being registered is incompatible with an earlier schema for \
                         subject \"{subject}\", details: [{field}]"
                    );
                    return (409, json!({ "error_code": 409, "message": message }));
                }
                (200, json!({ "id": self.put(subject, asked) }))
            }
            _ => unknown(404),
        }
    }
}

/// A field that a reader of the schema `now` does not find in what `before` wrote.
fn in_the_way(before: &Value, now: &Value) -> Option<String> {
    let fields = |schema: &Value| {
        let schema: Value = serde_json::from_str(schema["schema"].as_str().unwrap()).unwrap();
        schema["fields"].as_array().cloned().unwrap_or_default()
    };
    let before = fields(before);
    let missing = fields(now).into_iter().find(|field| {
        let old = before.iter().find(|old| old["name"] == field["name"]);
        old.map_or(field.get("default").is_none(), |old| old["type"] != field["type"])
    });
    missing.map(|field| field["name"].to_string())
}
