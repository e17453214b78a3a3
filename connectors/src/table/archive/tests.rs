use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use operators::identity::testing::Seeded;
use operators::identity::{IdentityConfig, IdentityType};
use operators::model::{
    ColumnType, Command, CommandKind, DAY, Epoch, Event, EventKey, EventKind, Ident, Origin,
    Special, Token, Value, message_hash,
};
use operators::time::TimeConfig;
use operators::views::predicate::{Matcher, Operator, Predicate, PropertyFilter};

use super::super::batches::batches;
use super::super::columns;
use super::super::delta::builder;
use super::super::runtime;
use super::super::stats::Stats;
use super::*;
use crate::decode::{Erased, ErasedIn, content};

fn names(properties: &[&str]) -> Names {
    let types = vec![IdentityType::new("user_id", 0), IdentityType::new("email", 1)];
    Names {
        identity: Arc::new(IdentityConfig { types, cluster_max: 100 }),
        properties: properties.iter().map(|name| Arc::from(*name)).collect(),
        sources: vec!["web".into(), "app".into()],
        rules: [("secret".to_owned(), "1".to_owned())].into(),
        time: TimeConfig { disorder: 10, admit: 100, future: 5, ids: 0, history: 0 },
    }
}

fn spec(properties: &[&str], retention: Option<i64>) -> ArchiveSpec {
    let app = live("shop");
    ArchiveSpec { app, job_hash: "h".into(), names: names(properties), retention }
}

const PROPERTIES: [&str; 2] = ["properties.price", "properties.plan"];

fn event(random: &mut Seeded, number: u64) -> Event {
    let message_id = match number % 2 {
        0 => format!("m-{number}"),
        _ => format!("0000abcd-0000-4000-8000-{number:012}"),
    };
    let time = 1_760_000_000_000_000 + random.below(5 * DAY as u64) as i64;
    let key = EventKey { time, seq: random.below(3), id: message_hash(&message_id) };
    let identity = names(&[]).identity;
    let ident = |random: &mut Seeded| Ident {
        kind: random.below(2) as u8,
        token: Token(u128::from(random.below(40)) << 64),
    };
    let mut idents: Vec<Ident> = (0..random.below(3)).map(|_| ident(random)).collect();
    idents.sort_by_key(|ident| identity.strength(*ident));
    idents.dedup();
    let command = (random.below(9) == 0).then(|| {
        let kind = if random.below(2) == 0 { CommandKind::Merge } else { CommandKind::Unmerge };
        Command { kind, x: ident(random), y: ident(random) }
    });
    let value = |random: &mut Seeded| match random.below(5) {
        0 => None,
        1 => Some(Value::Bool(random.below(2) == 0)),
        2 => Some(Value::Int(random.below(1 << 60) as i64 - (1 << 59))),
        // Floats whose digits are not all the same.
        3 => Some(Value::Float((random.below(1 << 53) as f64) / 7.0e5)),
        _ => Some(Value::Str("\"a\"\n, ü".into())),
    };
    let properties = [value(random), value(random)];
    let tenant = if random.below(4) == 0 { "b" } else { "a" };
    let business_key = (random.below(3) == 0).then_some(Token(7));
    let mut event = Event {
        kind: EventKind::shared(tenant, "web", "see"),
        key,
        message_id: message_id.into(),
        origin: Origin { source: random.below(2) as u16, partition: 3, offset: number },
        idents: idents.into(),
        special: Special::of(command, business_key),
        matches: matcher().matches("see", "web", &properties),
        properties: properties.into(),
        content: 0,
    };
    event.content = content(&event, PROPERTIES.len(), &mut Vec::new());
    event
}

fn matcher() -> Matcher {
    let mut matcher = Matcher::default();
    let set = PropertyFilter::new(0, Operator::IsSet, Vec::new()).unwrap();
    matcher.index(Predicate { properties: vec![set], ..Predicate::default() });
    matcher
}

fn open(out: &Path, properties: &[&str], erased: Erased) -> Archive {
    Archive::open(out, "shop", names(properties), matcher().into(), erased.into()).unwrap()
}

