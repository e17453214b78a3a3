//! Calendar periods in the job's time zone.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use thiserror::Error;

use crate::model::{DAY, Micros, SECOND};
use crate::views::spec::Period;

/// There is no zone of that name in the IANA database.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("there is no time zone {0:?}")]
pub struct UnknownZone(pub String);

/// Moments to periods. Days may have 23 or 25 hours; weeks begin on Monday.
#[derive(Clone, Debug)]
pub struct Calendar {
    zone: TimeZone,
    /// Answers kept, per period: events fall where others did, and late ones jump about.
    kept: [Vec<(Micros, Micros)>; 4],
}

/// Periods kept of each length: a year of days.
const KEPT: usize = 512;
/// About how long the periods are, by slot; where to look for an answer is found by it.
const LENGTHS: [Micros; 4] = [HOUR, DAY, 7 * DAY, 30 * DAY];
const HOUR: Micros = 3600 * SECOND;

/// Moments beyond the years -9000 and 9000 count as those: the calendar ends there.
const BOUNDS: (Micros, Micros) = (-346_117_000_000 * SECOND, 221_845_000_000 * SECOND);

impl Calendar {
    /// A calendar of an IANA zone (`Europe/Berlin`, `UTC`), from the database in the program.
    pub fn new(zone: &str) -> Result<Self, UnknownZone> {
        let zone = TimeZone::get(zone).map_err(|_| UnknownZone(zone.to_owned()))?;
        Ok(Self { zone, kept: std::array::from_fn(|_| vec![(0, 0); KEPT]) })
    }

    /// Start of the period that a moment is in; 0 for [`Period::All`].
    pub fn start(&mut self, period: Period, at: Micros) -> Micros {
        self.bounds(period, at).0
    }

    /// End of the period that starts at `start`: the next one's start, `i64::MAX` for all time.
    pub fn end(&mut self, period: Period, start: Micros) -> Micros {
        self.bounds(period, start).1
    }

    fn bounds(&mut self, period: Period, at: Micros) -> (Micros, Micros) {
        let slot = match period {
            Period::Hour => 0,
            Period::Day => 1,
            Period::Week => 2,
            Period::Month => 3,
            Period::All => return (0, Micros::MAX),
        };
        let at = at.clamp(BOUNDS.0, BOUNDS.1);
        let place = at.div_euclid(LENGTHS[slot]).rem_euclid(KEPT as Micros) as usize;
        let (start, end) = self.kept[slot][place];
        if at >= start && at < end {
            return (start, end);
        }
        // Inside the bounds every date and moment exists; the fallback is never taken.
        let bounds = self.compute(period, at).unwrap_or((at, at + 1));
        self.kept[slot][place] = bounds;
        bounds
    }

    fn compute(&self, period: Period, at: Micros) -> Option<(Micros, Micros)> {
        let moment = Timestamp::from_microsecond(at).ok()?.to_zoned_datetime(self.zone.clone());
        let date = moment.date();
        let (first, next) = match period {
            Period::Hour | Period::All => {
                let offset = Micros::from(moment.offset().seconds()) * SECOND;
                let start = (at + offset).div_euclid(HOUR) * HOUR - offset;
                return Some((start, start + HOUR));
            }
            Period::Day => (date, date.tomorrow().ok()?),
            Period::Week => {
                let since = i64::from(date.weekday().to_monday_zero_offset());
                let monday = date.checked_sub(since.days()).ok()?;
                (monday, monday.checked_add(7.days()).ok()?)
            }
            Period::Month => {
                let first = date.first_of_month();
                (first, first.checked_add(1.month()).ok()?)
            }
        };
        Some((self.midnight(first)?, self.midnight(next)?))
    }

    /// The first moment of a date.
    fn midnight(&self, date: Date) -> Option<Micros> {
        Some(date.to_zoned_datetime(self.zone.clone()).ok()?.timestamp().as_microsecond())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Micros {
        text.parse::<Timestamp>().unwrap().as_microsecond()
    }

    #[test]
    fn days_follow_the_clock_change() {
        let mut calendar = Calendar::new("Europe/Berlin").unwrap();
        // 2024-03-31 has 23 hours there, 2024-10-27 has 25.
        let spring = calendar.start(Period::Day, at("2024-03-31T12:00:00Z"));
        assert_eq!(spring, at("2024-03-30T23:00:00Z"));
        assert_eq!(calendar.end(Period::Day, spring) - spring, 23 * HOUR);
        let autumn = calendar.start(Period::Day, at("2024-10-27T12:00:00Z"));
        assert_eq!(calendar.end(Period::Day, autumn) - autumn, 25 * HOUR);
    }

    #[test]
    fn weeks_begin_on_monday_and_months_on_the_first() {
        let mut calendar = Calendar::new("UTC").unwrap();
        let moment = at("2024-03-13T10:21:14Z"); // a Wednesday
        assert_eq!(calendar.start(Period::Week, moment), at("2024-03-11T00:00:00Z"));
        assert_eq!(calendar.start(Period::Month, moment), at("2024-03-01T00:00:00Z"));
        assert_eq!(calendar.start(Period::Hour, moment), at("2024-03-13T10:00:00Z"));
        assert_eq!(calendar.end(Period::Month, moment), at("2024-04-01T00:00:00Z"));
        assert_eq!(calendar.start(Period::All, moment), 0);
    }

    #[test]
    fn moments_beyond_the_calendar_saturate() {
        let mut calendar = Calendar::new("America/New_York").unwrap();
        for period in [Period::Hour, Period::Day, Period::Week, Period::Month] {
            for moment in [Micros::MIN, Micros::MAX, BOUNDS.0, BOUNDS.1] {
                let start = calendar.start(period, moment);
                assert!(calendar.compute(period, moment.clamp(BOUNDS.0, BOUNDS.1)).is_some());
                assert!(start < calendar.end(period, start));
            }
        }
    }

    #[test]
    fn a_zone_that_does_not_exist_is_an_error() {
        assert_eq!(Calendar::new("Mars/Base").unwrap_err(), UnknownZone("Mars/Base".into()));
    }
}
