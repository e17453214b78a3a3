//! Where people visit from.

use super::household::{Clock, Gadget, Household};
use super::options::Rules;
use super::outbox::uuid;
use super::random::{mix, mix2};
use super::record::{Account, Channel, Device, Uuid};
use super::visit::Outcome;

/// The device of a visit, as its tracker sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) tenant: u32,
    pub(super) channel: Channel,
    pub(super) device: Device,
    pub(super) anonymous: Uuid,
    /// The phone's id.
    pub(super) phone: Uuid,
    /// Decides what the device is like.
    pub(super) profile: u64,
    pub(super) clock: Clock,
    /// Who is logged in.
    pub(super) account: Option<Account>,
}

/// Where a person visits from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Spot {
    /// The device that a household shares.
    Tablet,
    /// The browser at home.
    Laptop,
    /// Another browser.
    Work,
    /// The application.
    Phone,
    /// A kiosk of this number.
    Kiosk(usize),
}

impl Spot {
    fn gadget(self, household: &mut Household, who: usize) -> Option<&mut Gadget> {
        let person = &mut household.people[who];
        Some(match self {
            Self::Tablet => &mut household.tablet,
            Self::Laptop => &mut person.laptop,
            Self::Work => &mut person.work,
            Self::Phone => &mut person.phone,
            Self::Kiosk(_) => return None,
        })
    }

    /// A visit begins there.
    pub(super) fn enter(self, household: &mut Household, who: usize, rules: &Rules) -> Place {
        let tenant = household.tenant;
        let fate = household.random.below(100);
        let (phone, shared) = (self == Self::Phone, self == Self::Tablet);
        let Some(gadget) = self.gadget(household, who) else { return self.kiosk(tenant, rules) };
        // Cookies go, applications are installed anew, phones are bought.
        if gadget.used && !shared && fate < if phone { 3 } else { 5 } {
            gadget.installs += 1;
            gadget.models += u32::from(phone && fate < 1);
            gadget.account = None;
        }
        gadget.used = true;
        Place {
            tenant,
            channel: if phone { Channel::Mobile } else { Channel::Web },
            device: if shared { Device::Shared } else { Device::Own },
            anonymous: gadget.anonymous(gadget.installs),
            phone: if phone { gadget.device(gadget.models) } else { Uuid::default() },
            profile: mix(gadget.key.wrapping_add(u64::from(gadget.models))),
            clock: gadget.clock(rules),
            account: gadget.account,
        }
    }

    fn kiosk(self, tenant: u32, rules: &Rules) -> Place {
        let number = if let Self::Kiosk(number) = self { number as u64 } else { 0 };
        let key = mix2(mix2(rules.seed, 8), number);
        Place {
            tenant,
            channel: Channel::Web,
            device: Device::Kiosk,
            // Each tenant has a kiosk of that number.
            anonymous: uuid(key, u64::from(tenant)),
            phone: Uuid::default(),
            profile: key,
            clock: Clock::Right,
            account: None,
        }
    }

    /// A visit there is over. An own device remembers a login, most times.
    pub(super) fn leave(self, household: &mut Household, who: usize, outcome: &Outcome) {
        let remembered = household.random.percent(80) && self != Self::Tablet;
        if let Some(gadget) = self.gadget(household, who) {
            gadget.account = outcome.account.filter(|_| remembered);
        }
        if self == Self::Tablet {
            household.tablet_until_ms = outcome.until_ms;
        }
    }
}
