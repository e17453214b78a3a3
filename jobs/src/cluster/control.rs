//! Heartbeats, and what processes tell each other while they run: stop, end, why.
//!
//! Every pair of processes has a connection for this alone. A process that says nothing for
//! `silence` on it, or whose connection ends, is lost, and the others end at once, as if killed:
//! whatever that leaves, the next generation makes good from the bindings.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Sender, unbounded};
use serde::{Deserialize, Serialize};
use signal_hook::low_level::exit;
use timely::communication::allocator::zero_copy::stream::Stream as _;

use super::hello::Session;
use super::wire::{Wire, receive, send, timed_out};
use super::{ANEW, End, LOST, STOPPED};
use crate::say;
use crate::serve::Board;

/// How often a process says that it is there.
const BEAT_EVERY: Duration = Duration::from_millis(200);
/// How long a broken connection waits for somebody to say why before it is called lost.
const GRACE: Duration = Duration::from_secs(2);
/// How long the last words wait for a process that does not read.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What is said on a control connection.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) enum Message {
    /// I am there.
    Beat,
    /// From process 0: all are here, and this is the session.
    Go(Session),
    /// To process 0: end in order what has been read, and all processes; or start them anew.
    Stop { restart: bool },
    /// The sender ends, and so must all others.
    End(End),
}

/// Another process.
#[derive(Debug)]
struct Peer {
    writer: Wire,
    heard: Instant,
}

/// The control connections of a process.
#[derive(Debug)]
pub(super) struct Controls {
    me: usize,
    silence: Duration,
    peers: Mutex<Vec<Option<Peer>>>,
    /// Whether the session is known: from then on a lost process ends this one.
    begun: AtomicBool,
    leaving: AtomicBool,
    stop: Arc<AtomicBool>,
    restart: Arc<AtomicBool>,
    go: Sender<Session>,
    board: Arc<Board>,
}

impl Controls {
    pub(super) fn start(
        (me, processes): (usize, usize),
        silence: Duration,
        (stop, restart): (Arc<AtomicBool>, Arc<AtomicBool>),
        go: Sender<Session>,
        board: &Arc<Board>,
    ) -> Arc<Self> {
        let controls = Arc::new(Self {
            me,
            silence,
            peers: Mutex::new((0..processes).map(|_| None).collect()),
            begun: AtomicBool::new(false),
            leaving: AtomicBool::new(false),
            stop,
            restart,
            go,
            board: Arc::clone(board),
        });
        let beating = Arc::clone(&controls);
        thread::spawn(move || beating.beat());
        controls
    }

    fn peers(&self) -> MutexGuard<'_, Vec<Option<Peer>>> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is a process in this place.
    pub(super) fn has(&self, index: usize) -> bool {
        self.peers()[index].is_some()
    }

    /// How many others are there.
    pub(super) fn count(&self) -> usize {
        self.peers().iter().flatten().count()
    }

    /// The process `index` is there. Says false when another one is in its place.
    pub(super) fn attach(self: &Arc<Self>, index: usize, wire: Wire) -> std::io::Result<bool> {
        wire.set_patience(Some(self.silence))?;
        let writer = wire.try_clone()?;
        let mut peers = self.peers();
        if peers[index].is_some() {
            return Ok(false);
        }
        peers[index] = Some(Peer { writer, heard: Instant::now() });
        drop(peers);
        let controls = Arc::clone(self);
        thread::spawn(move || controls.listen(index, wire));
        Ok(true)
    }

    /// The session is known; process 0 tells the others.
    ///
    /// # Errors
    /// One of them has just been lost.
    pub(super) fn begin(&self, session: Session) -> Result<(), End> {
        let peers = self.peers();
        self.begun.store(true, Ordering::Release);
        let whole = peers.iter().flatten().count() + 1 == peers.len();
        drop(peers);
        if self.me == 0 && !whole {
            return Err(End::new(LOST, "a process went as all were there".to_owned()));
        }
        if self.me == 0 {
            self.tell_all(&Message::Go(session));
        }
        Ok(())
    }

    /// Whether this process is to go on.
    ///
    /// # Errors
    /// It was told to stop, or to end so that another one begins.
    pub(super) fn go_on(&self) -> Result<(), End> {
        match (self.stop.load(Ordering::Acquire), self.restart.load(Ordering::Acquire)) {
            (false, _) => Ok(()),
            (true, false) => Err(End::new(STOPPED, String::new())),
            (true, true) => Err(End::new(ANEW, String::new())),
        }
    }

