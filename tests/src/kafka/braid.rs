//! The `braid` command as a process, killed or stopped from outside or at a moment of its own.

use std::fs::File;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use super::wait;

/// A running `braid run job.toml`; it ends with the test.
pub struct Braid {
    child: Child,
    /// What it says on standard error.
    said: PathBuf,
}

impl Braid {
    /// Starts it on `job.toml` in a folder.
    pub fn start(braid: &Path, folder: &Path, more: &[&str]) -> Self {
        let said = folder.join("said");
        let mut command = Command::new(braid);
        command.args(["run", "job.toml", "--workers", "2"]).args(more).current_dir(folder);
        command.stdout(Stdio::null()).stderr(File::create(&said).unwrap());
        Self { child: command.spawn().unwrap(), said }
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has said so far.
    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.said).unwrap_or_default()
    }

    /// How it has ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Ends it as a crash does. It must be running.
    pub fn kill9(mut self) {
        assert_eq!(self.ended(), None, "the job ended by itself: {}", self.said());
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends a signal.
    pub fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    /// SIGTERM; gives the exit code, -9 where it was killed on the way.
    pub fn term(mut self) -> i32 {
        self.signal("-TERM");
        let status = wait("the job to end in order", || self.ended());
        status.code().unwrap_or_else(|| -status.signal().unwrap_or(0))
    }

    /// Whether it stands still, having sent itself SIGSTOP.
    pub fn stands_still(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()));
        // The state is the first word after the name, which is in parentheses.
        stat.is_ok_and(|stat| stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T')))
    }

    /// Bytes of memory in use.
    pub fn resident(&self) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let text = text.unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line.and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok());
        kilobytes.unwrap_or(0) * 1024
    }
}

impl Drop for Braid {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
