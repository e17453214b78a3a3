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

mod admit;
mod coalesce;
mod held;
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
use timely::dataflow::operators::core::OkErr as _;
use timely::dataflow::operators::generic::operator::Operator as _;
use timely::dataflow::operators::vec::Map as _;
use timely::dataflow::operators::{Concat as _, Input as _, Probe as _};
use timely::dataflow::{InputHandleVec, ProbeHandle, StreamVec};
use timely::worker::Worker;

use self::admit::{admit, watermarks};
use self::coalesce::coalesce;
use self::held::Holder;
pub use self::held::{HeldBytes, STATEFUL};
use self::identity::{IdentityOut, Member, resolve};
use self::rows::Hidden;
pub use self::rows::refused;
use self::shell::{Batches, per_epoch};
use crate::dedup::shadow::{Shadowing, Shadows};
use crate::dedup::{Admitted, Changes, Counted, Dedup};
use crate::identity::{Assign, EngineKind, IdentityConfig};
use crate::model::{Change, DeadLetter, Epoch, Event, EventKey, Micros};
use crate::people::{GroupFact, People, PeopleOutput};
use crate::shard::{place, tenant};
use crate::store::{AHEAD, Fact, Store};
use crate::time::{Lane, TimeConfig, Watermark};
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
    /// Whether epochs are made one in runs, which [`Graph::end_run`] ends.
    pub coalesces: bool,
    /// Whether what a snapshot is made of is handed out: [`Emitted::Records`], [`Emitted::Marks`].
    pub keeps_records: bool,
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
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Emitted {
    /// Row changes of an epoch, some or all of them.
    Changes(Epoch, Vec<Change>),
    /// The watermark after an epoch. Every worker says the same.
    Watermark(Epoch, Micros),
    /// How many events of an epoch this worker admitted and how many were too late.
    Admitted(Epoch, u64, u64),
    /// The events of an epoch that this worker admitted, if the job keeps records.
    Records(Epoch, Vec<Arc<Event>>),
    /// What made the watermark of an epoch, if the job keeps records. The first worker says it.
    Marks(Epoch, Vec<Mark>),
    /// This worker hands out nothing more for epochs below this one.
    Closed(Epoch),
}

/// A worker's handles on its part of the graph.
pub struct Graph {
    /// Events, in the epoch of the handle.
    pub events: InputHandleVec<Epoch, Arc<Event>>,
    /// Events that an earlier run admitted: they go to dedup as they are.
    pub restored: InputHandleVec<Epoch, Arc<Event>>,
    /// Records that could not be used.
    pub letters: InputHandleVec<Epoch, DeadLetter>,
    /// How far sources have come.
    pub marks: InputHandleVec<Epoch, Mark>,
    /// The runs of epochs that are made one.
    runs: Option<InputHandleVec<Epoch, ()>>,
    /// Behind everything: epochs below its frontier are done on all workers.
    pub probe: ProbeHandle<Epoch>,
    /// What its operators hold in memory.
    pub held: HeldBytes,
}

impl Graph {
    /// Ends the worker's share of all epochs below `epoch`.
    pub fn advance_to(&mut self, epoch: Epoch) {
        self.events.advance_to(epoch);
        self.restored.advance_to(epoch);
        self.letters.advance_to(epoch);
        self.marks.advance_to(epoch);
    }

