//! The shop: who comes when, and what arrives when.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::household::{Clock, Gadget, Household, Person, Resident};
use super::lines::Lines;
use super::options::{OptionError, Rules, ShopOptions};
use super::outbox::{Outbox, uuid};
use super::random::{Random, mix2};
use super::record::{Channel, Device, Name, Record, Truth, Uuid};
use super::visit::{Errand, Order, Place, Visit};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;
/// Between two visits of a person at least.
const REST_MS: i64 = 40 * MINUTE_MS;
/// How busy each hour of the day is (UTC), compared with the busiest.
const BUSY_PERCENT: [u64; 24] =
    [18, 9, 5, 4, 4, 8, 20, 38, 52, 60, 64, 68, 75, 70, 64, 62, 66, 74, 86, 97, 100, 92, 66, 36];

/// What somebody will do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Task {
    Visit,
    Backend(Name, Order),
}

/// An entry of the agenda: when, a number that decides between entries of one moment, which
/// household, which of its people, what.
type Entry = (i64, u64, u32, u8, Task);

/// A simulated shop: an iterator over its records in the order of their arrival.
///
/// The same options give the same records. Memory holds the households that will come again and the
/// records on their way, less than 500 bytes each: both follow from the events per day, not from the
/// events in all.
#[derive(Debug)]
pub struct Shop {
    rules: Rules,
    lines: Lines,
    agenda: BinaryHeap<Reverse<Entry>>,
    entries: u64,
    households: Vec<Option<Household>>,
    free: Vec<u32>,
    next_person: u64,
    next_arrival_ms: i64,
    kiosks_until_ms: Vec<i64>,
    random: Random,
    outbox: Outbox,
    left: Vec<Person>,
}

/// A record of a shop.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    /// The record as its tracker wrote it, without line break.
    pub bytes: Vec<u8>,
    /// What is true about it.
    pub truth: Truth,
}

impl Shop {
    /// Opens a shop.
    ///
    /// # Errors
    /// The options make no sense.
    pub fn new(options: &ShopOptions) -> Result<Self, OptionError> {
        options.check()?;
        let rules = Rules::new(options);
        Ok(Self {
            rules,
            lines: Lines::new(rules.seed, rules.tenants),
            agenda: BinaryHeap::new(),
            entries: 0,
            households: Vec::new(),
            free: Vec::new(),
            next_person: 0,
            next_arrival_ms: rules.arrival_ms(0),
            kiosks_until_ms: vec![i64::MIN; rules.kiosks as usize],
            random: Random::new(mix2(rules.seed, 1)),
            outbox: Outbox::new(rules.seed, options.events),
            left: Vec::new(),
        })
    }

    /// Adds the next record that arrives to `line`, without a line break; `None` at the end.
    pub fn next_into(&mut self, line: &mut Vec<u8>) -> Option<Truth> {
        let record = self.next_record()?;
        self.write(&record, line);
        Some(record.truth)
    }

    /// The next record that arrives.
    pub(super) fn next_record(&mut self) -> Option<Record> {
        loop {
            let next_ms = self.outbox.next_ms();
            let open = !self.outbox.is_full();
            if open && next_ms.is_none_or(|at| at >= self.next_task_ms()) {
                self.proceed();
            } else {
                return self.outbox.pop();
            }
        }
    }

    /// Adds a record to `line`.
    pub(super) fn write(&mut self, record: &Record, line: &mut Vec<u8>) {
        self.lines.write(record, line);
    }

    /// The people who have left for good since this was asked for the last time. After the last
    /// record: everybody who is left.
    pub fn take_people(&mut self) -> Vec<Person> {
        if self.outbox.is_full() {
            for household in self.households.drain(..).flatten() {
                self.left.extend(household.truth(&self.rules));
            }
            self.free.clear();
        }
        std::mem::take(&mut self.left)
    }

    /// What memory holds: records on their way, and households that will be heard of again.
    pub fn held(&self) -> (usize, usize) {
        (self.outbox.held(), self.households.len() - self.free.len())
    }

    /// When something happens next.
    fn next_task_ms(&self) -> i64 {
        let arrival = self.next_arrival_ms;
        self.agenda.peek().map_or(arrival, |Reverse((at, ..))| arrival.min(*at))
    }

