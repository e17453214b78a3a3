//! Merging against rows that are sorted and encoded anew.

use operators::identity::testing::Seeded;
use operators::model::{Cell, Column, ColumnType, Token};

use super::super::changes::order;
use super::super::encode::{encode, encode_batches};
use super::*;

const KINDS: [(&str, ColumnType); 8] = [
    ("tenant", ColumnType::Str),
    ("names", ColumnType::StrList),
    ("id", ColumnType::Id),
    ("at", ColumnType::Time),
    ("value", ColumnType::Float),
    ("count", ColumnType::Int),
    ("flag", ColumnType::Bool),
    ("times", ColumnType::TimeList),
];

fn schema(append_only: bool) -> ViewSchema {
    let column = |(name, kind)| Column { name, kind, nullable: true };
    ViewSchema {
        name: "things".into(),
        columns: KINDS.map(column).to_vec(),
        key: vec![0, 2, 3],
        date: None,
        append_only,
    }
}

fn row(random: &mut Seeded, ids: u64) -> Row {
    let maybe = |random: &mut Seeded, cell: Cell| if random.once_in(4) { Cell::Null } else { cell };
    let time = |random: &mut Seeded| Cell::Time(random.below(4) as i64 - 1);
    let items = |random: &mut Seeded| 0..random.below(3);
    let names = items(random).map(|n| Cell::str(["a", "b", ""][n as usize])).collect();
    let times: Vec<Cell> = items(random).map(|_| time(random)).collect();
    let times = times.into_iter().map(|cell| maybe(random, cell)).collect();
    // Of many identifiers the numbers are mostly seen once.
    let values = if ids > 20 { 10_000 } else { 5 };
    let cells = [
        Cell::str("t"),
        Cell::List(names),
        Cell::Id(Token(u128::from(random.below(ids)) << 90)),
        time(random),
        Cell::float(random.below(values) as f64 - 2.0),
        Cell::Int(random.below(values) as i64 - 1),
        Cell::Bool(random.once_in(2)),
        Cell::List(times),
    ];
    let cells: Vec<Cell> = cells
        .into_iter()
        .enumerate()
        .map(|(place, cell)| if place < 4 && place != 1 { cell } else { maybe(random, cell) })
        .collect();
    let final_at = random.pick(&[Micros::MIN, 3, 9, Micros::MAX]);
    Row { view: 0, cells: cells.into(), final_at }
}

fn key(row: &Row) -> [Cell; 2] {
    [2, 3].map(|column| Cell::from(row.cells.get(column)))
}

/// The file of some rows, each made by itself.
fn encoded(held: &Held<'_>, rows: &[Row], watermark: Micros) -> Vec<u8> {
    let own = held.layout.len() - 2;
    let cell = |row: &Row, place: usize| match place.checked_sub(own) {
        Some(0) => Cell::str(status(row.final_at, watermark).word()),
        Some(_) => final_cell(row.final_at).into(),
        None => row.cells.get(place + 1).into(),
    };
    let line = |row: &Row| (0..own + 2).map(|place| cell(row, place)).collect();
    let lines: Vec<Vec<Cell>> = rows.iter().map(line).collect();
    let encoded = encode((&held.layout, &["id"]), &lines, |line, place| line[place].as_ref());
    encoded.unwrap().content
}

/// The old rows in batches of some rows.
fn held<'s>(schema: &'s ViewSchema, rows: &[Row], random: &mut Seeded) -> Held<'s> {
    let mut held = Held::new(schema, &[]).unwrap();
    let mut rest = rows;
    while !rest.is_empty() {
        let size = 1 + random.below(rest.len().min(9) as u64) as usize;
        let (now, later) = rest.split_at(size);
        let new: Vec<Run<'_>> = now.iter().map(Run::New).collect();
        let batch = held.batch(&new, 5, held.all_news(&new, 5).unwrap()).unwrap();
        held.batches.push(held.old(&batch).unwrap());
        rest = later;
    }
    held
}

/// The merged file is, byte by byte, that of the rows that stand, whether what happened is told
/// by rows or by keys, and whatever batches the old rows come in.
#[test]
fn the_file_is_that_of_the_rows() {
    for seed in 0..300 {
        let mut random = Seeded(seed);
        let append_only = random.once_in(4);
        let schema = schema(append_only);
        let ids = random.pick(&[2, 10, 40]);
        let mut old: Vec<Row> = (0..random.below(60)).map(|_| row(&mut random, ids)).collect();
        old.sort_by(|a, b| order(&schema, a, b));
        if !append_only {
            old.dedup_by(|a, b| key(a) == key(b));
        }
        let held = held(&schema, &old, &mut random);
        let (mut new, mut changes) = (old.clone(), Vec::new());
        for _ in 0..random.below(30) {
            let came = row(&mut random, ids);
            if random.once_in(3) && !new.is_empty() && !append_only {
                let at = random.below(new.len() as u64) as usize;
                changes.push((new.remove(at), -1));
            } else {
                let same = new.iter().position(|there| key(there) == key(&came));
                if let Some(at) = same.filter(|_| !append_only) {
                    changes.push((new.remove(at), -1));
                }
                new.push(came.clone());
                changes.push((came, 1));
            }
        }
        new.sort_by(|a, b| order(&schema, a, b));
        let mut net: Vec<(Row, i64)> = Vec::new();
        changes.sort_by(|a, b| order(&schema, &a.0, &b.0));
        for (row, diff) in changes {
            match net.last_mut().filter(|(last, _)| *last == row) {
                Some((_, sum)) => *sum += diff,
                None => net.push((row, diff)),
            }
        }
        net.retain(|(_, diff)| *diff != 0);
        let by_key = !append_only && random.once_in(2);
        let same = |a: &(Row, i64), b: &(Row, i64)| by_key && key(&a.0) == key(&b.0);
        let steps = net.chunk_by(same).map(|of_key| {
            let of = |sign: i64| of_key.iter().find(|(_, diff)| diff * sign > 0);
            let count = |one: Option<&(Row, i64)>| one.map_or(0, |(_, n)| n.unsigned_abs());
            let (goes, comes) = (count(of(-1)) as usize, count(of(1)) as usize);
            let row = &of(1).unwrap_or(&of_key[0]).0;
            Step { row, goes, comes, by_key }
        });
        let watermark = random.pick(&[0, 5, 20]);
        let runs = held.merge(steps).unwrap();
        let layout = (held.layout(), ["id"].as_slice());
        let at_once = (random.pick(&[1, 2, 9, 99]), random.pick(&[0, 50, usize::MAX]));
        let merged = encode_batches(0, layout, held.batches(&runs, watermark, at_once)).unwrap();
        assert!(merged.content == encoded(&held, &new, watermark), "seed {seed}");
        let mut moments = Vec::new();
        held.each_final(&runs, |at| moments.push(at));
        assert!(moments.into_iter().eq(new.iter().map(|row| row.final_at)), "seed {seed}");
    }
}

/// What goes and is not there is told.
#[test]
fn a_row_that_is_not_there_is_told() {
    let (schema, mut random) = (schema(false), Seeded(1));
    let mut rows: Vec<Row> = (0..20).map(|_| row(&mut random, 9)).collect();
    rows.sort_by(|a, b| order(&schema, a, b));
    rows.dedup_by(|a, b| key(a) == key(b));
    let gone = rows.remove(rows.len() / 2);
    let held = held(&schema, &rows, &mut random);
    for by_key in [true, false] {
        let step = Step { row: &gone, goes: 1, comes: 0, by_key };
        assert_eq!(held.merge([step]).err(), Some(Box::new(gone.clone())));
    }
}
