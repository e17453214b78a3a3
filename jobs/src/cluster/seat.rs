//! The inboxes of the workers of this process, who sleep while there is nothing in them, and a
//! common pile from which each takes when it has time.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::thread::{self, Thread};

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};

/// Messages that wait for one worker at most, and things on the pile for each worker.
const INBOX_MAX: usize = 64;

/// What any of the workers may take, in order, each with the stage that it belongs to.
struct Pile<T> {
    heap: Mutex<Heap<T>>,
    /// Something was taken, or a worker has gone.
    room: Condvar,
    sleepers: Vec<OnceLock<Thread>>,
}

struct Heap<T> {
    items: VecDeque<(u64, T)>,
    /// Whether a worker has left: they leave together, or one has panicked.
    left: bool,
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
    let heap = Mutex::new(Heap { items: VecDeque::new(), left: false });
    let pile = Arc::new(Pile { heap, room: Condvar::new(), sleepers });
    let seat = |index| {
        let (sender, messages) = bounded(INBOX_MAX);
        let seat = Seat { messages, pile: Arc::clone(&pile), index };
        (Seated { messages: Some(sender), pile: Arc::clone(&pile), index }, seat)
    };
    (0..count).map(seat).collect()
}

impl<T> Pile<T> {
    fn with<R>(&self, act: impl FnOnce(&mut Heap<T>) -> R) -> R {
        // Nothing that may panic is done with it.
        act(&mut self.heap.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts something on it once there is room; says false if a worker has left.
    fn put(&self, stage: u64, item: T) -> bool {
        let most = INBOX_MAX * self.sleepers.len();
        let full = |heap: &mut Heap<T>| heap.items.len() >= most && !heap.left;
        let heap = self.heap.lock().unwrap_or_else(PoisonError::into_inner);
        let heap = self.room.wait_while(heap, full);
        let mut heap = heap.unwrap_or_else(PoisonError::into_inner);
        if !heap.left {
            heap.items.push_back((stage, item));
        }
        !heap.left
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
        self.pile.with(|heap| heap.items.front().is_some_and(|(of, _)| *of == stage))
    }

    /// The next thing of a stage on the pile.
    pub(crate) fn next_of(&self, stage: u64) -> Option<T> {
        let next = self.pile.with(|heap| heap.items.pop_front_if(|(of, _)| *of == stage));
        self.pile.room.notify_one();
        next.map(|(_, item)| item)
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

impl<T> Drop for Seat<T> {
    fn drop(&mut self) {
        self.pile.with(|heap| heap.left = true);
        self.pile.room.notify_all();
    }
}

impl<T> Seated<T> {
    /// Puts something of a stage on the pile, waiting for room, and says false if a worker takes
    /// nothing any more. Stages come in order, the end of each as a message to every worker.
    pub(crate) fn pile(&self, stage: u64, item: T) -> bool {
        let put = self.pile.put(stage, item);
        (0..self.pile.sleepers.len()).for_each(|index| self.pile.wake(index));
        put
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
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

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

    /// What waits is bounded; who waits for room is told when a worker leaves.
    #[test]
    fn a_pile_has_bounds() {
        let (seated, mut seats): (Vec<_>, Vec<Seat<usize>>) = seats(2).into_iter().unzip();
        let piled = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&piled);
        let piling = thread::spawn(move || {
            while seated[0].pile(0, 1) {
                count.fetch_add(1, Ordering::AcqRel);
            }
        });
        let reaches = |most| {
            while piled.load(Ordering::Acquire) < most {
                thread::yield_now();
            }
        };
        reaches(2 * INBOX_MAX);
        assert_eq!(seats[1].next_of(0), Some(1));
        reaches(2 * INBOX_MAX + 1);
        thread::sleep(Duration::from_millis(20));
        assert_eq!(piled.load(Ordering::Acquire), 2 * INBOX_MAX + 1);
        drop(seats.remove(0));
        piling.join().unwrap();
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
            assert!(seated[0].pile(u64::from(number / 100), number));
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
