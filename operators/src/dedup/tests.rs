//! Dedup and shadows against naive batch functions after every step.

use std::collections::{BTreeMap, BTreeSet};

use super::shadow::Shadows;
use super::*;
use crate::identity::testing::Seeded;
use crate::model::EventKey;
use crate::people::testing::{event, matcher};

#[test]
fn agrees_with_the_oracle() {
    let matcher = matcher();
    for seed in 0..300 {
        let mut random = Seeded(seed);
        let ids = random.pick(&[0, 1, 5, 1_000]);
        let mut dedup = Dedup::new(ids);
        let mut records: Vec<Arc<Event>> = Vec::new();
        let mut counting: BTreeSet<(Box<str>, EventKey, u64)> = BTreeSet::new();
        let mut duplicates: BTreeMap<(Arc<str>, Box<str>), Duplicates> = BTreeMap::new();
        for _ in 0..20 {
            for _ in 0..=random.below(5) {
                let mut new = event(&mut random, &matcher, SmallVec::new());
                new.message_id = format!("m{}", random.below(4)).into();
                let time = random.below(12) as i64;
                let id = crate::model::message_hash(&new.message_id);
                new.key = EventKey { time, seq: random.below(2), id };
                new.content = random.below(2);
                let new = Arc::new(new);
                records.push(Arc::clone(&new));
                dedup.update(Admitted { event: new, late: false });
            }
            let mut out = Changes::default();
            dedup.advance(&mut out);
            for c in out.counted {
                let entry = (c.event.message_id.clone(), c.event.key, c.event.content);
                let fits =
                    if c.diff > 0 { counting.insert(entry) } else { counting.remove(&entry) };
                assert!(fits, "seed {seed}");
            }
            for r in out.recounts {
                let id = (r.event.tenant.clone(), r.event.message_id.clone());
                let before = duplicates.insert(id, r.after).unwrap_or_default();
                assert_eq!(before, r.before, "seed {seed}");
            }
            let (expected, expected_duplicates) = oracle::resolve(ids, &records);
            let expected: BTreeSet<_> =
                expected.iter().map(|e| (e.message_id.clone(), e.key, e.content)).collect();
            assert_eq!(counting, expected, "seed {seed}");
            duplicates.retain(|_, d| *d != Duplicates::default());
            assert_eq!(duplicates, expected_duplicates, "seed {seed}");
        }
    }
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
                new.business_key = random.pick(&[None, Some(1), Some(2)]);
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
            let rank = |e: &Event| strongest.iter().position(|c| *c == e.channel).unwrap_or(2);
            let expected: BTreeSet<EventKey> = present
                .iter()
                .filter(|e| e.business_key.is_some())
                .filter(|e| {
                    present.iter().any(|o| {
                        o.business_key == e.business_key && (rank(o), o.key) < (rank(e), e.key)
                    })
                })
                .map(|e| e.key)
                .collect();
            assert_eq!(shadowed, expected, "seed {seed}");
        }
    }
}
