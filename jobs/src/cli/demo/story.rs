//! Two people of the demo, who turn out to be one: what they do, and what comes to light.

use std::io;
use std::path::Path;

use jiff::Timestamp;
use operators::model::{DAY, Micros, SECOND, Secret, Token};
use serde_json::{Value, json};

const USER: &str = "ada";
const LAPTOP: &str = "ada-laptop-cookie";
const HOUR: Micros = 3600 * SECOND;

/// When the story happens, and who is in it.
pub(super) struct Story {
    /// Midnight of the last day but one of the data, UTC.
    pub(super) yesterday: Micros,
    /// Tokens of the user id and of the laptop's cookie.
    pub(super) user: Token,
    pub(super) laptop: Token,
}

impl Story {
    /// `last_event` is the time of the data's last event.
    pub(super) fn new(last_event: Timestamp) -> Self {
        let last = last_event.as_microsecond().div_euclid(DAY) * DAY;
        // The job names no secret of its own, so its name is the key.
        let secret = Secret::new("shop");
        Self {
            yesterday: last - DAY,
            user: secret.token("user_id", USER),
            laptop: secret.token("anonymous_id", LAPTOP),
        }
    }

    fn at(&self, minutes: i64) -> String {
        let moment = self.yesterday + 19 * HOUR + minutes * 60 * SECOND;
        Timestamp::from_microsecond(moment).map_or_else(|_| String::new(), |t| t.to_string())
    }

    /// A laptop fills a cart; a phone on which Ada is logged in buys.
    pub(super) fn yesterday(&self, dir: &Path) -> io::Result<()> {
        let web = |id: &str, event: &str, minutes| {
            json!({
                "type": "track", "messageId": id, "anonymousId": LAPTOP, "event": event,
                "timestamp": self.at(minutes),
            })
        };
        let lines =
            [web("ada-1", "browse", 0), web("ada-2", "cart", 4), web("ada-3", "checkout", 6)];
        put(dir, "web/ada-1-yesterday.ndjson", &lines)?;
        let bought = json!({
            "type": "track", "messageId": "ada-4", "userId": USER, "event": "purchase",
            "timestamp": self.at(95),
            "properties": { "order_id": "ada-order", "revenue": 59.9 },
        });
        put(dir, "mobile/ada-1-yesterday.ndjson", &[bought])
    }

    /// The login that comes late.
    pub(super) fn login_record(&self) -> Value {
        json!({
            "type": "identify", "messageId": "ada-5", "anonymousId": LAPTOP, "userId": USER,
            "timestamp": self.at(7),
        })
    }

    pub(super) fn login(&self, dir: &Path) -> io::Result<()> {
        put(dir, "web/ada-2-login.ndjson", &[self.login_record()])
    }

    /// The command that takes it back.
    pub(super) fn unmerge_record(&self) -> Value {
        let user = json!({ "type": "user_id", "value": USER });
        let laptop = json!({ "type": "anonymous_id", "value": LAPTOP });
        json!({
            "type": "unmerge", "messageId": "ada-6", "timestamp": self.at(300),
            "identifiers": [user, laptop],
        })
    }

    pub(super) fn unmerge(&self, dir: &Path) -> io::Result<()> {
        put(dir, "web/ada-3-unmerge.ndjson", &[self.unmerge_record()])
    }
}

fn put(dir: &Path, name: &str, records: &[Value]) -> io::Result<()> {
    let path = dir.join(name);
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let lines: String = records.iter().map(|record| format!("{record}\n")).collect();
    std::fs::write(path, lines)
}
