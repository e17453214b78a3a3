//! Processes of one job, each with its parent as on a machine of its own, at addresses of their own
//! on this one.

mod certificates;
mod proxy;

pub use certificates::Certificates;
pub use proxy::Proxy;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::kafka::wait;

/// The parent on one machine, and its children; they end with the test.
pub struct Machine {
    parent: Child,
    said: PathBuf,
    /// The child that was sent a signal last.
    signalled: Option<u32>,
}

impl Machine {
    /// Starts `braid run JOB` with more arguments. What it says goes to `said`.
    pub fn start(braid: &Path, job: &Path, more: &[String], said: &Path) -> Self {
        let file = File::options().create(true).append(true).open(said).unwrap();
        let mut command = Command::new(braid);
        command.arg("run").arg(job).args(more).stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(file);
        Self { parent: command.spawn().unwrap(), said: said.into(), signalled: None }
    }

    /// What it has said so far.
    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.said).unwrap_or_default()
    }

    /// How it has ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.parent.try_wait().unwrap()
    }

    /// Waits for its end; gives the exit code.
    pub fn end(&mut self) -> Option<i32> {
        wait("a machine to end", || self.ended()).code()
    }

    /// The child that runs at present.
    pub fn child(&self) -> Option<u32> {
        let pid = self.parent.id();
        let list = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
        list.split_whitespace().next()?.parse().ok()
    }

    /// Waits until it says something.
    pub fn wait_said(&mut self, words: &str) {
        wait(&format!("{words:?}"), || {
            let said = self.said();
            assert!(self.ended().is_none() || said.contains(words), "no {words:?} in {said}");
            said.contains(words).then_some(())
        });
    }

    /// Sends the parent a signal.
    pub fn signal(&self, signal: &str) {
        assert!(send(self.parent.id(), signal), "{signal}");
    }

    /// Sends the child a signal: not one that was sent one before, but the one after it.
    pub fn signal_child(&mut self, signal: &str) {
        let last = self.signalled;
        self.signalled = Some(wait("a child", || {
            self.child().filter(|child| Some(*child) != last && send(*child, signal))
        }));
    }

    /// Ends parent and child as a power cut does.
    pub fn kill(mut self) {
        let child = self.child();
        self.parent.kill().unwrap();
        if let Some(child) = child {
            // It ends by itself when its parent is gone; whichever comes first.
            let _ = Command::new("kill").args(["-KILL", &child.to_string()]).output();
        }
        self.parent.wait().unwrap();
    }
}

/// Sends a process a signal, and says whether it is there.
fn send(pid: u32, signal: &str) -> bool {
    Command::new("kill").args([signal, &pid.to_string()]).output().unwrap().status.success()
}

impl Drop for Machine {
    fn drop(&mut self) {
        let child = self.child();
        let _ = self.parent.kill();
        let _ = self.parent.wait();
        if let Some(child) = child {
            // One that stands still does not see that its parent is gone.
            let _ = Command::new("kill").args(["-KILL", &child.to_string()]).output();
        }
    }
}

/// A job on several machines.
pub struct Team {
    braid: PathBuf,
    folder: PathBuf,
    /// Where each listens.
    addresses: Vec<String>,
    /// Where some are seen by another one, if not there.
    seen: Vec<(usize, usize, String)>,
    /// More arguments of all.
    more: Vec<String>,
    /// The machines that have been started.
    pub machines: Vec<Option<Machine>>,
}

impl Team {
    /// Machines for the job `job.toml` in a folder; none of them runs.
    pub fn new(braid: &Path, folder: &Path, processes: usize, more: &[&str]) -> Self {
        let (host, more) = (host(), more.iter().map(ToString::to_string).collect());
        let addresses = (0..processes).map(|p| format!("{host}:{}", 2101 + p)).collect();
        let machines = (0..processes).map(|_| None).collect();
        Self {
            braid: braid.into(),
            folder: folder.into(),
            addresses,
            seen: Vec::new(),
            more,
            machines,
        }
    }

    /// Where a process listens.
    pub fn address(&self, process: usize) -> &str {
        &self.addresses[process]
    }

    /// Lets a process see another one at another address.
    pub fn see(&mut self, process: usize, other: usize, address: &str) {
        self.seen.push((process, other, address.to_owned()));
    }

    /// Starts a process.
    pub fn start(&mut self, process: usize) {
        self.start_with(process, &[]);
    }

    /// Starts all processes, process 0 last; one of them is to do something at a moment of its own
    /// (`--crash-at`).
    pub fn start_all_and(&mut self, one: usize, crash_at: &str) {
        for process in (0..self.machines.len()).rev() {
            let more = if process == one { &["--crash-at", crash_at][..] } else { &[] };
            self.start_with(process, more);
        }
    }

    fn start_with(&mut self, process: usize, more: &[&str]) {
        let (job, mut addresses) = (self.folder.join("job.toml"), self.addresses.clone());
        for (_, other, address) in self.seen.iter().filter(|(p, ..)| *p == process) {
            addresses[*other].clone_from(address);
        }
        self.machines[process] = Some(self.machine(process, &job, &addresses, more));
    }

    /// Starts all processes, process 0 last.
    pub fn start_all(&mut self) {
        (0..self.machines.len()).rev().for_each(|process| self.start(process));
    }

    /// A machine that is not one of the team, with a job file and a hostfile of its own.
    pub fn machine(
        &self,
        process: usize,
        job: &Path,
        addresses: &[String],
        more: &[&str],
    ) -> Machine {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let hostfile = self.folder.join(format!("hosts-{process}-{number}"));
        std::fs::write(&hostfile, addresses.join("\n")).unwrap();
        let count = addresses.len();
        let mut all: Vec<String> =
            ["-n", &count.to_string(), "-p", &process.to_string()].map(ToOwned::to_owned).into();
        all.extend(["--hostfile".to_owned(), hostfile.to_string_lossy().into_owned()]);
        all.extend(self.more.iter().cloned());
        all.extend(more.iter().map(ToString::to_string));
        Machine::start(
            &self.braid,
            job,
            &all,
            &self.folder.join(format!("said-{process}-{number}")),
        )
    }

    /// A machine of the team.
    pub fn at(&mut self, process: usize) -> &mut Machine {
        self.machines[process].as_mut().expect("it was started")
    }

    /// Waits for the ends of all; gives the exit codes and what was said.
    pub fn end_all(&mut self) -> (Vec<Option<i32>>, String) {
        let machines = || 0..self.machines.len();
        let codes = machines().map(|p| self.machines[p].as_mut().and_then(Machine::end));
        let codes: Vec<Option<i32>> = codes.collect();
        let said =
            self.machines.iter().flatten().map(Machine::said).collect::<Vec<_>>().join("--\n");
        (codes, said)
    }
}

/// An address of this machine that nobody else uses: by the process and a number.
pub fn host() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let (pid, number) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    format!("127.{}.{}.{}", 16 + (pid >> 8) % 200, pid % 256, number % 250 + 1)
}