/// An archive of random events in several commits, and what is in it.
fn written(out: &Path, retention: Option<i64>) -> BTreeMap<Epoch, Vec<Arc<Event>>> {
    let mut random = Seeded(5);
    let mut all: BTreeMap<Epoch, Vec<Arc<Event>>> = BTreeMap::new();
    let mut number = 0;
    for run in 0..3 {
        let mut sink = ArchiveSink::open(out, spec(&PROPERTIES, retention)).unwrap();
        assert_eq!(sink.committed(), (run > 0).then_some(run * 8));
        sink.begin(0);
        // What it has is given again after a crash.
        for epoch in (run * 8).saturating_sub(2).max(1)..=run * 8 + 8 {
            let new = epoch > run * 8;
            for _ in 0..if epoch % 5 == 0 { 0 } else { 30 } {
                number += u64::from(new);
                let event = Arc::new(event(&mut random, number));
                if new {
                    all.entry(epoch).or_default().push(Arc::clone(&event));
                }
                sink.add(epoch, [event]);
            }
            sink.close(epoch, 1_760_000_000_000_000 + 4 * DAY);
            if epoch % 3 == 0 {
                sink.commit().unwrap();
            }
        }
        sink.commit().unwrap();
    }
    all
}

fn sorted(mut events: Vec<Arc<Event>>) -> Vec<Arc<Event>> {
    events.sort_by_key(|event| event.key);
    events
}

#[test]
fn events_come_back_as_they_were_in_their_epochs() {
    let out = tempfile::tempdir().unwrap();
    let all = written(out.path(), None);
    for from in [1, 9, 24] {
        let mut archive = open(out.path(), &PROPERTIES, Erased::default());
        assert_eq!(archive.reach(), Reach { first: 1, last: 24 });
        archive.begin((from, 24)).unwrap();
        for epoch in from..=24 {
            let expected = all.get(&epoch).cloned().unwrap_or_default();
            assert_eq!(sorted(archive.next(epoch).unwrap()), sorted(expected), "epoch {epoch}");
        }
    }
    let gap = open(out.path(), &PROPERTIES, Erased::default()).begin((1, 25)).unwrap_err();
    assert!(gap.is_gone() && gap.to_string().contains("the epochs 1 to 24"), "{gap}");
}

/// Another job asks for fewer properties, or for one that was not kept.
#[test]
fn a_changed_job_gets_what_was_kept() {
    let out = tempfile::tempdir().unwrap();
    let all = written(out.path(), None);
    let mut archive = open(out.path(), &["properties.plan"], Erased::default());
    archive.begin((1, 24)).unwrap();
    for (got, event) in sorted(archive.next(1).unwrap()).iter().zip(sorted(all[&1].clone())) {
        assert_eq!(got.properties.value(0), event.properties.value(1));
        assert_eq!(got.matches.has(0), event.properties.value(1).is_some());
    }
    let mut archive = open(out.path(), &["properties.size"], Erased::default());
    let lacks = archive.begin((1, 24)).unwrap_err();
    assert!(lacks.is_usage() && lacks.to_string().contains(": properties.size;"), "{lacks}");
}

/// What was decided when records were admitted can't be decided otherwise from what was kept.
#[test]
fn events_that_were_kept_under_other_rules_are_refused() {
    let out = tempfile::tempdir().unwrap();
    written(out.path(), None);
    let changed = |change: &dyn Fn(&mut Names)| {
        let mut names = names(&PROPERTIES);
        change(&mut names);
        let archive = Archive::open(out.path(), "shop", names, matcher().into(), Arc::default());
        archive.unwrap().begin((1, 24)).err().map(|error| {
            assert!(error.is_usage(), "{error}");
            error.to_string()
        })
    };
    let says = |said: Option<String>, what: &str| said.is_some_and(|said| said.contains(what));
    let secret = |names: &mut Names| drop(names.rules.insert("secret".into(), "2".into()));
    assert!(says(changed(&secret), ": secret;"));
    assert!(says(changed(&|names| names.time.admit = 101), ": time.admit;"));
    assert!(says(changed(&|names| names.time.disorder = 11), ": time.disorder;"));
    assert!(says(changed(&|names| names.time.future = 4), ": time.future;"));
    // Less is admitted by what admits less; what comes later has no say in it.
    assert_eq!(changed(&|names| (names.time.admit, names.time.ids) = (99, 7)), None);
}

