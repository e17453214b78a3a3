//! A generated shop as it is on disk: each record with the truth about it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs::File;
use std::io::{BufRead as _, BufReader, Lines};
use std::path::Path;

use serde_json::Value;

/// A record that can be used.
#[derive(Clone, Debug)]
pub(super) struct Fact {
    pub(super) message: String,
    pub(super) channel: String,
    pub(super) event: String,
    pub(super) person: u64,
    pub(super) session: u32,
    pub(super) true_ms: i64,
    pub(super) event_ms: i64,
    pub(super) device: String,
    pub(super) user_id: Option<String>,
    pub(super) email: Option<String>,
    pub(super) anonymous_id: Option<String>,
    pub(super) device_id: Option<String>,
    pub(super) order_id: Option<String>,
}

/// What the files say, reckoned without the product.
#[derive(Default)]
pub(super) struct World {
    /// Of each message the copy that counts, in no order; shadowed ones and merges included.
    pub(super) counted: Vec<Fact>,
    /// Messages of web and mobile purchases that the backend has confirmed.
    pub(super) shadowed: HashSet<String>,
    /// Copies that don't count, by cause.
    pub(super) duplicates: BTreeMap<String, i64>,
    /// Records that can't be used, by reason.
    pub(super) broken: BTreeMap<String, u64>,
    /// People who have lost a record.
    pub(super) bereft: HashSet<u64>,
    /// Accounts that support has merged.
    pub(super) merged: Vec<[String; 2]>,
    pub(super) records: u64,
}

/// The lines of a channel, file after file.
struct Channel<'a> {
    dir: &'a Path,
    name: String,
    file: u32,
    lines: Lines<BufReader<File>>,
}

impl<'a> Channel<'a> {
    fn open(dir: &'a Path, name: &str, file: u32) -> Self {
        let path = dir.join(name).join(format!("part-{file:08}.ndjson"));
        let lines = BufReader::new(File::open(path).expect("a file of the channel")).lines();
        Self { dir, name: name.to_owned(), file, lines }
    }

    /// The next line; broken ones may not even be text.
    fn next(&mut self, file: u32) -> Option<String> {
        if file != self.file {
            *self = Self::open(self.dir, &self.name, file);
        }
        self.lines.next().expect("the line that the truth speaks of").ok()
    }
}

impl World {
    /// Reads the files of a shop of one tenant.
    pub(super) fn read(dir: &Path) -> Self {
        let mut world = Self::default();
        let mut channels: HashMap<String, Channel<'_>> = HashMap::new();
        let mut copies: HashMap<String, Vec<(Fact, String)>> = HashMap::new();
        let truth = File::open(dir.join("truth/events.csv")).expect("the truth");
        for row in csv::Reader::from_reader(truth).into_deserialize() {
            let row: BTreeMap<String, String> = row.expect("a row of the truth");
            world.records += 1;
            let name = &row["channel"];
            let file = row["file"].parse().expect("a number");
            let channel =
                channels.entry(name.clone()).or_insert_with(|| Channel::open(dir, name, file));
            let line = channel.next(file);
            let person = row["person"].parse().expect("a number");
            if !row["broken"].is_empty() {
                *world.broken.entry(row["broken"].clone()).or_default() += 1;
                world.bereft.insert(person);
                continue;
            }
            let record: Value = serde_json::from_str(&line.expect("text")).expect("JSON");
            if record["type"] == "merge" {
                let value =
                    |n: usize| record["identifiers"][n]["value"].as_str().map(str::to_owned);
                world.merged.push([0, 1].map(|n| value(n).expect("a value")));
                continue;
            }
            let fact = fact(&row, person, &record);
            copies.entry(fact.message.clone()).or_default().push((fact, row["copy"].clone()));
        }
        for (_, mut list) in copies {
            // Of one time they are the same record: the shop never stamps two alike.
            list.sort_by_key(|(fact, _)| fact.event_ms);
            let times: BTreeSet<i64> = list.iter().map(|(fact, _)| fact.event_ms).collect();
            let (again, anew) = (list.len() - times.len(), times.len() - 1);
            for (cause, count) in [("redelivered", again), ("re-stamped", anew)] {
                *world.duplicates.entry(cause.to_owned()).or_default() += count as i64;
            }
            world.counted.push(list.swap_remove(0).0);
        }
        world.shadow();
        world
    }

    fn shadow(&mut self) {
        let confirmed: HashSet<&String> = self
            .counted
            .iter()
            .filter(|fact| fact.channel == "backend")
            .filter_map(|fact| fact.order_id.as_ref())
            .collect();
        let shadowed =
            self.counted.iter().filter(|fact| fact.channel != "backend").filter(|fact| {
                fact.order_id.as_ref().is_some_and(|order| confirmed.contains(order))
            });
        self.shadowed = shadowed.map(|fact| fact.message.clone()).collect();
    }

    /// The facts that views count.
    pub(super) fn facts(&self) -> impl Iterator<Item = &Fact> + Clone {
        self.counted.iter().filter(|fact| !self.shadowed.contains(&fact.message))
    }
}

fn fact(row: &BTreeMap<String, String>, person: u64, record: &Value) -> Fact {
    let text = |pointers: &[&str]| {
        let found = pointers.iter().find_map(|pointer| record.pointer(pointer)?.as_str());
        found.map(str::to_owned)
    };
    let number = |column: &str| row[column].parse().expect("a number");
    Fact {
        message: row["message_id"].clone(),
        channel: row["channel"].clone(),
        event: row["event"].clone(),
        person,
        session: row["session"].parse().expect("a number"),
        true_ms: number("true_ms"),
        event_ms: number("event_ms"),
        device: row["device"].clone(),
        user_id: text(&["/userId", "/customer"]),
        email: text(&["/email", "/traits/email", "/context/traits/email"]),
        anonymous_id: text(&["/anonymousId"]),
        device_id: text(&["/context/device/id"]),
        order_id: text(&["/order_id", "/properties/order_id"]),
    }
}
