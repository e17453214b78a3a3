//! Times as senders write them.

use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::TimeZone;
use operators::model::{Micros, SECOND};

/// 0001-01-01T00:00:00Z: earlier moments are refused.
const EARLIEST: Micros = -62_135_596_800 * SECOND;
/// 9999-12-30T22:00:00Z, the last moment that has a date in every zone: later ones are refused.
const LATEST: Micros = 253_402_207_200 * SECOND;

/// How a time is written. Digits below the microsecond are cut off.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum TimeFormat {
    /// `2026-03-01T12:00:00.5+01:00`; what counts unless the job says otherwise. A space may stand
    /// for the `T`, and the colon of the offset may be left out. Second 60 is read as 59.
    #[default]
    Rfc3339,
    /// Seconds since 1970, as number or text, with or without a fraction.
    UnixS,
    /// Milliseconds since 1970.
    UnixMs,
    /// Microseconds since 1970.
    UnixUs,
    /// `2026-03-01 12:00:00.5` in a zone. A time that the zone skips is moved on by the gap, of one
    /// that it has twice the first is meant.
    Naive(TimeZone),
    /// Any other, as `strptime` reads it, in a zone unless the pattern has an offset.
    Pattern(String, Option<TimeZone>),
}

/// Why a format in a job file can't be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TimeFormatError {
    /// Not a word, and not a pattern either.
    #[error(
        "{0:?} is no time format: write rfc3339, unix_s, unix_ms, unix_us, naive, \
         or a pattern such as \"%d.%m.%Y %H:%M\""
    )]
    Unknown(String),
    /// A pattern that doesn't fix a moment.
    #[error("the pattern {0:?} does not give a date and a time: {1}")]
    Pattern(String, String),
    /// A zone that doesn't exist.
    #[error("there is no time zone {0:?}; write one such as \"Europe/Berlin\" or \"UTC\"")]
    Zone(String),
    /// A format without offset needs a zone.
    #[error("the format {0:?} has no offset and needs a zone, such as zone = \"UTC\"")]
    NeedsZone(String),
    /// A format that says the moment by itself.
    #[error("the format {0:?} fixes the moment and takes no zone")]
    NoZone(String),
}

impl TimeFormat {
    /// Reads a format and its zone as the job file has them.
    pub fn parse(word: &str, zone: Option<&str>) -> Result<Self, TimeFormatError> {
        let format = match word {
            "rfc3339" => Self::Rfc3339,
            "unix_s" => Self::UnixS,
            "unix_ms" => Self::UnixMs,
            "unix_us" => Self::UnixUs,
            _ => return Self::with_zone(word, zone),
        };
        if zone.is_some() { Err(TimeFormatError::NoZone(word.to_owned())) } else { Ok(format) }
    }

    fn with_zone(word: &str, zone: Option<&str>) -> Result<Self, TimeFormatError> {
        let naive = matches!(word, "naive" | "%Y-%m-%d %H:%M:%S" | "%Y-%m-%d %H:%M:%S%.f");
        if !naive && !word.contains('%') {
            return Err(TimeFormatError::Unknown(word.to_owned()));
        }
        let zone = match zone {
            Some(name) => {
                Some(TimeZone::get(name).map_err(|_| TimeFormatError::Zone(name.to_owned()))?)
            }
            None => None,
        };
        if naive {
            let zone = zone.ok_or_else(|| TimeFormatError::NeedsZone(word.to_owned()))?;
            return Ok(Self::Naive(zone));
        }
        check_pattern(word, zone.is_some())?;
        Ok(Self::Pattern(word.to_owned(), zone))
    }

    /// The moment that a text means.
    pub fn read_text(&self, text: &str) -> Option<Micros> {
        let micros = match self {
            Self::Rfc3339 => {
                let (local, rest) = date_time(text.as_bytes())?;
                local - offset(rest)?
            }
            Self::UnixS => decimal(text, SECOND)?,
            Self::UnixMs => decimal(text, 1000)?,
            Self::UnixUs => decimal(text, 1)?,
            Self::Naive(zone) => {
                let (local, rest) = date_time(text.as_bytes())?;
                if !rest.is_empty() {
                    return None;
                }
                in_zone(local, zone)?
            }
            Self::Pattern(pattern, zone) => {
                let parsed = BrokenDownTime::parse(pattern, text).ok()?;
                let timestamp = match zone {
                    Some(zone) => zone.to_timestamp(parsed.to_datetime().ok()?),
                    None => parsed.to_timestamp(),
                };
                timestamp.ok()?.as_microsecond()
            }
        };
        in_range(micros)
    }

    /// The moment that a whole number means.
    pub fn read_int(&self, number: i64) -> Option<Micros> {
        in_range(number.checked_mul(self.unit()?)?)
    }

    /// The moment that a fractional number means.
    pub fn read_float(&self, number: f64) -> Option<Micros> {
        let micros = number * self.unit()? as f64;
        // The comparison is false for not-a-number; within it the cast is exact to the microsecond.
        if micros >= EARLIEST as f64 && micros <= LATEST as f64 {
            in_range(micros.round() as Micros)
        } else {
            None
        }
    }

    /// The moment that a date and time without offset means, given as microseconds since 1970 in
    /// local time. Formats without a zone take it as UTC.
    pub fn read_local(&self, local: Micros) -> Option<Micros> {
        match self {
            Self::Naive(zone) | Self::Pattern(_, Some(zone)) => in_range(in_zone(local, zone)?),
            _ => in_range(local),
        }
    }

