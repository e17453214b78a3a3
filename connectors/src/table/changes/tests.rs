//! Places of changes against a comparison of whole rows.

use std::sync::Arc;

use operators::identity::testing::Seeded;
use operators::model::{Cell, Column, ColumnType, MessageId, Token};

use super::*;

/// Places are in the order of their rows, whatever the columns of the key have in common.
#[test]
fn places_are_in_the_order_of_rows() {
    let column = |name, kind| Column { name, kind, nullable: false };
    let columns = vec![
        column("tenant", ColumnType::Str),
        column("second", ColumnType::Str),
        column("third", ColumnType::Id),
        column("other", ColumnType::Int),
    ];
    let name = Arc::from("v");
    let schema = ViewSchema { name, columns, key: vec![0, 1, 2], date: None, append_only: false };
    for seed in 0..60 {
        let mut random = Seeded(seed);
        let values = random.pick(&[1, 3, FEW as u64, FEW as u64 + 1, 500]);
        let bits = random.pick(&[1, 60, 100, 128]);
        let mut waiting = Waiting::default();
        for _ in 0..400 {
            let token = u128::from(random.bits()) << 64 | u128::from(random.bits());
            let second = match random.below(values) {
                0 if seed % 4 == 0 => Cell::Null,
                0 => Cell::str(""),
                // One text, as a UUID and as it is read from a table.
                value if seed % 3 == 0 => {
                    let text = format!("0000abcd-0000-4000-8000-{value:012}");
                    let id = MessageId::from(text.as_str());
                    if random.once_in(2) { id.as_cell().into() } else { Cell::str(&text) }
                }
                value => Cell::str(&format!("same{value}")),
            };
            let cells = [
                Cell::str(random.pick(&["a", "b", "c"])),
                second,
                Cell::Id(Token(token >> (128 - bits) << (random.below(2) * 70) as u32)),
                Cell::Int(random.below(2) as i64),
            ];
            let row = Row { view: 0, cells: cells.into(), final_at: 0 };
            waiting.push(1, 0, Change { row, diff: 1, cause: Cause::New });
        }
        let first = random.below(3) as usize;
        let places = sorted(&schema, &waiting, first);
        let mut expected: Vec<u32> = (first as u32..400).collect();
        let row = |index: u32| waiting.row(Place { tenant: 0, index, prefix: 0 });
        expected.sort_by(|&a, &b| order(&schema, row(a), row(b)).then(a.cmp(&b)));
        let found: Vec<u32> = places.iter().map(|place| place.index).collect();
        assert_eq!(found, expected, "seed {seed}");
    }
}
