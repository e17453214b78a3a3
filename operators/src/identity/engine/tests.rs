//! The incremental engine against the oracle, and growth of its work.

use super::*;
use crate::identity::testing::{History, Seeded, check};

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
