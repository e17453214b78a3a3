//! The incremental engine against the oracle after every step of random histories.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::identity::testing::Seeded;
use crate::model::{Cause, Event};
use crate::model::{Cell, Row, Token};
use crate::people::testing::{fact, funnel, matcher};
use crate::people::{GroupFact, People, PeopleOutput};
use crate::store::{Fact, PersonRef};
use crate::views::catalog::Catalog;
use crate::views::contribution::{Group, Measure};
use crate::views::funnel::oracle::of_person;
use crate::views::funnel::spec::{Counting, FunnelSpec};
use crate::views::funnel::{Best, best_row};
use crate::views::predicate::Matcher;
use crate::views::spec::ViewSpec;

/// What a funnel chose of each option.
fn choices(spec: &FunnelSpec) -> Vec<String> {
    let counting = match spec.counting {
        Counting::Uniques => "uniques",
        Counting::Totals => "totals",
        Counting::Sessions(_) => "sessions",
    };
    let attribution = format!("{:?}", spec.attribution);
    let attribution = attribution.split('(').next().unwrap_or_default().to_owned();
    let traits: Vec<bool> = spec.filters().flat_map(|f| &f.traits).map(|t| t.at_event).collect();
    vec![
        format!("{:?}", spec.order),
        counting.to_owned(),
        format!("exclusions {}", spec.exclusions.len().min(1)),
        format!("hold {}", spec.hold.len()),
        format!("optional {}", spec.steps.iter().any(|s| s.optional)),
        format!("first {}", spec.steps.iter().any(|s| s.first.is_some())),
        format!("breakdown {}", spec.breakdown.len().min(2)),
        format!("cohort {}", spec.cohorts().count()),
        attribution,
        format!("group {}", spec.group.is_some()),
        format!("traits {:?} {:?}", traits.contains(&true), traits.contains(&false)),
        format!("window {}", spec.window == 0),
        format!("limit {}", spec.values_max == 1),
    ]
}

/// Pairs that make no sense: they are refused in a job file.
fn refused(a: &str, b: &str) -> bool {
    let pair = |x: &str, y: &str| a.starts_with(x) && b.starts_with(y);
    pair("Unordered", "optional true")
        || pair("breakdown 0", "cohort 1")
        || pair("group true", "traits true")
        || pair("group true", "traits false true")
}

/// The funnel that cohorts are of stands before the one that is looked at.
const VIEW: u16 = 1;

struct World {
    people: People,
    catalog: Catalog,
    facts: Vec<Vec<Arc<Event>>>,
    numbers: BTreeMap<(Group, Measure), i64>,
    rows: BTreeMap<Row, i64>,
}

impl World {
    fn tell(&mut self, person: usize, event: &Arc<Event>, diff: i8) {
        let person = PersonRef { tenant: 1, handle: person as u64 };
        let event = Arc::clone(event);
        let fact = Fact { person: Some(person), event, diff, cause: Cause::New };
        GroupFact::of(&self.catalog, &fact).for_each(|group| self.people.update_group(group));
        self.people.update_fact(fact);
    }

    fn step(&mut self, random: &mut Seeded, matcher: &Matcher) {
        let person = random.below(self.facts.len() as u64) as usize;
        match random.below(10) {
            0..=5 => {
                let event = fact(random, matcher);
                self.tell(person, &event, 1);
                self.facts[person].push(event);
            }
            6 | 7 if !self.facts[person].is_empty() => {
                let at = random.below(self.facts[person].len() as u64) as usize;
                let event = self.facts[person].swap_remove(at);
                self.tell(person, &event, -1);
            }
            // Two people become one, or some events of one are found to be another's.
            _ => {
                let other = (person + 1) % self.facts.len();
                let all = random.once_in(2);
                for event in std::mem::take(&mut self.facts[person]) {
                    if all || random.once_in(2) {
                        self.tell(person, &event, -1);
                        self.tell(other, &event, 1);
                        self.facts[other].push(event);
                    } else {
                        self.facts[person].push(event);
                    }
                }
            }
        }
    }

    fn advance(&mut self) {
        let mut out = PeopleOutput::default();
        self.people.advance(&mut out);
        for change in out.changes {
            let times = self.rows.entry(change.row).or_default();
            *times += change.diff;
        }
        self.rows.retain(|_, times| *times != 0);
        for c in out.contributions.into_iter().filter(|c| c.group.view == VIEW) {
            *self.numbers.entry((c.group, c.measure)).or_default() += c.diff;
        }
        self.numbers.retain(|_, times| *times != 0);
    }

