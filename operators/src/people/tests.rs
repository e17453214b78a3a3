//! People against the oracle after every step of random histories.

mod settled;

use std::collections::BTreeMap;

use super::oracle::{World, all};
use super::testing::{catalog, fact, matcher};
use super::*;
use crate::identity::testing::Seeded;
use crate::model::{Event, Ident, Value};
use crate::views::contribution::{Group, Measure};

struct History {
    catalog: Catalog,
    random: Seeded,
    world: World,
    people: People,
}

impl History {
    fn tell(&mut self, fact: Fact) {
        for group in GroupFact::of(&self.catalog, &fact) {
            self.people.update_group(group);
        }
        self.people.update_fact(fact);
    }

    fn give(&mut self, person: Option<PersonRef>, event: Arc<Event>, cause: Cause) {
        self.world.facts.entry(person).or_default().push(Arc::clone(&event));
        self.tell(Fact { person, event, diff: 1, cause });
    }

    fn take(&mut self, person: Option<PersonRef>, cause: Cause) -> Option<Arc<Event>> {
        let list = self.world.facts.get_mut(&person)?;
        if list.is_empty() {
            return None;
        }
        let event = list.swap_remove(self.random.below(list.len() as u64) as usize);
        let gone = Fact { person, event: Arc::clone(&event), diff: -1, cause };
        self.tell(gone);
        Some(event)
    }

    fn somebody(&mut self) -> Option<PersonRef> {
        let handle = self.random.below(4);
        (handle > 0).then_some(PersonRef { tenant: 1, handle })
    }

    fn step(&mut self, matcher: &crate::views::predicate::Matcher) {
        let person = self.somebody();
        match self.random.below(8) {
            0..=3 => {
                let event = fact(&mut self.random, matcher);
                self.give(person, event, Cause::New);
            }
            4 => drop(self.take(person, Cause::Late)),
            5 => {
                let (from, to) = (self.somebody(), self.somebody());
                if let Some(event) = self.take(from, Cause::Merge) {
                    self.give(to, event, Cause::Merge);
                }
            }
            6 => {
                let Some(id) = person else { return };
                let name = Token(u128::from(self.random.below(100)));
                self.world.names.insert(id, name);
                self.people.update_name(id, Some(name), Cause::Merge);
            }
            _ => {
                let Some(id) = person else { return };
                let ident = Ident { kind: 0, token: Token(u128::from(self.random.below(3))) };
                let public = self.random.once_in(2);
                let member = Membership { ident, person: id.handle, public };
                let list = self.world.memberships.entry(id).or_default();
                let diff = if list.remove(&member) {
                    -1
                } else {
                    list.insert(member);
                    1
                };
                self.people.update_membership(&"t".into(), 1, member, diff, Cause::New);
            }
        }
    }
}

#[test]
fn an_empty_text_names_no_group() {
    let (mut random, matcher) = (Seeded(1), matcher());
    let property = 3;
    let catalog = Catalog { groups: vec![property], ..catalog(1) };
    let values = ["", "g"].map(|text| Some(Value::Str(text.into())));
    let ids = values.into_iter().chain([Some(Value::Int(0)), None]).map(|value| {
        let mut event = Event::clone(&fact(&mut random, &matcher));
        event.properties = [None, None, None, value].into();
        let fact = Fact { person: None, event: Arc::new(event), diff: 1, cause: Cause::New };
        GroupFact::of(&catalog, &fact).map(|group| group.id.to_string()).collect::<Vec<_>>()
    });
    assert_eq!(ids.flatten().collect::<Vec<_>>(), ["g", "0"]);
}

#[test]
fn agrees_with_the_oracle() {
    let matcher = matcher();
    for seed in 0..400 {
        let catalog = catalog(seed);
        let types: Vec<Arc<str>> = vec!["email".into()];
        let people = People::new(&catalog, types.clone());
        let (random, world) = (Seeded(seed), World::default());
        let mut history = History { catalog: catalog.clone(), random, world, people };
        for handle in 1..4 {
            let id = PersonRef { tenant: 1, handle };
            history.world.names.insert(id, Token(u128::from(handle)));
        }
        let mut rows: BTreeMap<Row, i64> = BTreeMap::new();
        let mut numbers: BTreeMap<(Group, Measure), i64> = BTreeMap::new();
        for _ in 0..30 {
            let names: Vec<_> = history.world.names.iter().map(|(id, n)| (*id, *n)).collect();
            for (id, name) in names {
                history.people.update_name(id, Some(name), Cause::Merge);
            }
            for _ in 0..=history.random.below(6) {
                history.step(&matcher);
            }
            let mut out = PeopleOutput::default();
            history.people.advance(&mut out);
            for change in out.changes {
                *rows.entry(change.row).or_default() += change.diff;
            }
            rows.retain(|_, n| *n != 0);
            for c in out.contributions {
                *numbers.entry((c.group, c.measure)).or_default() += c.diff;
            }
            numbers.retain(|_, n| *n != 0);
            let (expected, contributions) = all(&catalog, &types, &"t".into(), &history.world);
            let mut net: BTreeMap<(Group, Measure), i64> = BTreeMap::new();
            for c in contributions {
                *net.entry((c.group, c.measure)).or_default() += c.diff;
            }
            let reported: Vec<Row> =
                rows.iter().flat_map(|(row, n)| (0..*n).map(move |_| row.clone())).collect();
            let difference: Vec<&Row> = expected
                .iter()
                .filter(|r| !reported.contains(r))
                .chain(reported.iter().filter(|r| !expected.contains(r)))
                .collect();
            assert!(difference.is_empty(), "seed {seed}: {difference:#?}");
            assert_eq!(reported, expected, "seed {seed}");
            assert_eq!(numbers, net, "seed {seed}");
        }
    }
}
