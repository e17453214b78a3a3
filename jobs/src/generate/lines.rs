//! Records as lines of JSON: Segment's envelope for web and mobile, a flat record for the backend.

use super::random::mix;
use super::record::{Account, Broken, Channel, Name, Record};
use super::words::{self, Write, pick};

const DAY_MS: i64 = 86_400_000;
/// 2099-12-31: where a record says so, it is broken.
const FAR_MS: i64 = 4_102_358_400_000;

/// Writes records.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lines {
    seed: u64,
    tenants: u32,
    moments: Moments,
}

/// Writes moments as RFC 3339 with milliseconds. Keeps the date of the last one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moments {
    day: i64,
    text: [u8; 24],
}

impl Moments {
    pub(super) fn new() -> Self {
        let mut this = Self { day: 0, text: *b"0000-00-00T00:00:00.000Z" };
        this.date(0);
        this
    }

    /// Adds a moment of a year from 0 to 9999.
    #[inline]
    pub(super) fn write(&mut self, at_ms: i64, out: &mut Vec<u8>) {
        let day = at_ms.div_euclid(DAY_MS);
        if day != self.day {
            self.date(day);
        }
        let ms = (at_ms - day * DAY_MS) as u32;
        let text = &mut self.text;
        put(text, 13, ms / 3_600_000);
        put(text, 16, ms / 60_000 % 60);
        put(text, 19, ms / 1000 % 60);
        put(text, 22, ms % 1000 / 10);
        text[22] = b'0' + (ms % 10) as u8;
        out.extend_from_slice(text);
    }

    fn date(&mut self, day: i64) {
        self.day = day;
        // Days are counted in years from March, so that the leap day is a year's last.
        let days = day + 719_468;
        let era = days.div_euclid(146_097);
        let day = days.rem_euclid(146_097);
        let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
        let day_of_year = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day_of_year + 2) / 153;
        let day_of_month = day_of_year - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        let year = year + era * 400 + i64::from(month <= 2);
        for (end, number) in [(2, year / 100), (4, year % 100), (7, month), (10, day_of_month)] {
            put(&mut self.text, end, number as u32);
        }
    }
}

/// Puts two digits before a place.
#[inline]
fn put(text: &mut [u8; 24], end: usize, number: u32) {
    text[end - 2] = b'0' + (number / 10) as u8;
    text[end - 1] = b'0' + (number % 10) as u8;
}

fn money(cents: i64, out: &mut Vec<u8>) {
    if cents < 0 {
        out.push(b'-');
    }
    let cents = cents.unsigned_abs();
    out.number(cents / 100);
    out.push(b'.');
    out.push(b'0' + (cents / 10 % 10) as u8);
    out.push(b'0' + (cents % 10) as u8);
}

impl Lines {
    pub(super) fn new(seed: u64, tenants: u32) -> Self {
        Self { seed, tenants, moments: Moments::new() }
    }

    /// Adds a record to `out`, without a line break.
    pub(super) fn write(&mut self, record: &Record, out: &mut Vec<u8>) {
        let start = out.len();
        match record.truth.channel {
            Channel::Backend => self.backend(record, out),
            Channel::Web | Channel::Mobile => self.envelope(record, out),
        }
        let length = out.len() - start;
        let chance = mix(record.truth.message.0 as u64) as usize;
        match record.truth.broken {
            Some(Broken::Truncated) => out.truncate(start + 1 + chance % (length - 1)),
            Some(Broken::NotText) => out[start + length / 2] = 0xff,
            _ => {}
        }
    }

    fn user_id(&self, record: &Record, account: Account, out: &mut Vec<u8>) {
        words::user_id(self.seed, record.truth.person, account, out);
    }

    fn email(&self, record: &Record, account: Account, out: &mut Vec<u8>) {
        words::email(self.seed, record.truth.person, account, out);
    }

    /// `"name":"…",` with the message id, if the record has kept it.
    fn message_id(record: &Record, name: &str, out: &mut Vec<u8>) {
        let (open, close) = match record.truth.broken {
            Some(Broken::NoId) => return,
            Some(Broken::WrongType) => ("[\"", "\"]"),
            _ => ("\"", "\""),
        };
        out.text(name);
        out.text(open);
        out.extend_from_slice(&record.truth.message.text());
        out.text(close);
        out.push(b',');
    }

    fn tenant(&self, record: &Record, out: &mut Vec<u8>) {
        if self.tenants > 1 {
            out.text("\"tenant\":\"");
            words::tenant(record.truth.tenant, out);
            out.text("\",");
        }
    }

