//! Random jobs and events for tests of people, counts and the whole graph. Everything follows from
//! a seed.

use std::sync::Arc;

use crate::identity::testing::Seeded;
use crate::model::{DAY, Event, EventKey, EventKind, Idents, Origin, SECOND, Value};
use crate::views::catalog::Catalog;
use crate::views::funnel::spec::{
    Attribution, BreakdownBy, Cohort, Counting, Exclusion, Filter, FunnelSpec, FunnelStep, Order,
    TraitFilter,
};
use crate::views::predicate::{Matcher, Operator, Predicate, PropertyFilter};
use crate::views::spec::{Breakdown, Metric, Period, SessionsSpec, TrendSpec, ViewSpec};

const NAMES: [&str; 4] = ["a", "b", "c", "d"];
const CHANNELS: [&str; 3] = ["backend", "mobile", "web"];

/// The property of an event that is held constant.
const HELD: usize = 1;
/// The property that is a trait of the person.
const TRAIT: usize = 2;
/// The property that names a group.
const GROUP: usize = 3;

/// Predicate `i` below 4 is "the event is called `NAMES[i]`"; then: any event, either of two names,
/// a channel, a value of a property.
pub fn matcher() -> Matcher {
    let mut matcher = Matcher::default();
    for name in NAMES {
        matcher.index(Predicate { events: vec![name.into()], ..Predicate::default() });
    }
    let values = vec![Value::Str("x".into())];
    // Text is a value that `exact` compares: this can't fail.
    let held = PropertyFilter::new(HELD, Operator::Exact, values).expect("text is compared");
    matcher.index(Predicate::default());
    matcher.index(Predicate { events: vec!["a".into(), "b".into()], ..Predicate::default() });
    matcher.index(Predicate { channels: vec!["web".into()], ..Predicate::default() });
    matcher.index(Predicate { properties: vec![held], ..Predicate::default() });
    matcher
}

fn filter(random: &mut Seeded, group: bool) -> Filter {
    let predicate = random.pick(&[0, 0, 1, 1, 2, 3, 4, 5, 6, 7]);
    let mut filter = Filter::of(predicate);
    if !group && random.once_in(6) {
        let operator = random.pick(&[Operator::Exact, Operator::IsNot]);
        let wanted = vec![Value::Str(random.pick(&["p", "q"]).into())];
        // Text is a value that both operators compare: this can't fail.
        let wanted = PropertyFilter::new(TRAIT, operator, wanted).expect("text is compared");
        filter.traits.push(TraitFilter { filter: wanted, at_event: random.once_in(2) });
    }
    filter
}

/// A view before a funnel that has people, or groups of the same kind.
fn cohort(random: &mut Seeded, group: Option<usize>, before: &[ViewSpec]) -> Option<Cohort> {
    let of = |view: &ViewSpec| match view {
        ViewSpec::Funnel(funnel) if funnel.group == group => Some(funnel.steps.len() as u64),
        ViewSpec::Trend(trend) if trend.metric == Metric::People && group.is_none() => Some(1),
        _ => None,
    };
    let able = before.iter().enumerate().filter_map(|(view, spec)| Some((view, of(spec)?)));
    let able: Vec<(usize, u64)> = able.collect();
    let (view, steps) = *able.get(random.below(able.len().max(1) as u64) as usize)?;
    let (view, step) = (view as u16, random.below(steps) as usize);
    Some(Cohort { label: format!("in {view} {step}").into(), view, step })
}

/// A funnel with options at random: of any two options every pair of choices comes up. `before` are
/// the views that may be its cohorts.
pub fn funnel(random: &mut Seeded, name: &str, before: &[ViewSpec]) -> FunnelSpec {
    let order = random.pick(&[Order::Ordered, Order::Ordered, Order::Strict, Order::Unordered]);
    let group = random.pick(&[None, None, None, Some(GROUP)]);
    let count = 2 + random.below(4) as usize;
    let mut steps = Vec::new();
    for place in 0..count {
        let label: std::sync::Arc<str> = NAMES[place % NAMES.len()].into();
        let inner = place > 0 && place + 1 < count && order != Order::Unordered;
        let first = random.once_in(8).then(|| filter(random, group.is_some()));
        let optional = inner && random.once_in(3);
        let filter = filter(random, group.is_some());
        steps.push(FunnelStep { label, filter, optional, first });
    }
    let mut spec = FunnelSpec::new(name, steps, 0);
    spec.order = order;
    spec.group = group;
    spec.window = random.pick(&[0, 5 * SECOND, 100 * SECOND, 2 * DAY]);
    spec.counting = match random.below(4) {
        0 | 1 => Counting::Uniques,
        2 => Counting::Totals,
        _ => Counting::Sessions(SessionsSpec {
            gap: random.pick(&[10, 60, 3600]) * SECOND,
            cap: random.pick(&[30 * SECOND, DAY]),
        }),
    };
    for _ in 0..random.pick(&[0, 0, 1, 2]) {
        let from = random.below(count as u64 - 1) as usize;
        let to = from + 1 + random.below((count - from - 1) as u64) as usize;
        spec.exclusions.push(Exclusion { filter: filter(random, group.is_some()), from, to });
    }
    if random.once_in(3) {
        spec.hold.push(HELD);
    }
    let at_event = random.once_in(2);
    let by = [
        BreakdownBy::Channel,
        BreakdownBy::Property(0),
        BreakdownBy::Property(HELD),
        BreakdownBy::Trait { property: TRAIT, at_event },
    ];
    for _ in 0..random.pick(&[0, 1, 1, 2]) {
        let by = &by[random.below(if group.is_some() { 3 } else { 4 }) as usize];
        spec.breakdown.push(by.clone());
    }
    if random.once_in(4) {
        spec.breakdown.extend(cohort(random, group, before).map(BreakdownBy::Cohort));
    }
    spec.attribution = match random.below(4) {
        0 => Attribution::FirstTouch,
        1 => Attribution::LastTouch,
        2 => Attribution::AllEvents,
        _ => Attribution::Step(random.below(count as u64) as usize),
    };
    spec.values_max = random.pick(&[1, 2, 25]);
    spec
}

