//! Who lives together, and what devices they have.

use super::options::Rules;
use super::outbox::uuid;
use super::random::{Random, mix2};
use super::record::{Account, Uuid};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// What people tell of themselves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Habit {
    /// Has an account and logs in now and then.
    Holder,
    /// Buys without an account and types an address.
    Guest,
    /// Only looks.
    Looker,
}

/// How a device tells the time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Clock {
    Right,
    /// Off by so many milliseconds, in all that the device says.
    Off(i64),
    /// As `Right`, but each event carries a `timestamp` that is off.
    Stamps(i64),
}

/// A browser or a phone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gadget {
    /// Everything about the device follows from it.
    pub(super) key: u64,
    /// Cookies or installations before the present one.
    pub(super) installs: u32,
    /// Phones before the present one.
    pub(super) models: u32,
    /// Who is logged in.
    pub(super) account: Option<Account>,
    /// Whether it has been used.
    pub(super) used: bool,
}

impl Gadget {
    fn new(key: u64) -> Self {
        Self { key, installs: 0, models: 0, account: None, used: false }
    }

    /// The cookie or installation id.
    pub(super) fn anonymous(self, install: u32) -> Uuid {
        uuid(self.key, u64::from(install))
    }

    /// The phone's own id: it outlives installations.
    pub(super) fn device(self, model: u32) -> Uuid {
        uuid(self.key, u64::from(model) | 1 << 63)
    }

    pub(super) fn clock(self, rules: &Rules) -> Clock {
        let mut random = Random::new(mix2(self.key, 0x0c10));
        if !random.hit(rules.skewed) {
            return Clock::Right;
        }
        let sign = if random.percent(50) { 1 } else { -1 };
        match random.below(100) {
            // The zone is set wrongly, and the application trusts it.
            0..12 => Clock::Stamps(sign * random.between(1, 12) * HOUR_MS),
            12..80 => Clock::Off(sign * random.between(60_000, 3 * HOUR_MS)),
            80..95 => Clock::Off(sign * random.between(1, 30) * DAY_MS),
            // The battery was empty: the clock begins in 1970.
            _ => Clock::Off(random.between(0, DAY_MS) - rules.start_ms),
        }
    }
}

/// One person.
#[derive(Clone, Copy, Debug)]
pub(super) struct Resident {
    pub(super) number: u64,
    pub(super) habit: Habit,
    pub(super) visits_left: u32,
    /// The number of the session that `last_ms` belongs to.
    pub(super) session: u32,
    /// The time of the last event.
    pub(super) last_ms: i64,
    /// Between two visits, on average.
    pub(super) gap_ms: i64,
    pub(super) laptop: Gadget,
    pub(super) work: Gadget,
    pub(super) phone: Gadget,
    /// Whether the person will open a second account.
    pub(super) doubles: bool,
    /// Accounts used and addresses typed so far.
    pub(super) accounts: [bool; 2],
    pub(super) emails: [bool; 2],
}

/// A gap of events that is longer ends a session.
pub(super) const SESSION_GAP_MS: i64 = 30 * 60_000;
/// No gap comes closer to the limit, so that the time on the network does not decide.
const SESSION_MARGIN_MS: i64 = 5 * 60_000;

impl Resident {
    fn new(rules: &Rules, random: &mut Random, number: u64) -> Self {
        let habit = match random.below(100) {
            0..55 => Habit::Holder,
            55..75 => Habit::Guest,
            _ => Habit::Looker,
        };
        // Most come seldom, some often; the mean is what the rules say.
        let more = rules.visits_x256 - 256;
        let mean = if random.percent(80) { more / 2 } else { more * 3 };
        let visits_left = 1 + ((random.wait(mean.max(0)) + 128) / 256).min(100_000);
        // How long a person stays has nothing to do with how often they come.
        let stays_ms = random.wait(rules.stay_ms).min(3 * rules.stay_ms);
        let key = mix2(rules.seed, number);
        Self {
            number,
            habit,
            visits_left: visits_left as u32,
            session: 0,
            last_ms: i64::MIN / 2,
            gap_ms: stays_ms / visits_left,
            laptop: Gadget::new(mix2(key, 1)),
            work: Gadget::new(mix2(key, 2)),
            phone: Gadget::new(mix2(key, 3)),
            doubles: habit == Habit::Holder && random.percent(6),
            accounts: [false; 2],
            emails: [false; 2],
        }
    }

