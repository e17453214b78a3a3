//! Snapshots that are taken, damaged, taken over and removed.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use operators::model::{
    Command, CommandKind, Epoch, Event, EventKey, Ident, Matches, Origin, Token, Value,
};
use operators::time::{Lane, Watermark};
use tempfile::TempDir;

use super::*;

pub(super) fn event(number: u64) -> Arc<Event> {
    let ident = |n: u64| Ident { kind: n as u8, token: Token(u128::from(n) << 70 | 5) };
    let mut matches = Matches::default();
    matches.set(number as usize % 70);
    let command = Command { kind: CommandKind::Merge, x: ident(1), y: ident(number + 2) };
    Arc::new(Event {
        tenant: ["t", "u"][number as usize % 2].into(),
        key: EventKey { time: number as i64 - 5, seq: number / 3, id: u128::from(number) << 9 },
        message_id: format!("m{number}").into(),
        channel: "web".into(),
        name: format!("event {}", number % 5).into(),
        origin: Origin { source: 1, partition: 2, offset: number },
        idents: (0..number % 4).map(ident).collect(),
        command: number.is_multiple_of(7).then(|| Box::new(command)),
        properties: Box::new([
            None,
            Some(Value::Bool(number > 3)),
            Some(Value::Int(-7)),
            Some(Value::Float(0.5)),
            Some(Value::Str(format!("v{}", number % 3).into())),
        ]),
        matches,
        business_key: number.is_multiple_of(5).then_some(Token(9)),
        content: number * 3,
    })
}

fn watermark(epoch: Epoch) -> Watermark {
    let mut watermark = Watermark::new(5, 1);
    watermark.observe(Lane::default(), Some(epoch as i64 * 10), None);
    watermark.advance();
    watermark
}

/// Takes a snapshot at each of the epochs; epoch `n` has the events from `10 n` to `10 n + 9`.
fn take(writer: &mut Writer, epochs: std::ops::RangeInclusive<Epoch>) {
    for epoch in epochs {
        writer.add((10 * epoch..10 * epoch + 10).map(event)).unwrap();
        let counts = Counts { read: 10 * epoch, ..Counts::default() };
        writer.take(epoch, 7, &watermark(epoch), &counts).unwrap();
    }
}

fn read(begin: &Begin) -> Vec<Arc<Event>> {
    let (mut events, mut reader) = (Vec::new(), BlockReader::default());
    for entry in &begin.manifest.segments {
        let mut blocks = Blocks::open(&begin.folder, entry).unwrap();
        while let Some(block) = blocks.next().unwrap() {
            events.extend(reader.decode(&block).unwrap());
        }
    }
    events
}

/// Whether a snapshot holds exactly what was admitted up to its epoch.
fn assert_whole(begin: &Begin) {
    let manifest = &begin.manifest;
    let events: Vec<_> = (10..10 * manifest.epoch + 10).map(event).collect();
    assert!(read(begin) == events, "the snapshot at {}", manifest.epoch);
    assert_eq!(manifest.events(), events.len() as u64);
    assert_eq!(manifest.watermark, watermark(manifest.epoch));
    assert_eq!(manifest.counts.read, 10 * manifest.epoch);
}

fn found(root: &Path, upto: Epoch) -> Found {
    find(root, "job", upto).unwrap()
}

fn epoch(found: &Found) -> Option<Epoch> {
    found.begin.iter().for_each(assert_whole);
    found.begin.as_ref().map(|begin| begin.manifest.epoch)
}

#[test]
fn a_run_begins_with_the_newest_that_bindings_and_outputs_have_passed() {
    let root = TempDir::new().unwrap();
    assert_eq!(epoch(&found(root.path(), 100)), None);
    let mut writer = Writer::open(root.path(), "job", 1, None).unwrap();
    take(&mut writer, 1..=5);
    for (upto, begin) in [(0, None), (4, Some(4)), (5, Some(5)), (100, Some(5))] {
        assert_eq!(epoch(&found(root.path(), upto)), begin);
    }
    assert_eq!(find(root.path(), "other", 9).unwrap(), Found::default(), "of another job");
}