    fn envelope(&mut self, record: &Record, out: &mut Vec<u8>) {
        let name = record.truth.name;
        out.text(match name {
            Name::Page => "{\"type\":\"page\",",
            Name::Screen => "{\"type\":\"screen\",",
            Name::Identify => "{\"type\":\"identify\",",
            _ => "{\"type\":\"track\",",
        });
        Self::message_id(record, "\"messageId\":", out);
        self.tenant(record, out);
        out.text("\"anonymousId\":\"");
        out.extend_from_slice(&record.anonymous.text());
        out.text("\",");
        if let Some(account) = record.account {
            out.text("\"userId\":\"");
            self.user_id(record, account, out);
            out.text("\",");
        }
        match name {
            Name::Page | Name::Screen => out.text("\"name\":\"Home\","),
            Name::Identify => self.traits(record, out),
            _ => {
                out.text("\"event\":\"");
                out.text(name.word());
                out.text("\",");
            }
        }
        Self::properties(record, out);
        if record.truth.channel == Channel::Web {
            self.browser(record, out);
        } else {
            self.phone(record, out);
        }
        self.times(record, out);
        out.push(b'}');
    }

    /// What an identify call tells.
    fn traits(&self, record: &Record, out: &mut Vec<u8>) {
        out.text("\"traits\":{\"name\":\"");
        words::full_name(self.seed, record.truth.person, out);
        out.text("\",\"email\":\"");
        self.email(record, record.email.unwrap_or(Account::First), out);
        out.text("\",\"newsletter\":");
        out.text(if record.truth.person.is_multiple_of(3) { "true" } else { "false" });
        out.text("},");
    }

    fn properties(record: &Record, out: &mut Vec<u8>) {
        out.text("\"properties\":{");
        match record.truth.name {
            Name::Search => {
                out.text("\"query\":\"");
                out.text(pick(&words::SEARCHES, record.subject));
                out.text("\",\"results\":");
                out.number(record.subject >> 8 & 127);
            }
            Name::Browse | Name::Cart => product(record, out),
            Name::Checkout | Name::Purchase => {
                if record.order > 0 {
                    out.text("\"order_id\":\"o_");
                    out.number(record.order);
                    out.text("\",");
                }
                out.text("\"revenue\":");
                money(record.cents, out);
                out.text(",\"currency\":\"EUR\",\"coupon\":null,\"shipping\":\"standard\"");
            }
            _ => {
                out.text("\"path\":\"/");
                out.text(pick(&words::CATEGORIES, record.subject).0);
                out.text("\",\"scroll\":");
                out.number(record.subject >> 8 & 63);
            }
        }
        out.text("},");
    }

    fn browser(&self, record: &Record, out: &mut Vec<u8>) {
        let profile = record.profile;
        let path = pick(&words::CATEGORIES, record.subject).0;
        out.text("\"context\":{\"ip\":\"198.51.100.");
        out.number(profile >> 24 & 255);
        out.text("\",\"userAgent\":\"");
        out.text(pick(&words::BROWSERS, profile));
        out.text("\",\"locale\":\"");
        out.text(pick(&words::LOCALES, profile >> 8));
        out.text("\",\"page\":{\"path\":\"/");
        out.text(path);
        out.text("\",\"url\":\"https://shop.example/");
        out.text(path);
        out.text("\",\"referrer\":\"");
        out.text(pick(&words::REFERRERS, record.subject >> 16));
        out.text("\"},\"library\":{\"name\":\"analytics.js\",\"version\":\"2.11.1\"}");
        self.typed_email(record, out);
        out.text("},");
    }

    fn phone(&self, record: &Record, out: &mut Vec<u8>) {
        let profile = record.profile;
        let (library, model, system) = pick(&words::PHONES, profile);
        out.text(
            "\"context\":{\"app\":{\"name\":\"Shop\",\"version\":\"7.3.1\",\"build\":\"7310\"},",
        );
        out.text("\"device\":{\"id\":\"");
        out.extend_from_slice(&record.device.text());
        out.text("\",");
        out.text(model);
        out.text("},\"ip\":\"203.0.113.");
        out.number(profile >> 24 & 255);
        out.text("\",\"library\":{\"name\":\"");
        out.text(library);
        out.text("\"},\"locale\":\"");
        out.text(pick(&words::LOCALES, profile >> 8));
        let wifi = record.subject & 64 == 0;
        out.text("\",\"network\":{\"wifi\":");
        out.text(if wifi { "true},\"os\":{" } else { "false},\"os\":{" });
        out.text(system);
        out.push(b'}');
        self.typed_email(record, out);
        out.text("},");
    }

