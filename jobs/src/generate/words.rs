//! What names, goods and devices there are.

use super::random::{mix, mix2};
use super::record::{Account, hex};

/// A way to write into a line.
pub(super) trait Write {
    fn text(&mut self, text: &str);
    fn number(&mut self, number: u64);
    /// Lower-case hexadecimal, 16 digits.
    fn hex(&mut self, number: u64);
}

impl Write for Vec<u8> {
    #[inline]
    fn text(&mut self, text: &str) {
        self.extend_from_slice(text.as_bytes());
    }

    #[inline]
    fn number(&mut self, number: u64) {
        self.text(itoa::Buffer::new().format(number));
    }

    #[inline]
    fn hex(&mut self, number: u64) {
        self.extend_from_slice(&hex(number));
    }
}

/// One of a list, by a number.
pub(super) fn pick<T: Copy>(list: &[T], number: u64) -> T {
    list[(number % list.len() as u64) as usize]
}

/// The name of a tenant, if there are several.
pub(super) fn tenant(number: u32, out: &mut Vec<u8>) {
    out.text("tenant-");
    out.number(u64::from(number) + 1);
}

/// The user id of an account. No two accounts have the same.
pub(super) fn user_id(seed: u64, person: u64, account: Account, out: &mut Vec<u8>) {
    let number = person.wrapping_mul(2).wrapping_add(account as u64);
    out.text("u_");
    out.hex(mix(number.wrapping_add(mix2(seed, 7))));
}

/// The address of an account. No two accounts have the same.
pub(super) fn email(seed: u64, person: u64, account: Account, out: &mut Vec<u8>) {
    let bits = mix2(seed, person);
    out.text(pick(&GIVEN_NAMES, bits).0);
    out.push(b'.');
    out.text(pick(&FAMILY_NAMES, bits >> 16).0);
    out.number(person);
    let host = match account {
        Account::First => pick(&["mail.example", "post.example", "inbox.example"], bits >> 32),
        Account::Second => "work.example",
    };
    out.push(b'@');
    out.text(host);
}

/// The name that a person gives, as JSON text without quotes.
pub(super) fn full_name(seed: u64, person: u64, out: &mut Vec<u8>) {
    let bits = mix2(seed, person);
    out.text(pick(&GIVEN_NAMES, bits).1);
    out.push(b' ');
    out.text(pick(&FAMILY_NAMES, bits >> 16).1);
}

/// Price of a product.
pub(super) fn cents(subject: u64) -> i64 {
    let product = subject % PRODUCTS;
    (mix(product) % 199) as i64 * 50 + 495
}

/// Different products.
pub(super) const PRODUCTS: u64 = 4800;

/// In an address, and as written.
pub(super) const GIVEN_NAMES: [(&str, &str); 16] = [
    ("ada", "Ada"),
    ("joerg", "Jörg"),
    ("mei", "Mei"),
    ("lukas", "Lukas"),
    ("zoe", "Zoë"),
    ("amara", "Amara"),
    ("pavel", "Pavel"),
    ("ines", "Inês"),
    ("noah", "Noah"),
    ("sofia", "Sofía"),
    ("yuki", "Yuki"),
    ("omar", "Omar"),
    ("freja", "Freja"),
    ("priya", "Priya"),
    ("tomas", "Tomáš"),
    ("lea", "Léa"),
];

/// In an address, and as written. One has a quote that JSON must escape.
pub(super) const FAMILY_NAMES: [(&str, &str); 16] = [
    ("mueller", "Müller"),
    ("silva", "Silva"),
    ("tanaka", "田中"),
    ("novak", "Novák"),
    ("okafor", "Okafor"),
    ("larsen", "Larsen"),
    ("rossi", "Rossi"),
    ("dubois", "Dubois"),
    ("oconnor", "O'Connor"),
    ("ivanova", "Ivanova"),
    ("garcia", "García"),
    ("khan", "Khan"),
    ("smith", "Smith"),
    ("kowalska", "Kowalska"),
    ("vandermeer", "van der \\\"Meer\\\""),
    ("yilmaz", "Yılmaz"),
];

