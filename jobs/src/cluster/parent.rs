//! The parent on each machine: starts a process of the cluster, and another one when it has ended.

use std::ffi::OsString;
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::lifeline::{RESTART, STOP};
use super::wire::nothing_yet;
use super::{ANEW, FENCED, LOST, STOPPED, USAGE};
use crate::runtime::DISK_FULL;
use crate::say;

/// The pause before the next child, doubled each time up to the longest.
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// A child that lived so long did not fail at once: pauses and failures are counted anew.
const LIVED: Duration = Duration::from_mins(1);
/// So many failures of the job itself in a row are not mended by another try.
const FAILURES_MAX: u32 = 5;
/// How often flags are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What a parent starts.
#[derive(Clone, Debug)]
pub struct Child {
    /// The command.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// More arguments of the first one.
    pub first: Vec<OsString>,
    /// Which process of the cluster it is, for messages.
    pub process: usize,
    /// How long it may say nothing before it is killed.
    pub silence: Duration,
    /// Whether the job ends by itself: one that is stopped before has not done all.
    pub bounded: bool,
}

/// Starts children, one after the other, until one has done its work or failed for good. Gives the
/// exit code.
pub fn watch(child: &Child, stop: &AtomicBool, restart: &Arc<AtomicBool>) -> u8 {
    let stopped = u8::from(child.bounded);
    let (mut pause, mut failures, mut first) = (PAUSE, 0, Some(&child.first));
    loop {
        let begun = Instant::now();
        let status = match one(child, first.take(), stop, restart) {
            Ok(status) => status,
            Err(error) => {
                say::fail(format_args!("can't start {}: {error}", child.program.display()));
                return 1;
            }
        };
        let code = status.code().map(|code| code as u8);
        let failed = if code == Some(DISK_FULL) { DISK_FULL } else { 1 };
        match code {
            Some(STOPPED) => return stopped,
            Some(0 | USAGE | 3 | FENCED) => return code.unwrap_or(1),
            Some(ANEW) => (pause, failures) = (PAUSE, 0),
            Some(LOST) | None => failures = 0,
            Some(_) => failures += 1,
        }
        if stop.load(Ordering::Acquire) {
            return if matches!(code, Some(LOST | ANEW)) { stopped } else { failed };
        }
        if begun.elapsed() > LIVED {
            (pause, failures) = (PAUSE, failures.min(1));
        }
        if failures >= FAILURES_MAX {
            say::fail(format_args!("failed {failures} times in a row; giving up"));
            return failed;
        }
        say::note(format_args!(
            "process {} ended ({}); the next generation begins in {} s",
            child.process,
            ended(status),
            pause.as_secs_f64()
        ));
        let until = Instant::now() + pause;
        while Instant::now() < until {
            if stop.load(Ordering::Acquire) {
                return stopped;
            }
            thread::sleep(LOOK_EVERY.min(until.saturating_duration_since(Instant::now())));
        }
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

fn ended(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) if code == i32::from(LOST) => "its session is over".to_owned(),
        (Some(code), _) => format!("code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "for no stated reason".to_owned(),
    }
}

/// Starts a child and stays with it to its end.
fn one(
    child: &Child,
    first: Option<&Vec<OsString>>,
    stop: &AtomicBool,
    restart: &AtomicBool,
) -> io::Result<ExitStatus> {
    let (mut near, far) = UnixStream::pair()?;
    near.set_read_timeout(Some(LOOK_EVERY))?;
    let mut command = Command::new(&child.program);
    let mut process = command
        .args(&child.arguments)
        .args(first.into_iter().flatten())
        .stdin(Stdio::from(OwnedFd::from(far)))
        .spawn()?;
    // It holds the child's end.
    drop(command);
    let (mut heard, mut told) = (Instant::now(), false);
    let mut beats = [0; 64];
    loop {
        match near.read(&mut beats) {
            // It has ended, or is about to.
            Ok(0) => return process.wait(),
            Ok(_) => heard = Instant::now(),
            Err(error) if nothing_yet(&error) => {
                if heard.elapsed() > child.silence {
                    let silence = child.silence.as_secs_f64();
                    say::note(format_args!(
                        "process {} stands still for {silence} s",
                        child.process
                    ));
                    process.kill()?;
                    return process.wait();
                }
            }
            Err(_) => {
                process.kill()?;
                return process.wait();
            }
        }
        if stop.load(Ordering::Acquire) && !told {
            told = near.write_all(&[STOP]).is_ok();
        } else if restart.swap(false, Ordering::AcqRel) {
            // If it can't be told, it is ending.
            let _ = near.write_all(&[RESTART]);
        }
    }
}
