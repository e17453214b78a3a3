//! A record that waits for its arrival, and what is true about it.

use std::fmt;

use operators::model::Reason;

/// Which tracker a record comes from.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Channel {
    /// A browser.
    Web,
    /// The app on a phone.
    Mobile,
    /// The shop's own systems, with records of another form.
    Backend,
}

impl Channel {
    /// Every channel, in the order of [`Channel::index`].
    pub const ALL: [Self; 3] = [Self::Web, Self::Mobile, Self::Backend];

    /// The word in the job file, and the folder of its files.
    pub fn word(self) -> &'static str {
        match self {
            Self::Web => "web",
            Self::Mobile => "mobile",
            Self::Backend => "backend",
        }
    }

    /// Place in [`Channel::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }
}

/// What an event is called.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[expect(missing_docs, reason = "the words of a shop")]
pub enum Name {
    Page,
    Screen,
    Identify,
    Search,
    Browse,
    Cart,
    Checkout,
    Purchase,
    Logout,
    Shipped,
    Refund,
    /// Not an event of a person: support joins two accounts.
    Merge,
}

impl Name {
    /// The word in the `events` table.
    pub fn word(self) -> &'static str {
        match self {
            Self::Page => "page",
            Self::Screen => "screen",
            Self::Identify => "identify",
            Self::Search => "search",
            Self::Browse => "browse",
            Self::Cart => "cart",
            Self::Checkout => "checkout",
            Self::Purchase => "purchase",
            Self::Logout => "logout",
            Self::Shipped => "shipped",
            Self::Refund => "refund",
            Self::Merge => "merge",
        }
    }
}

/// Who uses the device that a record comes from.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Device {
    /// One person.
    Own,
    /// The two people of a household.
    Shared,
    /// Anybody: it stands in a store.
    Kiosk,
    /// No device: the backend.
    None,
}

impl Device {
    /// The word in the truth.
    pub fn word(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Shared => "shared",
            Self::Kiosk => "kiosk",
            Self::None => "none",
        }
    }
}

/// Which of several records of one event this is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Copy {
    /// The first that was sent.
    Original,
    /// The very same bytes again.
    Redelivered,
    /// The same id with other times.
    Restamped,
}

impl Copy {
    /// The word in the truth.
    pub fn word(self) -> &'static str {
        match self {
            Self::Original => "original",
            Self::Redelivered => "redelivered",
            Self::Restamped => "restamped",
        }
    }
}

/// In which way a record can't be used.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Broken {
    /// Cut off somewhere.
    Truncated,
    /// A byte that is not UTF-8.
    NotText,
    /// A list as message id.
    WrongType,
    /// No message id.
    NoId,
    /// No time.
    NoTime,
    /// A time that is none.
    BadTime,
    /// A time far in the future.
    Future,
}

impl Broken {
    /// Every way.
    pub const ALL: [Self; 7] = [
        Self::Truncated,
        Self::NotText,
        Self::WrongType,
        Self::NoId,
        Self::NoTime,
        Self::BadTime,
        Self::Future,
    ];

    /// The reason of the dead letter that the record becomes.
    pub fn reason(self) -> Reason {
        match self {
            Self::Truncated | Self::NotText => Reason::Malformed,
            Self::WrongType => Reason::BadField,
            Self::NoId => Reason::MissingMessageId,
            Self::NoTime => Reason::MissingTime,
            Self::BadTime => Reason::BadTime,
            Self::Future => Reason::TooEarly,
        }
    }
}

/// A 128-bit id in the form of a UUID.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Uuid(pub u128);

