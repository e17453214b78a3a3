//! What each person, or each group, adds to the numbers of one view, with the events behind it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::funnels::{Changed, Funnels};
use super::{Facts, PeopleOutput, Placed};
use crate::model::{Cause, Event};
use crate::views::catalog::Catalog;
use crate::views::contribution::{Contribution, Group, Measure};
use crate::views::funnel::breakdown_value;
use crate::views::spec::{FunnelSpec, Metric, TrendSpec, ViewSpec};
use crate::views::trend;

/// A part of a number.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Share {
    /// Where it counts.
    pub group: Group,
    /// What counts.
    pub measure: Measure,
    /// The events that it is made of: of a funnel those that took its steps, in the order of the
    /// steps and `None` where one was passed over; of a trend those that it counts, in order.
    pub events: Vec<Option<Arc<Event>>>,
}

impl Share {
    /// It as what is added to a group.
    pub fn contribution(&self) -> Contribution {
        let (group, measure) = (self.group.clone(), self.measure.clone());
        Contribution { group, measure, diff: 1, cause: Cause::New }
    }
}

/// Whose facts they are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Whose {
    /// A person's.
    Person,
    /// Nobody's: events without an identifier.
    Nobody,
    /// Those that name a group by this property.
    Group(usize),
}

/// Shares in the numbers of one view.
#[derive(Debug)]
pub struct Shares {
    catalog: Catalog,
    view: u16,
    spec: ViewSpec,
}

impl Shares {
    /// Those in the numbers of the view with this index.
    pub fn new(catalog: &Catalog, view: u16) -> Self {
        let spec = catalog.specs[usize::from(view)].clone();
        Self { catalog: catalog.clone(), view, spec }
    }

    /// The shares of somebody with these facts, which are in order.
    pub fn of(&mut self, facts: &[Arc<Event>], whose: Whose) -> Vec<Share> {
        let Self { catalog, view, spec } = self;
        match (spec, whose) {
            (ViewSpec::Trend(spec), Whose::Person) if spec.metric == Metric::People => {
                of_people(catalog, (*view, spec), facts)
            }
            (ViewSpec::Trend(spec), Whose::Person | Whose::Nobody) => {
                of_events(catalog, (*view, spec), facts)
            }
            (ViewSpec::Funnel(spec), Whose::Person) if spec.group.is_none() => {
                of_funnel(catalog, (*view, spec), facts)
            }
            (ViewSpec::Funnel(spec), Whose::Group(property)) if spec.group == Some(property) => {
                of_funnel(catalog, (*view, spec), facts)
            }
            _ => Vec::new(),
        }
    }
}

fn group_of(catalog: &mut Catalog, (view, spec): (u16, &TrendSpec), event: &Event) -> Group {
    Group {
        view,
        tenant: Arc::clone(&event.kind.tenant),
        period: spec.period,
        start: catalog.calendar.start(spec.period, event.key.time),
        breakdown: breakdown_value(spec.breakdown, event),
    }
}

fn of_events(catalog: &mut Catalog, view: (u16, &TrendSpec), facts: &[Arc<Event>]) -> Vec<Share> {
    let counted = facts.iter().filter(|event| trend::counts(view.1, event));
    let share = |event: &Arc<Event>| {
        let measure = trend::measure(view.1.metric, event)?;
        let group = group_of(catalog, view, event);
        Some(Share { group, measure, events: vec![Some(Arc::clone(event))] })
    };
    counted.filter_map(share).collect()
}

fn of_people(catalog: &mut Catalog, view: (u16, &TrendSpec), facts: &[Arc<Event>]) -> Vec<Share> {
    let mut groups: BTreeMap<Group, Vec<Option<Arc<Event>>>> = BTreeMap::new();
    for event in facts.iter().filter(|event| trend::counts(view.1, event)) {
        let group = group_of(catalog, view, event);
        groups.entry(group).or_default().push(Some(Arc::clone(event)));
    }
    let share = |(group, events)| Share { group, measure: Measure::One, events };
    groups.into_iter().map(share).collect()
}