/// Category in a path, and the kinds of things in it.
pub(super) const CATEGORIES: [(&str, [&str; 4]); 8] = [
    ("shirts", ["Linen shirt", "Polo shirt", "Oxford shirt", "Flannel shirt"]),
    ("shoes", ["Running shoes", "Leather boots", "Sandals", "Sneakers"]),
    ("kitchen", ["Cast-iron pan", "Chef's knife", "Café press", "Mixing bowl"]),
    ("books", ["Cookbook", "Crime novel", "Atlas", "Poems"]),
    ("garden", ["Watering can", "Secateurs", "Seed set", "Rose fertiliser"]),
    ("toys", ["Wooden train", "Puzzle 1000", "Kite", "Board game"]),
    ("lamps", ["Desk lamp", "Floor lamp", "String lights", "Lantern 12\\\""]),
    ("bags", ["Backpack 25 l", "Tote bag", "Suitcase", "Messenger bag"]),
];

pub(super) const SEARCHES: [&str; 12] = [
    "linen shirt",
    "gift for dad",
    "running shoes 42",
    "desk lamp",
    "rain jacket",
    "café press",
    "wooden toys 3 years",
    "backpack",
    "crime novel",
    "rose fertiliser",
    "cast iron pan",
    "blue sneakers",
];

/// User agents.
pub(super) const BROWSERS: [&str; 8] = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) \
     Chrome/143.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) \
     Version/19.1 Safari/605.1.15",
    "Mozilla/5.0 (X11; Linux x86_64; rv:146.0) Gecko/20100101 Firefox/146.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:146.0) Gecko/20100101 Firefox/146.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) \
     Chrome/143.0.0.0 Safari/537.36 Edg/143.0.0.0",
    "Mozilla/5.0 (iPad; CPU OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
     Version/19.1 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) \
     Chrome/143.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) \
     Chrome/143.0.0.0 Safari/537.36",
];

/// Library, device and system of a phone, as parts of `context`.
pub(super) const PHONES: [(&str, &str, &str); 6] = [
    (
        "analytics-swift\",\"version\":\"1.9.1",
        "\"manufacturer\":\"Apple\",\"model\":\"iPhone17,1\",\"type\":\"ios\"",
        "\"name\":\"iOS\",\"version\":\"19.2\"",
    ),
    (
        "analytics-swift\",\"version\":\"1.9.1",
        "\"manufacturer\":\"Apple\",\"model\":\"iPhone14,5\",\"type\":\"ios\"",
        "\"name\":\"iOS\",\"version\":\"18.7\"",
    ),
    (
        "analytics-kotlin\",\"version\":\"1.21.0",
        "\"manufacturer\":\"Google\",\"model\":\"Pixel 10\",\"type\":\"android\"",
        "\"name\":\"Android\",\"version\":\"16\"",
    ),
    (
        "analytics-kotlin\",\"version\":\"1.21.0",
        "\"manufacturer\":\"samsung\",\"model\":\"SM-S931B\",\"type\":\"android\"",
        "\"name\":\"Android\",\"version\":\"16\"",
    ),
    (
        "analytics-kotlin\",\"version\":\"1.20.3",
        "\"manufacturer\":\"Xiaomi\",\"model\":\"23127PN0CG\",\"type\":\"android\"",
        "\"name\":\"Android\",\"version\":\"15\"",
    ),
    (
        "analytics-swift\",\"version\":\"1.9.1",
        "\"manufacturer\":\"Apple\",\"model\":\"iPhone13,2\",\"type\":\"ios\"",
        "\"name\":\"iOS\",\"version\":\"18.5\"",
    ),
];

pub(super) const LOCALES: [&str; 8] =
    ["de-DE", "en-GB", "fr-FR", "en-US", "es-ES", "pt-BR", "ja-JP", "de-AT"];

pub(super) const REFERRERS: [&str; 6] = [
    "",
    "https://www.google.com/",
    "https://shop.example/",
    "https://news.example/gifts-2026",
    "https://www.instagram.com/",
    "https://shop.example/search",
];
