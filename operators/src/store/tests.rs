//! The facts that stand against what follows from events, shadows and persons.

use std::collections::BTreeMap;

use super::*;
use crate::identity::testing::Seeded;
use crate::people::testing::{event, matcher};
use crate::shard::tenant;

/// An event goes from one business key to another: it ceases to be shadowed under the one and is
/// shadowed under the other, whichever is heard first, also before the event itself.
#[test]
fn shadows_of_two_keys_are_counted() {
    let (matcher, tenant) = (matcher(), tenant("t"));
    let event = Arc::new(event(&mut Seeded(1), &matcher, smallvec::SmallVec::new()));
    let shadowing = |shadowed| Shadowing { tenant, event: event.key, shadowed };
    for second in [[true, false], [false, true]] {
        for known in [true, false] {
            let mut store = Store::new();
            store.shadow(&shadowing(true));
            let counted = Counted { event: Arc::clone(&event), diff: 1, cause: Cause::New };
            if known {
                store.count(counted.clone());
            }
            let mut out = Vec::new();
            store.advance(&mut out);
            second.iter().for_each(|shadowed| store.shadow(&shadowing(*shadowed)));
            if !known {
                store.count(counted);
            }
            store.advance(&mut out);
            assert_eq!(out, []);
            store.shadow(&shadowing(false));
            store.advance(&mut out);
            assert_eq!(out.iter().map(|fact| fact.diff).collect::<Vec<_>>(), [1]);
        }
    }
}

#[test]
fn facts_follow_from_what_counts_and_whose_it_is() {
    let matcher = matcher();
    let tenant = tenant("t");
    for seed in 0..200 {
        let mut random = Seeded(seed);
        let events: Vec<Arc<Event>> = (0..6)
            .map(|_| Arc::new(event(&mut random, &matcher, smallvec::SmallVec::new())))
            .collect();
        let mut store = Store::new();
        let mut counts = [false; 6];
        let mut shadowed = [false; 6];
        let mut persons: [Option<Handle>; 6] = [None; 6];
        let mut standing: BTreeMap<EventKey, Option<PersonRef>> = BTreeMap::new();
        for _ in 0..40 {
            for _ in 0..=random.below(4) {
                let i = random.below(6) as usize;
                let event = &events[i];
                match random.below(3) {
                    0 => {
                        counts[i] = !counts[i];
                        let diff = if counts[i] { 1 } else { -1 };
                        let event = Arc::clone(event);
                        store.count(Counted { event, diff, cause: Cause::New });
                    }
                    1 => {
                        shadowed[i] = !shadowed[i];
                        let shadowed = shadowed[i];
                        store.shadow(&Shadowing { tenant, event: event.key, shadowed });
                    }
                    _ => {
                        let to = random.pick(&[None, Some(1), Some(2)]);
                        let (from, event) = (persons[i], event.key);
                        persons[i] = to;
                        store.assign(tenant, &Assign { event, from, to, cause: Cause::New });
                    }
                }
            }
            let mut out = Vec::new();
            store.advance(&mut out);
            for fact in out {
                if fact.diff > 0 {
                    assert!(standing.insert(fact.event.key, fact.person).is_none());
                } else {
                    assert_eq!(standing.remove(&fact.event.key), Some(fact.person));
                }
            }
            let expected: BTreeMap<EventKey, Option<PersonRef>> = (0..6)
                .filter(|&i| counts[i] && !shadowed[i])
                .map(|i| (events[i].key, persons[i].map(|handle| PersonRef { tenant, handle })))
                .collect();
            assert_eq!(standing, expected, "seed {seed}");
        }
    }
}

/// There is one for each event.
#[test]
fn what_is_known_of_an_event_is_half_a_line() {
    assert!(size_of::<Option<Held>>() <= 32);
}
