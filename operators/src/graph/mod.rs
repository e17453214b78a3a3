//! The whole dataflow of one worker.
//!
//! ```text
//! arrivals ─ admit ─ dedup ─┬──────────────▶ store ─ facts ─ people ─ numbers ─ counts ─▶ rows
//!   marks ─ watermark ─┘    ├─ shadows ────▶   ▲                └──────────────────────▶ rows
//!                           └─ identity ───────┘ persons of events
//! ```
//!
//! Each stage acts on an epoch when all of it is there, so the rows of an epoch do not depend on
//! how its records were spread over workers. What is emitted goes to an [`Emitted`] callback.

mod identity;
mod rows;
mod shell;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::generic::operator::Operator as _;
use timely::dataflow::operators::vec::{Broadcast as _, Map as _};
use timely::dataflow::operators::{Concat as _, Input as _, Probe as _};
use timely::dataflow::{InputHandleVec, ProbeHandle, StreamVec};
use timely::worker::Worker;

use self::identity::{IdentityOut, resolve};
pub use self::rows::refused;
use self::shell::per_epoch;
use crate::dedup::shadow::{Shadowing, Shadows};
use crate::dedup::{Admitted, Changes, Counted, Dedup};
use crate::identity::{EngineKind, IdentityConfig};
use crate::model::{Change, DeadLetter, Epoch, Event, Micros};
use crate::people::{GroupFact, People, PeopleOutput};
use crate::shard::{place, tenant};
use crate::store::{Fact, Store};
use crate::time::{Lane, TimeConfig, Watermark, admission};
use crate::views::catalog::Catalog;
use crate::views::contribution::Contribution;
use crate::views::counts::Counts;

/// What the graph needs to know of a job.
#[derive(Clone, Debug)]
pub struct Job {
    /// Watermark, admission, horizons.
    pub time: TimeConfig,
    /// Who is who.
    pub identity: Arc<IdentityConfig>,
    /// Which implementation finds out.
    pub engine: EngineKind,
    /// Views and their tables.
    pub catalog: Arc<Catalog>,
    /// Names of the sources, by index.
    pub sources: Vec<Arc<str>>,
    /// Channels, strongest first, for business keys.
    pub strongest: Vec<Arc<str>>,
}

/// How far a lane has come in an epoch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Mark {
    /// The source, or the partition of one.
    pub lane: Lane,
    /// Largest event time of some of its records that are not too early.
    pub largest: Option<Micros>,
    /// Whether it is at its end or idle from now on; `None` for as before.
    pub quiet: Option<bool>,
}

/// What a worker's part of the graph hands out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Emitted {
    /// Row changes of an epoch, some or all of them.
    Changes(Epoch, Vec<Change>),
    /// The watermark after an epoch. Every worker says the same.
    Watermark(Epoch, Micros),
    /// How many events of an epoch this worker admitted and how many were too late.
    Admitted(Epoch, u64, u64),
    /// This worker hands out nothing more for epochs below this one.
    Closed(Epoch),
}

/// A worker's handles on its part of the graph.
pub struct Graph {
    /// Events, in the epoch of the handle.
    pub events: InputHandleVec<Epoch, Arc<Event>>,
    /// Records that could not be used.
    pub letters: InputHandleVec<Epoch, DeadLetter>,
    /// How far sources have come.
    pub marks: InputHandleVec<Epoch, Mark>,
    /// Behind everything: epochs below its frontier are done on all workers.
    pub probe: ProbeHandle<Epoch>,
}

impl Graph {
    /// Ends the worker's share of all epochs below `epoch`.
    pub fn advance_to(&mut self, epoch: Epoch) {
        self.events.advance_to(epoch);
        self.letters.advance_to(epoch);
        self.marks.advance_to(epoch);
    }
}

/// What reaches dedup, in one stream so that it acts when all of an epoch is there.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum DedupIn {
    Admitted(Admitted),
    /// The watermark after the epoch, as a worker knows it.
    Watermark(u64, Micros),
}

/// What reaches the store, in one stream so that it acts when all of an epoch is there.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum StoreIn {
    Counted(Counted),
    Shadowing(Shadowing),
    Identity(IdentityOut),
}

/// What reaches people.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum PeopleIn {
    Fact(Fact),
    Group(GroupFact),
    Identity(IdentityOut),
}

#[derive(Clone, Debug)]
enum Out {
    Change(Change),
    Number(Contribution),
    Fact(Fact),
}

