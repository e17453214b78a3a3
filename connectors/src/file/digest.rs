//! A checksum of records, by which it is seen that they are the same when they are read again.

use super::{RawBatch, RawRecords};

/// Of the records of a batch: a sum over them, so that how they are cut into batches makes no
/// difference. It has the place, the length and the bytes of each.
///
/// 0 for Parquet: a file of it that is not as it was has another length, but for one of the same
/// sizes throughout, whose records may be split into other batches of columns.
pub(super) fn digest(batch: &RawBatch) -> u64 {
    let rows = match &batch.records {
        RawRecords::Json(rows)
        | RawRecords::Messages { rows, .. }
        | RawRecords::Delimited { rows, .. } => rows,
        RawRecords::Table(_) => return 0,
    };
    let numbered = (batch.first..).zip(rows.iter());
    numbered.fold(0, |sum: u64, (number, (record, cut))| {
        let length = cut.unwrap_or(record.len() as u64);
        let place = u64::from(batch.partition) << 40 ^ number;
        let content = u64::from(crc32fast::hash(record)) << 32 ^ length;
        sum.wrapping_add(mix(mix(place) ^ content))
    })
}

/// Spreads the bits of a number over all of them: the last step of `SplitMix64` (Steele, Lea and
/// Flood, "Fast Splittable Pseudorandom Number Generators", 2014).
fn mix(number: u64) -> u64 {
    let number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ number >> 31
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::file::Rows;

    fn batch(partition: u32, first: u64, rows: Rows) -> RawBatch {
        let records = RawRecords::Json(Arc::new(rows));
        RawBatch { source: 0, partition, first, offsets: None, records, bytes: 0 }
    }

    fn rows(records: &[&str]) -> Rows {
        let mut rows = Rows::default();
        records.iter().for_each(|record| rows.push(record.as_bytes()));
        rows
    }

    #[test]
    fn it_tells_records_and_not_batches() {
        let all = ["one", "", "three", "one", "five"];
        let whole = digest(&batch(1, 1, rows(&all)));
        for cut in 0..=all.len() {
            let (head, tail) = all.split_at(cut);
            let head = digest(&batch(1, 1, rows(head)));
            let tail = digest(&batch(1, 1 + cut as u64, rows(tail)));
            assert_eq!(head.wrapping_add(tail), whole, "cut after {cut}");
        }
        let others = [
            batch(2, 1, rows(&all)),
            batch(1, 2, rows(&all)),
            batch(1, 1, rows(&["one", "", "thref", "one", "five"])),
            batch(1, 1, rows(&["one", "", "five", "one", "three"])),
            batch(1, 1, rows(&["one", "t", "hree", "one", "five"])),
        ];
        assert!(others.iter().all(|other| digest(other) != whole));
        let cut = |bytes| {
            let mut rows = Rows::default();
            rows.push_cut(b"beginning", bytes);
            digest(&batch(0, 1, rows))
        };
        assert_ne!(cut(5_000_000), cut(5_000_001));
    }
}
