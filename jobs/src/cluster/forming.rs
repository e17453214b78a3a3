//! How the processes of a cluster find each other.
//!
//! 1. Each listens at its own address, and calls process 0.
//! 2. When all are there, process 0 says what the session is: the generation from the bindings, and
//!    a mark of its own.
//! 3. Each calls those before it for the connections that are missing, and names the session. Who
//!    is in another one is refused.
//!
//! Whatever fails on the way ends the process with its reason, or is tried again where it may mend:
//! a process that is not there yet is waited for.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;

use super::control::Controls;
use super::hello::{Answer, Hello, Kind, Session, Verdict, read_preamble, send_preamble};
use super::pulse::Pulsed;
use super::tls::{Open, Tls, objection};
use super::wire::{Wire, receive, send};
use super::{End, FENCED, USAGE};
use crate::say;

/// How long one that has connected may take for its first words.
const FIRST_WORDS: Duration = Duration::from_secs(5);
/// How often one that is not there is called again.
const CALL_EVERY: Duration = Duration::from_millis(50);
/// How long an address may be in use: by a process whose parent was killed.
const FREED_IN: Duration = Duration::from_secs(2);
/// How often it is said that one is waited for.
const SAY_EVERY: Duration = Duration::from_secs(10);
/// Those that may be at their first words at the same time: more are turned away.
const GREETED_MAX: usize = 256;

/// What both sides of every connection know.
#[derive(Debug)]
pub(super) struct Forming {
    /// What this process says of itself.
    pub hello: Hello,
    pub addresses: Vec<String>,
    pub tls: Option<Tls>,
    pub silence: Duration,
    pub controls: Arc<Controls>,
    pub session: Mutex<Option<Session>>,
    /// The connections on which this process was called.
    pub arrived: Sender<(usize, Kind, Pulsed)>,
    /// What was said last of one that was refused.
    pub said: Mutex<String>,
}

/// What a call came to.
enum Call {
    Done(Wire),
    /// It may succeed later.
    Later(String),
    Refused(Verdict),
}

impl Forming {
    pub(super) fn session(&self) -> Option<Session> {
        *self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers those who call, from now on.
    pub(super) fn listen(self: &Arc<Self>) -> Result<(), End> {
        let address = &self.addresses[self.hello.from as usize];
        let end = Instant::now() + FREED_IN;
        let listener = loop {
            match TcpListener::bind(address.as_str()) {
                Ok(listener) => break listener,
                Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < end => {
                    thread::sleep(CALL_EVERY);
                }
                Err(error) => return Err(cannot_listen(address, &error)),
            }
        };
        let forming = Arc::clone(self);
        thread::spawn(move || {
            let greeted = Arc::new(());
            loop {
                let Ok((tcp, from)) = listener.accept() else {
                    thread::sleep(CALL_EVERY);
                    continue;
                };
                if Arc::strong_count(&greeted) > GREETED_MAX {
                    continue;
                }
                let (forming, one) = (Arc::clone(&forming), Arc::clone(&greeted));
                // A thread that can't be started is a caller who tries again.
                let _ = thread::Builder::new().spawn(move || {
                    if let Err(words) = forming.greet(tcp) {
                        forming.say(format!("refused a connection from {from}: {words}"));
                    }
                    drop(one);
                });
            }
        });
        Ok(())
    }

    /// Says something once.
    fn say(&self, words: String) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if *said != words {
            say::note(&words);
            *said = words;
        }
    }

    fn greet(&self, tcp: TcpStream) -> Result<(), String> {
        let words = |error: io::Error| objection(&error).unwrap_or_else(|| error.to_string());
        first_words(&tcp).map_err(words)?;
        let mut open = Open::answer(tcp, self.tls.as_ref()).map_err(words)?;
        let preamble = read_preamble(&mut open).map_err(words)?;
        send_preamble(&mut open).map_err(words)?;
        preamble?;
        let theirs: Hello = receive(&mut open).map_err(words)?;
        let mine = Hello { to: theirs.from, session: self.session(), ..self.hello.clone() };
        let differences = mine.differences(&theirs);
        let from = theirs.from as usize;
        let verdict = match (theirs.session, mine.session) {
            _ if !differences.is_empty() => Verdict::Differs,
            // Before there is a session only process 0 is called, and for control alone.
            (None, _) if self.hello.from != 0 || theirs.kind != Kind::Control => Verdict::Wait,
            (None, _) if self.controls.has(from) => Verdict::Taken,
            (None, None) => Verdict::Welcome,
            (Some(_), None) => Verdict::Wait,
            (theirs, mine) if theirs == mine => Verdict::Welcome,
            _ => Verdict::Stale,
        };
        let answer = Answer { hello: mine, verdict };
        send(&mut open, &answer).map_err(words)?;
        match verdict {
            Verdict::Welcome => {}
            Verdict::Differs => return Err(format!("process {from}: {}", differences.join("; "))),
            Verdict::Taken => return Err(format!("process {from} is there already")),
            Verdict::Stale => return Err(format!("process {from} is of another session")),
            Verdict::Wait => return Ok(()),
        }
        let wire = open.into_wire().map_err(words)?;
        if theirs.kind == Kind::Control {
            self.controls.attach(from, wire).map_err(words)?;
        } else {
            let wire = Pulsed::new(wire, self.silence).map_err(words)?;
            let _ = self.arrived.send((from, theirs.kind, wire));
        }
        Ok(())
    }

