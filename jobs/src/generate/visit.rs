//! One visit: what a person does on one device from coming to leaving.

use super::household::{Clock, Habit, Resident, SESSION_GAP_MS};
use super::options::Rules;
use super::outbox::Outbox;
use super::place::Place;
use super::random::Random;
use super::record::{Account, Channel, Copy, Device, Name, Record, Truth, Uuid};
use super::words;

const SECOND_MS: i64 = 1000;
const MINUTE_MS: i64 = 60 * SECOND_MS;
const HOUR_MS: i64 = 60 * MINUTE_MS;
/// A visit ends after this time at the latest.
const VISIT_MAX_MS: i64 = 2 * HOUR_MS;
/// Records of an offline visit come at most this long after it began: well within the `admit` of
/// the job file.
const OFFLINE_MAX_MS: i64 = 96 * HOUR_MS;
/// A pause in a visit is at most this long.
const PAUSE_MAX_MS: i64 = SESSION_GAP_MS - 10 * MINUTE_MS;

/// Something for the backend to do later about an order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub(super) struct Order {
    pub(super) number: u64,
    pub(super) cents: i64,
    pub(super) account: Option<Account>,
    pub(super) email: Option<Account>,
}

/// What a visit leaves behind.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outcome {
    /// When it was over.
    pub(super) until_ms: i64,
    /// Who is logged in at the end.
    pub(super) account: Option<Account>,
    /// What was bought, and when.
    pub(super) order: Option<(i64, Order)>,
    /// Whether the person has opened a second account.
    pub(super) doubled: bool,
}

/// A visit that is going on.
pub(super) struct Visit<'a> {
    rules: &'a Rules,
    outbox: &'a mut Outbox,
    random: &'a mut Random,
    person: &'a mut Resident,
    place: Place,
    doubled: bool,
    order: Option<(i64, Order)>,
    at: i64,
    until: i64,
    /// When a phone sends what it has gathered, and when that arrives.
    flush_ms: i64,
    flushed_ms: i64,
}

impl<'a> Visit<'a> {
    pub(super) fn new(
        rules: &'a Rules,
        outbox: &'a mut Outbox,
        random: &'a mut Random,
        person: &'a mut Resident,
        place: Place,
        at: i64,
    ) -> Self {
        let (mut flush_ms, mut flushed_ms) = (i64::MIN, i64::MIN);
        if place.channel == Channel::Mobile && random.hit(rules.late) {
            let after = VISIT_MAX_MS + HOUR_MS + random.wait(9 * HOUR_MS);
            flush_ms = at + after.min(OFFLINE_MAX_MS);
            flushed_ms = flush_ms + latency(random);
        }
        Self {
            rules,
            outbox,
            random,
            person,
            place,
            doubled: false,
            order: None,
            at,
            until: at + VISIT_MAX_MS,
            flush_ms,
            flushed_ms,
        }
    }

    /// Comes, looks around, perhaps buys, leaves.
    pub(super) fn run(mut self) -> Outcome {
        let web = self.place.channel == Channel::Web;
        self.event(if web { Name::Page } else { Name::Screen }, |_| {});
        if self.person.habit == Habit::Holder && self.random.percent(12) {
            self.log_in();
        }
        let mut looks = self.random.wait(5) + 1;
        let mut carts = 0;
        while looks > 0 && self.at < self.until && !self.outbox.is_full() {
            looks -= 1;
            self.pause();
            let subject = self.random.bits();
            let name = match self.random.below(100) {
                0..18 => Name::Search,
                18..25 => {
                    if web {
                        Name::Page
                    } else {
                        Name::Screen
                    }
                }
                _ => Name::Browse,
            };
            self.event(name, |record| record.subject = subject);
            if name == Name::Browse && self.random.percent(12) {
                carts += 1;
                self.pause();
                let cents = words::cents(subject);
                self.event(Name::Cart, |record| (record.subject, record.cents) = (subject, cents));
            }
        }
        if carts > 0 && self.person.habit != Habit::Looker && self.random.percent(60) {
            self.check_out();
        }
        if self.place.account.is_some() && self.random.percent(4) {
            self.pause();
            self.event(Name::Logout, |_| {});
            self.place.account = None;
        }
        let Self { at, place, order, doubled, .. } = self;
        Outcome { until_ms: at, account: place.account, order, doubled }
    }

    fn log_in(&mut self) {
        if self.place.account.is_some() {
            return;
        }
        let second = self.person.doubles && self.person.accounts[0] && self.random.percent(50);
        let account = if second { Account::Second } else { Account::First };
        self.doubled |= second && !self.person.accounts[1];
        self.place.account = Some(account);
        self.wait(SECOND_MS, 20 * SECOND_MS);
        self.event(Name::Identify, |record| record.email = Some(account));
    }

