//! Event time: watermarks, admission and calendar periods.

pub mod admission;
mod calendar;
mod watermark;

pub use calendar::{Calendar, UnknownZone};
pub use watermark::{Lane, Watermark};

use crate::model::Micros;

/// The time part of a job.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TimeConfig {
    /// How far events of one source may be out of order: the watermark is behind the largest event
    /// time by this much.
    pub disorder: Micros,
    /// An event older than the watermark less this is `too_late`.
    pub admit: Micros,
    /// An event more than this ahead of its receive time is `too_early`.
    pub future: Micros,
    /// How far apart in event time two copies of one message id may be to count as one.
    pub ids: Micros,
    /// How far back a correction reaches.
    pub history: Micros,
}

/// Rows become final in steps of `admit` divided by this: those of a day together, a few times a
/// day, and none much later than it could.
const FINAL_STEPS: Micros = 100;

impl TimeConfig {
    /// The watermark from which on no event that is older than `time` can be admitted any more, up
    /// to a hundredth of `admit` later. The smallest and the largest moment, for at once and never,
    /// stay.
    pub fn final_at(&self, time: Micros) -> Micros {
        if time == Micros::MIN {
            return time;
        }
        let step = (self.admit / FINAL_STEPS).max(1);
        let up = time.saturating_add(self.admit).checked_add(step - 1);
        up.map_or(Micros::MAX, |up| up - up.rem_euclid(step))
    }
}

#[cfg(test)]
mod tests {
    use super::admission::admit;
    use super::*;
    use crate::identity::testing::Seeded;
    use crate::model::DAY;

    /// A row was once final as soon as the watermark had passed it, though an event that is late by
    /// less than `admit` may still change it.
    #[test]
    fn what_is_final_no_event_that_is_admitted_changes() {
        let mut random = Seeded(1);
        for all in [0, 1, 99, 100, DAY / 24, 7 * DAY, 36_500 * DAY] {
            let config = TimeConfig { disorder: 0, admit: all, future: 0, ids: all, history: all };
            for _ in 0..500 {
                let time = random.below(1 << 52) as Micros - (1 << 51);
                let at = config.final_at(time);
                assert!(at >= time + all && at - time - all <= all / FINAL_STEPS);
                // The watermark is just there: what is older than the row's last moment is refused.
                assert!(admit(&config, at, time - 1).is_err());
                assert!(admit(&config, time + all, time).is_ok());
            }
            let ends = [Micros::MIN, Micros::MAX];
            assert_eq!(ends.map(|end| config.final_at(end)), ends);
        }
    }
}
