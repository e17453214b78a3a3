//! Dedup and shadows against naive batch functions after every step.

use std::collections::{BTreeMap, BTreeSet};

use smallvec::SmallVec;

use super::shadow::Shadows;
use super::*;
use crate::identity::testing::Seeded;
use crate::model::{EventKey, EventKind, MessageId, Special, Token};
use crate::people::testing::{event, matcher};
use crate::views::predicate::Matcher;

/// A dedup, all records given to it, and what it has reported.
struct Run {
    ids: Micros,
    dedup: Dedup,
    records: Vec<Arc<Event>>,
    counting: BTreeSet<(Arc<str>, MessageId, EventKey, u64)>,
    duplicates: oracle::ById,
}

impl Run {
    fn new(ids: Micros) -> Self {
        Self {
            ids,
            dedup: Dedup::new(ids),
            records: Vec::new(),
            counting: BTreeSet::new(),
            duplicates: BTreeMap::new(),
        }
    }

    /// Takes in a record of one of a few ids in two tenants.
    fn give(&mut self, random: &mut Seeded, matcher: &Matcher, time: Micros) {
        let mut new = event(random, matcher, SmallVec::new());
        let tenant = random.pick(&["t", "t", "u"]);
        // Copies of one content say the same.
        new.content = random.below(4);
        let channel = ["web", "backend"][new.content as usize / 2];
        new.kind = EventKind::shared(tenant, channel, "A");
        // Some are UUIDs.
        let id = match random.below(5) {
            number @ 0..3 => format!("m{number}"),
            number => format!("{number:08x}-0000-4000-8000-000000000000"),
        };
        new.message_id = id.as_str().into();
        new.key = EventKey { time, seq: random.below(2), id: crate::model::message_hash(&id) };
        let new = Arc::new(new);
        self.records.push(Arc::clone(&new));
        self.dedup.update(Admitted { event: new, late: random.once_in(2) });
    }

    /// Advances, and compares all that was reported with the oracle.
    fn check(&mut self, seed: u64) {
        let mut out = Changes::default();
        self.dedup.advance(&mut out);
        for c in out.counted {
            let e = &c.event;
            let entry = (e.kind.tenant.clone(), e.message_id.clone(), e.key, e.content);
            let fits =
                if c.diff > 0 { self.counting.insert(entry) } else { self.counting.remove(&entry) };
            assert!(fits, "seed {seed}");
        }
        for r in out.recounts {
            let id = (r.event.kind.tenant.clone(), r.event.message_id.clone());
            let before = self.duplicates.insert(id, r.after).unwrap_or_default();
            assert_eq!(before, r.before, "seed {seed}");
        }
        let (expected, expected_duplicates) = oracle::resolve(self.ids, &self.records);
        let expected: BTreeSet<_> = expected
            .iter()
            .map(|e| (e.kind.tenant.clone(), e.message_id.clone(), e.key, e.content))
            .collect();
        assert_eq!(self.counting, expected, "seed {seed}");
        self.duplicates.retain(|_, d| *d != Duplicates::default());
        assert_eq!(self.duplicates, expected_duplicates, "seed {seed}");
    }
}

#[test]
fn agrees_with_the_oracle() {
    let matcher = matcher();
    for seed in 0..500 {
        let mut random = Seeded(seed);
        let ids = random.pick(&[0, 1, 5, 1_000, Micros::MAX]);
        let mut run = Run::new(ids);
        let most = random.pick(&[5, 60]);
        for _ in 0..20 {
            for _ in 0..=random.below(most) {
                let time = random.below(12) as Micros;
                run.give(&mut random, &matcher, time);
            }
            run.check(seed);
        }
    }
}

/// What of an event views ask for is no reason that another copy counts.
#[test]
fn which_copy_counts_does_not_depend_on_views() {
    let matcher = matcher();
    let mut web = 0;
    for number in 0..64 {
        let counts = |contents: [u64; 2]| {
            let mut dedup = Dedup::new(1_000);
            for (channel, content) in ["web", "backend"].into_iter().zip(contents) {
                let mut copy = event(&mut Seeded(number), &matcher, SmallVec::new());
                let name = format!("event {number}");
                (copy.kind, copy.content) = (EventKind::shared("t", channel, &name), content);
                dedup.update(Admitted { event: Arc::new(copy), late: false });
            }
            let mut out = Changes::default();
            dedup.advance(&mut out);
            assert_eq!(out.counted.len(), 1);
            out.counted[0].event.kind.channel.clone()
        };
        let winner = counts([1, 2]);
        assert_eq!(winner, counts([2, 1]));
        web += u64::from(&*winner == "web");
    }
    assert!((16..48).contains(&web), "neither channel is preferred: {web} of 64");
}