#[test]
fn the_erased_do_not_come_back() {
    let out = tempfile::tempdir().unwrap();
    let all = written(out.path(), None);
    let of_a = || all.values().flatten().filter(|event| *event.kind.tenant == *"a");
    let victim = of_a().find_map(|event| event.idents.first()).copied().unwrap();
    let message = of_a().next_back().unwrap().key.id;
    let is_erased = |event: &&Arc<Event>| {
        let pair = event.command().map(|command| [command.x, command.y]);
        event.idents.contains(&victim)
            || pair.is_some_and(|pair| pair.contains(&victim))
            || event.key.id == message
    };
    let expected = of_a().filter(is_erased).count();
    let erased = ErasedIn { identifiers: [victim].into(), messages: [message].into() };
    let mut archive = open(out.path(), &PROPERTIES, [("a".into(), erased)].into());
    archive.begin((1, 24)).unwrap();
    let mut gone = 0;
    for (epoch, events) in &all {
        let got = archive.next(*epoch).unwrap();
        gone += events.len() - got.len();
        let tenant_a = |event: &&Arc<Event>| *event.kind.tenant == *"a";
        assert!(!got.iter().filter(tenant_a).any(|event| event.idents.contains(&victim)));
    }
    assert!(gone == expected && gone > 2, "{gone} of {expected}");
}

#[test]
fn what_is_older_than_retention_goes_and_that_is_said() {
    let out = tempfile::tempdir().unwrap();
    written(out.path(), Some(2 * DAY));
    let days: Vec<PathBuf> = files(out.path());
    let archive = open(out.path(), &PROPERTIES, Erased::default());
    let Reach { first, last } = archive.reach();
    assert!(first > 20 && last == 24, "{first} {last}");
    assert!(!days.is_empty());
    let sink = ArchiveSink::open(out.path(), spec(&PROPERTIES, None)).unwrap();
    drop(sink);
    assert_eq!(open(out.path(), &PROPERTIES, Erased::default()).reach(), Reach { first, last });
}

