//! The shop against its truth, and its records against the decoders of its own job.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::Path;

use connectors::decode::{Decoded, Decoder};
use connectors::file::{FileSource, Position};
use operators::model::{DeadLetter, Event, Micros, Reason};
use operators::time::admission::too_early;
use tempfile::TempDir;

use super::*;
use crate::runtime::plan;

const SESSION_GAP_MS: i64 = 30 * 60_000;

fn small() -> ShopOptions {
    ShopOptions { events: 30_000, days: 20, shared: 0.2, broken: 0.02, ..ShopOptions::default() }
}

fn made(options: &ShopOptions) -> Vec<Line> {
    Shop::new(options).expect("the options make sense").collect()
}

#[test]
fn a_seed_gives_the_same_bytes_and_another_seed_others() {
    let options = small();
    let lines = made(&options);
    assert_eq!(lines, made(&options));
    let other = made(&ShopOptions { seed: 2, ..options });
    let ids: BTreeSet<Uuid> = lines.iter().map(|line| line.truth.message).collect();
    assert!(other.iter().all(|line| !ids.contains(&line.truth.message)));
}

/// The shop must not change unnoticed: whoever quotes a seed relies on it.
#[test]
fn a_seed_gives_these_bytes() {
    let options = ShopOptions { events: 2_000, broken: 0.01, tenants: 3, ..ShopOptions::default() };
    let mut all = Vec::new();
    for line in made(&options) {
        all.extend_from_slice(&line.bytes);
        all.push(b'\n');
    }
    assert_eq!((all.len(), checksum(&all)), (1_399_634, 11_275_248_966_125_913_572));
}

/// FNV-1a.
fn checksum(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}

#[test]
fn there_are_exactly_as_many_records_as_asked_for() {
    for events in [1, 2, 3, 10, 39, 1000, 4321] {
        for seed in 0..5 {
            let options = ShopOptions { events, seed, ..ShopOptions::default() };
            assert_eq!(made(&options).len() as u64, events);
        }
    }
}

#[test]
fn people_and_days_are_about_as_asked_for() {
    let options = ShopOptions { events: 100_000, days: 60, people: Some(1500), ..small() };
    let mut shop = Shop::new(&options).expect("the options make sense");
    let (mut line, mut last_ms, mut records) = (Vec::new(), 0, 0_u64);
    while let Some(truth) = shop.next_into(&mut line) {
        line.clear();
        last_ms = last_ms.max(truth.true_ms);
        records += 1;
    }
    let people = shop.take_people().len();
    assert!((1100..1900).contains(&people), "{people} people");
    let days = (last_ms - options.start_ms) / 86_400_000;
    assert!((42..78).contains(&days), "{days} days");
    assert_eq!(records, 100_000);
}

#[test]
fn records_come_in_the_order_of_their_arrival() {
    let mut latest = 0;
    for line in made(&small()) {
        let truth = line.truth;
        if truth.copy == Copy::Redelivered {
            assert!(truth.received_ms <= latest);
        } else {
            assert!(truth.received_ms >= latest);
            latest = truth.received_ms;
        }
        let within = 7 * 24 * 3_600_000 - Truth::LATE_MS;
        assert!(truth.received_ms - truth.event_ms < within, "within what the job admits");
    }
}

#[test]
fn copies_are_what_they_say() {
    let mut originals: HashMap<Uuid, Line> = HashMap::new();
    let mut counts = BTreeMap::new();
    let mut earlier = 0;
    for line in made(&small()) {
        *counts.entry(line.truth.copy).or_insert(0) += 1;
        match line.truth.copy {
            Copy::Original => assert!(originals.insert(line.truth.message, line).is_none()),
            Copy::Redelivered => assert_eq!(originals[&line.truth.message].bytes, line.bytes),
            Copy::Restamped => {
                let original = &originals[&line.truth.message];
                assert_ne!(original.truth.event_ms, line.truth.event_ms);
                assert_ne!(original.bytes, line.bytes);
                earlier += i32::from(line.truth.event_ms < original.truth.event_ms);
            }
        }
    }
    assert!(counts[&Copy::Redelivered] > 200 && counts[&Copy::Restamped] > 100, "{counts:?}");
    assert!(earlier > 0, "a copy that comes later may be the earlier one");
}

