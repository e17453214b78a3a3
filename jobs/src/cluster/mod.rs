//! One job on several machines: processes that find, watch and end each other.
//!
//! Process 0 reads the sources, mints bindings and writes the outputs, as the only process of a job
//! does; the others lend it workers. So all that makes a job exact and exactly-once is in one
//! place, and a cluster adds only this:
//!
//! - **forming**: sockets, TLS, and first words, which compare everything that must be equal.
//! - **control**: heartbeats; a process that is lost ends all others of its session.
//! - **pulse**: the connections for records show by themselves whether they are alive.
//! - **link**: records from process 0 to the workers elsewhere, and what comes of them back.
//! - **parent**: on each machine a process that starts the next one when a session has ended.
//!
//! A session begins with the generation that follows from the bindings; what a process of an
//! earlier one still says is heard by nobody, for its connections are those of its session.

mod control;
mod forming;
mod hello;
mod hosts;
mod lifeline;
mod link;
mod parent;
mod pulse;
mod seat;
mod tls;
mod wire;

use std::any::Any;
use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, SystemTime};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use timely::communication::Hooks;
use timely::communication::allocator::zero_copy::initialize::initialize_networking_from_sockets;
use timely::communication::allocator::{AllocatorBuilder, ProcessBuilder};

use self::control::Controls;
use self::forming::Forming;
pub use self::hello::Session;
use self::hello::{Hello, Kind, placement};
pub use self::hosts::addresses;
pub use self::lifeline::hold;
pub(crate) use self::link::Addressed;
pub use self::parent::{Child, watch};
use self::pulse::Pulsed;
pub(crate) use self::seat::{Seat, Seated, seats};
use self::tls::Tls;
pub use self::tls::TlsFiles;
use crate::serve::Board;

/// Exit code: usage or job file.
const USAGE: u8 = 2;
/// Exit code: another copy is on.
const FENCED: u8 = 4;
/// Exit code of a child whose session has ended: the next one begins.
const LOST: u8 = 5;
/// Exit code of a child that was told to stop.
const STOPPED: u8 = 6;
/// Exit code of a child that was told to end so that another one begins.
const ANEW: u8 = 7;
/// How often a flag is looked at while something is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// How long a process may say nothing before it is lost, if nothing else is said.
pub const SILENCE: Duration = Duration::from_secs(10);
/// The least that may be said: some heartbeats.
pub const SILENCE_MIN: Duration = Duration::from_secs(1);

/// Why a process of a cluster ends.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct End {
    /// The exit code.
    pub code: u8,
    /// For a person; empty if there is nothing to say.
    pub words: String,
    /// The process that says so; `None` for this one.
    from: Option<usize>,
}

