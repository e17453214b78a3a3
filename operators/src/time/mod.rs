//! Event time: watermarks, admission and calendar periods.

pub mod admission;
mod calendar;
mod watermark;

pub use calendar::{Calendar, UnknownZone};
pub use watermark::{Lane, Watermark};

/// The time part of a job.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TimeConfig {
    /// How far events of one source may be out of order: the watermark is behind the largest event
    /// time by this much.
    pub disorder: crate::model::Micros,
    /// An event older than the watermark less this is `too_late`.
    pub admit: crate::model::Micros,
    /// An event more than this ahead of its receive time is `too_early`.
    pub future: crate::model::Micros,
    /// How far apart in event time two copies of one message id may be to count as one.
    pub ids: crate::model::Micros,
    /// How far back a correction reaches.
    pub history: crate::model::Micros,
}
