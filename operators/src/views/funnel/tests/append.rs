//! Events that come mostly in order, some at a time: what is not looked at again must not have
//! changed.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::identity::testing::Seeded;
use crate::model::{Cause, Event, EventKey, Micros, SECOND, Token};
use crate::people::testing::{fact, matcher};
use crate::people::{People, PeopleOutput};
use crate::store::{Fact, PersonRef};
use crate::views::catalog::Catalog;
use crate::views::funnel::is_plain;
use crate::views::funnel::oracle::{Number, of_person};
use crate::views::funnel::spec::{Attribution, BreakdownBy, FunnelSpec, FunnelStep};
use crate::views::spec::{Period, ViewSpec};

/// An ordered funnel, whose steps may exclude each other or not; with or without a breakdown.
fn spec(random: &mut Seeded) -> FunnelSpec {
    let count = 2 + random.below(3) as usize;
    let steps: Vec<FunnelStep> = (0..count)
        .map(|_| FunnelStep::required("step", random.pick(&[0, 0, 1, 1, 2, 3, 5, 6])))
        .collect();
    let mut spec = FunnelSpec::new("f", steps, 0);
    spec.window = random.pick(&[0, 40, 4_000, 86_400, 400_000]) * SECOND;
    spec.periods = vec![Period::Day, Period::Week, Period::All];
    if random.once_in(2) {
        let by = [BreakdownBy::Channel, BreakdownBy::Property(0), BreakdownBy::Property(1)];
        spec.breakdown.push(by[random.below(3) as usize].clone());
    }
    spec.attribution = Attribution::FirstTouch;
    if spec.breakdown.is_empty() && random.once_in(2) {
        // Without a breakdown it makes no difference.
        spec.attribution = random.pick(&[Attribution::LastTouch, Attribution::AllEvents]);
    }
    spec
}

fn check(seed: u64, zone: &str, begin: Micros) {
    let (mut random, matcher) = (Seeded(seed), matcher());
    let spec = spec(&mut random);
    let catalog = Catalog::new(vec![ViewSpec::Funnel(spec.clone())], &[], zone).unwrap();
    let mut calendar = catalog.calendar.clone();
    let mut people = People::new(&catalog, Vec::new());
    let person = PersonRef { tenant: 1, handle: 1 };
    people.update_name(person, Some(Token(1)), Cause::Merge);
    let mut facts: Vec<Arc<Event>> = Vec::new();
    let mut numbers: BTreeMap<Number, i64> = BTreeMap::new();
    let (mut now, stride) = (begin, random.pick(&[1, 30, 3_000, 40_000]));
    for _ in 0..60 {
        for _ in 0..random.pick(&[1, 1, 1, 2, 3, 5]) {
            let mut event = Event::clone(&fact(&mut random, &matcher));
            // Now and then in the same instant, or before others.
            now += random.below(4) as i64 * random.below(stride) as i64 * SECOND;
            let back =
                if random.once_in(12) { random.below(stride) as i64 * 2 * SECOND } else { 0 };
            event.key = EventKey { time: now - back, ..event.key };
            let event = Arc::new(event);
            facts.push(Arc::clone(&event));
            people.update_fact(Fact { person: Some(person), event, diff: 1, cause: Cause::New });
        }
        if random.once_in(10) {
            let event = facts.swap_remove(random.below(facts.len() as u64) as usize);
            people.update_fact(Fact { person: Some(person), event, diff: -1, cause: Cause::New });
        }
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
    assert!(is_plain(&spec));
}

#[test]
fn events_in_order_agree_with_the_oracle() {
    (0..600).for_each(|seed| check(seed, "UTC", 0));
}

/// The clock is set back over midnight, so that it shows a part of the day before again.
#[test]
fn days_that_show_another_date_agree_with_the_oracle() {
    let begin: jiff::Timestamp = "2010-11-06T20:00:00Z".parse().unwrap();
    (0..200).for_each(|seed| check(seed, "America/St_Johns", begin.as_microsecond()));
}