impl End {
    /// An end of this process.
    pub fn new(code: u8, words: String) -> Self {
        Self { code, words, from: None }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

/// What a process knows of the cluster before it sees another one.
#[derive(Clone, Debug)]
pub struct Setup {
    /// How many processes there are.
    pub processes: usize,
    /// Which of them this is.
    pub process: usize,
    /// Worker threads of each.
    pub workers: usize,
    /// Where each listens.
    pub addresses: Vec<String>,
    /// TLS, if it is wanted.
    pub tls: Option<TlsFiles>,
    /// How long a process may say nothing before it is lost.
    pub silence: Duration,
    /// Hash of the job.
    pub job: String,
}

/// A process in its cluster.
#[derive(Debug)]
pub struct Cluster {
    setup: Setup,
    forming: Arc<Forming>,
    controls: Arc<Controls>,
    arrived: Receiver<(usize, Kind, Pulsed)>,
    go: Receiver<Session>,
    board: Arc<Board>,
}

/// The connections of a session, by process.
pub(crate) struct Peers {
    data: Vec<Option<Pulsed>>,
    /// Between process 0 and each other.
    links: Vec<Option<Pulsed>>,
}

/// The worker threads of this process, to be started.
pub(crate) type Allocators = (Vec<AllocatorBuilder>, Box<dyn Any + Send>);

impl Cluster {
    /// Listens; process 0 waits for all others, and they for it. What keeps this process from
    /// taking part ends it.
    ///
    /// # Errors
    /// The files of TLS can't be used.
    pub fn form(
        setup: Setup,
        stop: &Arc<AtomicBool>,
        restart: &Arc<AtomicBool>,
        board: &Arc<Board>,
    ) -> Result<Self, End> {
        let cluster = Self::new(setup, stop, restart, board)?;
        say_lost_connections(&cluster.controls);
        if let Err(end) = cluster.meet() {
            cluster.leave(&end);
        }
        Ok(cluster)
    }

    /// A process that has not met the others yet.
    fn new(
        setup: Setup,
        stop: &Arc<AtomicBool>,
        restart: &Arc<AtomicBool>,
        board: &Arc<Board>,
    ) -> Result<Self, End> {
        let tls = setup.tls.as_ref().map(Tls::load).transpose();
        let tls = tls.map_err(|words| End::new(USAGE, words))?;
        let (arrived, arrives) = unbounded();
        let (go, goes) = unbounded();
        let (me, flags) = (setup.process, (Arc::clone(stop), Arc::clone(restart)));
        let controls = Controls::start((me, setup.processes), setup.silence, flags, go, board);
        let forming = Arc::new(Forming {
            hello: Hello {
                kind: Kind::Control,
                from: me as u32,
                to: 0,
                job: setup.job.clone(),
                processes: setup.processes as u32,
                workers: setup.workers as u32,
                placement: placement(),
                session: None,
            },
            addresses: setup.addresses.clone(),
            tls,
            silence: setup.silence,
            controls: Arc::clone(&controls),
            session: Mutex::default(),
            arrived,
            said: Mutex::default(),
        });
        let board = Arc::clone(board);
        Ok(Self { setup, forming, controls, arrived: arrives, go: goes, board })
    }

    fn meet(&self) -> Result<(), End> {
        self.forming.listen()?;
        if self.setup.process == 0 {
            while self.controls.count() + 1 < self.setup.processes {
                self.look()?;
            }
        } else {
            self.call(0, Kind::Control)?;
        }
        Ok(())
    }

    /// Whether this process goes on waiting for others, which come when they come: it is well
    /// meanwhile.
    fn look(&self) -> Result<(), End> {
        self.controls.go_on()?;
        self.board.beat();
        thread::sleep(LOOK_EVERY);
        Ok(())
    }

    /// Calls a process; gives the connection if it is not one for control.
    fn call(&self, to: usize, kind: Kind) -> Result<Option<Pulsed>, End> {
        let wire = self.forming.call(to, kind)?;
        let called = match kind {
            Kind::Control => self.controls.attach(to, wire).map(|_| None),
            Kind::Data | Kind::Link => Pulsed::new(wire, self.setup.silence).map(Some),
        };
        called.map_err(|error| End::new(LOST, format!("process {to}: {error}")))
    }

    /// Which process this is.
    pub fn process(&self) -> usize {
        self.setup.process
    }

    /// How many processes there are.
    pub(crate) fn processes(&self) -> usize {
        self.setup.processes
    }

    /// At process 0: begins a session, and waits for the connections of the others.
    pub(crate) fn begin(&self, generation: u64) -> Result<Peers, End> {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let mark = since.map_or(0, |since| since.as_nanos() as u64) ^ u64::from(std::process::id());
        self.open(Session { generation, mark })?;
        self.gather(2 * (self.setup.processes - 1))
    }

    /// At another process: waits until process 0 begins a session, and connects to the others.
    pub(crate) fn join(&self) -> Result<(Session, Peers), End> {
        // If process 0 is lost before it says so, that ends this process.
        let gone = |_| End::new(LOST, "the control thread ended".to_owned());
        let session = self.go.recv().map_err(gone)?;
        self.open(session)?;
        let me = self.setup.process;
        let mut called = Vec::new();
        for to in 0..me {
            let kinds =
                if to == 0 { [Kind::Data, Kind::Link] } else { [Kind::Control, Kind::Data] };
            for kind in kinds {
                called.extend(self.call(to, kind)?.map(|wire| (to, kind, wire)));
            }
        }
        // From those after it come connections for control and data.
        let mut peers = self.gather(self.setup.processes - 1 - me)?;
        called.into_iter().for_each(|one| peers.put(one));
        Ok((session, peers))
    }

    fn open(&self, session: Session) -> Result<(), End> {
        let known = self.forming.session.lock();
        // Nobody panics while holding it.
        known.unwrap_or_else(std::sync::PoisonError::into_inner).replace(session);
        self.controls.begin(session)
    }

    fn gather(&self, count: usize) -> Result<Peers, End> {
        let none = || (0..self.setup.processes).map(|_| None).collect();
        let mut peers = Peers { data: none(), links: none() };
        let mut left = count;
        while left > 0 {
            match self.arrived.recv_timeout(LOOK_EVERY) {
                Ok(one) => {
                    peers.put(one);
                    left -= 1;
                }
                Err(RecvTimeoutError::Timeout) => self.look()?,
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(End::new(LOST, "no longer listening".to_owned()));
                }
            }
        }
        Ok(peers)
    }

    /// The worker threads of this process, connected with all others.
    pub(crate) fn allocators(&self, peers: &mut Peers) -> Result<Allocators, End> {
        let (hooks, workers) = (Hooks::default(), self.setup.workers);
        let inner = ProcessBuilder::new_typed_vector(workers, hooks.refill.clone(), None);
        let data = std::mem::take(&mut peers.data);
        let me = self.setup.process;
        let (builders, guard) = initialize_networking_from_sockets(inner, data, me, workers, hooks)
            .map_err(|error| End::new(LOST, format!("can't start connections: {error}")))?;
        Ok((builders.into_iter().map(AllocatorBuilder::Tcp).collect(), Box::new(guard)))
    }

    /// Sends everything that comes to `process`, and hands on what it sends, until both have hung
    /// up. Gives the thread that sends.
    pub(crate) fn exchange<Out, In>(
        &self,
        peers: &mut Peers,
        process: usize,
        out: Receiver<Out>,
        hand_on: impl FnMut(In) + Send + 'static,
    ) -> Option<thread::JoinHandle<()>>
    where
        Out: Serialize + Send + 'static,
        In: DeserializeOwned + 'static,
    {
        use timely::communication::allocator::zero_copy::stream::Stream as _;
        let near = peers.links[process].take()?;
        let far = near.try_clone().ok()?;
        let controls = Arc::clone(&self.controls);
        thread::spawn(move || {
            if let Err(error) = link::hand_on(far, hand_on) {
                controls.broken(process, &error.to_string());
            }
        });
        let controls = Arc::clone(&self.controls);
        Some(thread::spawn(move || {
            if let Err(error) = link::forward(near, &out) {
                controls.broken(process, &error.to_string());
            }
        }))
    }

    /// What a worker that panics does: it ends all processes, with its words.
    pub(crate) fn fail(&self) -> impl Fn(&str) + Send + Sync + 'static {
        let controls = Arc::clone(&self.controls);
        move |words| controls.leave(1, &format!("a worker stopped: {words}"))
    }