/// Builds the graph of one worker. `emit` is called with what it hands out.
pub fn build(worker: &mut Worker, job: &Arc<Job>, emit: impl FnMut(Emitted) + 'static) -> Graph {
    let emit = Rc::new(RefCell::new(emit));
    let job = Arc::clone(job);
    let index = worker.index() as u64;
    worker.dataflow::<Epoch, _, _>(move |scope| {
        let (events_in, events) = scope.new_input::<Vec<Arc<Event>>>();
        let (letters_in, letters) = scope.new_input::<Vec<DeadLetter>>();
        let (marks_in, marks) = scope.new_input::<Vec<Mark>>();

        let watermarks = watermark(marks, &job, &emit);
        let admitted = admit(events, watermarks.clone(), &job, &emit);
        let refused = admitted.clone().flat_map(Result::err);
        let letters = letters.concat(refused);
        let admitted = admitted.flat_map(Result::ok);

        let watermarks = watermarks.map(move |now| DedupIn::Watermark(index, now));
        let (counted, duplicates) = dedup(admitted, watermarks, &job);
        let shadowings = shadow(counted.clone(), &job);
        let resolved = resolve(counted.clone(), &job);
        let stored = store(counted, shadowings, resolved.clone(), &job);
        let facts = stored.clone().flat_map(|out| match out {
            Out::Fact(fact) => Some(fact),
            Out::Change(_) | Out::Number(_) => None,
        });
        let people = people(facts, resolved, &job);
        let counts = counts(people.clone(), &job);
        let letters = rows::letters(letters, &job);

        let changes = |out| match out {
            Out::Change(change) => Some(change),
            Out::Fact(_) | Out::Number(_) => None,
        };
        let all = people
            .flat_map(changes)
            .concat(stored.flat_map(changes))
            .concat(duplicates)
            .concat(counts)
            .concat(letters);
        let probe = ProbeHandle::new();
        hand_out(all, &emit).probe_with(&probe);
        Graph { events: events_in, letters: letters_in, marks: marks_in, probe }
    })
}

type Emit<F> = Rc<RefCell<F>>;

/// The watermark after each epoch, on every worker.
fn watermark<'scope, F: FnMut(Emitted) + 'static>(
    marks: StreamVec<'scope, Epoch, Mark>,
    job: &Arc<Job>,
    emit: &Emit<F>,
) -> StreamVec<'scope, Epoch, Micros> {
    let mut watermark = Watermark::new(job.time.disorder, job.sources.len() as u16);
    let emit = Rc::clone(emit);
    per_epoch(marks.broadcast(), Pipeline, "Watermark", move |epoch, marks: Vec<Mark>, out| {
        for mark in marks {
            watermark.observe(mark.lane, mark.largest, mark.quiet);
        }
        let now = watermark.advance();
        (emit.borrow_mut())(Emitted::Watermark(epoch, now));
        out.push(now);
    })
}

/// Admits the events of an epoch at the watermark after the one before.
fn admit<'scope, F: FnMut(Emitted) + 'static>(
    events: StreamVec<'scope, Epoch, Arc<Event>>,
    watermarks: StreamVec<'scope, Epoch, Micros>,
    job: &Arc<Job>,
    emit: &Emit<F>,
) -> StreamVec<'scope, Epoch, Result<Admitted, DeadLetter>> {
    let time = job.time;
    let emit = Rc::clone(emit);
    events.binary_frontier::<_, CapacityContainerBuilder<Vec<_>>, _, _, _, _>(
        watermarks,
        Pipeline,
        Pipeline,
        "Admit",
        |_, _| {
            let mut waiting = BTreeMap::new();
            let mut known: BTreeMap<Epoch, Micros> = BTreeMap::new();
            let mut before = Micros::MIN;
            move |(events, events_frontier), (marks, marks_frontier), output| {
                events.for_each_stamp(|capability, data| {
                    let Some(&epoch) = capability.stamp().iter().next() else { return };
                    let (_, list) = waiting
                        .entry(epoch)
                        .or_insert_with(|| (capability.delayed(&epoch, 0), Vec::new()));
                    for batch in data {
                        list.append(batch);
                    }
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
                    let (capability, list): (_, Vec<Arc<Event>>) = entry.remove();
                    while let Some(entry) = known.first_entry().filter(|e| *e.key() < epoch) {
                        before = entry.remove();
                    }
                    let (mut admitted, mut late) = (0, 0);
                    let mut session = output.session(&capability);
                    for event in list {
                        session.give(match admission::admit(&time, before, event.key.time) {
                            Ok(late) => {
                                admitted += 1;
                                Ok(Admitted { event, late })
                            }
                            Err(reason) => {
                                late += 1;
                                Err(rows::refused(&event, reason, before))
                            }
                        });
                    }
                    (emit.borrow_mut())(Emitted::Admitted(epoch, admitted, late));
                }
            }
        },
    )
}

