//! The incremental engine against the oracle, and growth of its work.

use super::*;
use crate::identity::testing::{History, Seeded, check};
use crate::identity::{IdentityType, NO_LIMIT};
use crate::model::Token;

/// Random histories, compared after every epoch.
#[test]
fn agrees_with_the_oracle() {
    for seed in 0..3_000 {
        let history = History::new(seed, 60);
        let run = std::panic::catch_unwind(|| {
            check(&mut Incremental::new(&history.config), &history);
        });
        assert!(run.is_ok(), "seed {seed}");
    }
}

/// Found by random histories: a merge that connects a unit beside its links keeps the group whole
/// when the links go; groups that part while divided share no cluster; an unmerge looks at people
/// at all claims, not at those of the marked time.
#[test]
fn named_cases() {
    for seed in [0, 48] {
        let history = History::new(seed, 40);
        check(&mut Incremental::new(&history.config), &history);
    }
    let history = History::new(467, 90);
    check(&mut Incremental::new(&history.config), &history);
}

/// An engine whose epochs are told in steps of a few items.
struct InSteps {
    engine: Incremental,
    random: Seeded,
    steps: u64,
}

impl Engine for InSteps {
    fn update(&mut self, sighting: Sighting, diff: i8) {
        self.engine.update(sighting, diff);
    }

    fn advance(&mut self, out: &mut Resolution) {
        let told = |out: &Resolution| out.assigns.len() + out.names.len() + out.changes.len();
        let mut done = false;
        while !done {
            let most = self.random.below(8) as usize;
            let (mut budget, before) = (most, told(out));
            done = self.engine.step(out, &mut budget);
            self.steps += 1;
            // Events that are gone are told at once, after the marked ones.
            let gone = out.assigns.iter().filter(|assign| assign.to.is_none()).count();
            assert!(told(out) - before <= most + gone, "more than {most} items in a step");
        }
    }
}

/// Whatever the steps in which it is told.
#[test]
fn told_in_steps_it_is_the_same() {
    let mut steps = 0;
    for seed in 0..500 {
        let history = History::new(seed, 60);
        let engine = Incremental::new(&history.config);
        let mut engine = InSteps { engine, random: Seeded(seed), steps: 0 };
        check(&mut engine, &history);
        steps += engine.steps;
    }
    assert!(steps > 20_000, "{steps} steps");
}

#[test]
fn what_is_erased_was_never_there() {
    for seed in 0..300 {
        let mut history = History::new(seed, 60);
        history.erase(&mut Seeded(seed));
        let run = std::panic::catch_unwind(|| {
            check(&mut Incremental::new(&history.config), &history);
        });
        assert!(run.is_ok(), "seed {seed}");
    }
}

/// Found by random histories: a new identifier beside others of which one becomes a hub by the same
/// event; an event of an identifier that has led elsewhere so far, in the epoch that says so.
#[test]
fn named_cases_of_events_taken_in_together() {
    for seed in [8, 50, 855] {
        let mut history = History::new(seed, 60);
        check(&mut Incremental::new(&history.config), &history);
        history.erase(&mut Seeded(seed));
        check(&mut Incremental::new(&history.config), &history);
    }
}

/// Identifiers that lead to many others, times far from each other, before 1970 too, and limits of
/// nothing.
#[test]
fn wide_histories_agree_with_the_oracle() {
    for seed in 0..400 {
        let history = History::wide(seed, 150);
        let run = std::panic::catch_unwind(|| {
            check(&mut Incremental::new(&history.config), &history);
        });
        assert!(run.is_ok(), "seed {seed}");
    }
}

/// Many identifiers and events in few epochs, so that all forms of lists and tables occur.
#[test]
fn large_histories_agree_with_the_oracle() {
    for seed in 0..40 {
        let history = History::new(seed, 400);
        check(&mut Incremental::new(&history.config), &history);
    }
}

/// An engine, and the work of each of its epochs.
struct Worked {
    engine: Incremental,
    time: i64,
}