    /// Ends all processes: with the code of what went wrong, or because all is done, or because
    /// that was wished.
    pub fn leave(&self, end: &End) -> ! {
        self.controls.leave(end.code, &end.words)
    }

    /// What to end with when all that was read is written.
    pub fn done(&self) -> End {
        self.controls.go_on().err().unwrap_or(End::new(0, String::new()))
    }
}

impl Peers {
    fn put(&mut self, (process, kind, wire): (usize, Kind, Pulsed)) {
        match kind {
            Kind::Data => self.data[process] = Some(wire),
            Kind::Link => self.links[process] = Some(wire),
            Kind::Control => {}
        }
    }
}

/// What timely's words begin with when a connection is lost.
const TIMELY_SAYS: &str = "timely communication error: ";

/// A thread of timely's that loses its connection panics. That ends this process as any other lost
/// connection does.
fn say_lost_connections(controls: &Arc<Controls>) {
    let controls = Arc::clone(controls);
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let thread = thread::current();
        let name = thread.name().unwrap_or_default();
        let other = name.strip_prefix("timely:send-").or(name.strip_prefix("timely:recv-"));
        if let Some(process) = other.and_then(|index| index.parse().ok()) {
            let words = panic.payload().downcast_ref::<String>().map_or("", String::as_str);
            controls.broken(process, words.strip_prefix(TIMELY_SAYS).unwrap_or(words));
        }
        before(panic);
    }));
}

/// A sender to a worker, wherever it is.
pub(crate) enum Inbox<T> {
    /// In this process.
    Here(Seated<T>),
    /// In another one: its place there.
    There(Sender<Addressed<T>>, u32),
}

impl<T> Inbox<T> {
    /// Sends, and says false if nobody takes it any more.
    pub(crate) fn send(&self, message: T) -> bool {
        match self {
            Self::Here(inbox) => inbox.send(message),
            Self::There(inbox, worker) => inbox.send((*worker, message)).is_ok(),
        }
    }

    /// Sends what any worker of its process may take, with the stage that it belongs to.
    pub(crate) fn pile(&self, stage: u64, message: T) -> bool {
        match self {
            Self::Here(inbox) => inbox.pile(stage, message),
            Self::There(..) => self.send(message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Others may come long after process 0, and it is not to be restarted for that.
    #[test]
    fn waiting_for_others_is_no_standing_still() {
        let setup = Setup {
            processes: 2,
            process: 0,
            workers: 1,
            addresses: vec!["localhost:1".to_owned(); 2],
            tls: None,
            silence: SILENCE,
            job: "job".to_owned(),
        };
        let board = Arc::default();
        let cluster = Cluster::new(setup, &Arc::default(), &Arc::default(), &board).unwrap();
        board.stand_still();
        cluster.look().unwrap();
        assert!(board.is_healthy());
    }
}
