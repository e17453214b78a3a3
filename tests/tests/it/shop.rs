//! A month of clicks in a shop: sessions, trends and funnels equal to naive computations over the
//! file, which share no code with the views, and to what `ClickHouse` says.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use operators::model::{Cell, SECOND};

use crate::support::{Job, Table, data, sessions, text, unpacked};

fn job() -> Job {
    let path = data("shop.csv.gz");
    Job::new(&format!(
        r#"
[job]
name = "shop"
out = "out"

[[source]]
name = "clicks"
connector = "file"
path = "{}"
channel = "web"
[source.fields]
messageId = {{ concat = ["session_id", "timestamp", "event"] }}
userId = "user_id"
timestamp = {{ field = "timestamp", format = "naive", zone = "UTC" }}
properties = "."

[time]
admit = "4000d"
ids = "4000d"
history = "4000d"

[[view]]
kind = "sessions"
[[view]]
kind = "trend"
name = "events"
[[view]]
kind = "trend"
name = "people"
metric = "people"
breakdown = "platform"
[[view]]
kind = "trend"
name = "orders"
filter = {{ events = ["purchase", "payment_details"] }}
period = "month"
breakdown = "platform"
[[view]]
kind = "trend"
name = "buyers"
metric = "people"
filter = {{ event = "purchase", properties = [{{ key = "platform", value = "mobile" }}] }}
period = "all"
[[view]]
kind = "funnel"
name = "payment"
steps = [{{ event = "catalog" }}, {{ event = "cart" }}, {{ event = "payment_done" }}]
funnelWindowInterval = 1
[[view]]
kind = "funnel"
name = "purchase"
steps = [{{ event = "catalog" }}, {{ event = "cart" }}, {{ event = "purchase" }}]
funnelWindowInterval = 14
[[view]]
kind = "funnel"
name = "hour"
steps = [{{ event = "catalog" }}, {{ event = "cart" }}, {{ event = "purchase" }}]
funnelWindowInterval = 60
funnelWindowIntervalUnit = "minute"

[[sink]]
connector = "table"
partition = "month"
"#,
        path.display()
    ))
}

/// A line of the file.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Click {
    user: String,
    /// Seconds since 1970.
    at: i64,
    session: String,
    event: String,
    written: String,
    platform: String,
}

/// The lines, each one once: 30 stand there twice.
fn clicks() -> BTreeSet<Click> {
    let text = unpacked("shop.csv.gz");
    let clicks = text.lines().skip(1).map(|line| {
        let fields: Vec<String> = line.split(',').map(str::to_owned).collect();
        let civil: DateTime = fields[3].parse().unwrap();
        let at = TimeZone::UTC.to_timestamp(civil).unwrap().as_second();
        let [user, session, event, written, platform] =
            [0, 1, 2, 3, 4].map(|place| fields[place].clone());
        Click { user, at, session, event, written, platform }
    });
    clicks.collect()
}

fn by_user(clicks: &BTreeSet<Click>) -> BTreeMap<&str, Vec<&Click>> {
    let mut users: BTreeMap<&str, Vec<&Click>> = BTreeMap::new();
    for click in clicks {
        users.entry(&click.user).or_default().push(click);
    }
    users
}

/// The second at which the UTC day or month of a click begins.
fn begin(click: &Click, month: bool) -> Cell {
    let date =
        if month { format!("{}-01", &click.written[..7]) } else { click.written[..10].into() };
    let civil: jiff::civil::Date = date.parse().unwrap();
    let start =
        TimeZone::UTC.to_timestamp(civil.to_datetime(jiff::civil::Time::midnight())).unwrap();
    Cell::Time(start.as_microsecond())
}

/// How many different things there are for each period and breakdown value.
fn trend<'a, T: Ord>(counted: impl Iterator<Item = (Cell, Cell, T)> + 'a) -> Vec<Vec<Cell>> {
    let mut groups: BTreeMap<(Cell, Cell), BTreeSet<T>> = BTreeMap::new();
    for (start, breakdown, thing) in counted {
        groups.entry((start, breakdown)).or_default().insert(thing);
    }
    let row = |((start, breakdown), things): ((Cell, Cell), BTreeSet<T>)| {
        vec![start, breakdown, Cell::float(things.len() as f64)]
    };
    groups.into_iter().map(row).collect()
}

/// How many users get how far from an entry at `from` on and before `until`. Ties of time either
/// count as an order or don't.
fn funnel(
    users: &BTreeMap<&str, Vec<&Click>>,
    steps: [&str; 3],
    window_s: i64,
    (from, until): (i64, i64),
    ties: bool,
) -> [i64; 3] {
    let mut reached = [0; 3];
    for clicks in users.values() {
        let mut furthest = 0;
        for entry in clicks.iter().filter(|c| c.event == steps[0] && (from..until).contains(&c.at))
        {
            let (mut at, mut step) = (entry.at, 1);
            while step < steps.len() {
                let next = clicks.iter().filter(|c| c.event == steps[step]);
                let later = next.filter(|c| c.at > at || (ties && c.at == at)).map(|c| c.at);
                match later.min().filter(|time| *time <= entry.at + window_s) {
                    Some(time) => (at, step) = (time, step + 1),
                    None => break,
                }
            }
            furthest = furthest.max(step);
        }
        reached.iter_mut().take(furthest).for_each(|count| *count += 1);
    }
    reached
}