    /// Whether an event at this time would lie too close to the limit of a session.
    pub(super) fn on_the_verge(&self, at: i64) -> bool {
        (at - self.last_ms - SESSION_GAP_MS).abs() < SESSION_MARGIN_MS
    }

    /// Notes an event: the number of its session.
    pub(super) fn session_at(&mut self, at: i64) -> u32 {
        if at - self.last_ms > SESSION_GAP_MS {
            self.session += 1;
        }
        self.last_ms = self.last_ms.max(at);
        self.session
    }
}

/// People who live together: one, or two who share a device.
#[derive(Clone, Debug)]
pub(super) struct Household {
    pub(super) tenant: u32,
    pub(super) random: Random,
    pub(super) people: Vec<Resident>,
    /// The device that all of them use.
    pub(super) tablet: Gadget,
    /// Until when somebody uses it.
    pub(super) tablet_until_ms: i64,
    /// What the agenda has for the household.
    pub(super) errands: u32,
}

impl Household {
    /// The household whose first person has this number.
    pub(super) fn new(rules: &Rules, first: u64) -> Self {
        let mut random = Random::new(mix2(mix2(rules.seed, 4), first));
        let size = if random.hit(rules.shared) { 2 } else { 1 };
        let people =
            (0..size).map(|n| Resident::new(rules, &mut random, first.wrapping_add(n))).collect();
        Self {
            tenant: (mix2(first, 5) % u64::from(rules.tenants)) as u32,
            people,
            tablet: Gadget::new(mix2(mix2(rules.seed, first), 6)),
            tablet_until_ms: i64::MIN,
            errands: 0,
            random,
        }
    }

    /// Everybody who has done something, as the truth has it.
    pub(super) fn truth(&self, rules: &Rules) -> Vec<Person> {
        let seen = self.people.iter().filter(|person| person.session > 0);
        seen.map(|person| self.person(rules, person)).collect()
    }

    fn person(&self, rules: &Rules, person: &Resident) -> Person {
        let used = |flags: [bool; 2]| {
            [(flags[0], Account::First), (flags[1], Account::Second)]
                .into_iter()
                .filter_map(|(used, account)| used.then_some(account))
        };
        let (mut own, mut phones) = (Vec::new(), Vec::new());
        for gadget in [person.laptop, person.work, person.phone] {
            if gadget.used {
                own.extend((0..=gadget.installs).map(|install| gadget.anonymous(install)));
            }
        }
        if person.phone.used {
            phones.extend((0..=person.phone.models).map(|model| person.phone.device(model)));
        }
        let in_turn = self.tablet.used && self.people.len() > 1;
        let shared = if in_turn { vec![self.tablet.anonymous(0)] } else { Vec::new() };
        let text = |account, email| {
            let mut text = Vec::new();
            if email {
                super::words::email(rules.seed, person.number, account, &mut text);
            } else {
                super::words::user_id(rules.seed, person.number, account, &mut text);
            }
            String::from_utf8_lossy(&text).into_owned()
        };
        Person {
            person: person.number,
            tenant: self.tenant,
            sessions: person.session,
            user_ids: used(person.accounts).map(|account| text(account, false)).collect(),
            emails: used(person.emails).map(|account| text(account, true)).collect(),
            anonymous_ids: own,
            shared_anonymous_ids: shared,
            device_ids: phones,
        }
    }
}

/// What is true about a person: everything by which trackers may know them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Person {
    /// Number of the person.
    pub person: u64,
    /// Number of the tenant, from 0.
    pub tenant: u32,
    /// Number of sessions.
    pub sessions: u32,
    /// Accounts used.
    pub user_ids: Vec<String>,
    /// Addresses given.
    pub emails: Vec<String>,
    /// Cookies and installations of the person's own devices.
    pub anonymous_ids: Vec<Uuid>,
    /// The cookie of the device that the household shares.
    pub shared_anonymous_ids: Vec<Uuid>,
    /// The person's phones.
    pub device_ids: Vec<Uuid>,
}
