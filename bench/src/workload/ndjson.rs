//! Web events as JSON lines in Segment's envelope, 400 to 700 bytes each.

use std::fmt::Write as _;

use operators::identity::testing::Seeded;

/// The first event's time: 2026-01-01, in seconds since 1970.
const BEGIN_S: u64 = 1_767_225_600;

const NAMES: [&str; 6] =
    ["Page Viewed", "catalog", "Product Viewed", "cart", "Checkout Started", "payment_done"];
const PATHS: [&str; 5] = ["/", "/shoes", "/shoes/runner-7", "/cart", "/checkout"];
const AGENT: &str = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
                     Chrome/126.0.0.0 Safari/537.36";

/// A stream of events of many people, one event a second on average, of one of some tenants each.
pub struct Lines {
    random: Seeded,
    people: u64,
    tenants: u64,
    at_ms: u64,
    number: u64,
}

impl Lines {
    /// `people` people of `tenants` tenants.
    pub fn new(seed: u64, people: u64, tenants: u64) -> Self {
        Self {
            random: Seeded(seed),
            people: people.max(1),
            tenants: tenants.max(1),
            at_ms: BEGIN_S * 1000,
            number: 0,
        }
    }

    /// Writes the next event, without a line end.
    pub fn next(&mut self, out: &mut String) {
        let random = &mut self.random;
        self.number += 1;
        self.at_ms += random.below(2_000);
        let person = random.below(self.people);
        let device = person * 4 + random.below(3);
        // One event in 50 is late by up to an hour.
        let late_ms = if random.once_in(50) { random.below(3_600_000) } else { 0 };
        let time = stamp(self.at_ms - late_ms);
        let sent = stamp(self.at_ms + 40);
        let received = stamp(self.at_ms + 120 + random.below(900));
        let name = NAMES[(random.below(6) * random.below(6) / 6) as usize];
        let path = random.pick(&PATHS);
        let id = random.bits();
        // Writing to a string can't fail.
        let _ = write!(
            out,
            "{{\"type\":\"track\",\"messageId\":\"ajs-{id:016x}-{}\",\
             \"anonymousId\":\"{device:08x}-77aa-4c1e-9b5d-{:012x}\",",
            self.number,
            device * 7919
        );
        if random.once_in(3) {
            let _ = write!(out, "\"userId\":\"user-{person}\",");
        }
        if self.tenants > 1 {
            let _ = write!(out, "\"tenant\":\"shop-{}\",", person % self.tenants);
        }
        let _ = write!(
            out,
            "\"event\":\"{name}\",\"properties\":{{\"path\":\"{path}\",\"price\":{}.{:02},\
             \"currency\":\"EUR\",\"quantity\":{},\"sku\":\"SKU-{}\"}},\
             \"context\":{{\"library\":{{\"name\":\"analytics.js\",\"version\":\"2.11.1\"}},\
             \"page\":{{\"path\":\"{path}\",\"url\":\"https://shop.example{path}\"}},\
             \"userAgent\":\"{AGENT}\",\"locale\":\"de-DE\"}},\
             \"originalTimestamp\":\"{time}\",\"sentAt\":\"{sent}\",\"receivedAt\":\"{received}\",\
             \"timestamp\":\"{time}\"}}",
            random.below(200),
            random.below(100),
            1 + random.below(4),
            random.below(5_000),
        );
    }
}

/// RFC 3339 with milliseconds, for the years from 1970 on (days to civil date after Hinnant).
fn stamp(ms: u64) -> String {
    let (days, rest) = (ms / 86_400_000, ms % 86_400_000);
    let shifted = days + 719_468;
    let (era, day) = (shifted / 146_097, shifted % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let (s, ms) = (rest / 1000, rest % 1000);
    format!(
        "{:04}-{month:02}-{of_month:02}T{:02}:{:02}:{:02}.{ms:03}Z",
        era * 400 + year + carry,
        s / 3600,
        s / 60 % 60,
        s % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_are_dates() {
        assert_eq!(stamp(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(stamp(951_782_400_123), "2000-02-29T00:00:00.123Z");
        assert_eq!(stamp(BEGIN_S * 1000 + 86_399_999), "2026-01-01T23:59:59.999Z");
    }

    #[test]
    fn lines_are_json_of_the_usual_size() {
        let mut lines = Lines::new(1, 100, 3);
        for _ in 0..200 {
            let mut text = String::new();
            lines.next(&mut text);
            assert!((400..=800).contains(&text.len()), "{}", text.len());
            let value: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert!(value["messageId"].is_string() && value["context"]["page"].is_object());
        }
    }
}