    /// Lets the next thing happen.
    fn proceed(&mut self) {
        let arrival = self.next_arrival_ms;
        let due = self.agenda.peek().is_some_and(|Reverse((at, ..))| *at < arrival);
        match due.then(|| self.agenda.pop()).flatten() {
            Some(Reverse(entry)) => self.perform(entry),
            None => self.move_in(arrival),
        }
    }

    fn move_in(&mut self, arrival: i64) {
        let household = Household::new(&self.rules, self.next_person);
        let size = household.people.len();
        self.next_person += size as u64;
        self.next_arrival_ms = self.rules.arrival_ms(self.next_person);
        let slot = if let Some(slot) = self.free.pop() {
            self.households[slot as usize] = Some(household);
            slot
        } else {
            self.households.push(Some(household));
            (self.households.len() - 1) as u32
        };
        for who in 0..size {
            let after = self.random.wait(HOUR_MS);
            let at = waking(&mut self.random, arrival + after);
            self.plan(at, slot, who as u8, Task::Visit);
        }
    }

    fn plan(&mut self, at: i64, slot: u32, who: u8, task: Task) {
        if let Some(Some(household)) = self.households.get_mut(slot as usize) {
            household.errands += 1;
            self.agenda.push(Reverse((at, self.entries, slot, who, task)));
            self.entries += 1;
        }
    }

    fn perform(&mut self, (at, _, slot, who, task): Entry) {
        // Out of its place while it is at work, so that both it and the shop can change.
        let taken = self.households.get_mut(slot as usize).and_then(Option::take);
        let Some(mut household) = taken else { return };
        household.errands -= 1;
        let mut plans = Vec::new();
        let person = usize::from(who);
        if task.is_event() && household.people[person].on_the_verge(at) {
            plans.push((at + 15 * MINUTE_MS, task));
        } else {
            match task {
                Task::Visit => self.visit(&mut household, person, at, &mut plans),
                Task::Backend(name, order) => {
                    let errand = Errand { tenant: household.tenant, name, at, order };
                    let Household { people, random, .. } = &mut household;
                    errand.run(&self.rules, &mut self.outbox, random, &mut people[person]);
                }
            }
        }
        if household.errands == 0 && plans.is_empty() {
            self.left.extend(household.truth(&self.rules));
            self.free.push(slot);
            return;
        }
        self.households[slot as usize] = Some(household);
        for (at, task) in plans {
            self.plan(at, slot, who, task);
        }
    }

    fn visit(
        &mut self,
        household: &mut Household,
        who: usize,
        at: i64,
        plans: &mut Vec<(i64, Task)>,
    ) {
        let (place, gadget, kiosk) = self.choose(household, who, at);
        let Household { random, people, .. } = household;
        let person = &mut people[who];
        let outbox = &mut self.outbox;
        let mut visit = Visit::new(&self.rules, outbox, random, person, place, at);
        let until = visit.run();
        let (account, order, doubled) = (visit.place.account, visit.order, visit.doubled);
        // An own device remembers a login, most times.
        let remembered = place.device == Device::Own && random.percent(80);
        match (gadget, kiosk) {
            (_, Some(kiosk)) => self.kiosks_until_ms[kiosk] = until,
            (Some(which), None) => {
                which.of(household, who).account = account.filter(|_| remembered);
                if which == Which::Tablet {
                    household.tablet_until_ms = until;
                }
            }
            (None, None) => {}
        }
        self.follow_up(household, who, (until, order, doubled), plans);
    }