    /// Ends the run that the last epoch is in, if epochs are made one: it and those before it in
    /// the run go on as the last one. Before the first epoch it begins the first run.
    pub fn end_run(&mut self) {
        if let Some(runs) = &mut self.runs {
            runs.advance_to(*self.events.time());
            runs.send(());
        }
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

impl StoreIn {
    /// The event that it concerns, if the store is to know: its tenant and key.
    fn event(&self) -> Option<(u64, EventKey)> {
        match self {
            Self::Counted(counted) => Some(counted.event.id()),
            Self::Shadowing(shadowing) => Some((shadowing.tenant, shadowing.event)),
            Self::Identity(IdentityOut::Assign { tenant, event, .. }) => Some((*tenant, *event)),
            Self::Identity(_) => None,
        }
    }
}

/// What reaches people.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum PeopleIn {
    Fact(Fact),
    Group(Box<GroupFact>),
    Identity(IdentityOut),
}

/// Builds the graph of one worker, which goes on from `watermark`. `emit` is called with what it
/// hands out.
///
/// With a watermark that is not a new one [`Graph::restored`] is to be given, before the epoch that
/// the graph goes on with, all events that were admitted up to it: everything follows from them.
pub fn build(
    worker: &mut Worker,
    job: &Arc<Job>,
    watermark: Watermark,
    emit: impl FnMut(Emitted) + 'static,
) -> Graph {
    let emit = Emit(Rc::new(RefCell::new(emit)), HeldBytes::default(), job.time);
    let held = emit.1.clone();
    let job = Arc::clone(job);
    let index = worker.index() as u64;
    worker.dataflow::<Epoch, _, _>(move |scope| {
        let (events_in, events) = scope.new_input::<Vec<Arc<Event>>>();
        let (restored_in, restored) = scope.new_input::<Vec<Arc<Event>>>();
        let (letters_in, letters) = scope.new_input::<Vec<DeadLetter>>();
        let (marks_in, marks) = scope.new_input::<Vec<Mark>>();

        let before = watermark.current();
        let watermarks = watermarks(marks, watermark, (index, &job), &emit);
        let admitted = admit(events, (watermarks.clone(), before), &job, &emit);
        let admitted = admitted.concat(restored.map(|event| Admitted { event, late: false }));
        let watermarks = watermarks.map(move |now| DedupIn::Watermark(index, now));
        let mut arrivals = admitted.map(DedupIn::Admitted).concat(watermarks);
        let mut runs_in = None;
        if job.coalesces {
            let (handle, runs) = scope.new_input::<Vec<()>>();
            arrivals = coalesce(arrivals, runs);
            runs_in = Some(handle);
        }
        let counted = dedup(arrivals, &job, &emit);
        let shadowings = shadow(counted.clone(), &job, &held);
        let resolved = resolve(counted.clone(), &job, &held);
        let (of_events, of_people) = resolved.ok_err::<Vec<_>, _, Vec<_>, _, _>(|out| {
            if out.event().is_some() {
                Ok(StoreIn::Identity(out))
            } else {
                Err(PeopleIn::Identity(out))
            }
        });
        let facts = store(counted, shadowings, of_events, &job, &emit);
        let numbers = people(facts, of_people, &job, &emit);
        let counts = counts(numbers, &job, &emit);
        let letters = letters_out(letters, &job, &emit);
        let probe = ProbeHandle::new();
        close(counts.concat(letters), &emit).probe_with(&probe);
        Graph {
            events: events_in,
            restored: restored_in,
            letters: letters_in,
            marks: marks_in,
            runs: runs_in,
            probe,
            held,
        }
    })
}

/// The callback, shared by the operators that hand something out. An operator does so before it
/// lets its epoch go, hence before any worker's [`Emitted::Closed`] that passes the epoch. Beside
/// it stands what they hold, and when rows become final.
struct Emit<F>(Rc<RefCell<F>>, HeldBytes, TimeConfig);

impl<F> Clone for Emit<F> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0), self.1.clone(), self.2)
    }
}

impl<F: FnMut(Emitted) + 'static> Emit<F> {
    fn tell(&self, emitted: Emitted) {
        (self.0.borrow_mut())(emitted);
    }

    fn holds(&self, holder: Holder, bytes: usize) {
        self.1.say(holder, bytes);
    }

    fn changes(&self, epoch: Epoch, mut changes: Vec<Change>) {
        if !changes.is_empty() {
            for Change { row, .. } in &mut changes {
                row.final_at = self.2.final_at(row.final_at);
            }
            self.tell(Emitted::Changes(epoch, changes));
        }
    }
}

/// Nothing flows from an operator that only hands out: its stream says how far it has come.
type Done<'scope> = StreamVec<'scope, Epoch, ()>;

/// Dead letters of records that were never events.
fn letters_out<'scope, F: FnMut(Emitted) + 'static>(
    letters: StreamVec<'scope, Epoch, DeadLetter>,
    job: &Arc<Job>,
    emit: &Emit<F>,
) -> Done<'scope> {
    let (job, emit) = (Arc::clone(job), emit.clone());
    per_epoch(letters, Pipeline, "DeadLetters", move |epoch, list: Batches<DeadLetter>, _| {
        let letters = list.into_iter().flatten();
        emit.changes(epoch, letters.filter_map(|l| rows::letter(&job, l)).collect());
    })
}

