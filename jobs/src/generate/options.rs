//! What a simulated shop is like.

use thiserror::Error;

use super::random::Share;

/// Records that a visit makes on average, the backend's included and copies left out. Only the number
/// of people and visits is reckoned with it.
const RECORDS_PER_VISIT: f64 = 7.6;
/// Records of a person who comes once, about.
const RECORDS_PER_PERSON_MIN: u64 = 10;
/// Records of a person, unless the number of people is given.
const RECORDS_PER_PERSON: u64 = 40;
/// A person's first and last visit are so far apart on average at most: so memory follows from the
/// people per day.
const STAY_MAX_MS: i64 = 7 * DAY_MS;
/// Most days that a shop is open.
const DAYS_MAX: u32 = 3650;
/// Most tenants.
const TENANTS_MAX: u32 = 10_000;
/// 2026-01-05, a Monday, in milliseconds since 1970.
const START_MS: i64 = 1_767_571_200_000;
/// 2200-01-01: shops that open later would see dates that records can't have.
const START_MAX_MS: i64 = 7_258_118_400_000;
const DAY_MS: i64 = 86_400_000;

/// How big a shop is, and how often things go wrong in it. Shares are from 0 to 1.
#[derive(Clone, PartialEq, Debug)]
pub struct ShopOptions {
    /// Records in all, copies and broken ones included.
    pub events: u64,
    /// Another seed gives another shop.
    pub seed: u64,
    /// When the shop opens, in milliseconds since 1970.
    pub start_ms: i64,
    /// Days that the events span, about.
    pub days: u32,
    /// People, about; `None` for as many as fit the number of events.
    pub people: Option<u64>,
    /// Tenants, each with people of its own.
    pub tenants: u32,
    /// Share of the visits by phone that are offline: their records come hours to days late.
    pub late: f64,
    /// Share of records that are delivered again, byte for byte.
    pub duplicates: f64,
    /// Share of records that come again with the same id and other times.
    pub restamped: f64,
    /// Share of records that can't be used.
    pub broken: f64,
    /// Share of devices whose clock is wrong.
    pub skewed: f64,
    /// Share of households in which two people use one device.
    pub shared: f64,
}

impl Default for ShopOptions {
    fn default() -> Self {
        Self {
            events: 1_000_000,
            seed: 1,
            start_ms: START_MS,
            days: 30,
            people: None,
            tenants: 1,
            late: 0.1,
            duplicates: 0.01,
            restamped: 0.005,
            broken: 0.002,
            skewed: 0.03,
            shared: 0.1,
        }
    }
}

/// Options that make no sense.
#[derive(Clone, PartialEq, Debug, Error)]
pub enum OptionError {
    /// Not a share.
    #[error("{name} is {value}; write a share from 0 to 1, such as 0.01")]
    Share {
        /// Name of the option.
        name: &'static str,
        /// What was given.
        value: f64,
    },
    /// A number out of its range.
    #[error("{name} is {value}; write a number from {least} to {most}")]
    Range {
        /// Name of the option.
        name: &'static str,
        /// What was given.
        value: i64,
        /// The smallest that makes sense.
        least: i64,
        /// The largest that makes sense.
        most: i64,
    },
    /// More people than the events are enough for.
    #[error(
        "{people} people make about {needed} events or more; write {most} people or fewer, or \
         more events"
    )]
    People {
        /// What was given.
        people: u64,
        /// Events that so many people make at least, about.
        needed: u64,
        /// People that the events are enough for.
        most: u64,
    },
}

impl ShopOptions {
    /// The number of people: as given, or as many as fit the number of events.
    pub fn people_or_fitting(&self) -> u64 {
        let fitting = self.events / RECORDS_PER_PERSON;
        self.people.unwrap_or(fitting).max(1)
    }

    /// Whether the options make sense.
    ///
    /// # Errors
    /// The first one that doesn't, with what to write instead.
    pub fn check(&self) -> Result<(), OptionError> {
        let shares = [
            ("late", self.late),
            ("duplicates", self.duplicates),
            ("restamped", self.restamped),
            ("broken", self.broken),
            ("skewed", self.skewed),
            ("shared", self.shared),
        ];
        for (name, value) in shares {
            if !(0.0..=1.0).contains(&value) {
                return Err(OptionError::Share { name, value });
            }
        }
        let range = |name, value: i64, least, most| {
            let fits = (least..=most).contains(&value);
            if fits { Ok(()) } else { Err(OptionError::Range { name, value, least, most }) }
        };
        let events = i64::try_from(self.events).unwrap_or(i64::MAX);
        range("events", events, 1, i64::MAX - 1)?;
        range("days", i64::from(self.days), 1, i64::from(DAYS_MAX))?;
        range("tenants", i64::from(self.tenants), 1, i64::from(TENANTS_MAX))?;
        range("start", self.start_ms, 0, START_MAX_MS)?;
        let most = (self.events / RECORDS_PER_PERSON_MIN).max(1);
        match self.people {
            Some(0) => range("people", 0, 1, i64::MAX),
            Some(people) if people > most => {
                let needed = people.saturating_mul(RECORDS_PER_PERSON_MIN);
                Err(OptionError::People { people, needed, most })
            }
            _ => Ok(()),
        }
    }
}

/// The options as the simulation uses them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) seed: u64,
    pub(super) tenants: u32,
    pub(super) start_ms: i64,
    people: u64,
    /// The time in which they arrive, evenly.
    arrivals_ms: i64,
    /// Visits of a person on average, times 256.
    pub(super) visits_x256: i64,
    /// Time from a person's first visit to the last on average.
    pub(super) stay_ms: i64,
    pub(super) kiosks: u64,
    pub(super) late: Share,
    pub(super) duplicates: Share,
    pub(super) restamped: Share,
    pub(super) broken: Share,
    pub(super) skewed: Share,
    pub(super) shared: Share,
}

impl Rules {
    /// People for whom there is one kiosk.
    const PEOPLE_PER_KIOSK: u64 = 5000;

    pub(super) fn new(options: &ShopOptions) -> Self {
        let people = options.people_or_fitting().min(i64::MAX as u64) as i64;
        let span_ms = i64::from(options.days) * DAY_MS;
        let records = options.events.min(i64::MAX as u64 >> 9) as i64;
        let copies = 1.0 + options.duplicates + options.restamped;
        let records_per_visit_x256 = (RECORDS_PER_VISIT * 256.0 * copies) as i64;
        // A little more than is needed, for the last visits are far apart.
        let visits_x256 = records * 260 / people * 256 / records_per_visit_x256;
        Self {
            seed: options.seed,
            tenants: options.tenants,
            start_ms: options.start_ms,
            people: people as u64,
            arrivals_ms: span_ms / 16 * 15,
            visits_x256: visits_x256.max(256),
            stay_ms: (span_ms / 8).min(STAY_MAX_MS),
            kiosks: (people as u64).div_ceil(Self::PEOPLE_PER_KIOSK),
            late: Share::new(options.late),
            duplicates: Share::new(options.duplicates),
            restamped: Share::new(options.restamped),
            broken: Share::new(options.broken),
            skewed: Share::new(options.skewed),
            shared: Share::new(options.shared),
        }
    }
    /// When the person of this number comes for the first time, about.
    pub(super) fn arrival_ms(&self, person: u64) -> i64 {
        let after = i128::from(person) * i128::from(self.arrivals_ms) / i128::from(self.people);
        self.start_ms.saturating_add(after as i64)
    }
}
