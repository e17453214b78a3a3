//! What a job's views compute, with names resolved to indices.
//!
//! A *property* is an index into the job's property list ([`crate::model::Event::properties`]), a
//! *predicate* an index into its predicates ([`crate::model::Event::matches`]).

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::Micros;

pub use super::funnel::spec::{FunnelSpec, FunnelStep};

/// A calendar period in the job's time zone.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Period {
    /// From a full hour to the next; less where the clock is set in between.
    Hour,
    /// From when its date is first shown to when the next one is.
    Day,
    /// From Monday's midnight.
    Week,
    /// From the first's midnight.
    Month,
    /// All time; starts at no moment.
    All,
}

impl Period {
    /// Each of them.
    pub const ALL: [Self; 5] = [Self::Hour, Self::Day, Self::Week, Self::Month, Self::All];

    /// The word in the `period` column.
    pub fn word(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::All => "all",
        }
    }
}

/// By what a view's numbers are broken down.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Breakdown {
    /// By the event's channel.
    Channel,
    /// By a property; an event without it counts under null.
    Property(usize),
}

/// What a trend measures.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Metric {
    /// Number of events.
    Events,
    /// Number of different people.
    People,
    /// Sum of a numeric property.
    Sum(usize),
    /// Mean of a numeric property over the events that have it.
    Avg(usize),
    /// Smallest value of a numeric property.
    Min(usize),
    /// Largest value of a numeric property.
    Max(usize),
}

/// `kind = "sessions"`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SessionsSpec {
    /// A gap strictly greater splits. 30 min unless the job says otherwise.
    pub gap: Micros,
    /// An event more than this after the session's start begins a new one. 24 h by default.
    pub cap: Micros,
}

/// `kind = "trend"`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TrendSpec {
    /// Name of the view without `trend_`.
    pub name: Arc<str>,
    /// What is measured.
    pub metric: Metric,
    /// Which events count; `None` for all.
    pub filter: Option<usize>,
    /// The period of a value.
    pub period: Period,
    /// By what it is broken down.
    pub breakdown: Option<Breakdown>,
}

/// One `[[view]]` of a job.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ViewSpec {
    /// Sessions.
    Sessions(SessionsSpec),
    /// A trend.
    Trend(TrendSpec),
    /// A funnel.
    Funnel(FunnelSpec),
}

impl ViewSpec {
    /// The funnel, if it is one.
    pub fn funnel(&self) -> Option<&FunnelSpec> {
        match self {
            Self::Funnel(funnel) => Some(funnel),
            Self::Sessions(_) | Self::Trend(_) => None,
        }
    }
}