fn dedup<'scope>(
    admitted: StreamVec<'scope, Epoch, Admitted>,
    watermarks: StreamVec<'scope, Epoch, DedupIn>,
    job: &Arc<Job>,
) -> (StreamVec<'scope, Epoch, Counted>, StreamVec<'scope, Epoch, Change>) {
    let mut dedup = Dedup::new(job.time.ids);
    let horizon = job.time.admit.saturating_add(job.time.ids);
    let all = admitted.map(DedupIn::Admitted).concat(watermarks);
    let by_id = Exchange::new(|item: &DedupIn| match item {
        DedupIn::Admitted(admitted) => place(&admitted.event.key.id),
        DedupIn::Watermark(worker, _) => *worker,
    });
    let view = job.catalog.built_in.duplicates;
    let out = per_epoch(all, by_id, "Dedup", move |_, list: Vec<DedupIn>, out| {
        let mut watermark = Micros::MIN;
        for item in list {
            match item {
                DedupIn::Admitted(admitted) => dedup.update(admitted),
                DedupIn::Watermark(_, now) => watermark = watermark.max(now),
            }
        }
        let mut changes = Changes::default();
        dedup.advance(&mut changes);
        dedup.forget(watermark.saturating_sub(horizon));
        out.extend(changes.counted.into_iter().map(Ok));
        if let Some(view) = view {
            let recounts = changes.recounts.iter();
            out.extend(recounts.flat_map(|r| rows::duplicates(view, r)).map(Err));
        }
    });
    (out.clone().flat_map(Result::ok), out.flat_map(Result::err))
}

fn shadow<'scope>(
    counted: StreamVec<'scope, Epoch, Counted>,
    job: &Arc<Job>,
) -> StreamVec<'scope, Epoch, Shadowing> {
    let mut shadows = Shadows::new(job.strongest.clone());
    let keyed = counted.flat_map(|c| c.event.business_key.is_some().then_some(c));
    let by_key = Exchange::new(|c: &Counted| place(&(&c.event.tenant, c.event.business_key)));
    per_epoch(keyed, by_key, "Shadow", move |_, list: Vec<Counted>, out| {
        for counted in list {
            shadows.update(&counted.event, counted.diff);
        }
        shadows.advance(out);
    })
}

fn store<'scope>(
    counted: StreamVec<'scope, Epoch, Counted>,
    shadowings: StreamVec<'scope, Epoch, Shadowing>,
    resolved: StreamVec<'scope, Epoch, IdentityOut>,
    job: &Arc<Job>,
) -> StreamVec<'scope, Epoch, Out> {
    let mut store = Store::new();
    let resolved = resolved.flat_map(|out| out.event().is_some().then_some(out));
    let all = counted
        .map(StoreIn::Counted)
        .concat(shadowings.map(StoreIn::Shadowing))
        .concat(resolved.map(StoreIn::Identity));
    let by_id = Exchange::new(|item: &StoreIn| match item {
        StoreIn::Counted(counted) => place(&counted.event.key.id),
        StoreIn::Shadowing(shadowing) => place(&shadowing.event.id),
        StoreIn::Identity(out) => out.event().map_or(0, |key| place(&key.id)),
    });
    let built_in = job.catalog.built_in;
    per_epoch(all, by_id, "Store", move |epoch, list: Vec<StoreIn>, out| {
        let mut id_changes = Vec::new();
        let mut shadowed = Vec::new();
        // What ceases to count first: a copy that takes its place may have the same key.
        let (gone, rest): (Vec<_>, Vec<_>) =
            list.into_iter().partition(|i| matches!(i, StoreIn::Counted(c) if c.diff < 0));
        let mut left = BTreeMap::new();
        for item in gone.into_iter().chain(rest) {
            match item {
                StoreIn::Counted(counted) => {
                    if counted.diff < 0 {
                        let key = (tenant(&counted.event.tenant), counted.event.key);
                        left.insert(key, Arc::clone(&counted.event));
                    }
                    store.count(counted);
                }
                StoreIn::Shadowing(shadowing) => {
                    store.shadow(&shadowing);
                    shadowed.push(shadowing);
                }
                StoreIn::Identity(IdentityOut::Assign(tenant, assign)) => {
                    store.assign(tenant, &assign);
                }
                StoreIn::Identity(IdentityOut::Change(name, change)) => {
                    id_changes.push((name, change));
                }
                StoreIn::Identity(_) => {}
            }
        }
        let find = |tenant: u64, key| store.get(tenant, key).or_else(|| left.get(&(tenant, key)));
        if let Some(view) = built_in.id_changes {
            for (name, change) in &id_changes {
                let by = find(tenant(name), change.by);
                out.push(Out::Change(rows::id_change(view, name, change, by, epoch)));
            }
        }
        if let Some(view) = built_in.duplicates {
            for s in &shadowed {
                let event = find(s.tenant, s.event);
                out.extend(event.map(|e| Out::Change(rows::shadowed(view, e, s.shadowed))));
            }
        }
        let mut facts = Vec::new();
        store.advance(&mut facts);
        out.extend(facts.into_iter().map(Out::Fact));
    })
}

