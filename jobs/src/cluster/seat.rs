//! The inbox of a worker of this process, which sleeps while there is nothing in it.

use std::sync::{Arc, OnceLock};
use std::thread::{self, Thread};

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};

/// Messages that wait for one worker at most.
const INBOX_MAX: usize = 64;

/// The worker's end. Whoever takes it is woken when something has come, or nothing will any more.
pub(crate) struct Seat<T> {
    messages: Receiver<T>,
    sleeper: Arc<OnceLock<Thread>>,
}

/// The other end; dropping it hangs up.
pub(crate) struct Seated<T> {
    messages: Option<Sender<T>>,
    sleeper: Arc<OnceLock<Thread>>,
}

/// Both ends of an inbox.
pub(crate) fn seat<T>() -> (Seated<T>, Seat<T>) {
    let (sender, messages) = bounded(INBOX_MAX);
    let sleeper: Arc<OnceLock<Thread>> = Arc::default();
    let seat = Seat { messages, sleeper: Arc::clone(&sleeper) };
    (Seated { messages: Some(sender), sleeper }, seat)
}

impl<T> Seat<T> {
    /// This thread takes what comes from now on, and is woken for it.
    pub(crate) fn take(&self) {
        // It is taken once.
        let _ = self.sleeper.set(thread::current());
    }

    /// The next message; waits for it. `None` when there will be none.
    pub(crate) fn wait(&self) -> Option<T> {
        self.messages.recv().ok()
    }

    /// The next message, if there is one.
    pub(crate) fn next(&self) -> Result<T, TryRecvError> {
        self.messages.try_recv()
    }
}

impl<T> Seated<T> {
    fn wake(&self) {
        if let Some(sleeper) = self.sleeper.get() {
            sleeper.unpark();
        }
    }

    /// Sends, and says false if nobody takes it any more.
    pub(crate) fn send(&self, message: T) -> bool {
        let sent = self.messages.as_ref().is_some_and(|to| to.send(message).is_ok());
        self.wake();
        sent
    }
}

impl<T> Drop for Seated<T> {
    fn drop(&mut self) {
        self.messages = None;
        self.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sleeper that nothing but the inbox wakes sees every message, and the end.
    #[test]
    fn a_sleeper_misses_nothing() {
        let (seated, seat) = seat();
        let taking = thread::spawn(move || {
            seat.take();
            let mut taken = Vec::new();
            loop {
                match seat.next() {
                    Ok(number) => taken.push(number),
                    Err(TryRecvError::Empty) => thread::park(),
                    Err(TryRecvError::Disconnected) => return taken,
                }
            }
        });
        for number in 0..10_000 {
            if number % 100 == 0 {
                thread::yield_now();
            }
            assert!(seated.send(number));
        }
        drop(seated);
        assert_eq!(taking.join().unwrap(), (0..10_000).collect::<Vec<u32>>());
    }

    #[test]
    fn a_seat_that_is_left_takes_nothing() {
        let (seated, seat) = seat();
        assert!(seated.send(1));
        drop(seat);
        assert!(!seated.send(2));
    }
}