/// Records as admission lets them in, while what can't matter is forgotten after each epoch.
#[test]
fn forgetting_changes_nothing() {
    // Longer than the unit in which times of single records are kept.
    const UNIT: Micros = 20 * crate::model::SECOND;
    let matcher = matcher();
    let (mut forgotten, mut trimmed) = (0, 0);
    for seed in 0..500 {
        let mut random = Seeded(seed);
        let admit = random.pick(&[0, 2, 7]) * UNIT;
        let ids = random.pick(&[0, 1, 5, 30]) * UNIT;
        let mut run = Run::new(ids);
        let mut watermark = random.pick(&[-3_000, 0, 1_000_000]) * UNIT;
        for _ in 0..40 {
            for _ in 0..random.below(7) {
                let span = (admit + 4 * UNIT) as u64;
                let time = watermark - admit + random.below(span) as Micros;
                run.give(&mut random, &matcher, time);
            }
            run.check(seed);
            watermark += random.pick(&[0, 1, 3, 3, 50]) * UNIT;
            let copies = |run: &Run| -> usize {
                let several = run.dedup.parts.iter().flat_map(|part| &part.several);
                several.filter_map(|c| c.chain.as_ref()).map(|c| c.len()).sum()
            };
            let (held, chained) = (run.dedup.len(), copies(&run));
            run.dedup.forget(watermark - admit - ids);
            let gone = held - run.dedup.len();
            forgotten += gone;
            trimmed += if gone == 0 { chained - copies(&run) } else { 0 };
        }
    }
    assert!(forgotten > 1_000 && trimmed > 100, "{forgotten} ids, {trimmed} copies");
}

/// A sender that gives all its events one message id costs no more per event as they grow many.
#[test]
fn an_id_of_many_copies_is_searched_not_scanned() {
    let matcher = matcher();
    let mut random = Seeded(3);
    let mut dedup = Dedup::new(1_000);
    let mut flips = 0;
    for number in 0..20_000 {
        let mut new = event(&mut random, &matcher, SmallVec::new());
        new.key = EventKey { time: number * 10, seq: 0, id: 7 };
        dedup.update(Admitted { event: Arc::new(new), late: false });
        if number % 100 == 99 {
            let mut out = Changes::default();
            dedup.advance(&mut out);
            flips += out.counted.len();
        }
    }
    // One in 101 counts: 1,000 and 10 after the one before.
    assert_eq!(flips, 20_000_usize.div_ceil(101));
    dedup.forget(20_000 * 10 - 1_001);
    let mut out = Changes::default();
    dedup.advance(&mut out);
    assert!(out.counted.is_empty());
}

#[test]
fn the_strongest_channel_counts_and_the_next_returns() {
    let matcher = matcher();
    for seed in 0..200 {
        let mut random = Seeded(seed);
        let strongest: Vec<Arc<str>> = vec!["backend".into(), "mobile".into()];
        let mut shadows = Shadows::new(strongest.clone());
        let mut present: Vec<Event> = Vec::new();
        let mut shadowed: BTreeSet<EventKey> = BTreeSet::new();
        for _ in 0..30 {
            for _ in 0..=random.below(3) {
                if random.once_in(3) && !present.is_empty() {
                    let gone = present.swap_remove(random.below(present.len() as u64) as usize);
                    shadows.update(&gone, -1);
                    continue;
                }
                let mut new = event(&mut random, &matcher, SmallVec::new());
                let business_key = random.pick(&[None, Some(Token(1)), Some(Token(2))]);
                new.special = Special::of(None, business_key);
                shadows.update(&new, 1);
                present.push(new);
            }
            let mut out = Vec::new();
            shadows.advance(&mut out);
            for s in out {
                let fits =
                    if s.shadowed { shadowed.insert(s.event) } else { shadowed.remove(&s.event) };
                assert!(fits, "seed {seed}");
            }
            shadowed.retain(|key| present.iter().any(|e| e.key == *key));
            let rank = |e: &Event| strongest.iter().position(|c| *c == e.kind.channel).unwrap_or(2);
            let expected: BTreeSet<EventKey> = present
                .iter()
                .filter(|e| e.business_key().is_some())
                .filter(|e| {
                    present.iter().any(|o| {
                        o.business_key() == e.business_key() && (rank(o), o.key) < (rank(e), e.key)
                    })
                })
                .map(|e| e.key)
                .collect();
            assert_eq!(shadowed, expected, "seed {seed}");
        }
    }
}
