//! Between a parent and its child: a socket that is the child's standard input.
//!
//! The child sends a byte now and then, so that the parent sees that it runs; the parent sends a
//! byte when the child is to stop or to start anew. When one of them ends, however it ends, the
//! other reads that from the socket.

use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use signal_hook::low_level::exit;

use super::LOST;
use super::wire::nothing_yet;
use crate::say;

/// The parent's word to end in order.
pub(super) const STOP: u8 = b's';
/// The parent's word to end in order and begin anew.
pub(super) const RESTART: u8 = b'r';
/// The child's word that it runs.
const BEAT: u8 = b'.';
/// How often the child says so.
const BEAT_EVERY: Duration = Duration::from_millis(200);

/// In a child: listens to the parent from now on, and ends this process when the parent is gone.
///
/// # Errors
/// Standard input is no socket.
pub fn hold(stop: &Arc<AtomicBool>, restart: &Arc<AtomicBool>) -> std::io::Result<()> {
    let mut parent = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    parent.set_read_timeout(Some(BEAT_EVERY))?;
    parent.set_write_timeout(Some(BEAT_EVERY))?;
    let (stop, restart) = (Arc::clone(stop), Arc::clone(restart));
    thread::Builder::new().name("lifeline".to_owned()).spawn(move || {
        loop {
            // A parent that stands still is no reason to stop.
            let _ = parent.write_all(&[BEAT]);
            let mut word = [0];
            match parent.read(&mut word) {
                Ok(1) => {
                    restart.fetch_or(word[0] == RESTART, Ordering::AcqRel);
                    stop.store(true, Ordering::Release);
                }
                Err(error) if nothing_yet(&error) => {}
                Ok(_) | Err(_) => {
                    say::note("its parent is gone; ending");
                    exit(i32::from(LOST));
                }
            }
        }
    })?;
    Ok(())
}
