//! The one shape of every stateful operator: gather an epoch, act when it is complete.

use std::collections::BTreeMap;

use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::ParallelizationContract;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::operator::Operator as _;

use crate::model::Epoch;

/// All that arrived for an epoch, in the containers in which it came: moving them into one would
/// copy everything once more.
pub(super) type Batches<D> = Vec<Vec<D>>;

/// Gathers what arrives for an epoch, and once its input is complete hands all of it to `act`,
/// which adds what follows. Epochs without input are passed over; epochs are acted on in order.
pub(super) fn per_epoch<'scope, D, R, P>(
    stream: StreamVec<'scope, Epoch, D>,
    pact: P,
    name: &str,
    mut act: impl FnMut(Epoch, Batches<D>, &mut Vec<R>) + 'static,
) -> StreamVec<'scope, Epoch, R>
where
    D: 'static,
    R: Clone + 'static,
    P: ParallelizationContract<Epoch, Vec<D>>,
{
    let at_once = move |epoch, list: Option<Batches<D>>, out: &mut Vec<R>| {
        list.into_iter().for_each(|list| act(epoch, list, out));
        true
    };
    in_steps(stream, pact, name, at_once)
}

/// The same, but `act` does a part of an epoch at a time and says whether that was all. The first
/// time it is handed what arrived. In between others of the worker have their turn.
pub(super) fn in_steps<'scope, D, R, P>(
    stream: StreamVec<'scope, Epoch, D>,
    pact: P,
    name: &str,
    mut act: impl FnMut(Epoch, Option<Batches<D>>, &mut Vec<R>) -> bool + 'static,
) -> StreamVec<'scope, Epoch, R>
where
    D: 'static,
    R: Clone + 'static,
    P: ParallelizationContract<Epoch, Vec<D>>,
{
    let scope = stream.scope();
    stream.unary_frontier::<CapacityContainerBuilder<Vec<R>>, _, _, _>(pact, name, |_, info| {
        let activator = scope.activator_for(info.address);
        let mut gathered: BTreeMap<Epoch, (Capability<Epoch>, Option<Batches<D>>)> =
            BTreeMap::new();
        let mut out = Vec::new();
        move |(input, frontier), output| {
            input.for_each_stamp(|capability, data| {
                let Some(&epoch) = capability.stamp().iter().next() else { return };
                let (_, list) = gathered
                    .entry(epoch)
                    .or_insert_with(|| (capability.delayed(&epoch, 0), Some(Vec::new())));
                list.get_or_insert_default().extend(data.map(std::mem::take));
            });
            while let Some(mut entry) = gathered.first_entry() {
                if frontier.less_equal(entry.key()) {
                    break;
                }
                let epoch = *entry.key();
                let (capability, list) = entry.get_mut();
                let done = act(epoch, list.take(), &mut out);
                output.session(capability).give_iterator(out.drain(..));
                if !done {
                    activator.activate();
                    break;
                }
                entry.remove();
            }
        }
    })
}