#[test]
fn sessions_begin_after_a_gap_and_only_then() {
    let mut people: BTreeMap<u64, Vec<(i64, u32)>> = BTreeMap::new();
    let mut shop = Shop::new(&small()).expect("the options make sense");
    while let Some(truth) = shop.next_into(&mut Vec::new()) {
        assert_eq!(truth.session == 0, truth.name == Name::Merge);
        if truth.copy == Copy::Original && truth.session > 0 {
            people.entry(truth.person).or_default().push((truth.true_ms, truth.session));
        }
    }
    for events in people.values_mut() {
        events.sort_unstable();
        assert_eq!(events[0].1, 1, "sessions are numbered from 1");
        for pair in events.windows(2) {
            let [(before, one), (after, other)] = [pair[0], pair[1]];
            let gap = after - before;
            assert_eq!(other - one, u32::from(gap > SESSION_GAP_MS), "after {gap} ms");
            // What the time on the network adds can't change which it is.
            assert!((gap - SESSION_GAP_MS).abs() > 60_000, "{gap} ms");
        }
    }
    let truth: BTreeMap<u64, u32> =
        shop.take_people().into_iter().map(|person| (person.person, person.sessions)).collect();
    let seen: BTreeMap<u64, u32> =
        people.iter().map(|(person, events)| (*person, events[events.len() - 1].1)).collect();
    assert_eq!(truth, seen);
}

#[test]
fn memory_follows_from_the_events_per_day() {
    let peak = |events, days| {
        let options = ShopOptions { events, days, ..ShopOptions::default() };
        let mut shop = Shop::new(&options).expect("the options make sense");
        let (mut line, mut records, mut households) = (Vec::new(), 0, 0);
        while shop.next_into(&mut line).is_some() {
            line.clear();
            let held = shop.held();
            (records, households) = (held.0.max(records), held.1.max(households));
            shop.take_people();
        }
        (records, households)
    };
    let (short, long) = (peak(30_000, 60), peak(120_000, 240));
    assert!(long.0 < short.0 * 3 / 2, "records on their way: {short:?}, {long:?}");
    assert!(long.1 < short.1 * 3 / 2, "households: {short:?}, {long:?}");
    assert!(long.0 < 3000, "{long:?}");
}

fn files(shop: &ShopOptions, compression: Compression, bytes: u64) -> (TempDir, Generated) {
    let dir = TempDir::new().expect("a folder");
    let files = FileOptions { compression, file_bytes: bytes, ..FileOptions::new(dir.path()) };
    let done = write(shop, &files, &mut |_| {}).expect("the disk is not full");
    (dir, done)
}

/// What the job's own decoders make of the records of each channel.
fn decoded(dir: &Path) -> BTreeMap<String, Vec<Result<(Event, Micros), DeadLetter>>> {
    let plan = plan::load(&dir.join("job.toml")).expect("the job is good");
    let mut all = BTreeMap::new();
    for source in &plan.sources {
        let files = source.records.files().expect("files");
        let mut files = FileSource::open(files, Position::default()).expect("files");
        let mut decoder = Decoder::new(&source.decode).expect("a field map");
        let mut list: Vec<Result<(Event, Micros), DeadLetter>> = Vec::new();
        while let Some(batch) = files.next(1000).expect("files that can be read") {
            let mut out = Decoded::default();
            decoder.decode(&batch, 0, &mut out);
            assert_eq!((out.erased, out.blank), (0, 0));
            list.extend(out.events.into_iter().map(Ok));
            list.extend(out.letters.into_iter().map(Err));
        }
        list.sort_by_key(|result| match result {
            Ok((event, _)) => event.origin,
            Err(letter) => letter.origin,
        });
        all.insert(source.name.to_string(), list);
    }
    all
}

