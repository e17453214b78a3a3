//! What one person (or one event) adds to a number over people.

use std::hash::BuildHasher as _;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::spec::Period;
use crate::model::{Cause, Cell, CellRef, Micros};

/// The row of numbers that a contribution goes to; counts are sharded by it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Group {
    /// Index into the job's list of view specifications.
    pub view: u16,
    /// The tenant.
    pub tenant: Arc<str>,
    /// The period.
    pub period: Period,
    /// Start of the period; 0 for [`Period::All`].
    pub start: Micros,
    /// The breakdown's value as text; null without a breakdown or where the property is not set.
    pub breakdown: Cell,
}

impl Group {
    /// What numbers are sharded by: all values of a breakdown together, for which of them have rows
    /// of their own depends on all.
    pub fn home(&self) -> (u16, &Arc<str>, Period, Micros) {
        (self.view, &self.tenant, self.period, self.start)
    }
}

/// A number with nine decimal places, so that sums can be taken back exactly: the value times 10^9.
pub type Decimal = i128;

/// What is added.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Measure {
    /// One event (trend of events) or one person (trend of people).
    One,
    /// One event's value of the measured property (sum, avg, min, max).
    Number(Decimal),
    /// One person's best attempt in the period: microseconds from the entry at which each step was
    /// taken, the entry's 0 first, [`Measure::SKIPPED`] for an optional one that was passed over.
    /// Its length is the furthest step.
    Attempt(SmallVec<[Micros; 4]>),
}

impl Measure {
    /// Stands for the time of a step that was not taken.
    pub const SKIPPED: Micros = -1;
}

/// Something added to (`diff` > 0) or taken from a group.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Contribution {
    /// Where it counts.
    pub group: Group,
    /// What counts.
    pub measure: Measure,
    /// How often.
    pub diff: i64,
    /// Why it changed.
    pub cause: Cause,
}

/// A [`Group`], borrowed, in which something counts as one.
#[derive(Clone, Copy, Debug)]
pub struct Counted<'a> {
    /// Index into the job's list of view specifications.
    pub view: u16,
    /// The tenant.
    pub tenant: &'a Arc<str>,
    /// The period.
    pub period: Period,
    /// Start of the period; 0 for [`Period::All`].
    pub start: Micros,
    /// The breakdown's value.
    pub breakdown: CellRef<'a>,
}

/// Contributions of one, summed up by group and cause: many people count in few groups.
#[derive(Clone, Debug, Default)]
pub struct Tally(HashTable<Contribution>);

/// Neither the tenant nor the period tells many apart.
fn hash(view: u16, start: Micros, breakdown: CellRef<'_>) -> u64 {
    FixedState::default().hash_one((view, start, breakdown))
}

impl Tally {
    /// Adds `diff` times one to a group.
    pub fn add(&mut self, to: &Counted<'_>, diff: i64, cause: Cause) {
        let Counted { view, tenant, period, start, breakdown } = *to;
        let hash_of =
            |c: &Contribution| hash(c.group.view, c.group.start, c.group.breakdown.as_ref());
        let is = |c: &Contribution| {
            let group = &c.group;
            (group.view, group.period, group.start, c.cause) == (view, period, start, cause)
                && group.breakdown.as_ref() == breakdown
                && (Arc::ptr_eq(&group.tenant, tenant) || group.tenant == *tenant)
        };
        let new = || {
            let (tenant, breakdown) = (Arc::clone(tenant), breakdown.into());
            let group = Group { view, tenant, period, start, breakdown };
            Contribution { group, measure: Measure::One, diff: 0, cause }
        };
        let entry = self.0.entry(hash(view, start, breakdown), is, hash_of);
        entry.or_insert_with(new).get_mut().diff += diff;
    }

    /// Takes out all of them, also sums that are nothing: by them, a group is touched for a cause
    /// whichever people are counted together.
    pub fn drain(&mut self) -> impl Iterator<Item = Contribution> {
        self.0.drain()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_tally_adds_up_what_counts_in_one_place() {
        let (mut tally, mut expected) = (Tally::default(), BTreeMap::new());
        for number in 0..2_000_i64 {
            let tenant: Arc<str> = if number % 3 == 0 { "t".into() } else { "u".into() };
            let breakdown = [Cell::Null, Cell::str("web"), Cell::str("mobile")];
            let breakdown = &breakdown[(number % 5 % 3) as usize];
            let period = if number % 7 == 0 { Period::Day } else { Period::Hour };
            let (view, start) = ((number % 2) as u16, number % 11 * 10);
            let cause = if number % 13 == 0 { Cause::Late } else { Cause::New };
            let diff = if number % 4 == 0 { -1 } else { 1 };
            let place =
                Counted { view, tenant: &tenant, period, start, breakdown: breakdown.as_ref() };
            tally.add(&place, diff, cause);
            let breakdown = breakdown.clone();
            let group = Group { view, tenant, period, start, breakdown };
            *expected.entry((group, cause)).or_insert(0) += diff;
        }
        let found: BTreeMap<_, _> = tally.drain().map(|c| ((c.group, c.cause), c.diff)).collect();
        assert_eq!(found, expected);
        assert_eq!(tally.drain().count(), 0);
    }
}