/// Steps of a funnel's rows for a period.
fn counts(table: &Table, period: &str, start: &Cell) -> [i64; 3] {
    let mut counts = [0; 3];
    for row in table.select(&["period", "period_start", "step", "count"]) {
        if let [p, s, Cell::Int(step), Cell::Int(count)] = &row[..]
            && text(p) == period
            && s == start
        {
            counts[*step as usize - 1] += count;
        }
    }
    counts
}

#[test]
fn sessions_are_those_of_a_naive_computation() {
    let (job, clicks) = (job(), clicks());
    let summary = job.run(2, 1000);
    assert_eq!((summary.read, summary.admitted, summary.people), (31_106, 31_106, 600));
    assert_eq!(summary.duplicates, BTreeMap::from([("redelivered".to_owned(), 30)]));
    assert_eq!((clicks.len(), job.table("events").rows.len()), (31_076, 31_076));

    let mut expected = Vec::new();
    for clicks in by_user(&clicks).values() {
        for (start, end, events) in sessions(clicks.iter().map(|c| c.at).collect(), 1800) {
            let [from, to] = [start, end].map(|at| Cell::Time(at * SECOND));
            expected.push(vec![from, to, Cell::float((end - start) as f64), Cell::Int(events)]);
        }
    }
    expected.sort_unstable();
    let found = job.table("sessions").select(&["start", "end", "duration_s", "events"]);
    assert!(found == expected, "the same sessions");
    // The file has session ids of its own, which cut at the same places.
    let own: BTreeSet<&str> = clicks.iter().map(|c| &*c.session).collect();
    assert_eq!(expected.len(), own.len());
}

#[test]
fn trends_are_those_of_a_naive_computation() {
    let (job, clicks) = (job(), clicks());
    job.run(1, 4096);
    let rows = |name: &str| job.table(name).select(&["period_start", "breakdown", "value"]);
    let platform = |c: &Click| Cell::str(&c.platform);
    let all = clicks.iter();
    let events = trend(all.clone().map(|c| (begin(c, false), Cell::Null, c)));
    assert_eq!(rows("trend_events"), events);
    let people = trend(all.clone().map(|c| (begin(c, false), platform(c), &c.user)));
    assert_eq!(rows("trend_people"), people);
    let orders = all.clone().filter(|c| ["purchase", "payment_details"].contains(&&*c.event));
    let orders = trend(orders.map(|c| (begin(c, true), platform(c), c)));
    assert_eq!(rows("trend_orders"), orders);
    let buyers = all.filter(|c| c.event == "purchase" && c.platform == "mobile");
    let buyers = trend(buyers.map(|c| (Cell::Null, Cell::Null, &c.user)));
    assert_eq!(rows("trend_buyers"), buyers);
}

const DAY: i64 = 86_400;

#[test]
fn funnels_are_those_of_a_naive_computation() {
    let (job, clicks) = (job(), clicks());
    job.run(4, 7777);
    let users = by_user(&clicks);
    let days: BTreeSet<Cell> = clicks.iter().map(|click| begin(click, false)).collect();
    let cases = [("payment", "payment_done", DAY), ("purchase", "purchase", 14 * DAY)];
    for (name, last, window) in cases.into_iter().chain([("hour", "purchase", 3600)]) {
        let table = job.table(&format!("funnel_{name}"));
        let steps = ["catalog", "cart", last];
        let naive = |range, ties| funnel(&users, steps, window, range, ties);
        let all = (i64::MIN, i64::MAX);
        assert_eq!(naive(all, true), naive(all, false), "no step hangs on a tie");
        assert_eq!(counts(&table, "all", &Cell::Null), naive(all, false), "{name}");
        for day in &days {
            let Cell::Time(start) = day else { panic!("{day:?} is no time") };
            let range = (start / SECOND, start / SECOND + DAY);
            assert_eq!(naive(range, true), naive(range, false), "no step hangs on a tie");
            assert_eq!(counts(&table, "day", day), naive(range, false), "{name} {day:?}");
        }
    }
}

/// Figures of `ClickHouse` 26.9 (`chdb` 4.4.0 of `PyPI`) over the file's distinct lines: sessions
/// by `arrayDifference` of a user's sorted times, funnels by
/// `windowFunnel(window)(toDateTime(timestamp), event = 'catalog', event = 'cart', event = …)`,
/// which gives the same with `strict_increase`. No click is called `payment_done` in this file.
#[test]
fn clickhouse_says_the_same() {
    let job = job();
    let summary = job.run(2, 65_536);
    assert_eq!(summary.sessions, 3605);
    let all = |name: &str| counts(&job.table(&format!("funnel_{name}")), "all", &Cell::Null);
    assert_eq!(all("payment"), [600, 423, 0]);
    assert_eq!(all("purchase"), [600, 448, 223]);
    assert_eq!(all("hour"), [600, 422, 177]);
}
