//! Tables against a naive replay of the changes, over random histories, commits and restarts.

use std::collections::BTreeMap;
use std::path::Path;

use operators::identity::testing::Seeded;
use operators::model::{Cause, Cell, Cells, Column, ColumnType, DAY, Token};

use super::*;

const COLUMNS: [(&str, ColumnType); 5] = [
    ("tenant", ColumnType::Str),
    ("value", ColumnType::Float),
    ("id", ColumnType::Id),
    ("at", ColumnType::Time),
    ("names", ColumnType::StrList),
];

fn schema(date: bool) -> ViewSchema {
    let columns = COLUMNS.map(|(name, kind)| Column { name, kind, nullable: name == "value" });
    ViewSchema {
        name: "things".into(),
        columns: columns.to_vec(),
        key: vec![0, 2, 3],
        date: date.then_some(3),
        append_only: false,
    }
}

fn options(partition: Granularity, arrow: bool) -> TableOptions {
    let every = Duration::ZERO;
    TableOptions { job: "job".into(), job_hash: "h".into(), partition, arrow, every }
}

fn row(random: &mut Seeded) -> Row {
    let at = random.below(5) as i64 * DAY * 20 - 30 * DAY + random.below(3) as i64;
    Row {
        view: 0,
        cells: Cells::from([
            Cell::str(random.pick(&["a", "b c/%~=é"])),
            random.pick(&[Some(0.5), Some(-1.0), None]).map_or(Cell::Null, Cell::float),
            Cell::Id(Token(u128::from(random.below(3)) << 100 | u128::from(random.below(2)))),
            Cell::Time(at),
            Cell::List((0..random.below(3)).map(|_| Cell::str("x")).collect()),
        ]),
        final_at: random.pick(&[Micros::MIN, at, at + DAY, Micros::MAX]),
    }
}

/// Random changes of one epoch: rows that come, that go, that change. No two rows of a key stand at
/// once.
fn epoch(random: &mut Seeded, standing: &mut Vec<Row>) -> Vec<Change> {
    let mut changes = Vec::new();
    for _ in 0..random.below(12) {
        let cause = random.pick(&[Cause::New, Cause::Late, Cause::Merge]);
        if random.once_in(3) && !standing.is_empty() {
            let at = random.below(standing.len() as u64) as usize;
            changes.push(Change { row: standing.swap_remove(at), diff: -1, cause });
        } else {
            let row = row(random);
            let key = |row: &Row| [0, 2, 3].map(|column| Cell::from(row.cells.get(column)));
            if let Some(at) = standing.iter().position(|there| key(there) == key(&row)) {
                changes.push(Change { row: standing.swap_remove(at), diff: -1, cause });
            }
            standing.push(row.clone());
            changes.push(Change { row, diff: 1, cause });
        }
    }
    changes
}

