//! Calendar periods in the job's time zone.
//!
//! The periods of one length divide time: every moment lies in exactly one, and all moments of a
//! period have the same answer, whatever was asked before. What that means where clocks are set:
//!
//! - A day begins when the clock first shows its date. If the clock is set back after that, what it
//!   shows again of the day before is part of the day that has begun. A date that is skipped has no
//!   moments. Weeks and months are made of such days.
//! - An hour begins when the clock shows a full hour, and where the clock is set: an hour in which
//!   that happens is two shorter ones.

use jiff::civil::Date;
use jiff::tz::{AmbiguousOffset, TimeZone};
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

/// Moments beyond the years -9000 and 9000 are in the period that holds the bound: it begins with
/// all time or ends with it.
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
        let place = at.div_euclid(LENGTHS[slot]).rem_euclid(KEPT as Micros) as usize;
        let (start, end) = self.kept[slot][place];
        if at >= start && at < end {
            return (start, end);
        }
        let inside = at.clamp(BOUNDS.0, BOUNDS.1);
        // Inside the bounds every date and moment exists; the fallback is never taken.
        let (start, end) = self.compute(period, inside).unwrap_or((inside, inside + 1));
        let start = if start <= BOUNDS.0 { Micros::MIN } else { start };
        let end = if end > BOUNDS.1 { Micros::MAX } else { end };
        self.kept[slot][place] = (start, end);
        (start, end)
    }

    fn compute(&self, period: Period, at: Micros) -> Option<(Micros, Micros)> {
        let moment = Timestamp::from_microsecond(at).ok()?;
        let (first, next) = match period {
            Period::Hour | Period::All => return self.hour(moment),
            Period::Day => {
                let date = self.date(moment)?;
                (date, date.tomorrow().ok()?)
            }
            Period::Week => {
                let date = self.date(moment)?;
                let since = i64::from(date.weekday().to_monday_zero_offset());
                let monday = date.checked_sub(since.days()).ok()?;
                (monday, monday.checked_add(7.days()).ok()?)
            }
            Period::Month => {
                let first = self.date(moment)?.first_of_month();
                (first, first.checked_add(1.month()).ok()?)
            }
        };
        Some((self.midnight(first)?, self.midnight(next)?))
    }

    /// The hour that a moment is in.
    fn hour(&self, moment: Timestamp) -> Option<(Micros, Micros)> {
        let at = moment.as_microsecond();
        let offset = self.zone.to_offset(moment);
        let ahead = Micros::from(offset.seconds()) * SECOND;
        let start = (at + ahead).div_euclid(HOUR) * HOUR - ahead;
        let end = start + HOUR;
        // Zones also note changes of what does not matter here, such as the name of the offset.
        let differs = |at: Micros| {
            Timestamp::from_microsecond(at).is_ok_and(|at| self.zone.to_offset(at) != offset)
        };
        let (second, after) = seconds(at)?;
        let before = self.zone.preceding(after).map(|set| set.timestamp().as_microsecond());
        let cut = before.take_while(|set| *set > start).find(|set| differs(set - 1));
        let later = self.zone.following(second).map(|set| set.timestamp().as_microsecond());
        let next = later.take_while(|set| *set < end).find(|set| differs(*set));
        Some((cut.unwrap_or(start), next.unwrap_or(end)))
    }

    /// The date of the day that a moment is in.
    fn date(&self, moment: Timestamp) -> Option<Date> {
        let at = moment.as_microsecond();
        let mut date = self.zone.to_datetime(moment).date();
        // A clock that was set back may show the date of a day that is over.
        loop {
            let next = date.tomorrow().ok()?;
            if self.midnight(next)? > at {
                return Some(date);
            }
            date = next;
        }
    }

    /// When the clock first shows a date, or a later one.
    fn midnight(&self, date: Date) -> Option<Micros> {
        let midnight = self.zone.to_ambiguous_timestamp(date.at(0, 0, 0, 0));
        let at = midnight.compatible().ok()?.as_microsecond();
        if !matches!(midnight.offset(), AmbiguousOffset::Gap { .. }) {
            return Some(at);
        }
        // The clock is set forward over midnight: the day begins there, not as long after it as
        // midnight would have been.
        let (_, after) = seconds(at)?;
        let set = self.zone.preceding(after).next();
        Some(set.map_or(at, |set| set.timestamp().as_microsecond()))
    }
}

