//! One event of a dense history at a time, where steps exclude each other: what is followed entry
//! by entry against the oracle.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::identity::testing::Seeded;
use crate::model::{Cause, Event, SECOND, Token};
use crate::people::testing::{fact, matcher};
use crate::people::{People, PeopleOutput};
use crate::store::{Fact, PersonRef};
use crate::views::catalog::Catalog;
use crate::views::contribution::Measure;
use crate::views::funnel::oracle::{Number, of_person};
use crate::views::funnel::spec::{Exclusion, Filter, FunnelSpec, FunnelStep};
use crate::views::spec::{Period, ViewSpec};

/// An ordered funnel of some of the four names, each at one step.
fn spec(random: &mut Seeded) -> FunnelSpec {
    let mut names = [0, 1, 2, 3];
    for place in 1..4 {
        names.swap(place, random.below(place as u64 + 1) as usize);
    }
    let count = 2 + random.below(3) as usize;
    let step = |(place, name): (usize, &usize)| {
        let mut step = FunnelStep::required("step", *name);
        step.optional = place > 0 && place + 1 < count && random.once_in(2);
        step
    };
    let steps: Vec<FunnelStep> = names[..count].iter().enumerate().map(step).collect();
    let mut spec = FunnelSpec::new("f", steps, 0);
    spec.window = random.pick(&[5, 40, 400, 40_000, 172_800]) * SECOND;
    spec.periods = vec![Period::Day, Period::All];
    for _ in 0..random.pick(&[0, 0, 1, 2]) {
        let from = random.below(count as u64 - 1) as usize;
        let to = from + 1 + random.below((count - from - 1) as u64) as usize;
        let filter = Filter::of(random.pick(&[names[3], 6, 7, 7]));
        spec.exclusions.push(Exclusion { filter, from, to });
    }
    spec
}

fn check(seed: u64) {
    let (mut random, matcher) = (Seeded(seed), matcher());
    let spec = spec(&mut random);
    let catalog = Catalog::new(vec![ViewSpec::Funnel(spec.clone())], &[], "UTC").unwrap();
    let catalog = Catalog { dense_from: 0, ..catalog };
    let mut calendar = catalog.calendar.clone();
    let mut people = People::new(&catalog, Vec::new());
    let person = PersonRef { tenant: 1, handle: 1 };
    people.update_name(person, Some(Token(1)), Cause::Merge);
    let mut facts: Vec<Arc<Event>> = Vec::new();
    let mut numbers: BTreeMap<Number, i64> = BTreeMap::new();
    for _ in 0..80 {
        let gone = random.once_in(4) && !facts.is_empty();
        let (event, diff) = if gone {
            (facts.swap_remove(random.below(facts.len() as u64) as usize), -1)
        } else {
            (fact(&mut random, &matcher), 1)
        };
        if !gone {
            facts.push(Arc::clone(&event));
        }
        people.update_fact(Fact { person: Some(person), event, diff, cause: Cause::New });
        let mut out = PeopleOutput::default();
        people.advance(&mut out);
        for c in out.contributions {
            let key = (c.group.period, c.group.start, c.group.breakdown, c.measure);
            *numbers.entry(key).or_default() += c.diff;
        }
        numbers.retain(|_, times| *times != 0);
        facts.sort_by_key(|event| event.key);
        let (list, _) = of_person(&spec, &mut calendar, &facts, &BTreeMap::new());
        let mut expected: BTreeMap<Number, i64> = BTreeMap::new();
        list.into_iter().for_each(|number| *expected.entry(number).or_default() += 1);
        assert_eq!(numbers, expected, "seed {seed}: {spec:#?}");
    }
    assert!(numbers.keys().all(|(.., measure)| matches!(measure, Measure::Attempt(_))));
}

#[test]
fn one_change_at_a_time_agrees_with_the_oracle() {
    (0..400).for_each(check);
}
