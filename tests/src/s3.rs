//! A small S3 server over a folder, for tests: the calls that snapshots make, in pages and parts as
//! S3 has them. It knows its clients by their key and checks no signatures.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io::{self, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use tempfile::TempDir;

/// Whose requests are answered.
pub const KEY: &str = "braid";
/// Entries of a page of a list: few, so that there are several pages.
const PAGE: usize = 7;
/// When everything was written: nobody asks.
const WRITTEN: [&str; 2] = ["2026-01-01T00:00:00.000Z", "Thu, 01 Jan 2026 00:00:00 GMT"];

/// A server with one bucket, `bucket`. It answers until the test ends.
pub struct S3 {
    folder: TempDir,
    address: SocketAddr,
}

impl S3 {
    /// Starts one.
    pub fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let (root, uploads) = (folder.path().to_owned(), Arc::default());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let server = Server { root: root.clone(), uploads: Arc::clone(&uploads) };
                // A client that goes away is its own affair.
                thread::spawn(move || drop(server.serve(&client)));
            }
        });
        Self { folder, address }
    }

    /// Where it listens.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// The folder of what is in the bucket.
    pub fn bucket(&self) -> PathBuf {
        self.folder.path().to_owned()
    }
}

/// The part of a job file that has its snapshots in the bucket of a server that listens at an
/// address, below a prefix.
pub fn snapshots_at(address: &str, prefix: &str) -> String {
    format!(
        "to = \"s3://bucket/{prefix}\"\n[snapshot.options]\naws_endpoint = \"http://{address}\"\n\
         aws_region = \"eu-west-1\"\naws_allow_http = true\ntimeout = \"2s\"\n\
         aws_access_key_id = \"{KEY}\"\naws_secret_access_key = \"not asked for\"\n"
    )
}

struct Request {
    verb: String,
    /// The object; empty if the bucket is meant.
    key: String,
    bucket: String,
    query: BTreeMap<String, String>,
    headers: HashMap<String, String>,
    body: Vec<u8>,
}

struct Response {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Response {
    fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: body.into() }
    }

    fn error(status: u16, code: &str) -> Self {
        Self::new(status, format!("<Error><Code>{code}</Code><Message>{code}</Message></Error>"))
    }

    fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

type Uploads = Arc<Mutex<BTreeMap<String, BTreeMap<u32, Vec<u8>>>>>;

struct Server {
    root: PathBuf,
    /// What is not whole, by its id. Also held while anything is written.
    uploads: Uploads,
}

