//! A small HTTP server: GET of four pages, one connection after the other.
//!
//! A client has a second to say what it wants, and at most 8 KiB to say it in.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use operators::model::Micros;

use super::text::page;
use super::{Board, State, lines};

/// How long a client may take.
const CLIENT_TIME: Duration = Duration::from_secs(1);
/// How long an answer may take: the server is busy with another client for a second at most.
const ANSWER_TIME: Duration = Duration::from_secs(5);
/// What a request may have, in bytes.
const REQUEST_BYTES_MAX: usize = 8 << 10;
/// How often the server looks whether it is to end.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A server that answers until it is dropped.
pub struct Server {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens at an address; with port 0 at any that is free.
    pub fn start(address: SocketAddr, board: Arc<Board>) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let stop = Arc::new(AtomicBool::new(false));
        let thread = thread::Builder::new().name("http".to_owned()).spawn({
            let stop = Arc::clone(&stop);
            move || serve(&listener, &board, &stop)
        })?;
        Ok(Self { address, stop, thread: Some(thread) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been reported already.
            let _ = thread.join();
        }
    }
}

fn serve(listener: &TcpListener, board: &Board, stop: &AtomicBool) {
    while !stop.load(Ordering::Acquire) {
        match listener.accept() {
            // A client that goes away, or says nothing, is its own affair.
            Ok((client, _)) => drop(answer(client, board)),
            Err(_) => thread::sleep(LOOK_EVERY),
        }
    }
}

fn answer(mut client: TcpStream, board: &Board) -> std::io::Result<()> {
    client.set_nonblocking(false)?;
    client.set_write_timeout(Some(CLIENT_TIME))?;
    let request = head(&mut client)?;
    let words: Vec<&str> = request.lines().next().unwrap_or("").split(' ').collect();
    let path = words.get(1).map_or("", |path| path.split('?').next().unwrap_or(""));
    let state = |good| if good { ("200 OK", "ok\n") } else { ("503 Service Unavailable", "no\n") };
    let (status, body) = match (words.first().copied(), path) {
        (Some("GET" | "HEAD"), "/healthz") => state(board.is_healthy()),
        (Some("GET" | "HEAD"), "/readyz") => state(board.is_ready()),
        (Some("GET" | "HEAD"), "/metrics" | "/status") => ("200 OK", ""),
        (Some("GET" | "HEAD"), _) => {
            ("404 Not Found", "see /metrics, /status, /healthz, /readyz\n")
        }
        _ => ("405 Method Not Allowed", "only GET\n"),
    };
    let made = (status == "200 OK" && body.is_empty()).then(|| {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let ready = board.is_ready();
        let figures = board.figures().clone();
        if path == "/status" {
            lines(&figures, now.as_micros() as Micros, State::Runs { ready })
        } else {
            page(&figures, now.as_secs_f64(), ready, resident())
        }
    });
    let body = made.as_deref().unwrap_or(body);
    let length = body.len();
    let body = if words.first() == Some(&"HEAD") { "" } else { body };
    write!(
        client,
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

/// Asks such a server for a page; gives the body.
///
/// # Errors
/// Nobody answers there, or not with this page.
pub fn get(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut server = TcpStream::connect_timeout(&address, CLIENT_TIME)?;
    server.set_read_timeout(Some(ANSWER_TIME))?;
    write!(server, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    server.read_to_string(&mut answer)?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.1 200 ") => Ok(body.to_owned()),
        _ => Err(std::io::Error::other(format!("no page {path} there"))),
    }
}

/// The lines before the body.
fn head(client: &mut TcpStream) -> std::io::Result<String> {
    let end = Instant::now() + CLIENT_TIME;
    let (mut bytes, mut part) = (Vec::new(), [0; 1024]);
    while !bytes.windows(4).any(|four| four == b"\r\n\r\n") {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() || bytes.len() > REQUEST_BYTES_MAX {
            return Err(ErrorKind::TimedOut.into());
        }
        client.set_read_timeout(Some(left))?;
        match client.read(&mut part)? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            read => bytes.extend_from_slice(&part[..read]),
        }
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Bytes of memory that this process has; `None` where the system doesn't say.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().split(' ').next()?.parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(server: &Server, request: &str) -> String {
        let mut client = TcpStream::connect(server.address()).expect("it listens");
        client.write_all(request.as_bytes()).expect("it reads");
        let mut answer = String::new();
        // Where it hangs up on purpose there is nothing to read.
        let _ = client.read_to_string(&mut answer);
        answer
    }

    #[test]
    fn pages_are_answered() {
        let board = Arc::new(Board::default());
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let server = Server::start(any, Arc::clone(&board)).expect("a free port");
        let get = |path: &str| ask(&server, &format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"));
        assert!(get("/healthz").starts_with("HTTP/1.1 200 OK\r\n"));
        assert!(get("/readyz").starts_with("HTTP/1.1 503 "));
        board.figures().replayed = true;
        assert!(get("/readyz").ends_with("\r\n\r\nok\n"));
        let metrics = get("/metrics?x=1");
        assert!(metrics.contains("\nbraid_ready 1\n"), "{metrics}");
        assert!(metrics.contains("process_resident_memory_bytes"));
        assert!(super::get(server.address(), "/status").unwrap().contains("has caught up"));
        assert!(super::get(server.address(), "/other").is_err());
        assert!(get("/").starts_with("HTTP/1.1 404 "));
        assert!(ask(&server, "POST /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405 "));
        assert!(ask(&server, "HEAD /healthz HTTP/1.1\r\n\r\n").ends_with("\r\n\r\n"));
    }

    /// Whatever a client does, the next one is answered.
    #[test]
    fn odd_clients_do_no_harm() {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let server = Server::start(any, Arc::default()).expect("a free port");
        drop(TcpStream::connect(server.address()));
        let long = "x".repeat(2 * REQUEST_BYTES_MAX);
        for odd in ["\r\n\r\n", "GET\r\n\r\n", "\u{0}\u{0}\r\n\r\n", &long] {
            ask(&server, odd);
        }
        assert!(ask(&server, "GET /healthz HTTP/1.0\r\n\r\n").starts_with("HTTP/1.1 200 "));
    }
}