impl Worked {
    fn new(degree_max: u32) -> Self {
        let email = IdentityType { degree_max, ..IdentityType::new("email", 1) };
        let config = IdentityConfig { types: vec![email], cluster_max: NO_LIMIT };
        Self { engine: Incremental::new(&config), time: 0 }
    }

    /// The work of an epoch of events that link two numbers each.
    fn epoch(&mut self, links: impl IntoIterator<Item = (u64, u64)>) -> u64 {
        let before = self.engine.work();
        for link in links {
            self.time += 1;
            self.engine.update(shown(self.time, link), 1);
        }
        self.engine.advance(&mut Resolution::default());
        self.engine.work() - before
    }

    /// The work of an epoch in which the event of a time goes, and of one in which it returns.
    fn swing(&mut self, time: i64, link: (u64, u64)) -> [u64; 2] {
        [-1, 1].map(|diff| {
            let before = self.engine.work();
            self.engine.update(shown(time, link), diff);
            self.engine.advance(&mut Resolution::default());
            self.engine.work() - before
        })
    }
}

fn shown(time: i64, (x, y): (u64, u64)) -> Sighting {
    let ident = |number| Ident { kind: 0, token: Token(u128::from(number)) };
    let key = EventKey { time, seq: 0, id: time as u128 };
    Sighting::Event(key, [ident(x.min(y)), ident(x.max(y))].into_iter().collect())
}

/// What goes and comes at a hub costs its leaf, whatever the degree.
#[test]
fn a_hub_does_not_cost_its_degree() {
    for leaves in [100, 10_000] {
        let mut star = Worked::new(NO_LIMIT);
        star.epoch((1..=leaves).map(|leaf| (0, leaf)));
        for leaf in [1, leaves / 2, leaves] {
            let work = star.swing(leaf as i64, (0, leaf));
            assert!(work.iter().all(|&steps| steps <= 10), "{leaves} leaves: {work:?}");
        }
    }
}

/// An identifier that becomes a hub, and ceases to be one, costs its links once.
#[test]
fn becoming_a_hub_costs_the_links() {
    for leaves in [100, 10_000] {
        let mut star = Worked::new(leaves as u32);
        star.epoch((1..=leaves).map(|leaf| (0, leaf)));
        let becomes = star.epoch([(0, leaves + 1)]);
        assert!(becomes <= 12 * leaves, "{leaves} leaves: {becomes}");
        let [ceases, _] = star.swing(1, (0, 1));
        assert!(ceases <= 12 * leaves, "{leaves} leaves: {ceases}");
    }
}

/// A chain costs n log n in any order of its links, and a cut the shorter side.
#[test]
fn a_chain_costs_no_more_than_its_length() {
    let work = |links: u64| {
        let mut chain = Worked::new(NO_LIMIT);
        // 7,919 is a prime that does not divide the number of links.
        let places = (0..links).map(|n| n * 7_919 % links);
        let total: u64 = (0..10)
            .map(|epoch| {
                let some = places.clone().skip((epoch * links / 10) as usize);
                chain.epoch(some.take((links / 10) as usize).map(|n| (n, n + 1)))
            })
            .sum();
        // The time of the link at a place is its turn, from 1 up.
        let at = |place: u64| places.clone().position(|n| n == place).map(|t| t as i64 + 1);
        let cut = |chain: &mut Worked, place| {
            at(place).map_or(0, |time| chain.swing(time, (place, place + 1))[0])
        };
        (total, cut(&mut chain, links / 2), cut(&mut chain, 3))
    };
    let (small, large) = (work(1_000), work(10_000));
    assert!(large.0 <= 15 * small.0, "{large:?} beside {small:?}");
    assert!(large.1 <= 11 * small.1 && large.1 >= 10_000, "{large:?} beside {small:?}");
    assert!(large.2 <= 40, "{large:?} beside {small:?}");
}

/// A known link between identifiers that are where they belong marks nothing.
#[test]
fn what_is_known_costs_nothing() {
    let mut engine = Worked::new(NO_LIMIT);
    let links = |n: u64| (0..n).map(|n| (n / 4 * 10, n / 4 * 10 + n % 4 + 1));
    engine.epoch(links(4_000));
    assert_eq!(engine.epoch(links(4_000)), 0);
}
