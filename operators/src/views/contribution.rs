//! What one person (or one event) adds to a number over people.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::spec::Period;
use crate::model::{Cause, Cell, Micros};

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
