//! Snapshots that are taken, damaged, taken over and removed, in a folder and in a store.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use connectors::bindings::{Binding, Logged};
use connectors::store::Store;
use object_store::local::LocalFileSystem;

use operators::model::{
    Command, CommandKind, Epoch, Event, EventKey, EventKind, Ident, Matches, Origin, Special,
    Token, Value,
};
use operators::time::{Lane, Watermark};
use tempfile::TempDir;

use super::*;

mod faults;

pub(super) fn event(number: u64) -> Arc<Event> {
    let ident = |n: u64| Ident { kind: n as u8, token: Token(u128::from(n) << 70 | 5) };
    let mut matches = Matches::default();
    matches.set(number as usize % 70);
    let command = Command { kind: CommandKind::Merge, x: ident(1), y: ident(number + 2) };
    let command = number.is_multiple_of(7).then_some(command);
    let business_key = number.is_multiple_of(5).then_some(Token(9));
    let tenant = ["t", "u"][number as usize % 2];
    let message_id = match number % 3 {
        0 => format!("0000abcd-0000-4000-8000-{number:012}"),
        _ => format!("m{number}"),
    };
    Arc::new(Event {
        kind: EventKind::shared(tenant, "web", &format!("event {}", number % 5)),
        key: EventKey { time: number as i64 - 5, seq: number / 3, id: u128::from(number) << 9 },
        message_id: message_id.into(),
        origin: Origin { source: 1, partition: 2, offset: number },
        idents: (0..number % 4).map(ident).collect(),
        special: Special::of(command, business_key),
        properties: [
            None,
            Some(Value::Bool(number > 3)),
            Some(Value::Int(-7)),
            Some(Value::Float(0.5)),
            (!number.is_multiple_of(4)).then(|| Value::Str(format!("v{}", number % 3).into())),
        ]
        .into(),
        matches,
        content: number * 3,
    })
}

/// What stands for the bindings up to an epoch.
fn beginning(epoch: Epoch) -> Logged {
    Logged { at: 100 * epoch, binding: Binding::new(epoch, 1, 3, "job") }
}

fn taken(epoch: Epoch) -> Taken {
    let counts = Counts { read: 10 * epoch, ..Counts::default() };
    Taken { epoch, at: 7, watermark: watermark(epoch), counts, beginning: beginning(epoch) }
}

fn watermark(epoch: Epoch) -> Watermark {
    let mut watermark = Watermark::new(5);
    watermark.observe(Lane::default(), Some(epoch as i64 * 10), None);
    watermark.advance();
    watermark
}

/// A place that is gone when dropped. Either kind has its files in [`Ground::files`].
struct Ground {
    folder: TempDir,
    place: Place,
}

impl Ground {
    /// One of each kind.
    fn each() -> [Self; 2] {
        [false, true].map(|in_store| {
            let folder = TempDir::new().unwrap();
            let files = folder.path().join("files");
            if !in_store {
                let place = Place::open(&PlaceSpec::Folder(files)).unwrap();
                return Self { folder, place };
            }
            fs::create_dir(&files).unwrap();
            let objects = LocalFileSystem::new_with_prefix(files).unwrap();
            let objects = Arc::new(objects.with_automatic_cleanup(true));
            let url = format!("s3://{}", folder.path().display());
            let store = Store::over(objects, "".into(), &url).unwrap();
            let place = Place::in_store(store, folder.path().join("waiting"));
            Self { folder, place }
        })
    }

    fn files(&self) -> PathBuf {
        self.folder.path().join("files")
    }

    /// The only run that is there.
    fn run(&self) -> PathBuf {
        let mut runs = fs::read_dir(self.files()).unwrap().map(|entry| entry.unwrap().path());
        let run = runs.next().unwrap();
        assert_eq!(runs.next(), None);
        run
    }

    fn runs(&self) -> usize {
        fs::read_dir(self.files()).unwrap().count()
    }

    fn find(&self, job: &str, upto: Epoch) -> Found {
        let mut last = 0;
        let looked = |bytes, all| {
            assert!(bytes <= all);
            last = bytes;
        };
        let ours = |logged: &Logged| Some(logged.at == 100 * logged.binding.epoch);
        let found = find(&self.place, job, upto, ours, looked).unwrap();
        assert!(found.begin.is_none() || last > 0);
        found
    }

    fn found(&self, upto: Epoch) -> Found {
        self.find("job", upto)
    }
}

/// A run: it takes snapshots, epoch `n` has the events from `10 n` to `10 n + 9`.
struct Run {
    shelf: Shelf,
    writer: Writer,
}

