//! The watermark, and admission by it.

use std::collections::BTreeMap;
use std::sync::Arc;

use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::operator::Operator as _;
use timely::dataflow::operators::vec::Broadcast as _;

use super::shell::{Batches, per_epoch};
use super::{Emit, Emitted, Job, Mark, rows};
use crate::dedup::Admitted;
use crate::model::{Epoch, Event, Micros};
use crate::time::{Watermark, admission};

/// The watermark after each epoch, on every worker.
pub(super) fn watermarks<'scope, F: FnMut(Emitted) + 'static>(
    marks: StreamVec<'scope, Epoch, Mark>,
    mut watermark: Watermark,
    (index, job): (u64, &Arc<Job>),
    emit: &Emit<F>,
) -> StreamVec<'scope, Epoch, Micros> {
    let tells = job.keeps_records && index == 0;
    let emit = emit.clone();
    per_epoch(marks.broadcast(), Pipeline, "Watermark", move |epoch, marks: Batches<Mark>, out| {
        for mark in marks.iter().flatten() {
            watermark.observe(mark.lane, mark.largest, mark.quiet);
        }
        if tells {
            emit.tell(Emitted::Marks(epoch, marks.into_iter().flatten().collect()));
        }
        let now = watermark.advance();
        emit.tell(Emitted::Watermark(epoch, now));
        out.push(now);
    })
}

/// Admits the events of an epoch at the watermark after the one before, those of the first at
/// `before`.
pub(super) fn admit<'scope, F: FnMut(Emitted) + 'static>(
    events: StreamVec<'scope, Epoch, Arc<Event>>,
    (watermarks, before): (StreamVec<'scope, Epoch, Micros>, Micros),
    job: &Arc<Job>,
    emit: &Emit<F>,
) -> StreamVec<'scope, Epoch, Admitted> {
    let job = Arc::clone(job);
    let time = job.time;
    let emit = emit.clone();
    events.binary_frontier::<_, CapacityContainerBuilder<Vec<_>>, _, _, _, _>(
        watermarks,
        Pipeline,
        Pipeline,
        "Admit",
        |_, _| {
            let mut waiting: BTreeMap<Epoch, (_, Batches<Arc<Event>>)> = BTreeMap::new();
            let mut known: BTreeMap<Epoch, Micros> = BTreeMap::new();
            let mut before = before;
            move |(events, events_frontier), (marks, marks_frontier), output| {
                events.for_each_stamp(|capability, data| {
                    let Some(&epoch) = capability.stamp().iter().next() else { return };
                    let (_, list) = waiting
                        .entry(epoch)
                        .or_insert_with(|| (capability.delayed(&epoch, 0), Vec::new()));
                    list.extend(data.map(std::mem::take));
                });
                marks.for_each_stamp(|capability, data| {
                    let Some(&epoch) = capability.stamp().iter().next() else { return };
                    for now in data.flatten() {
                        known.insert(epoch, *now);
                    }
                });
                while let Some(entry) = waiting.first_entry() {
                    let epoch: Epoch = *entry.key();
                    if events_frontier.less_equal(&epoch) || marks_frontier.less_than(&epoch) {
                        break;
                    }
                    let (capability, list) = entry.remove();
                    while let Some(entry) = known.first_entry().filter(|e| *e.key() < epoch) {
                        before = entry.remove();
                    }
                    let (mut admitted, mut late, mut refused) = (0, 0, Vec::new());
                    let mut records = Vec::new();
                    let mut session = output.session(&capability);
                    for event in list.into_iter().flatten() {
                        match admission::admit(&time, before, event.key.time) {
                            Ok(late) => {
                                admitted += 1;
                                if job.keeps_records {
                                    records.push(Arc::clone(&event));
                                }
                                session.give(Admitted { event, late });
                            }
                            Err(reason) => {
                                late += 1;
                                let letter = rows::refused(&event, reason, before);
                                refused.extend(rows::letter(&job, letter));
                            }
                        }
                    }
                    emit.changes(epoch, refused);
                    emit.tell(Emitted::Admitted(epoch, admitted, late));
                    if !records.is_empty() {
                        emit.tell(Emitted::Records(epoch, records));
                    }
                }
                // Those of epochs that this worker has no events of are not kept either.
                let first = waiting.first_key_value().map(|(epoch, _)| *epoch);
                let passed = |epoch: &Epoch| {
                    first.is_none_or(|first| *epoch < first) && !events_frontier.less_equal(epoch)
                };
                while let Some(entry) = known.first_entry().filter(|e| passed(e.key())) {
                    before = entry.remove();
                }
            }
        },
    )
}
