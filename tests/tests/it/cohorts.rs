//! A funnel by who converted in another, before and after two people are found to be one; people
//! that are machines.

use operators::model::Cell;

use crate::support::Job;

const JOB: &str = r#"
[job]
name = "cohorts"
out = "out"
facts_per_second_max = 2

[[source]]
name = "events"
connector = "file"
path = "in/*.ndjson"

[[identity.type]]
name = "user_id"
from = ["userId"]
rank = 0
[[identity.type]]
name = "anonymous_id"
from = ["anonymousId"]
rank = 1

[[view]]
kind = "funnel"
name = "trial"
steps = [{ event = "a" }, { event = "b" }]

[[view]]
kind = "funnel"
name = "buy"
steps = [{ event = "c" }, { event = "d" }]
breakdown = "cohort.trial"
periods = ["all"]
"#;

/// A visitor who tries, a user who buys, one who only looks, and one who does all at once.
const EVENTS: &str = r#"
{"messageId":"1","anonymousId":"x","event":"a","timestamp":"2026-03-01T00:00:00Z"}
{"messageId":"2","anonymousId":"x","event":"b","timestamp":"2026-03-01T00:01:00Z"}
{"messageId":"3","userId":"u","event":"c","timestamp":"2026-03-01T01:00:00Z"}
{"messageId":"4","userId":"u","event":"d","timestamp":"2026-03-01T01:01:00Z"}
{"messageId":"5","userId":"v","event":"c","timestamp":"2026-03-01T01:00:00Z"}
{"messageId":"6","userId":"m","event":"e","timestamp":"2026-03-01T01:00:00.1Z"}
{"messageId":"7","userId":"m","event":"e","timestamp":"2026-03-01T01:00:00.5Z"}
{"messageId":"8","userId":"m","event":"e","timestamp":"2026-03-01T01:00:00.9Z"}
"#;

/// The visitor is the user who buys.
const LINK: &str = r#"
{"messageId":"9","anonymousId":"x","userId":"u","event":"login","timestamp":"2026-03-01T02:00:00Z"}
"#;

fn job() -> Job {
    let job = Job::new(JOB);
    job.write("in/a.ndjson", EVENTS.trim_start());
    job
}

/// Value, step and count, in order.
fn buy(job: &Job) -> Vec<Vec<Cell>> {
    let mut rows = job.table("funnel_buy").select(&["breakdown", "step", "count"]);
    rows.sort();
    rows
}

fn row(value: &Cell, step: i64, count: i64) -> Vec<Cell> {
    vec![value.clone(), Cell::Int(step), Cell::Int(count)]
}

#[test]
fn who_becomes_one_with_a_member_is_a_member() {
    let apart = job();
    let (none, trial) = (Cell::Null, Cell::str("trial"));
    apart.run(1, 1);
    assert_eq!(buy(&apart), [row(&none, 1, 2), row(&none, 2, 1)]);
    for epoch in [1, 3, 100] {
        let joined = job();
        joined.write("in/b.ndjson", LINK.trim_start());
        joined.run(2, epoch);
        let expected = [row(&none, 1, 1), row(&none, 2, 0), row(&trial, 1, 1), row(&trial, 2, 1)];
        assert_eq!(buy(&joined), expected, "epochs of {epoch}");
    }
}

#[test]
fn a_person_with_too_many_events_in_a_second_is_a_machine() {
    let job = job();
    job.run(2, 2);
    let mut rows = job.table("people").select(&["machine", "events"]);
    rows.sort();
    let row = |machine: bool, events: i64| vec![Cell::Bool(machine), Cell::Int(events)];
    assert_eq!(rows, [row(false, 1), row(false, 2), row(false, 2), row(true, 3)]);
}