/// A job with sessions, three funnels and a trend of each kind; limits vary with the seed.
pub fn catalog(seed: u64) -> Catalog {
    let mut random = Seeded(seed ^ 0x5eed);
    let gap = random.pick(&[0, 10, 60, 1800]) * SECOND;
    let sessions = SessionsSpec { gap, cap: random.pick(&[30 * SECOND, 600 * SECOND, DAY]) };
    let mut specs = vec![ViewSpec::Sessions(sessions)];
    let metrics = [
        Metric::Events,
        Metric::People,
        Metric::Sum(0),
        Metric::Avg(0),
        Metric::Min(0),
        Metric::Max(0),
    ];
    for (place, metric) in metrics.into_iter().enumerate() {
        specs.push(ViewSpec::Trend(TrendSpec {
            name: format!("t{place}").into(),
            metric,
            filter: random.pick(&[None, Some(0), Some(1)]),
            period: random.pick(&[Period::Hour, Period::Day, Period::Week, Period::All]),
            breakdown: random.pick(&[None, Some(Breakdown::Channel)]),
        }));
    }
    for name in ["one", "two", "three"] {
        let funnel = funnel(&mut random, name, &specs);
        specs.push(ViewSpec::Funnel(funnel));
    }
    let zone = random.pick(&["UTC", "Europe/Berlin", "Asia/Kolkata"]);
    // All three are in the database: this can't fail.
    let catalog = Catalog::new(specs, &[], zone).expect("these zones exist");
    let (facts_per_second_max, dense_from) = (random.pick(&[1, 2, 3, 100]), random.pick(&[0, 512]));
    Catalog { facts_per_second_max, dense_from, ..catalog }
}

/// An event at random among few names, channels and moments, dense in ties.
pub fn event(random: &mut Seeded, matcher: &Matcher, idents: Idents) -> Event {
    let near = random.pick(&[1, 1, 40, 40 * 60, 86_400]);
    let time = random.below(20) as i64 * near * SECOND + random.pick(&[0, 0, 0, 1]);
    let seq = random.pick(&[0, 0, 0, 1]);
    let number = random.below(1 << 40);
    let name = random.pick(&NAMES);
    let channel = random.pick(&CHANNELS);
    let value = match random.below(4) {
        0 => None,
        1 => Some(Value::Str(random.pick(&["text", "3", "0.50"]).into())),
        2 => Some(Value::Int(random.below(5) as i64)),
        _ => Some(Value::Float(random.below(5) as f64 / 8.0 - 0.25)),
    };
    let seven = [Value::Int(7), Value::Str("7".into())];
    let held = random.pick(&[None, Some(&seven[0]), Some(&seven[1]), Some(&Value::Int(8))]);
    let set = random.pick(&[None, None, None, Some("p"), Some("q")]);
    let group = random.pick(&[None, Some(""), Some("g"), Some("g"), Some("h"), Some("h")]);
    let text = |text: Option<&str>| text.map(|text| Value::Str(text.into()));
    let properties = [value, held.cloned(), text(set), text(group)];
    let message_id = match number % 2 {
        0 => format!("m{number}"),
        _ => format!("{:08x}-0000-4000-8000-{number:012x}", number as u32),
    };
    Event {
        kind: EventKind::shared("t", channel, name),
        key: EventKey { time, seq, id: crate::model::message_hash(&message_id) },
        message_id: message_id.into(),
        origin: Origin::default(),
        idents,
        special: None,
        matches: matcher.matches(name, channel, &properties),
        properties: properties.into(),
        content: number,
    }
}

/// The same as [`event`], shared.
pub fn fact(random: &mut Seeded, matcher: &Matcher) -> Arc<Event> {
    Arc::new(event(random, matcher, Idents::new()))
}