    /// What comes of a visit.
    fn follow_up(
        &self,
        household: &mut Household,
        who: usize,
        (until, order, doubled): (i64, Option<(i64, Order)>, bool),
        plans: &mut Vec<(i64, Task)>,
    ) {
        let Household { random, people, .. } = household;
        let person = &mut people[who];
        if let Some((at, order)) = order {
            let after = random.between(DAY_MS, 3 * DAY_MS);
            let at = waking(random, at + after);
            plans.push((at, Task::Backend(Name::Shipped, order)));
            if random.percent(6) {
                let back = Order { cents: -order.cents, ..order };
                let after = random.between(DAY_MS, 10 * DAY_MS);
                let at = waking(random, at + after);
                plans.push((at, Task::Backend(Name::Refund, back)));
            }
        }
        if doubled {
            let none = Order { number: 0, cents: 0, account: None, email: None };
            let after = random.between(HOUR_MS, 2 * DAY_MS);
            let at = waking(random, until + after);
            plans.push((at, Task::Backend(Name::Merge, none)));
        }
        person.visits_left -= 1;
        if person.visits_left > 0 {
            let at = until + REST_MS + random.wait(person.gap_ms);
            plans.push((waking(random, at), Task::Visit));
        }
    }

    /// On which device a person visits.
    fn choose(
        &mut self,
        household: &mut Household,
        who: usize,
        at: i64,
    ) -> (Place, Option<Which>, Option<usize>) {
        let tenant = household.tenant;
        let chance = household.random.below(100);
        if chance < 2 {
            let kiosk = household.random.below(self.rules.kiosks) as usize;
            if self.kiosks_until_ms[kiosk] < at {
                let key = mix2(mix2(self.rules.seed, 8), kiosk as u64);
                // Each tenant has its own kiosk of that number.
                let gadget = uuid(key, u64::from(tenant));
                let place = Place {
                    tenant,
                    channel: Channel::Web,
                    device: Device::Kiosk,
                    anonymous: gadget,
                    phone: Uuid::default(),
                    profile: key,
                    clock: Clock::Right,
                    account: None,
                };
                return (place, None, Some(kiosk));
            }
        }
        let shares = household.people.len() > 1;
        let which = match chance {
            0..45 if shares && household.tablet_until_ms + 2 * MINUTE_MS < at => Which::Tablet,
            0..55 => Which::Laptop,
            55..63 => Which::Work,
            _ => Which::Phone,
        };
        let fate = household.random.below(100);
        let gadget = which.of(household, who);
        if which != Which::Tablet && gadget.used {
            let phone = which == Which::Phone;
            // Cookies go, applications are installed anew, phones are bought.
            if fate < if phone { 3 } else { 5 } {
                gadget.installs += 1;
                gadget.account = None;
                gadget.models += u32::from(phone && fate < 1);
            }
        }
        gadget.used = true;
        (which.place(gadget, tenant, &self.rules), Some(which), None)
    }
}

impl Task {
    /// Whether it makes an event of the person.
    fn is_event(&self) -> bool {
        !matches!(self, Self::Backend(Name::Merge, _))
    }
}

/// A device of a household.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Which {
    Tablet,
    Laptop,
    Work,
    Phone,
}

impl Which {
    fn of(self, household: &mut Household, who: usize) -> &mut Gadget {
        let Household { people, tablet, .. } = household;
        let Resident { laptop, work, phone, .. } = &mut people[who];
        match self {
            Self::Tablet => tablet,
            Self::Laptop => laptop,
            Self::Work => work,
            Self::Phone => phone,
        }
    }

    fn place(self, gadget: &Gadget, tenant: u32, rules: &Rules) -> Place {
        let phone = self == Self::Phone;
        Place {
            tenant,
            channel: if phone { Channel::Mobile } else { Channel::Web },
            device: if self == Self::Tablet { Device::Shared } else { Device::Own },
            anonymous: gadget.anonymous(gadget.installs),
            phone: if phone { gadget.device(gadget.models) } else { Uuid::default() },
            profile: gadget.profile(),
            clock: gadget.clock(rules),
            account: gadget.account,
        }
    }
}

/// The first moment from `at` on at which somebody is awake, as far as chance has it.
fn waking(random: &mut Random, at: i64) -> i64 {
    let mut at = at;
    while random.below(100) >= BUSY_PERCENT[(at.rem_euclid(DAY_MS) / HOUR_MS) as usize] {
        at += random.between(20 * MINUTE_MS, 100 * MINUTE_MS);
    }
    at
}

impl Iterator for Shop {
    type Item = Line;

    fn next(&mut self) -> Option<Line> {
        let mut bytes = Vec::with_capacity(768);
        let truth = self.next_into(&mut bytes)?;
        Some(Line { bytes, truth })
    }
}