impl Run {
    fn open(ground: &Ground, generation: u64, begin: Option<&mut Begin>) -> Self {
        let shelf = Shelf::open(&ground.place, "job", generation, begin).unwrap();
        let writer = shelf.writer();
        Self { shelf, writer }
    }

    fn try_take(&mut self, epoch: Epoch) -> Result<Manifest, SnapshotError> {
        self.writer.add((10 * epoch..10 * epoch + 10).map(event))?;
        self.shelf.take(self.writer.cut()?, taken(epoch))
    }

    fn take(&mut self, epochs: std::ops::RangeInclusive<Epoch>) {
        epochs.for_each(|epoch| drop(self.try_take(epoch).unwrap()));
    }
}

fn try_read(begin: &Begin) -> Result<Vec<Arc<Event>>, SnapshotError> {
    let (mut events, mut reader) = (Vec::new(), BlockReader::default());
    for segment in 0..begin.manifest.segments.len() {
        let mut blocks = begin.blocks(segment)?;
        while let Some(block) = blocks.next()? {
            events.extend(reader.decode(&block).unwrap());
        }
    }
    Ok(events)
}

fn read(begin: &Begin) -> Vec<Arc<Event>> {
    try_read(begin).unwrap()
}

/// Whether a snapshot with these events holds exactly what was admitted up to its epoch.
fn assert_holds(begin: &Begin, events: &[Arc<Event>]) {
    let manifest = &begin.manifest;
    let expected: Vec<_> = (10..10 * manifest.epoch + 10).map(event).collect();
    assert!(events == expected, "the snapshot at {}", manifest.epoch);
    assert_eq!(manifest.events(), events.len() as u64);
    assert_eq!(manifest.watermark, watermark(manifest.epoch));
    assert_eq!(manifest.counts.read, 10 * manifest.epoch);
    assert_eq!(manifest.beginning, beginning(manifest.epoch));
}

fn assert_whole(begin: &Begin) {
    assert_holds(begin, &read(begin));
}

fn epoch(found: &Found) -> Option<Epoch> {
    found.begin.iter().for_each(assert_whole);
    found.begin.as_ref().map(|begin| begin.manifest.epoch)
}

#[test]
fn a_run_begins_with_the_newest_that_bindings_and_outputs_have_passed() {
    for ground in Ground::each() {
        assert_eq!(epoch(&ground.found(100)), None);
        Run::open(&ground, 1, None).take(1..=5);
        for (upto, begin) in [(0, None), (4, Some(4)), (5, Some(5)), (100, Some(5))] {
            assert_eq!(epoch(&ground.found(upto)), begin);
        }
        assert_eq!(oldest(&ground.place, "job").unwrap(), Some(beginning(1)));
        assert_eq!(oldest(&ground.place, "other").unwrap(), None);
        let other = ground.find("other", 9);
        assert!(other.begin.is_none() && other.passed_over.is_empty(), "of another job");
    }
}

#[test]
fn a_next_run_takes_over_and_an_earlier_one_spoils_nothing() {
    for ground in Ground::each() {
        let mut first = Run::open(&ground, 1, None);
        first.take(1..=6);
        first.shelf.passed(6).unwrap();
        let mut begin = ground.found(6).begin.unwrap();
        let mut second = Run::open(&ground, 2, Some(&mut begin));
        assert_whole(&begin);
        assert_eq!(epoch(&ground.found(6)), Some(6));
        // The first one goes on, as one does that was stopped and not killed.
        assert!(first.try_take(7).is_err(), "its folder is gone");
        second.take(7..=9);
        second.shelf.passed(9).unwrap();
        assert_eq!(epoch(&ground.found(9)), Some(9));
        let kept = oldest(&ground.place, "job").unwrap();
        assert_eq!(kept, Some(beginning(8)), "what older ones need is not kept");
        assert_eq!(ground.runs(), 1, "also what the first one has left");
        // A run that binds nothing leaves its generation to the next.
        for _ in 0..2 {
            let mut begin = ground.found(9).begin.unwrap();
            drop(Run::open(&ground, 3, Some(&mut begin)));
            assert_whole(&begin);
        }
        assert_eq!(epoch(&ground.found(9)), Some(9));
        assert_eq!(ground.runs(), 1);
    }
}

