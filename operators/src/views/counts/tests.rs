//! Numbers against the oracle after every step.

use std::collections::BTreeMap;

use super::*;
use crate::identity::testing::Seeded;
use crate::model::{Cell, DAY, SECOND};
use crate::people::testing::catalog;
use crate::views::spec::Period;

fn random_contribution(random: &mut Seeded, catalog: &Catalog) -> Contribution {
    let view = random.below(catalog.specs.len() as u64) as u16;
    let (measure, period) = match &catalog.specs[usize::from(view)] {
        ViewSpec::Trend(trend) => match trend.metric {
            Metric::Events | Metric::People => (Measure::One, trend.period),
            _ => {
                let value = i128::from(random.below(50)) * 500_000_000 - 3_000_000_000;
                (Measure::Number(value), trend.period)
            }
        },
        ViewSpec::Funnel(_) | ViewSpec::Sessions(_) => {
            let mut at = 0;
            let offsets = (0..=random.below(3)).map(|step| {
                let span = random.pick(&[1, 500_000, SECOND, 40 * SECOND, 3 * DAY]);
                at += if step == 0 { 0 } else { random.below(4) as i64 * span };
                at
            });
            (Measure::Attempt(offsets.collect()), random.pick(&[Period::All, Period::Day]))
        }
    };
    let start = if period == Period::All { 0 } else { DAY * random.below(2) as i64 };
    let breakdown = random.pick(&["", "x", "y", "z", "$other"]);
    let breakdown = if breakdown.is_empty() { Cell::Null } else { Cell::str(breakdown) };
    let group = Group { view, tenant: "t".into(), period, start, breakdown };
    Contribution { group, measure, diff: 1, cause: Cause::New }
}

#[test]
fn agrees_with_the_oracle() {
    for seed in 0..150 {
        let mut random = Seeded(seed);
        let catalog = catalog(seed);
        let mut counts = Counts::new(&catalog);
        let mut all: Vec<Contribution> = Vec::new();
        let mut present: Vec<Contribution> = Vec::new();
        let mut rows: BTreeMap<Row, i64> = BTreeMap::new();
        for _ in 0..40 {
            for _ in 0..=random.below(8) {
                let contribution = if random.once_in(3) && !present.is_empty() {
                    let at = random.below(present.len() as u64) as usize;
                    Contribution { diff: -1, ..present.swap_remove(at) }
                } else {
                    let new = random_contribution(&mut random, &catalog);
                    if matches!(catalog.specs[usize::from(new.group.view)], ViewSpec::Sessions(_)) {
                        continue;
                    }
                    present.push(new.clone());
                    new
                };
                all.push(contribution.clone());
                counts.update(contribution);
            }
            let mut out = Vec::new();
            counts.advance(&mut out);
            for change in out {
                let times = rows.entry(change.row.clone()).or_default();
                *times += change.diff;
                assert!((0..=1).contains(times), "seed {seed}: {change:?}");
            }
            rows.retain(|_, times| *times != 0);
            assert!(rows.keys().eq(oracle::rows(&catalog, &all).iter()), "seed {seed}");
        }
    }
}