    /// Calls a process until it answers.
    ///
    /// # Errors
    /// What will not mend by itself, or that this process is to stop.
    pub(super) fn call(&self, to: usize, kind: Kind) -> Result<Wire, End> {
        let mut said: Option<Instant> = None;
        let mut taken: Option<Instant> = None;
        loop {
            self.controls.go_on()?;
            let trouble = match self.call_once(to, kind)? {
                Call::Done(wire) => return Ok(wire),
                Call::Later(trouble) => trouble,
                Call::Refused(Verdict::Taken) => {
                    // One that is lost keeps its place until that is noticed.
                    let since = *taken.get_or_insert_with(Instant::now);
                    if since.elapsed() > self.silence * 2 {
                        let words = format!(
                            "another process {} of this job runs; end it, or give one another -p",
                            self.hello.from
                        );
                        return Err(End::new(FENCED, words));
                    }
                    "it has another process in this one's place".to_owned()
                }
                Call::Refused(Verdict::Stale) => "it is in another session".to_owned(),
                Call::Refused(_) => "it is not ready".to_owned(),
            };
            if said.is_none_or(|said| said.elapsed() > SAY_EVERY) {
                let address = &self.addresses[to];
                self.say(format!("waiting for process {to} at {address}: {trouble}"));
                said = Some(Instant::now());
            }
            thread::sleep(CALL_EVERY);
        }
    }

    fn call_once(&self, to: usize, kind: Kind) -> Result<Call, End> {
        let address = &self.addresses[to];
        let peer = format!("process {to} at {address}");
        let host = address.rsplit_once(':').map_or("", |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let later = |error: io::Error| match objection(&error) {
            Some(words) => Err(End::new(USAGE, format!("{peer}: {words}"))),
            None => Ok(Call::Later(error.to_string())),
        };
        let tcp = match connect(address, self.silence) {
            Ok(tcp) => tcp,
            Err(error) => return later(error),
        };
        let mut open = match Open::call(tcp, self.tls.as_ref(), host) {
            Ok(open) => open,
            Err(error) => return later(error),
        };
        let session = self.session();
        let mine = Hello { kind, to: to as u32, session, ..self.hello.clone() };
        let said = send_preamble(&mut open).and_then(|()| send(&mut open, &mine));
        match read_preamble(&mut open) {
            Ok(Ok(())) => {}
            Ok(Err(words)) => return Err(End::new(USAGE, format!("{peer}: {words}"))),
            Err(error) => return later(error),
        }
        let answer = match said.and_then(|()| receive::<Answer>(&mut open)) {
            Ok(answer) => answer,
            Err(error) => return later(error),
        };
        match answer.verdict {
            Verdict::Welcome => Ok(match open.into_wire() {
                Ok(wire) => Call::Done(wire),
                Err(error) => Call::Later(error.to_string()),
            }),
            Verdict::Differs => {
                let differences = mine.differences(&answer.hello).join("; ");
                Err(End::new(USAGE, format!("{peer}: {differences}")))
            }
            verdict => Ok(Call::Refused(verdict)),
        }
    }
}

fn cannot_listen(address: &str, error: &io::Error) -> End {
    if error.kind() == io::ErrorKind::AddrInUse {
        let words = format!(
            "something listens at {address} already: end the other copy of this process, or write \
             another port in all hostfiles"
        );
        return End::new(FENCED, words);
    }
    let words = format!(
        "can't listen at {address}: {error}; -p must be the number of this machine's line, from 0"
    );
    End::new(USAGE, words)
}

fn first_words(tcp: &TcpStream) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    tcp.set_read_timeout(Some(FIRST_WORDS))?;
    tcp.set_write_timeout(Some(FIRST_WORDS))
}

fn connect(address: &str, time: Duration) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for place in address.to_socket_addrs()?.collect::<Vec<SocketAddr>>() {
        match TcpStream::connect_timeout(&place, time) {
            Ok(tcp) => {
                first_words(&tcp)?;
                return Ok(tcp);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}