/// A number as 16 digits of lower-case hexadecimal.
pub(super) fn hex(number: u64) -> [u8; 16] {
    /// The same in each byte.
    const fn each(byte: u8) -> u128 {
        u128::from_ne_bytes([byte; 16])
    }
    // Each half byte gets a byte of its own, in four steps of halving.
    let mut x = u128::from(number);
    x = (x | x << 32) & 0x0000_0000_ffff_ffff_0000_0000_ffff_ffff;
    x = (x | x << 16) & 0x0000_ffff_0000_ffff_0000_ffff_0000_ffff;
    x = (x | x << 8) & 0x00ff_00ff_00ff_00ff_00ff_00ff_00ff_00ff;
    x = (x | x << 4) & each(0x0f);
    // Those from ten on come after a gap in ASCII. No byte runs over.
    let letters = ((x + each(6)) >> 4) & each(1);
    (x + each(b'0') + letters * u128::from(b'a' - b'0' - 10)).to_be_bytes()
}

impl Uuid {
    /// As text, in lower case.
    pub fn text(self) -> [u8; 36] {
        let (high, low) = (hex((self.0 >> 64) as u64), hex(self.0 as u64));
        let mut text = [b'-'; 36];
        text[..8].copy_from_slice(&high[..8]);
        text[9..13].copy_from_slice(&high[8..12]);
        text[14..18].copy_from_slice(&high[12..]);
        text[19..23].copy_from_slice(&low[..4]);
        text[24..].copy_from_slice(&low[4..]);
        text
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.text()))
    }
}

/// What is true about a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Truth {
    /// Where it comes from.
    pub channel: Channel,
    /// Its message id, also where the record has lost it.
    pub message: Uuid,
    /// Number of the tenant, from 0.
    pub tenant: u32,
    /// Who did it.
    pub person: u64,
    /// Number of the person's session, from 1: a new one begins after more than 30 minutes without
    /// an event. 0 for a merge, which is no event of a person.
    pub session: u32,
    /// What happened.
    pub name: Name,
    /// When it happened, in milliseconds since 1970.
    pub true_ms: i64,
    /// When it happened by the record; other than `true_ms` by the time on the network, or by hours
    /// where a device puts the time of a wrong clock into `timestamp`. Of a broken record, what it
    /// would say.
    pub event_ms: i64,
    /// When it arrived.
    pub received_ms: i64,
    /// Who uses the device.
    pub device: Device,
    /// Which of several records of one event it is.
    pub copy: Copy,
    /// In which way it can't be used.
    pub broken: Option<Broken>,
}

impl Truth {
    /// A record that comes this long after its event is late: the `disorder` of the job file.
    pub const LATE_MS: i64 = 2 * 3_600_000;

    /// Whether it came late.
    pub fn late(&self) -> bool {
        self.received_ms - self.true_ms > Self::LATE_MS
    }
}

/// Which of a person's accounts, and of the addresses that go with them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum Account {
    First,
    Second,
}

/// A record before it is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    pub(super) truth: Truth,
    /// Logged in as.
    pub(super) account: Option<Account>,
    /// Whose address the record has.
    pub(super) email: Option<Account>,
    /// Cookie or installation.
    pub(super) anonymous: Uuid,
    /// The phone.
    pub(super) device: Uuid,
    /// Decides what the device is like.
    pub(super) profile: u64,
    /// Decides what the event is about.
    pub(super) subject: u64,
    /// Order number, 0 for none.
    pub(super) order: u64,
    pub(super) cents: i64,
    /// By the clock of the device.
    pub(super) original_ms: i64,
    /// By the clock of the device.
    pub(super) sent_ms: i64,
    /// `timestamp`, where the device gives one.
    pub(super) stamp_ms: Option<i64>,
}

impl Record {
    /// The time that a decoder finds.
    pub(super) fn event_ms(&self) -> i64 {
        match (self.stamp_ms, self.truth.channel) {
            (Some(stamp), _) => stamp,
            (None, Channel::Backend) => self.original_ms,
            (None, _) => self.truth.received_ms - (self.sent_ms - self.original_ms),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_written_as_they_are_read() {
        for number in [0, 1, 9, 10, 0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210, u64::MAX] {
            assert_eq!(String::from_utf8_lossy(&hex(number)), format!("{number:016x}"));
        }
        let uuid = Uuid(0x0011_2233_4455_4667_8899_aabb_ccdd_eeff);
        assert_eq!(uuid.to_string(), "00112233-4455-4667-8899-aabbccddeeff");
    }
}