fn people<'scope>(
    facts: StreamVec<'scope, Epoch, Fact>,
    resolved: StreamVec<'scope, Epoch, IdentityOut>,
    job: &Arc<Job>,
) -> StreamVec<'scope, Epoch, Out> {
    let types = job.identity.types.iter().map(|t| t.name.as_str().into()).collect();
    let mut people = People::new(&job.catalog, types);
    let resolved = resolved.flat_map(|out| out.person().is_some().then_some(out));
    let catalog = Arc::clone(&job.catalog);
    let facts = facts.flat_map(move |fact| {
        let groups: Vec<PeopleIn> = GroupFact::of(&catalog, &fact).map(PeopleIn::Group).collect();
        groups.into_iter().chain([PeopleIn::Fact(fact)])
    });
    let all = facts.concat(resolved.map(PeopleIn::Identity));
    let by_person = Exchange::new(|item: &PeopleIn| match item {
        PeopleIn::Group(group) => place(&(&group.fact.event.tenant, group.property, &group.id)),
        PeopleIn::Fact(fact) => match fact.person {
            Some(person) => place(&person),
            None => place(&fact.event.key.id),
        },
        PeopleIn::Identity(out) => out.person().map_or(0, |person| place(&person)),
    });
    per_epoch(all, by_person, "People", move |_, list: Vec<PeopleIn>, out| {
        for item in list {
            match item {
                PeopleIn::Fact(fact) => people.update_fact(fact),
                PeopleIn::Group(group) => people.update_group(group),
                PeopleIn::Identity(IdentityOut::Name(person, token)) => {
                    people.update_name(person, token);
                }
                PeopleIn::Identity(IdentityOut::Member { name, member, diff, cause }) => {
                    people.update_membership(&name, tenant(&name), member, diff, cause);
                }
                PeopleIn::Identity(_) => {}
            }
        }
        let mut output = PeopleOutput::default();
        people.advance(&mut output);
        out.extend(output.changes.into_iter().map(Out::Change));
        out.extend(output.contributions.into_iter().map(Out::Number));
    })
}

fn counts<'scope>(
    people: StreamVec<'scope, Epoch, Out>,
    job: &Arc<Job>,
) -> StreamVec<'scope, Epoch, Change> {
    let mut counts = Counts::new(&job.catalog);
    let numbers = people.flat_map(|out| match out {
        Out::Number(contribution) => Some(contribution),
        Out::Change(_) | Out::Fact(_) => None,
    });
    let by_group = Exchange::new(|c: &Contribution| place(&c.group.home()));
    per_epoch(numbers, by_group, "Counts", move |_, list: Vec<Contribution>, out| {
        for contribution in list {
            counts.update(contribution);
        }
        counts.advance(out);
    })
}

/// Hands out the rows of complete epochs, and says which epochs are closed.
fn hand_out<'scope, F: FnMut(Emitted) + 'static>(
    changes: StreamVec<'scope, Epoch, Change>,
    emit: &Emit<F>,
) -> StreamVec<'scope, Epoch, ()> {
    let emit = Rc::clone(emit);
    changes.unary_frontier::<CapacityContainerBuilder<Vec<()>>, _, _, _>(
        Pipeline,
        "Output",
        |_, _| {
            let mut gathered: BTreeMap<Epoch, Vec<Change>> = BTreeMap::new();
            let mut closed = 0;
            move |(input, frontier), _output| {
                input.for_each_stamp(|capability, data| {
                    let Some(&epoch) = capability.stamp().iter().next() else { return };
                    let list = gathered.entry(epoch).or_default();
                    for batch in data {
                        list.append(batch);
                    }
                });
                while let Some(entry) = gathered.first_entry() {
                    if frontier.less_equal(entry.key()) {
                        break;
                    }
                    let (epoch, list) = entry.remove_entry();
                    (emit.borrow_mut())(Emitted::Changes(epoch, list));
                }
                let upto = frontier.frontier().first().copied().unwrap_or(Epoch::MAX);
                if upto > closed {
                    closed = upto;
                    (emit.borrow_mut())(Emitted::Closed(upto));
                }
            }
        },
    )
}
