//! Canonical events of people, and a catalog of views over them.

use std::sync::Arc;

use operators::identity::testing::Seeded;
use operators::model::{
    DAY, Event, EventKey, EventKind, Matches, Micros, Origin, Properties, SECOND,
};
use operators::views::catalog::{BUILT_IN, Catalog};
use operators::views::predicate::{Matcher, Predicate};
use operators::views::spec::{FunnelSpec, FunnelStep, Period, SessionsSpec, ViewSpec};
use smallvec::SmallVec;

use super::graphs::token;

const NAMES: [&str; 5] = ["page", "catalog", "cart", "checkout", "payment_done"];

/// Sessions.
pub fn sessions() -> SessionsSpec {
    SessionsSpec { gap: 1800 * SECOND, cap: DAY }
}

/// The predicates of the steps of each of [`funnels`].
pub const STEPS: [&[usize]; 2] = [&[1, 2, 4], &[0, 2]];

/// Funnels over the names of the events: catalog, cart, payment; and page, cart.
pub fn funnels() -> Vec<FunnelSpec> {
    let of = |name: &str, predicates: &[usize], window| {
        let step = |&predicate: &usize| FunnelStep::required(NAMES[predicate], predicate);
        let steps = predicates.iter().map(step).collect();
        FunnelSpec {
            periods: vec![Period::Day, Period::All],
            ..FunnelSpec::new(name, steps, window)
        }
    };
    vec![of("purchase", STEPS[0], DAY), of("interest", STEPS[1], 3600 * SECOND)]
}

/// Sessions and two funnels, without the built-in views.
pub fn catalog() -> Catalog {
    let mut specs = vec![ViewSpec::Sessions(sessions())];
    specs.extend(funnels().into_iter().map(ViewSpec::Funnel));
    let without = BUILT_IN.map(str::to_owned);
    Catalog::new(specs, &without, "UTC").expect("every list of zones has UTC")
}

/// Makes events; predicate `i` of their matches is "the event is called `NAMES[i]`".
pub struct Maker {
    random: Seeded,
    /// Each name, on both channels, with its matches.
    names: Vec<([Arc<EventKind>; 2], Matches)>,
}

impl Maker {
    /// All follows from the seed.
    pub fn new(seed: u64) -> Self {
        let mut matcher = Matcher::default();
        for name in NAMES {
            matcher.index(Predicate { events: vec![name.into()], ..Predicate::default() });
        }
        let names = NAMES.map(|name| {
            let kinds = ["web", "mobile"].map(|channel| EventKind::shared("t", channel, name));
            (kinds, matcher.matches(name, "web", &[]))
        });
        Self { random: Seeded(seed), names: names.into() }
    }

    /// An event of that time; pages are the most frequent, payments the least.
    pub fn event(&mut self, time: Micros) -> Event {
        let id = token(&mut self.random);
        let place = self.random.below(5) * self.random.below(5) / 5;
        let (kinds, matches) = &self.names[place as usize];
        Event {
            kind: Arc::clone(&kinds[usize::from(self.random.once_in(4))]),
            key: EventKey { time, seq: 0, id },
            message_id: format!("m-{:016x}", id as u64).into(),
            origin: Origin::default(),
            idents: SmallVec::new(),
            special: None,
            properties: Properties::default(),
            matches: matches.clone(),
            content: id as u64,
        }
    }
}