#[test]
fn the_job_decodes_every_record_and_refuses_the_broken_ones() {
    let options = ShopOptions { tenants: 3, broken: 0.05, skewed: 0.2, ..small() };
    let (dir, _) = files(&options, Compression::Plain, 3 << 20);
    let time = plan::load(&dir.path().join("job.toml")).expect("the job is good").time;
    let mut decoded: BTreeMap<_, _> =
        decoded(dir.path()).into_iter().map(|(name, list)| (name, list.into_iter())).collect();
    let mut kinds: BTreeSet<(Channel, Broken)> = BTreeSet::new();
    for Line { truth, bytes } in made(&options) {
        let next = decoded.get_mut(truth.channel.word()).and_then(Iterator::next);
        let next = next.expect("each record is an event or a dead letter");
        kinds.extend(truth.broken.map(|broken| (truth.channel, broken)));
        match (next, truth.broken.map(Broken::reason)) {
            (Ok((event, received)), None | Some(Reason::TooEarly)) => {
                assert_eq!(event.message_id.to_string(), truth.message.to_string());
                assert_eq!(*event.kind.tenant, tenant_name(&options, truth.tenant));
                assert_eq!(*event.kind.channel, *truth.channel.word());
                assert_eq!(event.command().is_some(), truth.name == Name::Merge);
                assert_eq!(received, truth.received_ms * 1000);
                let early = too_early(&time, event.key.time, received);
                assert_eq!(early, truth.broken.is_some());
                if truth.broken.is_none() {
                    assert_eq!(*event.kind.name, *truth.name.word());
                    assert_eq!(event.key.time, truth.event_ms * 1000);
                }
            }
            (Err(letter), Some(reason)) => {
                assert_eq!(letter.reason, reason, "{}", String::from_utf8_lossy(&bytes));
                assert_eq!(*letter.payload, *bytes);
            }
            (other, reason) => panic!("{reason:?}, but {other:?}"),
        }
    }
    assert!(decoded.values_mut().all(|rest| rest.next().is_none()));
    assert_eq!(kinds.len(), Channel::ALL.len() * Broken::ALL.len(), "every way on each channel");
}

#[test]
fn records_are_as_long_as_real_ones() {
    let lines = made(&ShopOptions { broken: 0.0, ..small() });
    for channel in [Channel::Web, Channel::Mobile] {
        let sizes: Vec<usize> =
            lines.iter().filter(|l| l.truth.channel == channel).map(|l| l.bytes.len()).collect();
        let mean = sizes.iter().sum::<usize>() / sizes.len();
        assert!((500..=700).contains(&mean), "{channel:?}: {mean} bytes");
    }
}

#[test]
fn counts_and_people_match_the_truth() {
    let options = ShopOptions { tenants: 2, ..small() };
    let (dir, done) = files(&options, Compression::Plain, 1 << 20);
    let events = fs::read_to_string(dir.path().join("truth/events.csv")).expect("the truth");
    let rows: Vec<Vec<&str>> = events.lines().skip(1).map(|l| l.split(',').collect()).collect();
    let count =
        |column: usize, word: &str| rows.iter().filter(|row| row[column] == word).count() as u64;
    assert_eq!((done.records, rows.len() as u64), (30_000, 30_000));
    assert_eq!(done.late, count(12, "1"));
    for (channel, records) in &done.channels {
        assert_eq!(*records, count(0, channel));
    }
    for (kind, records) in &done.copies {
        assert_eq!(*records, count(11, kind));
    }
    for (reason, records) in &done.broken {
        assert_eq!(*records, count(13, reason));
    }
    assert_eq!(done.broken.len(), 6, "{:?}", done.broken);
    assert!(done.files > 10, "{done:?}");
    let people = fs::read_to_string(dir.path().join("truth/people.ndjson")).expect("the truth");
    assert_eq!(people.lines().count() as u64, done.people);
    let known: BTreeMap<u64, String> = people
        .lines()
        .map(|line| {
            let person: serde_json::Value = serde_json::from_str(line).expect("JSON");
            (person["person"].as_u64().expect("a number"), line.to_owned())
        })
        .collect();
    let mut files = HashMap::new();
    for row in rows.iter().filter(|row| row[13].is_empty()) {
        let path = dir.path().join(format!("{}/part-{:0>8}.ndjson", row[0], row[1]));
        let lines = files.entry(path).or_insert_with_key(|path| {
            let text = String::from_utf8_lossy(&fs::read(path).expect("a file")).into_owned();
            text.lines().map(str::to_owned).collect::<Vec<_>>()
        });
        let line = &lines[row[2].parse::<usize>().expect("a number") - 1];
        let record: serde_json::Value = serde_json::from_str(line).expect("JSON");
        let id = record.get("id").unwrap_or(&record["messageId"]);
        assert_eq!(id, row[3], "the truth says where a record stands");
        let person = &known[&row[5].parse().expect("a number")];
        let device = record.pointer("/context/device/id");
        let email = record.pointer("/context/traits/email");
        let mut told = vec![&record["userId"], &record["customer"], &record["email"]];
        told.extend(device.into_iter().chain(email));
        if row[10] != "kiosk" {
            told.push(&record["anonymousId"]);
        }
        for id in told.into_iter().filter_map(|id| id.as_str()) {
            assert!(person.contains(id), "{id} is not among those of {person}");
        }
    }
}

