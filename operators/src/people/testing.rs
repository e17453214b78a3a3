//! Random jobs and events for tests of people, counts and the whole graph. Everything follows from
//! a seed.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::identity::testing::Seeded;
use crate::model::{DAY, Event, EventKey, Ident, Origin, SECOND, Value};
use crate::views::catalog::Catalog;
use crate::views::predicate::{Matcher, Predicate};
use crate::views::spec::{
    Breakdown, FunnelSpec, FunnelStep, Metric, Period, SessionsSpec, TrendSpec, ViewSpec,
};

const NAMES: [&str; 4] = ["a", "b", "c", "d"];
const CHANNELS: [&str; 3] = ["backend", "mobile", "web"];

/// Predicate `i` is "the event is called `NAMES[i]`".
pub fn matcher() -> Matcher {
    let mut matcher = Matcher::default();
    for name in NAMES {
        matcher.index(Predicate { events: vec![name.into()], ..Predicate::default() });
    }
    matcher
}

/// A job with sessions, two funnels and a trend of each kind; limits vary with the seed.
pub fn catalog(seed: u64) -> Catalog {
    let mut random = Seeded(seed ^ 0x5eed);
    let gap = random.pick(&[0, 10, 60, 1800]) * SECOND;
    let sessions = SessionsSpec { gap, cap: random.pick(&[30 * SECOND, 600 * SECOND, DAY]) };
    let mut specs = vec![ViewSpec::Sessions(sessions)];
    for name in ["one", "two"] {
        let steps = (0..2 + random.below(3)).map(|_| {
            let predicate = random.below(4) as usize;
            FunnelStep { label: NAMES[predicate].into(), predicate }
        });
        specs.push(ViewSpec::Funnel(FunnelSpec {
            name: name.into(),
            steps: steps.collect(),
            window: random.pick(&[0, 5 * SECOND, 100 * SECOND, 2 * DAY]),
            periods: vec![Period::All, Period::Day, Period::Week, Period::Month],
            breakdown: random.pick(&[None, Some(Breakdown::Channel), Some(Breakdown::Property(0))]),
        }));
    }
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
    let zone = random.pick(&["UTC", "Europe/Berlin", "Asia/Kolkata"]);
    Catalog::new(specs, &[], zone).expect("these zones exist")
}

/// An event at random among few names, channels and moments, dense in ties.
pub fn event(random: &mut Seeded, matcher: &Matcher, idents: SmallVec<[Ident; 3]>) -> Event {
    let near = random.pick(&[1, 1, 40, 40 * 60, 86_400]);
    let time = random.below(20) as i64 * near * SECOND + random.below(2) as i64;
    let number = random.below(1 << 40);
    let name = random.pick(&NAMES);
    let channel = random.pick(&CHANNELS);
    let value = match random.below(4) {
        0 => None,
        1 => Some(Value::Str("text".into())),
        2 => Some(Value::Int(random.below(5) as i64)),
        _ => Some(Value::Float(random.below(5) as f64 / 8.0 - 0.25)),
    };
    let properties: Box<[Option<Value>]> = Box::new([value]);
    let message_id = format!("m{number}");
    Event {
        tenant: "t".into(),
        key: EventKey { time, seq: 0, id: crate::model::message_hash(&message_id) },
        message_id: message_id.into(),
        channel: channel.into(),
        name: name.into(),
        origin: Origin::default(),
        idents,
        command: None,
        matches: matcher.matches(name, channel, &properties),
        properties,
        business_key: None,
        content: number,
    }
}

/// The same as [`event`], shared.
pub fn fact(random: &mut Seeded, matcher: &Matcher) -> Arc<Event> {
    Arc::new(event(random, matcher, SmallVec::new()))
}