    /// The format in words, for messages.
    pub fn name(&self) -> &str {
        match self {
            Self::Rfc3339 => "an RFC 3339 time (give its format in the job file if it has another)",
            Self::UnixS => "a number of seconds since 1970",
            Self::UnixMs => "a number of milliseconds since 1970",
            Self::UnixUs => "a number of microseconds since 1970",
            Self::Naive(_) => "a time like 2026-03-01 12:00:00",
            Self::Pattern(pattern, _) => pattern,
        }
    }

    /// Microseconds in one unit of a number.
    fn unit(&self) -> Option<Micros> {
        match self {
            Self::UnixS => Some(SECOND),
            Self::UnixMs => Some(1000),
            Self::UnixUs => Some(1),
            Self::Rfc3339 | Self::Naive(_) | Self::Pattern(..) => None,
        }
    }
}

/// A moment that any time in a record may have.
pub(super) fn in_range(micros: Micros) -> Option<Micros> {
    (EARLIEST..=LATEST).contains(&micros).then_some(micros)
}

/// Whether a pattern says enough: a sample printed with it must come back.
fn check_pattern(pattern: &str, zoned: bool) -> Result<(), TimeFormatError> {
    let wrong = |e: jiff::Error| TimeFormatError::Pattern(pattern.to_owned(), e.to_string());
    let sample = jiff::civil::date(2026, 10, 21).at(15, 42, 37, 0);
    let sample = TimeZone::UTC.to_zoned_datetime(sample).map_err(wrong)?;
    let text = jiff::fmt::strtime::format(pattern, &sample).map_err(wrong)?;
    let parsed = BrokenDownTime::parse(pattern, &text).map_err(wrong)?;
    parsed.to_datetime().map_err(wrong)?;
    match (zoned, parsed.offset().is_some() || parsed.to_timestamp().is_ok()) {
        (false, false) => Err(TimeFormatError::NeedsZone(pattern.to_owned())),
        (true, true) => Err(TimeFormatError::NoZone(pattern.to_owned())),
        _ => Ok(()),
    }
}

/// A local time as a moment.
fn in_zone(local: Micros, zone: &TimeZone) -> Option<Micros> {
    if *zone == TimeZone::UTC {
        return Some(local);
    }
    let utc = jiff::Timestamp::from_microsecond(local).ok()?;
    let civil = TimeZone::UTC.to_datetime(utc);
    Some(zone.to_timestamp(civil).ok()?.as_microsecond())
}

/// Reads `YYYY-MM-DD HH:MM:SS[.f]` as microseconds since 1970 without regard to an offset, and
/// gives the bytes after it.
fn date_time(text: &[u8]) -> Option<(Micros, &[u8])> {
    let (head, mut rest) = text.split_at_checked(19)?;
    let digits = |at: usize, n: usize| -> Option<i64> {
        head[at..at + n].iter().try_fold(0, |sum, digit| {
            digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0'))
        })
    };
    let marks = [head[4], head[7], head[13], head[16]] == *b"--::";
    if !marks || !matches!(head[10], b'T' | b't' | b' ') {
        return None;
    }
    let (year, month, day) = (digits(0, 4)?, digits(5, 2)?, digits(8, 2)?);
    let (hour, minute, second) = (digits(11, 2)?, digits(14, 2)?, digits(17, 2)?.min(60));
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last_day = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=last_day).contains(&day) || hour > 23 || minute > 59 || digits(17, 2)? > 60 {
        return None;
    }
    let mut fraction = 0;
    if let [b'.', after @ ..] = rest {
        let n = after.iter().take_while(|b| b.is_ascii_digit()).count();
        if n == 0 {
            return None;
        }
        for digit in after[..n].iter().chain(std::iter::repeat(&b'0')).take(6) {
            fraction = fraction * 10 + i64::from(digit - b'0');
        }
        rest = &after[n..];
    }
    let seconds = ((days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second.min(59);
    Some((seconds * SECOND + fraction, rest))
}

/// Days since 1970-01-01 of a date of the Gregorian calendar, years 0 to 9999.
/// Counts years from March, so that the leap day is a year's last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Reads `Z`, `+hh:mm` or `+hhmm` as microseconds ahead of UTC.
fn offset(text: &[u8]) -> Option<Micros> {
    let (sign, [h1, h2, m1, m2]) = match *text {
        [b'Z' | b'z'] => return Some(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] | [sign @ (b'+' | b'-'), h1, h2, m1, m2] => {
            (sign, [h1, h2, m1, m2])
        }
        _ => return None,
    };
    if ![h1, h2, m1, m2].iter().all(u8::is_ascii_digit) {
        return None;
    }
    let two = |a: u8, b: u8| i64::from(a - b'0') * 10 + i64::from(b - b'0');
    let (hours, minutes) = (two(h1, h2), two(m1, m2));
    if hours > 23 || minutes > 59 {
        return None;
    }
    let ahead = (hours * 60 + minutes) * 60 * SECOND;
    Some(if sign == b'-' { -ahead } else { ahead })
}

/// Reads a decimal number of units of `unit` microseconds exactly: no detour over floating point.
fn decimal(text: &str, unit: Micros) -> Option<Micros> {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let all_digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    if !all_digits(whole) || !all_digits(fraction) {
        return None;
    }
    let mut micros = whole.parse::<i64>().ok()?.checked_mul(unit)?;
    let mut place = unit / 10;
    for digit in fraction.bytes() {
        if place == 0 {
            break;
        }
        micros = micros.checked_add(i64::from(digit - b'0') * place)?;
        place /= 10;
    }
    Some(if negative { -micros } else { micros })
}

#[cfg(test)]
mod tests;