fn dedup<'scope, F: FnMut(Emitted) + 'static>(
    all: StreamVec<'scope, Epoch, DedupIn>,
    job: &Arc<Job>,
    emit: &Emit<F>,
) -> StreamVec<'scope, Epoch, Counted> {
    let emit = emit.clone();
    let mut dedup = Dedup::new(job.time.ids);
    let horizon = job.time.admit.saturating_add(job.time.ids);
    let by_id = Exchange::new(|item: &DedupIn| match item {
        DedupIn::Admitted(admitted) => at_event(admitted.event.key),
        DedupIn::Watermark(worker, _) => *worker,
    });
    let view = job.catalog.built_in.duplicates;
    per_epoch(all, by_id, "Dedup", move |epoch, list: Batches<DedupIn>, out| {
        let mut watermark = Micros::MIN;
        for item in list.into_iter().flatten() {
            match item {
                DedupIn::Admitted(admitted) => dedup.update(admitted),
                DedupIn::Watermark(_, now) => watermark = watermark.max(now),
            }
        }
        let mut changes = Changes::default();
        dedup.advance(&mut changes);
        dedup.forget(watermark.saturating_sub(horizon));
        emit.holds(Holder::Dedup, dedup.bytes());
        out.append(&mut changes.counted);
        if let Some(view) = view {
            let recounts = changes.recounts.iter();
            emit.changes(epoch, recounts.flat_map(|r| rows::duplicates(view, r)).collect());
        }
    })
}

fn shadow<'scope>(
    counted: StreamVec<'scope, Epoch, Counted>,
    job: &Arc<Job>,
    held: &HeldBytes,
) -> StreamVec<'scope, Epoch, Shadowing> {
    let held = held.clone();
    let mut shadows = Shadows::new(job.strongest.clone());
    let keyed = counted.flat_map(|c| c.event.business_key().is_some().then_some(c));
    let by_key =
        Exchange::new(|c: &Counted| place(&(&c.event.kind.tenant, c.event.business_key())));
    per_epoch(keyed, by_key, "Shadow", move |_, list: Batches<Counted>, out| {
        for counted in list.into_iter().flatten() {
            shadows.update(&counted.event, counted.diff);
        }
        shadows.advance(out);
        held.say(Holder::Shadow, shadows.bytes());
    })
}

/// Where what concerns an event is placed.
fn at_event(key: EventKey) -> u64 {
    place(&{ key.id })
}

fn store<'scope, F: FnMut(Emitted) + 'static>(
    counted: StreamVec<'scope, Epoch, Counted>,
    shadowings: StreamVec<'scope, Epoch, Shadowing>,
    resolved: StreamVec<'scope, Epoch, StoreIn>,
    job: &Arc<Job>,
    emit: &Emit<F>,
) -> StreamVec<'scope, Epoch, Fact> {
    let emit = emit.clone();
    let (mut store, mut hidden) = (Store::new(), Hidden::default());
    let shadowings = shadowings.map(StoreIn::Shadowing);
    let all = counted.map(StoreIn::Counted).concat(shadowings).concat(resolved);
    let by_id = Exchange::new(|item: &StoreIn| match item {
        StoreIn::Counted(counted) => at_event(counted.event.key),
        StoreIn::Shadowing(shadowing) => at_event(shadowing.event),
        StoreIn::Identity(out) => out.event().map_or(0, at_event),
    });
    let built_in = job.catalog.built_in;
    per_epoch(all, by_id, "Store", move |epoch, list: Batches<StoreIn>, out| {
        let mut id_changes = Vec::new();
        let mut shadowed = Vec::new();
        // What ceases to count first: a copy that takes its place may have the same key.
        let mut left = BTreeMap::new();
        for item in list.iter().flatten() {
            if let StoreIn::Counted(counted) = item
                && counted.diff < 0
            {
                left.insert(counted.event.id(), Arc::clone(&counted.event));
                store.count(counted.clone());
            }
        }
        for mut items in list.into_iter().map(Vec::into_iter) {
            while !items.as_slice().is_empty() {
                let ahead = items.as_slice().iter().take(AHEAD);
                store.read_ahead(ahead.filter_map(StoreIn::event));
                for item in items.by_ref().take(AHEAD) {
                    match item {
                        StoreIn::Counted(counted) => {
                            if counted.diff > 0 {
                                store.count(counted);
                            }
                        }
                        StoreIn::Shadowing(shadowing) => {
                            store.shadow(&shadowing);
                            shadowed.push(shadowing);
                        }
                        StoreIn::Identity(IdentityOut::Assign { tenant, event, to, cause }) => {
                            let assign = Assign { event, from: None, to: to.person(), cause };
                            store.assign(tenant, &assign);
                        }
                        StoreIn::Identity(IdentityOut::Change(change)) => id_changes.push(*change),
                        StoreIn::Identity(_) => {}
                    }
                }
            }
        }
        let find = |tenant: u64, key| store.get(tenant, key).or_else(|| left.get(&(tenant, key)));
        let mut changes = Vec::new();
        if let Some(view) = built_in.id_changes {
            for (name, change) in &id_changes {
                let by = find(tenant(name), change.by);
                changes.push(rows::id_change(view, name, change, by, epoch));
            }
        }
        if let Some(view) = built_in.duplicates {
            let find = |s: &Shadowing| Some((find(s.tenant, s.event)?, s.shadowed));
            changes.extend(hidden.update(view, shadowed.iter().filter_map(find)));
        }
        emit.changes(epoch, changes);
        store.advance(out);
        emit.holds(Holder::Store, store.bytes() + hidden.bytes());
    })
}