/// The full second that a moment is in, and the next: clocks are set at full seconds.
fn seconds(at: Micros) -> Option<(Timestamp, Timestamp)> {
    let second = at.div_euclid(SECOND);
    Some((Timestamp::from_second(second).ok()?, Timestamp::from_second(second + 1).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::testing::Seeded;

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

    const PERIODS: [Period; 4] = [Period::Hour, Period::Day, Period::Week, Period::Month];

    /// Also a year in which decoded times may be.
    #[test]
    fn moments_beyond_the_calendar_saturate() {
        let mut calendar = Calendar::new("America/New_York").unwrap();
        let late = [BOUNDS.1, at("9999-12-01T00:00:00Z"), Micros::MAX];
        let early = [BOUNDS.0, at("-009998-06-01T00:00:00Z"), Micros::MIN];
        for period in PERIODS {
            for moment in early.into_iter().chain(late) {
                let start = calendar.start(period, moment);
                assert!(calendar.compute(period, moment.clamp(BOUNDS.0, BOUNDS.1)).is_some());
                assert!(start < calendar.end(period, start));
                assert_eq!(calendar.bounds(period, start), calendar.bounds(period, moment));
            }
            let last = calendar.start(period, BOUNDS.1);
            assert!(last > BOUNDS.1 - 32 * DAY && last <= BOUNDS.1);
            assert!(late.iter().all(|at| calendar.bounds(period, *at) == (last, Micros::MAX)));
            let first = calendar.end(period, BOUNDS.0);
            assert!(first > BOUNDS.0 && first < BOUNDS.0 + 32 * DAY);
            assert!(early.iter().all(|at| calendar.bounds(period, *at) == (Micros::MIN, first)));
        }
    }

    #[test]
    fn an_hour_ends_where_the_clock_is_set() {
        // By half an hour, at full hours of the one offset and not of the other.
        let mut calendar = Calendar::new("Australia/Lord_Howe").unwrap();
        let mut hour = |moment: &str, start: &str, end: &str| {
            let answer = calendar.bounds(Period::Hour, at(moment));
            assert_eq!(answer, (at(start), at(end)), "{moment}");
        };
        for _ in 0..2 {
            hour("2024-10-05T15:20:00Z", "2024-10-05T14:30:00Z", "2024-10-05T15:30:00Z");
            hour("2024-10-05T15:40:00Z", "2024-10-05T15:30:00Z", "2024-10-05T16:00:00Z");
            hour("2024-04-06T14:59:59Z", "2024-04-06T14:00:00Z", "2024-04-06T15:00:00Z");
            hour("2024-04-06T15:00:00Z", "2024-04-06T15:00:00Z", "2024-04-06T15:30:00Z");
        }
    }

    #[test]
    fn a_day_begins_when_its_date_is_first_shown() {
        let day = |zone: &str, moment: &str, start: &str, end: &str| {
            let answer = Calendar::new(zone).unwrap().bounds(Period::Day, at(moment));
            assert_eq!(answer, (at(start), at(end)), "{zone} {moment}");
        };
        // Set back from 00:01 to 23:01 of the day before, at 02:31 UTC.
        let zone = "America/St_Johns";
        day(zone, "2010-11-07T02:29:00Z", "2010-11-06T02:30:00Z", "2010-11-07T02:30:00Z");
        day(zone, "2010-11-07T03:00:00Z", "2010-11-07T02:30:00Z", "2010-11-08T03:30:00Z");
        // The 30th is skipped.
        let zone = "Pacific/Apia";
        day(zone, "2011-12-30T09:59:59Z", "2011-12-29T10:00:00Z", "2011-12-30T10:00:00Z");
        day(zone, "2011-12-30T10:00:00Z", "2011-12-30T10:00:00Z", "2011-12-31T10:00:00Z");
        // Set forward from 23:30 to 00:30.
        let zone = "America/Toronto";
        day(zone, "1919-03-31T04:29:59Z", "1919-03-30T05:00:00Z", "1919-03-31T04:30:00Z");
        day(zone, "1919-03-31T04:30:00Z", "1919-03-31T04:30:00Z", "1919-04-01T04:00:00Z");
    }

    /// Random moments around changes of the offset.
    #[test]
    fn periods_divide_time() {
        const ZONES: [&str; 12] = [
            "UTC",
            "Australia/Lord_Howe",
            "America/St_Johns",
            "Asia/Pyongyang",
            "America/Caracas",
            "Pacific/Apia",
            "Asia/Kathmandu",
            "America/Havana",
            "America/Sao_Paulo",
            "America/Toronto",
            "America/Juneau",
            "Europe/Berlin",
        ];
        for (seed, zone) in (0..).zip(ZONES) {
            let mut random = Seeded(seed);
            let fresh = Calendar::new(zone).unwrap();
            let mut asked = fresh.clone();
            for _ in 0..300 {
                // From 1860 to 2060.
                let year = random.below(200) as Micros - 110;
                let from = Timestamp::from_microsecond(year * 365 * DAY).unwrap();
                let set = fresh.zone.following(from).next();
                let set = set.map_or(from, |set| set.timestamp()).as_microsecond();
                let reach = random.pick(&[2, 2 * SECOND, 2 * HOUR, 2 * HOUR, 60 * HOUR]);
                let moment = set + random.below(reach as u64) as Micros - reach / 2;
                for period in PERIODS {
                    let of = |at| fresh.clone().bounds(period, at);
                    let (start, end) = of(moment);
                    let context = format!("{zone}, {period:?} of {moment}: {start} to {end}");
                    assert!(start <= moment && moment < end, "{context}");
                    let inside = start + random.below((end - start) as u64) as Micros;
                    for other in [start, inside, end - 1] {
                        assert_eq!(of(other), (start, end), "{context}, asked for {other}");
                    }
                    assert_eq!(of(end).0, end, "{context}");
                    assert_eq!(asked.bounds(period, moment), (start, end), "{context}");
                }
            }
        }
    }

    /// Where clocks are set by whole hours, hours are 60 minutes, and days the dates shown.
    #[test]
    fn usual_zones_have_whole_hours_and_dates() {
        let zones =
            ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "America/Sao_Paulo"];
        for zone in zones {
            let mut random = Seeded(7);
            let mut calendar = Calendar::new(zone).unwrap();
            for _ in 0..5_000 {
                let moment = (1 + random.below(66)) as Micros * 365 * DAY
                    + random.below(365 * 86_400) as Micros * SECOND;
                let shown = Timestamp::from_microsecond(moment).unwrap();
                let shown = shown.to_zoned_datetime(calendar.zone.clone());
                let ahead = Micros::from(shown.offset().seconds()) * SECOND;
                let hour = (moment + ahead).div_euclid(HOUR) * HOUR - ahead;
                assert_eq!(calendar.bounds(Period::Hour, moment), (hour, hour + HOUR), "{zone}");
                let midnight = |date: Date| {
                    let first = date.to_zoned_datetime(calendar.zone.clone()).unwrap();
                    first.timestamp().as_microsecond()
                };
                let (start, end) =
                    (midnight(shown.date()), midnight(shown.date().tomorrow().unwrap()));
                assert_eq!(calendar.bounds(Period::Day, moment), (start, end), "{zone}");
            }
        }
    }

    #[test]
    fn a_zone_that_does_not_exist_is_an_error() {
        assert_eq!(Calendar::new("Mars/Base").unwrap_err(), UnknownZone("Mars/Base".into()));
    }
}
