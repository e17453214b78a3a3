//! A web server as small as tests need it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use serde_json::Value;

/// What a client asks.
pub(crate) struct Request {
    pub method: String,
    /// Without what follows a `?`.
    pub path: String,
    /// The header `Authorization`.
    pub authorization: String,
    pub body: String,
}

/// Answers with a status and JSON until the process ends; gives where.
pub(crate) fn serve(
    answer: impl Fn(&Request) -> (u16, Value) + Send + Sync + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let answer = Arc::clone(&answer);
            // A client that goes away in the middle has its reasons.
            std::thread::spawn(move || one(&client.ok()?, &*answer).ok());
        }
    });
    address
}

fn one(client: &TcpStream, answer: &dyn Fn(&Request) -> (u16, Value)) -> std::io::Result<()> {
    let mut reader = BufReader::new(client);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Ok(());
        }
    }
    let header = |name: &str| {
        let values = head.lines().filter_map(|line| line.split_once(':'));
        let mut named = values.filter(|(key, _)| key.eq_ignore_ascii_case(name));
        named.next().map_or("", |(_, value)| value.trim())
    };
    let mut body = vec![0; header("content-length").parse().unwrap_or(0)];
    reader.read_exact(&mut body)?;
    let mut words = head.split(' ');
    let mut word = || words.next().unwrap_or("");
    let request = Request {
        method: word().to_owned(),
        path: word().split('?').next().unwrap_or("").to_owned(),
        authorization: header("authorization").to_owned(),
        body: String::from_utf8_lossy(&body).into_owned(),
    };
    let (status, answer) = answer(&request);
    let (answer, mut client) = (answer.to_string(), client);
    let length = answer.len();
    write!(
        client,
        "HTTP/1.1 {status} As said\r\nContent-Type: application/json\r\nContent-Length: {length}\
         \r\nConnection: close\r\n\r\n{answer}"
    )
}
