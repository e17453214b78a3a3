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
    stream.unary_frontier::<CapacityContainerBuilder<Vec<R>>, _, _, _>(pact, name, |_, _| {
        let mut gathered: BTreeMap<Epoch, (Capability<Epoch>, Batches<D>)> = BTreeMap::new();
        let mut out = Vec::new();
        move |(input, frontier), output| {
            input.for_each_stamp(|capability, data| {
                let Some(&epoch) = capability.stamp().iter().next() else { return };
                let (_, list) = gathered
                    .entry(epoch)
                    .or_insert_with(|| (capability.delayed(&epoch, 0), Vec::new()));
                list.extend(data.map(std::mem::take));
            });
            while let Some(entry) = gathered.first_entry() {
                if frontier.less_equal(entry.key()) {
                    break;
                }
                let epoch = *entry.key();
                let (capability, list) = entry.remove();
                act(epoch, list, &mut out);
                output.session(&capability).give_iterator(out.drain(..));
            }
        }
    })
}