fn of_funnel(
    catalog: &mut Catalog,
    (view, spec): (u16, &FunnelSpec),
    facts: &[Arc<Event>],
) -> Vec<Share> {
    let Some(tenant) = facts.first().map(|event| &event.kind.tenant) else { return Vec::new() };
    let mut sorted = Facts::default();
    for event in facts {
        sorted.insert(Placed::new(event));
    }
    let deltas: Vec<(Arc<Event>, i8, Cause)> =
        facts.iter().map(|event| (Arc::clone(event), 1, Cause::New)).collect();
    let (mut presence, mut out) = (trend::Presence::default(), PeopleOutput::default());
    trend::of_person(catalog, &deltas, &mut presence, &mut out);
    let changed = Changed {
        tenant,
        facts: &sorted,
        deltas: &deltas,
        cause: Cause::New,
        group: spec.group,
        presence: spec.group.is_none().then_some(&presence),
    };
    // All funnels, for cohorts are of other ones.
    let mut funnels = Funnels::default();
    funnels.update(catalog, &changed, None, &mut out);
    let Some(state) = funnels.state(view) else { return Vec::new() };
    let counted = state.counted(spec, &mut catalog.calendar).into_iter();
    counted
        .map(|(period, start, best)| {
            let (tenant, breakdown) = (Arc::clone(tenant), best.breakdown);
            let group = Group { view, tenant, period, start, breakdown };
            let events = best.outcome.chain.to_vec();
            Share { group, measure: best.outcome.measure(), events }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::testing::Seeded;
    use crate::model::{Micros, Token};
    use crate::people::GroupFact;
    use crate::people::oracle::{World, all};
    use crate::people::testing::{catalog, fact, matcher};
    use crate::store::{Fact, PersonRef};
    use crate::views::counts::{Counts, count_of, counts_in, group_of, oracle};

    /// Random facts of three people and of nobody, with what the oracle says that they add.
    fn world(seed: u64) -> (Catalog, World, Vec<Contribution>) {
        let (catalog, matcher) = (catalog(seed), matcher());
        let mut random = Seeded(seed);
        let mut world = World::default();
        for handle in 1..4 {
            let person = PersonRef { tenant: 1, handle };
            world.names.insert(person, Token(u128::from(handle)));
        }
        for _ in 0..random.below(90) {
            let handle = random.below(4);
            let person = (handle > 0).then_some(PersonRef { tenant: 1, handle });
            world.facts.entry(person).or_default().push(fact(&mut random, &matcher));
        }
        for facts in world.facts.values_mut() {
            facts.sort_by_key(|event| event.key);
        }
        let contributions = all(&catalog, &[], &"t".into(), &world).1;
        (catalog, world, contributions)
    }

    /// Everybody's shares in a view.
    fn shares(catalog: &Catalog, view: u16, world: &World) -> Vec<Share> {
        let mut shares = Shares::new(catalog, view);
        let mut all = Vec::new();
        for (person, facts) in &world.facts {
            let whose = if person.is_some() { Whose::Person } else { Whose::Nobody };
            all.extend(shares.of(facts, whose));
        }
        let mut groups: BTreeMap<(usize, Arc<str>), Vec<Arc<Event>>> = BTreeMap::new();
        for event in world.facts.values().flatten() {
            let event = Arc::clone(event);
            let fact = Fact { person: None, event, diff: 1, cause: Cause::New };
            for GroupFact { property, id, fact } in GroupFact::of(catalog, &fact) {
                groups.entry((property, id)).or_default().push(fact.event);
            }
        }
        for ((property, _), mut facts) in groups {
            facts.sort_by_key(|event| event.key);
            all.extend(shares.of(&facts, Whose::Group(property)));
        }
        all
    }

    #[test]
    fn shares_are_what_the_oracle_adds_and_their_events_say_so() {
        let (mut attempts, mut others) = (0, 0);
        for seed in 0..150 {
            let (catalog, world, expected) = world(seed);
            for view in 0..catalog.specs.len() as u16 {
                let shares = shares(&catalog, view, &world);
                let mut ours: Vec<(Group, Measure)> =
                    shares.iter().map(|s| (s.group.clone(), s.measure.clone())).collect();
                let theirs = expected.iter().filter(|c| c.group.view == view);
                let mut theirs: Vec<(Group, Measure)> =
                    theirs.map(|c| (c.group.clone(), c.measure.clone())).collect();
                ours.sort_unstable();
                theirs.sort_unstable();
                assert_eq!(ours, theirs, "seed {seed}, view {view}");
                for share in &shares {
                    let times: Vec<Option<Micros>> =
                        share.events.iter().map(|e| Some(e.as_ref()?.key.time)).collect();
                    if let Measure::Attempt(offsets) = &share.measure {
                        let first = times.iter().flatten().next().unwrap();
                        let taken =
                            |at: &Option<Micros>| at.map_or(Measure::SKIPPED, |t| t - first);
                        assert!(offsets.iter().copied().eq(times.iter().map(taken)));
                        attempts += 1;
                    } else {
                        assert!(!times.is_empty() && times.iter().all(Option::is_some));
                        others += 1;
                    }
                }
            }
        }
        assert!(attempts > 1000 && others > 1000, "{attempts} attempts, {others} others");
    }

    /// The shares that count in a row are as many as it says, also in the row of all other values.
    #[test]
    fn shares_of_a_row_add_up_to_its_number() {
        let mut rest = 0;
        for seed in 0..150 {
            let (catalog, world, _) = world(seed);
            for view in 0..catalog.specs.len() as u16 {
                let shares = shares(&catalog, view, &world);
                let contributions: Vec<_> = shares.iter().map(Share::contribution).collect();
                let mut counts = Counts::new(&catalog);
                contributions.iter().cloned().for_each(|c| counts.update(c));
                counts.advance(&mut Vec::new());
                let mut groups: BTreeMap<Group, Vec<&Share>> = BTreeMap::new();
                for share in &shares {
                    let shown = counts.shown_in(&share.group);
                    rest += usize::from(shown != share.group);
                    groups.entry(shown).or_default().push(share);
                }
                let mut rows = 0;
                for (group, shares) in &groups {
                    for row in counts.rows_of(group) {
                        rows += 1;
                        assert_eq!(group_of(&catalog, &row).as_ref(), Some(group), "{row:?}");
                        let counted =
                            shares.iter().filter(|s| counts_in(&catalog, &row, &s.measure));
                        let expected = count_of(&catalog, &row);
                        let sum = expected.is_none();
                        assert!(sum || expected == Some(counted.count() as i64), "{row:?}");
                    }
                }
                assert_eq!(rows, oracle::rows(&catalog, &contributions).len());
            }
        }
        assert!(rest > 100, "{rest} shares under a value without a row of its own");
    }
}