/// The rows of a table as text, sorted.
fn table(path: &Path, extra: &[(&'static str, ColumnType)]) -> Vec<String> {
    let columns: Vec<_> = COLUMNS.iter().chain(extra).copied().collect();
    let mut rows: Vec<String> =
        read(path, &columns).unwrap().iter().map(|row| format!("{row:?}")).collect();
    rows.sort();
    rows
}

fn expected(standing: &[Row], watermark: Micros) -> Vec<String> {
    let line = |row: &Row| {
        let mut cells = row.cells.to_vec();
        let done = watermark >= row.final_at;
        cells.push(Cell::str(if done { "final" } else { "provisional" }));
        format!("{cells:?}")
    };
    let mut lines: Vec<String> = standing.iter().map(line).collect();
    lines.sort();
    lines
}

/// Names of the files that the current table's folder has, live or not.
fn names(folder: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() && !path.ends_with("_delta_log") {
            names.extend(self::names(&path));
        } else if path.extension().is_some_and(|e| e == "parquet") {
            names.push(path.display().to_string());
        }
    }
    names
}

/// Whatever is committed when, and whenever the process starts again from its first epoch, the
/// tables hold what stands, and the changelog adds up to it.
#[test]
fn tables_hold_what_stands() {
    for seed in 0..25 {
        let mut random = Seeded(seed);
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        let granularity = random.pick(&[Granularity::Day, Granularity::Month, Granularity::None]);
        let schemas = [schema(random.once_in(2))];
        let open = || TableSink::open(&out, &schemas, options(granularity, false)).unwrap();
        let progress = || TableProgress::of(&out, &schemas, "job").unwrap();
        let mut standing = Vec::new();
        let mut history: Vec<(Vec<Change>, Micros)> = Vec::new();
        let mut sink = open();
        let mut watermark = -40 * DAY;
        for upto in 1..=8u64 {
            watermark += random.below(30) as i64 * DAY;
            let changes = epoch(&mut random, &mut standing);
            history.push((changes.clone(), watermark));
            changes.into_iter().for_each(|change| sink.add(upto, watermark, change));
            sink.close(upto, watermark);
            if random.once_in(2) {
                sink.commit_changelogs().unwrap();
                assert_eq!(sink.pending(), 0);
                assert_eq!(sink.committed(), Some(upto));
                assert_eq!(progress().changelogs, Some(upto));
                assert!(progress().tables <= Some(upto));
            }
            if random.once_in(3) || upto == 8 {
                if upto == 8 { sink.finish() } else { sink.commit() }.unwrap();
                assert_eq!((sink.pending(), sink.lacking()), (0, 0));
                assert_eq!(sink.committed(), Some(upto));
                let all = TableProgress { changelogs: Some(upto), tables: Some(upto) };
                assert_eq!(progress(), all);
                let current = table(&out.join("things"), &[("_status", ColumnType::Str)]);
                assert_eq!(current, expected(&standing, watermark), "seed {seed} epoch {upto}");
            }
            if random.once_in(3) {
                // A crash: what was not committed comes again from the first epoch on.
                sink = open();
                let again = if random.once_in(2) { sink.committed().unwrap_or(0) } else { 0 };
                for (epoch, (changes, watermark)) in (1..).zip(&history).skip(again as usize) {
                    changes.iter().for_each(|c| sink.add(epoch, *watermark, c.clone()));
                    sink.close(epoch, *watermark);
                    if random.once_in(8) {
                        sink.commit().unwrap();
                    }
                }
            }
        }
        assert_eq!(sink.newest(), Some(8));
        let mut net: BTreeMap<String, i64> = BTreeMap::new();
        for (changes, _) in &history {
            for change in changes {
                *net.entry(format!("{:?}", change.row.cells.to_vec())).or_default() += change.diff;
            }
        }
        net.retain(|_, n| *n != 0);
        let mut now: BTreeMap<String, i64> = BTreeMap::new();
        for line in table(&out.join("things"), &[]) {
            *now.entry(line).or_default() += 1;
        }
        assert_eq!(now, net, "seed {seed}");
    }
}

/// The same rows give the same files, however they came.
#[test]
fn files_follow_from_the_rows() {
    let final_names = |batches: &[usize], every: u64| {
        let folder = tempfile::tempdir().unwrap();
        let schemas = [schema(true)];
        let options = options(Granularity::Day, true);
        let mut sink = TableSink::open(folder.path(), &schemas, options).unwrap();
        let mut random = Seeded(5);
        let mut standing = Vec::new();
        let changes: Vec<Change> =
            (0..20).flat_map(|_| epoch(&mut random, &mut standing)).collect();
        let mut rest = changes.as_slice();
        let mut epoch = 0;
        for size in batches.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            epoch += 1;
            let (now, later) = rest.split_at((*size).min(rest.len()));
            now.iter().for_each(|c| sink.add(epoch, 0, c.clone()));
            sink.close(epoch, 0);
            if epoch % every == 0 { sink.commit() } else { sink.commit_changelogs() }.unwrap();
            rest = later;
        }
        sink.close(epoch + 1, 7 * DAY);
        sink.finish().unwrap();
        let arrow = std::fs::read(folder.path().join("arrow/things.arrow")).unwrap();
        let table = table(&folder.path().join("things"), &[("_final_at", ColumnType::Time)]);
        (table, arrow)
    };
    let once = final_names(&[1000], 1);
    for every in [1, 2, 100] {
        assert_eq!(once, final_names(&[7, 1, 30], every));
        assert_eq!(once, final_names(&[1], every));
    }
}

