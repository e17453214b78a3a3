//! From the moment at which a row is final on, no event changes it.

use super::*;
use crate::model::{DAY, Micros, SECOND};
use crate::views::counts::Counts;
use crate::views::funnel::spec::{BreakdownBy, Cohort, Counting, FunnelSpec, FunnelStep};
use crate::views::spec::SessionsSpec;

/// What changed in the rows of people and of numbers over them, net.
fn advance(people: &mut People, counts: &mut Counts) -> BTreeMap<Row, i64> {
    let mut out = PeopleOutput::default();
    people.advance(&mut out);
    out.contributions.into_iter().for_each(|contribution| counts.update(contribution));
    counts.advance(&mut out.changes);
    let mut net: BTreeMap<Row, i64> = BTreeMap::new();
    for change in out.changes {
        *net.entry(change.row).or_default() += change.diff;
    }
    net.retain(|_, diff| *diff != 0);
    net
}

/// All events are at the watermark or later; people stay who they are.
#[test]
fn no_event_changes_a_row_once_it_is_final() {
    let matcher = matcher();
    let mut passed = 0;
    for seed in 0..400 {
        let catalog = catalog(seed);
        let mut random = Seeded(seed ^ 0xf1);
        let mut people = People::new(&catalog, Vec::new());
        let mut counts = Counts::new(&catalog);
        for handle in 1..4 {
            let id = PersonRef { tenant: 1, handle };
            people.update_name(id, Some(Token(u128::from(handle))), Cause::Merge);
        }
        let mut standing: BTreeMap<Row, i64> = BTreeMap::new();
        let mut watermark: Micros = 0;
        for _ in 0..40 {
            for _ in 0..=random.below(3) {
                let mut event = Event::clone(&fact(&mut random, &matcher));
                let ahead = random.pick(&[0, 0, 0, 1, 10, 30, 60, 1_800, 3_600, 40_000]);
                event.key.time = watermark + ahead * SECOND;
                let person = Some(PersonRef { tenant: 1, handle: 1 + random.below(3) });
                let fact = Fact { person, event: Arc::new(event), diff: 1, cause: Cause::New };
                GroupFact::of(&catalog, &fact).for_each(|group| people.update_group(group));
                people.update_fact(fact);
            }
            for (row, diff) in advance(&mut people, &mut counts) {
                assert!(row.final_at > watermark, "seed {seed}, at {watermark}: {diff} of {row:?}");
                *standing.entry(row).or_default() += diff;
            }
            standing.retain(|_, times| *times != 0);
            watermark += random.pick(&[0, 0, 1, 10, 30, 60, 1_800, 3_600, 40_000, 86_400]) * SECOND;
            passed += standing.keys().filter(|row| row.final_at <= watermark).count();
        }
    }
    assert!(passed > 10_000, "{passed} final rows");
}

#[test]
fn the_counts_of_a_funnel_are_final_when_no_entry_of_the_period_can_change() {
    let steps = vec![FunnelStep::required("a", 0), FunnelStep::required("b", 1)];
    let plain = FunnelSpec::new("f", steps, 600 * SECOND);
    assert_eq!(plain.final_at(DAY), DAY + 600 * SECOND);
    // Until the session is over, a later entry of it may be better: of the next day.
    let long = SessionsSpec { gap: 1_800 * SECOND, cap: DAY };
    let of_sessions = FunnelSpec { counting: Counting::Sessions(long), ..plain.clone() };
    assert_eq!(of_sessions.final_at(DAY), 2 * DAY);
    let by_trait = |at_event| {
        let by = BreakdownBy::Trait { property: 0, at_event };
        FunnelSpec { breakdown: vec![by], ..plain.clone() }
    };
    assert_eq!(by_trait(true).final_at(DAY), DAY + 600 * SECOND);
    assert_eq!(by_trait(false).final_at(DAY), Micros::MAX);
    let cohort = BreakdownBy::Cohort(Cohort { label: "in".into(), view: 0, step: 0 });
    let by_cohort = FunnelSpec { breakdown: vec![cohort], ..plain };
    assert_eq!(by_cohort.final_at(DAY), Micros::MAX);
}