    fn check_out(&mut self) {
        if self.person.habit == Habit::Holder && self.random.percent(75) {
            self.log_in();
        }
        // Without an account one types one's address.
        let email = self.place.account.is_none().then_some(Account::First);
        let cents = words::cents(self.random.bits()) * self.random.between(1, 3);
        self.pause();
        self.event(Name::Checkout, |record| (record.cents, record.email) = (cents, email));
        if !self.random.percent(65) || self.outbox.is_full() {
            return;
        }
        self.pause();
        let number = self.outbox.order();
        let account = self.place.account;
        self.event(Name::Purchase, |record| {
            (record.cents, record.email, record.order) = (cents, email, number);
        });
        // The backend knows the address of an account.
        let order = Order { number, cents, account, email: account.or(email) };
        self.wait(SECOND_MS, 9 * SECOND_MS);
        let errand = Errand { tenant: self.place.tenant, name: Name::Purchase, at: self.at, order };
        errand.run(self.rules, self.outbox, self.random, self.person);
        self.order = Some((self.at, order));
        self.pause();
        let web = self.place.channel == Channel::Web;
        self.event(if web { Name::Page } else { Name::Screen }, |_| {});
    }

    fn wait(&mut self, low: i64, high: i64) {
        self.at += self.random.between(low, high);
    }

    /// Time to look and think.
    fn pause(&mut self) {
        let mean = if self.random.percent(3) { 4 * MINUTE_MS } else { 20 * SECOND_MS };
        self.at += SECOND_MS + self.random.wait(mean).min(PAUSE_MAX_MS);
    }

    fn event(&mut self, name: Name, more: impl FnOnce(&mut Record)) {
        if self.outbox.is_full() {
            return;
        }
        let at = self.at;
        let (sent_ms, received_ms) = self.transport();
        let (skew, stamp_ms) = match self.place.clock {
            Clock::Right => (0, None),
            Clock::Off(skew) => (skew, None),
            Clock::Stamps(skew) => (0, Some(at + skew)),
        };
        let mut record = Record {
            truth: Truth {
                channel: self.place.channel,
                message: Uuid::default(),
                tenant: self.place.tenant,
                person: self.person.number,
                session: self.person.session_at(at),
                name,
                true_ms: at,
                event_ms: at,
                received_ms,
                device: self.place.device,
                copy: Copy::Original,
                broken: None,
            },
            account: self.place.account,
            email: None,
            anonymous: self.place.anonymous,
            device: self.place.phone,
            profile: self.place.profile,
            subject: at as u64,
            order: 0,
            cents: 0,
            original_ms: at + skew,
            sent_ms: sent_ms + skew,
            stamp_ms,
        };
        more(&mut record);
        note(self.person, &record);
        self.outbox.send(self.rules, record);
    }

    /// When an event of now is sent, and when it arrives.
    fn transport(&mut self) -> (i64, i64) {
        if self.place.channel == Channel::Web {
            let sent_ms = self.at + self.random.between(1, 40);
            return (sent_ms, sent_ms + latency(self.random));
        }
        if self.at > self.flush_ms {
            self.flush_ms = self.at + self.random.between(SECOND_MS, 30 * SECOND_MS);
            self.flushed_ms = self.flush_ms + latency(self.random);
        }
        (self.flush_ms, self.flushed_ms)
    }
}

/// Time on the network.
fn latency(random: &mut Random) -> i64 {
    30 + random.wait(80).min(2000)
}

/// Notes which account and address of a person have been seen.
fn note(person: &mut Resident, record: &Record) {
    for (given, seen) in
        [(record.account, &mut person.accounts), (record.email, &mut person.emails)]
    {
        if let Some(account) = given {
            seen[account as usize] = true;
        }
    }
}

/// Something that the backend does about an order or an account.
#[derive(Clone, Copy, Debug)]
pub(super) struct Errand {
    pub(super) tenant: u32,
    pub(super) name: Name,
    pub(super) at: i64,
    pub(super) order: Order,
}

impl Errand {
    /// Does it, and tells of it in the next night's file.
    pub(super) fn run(
        self,
        rules: &Rules,
        outbox: &mut Outbox,
        random: &mut Random,
        person: &mut Resident,
    ) {
        const DAY_MS: i64 = 24 * HOUR_MS;
        if outbox.is_full() {
            return;
        }
        let Self { tenant, name, at, order } = self;
        let night = (at.div_euclid(DAY_MS) + 1) * DAY_MS + 2 * HOUR_MS;
        let received_ms = night + random.between(0, 20 * MINUTE_MS);
        let of_person = name != Name::Merge;
        let record = Record {
            truth: Truth {
                channel: Channel::Backend,
                message: Uuid::default(),
                tenant,
                person: person.number,
                session: if of_person { person.session_at(at) } else { 0 },
                name,
                true_ms: at,
                event_ms: at,
                received_ms,
                device: Device::None,
                copy: Copy::Original,
                broken: None,
            },
            account: order.account,
            email: order.email,
            anonymous: Uuid::default(),
            device: Uuid::default(),
            profile: 0,
            subject: order.number,
            order: order.number,
            cents: order.cents,
            original_ms: at,
            sent_ms: received_ms,
            stamp_ms: None,
        };
        if of_person {
            note(person, &record);
        }
        outbox.send(rules, record);
    }
}
