//! What commands say on standard output. Whoever reads it may go away, as `head` does: the command
//! then ends as it would have, and says no more.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};
use std::sync::atomic::{AtomicU8, Ordering};

use crate::say;

/// Everything was written so far.
const OPEN: u8 = 0;
/// Nobody reads any more.
const GONE: u8 = 1;
/// Something could not be written.
const FAILED: u8 = 2;

static STATE: AtomicU8 = AtomicU8::new(OPEN);

/// What follows from an attempt to write.
fn heed(result: &io::Result<()>) -> u8 {
    match result {
        Ok(()) => OPEN,
        Err(error) if error.kind() == ErrorKind::BrokenPipe => GONE,
        Err(_) => FAILED,
    }
}

/// Says something, and a line ends.
pub(super) fn line(words: impl Display) {
    text(format_args!("{words}\n"));
}

/// Says something.
pub(super) fn text(words: impl Display) {
    if STATE.load(Ordering::Acquire) != OPEN {
        return;
    }
    let mut out = io::stdout().lock();
    let written = write!(out, "{words}").and_then(|()| out.flush());
    let state = heed(&written);
    STATE.store(state, Ordering::Release);
    if let (FAILED, Err(error)) = (state, written) {
        say::fail(format_args!("can't write to standard output: {error}"));
    }
}

/// The exit code of a command that would end with this one: what it had to say was said, or nobody
/// wanted to know.
pub(super) fn code(code: u8) -> u8 {
    if STATE.load(Ordering::Acquire) == FAILED { code.max(1) } else { code }
}

/// Standard output for whoever writes much, and ends at the first error.
pub(super) struct Out(io::StdoutLock<'static>);

impl Out {
    /// Nobody else writes until it is dropped.
    pub(super) fn lock() -> Self {
        Self(io::stdout().lock())
    }

    /// Whether whoever read it has gone.
    pub(super) fn is_gone() -> bool {
        STATE.load(Ordering::Acquire) == GONE
    }

    fn noted<T>(result: io::Result<T>) -> io::Result<T> {
        if result.as_ref().is_err_and(|error| error.kind() == ErrorKind::BrokenPipe) {
            STATE.store(GONE, Ordering::Release);
        }
        result
    }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Self::noted(self.0.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Self::noted(self.0.flush())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_goes_away_is_no_failure() {
        assert_eq!(heed(&Ok(())), OPEN);
        assert_eq!(heed(&Err(ErrorKind::BrokenPipe.into())), GONE);
        assert_eq!(heed(&Err(ErrorKind::StorageFull.into())), FAILED);
    }
}
