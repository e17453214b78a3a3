//! A process of a cluster other than process 0: it lends its workers, and reads and writes nothing.

use std::sync::Arc;
use std::thread;

use connectors::decode::Decoder;
use crossbeam_channel::unbounded;

use super::plan::Plan;
use super::supervisor::{seated, seats};
use super::threads::{self, Team};
use super::worker::{Told, Work};
use super::{RunError, RunOptions};
use crate::cluster::{Addressed, Cluster};
use crate::serve::Board;

/// Works for process 0 until it has no more work, and then waits for its word that all is done,
/// which ends this process. Returns only if something fails.
pub fn serve(
    plan: &Plan,
    options: RunOptions,
    cluster: &Cluster,
    board: &Arc<Board>,
) -> Result<(), RunError> {
    let decoders = plan.sources.iter().map(|source| Decoder::new(&source.decode));
    let decoders = decoders.collect::<Result<Vec<_>, _>>()?;
    let (session, mut peers) = cluster.join().map_err(RunError::Cluster)?;
    board.figures().begin(&plan.name, session.generation, None);
    board.figures().replayed = true;
    let (told, tells) = unbounded::<Told>();
    let (inboxes, seats) = seats(options.workers, &decoders, &told);
    drop(told);
    let mut ended = vec![0; inboxes.len()];
    let telling = cluster.exchange(&mut peers, 0, tells, move |(worker, work)| {
        let (worker, work): Addressed<Work> = (worker, work);
        let inbox = inboxes.get(worker as usize).zip(ended.get_mut(worker as usize));
        let Some((inbox, ended)) = inbox else { return };
        if work.is_for_any() {
            inbox.pile(*ended, work);
        } else {
            *ended += u64::from(matches!(work, Work::Close(..)));
            // A worker hangs up when it has panicked, and then this process ends.
            inbox.send(work);
        }
    });
    let allocators = cluster.allocators(&mut peers).map_err(RunError::Cluster)?;
    let (team, stopped) = (Team::Across(allocators, Box::new(cluster.fail())), Arc::default());
    let guards = threads::start(team, &stopped, seated(plan.job(), seats));
    // What a worker panics with ends this process on the spot.
    drop(guards.map_err(RunError::Worker)?.join());
    if let Some(telling) = telling {
        // It ends the process if it can't tell.
        let _ = telling.join();
    }
    loop {
        thread::park();
    }
}