    fn tell_all(&self, message: &Message) {
        for peer in self.peers().iter_mut().flatten() {
            // Whoever can't be told is lost, and the thread that listens to it finds that out.
            let _ = send(&mut peer.writer, message);
        }
    }

    fn beat(&self) {
        let mut told = false;
        loop {
            thread::sleep(BEAT_EVERY);
            self.tell_all(&Message::Beat);
            let mut peers = self.peers();
            if !told && self.me != 0 && self.stop.load(Ordering::Acquire) {
                let restart = self.restart.load(Ordering::Acquire);
                if let Some(first) = &mut peers[0] {
                    told = send(&mut first.writer, &Message::Stop { restart }).is_ok();
                }
            }
            let here = peers.iter().flatten().count() + 1;
            let silent = peers.iter().enumerate();
            let silent = silent.filter_map(|(index, peer)| {
                Some((index, peer.as_ref()?.heard.elapsed().as_secs_f64()))
            });
            let silent = silent.collect();
            drop(peers);
            if self.me != 0 {
                // Whoever only lends workers is well as long as it hears the others.
                self.board.beat();
            }
            let mut figures = self.board.figures();
            (figures.processes, figures.silent_s) = (here, silent);
        }
    }

    fn listen(&self, index: usize, mut wire: Wire) {
        loop {
            match receive(&mut wire) {
                Ok(Message::Beat) => {}
                // Nobody waits for it any more when the process is about to end.
                Ok(Message::Go(session)) => drop(self.go.send(session)),
                Ok(Message::Stop { restart }) => {
                    self.restart.fetch_or(restart, Ordering::AcqRel);
                    self.stop.store(true, Ordering::Release);
                }
                Ok(Message::End(end)) => {
                    self.leave_as(End { from: end.from.or(Some(index)), ..end }, Some(index));
                }
                Err(error) => {
                    let silence = self.silence.as_secs_f64();
                    let why = if timed_out(&error) {
                        format!("process {index} says nothing for {silence} s")
                    } else {
                        format!("process {index} is gone")
                    };
                    return self.lost(index, &why);
                }
            }
            if let Some(peer) = &mut self.peers()[index] {
                peer.heard = Instant::now();
            }
        }
    }

    fn lost(&self, index: usize, why: &str) {
        let mut peers = self.peers();
        if self.me == 0 && !self.begun.load(Ordering::Acquire) {
            peers[index] = None;
            say::note(format_args!("{why}; waiting for it"));
            return;
        }
        drop(peers);
        if self.me != 0 && index != 0 {
            // Process 0 may be about to say that all is done.
            thread::sleep(GRACE);
        }
        self.leave(LOST, why);
    }

    /// A connection with a process broke. Does not return.
    pub(super) fn broken(&self, index: usize, why: &str) -> ! {
        thread::sleep(GRACE);
        self.leave(LOST, &format!("a connection with process {index} broke: {why}"))
    }

    /// Ends this process, and tells the others to. Says why, if there is anything to say.
    pub(super) fn leave(&self, code: u8, words: &str) -> ! {
        self.leave_as(End { code, words: words.to_owned(), from: None }, None)
    }

    fn leave_as(&self, end: End, told_by: Option<usize>) -> ! {
        if self.leaving.swap(true, Ordering::AcqRel) {
            // The thread that was first ends the process.
            loop {
                thread::park();
            }
        }
        if !end.words.is_empty() {
            match end.from {
                Some(process) => say::fail(format_args!("process {process}: {}", end.words)),
                None => say::fail(&end.words),
            }
        }
        let code = end.code;
        if told_by.is_none() || self.me == 0 {
            self.last_words(end, told_by);
        }
        let _ = std::io::stdout().flush();
        exit(i32::from(code))
    }

    /// Tells all others but the one that said it, and waits a moment until they have hung up: with
    /// TLS what this process has written is not yet on its way when it ends.
    fn last_words(&self, end: End, told_by: Option<usize>) {
        let message = Message::End(end);
        let (done, waits) = unbounded::<()>();
        for (index, peer) in self.peers().iter_mut().enumerate() {
            let Some(mut peer) = peer.take().filter(|_| Some(index) != told_by) else { continue };
            let (message, done) = (message.clone(), done.clone());
            thread::spawn(move || {
                let _ = send(&mut peer.writer, &message);
                let _ = peer.writer.shutdown(Shutdown::Write);
                let _ = peer.writer.set_patience(Some(LAST_WORDS));
                while matches!(peer.writer.read(&mut [0; 64]), Ok(1..)) {}
                drop(done);
            });
        }
        drop(done);
        let _ = waits.recv_timeout(LAST_WORDS);
    }
}
