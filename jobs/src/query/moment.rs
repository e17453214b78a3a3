//! Epochs and times that a question is asked as of.

use std::str::FromStr;

use connectors::bindings::Binding;
use connectors::table::epochs;
use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use operators::model::{Epoch, Micros};

use super::QueryError;
use crate::runtime::{Plan, peek};

/// An epoch, or a time: of the last epoch that was bound by then.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Moment {
    /// An epoch.
    Epoch(Epoch),
    /// Microseconds since 1970.
    Time(Micros),
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let utc = |at: DateTime| TimeZone::UTC.to_timestamp(at).ok();
        let text = text.trim();
        if let Ok(epoch) = text.parse::<Epoch>() {
            return Ok(Self::Epoch(epoch));
        }
        let time = text.parse::<Timestamp>().ok();
        let time = time.or_else(|| text.parse::<DateTime>().ok().and_then(utc));
        let time = time.or_else(|| text.parse::<Date>().ok().and_then(|day| utc(day.into())));
        time.map(|time| Self::Time(time.as_microsecond())).ok_or_else(|| {
            "write an epoch, such as 12, or a time, such as 2026-01-05T10:00:00Z".to_owned()
        })
    }
}

/// An epoch with the watermark after it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Known {
    /// The epoch.
    pub epoch: Epoch,
    /// The watermark; the smallest number before there is one.
    pub watermark: Micros,
}

fn text(at: Micros) -> String {
    Timestamp::from_microsecond(at).map_or_else(|_| at.to_string(), |at| at.to_string())
}

/// The last one that was bound by then.
fn bound_by(bindings: &[Binding], time: Micros) -> Option<&Binding> {
    bindings.iter().rfind(|binding| binding.wall_time <= time)
}

/// The epoch of a moment, if the job's tables know of it.
///
/// # Errors
///
/// It is before the first one, or not in the tables yet; these or the bindings can't be read.
pub fn resolve(plan: &Plan, moment: Moment) -> Result<Known, QueryError> {
    let (epoch, what) = match moment {
        Moment::Epoch(epoch) => (epoch, format!("epoch {epoch}")),
        Moment::Time(time) => {
            let bindings = peek(plan)?;
            let Some(last) = bound_by(&bindings, time) else {
                let first = bindings.first().map_or_else(
                    || "which is still to come".to_owned(),
                    |first| format!("{}, bound at {}", first.epoch, text(first.wall_time)),
                );
                return Err(QueryError::Before { what: text(time), first });
            };
            let what = format!("epoch {}, the last one bound by {}", last.epoch, text(time));
            (last.epoch, what)
        }
    };
    let epochs = epochs(&plan.out)?;
    let upto = epochs.last().map_or(0, |last| last.0);
    if epoch > upto {
        return Err(QueryError::NotYet { what, upto });
    }
    let after = epochs.partition_point(|(other, _)| *other <= epoch);
    let Some((_, watermark)) = after.checked_sub(1).map(|last| epochs[last]) else {
        let first = epochs.first().map_or(0, |first| first.0);
        return Err(QueryError::Before { what, first: first.to_string() });
    };
    Ok(Known { epoch, watermark })
}

/// The last epoch in the tables.
pub(crate) fn last(plan: &Plan) -> Result<Known, QueryError> {
    let last = epochs(&plan.out)?.last().copied();
    let (epoch, watermark) = last.unwrap_or((0, Micros::MIN));
    Ok(Known { epoch, watermark })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The last epoch that was bound by then, also where the clock was set back in between.
    #[test]
    fn a_clock_may_have_been_set_back() {
        let bound = |(epoch, at)| Binding::new(epoch, 1, at, "job");
        let bindings = [(1, 1_000), (2, 1_010), (3, 1_001)].map(bound);
        let by = |time| bound_by(&bindings, time).map(|binding| binding.epoch);
        assert_eq!([999, 1_000, 1_005, 1_010].map(by), [None, Some(1), Some(3), Some(3)]);
    }

    #[test]
    fn moments_are_epochs_or_times() {
        let at = |text: &str| text.parse::<Moment>();
        assert_eq!(at("12"), Ok(Moment::Epoch(12)));
        let time = Moment::Time(1_767_607_200_000_000);
        for text in ["2026-01-05T10:00:00Z", "2026-01-05T11:00+01:00", "2026-01-05 10:00:00"] {
            assert_eq!(at(text), Ok(time), "{text}");
        }
        assert_eq!(at("2026-01-05"), Ok(Moment::Time(1_767_571_200_000_000)));
        for text in ["", "-1", "soon", "2026-13-05", "12.5"] {
            assert!(at(text).is_err(), "{text}");
        }
    }
}