/// What a table has committed is not written again.
#[test]
fn a_repeated_epoch_is_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let schemas = [schema(false)];
    let open = || TableSink::open(folder.path(), &schemas, options(Granularity::Day, false));
    let change = Change { row: row(&mut Seeded(1)), diff: 1, cause: Cause::New };
    let mut sink = open().unwrap();
    sink.add(1, 0, change.clone());
    sink.close(1, 0);
    sink.finish().unwrap();
    let files = names(folder.path());
    let mut again = open().unwrap();
    again.add(1, 0, change);
    again.close(1, 0);
    assert_eq!(again.pending(), 0);
    assert_eq!(again.finish().unwrap(), Written::default());
    assert_eq!(files, names(folder.path()));
}

/// Where a changelog is gone, current rows begin anew with it, whatever happens meanwhile. Until
/// there is something of the same time to take their place, they stand.
#[test]
fn current_rows_begin_anew_with_their_changelog() {
    for seed in 0..20 {
        let (folder, mut random) = (tempfile::tempdir().unwrap(), Seeded(seed));
        let out = folder.path();
        let open = || TableSink::open(out, &[schema(true)], options(Granularity::Day, false));
        let (extra, watermark) = ([("_status", ColumnType::Str)], 10 * DAY);
        let rows = || table(&out.join("things"), &extra);
        let mut sink = open().unwrap();
        let mut before = Vec::new();
        for number in 1..=4 {
            let changes = epoch(&mut random, &mut before);
            changes.into_iter().for_each(|change| sink.add(number, watermark, change));
            sink.close(number, watermark);
        }
        sink.commit().unwrap();
        std::fs::remove_dir_all(out.join("changelog/things")).unwrap();
        let mut sink = open().unwrap();
        sink.go_back().unwrap();
        let mut sink = open().unwrap();
        sink.close(3, watermark);
        sink.commit().unwrap();
        assert_eq!(rows(), expected(&before, watermark), "what comes is older");
        let mut after = vec![row(&mut random)];
        sink.add(9, watermark, Change { row: after[0].clone(), diff: 1, cause: Cause::New });
        sink.close(9, watermark);
        sink.commit_changelogs().unwrap();
        assert_eq!(rows(), expected(&before, watermark), "only the changelog is written");
        let mut sink = open().unwrap();
        sink.close(8, watermark);
        sink.commit().unwrap();
        assert_eq!(rows(), expected(&before, watermark), "the changelog is further");
        sink.close(10, watermark);
        sink.commit().unwrap();
        assert_eq!(rows(), expected(&after, watermark));
        let mut sink = open().unwrap();
        let changes = epoch(&mut random, &mut after);
        changes.into_iter().for_each(|change| sink.add(11, watermark, change));
        sink.close(11, watermark);
        sink.commit().unwrap();
        assert_eq!(rows(), expected(&after, watermark), "and goes on as ever");
    }
}

/// A row that goes and was never there is the program's mistake, and said so.
#[test]
fn a_row_that_is_not_there_cannot_go() {
    let folder = tempfile::tempdir().unwrap();
    let schemas = [schema(false)];
    let options = options(Granularity::Day, false);
    let mut sink = TableSink::open(folder.path(), &schemas, options).unwrap();
    let change = |diff| Change { row: row(&mut Seeded(1)), diff, cause: Cause::New };
    sink.add(1, 0, change(-1));
    sink.close(1, 0);
    // Changelogs take any change; what lags behind them finds out later.
    sink.commit_changelogs().unwrap();
    assert!(matches!(sink.commit(), Err(TableError::Inconsistent { .. })));
    sink.add(2, 0, change(-1));
    sink.close(2, 0);
    assert!(matches!(sink.commit(), Err(TableError::Inconsistent { .. })));
}

#[test]
fn another_tables_columns_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut schemas = [schema(false)];
    let options = options(Granularity::Day, false);
    drop(TableSink::open(folder.path(), &schemas, options.clone()).unwrap());
    schemas[0].columns.pop();
    let result = TableSink::open(folder.path(), &schemas, options);
    assert!(matches!(result, Err(TableError::Schema { .. })));
}

