//! A collector of traces, in this process: takes what is posted to it as OpenTelemetry's JSON.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::Value;

/// A request: its first line, its headers in lower case, its body.
#[derive(Clone, Debug)]
pub struct Request {
    /// Method, path and version.
    pub line: String,
    /// Each as `name: value`.
    pub headers: Vec<String>,
    /// What was posted.
    pub body: Value,
}

/// Listens until the process ends.
pub struct Collector {
    address: String,
    taken: Arc<Mutex<Vec<Request>>>,
}

impl Collector {
    /// A collector that answers every request with this status, such as `200 OK`.
    pub fn start(status: &'static str) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let taken: Arc<Mutex<Vec<Request>>> = Arc::default();
        let theirs = Arc::clone(&taken);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let taken = Arc::clone(&theirs);
                thread::spawn(move || serve(client, status, &taken));
            }
        });
        Self { address, taken }
    }

    /// Where it listens.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The requests so far.
    pub fn taken(&self) -> Vec<Request> {
        self.taken.lock().unwrap().clone()
    }

    /// All spans so far.
    pub fn spans(&self) -> Vec<Value> {
        let list = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
        let groups = self.taken().into_iter().flat_map(|r| list(&r.body, "resourceSpans"));
        let scopes = groups.flat_map(|group| list(&group, "scopeSpans"));
        scopes.flat_map(|scope| list(&scope, "spans")).collect()
    }
}

/// One connection, with one request after the other.
fn serve(client: TcpStream, status: &str, taken: &Mutex<Vec<Request>>) {
    let Ok(mut answers) = client.try_clone() else { return };
    let mut reader = BufReader::new(client);
    loop {
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            match reader.read_line(&mut line) {
                Ok(1..) if !line.trim().is_empty() => head.push(line.trim().to_owned()),
                Ok(1..) => break,
                _ => return,
            }
        }
        let headers: Vec<String> = head.iter().skip(1).map(|line| line.to_lowercase()).collect();
        let length = headers.iter().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.and_then(|text| text.parse().ok()).unwrap_or(0)];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
        let line = head.first().cloned().unwrap_or_default();
        taken.lock().unwrap().push(Request { line, headers, body });
        if write!(answers, "HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\n{{}}").is_err() {
            return;
        }
    }
}