fn files(out: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(out.join(ARCHIVE)).unwrap() {
        let folder = entry.unwrap().path();
        if folder.file_name().unwrap().to_string_lossy().starts_with("date=") {
            files.extend(fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    files.sort();
    files
}

/// A missing, cut or flipped file is said with its epochs, and nothing of it is used.
#[test]
fn damage_is_said_with_its_epochs() {
    let out = tempfile::tempdir().unwrap();
    let all = written(out.path(), None);
    let all_files = files(out.path());
    let outcome = || -> Result<usize, ArchiveError> {
        let mut archive = open(out.path(), &PROPERTIES, Erased::default());
        archive.begin((1, 24))?;
        let events = all.keys().map(|epoch| Ok(archive.next(*epoch)?.len()));
        events.sum()
    };
    let count = outcome().unwrap();
    assert_eq!(count, all.values().map(Vec::len).sum::<usize>());
    for path in all_files.iter().step_by(3) {
        let bytes = fs::read(path).unwrap();
        let mut damaged = vec![None, Some(Vec::new()), Some(bytes[..bytes.len() - 1].to_vec())];
        for place in (0..bytes.len()).step_by(bytes.len() / 23) {
            let mut flipped = bytes.clone();
            flipped[place] ^= 4;
            damaged.push(Some(flipped));
        }
        for content in damaged {
            match &content {
                None => fs::remove_file(path).unwrap(),
                Some(content) => fs::write(path, content).unwrap(),
            }
            let error = outcome().unwrap_err();
            let said = error.to_string();
            assert!(error.is_gone() && said.contains("which has events of the epochs"), "{said}");
        }
        fs::write(path, &bytes).unwrap();
    }
    assert_eq!(outcome().unwrap(), count);
}

/// An archive of so many commits, one for each epoch, whose files are merged as they come.
fn merged(out: &Path, commits: Epoch) -> (ArchiveSink, BTreeMap<Epoch, Vec<Arc<Event>>>) {
    let (mut random, mut all) = (Seeded(9), BTreeMap::<Epoch, Vec<Arc<Event>>>::new());
    let mut sink = ArchiveSink::open(out, spec(&PROPERTIES, None)).unwrap();
    sink.begin(0);
    for epoch in 1..=commits {
        for number in 0..20 {
            let event = Arc::new(event(&mut random, epoch * 100 + number));
            all.entry(epoch).or_default().push(Arc::clone(&event));
            sink.add(epoch, [event]);
        }
        sink.close(epoch, 0);
        sink.commit().unwrap();
        sink.merge().unwrap();
    }
    (sink, all)
}

/// The files that the table names, and their rows.
fn named(out: &Path) -> Vec<(String, u64)> {
    let runtime = runtime(out).unwrap();
    let (_, mut table) = builder(&out.join(ARCHIVE)).unwrap();
    runtime.block_on(table.load()).unwrap();
    let rows = |stats: &str| serde_json::from_str::<Stats>(stats).unwrap().num_records;
    let files = table.snapshot().unwrap().log_data();
    files.iter().map(|f| (f.path().into_owned(), rows(&f.stats().unwrap()))).collect()
}

#[test]
fn small_files_of_a_day_become_one() {
    let out = tempfile::tempdir().unwrap();
    let (sink, all) = merged(out.path(), 200);
    drop(sink);
    let files = named(out.path());
    let mut days: BTreeMap<&str, usize> = BTreeMap::new();
    for (path, _) in &files {
        *days.entry(path.split_once('/').unwrap().0).or_default() += 1;
    }
    assert_eq!(days.len(), 6);
    // Files of 1 to 7, 8 to 63 and 64 to 511 rows, seven of each at most.
    assert!(days.values().all(|count| *count <= 21), "{days:?}");
    assert_eq!(files.iter().map(|(_, rows)| rows).sum::<u64>(), 200 * 20);
    let mut archive = open(out.path(), &PROPERTIES, Erased::default());
    assert_eq!(archive.reach(), Reach { first: 1, last: 200 });
    archive.begin((1, 200)).unwrap();
    for (epoch, events) in all {
        assert_eq!(sorted(archive.next(epoch).unwrap()), sorted(events), "epoch {epoch}");
    }
    let (path, _) = files.iter().max_by_key(|(_, rows)| rows).unwrap();
    let mut rows = Vec::new();
    let file = fs::File::open(out.path().join(ARCHIVE).join(path)).unwrap();
    for batch in batches(file, Some(&["tenant", "identifier"])).unwrap() {
        let batch = batch.unwrap();
        let texts = |place| columns::cells(ColumnType::Str, batch.column(place)).unwrap();
        rows.extend(texts(0).into_iter().zip(texts(1)));
    }
    assert!(rows.len() > 64 && rows.is_sorted());
}

/// A file that is damaged is not touched, which is said once; others become one.
#[test]
fn a_damaged_file_is_not_merged() {
    let out = tempfile::tempdir().unwrap();
    let mut sink = ArchiveSink::open(out.path(), spec(&PROPERTIES, None)).unwrap();
    sink.begin(0);
    let (mut random, mut said, mut damaged) = (Seeded(10), Vec::new(), String::new());
    for epoch in 1..=20 {
        let mut event = event(&mut random, epoch);
        event.key.time = epoch as i64;
        sink.add(epoch, [Arc::new(event)]);
        sink.close(epoch, 0);
        sink.commit().unwrap();
        if epoch == 3 {
            damaged = files(out.path())[1]
                .strip_prefix(out.path().join(ARCHIVE))
                .unwrap()
                .to_string_lossy()
                .into();
            fs::write(out.path().join(ARCHIVE).join(&damaged), "PAR1").unwrap();
        }
        said.extend(sink.merge().err().map(|error| (epoch, error.to_string())));
    }
    let [(8, words)] = &said[..] else { panic!("{said:?}") };
    assert!(words.contains(&damaged) && words.contains("is damaged"), "{words}");
    let named = named(out.path());
    assert!(named.iter().any(|(path, _)| *path == damaged));
    // Two of eight, the damaged one, and three since.
    assert_eq!(named.len(), 6, "{named:?}");
    let mut archive = open(out.path(), &PROPERTIES, Erased::default());
    assert!(archive.begin((1, 20)).unwrap_err().to_string().contains("is damaged"));
}

/// What an import adds is read with the rest.
#[test]
fn an_import_comes_before_what_is_there() {
    let out = tempfile::tempdir().unwrap();
    let mut random = Seeded(6);
    let mut add = |app: String, after: Epoch, upto: Epoch| {
        let spec = ArchiveSpec { app, ..spec(&PROPERTIES, None) };
        let mut sink = ArchiveSink::open(out.path(), spec).unwrap();
        sink.begin(after);
        for epoch in after + 1..=upto {
            sink.add(epoch, [Arc::new(event(&mut random, epoch))]);
            sink.close(epoch, 0);
        }
        sink.commit().unwrap();
    };
    let reach = || open(out.path(), &PROPERTIES, Erased::default()).reach();
    add(live("shop"), 10, 20);
    assert_eq!(reach(), Reach { first: 11, last: 20 });
    add(import("shop"), 0, 7);
    assert_eq!(reach(), Reach { first: 11, last: 20 }, "it is not whole yet");
    add(import("shop"), 0, 10);
    assert_eq!(reach(), Reach { first: 1, last: 20 });
    let mut archive = open(out.path(), &PROPERTIES, Erased::default());
    archive.begin((1, 20)).unwrap();
    assert!((1..=20).all(|epoch| archive.next(epoch).unwrap().len() == 1));
}

/// Rows of one person are beside each other, in groups of which readers know the bounds.
#[test]
fn a_persons_history_is_a_cheap_read() {
    use parquet::file::reader::{FileReader as _, SerializedFileReader};
    let out = tempfile::tempdir().unwrap();
    let mut sink = ArchiveSink::open(out.path(), spec(&PROPERTIES, None)).unwrap();
    let mut random = Seeded(7);
    for number in 0..60_000u64 {
        let mut event = event(&mut random, number);
        event.key.time = 1_760_000_000_000_000 + number as i64;
        let token = Token(u128::from(random.below(3000)) << 96);
        event.idents = [Ident { kind: 0, token }].into_iter().collect();
        sink.add(1, [Arc::new(event)]);
    }
    sink.close(1, 0);
    sink.commit().unwrap();
    let all = files(out.path());
    assert_eq!(all.len(), 1, "one day");
    let reader = SerializedFileReader::new(fs::File::open(&all[0]).unwrap()).unwrap();
    let metadata = reader.metadata();
    let tenant_and_person: Vec<(Vec<u8>, Vec<u8>)> = (0..metadata.num_row_groups())
        .map(|group| {
            let column = metadata.row_group(group).column(7);
            assert_eq!(column.column_path().string(), "identifier");
            let statistics = column.statistics().unwrap();
            (statistics.min_bytes_opt().unwrap().into(), statistics.max_bytes_opt().unwrap().into())
        })
        .collect();
    assert!(tenant_and_person.len() >= 4, "{}", tenant_and_person.len());
    let wanted = format!("{}", Token(1234 << 96)).into_bytes();
    let within = |(least, most): &&(Vec<u8>, Vec<u8>)| *least <= wanted && wanted <= *most;
    // One group for each of the two tenants, or two where it lies across.
    assert!(tenant_and_person.iter().filter(within).count() <= 3);
    let rows: usize = batches(fs::File::open(&all[0]).unwrap(), Some(&["identifier"]))
        .unwrap()
        .map(|batch| batch.unwrap().num_rows())
        .sum();
    assert_eq!(rows, 60_000);
}