    /// How far somebody got in the funnel that cohorts are of, if it counts the same.
    fn reached(&mut self, helper: &FunnelSpec, facts: &[Arc<Event>]) -> BTreeMap<u16, usize> {
        let (_, bests) = of_person(helper, &mut self.catalog.calendar, facts, &BTreeMap::new());
        let furthest = bests.iter().map(|best| best.outcome.chain.len()).max();
        furthest.map(|steps| (0, steps)).into_iter().collect()
    }

    fn compare(&mut self, [helper, spec]: &[FunnelSpec; 2], seed: u64) {
        let mut numbers: BTreeMap<(Group, Measure), i64> = BTreeMap::new();
        let mut rows: BTreeMap<Row, i64> = BTreeMap::new();
        let mut histories: BTreeMap<Cell, Vec<Arc<Event>>> = BTreeMap::new();
        for (person, facts) in self.facts.iter().enumerate() {
            let who = |event: &Arc<Event>| match spec.group {
                None => Some(Cell::Id(Token(person as u128))),
                Some(property) => {
                    let id = event.properties.value(property).map(ToString::to_string);
                    id.filter(|id| !id.is_empty()).map(|id| Cell::str(&id))
                }
            };
            for event in facts {
                if let Some(who) = who(event) {
                    histories.entry(who).or_default().push(Arc::clone(event));
                }
            }
        }
        for (who, mut facts) in histories {
            facts.sort_by_key(|e| e.key);
            let reached = self.reached(helper, &facts);
            let (list, bests) = of_person(spec, &mut self.catalog.calendar, &facts, &reached);
            for (period, start, breakdown, measure) in list {
                let group = Group { view: VIEW, tenant: "t".into(), period, start, breakdown };
                *numbers.entry((group, measure)).or_default() += 1;
            }
            let table = self.catalog.tables[usize::from(VIEW)] + 1;
            let row = |best: &Best| best_row(table, &"t".into(), &who, best);
            for best in &bests {
                *rows.entry(row(best)).or_default() += 1;
            }
        }
        let table = self.catalog.tables[usize::from(VIEW)] + 1;
        let there: BTreeMap<Row, i64> =
            self.rows.iter().filter(|r| r.0.view == table).map(|(r, n)| (r.clone(), *n)).collect();
        assert_eq!(self.numbers, numbers, "seed {seed}: {spec:#?}");
        assert_eq!(there, rows, "seed {seed}: {spec:#?}");
    }
}

fn run(seed: u64, specs: &[FunnelSpec; 2], rounds: u64) {
    let matcher = matcher();
    let mut random = Seeded(seed);
    let views = specs.iter().cloned().map(ViewSpec::Funnel).collect();
    let zone = random.pick(&["UTC", "Europe/Berlin"]);
    let catalog = Catalog::new(views, &[], zone).unwrap();
    let mut people = People::new(&catalog, Vec::new());
    for person in 0..3 {
        let id = PersonRef { tenant: 1, handle: person };
        people.update_name(id, Some(Token(u128::from(person))), Cause::Merge);
    }
    let facts = vec![Vec::new(); 3];
    let (numbers, rows) = (BTreeMap::new(), BTreeMap::new());
    let mut world = World { people, catalog, facts, numbers, rows };
    for _ in 0..rounds {
        for _ in 0..=random.below(4) {
            world.step(&mut random, &matcher);
        }
        world.advance();
        world.compare(specs, seed);
    }
}

/// Seeds of [`funnel`]: enough for every pair of choices to come up.
const SEEDS: u64 = 900;

#[test]
fn engine_and_oracle_agree_for_every_pair_of_options() {
    let mut pairs: BTreeSet<(String, String)> = BTreeSet::new();
    let mut known: Vec<BTreeSet<String>> = Vec::new();
    for seed in 0..SEEDS {
        let helper = funnel(&mut Seeded(seed ^ 0x00c0_4027), "helper", &[]);
        let before = [ViewSpec::Funnel(helper.clone())];
        let spec = funnel(&mut Seeded(seed), "f", &before);
        let choices = choices(&spec);
        known.resize(choices.len(), BTreeSet::new());
        for (place, a) in choices.iter().enumerate() {
            known[place].insert(a.clone());
            pairs.extend(choices[place + 1..].iter().map(|b| (a.clone(), b.clone())));
        }
        run(seed, &[helper, spec], 25);
    }
    for (place, list) in known.iter().enumerate() {
        for a in list {
            for b in known[place + 1..].iter().flatten() {
                let met = pairs.contains(&(a.clone(), b.clone()));
                assert!(met || refused(a, b), "no funnel had both {a} and {b}");
            }
        }
    }
}
