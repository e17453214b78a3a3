//! Random histories: events, copies of them and commands, as JSON.

use operators::identity::testing::Seeded;

/// The part of a job that such histories are for: all after its sources. Nothing is too late or too
/// early.
pub const RULES: &str = r#"
[time]
disorder = "36500d"
admit = "36500d"
future = "36500d"
ids = "36500d"
history = "36500d"
[dedup]
business_key = "properties.order"
strongest = ["backend"]
[identity]
cluster_max = 5
[[identity.type]]
name = "user_id"
from = ["userId"]
rank = 0
[[identity.type]]
name = "email"
from = ["traits.email"]
rank = 1
owners_max = 2
[[identity.type]]
name = "anonymous_id"
from = ["anonymousId"]
rank = 2
degree_max = 3
owners_max = 3
forward = "2h"
back = "3h"
[[identity.type]]
name = "device"
from = ["context.device.id"]
rank = 2
own = "last"
[[view]]
kind = "sessions"
[[view]]
kind = "trend"
name = "price"
metric = "sum"
property = "price"
breakdown = "channel"
[[view]]
kind = "trend"
name = "people"
metric = "people"
period = "week"
[[view]]
kind = "funnel"
name = "buy"
steps = [{ event = "see" }, { event = "cart" }, { event = "buy" }]
funnelWindowInterval = 3
funnelWindowIntervalUnit = "hour"
"#;

fn record(random: &mut Seeded, number: u64) -> String {
    let at = 1_760_000_000_000_000 + random.below(400) as i64 * 97_000_000;
    let at = jiff::Timestamp::from_microsecond(at).unwrap();
    let user = random.below(5);
    let pick = |random: &mut Seeded| match random.below(3) {
        0 => format!(r#"{{"type":"user_id","value":"u{}"}}"#, random.below(5)),
        1 => format!(r#"{{"type":"email","value":"e{}"}}"#, random.below(6)),
        _ => format!(r#"{{"type":"anonymous_id","value":"a{}"}}"#, random.below(12)),
    };
    let mut fields = vec![format!(r#""messageId":"m{number}","timestamp":"{at}""#)];
    match random.below(24) {
        0 => fields.push(format!(
            r#""type":"merge","identifiers":[{},{}]"#,
            pick(random),
            pick(random)
        )),
        1 => fields.push(format!(
            r#""type":"unmerge","identifiers":[{},{}]"#,
            pick(random),
            pick(random)
        )),
        2 => {
            let previous = random.below(12);
            fields.push(format!(r#""type":"alias","userId":"u{user}","previousId":"a{previous}""#));
        }
        _ => {
            fields.push(format!(r#""event":"{}""#, random.pick(&["see", "cart", "buy", "page"])));
            if random.once_in(4) {
                fields.push(format!(r#""userId":"u{user}""#));
            }
            if random.once_in(5) {
                fields.push(format!(r#""traits":{{"email":"e{}"}}"#, random.below(6)));
            }
            if !random.once_in(6) {
                fields.push(format!(r#""anonymousId":"a{}""#, random.below(12)));
            }
            if random.once_in(4) {
                fields.push(format!(r#""context":{{"device":{{"id":"d{}"}}}}"#, random.below(3)));
            }
            let order = random.once_in(6).then(|| format!(r#","order":"o{}""#, random.below(4)));
            let price = random.below(100) as f64 / 8.0;
            let order = order.unwrap_or_default();
            fields.push(format!(r#""properties":{{"price":{price}{order}}}"#));
        }
    }
    format!("{{{}}}\n", fields.join(","))
}

/// A record as it would be if it had happened so many days later.
///
/// # Panics
///
/// It is none of [`records`].
pub fn later(record: &str, days: i64) -> String {
    let stamp = "\"timestamp\":\"";
    let (before, after) = record.split_once(stamp).unwrap();
    let (time, rest) = after.split_once('"').unwrap();
    let time =
        time.parse::<jiff::Timestamp>().unwrap() + jiff::SignedDuration::from_hours(24 * days);
    format!("{before}{stamp}{time}\"{rest}")
}

/// Records of two channels, those of the backend marked: late, doubled, stamped anew, in any order;
/// with people who are found to be one, or two.
pub fn records(random: &mut Seeded, count: u64) -> Vec<(bool, String)> {
    let mut all: Vec<(bool, String)> = Vec::new();
    for number in 0..count {
        match random.below(12) {
            0 if !all.is_empty() => {
                let again = all[random.below(all.len() as u64) as usize].clone();
                all.push(again);
            }
            1 if number > 0 => {
                // The id of an earlier message with other content.
                let earlier = random.below(number);
                all.push((random.once_in(2), record(random, earlier)));
            }
            _ => all.push((random.once_in(3), record(random, number))),
        }
    }
    for place in (1..all.len()).rev() {
        all.swap(place, random.below(place as u64 + 1) as usize);
    }
    all
}