fn people<'scope, F: FnMut(Emitted) + 'static>(
    facts: StreamVec<'scope, Epoch, Fact>,
    resolved: StreamVec<'scope, Epoch, PeopleIn>,
    job: &Arc<Job>,
    emit: &Emit<F>,
) -> StreamVec<'scope, Epoch, Contribution> {
    let emit = emit.clone();
    let types = job.identity.types.iter().map(|t| t.name.as_str().into()).collect();
    let mut people = People::new(&job.catalog, types);
    let (mut output, mut usual) = (PeopleOutput::default(), 0);
    let catalog = Arc::clone(&job.catalog);
    let facts = facts.flat_map(move |fact| {
        let groups = GroupFact::of(&catalog, &fact).map(|group| PeopleIn::Group(Box::new(group)));
        let groups: Vec<PeopleIn> = groups.collect();
        groups.into_iter().chain([PeopleIn::Fact(fact)])
    });
    let all = facts.concat(resolved);
    let by_person = Exchange::new(|item: &PeopleIn| match item {
        PeopleIn::Group(g) => place(&(&g.fact.event.kind.tenant, g.property, &g.id)),
        PeopleIn::Fact(fact) => match fact.person {
            Some(person) => place(&person),
            None => at_event(fact.event.key),
        },
        PeopleIn::Identity(out) => out.person().map_or(0, |person| place(&person)),
    });
    per_epoch(all, by_person, "People", move |epoch, list: Batches<PeopleIn>, out| {
        for item in list.into_iter().flatten() {
            match item {
                PeopleIn::Fact(fact) => people.update_fact(fact),
                PeopleIn::Group(group) => people.update_group(*group),
                PeopleIn::Identity(IdentityOut::Name(person, token, cause)) => {
                    people.update_name(person, token, cause);
                }
                PeopleIn::Identity(IdentityOut::Member(moved)) => {
                    let Member { name, membership, diff, cause } = *moved;
                    people.update_membership(&name, tenant(&name), membership, diff, cause);
                }
                PeopleIn::Identity(_) => {}
            }
        }
        // As many rows as in the epoch before: they go to another thread, and a list that grows
        // takes twice the memory.
        output.changes.reserve_exact(usual);
        people.advance(&mut output);
        emit.holds(Holder::People, people.bytes());
        usual = output.changes.len();
        emit.changes(epoch, std::mem::take(&mut output.changes));
        out.append(&mut output.contributions);
    })
}

fn counts<'scope, F: FnMut(Emitted) + 'static>(
    numbers: StreamVec<'scope, Epoch, Contribution>,
    job: &Arc<Job>,
    emit: &Emit<F>,
) -> Done<'scope> {
    let emit = emit.clone();
    let mut counts = Counts::new(&job.catalog);
    let by_group = Exchange::new(|c: &Contribution| place(&c.group.home()));
    per_epoch(numbers, by_group, "Counts", move |epoch, list: Batches<Contribution>, _| {
        for contribution in list.into_iter().flatten() {
            counts.update(contribution);
        }
        let mut changes = Vec::new();
        counts.advance(&mut changes);
        emit.holds(Holder::Counts, counts.bytes());
        emit.changes(epoch, changes);
    })
}

/// Says which epochs are closed: all that hands out rows is behind them.
fn close<'scope, F: FnMut(Emitted) + 'static>(done: Done<'scope>, emit: &Emit<F>) -> Done<'scope> {
    let emit = emit.clone();
    done.unary_frontier::<CapacityContainerBuilder<Vec<()>>, _, _, _>(Pipeline, "Close", |_, _| {
        let mut closed = 0;
        move |(input, frontier), _output| {
            input.for_each_stamp(|_, _| {});
            let upto = frontier.frontier().first().copied().unwrap_or(Epoch::MAX);
            if upto > closed {
                closed = upto;
                emit.tell(Emitted::Closed(upto));
            }
        }
    })
}