/// As where all is removed but the snapshots: they are not taken for those of the new bindings, and
/// go when there are new ones.
#[test]
fn snapshots_of_other_bindings_are_passed_over() {
    for ground in Ground::each() {
        let mut run = Run::open(&ground, 7, None);
        let other = Taken { beginning: Logged { at: 3, ..beginning(2) }, ..taken(2) };
        run.writer.add([event(1)]).unwrap();
        run.shelf.take(run.writer.cut().unwrap(), other).unwrap();
        let found = ground.found(9);
        assert!(found.begin.is_none());
        assert!(found.passed_over[0].contains("of other bindings"), "{found:?}");
        let mut run = Run::open(&ground, 1, None);
        run.take(1..=3);
        assert_eq!(epoch(&ground.found(9)), Some(3));
        run.shelf.passed(3).unwrap();
        assert_eq!(ground.runs(), 1);
    }
}

/// A run may begin with a snapshot of another place, as of a replay.
#[test]
fn a_run_takes_over_from_another_place() {
    for (from, to) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let (froms, tos) = (Ground::each(), Ground::each());
        let (from, to) = (&froms[from], &tos[to]);
        Run::open(from, 1, None).take(1..=3);
        let mut begin = from.found(3).begin.unwrap();
        let mut run = Run::open(to, 2, Some(&mut begin));
        assert_whole(&begin);
        run.take(4..=5);
        run.shelf.passed(5).unwrap();
        assert_eq!((epoch(&to.found(9)), epoch(&from.found(9))), (Some(5), Some(3)));
    }
}

/// Found by hand: a stray file ended the run.
#[test]
fn what_others_have_put_there_is_left_alone() {
    for ground in Ground::each() {
        let mut run = Run::open(&ground, 1, None);
        run.take(1..=2);
        let folder = ground.run();
        fs::write(ground.files().join("g000000009-000000"), "a file").unwrap();
        fs::write(ground.files().join("gzzz"), "another").unwrap();
        fs::create_dir(ground.files().join("good things")).unwrap();
        fs::write(ground.files().join("good things/manifest-9"), "no snapshot").unwrap();
        fs::write(folder.join("manifest-99999999999999999999"), "no snapshot").unwrap();
        fs::write(folder.join("manifest-of something"), "no snapshot").unwrap();
        let found = ground.found(2);
        assert_eq!((epoch(&found), found.passed_over.len()), (Some(2), 2));
        run.shelf.passed(2).unwrap();
        assert_eq!(ground.runs(), 4);
        assert!(folder.join("manifest-of something").exists());
    }
}

/// A run that is killed before it has a usable snapshot leaves a folder, which the next removes
/// once it has one.
#[test]
fn folders_without_a_usable_snapshot_are_removed_in_time() {
    for ground in Ground::each() {
        for generation in 1..=3 {
            let mut run = Run::open(&ground, generation, None);
            run.take(1..=2);
            assert_eq!(ground.runs(), generation as usize);
            if generation == 3 {
                run.shelf.passed(2).unwrap();
            }
        }
        assert_eq!(ground.runs(), 1);
        assert_eq!(epoch(&ground.found(2)), Some(2));
    }
}

#[test]
fn what_is_old_is_removed_and_small_segments_are_joined() {
    for ground in Ground::each() {
        let mut run = Run::open(&ground, 1, None);
        for epoch in 1..=200 {
            run.take(epoch..=epoch);
            if epoch > 3 {
                run.shelf.passed(epoch - 3).unwrap();
            }
            assert!(fs::read_dir(ground.run()).unwrap().count() <= 21, "epoch {epoch}");
        }
        assert_eq!(epoch(&ground.found(200)), Some(200));
    }
}

/// Whatever happens to a file of a snapshot, a run begins with one that is whole, or with none, and
/// is told why.
#[test]
fn damage_is_recognised() {
    for ground in Ground::each() {
        let mut run = Run::open(&ground, 1, None);
        run.take(1..=3);
        run.shelf.passed(2).unwrap();
        run.take(4..=4);
        run.shelf.passed(4).unwrap();
        let mut older = 0;
        for entry in fs::read_dir(ground.run()).unwrap() {
            let path = entry.unwrap().path();
            let good = fs::read(&path).unwrap();
            let step = (good.len() / 40).max(1);
            for at in (0..good.len()).step_by(step) {
                let mut flipped = good.clone();
                flipped[at] ^= 1;
                for bad in [&flipped[..], &good[..at]] {
                    fs::write(&path, bad).unwrap();
                    let found = ground.found(9);
                    let epoch = epoch(&found);
                    older += u32::from(epoch.is_some_and(|epoch| epoch < 4));
                    let told = epoch == Some(4) || !found.passed_over.is_empty();
                    assert!(told, "{path:?}: {found:?}");
                }
            }
            fs::remove_file(&path).unwrap();
            epoch(&ground.found(9));
            fs::write(&path, &good).unwrap();
            assert_eq!(epoch(&ground.found(9)), Some(4));
        }
        assert!(older > 0, "an older one was never used");
    }
}
