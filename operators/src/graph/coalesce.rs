//! Several epochs as one: what is admitted at each of them goes on at the last.
//!
//! Admission and the watermark are of the epoch, so what is admitted does not depend on it. All
//! that follows acts once for many small epochs instead of once for each.

use std::collections::{BTreeMap, VecDeque};

use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::operator::Operator as _;

use super::shell::Batches;
use crate::model::Epoch;

/// Hands on what comes at the epochs of a run at the last one of them. Each run is begun by an item
/// of `runs` at its first epoch, and ends before the epoch that `runs` has advanced to.
pub(super) fn coalesce<'scope, D: Clone + 'static>(
    stream: StreamVec<'scope, Epoch, D>,
    runs: StreamVec<'scope, Epoch, ()>,
) -> StreamVec<'scope, Epoch, D> {
    stream.binary_frontier::<_, CapacityContainerBuilder<Vec<D>>, _, _, _, _>(
        runs,
        Pipeline,
        Pipeline,
        "Coalesce",
        |_, _| {
            // One capability for each run, of its first epoch: so nobody sees an epoch of it closed
            // before all of them are at its last one.
            let mut begun: VecDeque<Capability<Epoch>> = VecDeque::new();
            let mut held: BTreeMap<Epoch, Batches<D>> = BTreeMap::new();
            move |(stream, frontier), (runs, runs_frontier), output| {
                runs.for_each_stamp(|capability, data| {
                    let Some(&epoch) = capability.stamp().iter().next() else { return };
                    data.for_each(drop);
                    begun.push_back(capability.delayed(&epoch, 0));
                });
                stream.for_each_stamp(|capability, data| {
                    let Some(&epoch) = capability.stamp().iter().next() else { return };
                    held.entry(epoch).or_default().extend(data.map(std::mem::take));
                });
                while let Some(first) = begun.front() {
                    let next = begun.get(1).map(|next| *next.time());
                    let upto = runs_frontier.frontier().first().copied();
                    let after = match (next, upto) {
                        (Some(next), upto) => upto.map_or(next, |upto| upto.min(next)),
                        (None, Some(upto)) => upto,
                        // The end: what is held is of the last run.
                        (None, None) => held.keys().next_back().map_or(*first.time(), |e| *e) + 1,
                    };
                    let last = after.saturating_sub(1);
                    if last < *first.time() || frontier.less_equal(&last) {
                        break;
                    }
                    let later = held.split_off(&after);
                    let capability = first.delayed(&last);
                    let mut session = output.session(&capability);
                    let batches = std::mem::replace(&mut held, later).into_values().flatten();
                    batches.for_each(|batch| session.give_iterator(batch.into_iter()));
                    drop(session);
                    begun.pop_front();
                }
            }
        },
    )
}