#[test]
fn compressed_files_have_the_same_records() {
    let options = ShopOptions { events: 3000, ..small() };
    let (plain, _) = files(&options, Compression::Plain, 200_000);
    let expected = decoded(plain.path());
    for compression in [Compression::Gz, Compression::Zst] {
        let (dir, done) = files(&options, compression, 200_000);
        assert_eq!(decoded(dir.path()), expected);
        assert_eq!(done.bytes, files(&options, Compression::Plain, 1 << 30).1.bytes);
        let again = files(&options, compression, 200_000).0;
        let path = format!("web/part-00000000.ndjson{}", compression.extension());
        let read = |dir: &TempDir| fs::read(dir.path().join(&path)).expect("a file");
        assert_eq!(read(&dir), read(&again), "byte for byte");
    }
}

#[test]
fn nonsense_is_refused_with_a_remedy() {
    let message = |options: ShopOptions| match Shop::new(&options) {
        Ok(_) => String::new(),
        Err(error) => error.to_string(),
    };
    let usual = ShopOptions::default();
    let cases = [
        (ShopOptions { events: 0, ..usual.clone() }, "events is 0; write a number from 1"),
        (ShopOptions { late: 1.5, ..usual.clone() }, "late is 1.5; write a share from 0 to 1"),
        (ShopOptions { broken: f64::NAN, ..usual.clone() }, "broken is NaN"),
        (ShopOptions { days: 0, ..usual.clone() }, "days is 0; write a number from 1 to 3650"),
        (ShopOptions { tenants: 0, ..usual.clone() }, "tenants is 0"),
        (ShopOptions { people: Some(0), ..usual.clone() }, "people is 0"),
        (ShopOptions { start_ms: -1, ..usual.clone() }, "start is -1"),
        (
            ShopOptions { people: Some(500), events: 1000, ..usual.clone() },
            "500 people make about 5000 events or more; write 100 people or fewer",
        ),
    ];
    for (options, expected) in cases {
        let message = message(options);
        assert!(message.starts_with(expected), "{message:?}, not {expected:?}");
    }
    let extreme = ShopOptions { late: 1.0, duplicates: 1.0, restamped: 1.0, events: 500, ..usual };
    assert_eq!(message(extreme), "");
}

#[test]
fn what_is_there_is_left_alone_and_a_bad_disk_fails() {
    let options = ShopOptions { events: 100, ..ShopOptions::default() };
    let (dir, _) = files(&options, Compression::Plain, 1 << 20);
    let again = write(&options, &FileOptions::new(dir.path()), &mut |_| {});
    let error = again.expect_err("an earlier shop stands there");
    assert_eq!(error.exit_code(), 2);
    assert!(error.to_string().contains("web is there already; write to another folder"));
    let blocked = dir.path().join("job.toml/below");
    let error = write(&options, &FileOptions::new(&blocked), &mut |_| {});
    assert_eq!(error.expect_err("a file is no folder").exit_code(), 1);
}
