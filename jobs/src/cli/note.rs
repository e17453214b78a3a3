//! The note that a run leaves in its output folder, `listen`: where it answers, if it does. It
//! keeps the note locked, so that it is known to be on where it does not answer. Nothing depends on
//! the note but what `braid status` says.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::thread;

/// Where the note is.
pub(super) fn path(out: &Path) -> PathBuf {
    out.join("listen")
}

/// Leaves the note; it stays locked until this process ends, however it does.
///
/// # Errors
///
/// It can't be written.
pub(super) fn leave(out: &Path, address: Option<SocketAddr>) -> io::Result<()> {
    fs::create_dir_all(out)?;
    let mut file = File::options().create(true).truncate(false).write(true).open(path(out))?;
    file.set_len(0)?;
    if let Some(address) = address {
        writeln!(file, "{address}")?;
    }
    // Whoever looks at it holds it for a moment, and a run that is being fenced off for longer.
    let keep = move || {
        if file.lock().is_ok() {
            loop {
                thread::park();
            }
        }
    };
    thread::Builder::new().name("note".to_owned()).spawn(keep).map(drop)
}

/// Where the last run that left a note answers, or did.
pub(super) fn address(out: &Path) -> Option<SocketAddr> {
    fs::read_to_string(path(out)).ok()?.trim().parse().ok()
}

/// Whether a run is on; `None` if that can't be told.
pub(super) fn is_on(out: &Path) -> Option<bool> {
    let file = File::open(path(out)).ok()?;
    match file.try_lock_shared() {
        // Let go with the file.
        Ok(()) => Some(false),
        Err(TryLockError::WouldBlock) => Some(true),
        Err(TryLockError::Error(_)) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn a_run_is_known_to_be_on_wherever_it_answers() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        assert_eq!((address(&out), is_on(&out)), (None, None), "there is no note");
        fs::create_dir_all(&out).unwrap();
        fs::write(path(&out), "127.0.0.1:9464\n").unwrap();
        let old = Some(SocketAddr::from(([127, 0, 0, 1], 9464)));
        assert_eq!((address(&out), is_on(&out)), (old, Some(false)), "its run has ended");
        leave(&out, None).unwrap();
        let begun = Instant::now();
        while is_on(&out) != Some(true) && begun.elapsed() < Duration::from_secs(20) {
            thread::sleep(Duration::from_millis(5));
        }
        assert_eq!((address(&out), is_on(&out)), (None, Some(true)), "it answers nowhere");
    }
}