/// A tenant is what a record says: its name may be longer than a name on the disk, and differ from
/// another's at its end only.
#[test]
fn tenants_may_have_long_names() {
    let folder = tempfile::tempdir().unwrap();
    let schemas = [schema(true)];
    let options = options(Granularity::Day, true);
    let names = ["t".repeat(300), "漢".repeat(100) + "一", "漢".repeat(100) + "二"];
    let mut expected = Vec::new();
    for epoch in 1..=2 {
        let open = TableSink::open(folder.path(), &schemas, options.clone());
        let mut sink = open.unwrap();
        for name in &names {
            let mut row = row(&mut Seeded(epoch));
            let mut cells = row.cells.to_vec();
            (cells[0], cells[2]) = (Cell::str(name), Cell::Id(Token(u128::from(epoch))));
            row.cells = cells.into();
            sink.add(epoch, Micros::MAX, Change { row: row.clone(), diff: 1, cause: Cause::New });
            expected.push(row);
        }
        sink.close(epoch, Micros::MAX);
        sink.finish().unwrap();
        let current = table(&folder.path().join("things"), &[("_status", ColumnType::Str)]);
        assert_eq!(current, self::expected(&expected, Micros::MAX));
    }
    let mut folders = std::collections::BTreeSet::new();
    for entry in std::fs::read_dir(folder.path().join("things")).unwrap() {
        folders.insert(entry.unwrap().file_name().into_string().unwrap());
    }
    folders.remove("_delta_log");
    assert_eq!(folders.len(), 3, "{folders:?}");
}

/// A job of another name would write all rows once more.
#[test]
fn another_jobs_tables_are_refused() {
    for finish in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let schemas = [schema(false)];
        let options =
            |job: &str| TableOptions { job: job.to_owned(), ..options(Granularity::None, false) };
        let open = |job: &str| TableSink::open(folder.path(), &schemas, options(job));
        // A table without rows is anybody's.
        drop(open("first").unwrap());
        let mut sink = open("second").unwrap();
        sink.add(1, 0, Change { row: row(&mut Seeded(1)), diff: 1, cause: Cause::New });
        sink.close(1, 0);
        if finish { sink.finish() } else { sink.commit_changelogs() }.unwrap();
        drop(sink);
        let Err(error) = open("first") else { panic!("it is opened") };
        assert!(error.is_usage());
        assert!(error.to_string().contains("was written by the job \"second\""), "{error}");
        assert_eq!(open("second").unwrap().committed(), Some(1));
    }
}

/// A table's file with any byte flipped, or cut anywhere, is an error or is read; nothing panics.
#[test]
fn damaged_files_never_panic() {
    let out = tempfile::tempdir().unwrap();
    let (schemas, mut random, mut standing) = ([schema(false)], Seeded(9), Vec::new());
    let mut sink =
        TableSink::open(out.path(), &schemas, options(Granularity::None, false)).unwrap();
    for number in 1..6 {
        epoch(&mut random, &mut standing).into_iter().for_each(|c| sink.add(number, 0, c));
        sink.close(number, 0);
    }
    sink.finish().unwrap();
    let changelog = out.path().join("changelog/things");
    let files: Vec<_> = std::fs::read_dir(&changelog)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "parquet"))
        .collect();
    let path = files.first().unwrap();
    let whole = std::fs::read(path).unwrap();
    let mut errors = 0;
    let mut read_damaged = |bytes: &[u8]| {
        std::fs::write(path, bytes).unwrap();
        errors += u32::from(logged(out.path(), (0, &schemas[0]), 9).is_err());
    };
    for at in (0..whole.len()).step_by(61) {
        for mask in [0xff, 0x04] {
            let mut bytes = whole.clone();
            bytes[at] ^= mask;
            read_damaged(&bytes);
        }
    }
    for length in (0..whole.len()).step_by(331) {
        read_damaged(&whole[..length]);
    }
    assert!(errors > 20, "{errors} of the damages were noticed");
}
