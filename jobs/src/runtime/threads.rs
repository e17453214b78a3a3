//! Worker threads that end together, and threads that go behind others.
//!
//! Left to itself, a worker waits for ever for one that has panicked: what that one held never
//! becomes free. Here a panic ends them all.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use thread_priority::{ThreadPriority, set_current_thread_priority};
use timely::communication::WorkerGuards;
use timely::execute::execute_from;
use timely::worker::Worker;
use timely::{CommunicationConfig, WorkerConfig};

use crate::cluster::Allocators;

/// How long a worker sleeps, while dataflows end, before it looks whether another one has panicked.
const IDLE: Duration = Duration::from_millis(1);

/// Of 99: nine steps of niceness behind the others on Linux, an eighth of their share.
const BEHIND: u8 = 25;

/// Lets the calling thread, and those that it starts, go behind the others where processors are
/// short. A system that knows no such thing, or forbids it, leaves all as it is.
pub(super) fn go_behind() {
    if let Ok(priority) = BEHIND.try_into() {
        let _ = set_current_thread_priority(ThreadPriority::Crossplatform(priority));
    }
}

/// The worker threads of this process.
pub(super) enum Team {
    /// So many, and there are no others.
    Alone(usize),
    /// Those of a process of a cluster. A worker that panics ends the process.
    Across(Allocators, Box<dyn Fn(&str) + Send + Sync>),
}

/// Runs `part` on each worker, and then the dataflows to their end. After a panic anywhere
/// `stopped` is set, the dataflows are dropped, and the worker that panicked gives its words.
pub(super) fn start(
    team: Team,
    stopped: &Arc<AtomicBool>,
    part: impl Fn(&mut Worker) + Send + Sync + 'static,
) -> Result<WorkerGuards<Option<String>>, String> {
    let stopped = Arc::clone(stopped);
    let ((builders, others), fail) = match team {
        Team::Alone(workers) => (CommunicationConfig::Process(workers).try_build()?, None),
        Team::Across(allocators, fail) => (allocators, Some(fail)),
    };
    execute_from(builders, others, WorkerConfig::default(), move |worker| {
        // What a panic leaves behind is dropped and not used again.
        let run = catch_unwind(AssertUnwindSafe(|| {
            part(worker);
            while worker.has_dataflows() && !stopped.load(Ordering::Acquire) {
                worker.step_or_park(Some(IDLE));
            }
        }));
        let said = run.err().map(|panic| {
            stopped.store(true, Ordering::Release);
            let words = panic.downcast_ref::<String>().map(String::as_str);
            let words = words.or_else(|| panic.downcast_ref::<&str>().copied());
            let words = words.unwrap_or("for no stated reason");
            if let Some(fail) = &fail {
                fail(words);
            }
            words.to_owned()
        });
        for dataflow in worker.installed_dataflows() {
            worker.drop_dataflow(dataflow);
        }
        said
    })
}

#[cfg(test)]
mod tests {
    use timely::dataflow::operators::vec::{Broadcast as _, Map as _};
    use timely::dataflow::operators::{Input as _, Probe as _};

    use super::*;

    /// Whichever worker panics, while it reads or while it finishes: all end, and its words are
    /// there.
    #[test]
    fn a_panic_ends_all() {
        for workers in 1..=4 {
            for (panicking, late) in (0..workers).flat_map(|w| [(w, false), (w, true)]) {
                let stopped = Arc::default();
                let guards = start(Team::Alone(workers), &stopped, move |worker| {
                    let index = worker.index();
                    let (mut input, probe) = worker.dataflow::<u64, _, _>(|scope| {
                        let (input, stream) = scope.new_input::<Vec<u64>>();
                        let stream = stream.broadcast().map(move |n| {
                            assert!(!late || index != panicking || n < 50, "fifty is too much");
                            n
                        });
                        (input, stream.probe().0)
                    });
                    for n in 0..100 {
                        assert!(late || index != panicking || n < 50, "fifty is too much");
                        input.send(n);
                        input.advance_to(n + 1);
                        if n % 7 == 0 {
                            worker.step();
                        }
                    }
                    drop(probe);
                });
                let said = guards.unwrap().join().into_iter().map(Result::unwrap);
                let said: Vec<Option<String>> = said.collect();
                assert!(stopped.load(Ordering::Acquire));
                assert_eq!(said[panicking].as_deref(), Some("fifty is too much"));
            }
        }
    }
}
