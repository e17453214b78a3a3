//! The inboxes of the workers of this process, who sleep while there is nothing in them, and a
//! common pile from which each takes when it has time.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, Thread};

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};

/// Messages that wait for one worker at most.
const INBOX_MAX: usize = 64;

/// What any of the workers may take, in order, each with the stage that it belongs to.
struct Pile<T> {
    items: Mutex<VecDeque<(u64, T)>>,
    sleepers: Vec<OnceLock<Thread>>,
}

/// The worker's end. Whoever takes it is woken when something has come, or nothing will any more.
pub(crate) struct Seat<T> {
    messages: Receiver<T>,
    pile: Arc<Pile<T>>,
    index: usize,
}

/// The other end; dropping it hangs up.
pub(crate) struct Seated<T> {
    messages: Option<Sender<T>>,
    pile: Arc<Pile<T>>,
    index: usize,
}

/// Both ends of the inboxes of some workers.
pub(crate) fn seats<T>(count: usize) -> Vec<(Seated<T>, Seat<T>)> {
    let sleepers = (0..count).map(|_| OnceLock::new()).collect();
    let pile = Arc::new(Pile { items: Mutex::default(), sleepers });
    let seat = |index| {
        let (sender, messages) = bounded(INBOX_MAX);
        let seat = Seat { messages, pile: Arc::clone(&pile), index };
        (Seated { messages: Some(sender), pile: Arc::clone(&pile), index }, seat)
    };
    (0..count).map(seat).collect()
}

impl<T> Pile<T> {
    fn items(&self) -> MutexGuard<'_, VecDeque<(u64, T)>> {
        // Nothing that may panic is done with it.
        self.items.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self, index: usize) {
        if let Some(sleeper) = self.sleepers[index].get() {
            sleeper.unpark();
        }
    }
}

impl<T> Seat<T> {
    /// This thread takes what comes from now on, and is woken for it.
    pub(crate) fn take(&self) {
        // It is taken once.
        let _ = self.pile.sleepers[self.index].set(thread::current());
    }

    /// Whether something of a stage is on the pile.
    pub(crate) fn has(&self, stage: u64) -> bool {
        self.pile.items().front().is_some_and(|(of, _)| *of == stage)
    }

    /// The next thing of a stage on the pile.
    pub(crate) fn next_of(&self, stage: u64) -> Option<T> {
        let mut items = self.pile.items();
        items.pop_front_if(|(of, _)| *of == stage).map(|(_, item)| item)
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
    /// Puts something of a stage on the pile. Stages come in order.
    pub(crate) fn pile(&self, stage: u64, item: T) {
        self.pile.items().push_back((stage, item));
        (0..self.pile.sleepers.len()).for_each(|index| self.pile.wake(index));
    }

    /// Sends, and says false if nobody takes it any more.
    pub(crate) fn send(&self, message: T) -> bool {
        let sent = self.messages.as_ref().is_some_and(|to| to.send(message).is_ok());
        self.pile.wake(self.index);
        sent
    }
}

impl<T> Drop for Seated<T> {
    fn drop(&mut self) {
        self.messages = None;
        self.pile.wake(self.index);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sleeper that nothing but the inbox wakes sees every message, and the end.
    #[test]
    fn a_sleeper_misses_nothing() {
        let (seated, seat) = seats(1).remove(0);
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
        let (seated, seat) = seats(1).remove(0);
        assert!(seated.send(1));
        drop(seat);
        assert!(!seated.send(2));
    }

    /// Whoever has time takes the next thing, none is taken twice, and none before its stage.
    #[test]
    fn a_pile_is_taken_by_all() {
        let (seated, seats): (Vec<_>, Vec<Seat<u32>>) = seats(3).into_iter().unzip();
        let takers: Vec<_> = seats
            .into_iter()
            .map(|seat| {
                thread::spawn(move || {
                    seat.take();
                    let (mut taken, mut stage, mut ends) = (Vec::new(), 0, false);
                    loop {
                        if let Some(number) = seat.next_of(stage) {
                            assert_eq!(u64::from(number / 100), stage);
                            taken.push(number);
                            continue;
                        }
                        if std::mem::take(&mut ends) {
                            assert!(!seat.has(stage));
                            stage += 1;
                        }
                        match seat.next() {
                            Ok(_) => ends = true,
                            Err(TryRecvError::Empty) => thread::park(),
                            Err(TryRecvError::Disconnected) => return taken,
                        }
                    }
                })
            })
            .collect();
        for number in 0..5_000 {
            seated[0].pile(u64::from(number / 100), number);
            if number % 100 == 99 {
                assert!(seated.iter().all(|seated| seated.send(number)));
            }
        }
        drop(seated);
        let taken = takers.into_iter().map(|taker| taker.join().unwrap());
        let mut taken: Vec<u32> =
            taken.inspect(|list| assert!(list.is_sorted())).flatten().collect();
        taken.sort_unstable();
        assert_eq!(taken, (0..5_000).collect::<Vec<u32>>());
    }
}