#[test]
fn a_next_run_takes_over_and_an_earlier_one_spoils_nothing() {
    let root = TempDir::new().unwrap();
    let mut first = Writer::open(root.path(), "job", 1, None).unwrap();
    take(&mut first, 1..=6);
    first.passed(6).unwrap();
    let mut begin = found(root.path(), 6).begin.unwrap();
    let mut second = Writer::open(root.path(), "job", 2, Some(&mut begin)).unwrap();
    assert_whole(&begin);
    assert_eq!(epoch(&found(root.path(), 6)), Some(6));
    // The first one goes on, as one does that was stopped and not killed.
    assert!(first.add((70..80).map(event)).is_err(), "its folder is gone");
    take(&mut second, 7..=9);
    second.passed(9).unwrap();
    assert_eq!(epoch(&found(root.path(), 9)), Some(9));
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
    // A run that binds nothing leaves its generation to the next.
    for _ in 0..2 {
        let mut begin = found(root.path(), 9).begin.unwrap();
        drop(Writer::open(root.path(), "job", 3, Some(&mut begin)).unwrap());
        assert_whole(&begin);
    }
    assert_eq!(epoch(&found(root.path(), 9)), Some(9));
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
}

/// Found by hand: a stray file ended the run.
#[test]
fn what_others_have_put_there_is_left_alone() {
    let root = TempDir::new().unwrap();
    let mut writer = Writer::open(root.path(), "job", 1, None).unwrap();
    take(&mut writer, 1..=2);
    fs::write(root.path().join("g000000009-000000"), "a file").unwrap();
    fs::write(root.path().join("gzzz"), "another").unwrap();
    fs::create_dir(root.path().join("good things")).unwrap();
    fs::write(root.path().join("good things/manifest-9"), "no snapshot").unwrap();
    let folder = found(root.path(), 2).begin.unwrap().folder;
    fs::write(folder.join("manifest-99999999999999999999"), "no snapshot").unwrap();
    fs::write(folder.join("manifest-of something"), "no snapshot").unwrap();
    let found = found(root.path(), 2);
    assert_eq!((epoch(&found), found.passed_over.len()), (Some(2), 2));
    writer.passed(2).unwrap();
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 4);
}

/// A run that is killed before it has a usable snapshot leaves a folder, which the next removes
/// once it has one.
#[test]
fn folders_without_a_usable_snapshot_are_removed_in_time() {
    let root = TempDir::new().unwrap();
    for generation in 1..=3 {
        let mut writer = Writer::open(root.path(), "job", generation, None).unwrap();
        take(&mut writer, 1..=2);
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), generation as usize);
        if generation == 3 {
            writer.passed(2).unwrap();
        }
    }
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
    assert_eq!(epoch(&found(root.path(), 2)), Some(2));
}

#[test]
fn what_is_old_is_removed_and_small_segments_are_joined() {
    let root = TempDir::new().unwrap();
    let mut writer = Writer::open(root.path(), "job", 1, None).unwrap();
    for epoch in 1..=200 {
        take(&mut writer, epoch..=epoch);
        if epoch > 3 {
            writer.passed(epoch - 3).unwrap();
        }
        let folder = fs::read_dir(root.path()).unwrap().next().unwrap().unwrap().path();
        assert!(fs::read_dir(folder).unwrap().count() <= 20, "epoch {epoch}");
    }
    assert_eq!(epoch(&found(root.path(), 200)), Some(200));
}

/// Whatever happens to a file of a snapshot, a run begins with one that is whole, or with none, and
/// is told why.
#[test]
fn damage_is_recognised() {
    let root = TempDir::new().unwrap();
    let mut writer = Writer::open(root.path(), "job", 1, None).unwrap();
    take(&mut writer, 1..=3);
    writer.passed(2).unwrap();
    take(&mut writer, 4..=4);
    writer.passed(4).unwrap();
    let folder = fs::read_dir(root.path()).unwrap().next().unwrap().unwrap().path();
    let mut older = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let good = fs::read(&path).unwrap();
        let step = (good.len() / 40).max(1);
        for at in (0..good.len()).step_by(step) {
            let mut flipped = good.clone();
            flipped[at] ^= 1;
            for bad in [&flipped[..], &good[..at]] {
                fs::write(&path, bad).unwrap();
                let found = found(root.path(), 9);
                let epoch = epoch(&found);
                older += u32::from(epoch.is_some_and(|epoch| epoch < 4));
                assert!(epoch == Some(4) || !found.passed_over.is_empty(), "{path:?}: {found:?}");
            }
        }
        fs::remove_file(&path).unwrap();
        epoch(&found(root.path(), 9));
        fs::write(&path, &good).unwrap();
        assert_eq!(epoch(&found(root.path(), 9)), Some(4));
    }
    assert!(older > 0, "an older one was never used");
}