    /// An address typed without logging in, as part of `context`.
    fn typed_email(&self, record: &Record, out: &mut Vec<u8>) {
        if let Some(account) = record.email.filter(|_| record.truth.name != Name::Identify) {
            out.text(",\"traits\":{\"email\":\"");
            self.email(record, account, out);
            out.text("\"}");
        }
    }

    /// The times of an envelope, last in the record.
    fn times(&mut self, record: &Record, out: &mut Vec<u8>) {
        let broken = record.truth.broken;
        if broken == Some(Broken::NoTime) {
            out.text("\"version\":2");
            return;
        }
        let stamp_ms = if broken == Some(Broken::Future) { Some(FAR_MS) } else { record.stamp_ms };
        // The field that counts is the one that is wrong.
        let bad = broken == Some(Broken::BadTime);
        if let Some(stamp_ms) = stamp_ms {
            self.time("\"timestamp\":\"", stamp_ms, bad, out);
        }
        self.time("\"originalTimestamp\":\"", record.original_ms, bad, out);
        self.time("\"sentAt\":\"", record.sent_ms, false, out);
        out.text("\"receivedAt\":\"");
        self.moments.write(record.truth.received_ms, out);
        out.push(b'"');
    }

    fn time(&mut self, name: &str, at_ms: i64, bad: bool, out: &mut Vec<u8>) {
        out.text(name);
        if bad {
            out.text("Invalid Date");
        } else {
            self.moments.write(at_ms, out);
        }
        out.text("\",");
    }

    fn backend(&self, record: &Record, out: &mut Vec<u8>) {
        out.push(b'{');
        Self::message_id(record, "\"id\":", out);
        self.tenant(record, out);
        match record.truth.name {
            Name::Merge => self.merge(record, out),
            name => self.order(record, name, out),
        }
        let received_ms = record.truth.received_ms;
        match record.truth.broken {
            Some(Broken::NoTime) => {}
            Some(Broken::BadTime) => out.text("\"at\":\"n/a\","),
            broken => {
                let far = broken == Some(Broken::Future);
                out.text("\"at\":");
                out.number(if far { FAR_MS } else { record.original_ms }.unsigned_abs());
                out.push(b',');
            }
        }
        if record.truth.broken != Some(Broken::NoTime) {
            out.text("\"exported_at\":");
            out.number(received_ms.unsigned_abs());
            out.push(b',');
        }
        out.text("\"source\":\"erp-2\",\"schema\":4}");
    }

    fn order(&self, record: &Record, name: Name, out: &mut Vec<u8>) {
        out.text("\"kind\":\"");
        out.text(name.word());
        out.text("\",\"customer\":");
        if let Some(account) = record.account {
            out.push(b'"');
            self.user_id(record, account, out);
            out.text("\",\"email\":");
        } else {
            out.text("null,\"email\":");
        }
        match record.email {
            Some(account) => {
                out.push(b'"');
                self.email(record, account, out);
                out.push(b'"');
            }
            None => out.text("null"),
        }
        // Only the purchase itself is the fact that the trackers report too.
        out.text(match name {
            Name::Purchase => ",\"order_id\":\"o_",
            Name::Refund => ",\"refund_of\":\"o_",
            _ => ",\"parcel_for\":\"o_",
        });
        out.number(record.order);
        out.push(b'"');
        if name != Name::Shipped {
            out.text(",\"amount\":");
            money(record.cents, out);
            out.text(",\"currency\":\"EUR\"");
        }
        out.text(",\"warehouse\":\"");
        out.text(pick(&["BER-2", "LYS-1", "PRG-4"], record.order));
        out.text("\",");
    }

    fn merge(&self, record: &Record, out: &mut Vec<u8>) {
        out.text("\"type\":\"merge\",\"identifiers\":[{\"type\":\"user_id\",\"value\":\"");
        self.user_id(record, Account::First, out);
        out.text("\"},{\"type\":\"user_id\",\"value\":\"");
        self.user_id(record, Account::Second, out);
        out.text("\"}],\"agent\":\"support\",");
    }
}

fn product(record: &Record, out: &mut Vec<u8>) {
    let product = record.subject % words::PRODUCTS;
    let (category, goods) = pick(&words::CATEGORIES, record.subject);
    out.text("\"product_id\":\"p_");
    out.number(product);
    out.text("\",\"name\":\"");
    out.text(pick(&goods, product / words::CATEGORIES.len() as u64));
    out.text("\",\"category\":\"");
    out.text(category);
    out.text("\",\"price\":");
    money(words::cents(record.subject), out);
    out.text(",\"currency\":\"EUR\",\"quantity\":1");
}