impl Server {
    fn serve(&self, client: &TcpStream) -> io::Result<()> {
        client.set_nodelay(true)?;
        let mut input = BufReader::new(client);
        while let Some(request) = read(&mut input)? {
            let Response { status, headers, body } = self.answer(&request)?;
            let mut head = format!("HTTP/1.1 {status} Said\r\n");
            if !headers.iter().any(|(name, _)| *name == "content-length") {
                head.extend(["content-length: ", &body.len().to_string(), "\r\n"]);
            }
            head.extend(headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")));
            let mut output = client;
            output.write_all(&[(head + "\r\n").as_bytes(), &body].concat())?;
        }
        Ok(())
    }

    fn path(&self, key: &str) -> PathBuf {
        self.root.join(key)
    }

    fn answer(&self, request: &Request) -> io::Result<Response> {
        let signed = request.headers.get("authorization").map_or("", String::as_str);
        if !signed.contains(&format!("Credential={KEY}/")) {
            return Ok(Response::error(403, "InvalidAccessKeyId"));
        }
        if request.bucket != "bucket" {
            return Ok(Response::error(404, "NoSuchBucket"));
        }
        let has = |name: &str| request.query.contains_key(name);
        let path = self.path(&request.key);
        match (request.verb.as_str(), request.key.is_empty()) {
            ("GET", true) => Ok(self.list(request)),
            ("POST", true) if has("delete") => self.delete(&request.body),
            ("GET" | "HEAD", false) => Ok(get(request, &path)),
            ("POST" | "PUT" | "DELETE", false) if has("uploads") || has("uploadId") => {
                self.upload(request)
            }
            ("PUT", false) => self.put(request, &path),
            _ => Ok(Response::error(501, "NotImplemented")),
        }
    }

    fn put(&self, request: &Request, path: &Path) -> io::Result<Response> {
        let _held = self.uploads.lock().unwrap_or_else(PoisonError::into_inner);
        if request.headers.get("if-none-match").is_some_and(|tag| tag == "*") && path.exists() {
            return Ok(Response::error(412, "PreconditionFailed"));
        }
        let Some(source) = request.headers.get("x-amz-copy-source") else {
            write(path, &request.body)?;
            return Ok(Response::new(200, "").with("etag", "\"put\""));
        };
        let source = decoded(source);
        let from = source.trim_start_matches('/').strip_prefix("bucket/").unwrap_or_default();
        let Ok(bytes) = fs::read(self.path(from)) else {
            return Ok(Response::error(404, "NoSuchKey"));
        };
        write(path, &bytes)?;
        let [time, _] = WRITTEN;
        let copied = format!("<LastModified>{time}</LastModified><ETag>\"put\"</ETag>");
        Ok(Response::new(200, format!("<CopyObjectResult>{copied}</CopyObjectResult>")))
    }

    fn upload(&self, request: &Request) -> io::Result<Response> {
        let mut uploads = self.uploads.lock().unwrap_or_else(PoisonError::into_inner);
        let id = request.query.get("uploadId").cloned().unwrap_or_default();
        match (request.verb.as_str(), uploads.contains_key(&id)) {
            ("POST", _) if request.query.contains_key("uploads") => {
                let id = format!("upload-{}", uploads.len());
                uploads.insert(id.clone(), BTreeMap::new());
                let id = format!("<UploadId>{id}</UploadId>");
                let told = format!("<InitiateMultipartUploadResult>{id}");
                Ok(Response::new(200, told + "</InitiateMultipartUploadResult>"))
            }
            ("PUT", true) => {
                let number = request.query.get("partNumber").and_then(|n| n.parse().ok());
                let part = (number.unwrap_or_default(), request.body.clone());
                uploads.entry(id).or_default().extend([part]);
                Ok(Response::new(200, "").with("etag", "\"part\""))
            }
            ("POST", true) => {
                let parts = uploads.remove(&id).unwrap_or_default();
                write(
                    &self.path(&request.key),
                    &parts.into_values().flatten().collect::<Vec<_>>(),
                )?;
                let told = "<CompleteMultipartUploadResult><ETag>\"whole\"</ETag>";
                Ok(Response::new(200, format!("{told}</CompleteMultipartUploadResult>")))
            }
            ("DELETE", true) => {
                uploads.remove(&id);
                Ok(Response::new(204, ""))
            }
            _ => Ok(Response::error(404, "NoSuchUpload")),
        }
    }

    fn delete(&self, body: &[u8]) -> io::Result<Response> {
        let _held = self.uploads.lock().unwrap_or_else(PoisonError::into_inner);
        let (text, mut told) = (String::from_utf8_lossy(body), String::new());
        for rest in text.split("<Key>").skip(1) {
            let key = rest.split("</Key>").next().unwrap_or_default();
            let path = self.path(key);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            // A store has no empty folders.
            let mut folder = path.parent();
            while let Some(path) = folder.filter(|path| *path != self.root) {
                if fs::remove_dir(path).is_err() {
                    break;
                }
                folder = path.parent();
            }
            told.extend(["<Deleted><Key>", key, "</Key></Deleted>"]);
        }
        Ok(Response::new(200, format!("<DeleteResult>{told}</DeleteResult>")))
    }

    fn list(&self, request: &Request) -> Response {
        let of = |name: &str| request.query.get(name).cloned().unwrap_or_default();
        let (prefix, after) = (of("prefix"), of("continuation-token"));
        let mut keys = BTreeSet::new();
        walk(&self.root, "", &mut keys);
        let folders = request.query.contains_key("delimiter");
        let entry = |key: &String| {
            let rest = key.strip_prefix(&prefix)?;
            match rest.find('/').filter(|_| folders) {
                Some(end) => Some(format!("{prefix}{}", &rest[..=end])),
                None => Some(key.clone()),
            }
        };
        let entries: BTreeSet<String> = keys.iter().filter_map(entry).collect();
        let mut left = entries.into_iter().filter(|entry| *entry > after).peekable();
        let (mut told, mut last) = (String::new(), String::new());
        for entry in left.by_ref().take(PAGE) {
            let one = if entry.ends_with('/') {
                format!("<CommonPrefixes><Prefix>{entry}</Prefix></CommonPrefixes>")
            } else {
                let size = fs::metadata(self.path(&entry)).map_or(0, |meta| meta.len());
                let [time, _] = WRITTEN;
                format!(
                    "<Contents><Key>{entry}</Key><Size>{size}</Size>\
                     <LastModified>{time}</LastModified><ETag>\"put\"</ETag></Contents>"
                )
            };
            told.push_str(&one);
            last = entry;
        }
        if left.peek().is_some() {
            told.extend(["<NextContinuationToken>", &last, "</NextContinuationToken>"]);
        }
        Response::new(200, format!("<ListBucketResult>{told}</ListBucketResult>"))
    }
}

fn get(request: &Request, path: &Path) -> Response {
    let Ok(bytes) = fs::read(path) else { return Response::error(404, "NoSuchKey") };
    let [_, time] = WRITTEN;
    let range = request.headers.get("range").and_then(|range| {
        let (from, to) = range.strip_prefix("bytes=")?.split_once('-')?;
        let (from, to) = (from.parse::<usize>().ok()?, to.parse::<usize>().ok()?);
        Some((from, bytes.len().min(to + 1)))
    });
    let response = match range {
        _ if request.verb == "HEAD" => {
            Response::new(200, "").with("content-length", bytes.len().to_string())
        }
        Some((from, end)) if from < end => {
            let told = format!("bytes {from}-{}/{}", end - 1, bytes.len());
            Response::new(206, &bytes[from..end]).with("content-range", told)
        }
        Some(_) => Response::error(416, "InvalidRange"),
        None => Response::new(200, bytes),
    };
    response.with("etag", "\"put\"").with("last-modified", time)
}

/// Writes a file, with the folders that it is in.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    fs::create_dir_all(path.parent().unwrap_or(path))?;
    fs::write(path, bytes)
}

/// All files below a folder.
fn walk(folder: &Path, name: &str, keys: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let key = format!("{name}{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            walk(&entry.path(), &format!("{key}/"), keys);
        } else {
            keys.insert(key);
        }
    }
}

/// Text without `%41`.
fn decoded(text: &str) -> String {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (code, rest) = part.split_at_checked(2).unwrap_or((part, ""));
        bytes.extend(u8::from_str_radix(code, 16).ok());
        bytes.extend(rest.bytes());
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The next request of a client; `None` if it hangs up.
fn read(input: &mut impl io::BufRead) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if input.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace().map(str::to_owned);
    let (verb, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        input.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").and_then(|n| n.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    input.read_exact(&mut body)?;
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let path = decoded(path);
    let name = path.strip_prefix('/').unwrap_or(&path);
    let (bucket, key) = name.split_once('/').unwrap_or((name, ""));
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(name), decoded(value))
    };
    let query = query.split('&').map(pair).collect();
    let (bucket, key) = (bucket.to_owned(), key.to_owned());
    Ok(Some(Request { verb, key, bucket, query, headers, body }))
}
