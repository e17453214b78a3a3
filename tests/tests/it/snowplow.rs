//! A web tracker's events, and the users and sessions that its own model derives from them.
//!
//! The model's user is a cookie (`domain_userid`), so the job here knows cookies alone. The model's
//! session is what the tracker calls one (`domain_sessionid`), ours ends by a gap of 30 minutes.
//! Eleven of the model's 18 sessions are ours too, with the same start, end and number of events.
//! A session that begins with a page ping begins, in the model, five seconds before it: for as long
//! the page was seen. What can't be compared, by the name that the data gives to the case:
//!
//! - `long session`: days without an event, one session to the tracker;
//! - `Rotating domain_userid per session`: one session of three cookies;
//! - `Multiple first sessions per user`, `Multiple last sessions per user`: two sessions at once;
//! - `NULL domain_userid`: an event without an identifier is nobody's;
//! - `Unexpired session`: the model has left out the event that came eight months later, so the
//!   user's end differs. The session is the same.
//!
//! The model also drops what came three days after it was made, what has no session id, and another
//! application's events (`consent_accel`): they are people and sessions here.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use operators::model::{Cell, Micros, SECOND};

use crate::support::{Job, data, text, unpacked};

/// A line of one of the files, by column.
type Line = BTreeMap<String, String>;

fn lines(name: &str) -> Vec<Line> {
    let text = unpacked(&format!("snowplow-web/{name}.csv.gz"));
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    reader.deserialize().map(Result::unwrap).collect()
}

fn micros(written: &str) -> Micros {
    let civil: DateTime = written.parse().unwrap();
    TimeZone::UTC.to_timestamp(civil).unwrap().as_microsecond()
}

fn job(identity: &str) -> Job {
    Job::new(&format!(
        r#"
[job]
name = "snowplow"
out = "out"

[[source]]
name = "tracker"
connector = "file"
path = "{}"
channel = "web"
[source.fields]
messageId = "event_id"
event = "event_name"
userId = "user_id"
anonymousId = "domain_userid"
timestamp = {{ field = "derived_tstamp", format = "naive", zone = "UTC" }}
receivedAt = {{ field = "collector_tstamp", format = "naive", zone = "UTC" }}

[time]
admit = "4000d"
ids = "4000d"
history = "4000d"

{identity}

[[view]]
kind = "sessions"
"#,
        data("snowplow-web/events.csv.gz").display()
    ))
}

const COOKIES: &str = r#"
[[identity.type]]
name = "cookie"
from = ["anonymousId"]
rank = 0
"#;

/// The person of each cookie.
fn people(job: &Job, events: &[Line]) -> BTreeMap<String, Cell> {
    let rows = job.table("events").select(&["message_id", "person_id"]);
    let of: BTreeMap<&str, &Cell> = rows.iter().map(|row| (text(&row[0]), &row[1])).collect();
    let people = events.iter().filter(|e| !e["domain_userid"].is_empty());
    people.map(|e| (e["domain_userid"].clone(), of[&*e["event_id"]].clone())).collect()
}

#[test]
fn sessions_that_are_comparable_are_the_same() {
    let other = [
        "long session",
        "Rotating domain_userid per session",
        "Multiple first sessions per user",
        "Multiple last sessions per user",
        "NULL domain_userid",
    ];
    let job = job(COOKIES);
    job.run(2, 20);
    let events = lines("events");
    let people = people(&job, &events);
    let rows =
        job.table("sessions").select(&["person_id", "start", "end", "events", "entry_event"]);
    let mut compared = 0;
    for session in lines("sessions_expected") {
        if other.contains(&&*session["user_id"]) {
            continue;
        }
        let person = &people[&session["domain_userid"]];
        let end = Cell::Time(micros(&session["end_tstamp"]));
        let found: Vec<_> = rows.iter().filter(|r| r[0] == *person && r[2] == end).collect();
        assert_eq!(found.len(), 1, "{session:#?}");
        let ping = text(&found[0][4]) == "page_ping";
        let start = micros(&session["start_tstamp"]) + if ping { 5 * SECOND } else { 0 };
        let count = session["total_events"].parse().unwrap();
        assert_eq!(found[0][1], Cell::Time(start), "{session:#?}");
        assert_eq!(found[0][3], Cell::Int(count), "{session:#?}");
        compared += 1;
    }
    assert_eq!(compared, 11);
}

#[test]
fn users_that_are_comparable_are_the_same() {
    let other = ["long session", "Rotating domain_userid per session", "Unexpired session"];
    let job = job(COOKIES);
    let summary = job.run(1, 65_536);
    let events = lines("events");
    let distinct = |column: &str| -> BTreeSet<&str> {
        events.iter().map(|e| &*e[column]).filter(|value| !value.is_empty()).collect()
    };
    assert_eq!(summary.read, 160);
    assert_eq!(summary.people as usize, distinct("domain_userid").len());
    assert_eq!(job.table("events").rows.len(), distinct("event_id").len());
    let copies: i64 = summary.duplicates.values().sum();
    assert_eq!(copies as usize, 160 - distinct("event_id").len());

    let people = people(&job, &events);
    let rows = job.table("people").select(&["person_id", "first_seen", "last_seen"]);
    let mut compared = 0;
    for user in lines("users_expected") {
        if other.contains(&&*user["user_id"]) {
            continue;
        }
        let [first, last] =
            ["start_tstamp", "end_tstamp"].map(|column| Cell::Time(micros(&user[column])));
        let expected = vec![people[&user["domain_userid"]].clone(), first, last];
        assert!(rows.contains(&expected), "{user:#?}");
        compared += 1;
    }
    assert_eq!(compared, 8);
}

/// With user ids above cookies a person is a user id: each event has one. The cookie that ten users
/// had in turn belongs to each in his time, the three that one user had are all his.
#[test]
fn cookies_follow_their_users() {
    let job = job("");
    job.run(2, 7);
    let events = lines("events");
    let rows = job.table("events").select(&["message_id", "person_id"]);
    let of: BTreeMap<&str, &Cell> = rows.iter().map(|row| (text(&row[0]), &row[1])).collect();
    let mut users: BTreeMap<&str, BTreeSet<&Cell>> = BTreeMap::new();
    for event in &events {
        users.entry(&event["user_id"]).or_default().insert(of[&*event["event_id"]]);
    }
    assert!(users.values().all(|people| people.len() == 1), "one user, one person: {users:#?}");
    let people: BTreeSet<&Cell> = users.values().flatten().copied().collect();
    assert_eq!(people.len(), users.len(), "two users, two people");
    assert_eq!(job.table("people").rows.len(), users.len());
}
