//! Changes of a view, netted: as rows of the changelog, and as what they do to the current rows.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use foldhash::fast::FixedState;
use operators::model::{Cause, Cell, Change, DAY, Epoch, Micros, Row, Status, ViewSchema};

use super::Granularity;
use super::delta::Partition;

/// A change, its epoch, and the watermark after it.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub epoch: Epoch,
    pub watermark: Micros,
    pub change: Change,
}

/// A row of the changelog.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Logged<'a> {
    pub row: &'a Row,
    pub op: &'static str,
    pub epoch: Epoch,
    pub status: Status,
    pub cause: Cause,
}

/// Rows with how many more or fewer of each there are, in order, none zero.
pub(super) type Net = Vec<(Row, i64)>;

/// Whether a row is final at a watermark.
pub(super) fn status(final_at: Micros, watermark: Micros) -> Status {
    if watermark >= final_at { Status::Final } else { Status::Provisional }
}

/// The order of rows in tables and changelogs: by key, then by everything else.
pub(super) fn order(schema: &ViewSchema, a: &Row, b: &Row) -> Ordering {
    let key = by_key(schema, a, b);
    key.then_with(|| a.cells.cmp(&b.cells)).then_with(|| a.final_at.cmp(&b.final_at))
}

fn by_key(schema: &ViewSchema, a: &Row, b: &Row) -> Ordering {
    let cells = schema.key.iter().map(|&c| (&a.cells[c], &b.cells[c]));
    cells.map(|(a, b)| a.cmp(b)).find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
}

/// The first bits of a cell in the order of cells, to compare most of them as numbers.
fn prefix(cell: &Cell) -> u64 {
    let signed = |i: i64| (i as u64 ^ 1 << 63) >> 4;
    let text = |bytes: &[u8]| {
        let mut first = [0; 8];
        let length = bytes.len().min(8);
        first[..length].copy_from_slice(&bytes[..length]);
        u64::from_be_bytes(first) >> 4
    };
    let (class, bits) = match cell {
        Cell::Null => (0, 0),
        Cell::Bool(b) => (1, u64::from(*b)),
        Cell::Int(i) => (2, signed(*i)),
        Cell::Float(bits) => (3, bits >> 4),
        Cell::Time(at) => (4, signed(*at)),
        Cell::Id(token) => (5, (token.0 >> 68) as u64),
        Cell::Str(t) => (6, text(t.as_bytes())),
        Cell::Bytes(b) => (7, text(b)),
        Cell::List(_) => (8, 0),
    };
    class << 60 | bits
}

/// Entries in the order of their rows, as indices.
pub(super) fn sorted(schema: &ViewSchema, entries: &[Entry]) -> Vec<u32> {
    let tenants: HashSet<&Cell, FixedState> =
        entries.iter().map(|entry| &entry.change.row.cells[0]).collect();
    let mut tenants: Vec<&Cell> = tenants.into_iter().collect();
    tenants.sort_unstable();
    let second = schema.key.get(1).copied().unwrap_or(0);
    let ranked = |(index, entry): (usize, &Entry)| {
        let cells = &entry.change.row.cells;
        let tenant = tenants.partition_point(|t| **t < cells[0]) as u32;
        (tenant, prefix(&cells[second]), index as u32)
    };
    let mut keys: Vec<(u32, u64, u32)> = entries.iter().enumerate().map(ranked).collect();
    keys.sort_unstable_by(|a, b| {
        let row = |key: &(u32, u64, u32)| &entries[key.2 as usize].change.row;
        (a.0, a.1).cmp(&(b.0, b.1)).then_with(|| order(schema, row(a), row(b))).then(a.2.cmp(&b.2))
    });
    keys.into_iter().map(|key| key.2).collect()
}

/// Changes as rows of the changelog, by epoch and key: net per epoch; of one key in one epoch a
/// delete and an insert are an update. `sorted` has the indices of the entries that count.
pub(super) fn changelog<'a>(
    schema: &ViewSchema,
    entries: &'a [Entry],
    sorted: &[u32],
) -> Vec<Logged<'a>> {
    let mut by_epoch: Vec<&Entry> = sorted.iter().map(|&i| &entries[i as usize]).collect();
    by_epoch.sort_by_key(|entry| entry.epoch);
    let mut net: Vec<(&Entry, i64, Cause)> = Vec::with_capacity(by_epoch.len());
    for entry in by_epoch {
        match net.last_mut() {
            Some((last, diff, cause))
                if last.epoch == entry.epoch && last.change.row == entry.change.row =>
            {
                *diff += entry.change.diff;
                *cause = entry.change.cause.max(*cause);
            }
            _ => net.push((entry, entry.change.diff, entry.change.cause)),
        }
    }
    net.retain(|(_, diff, _)| *diff != 0);
    let mut logged = Vec::with_capacity(net.len());
    let same_key = |a: &Entry, b: &Entry| {
        a.epoch == b.epoch && by_key(schema, &a.change.row, &b.change.row).is_eq()
    };
    for group in net.chunk_by(|a, b| same_key(a.0, b.0)) {
        let gone = group.iter().any(|(_, diff, _)| *diff < 0);
        let come = group.iter().any(|(_, diff, _)| *diff > 0);
        for &(entry, diff, cause) in group {
            let op = match (diff > 0, gone, come) {
                (true, true, _) => "update",
                (true, false, _) => "insert",
                (false, _, true) => continue, // the new row says it
                (false, ..) => "delete",
            };
            let row = &entry.change.row;
            let status = status(row.final_at, entry.watermark);
            let line = Logged { row, op, epoch: entry.epoch, status, cause };
            logged.extend(std::iter::repeat_n(line, diff.unsigned_abs() as usize));
        }
    }
    logged
}

/// What changes do to the current rows, by partition.
pub(super) fn by_partition(
    schema: &ViewSchema,
    granularity: Granularity,
    entries: Vec<Entry>,
    sorted: &[u32],
) -> BTreeMap<Partition, Net> {
    let mut rows: Vec<Option<Change>> = entries.into_iter().map(|e| Some(e.change)).collect();
    let mut buckets: HashMap<(Option<Arc<str>>, i64), Net, FixedState> = HashMap::default();
    let mut put = |row: Row, diff: i64| {
        if diff != 0 {
            buckets.entry(bucket(schema, &row, granularity)).or_default().push((row, diff));
        }
    };
    let mut last: Option<(Row, i64)> = None;
    for &index in sorted {
        let Some(change) = rows[index as usize].take() else { continue };
        match &mut last {
            Some((row, diff)) if *row == change.row => *diff += change.diff,
            _ => {
                if let Some((row, diff)) = last.replace((change.row, change.diff)) {
                    put(row, diff);
                }
            }
        }
    }
    if let Some((row, diff)) = last {
        put(row, diff);
    }
    let dated = schema.date.is_some() && granularity != Granularity::None;
    let named = |((tenant, day), net): ((Option<Arc<str>>, i64), Net)| {
        let mut partition = vec![tenant.map_or(String::new(), |t| t.to_string())];
        partition.extend(dated.then(|| date(day)));
        (partition, net)
    };
    buckets.into_iter().map(named).collect()
}

/// The partition of a row as tenant and day since 1970.
fn bucket(schema: &ViewSchema, row: &Row, granularity: Granularity) -> (Option<Arc<str>>, i64) {
    let tenant = match &row.cells[0] {
        Cell::Str(tenant) => Some(Arc::clone(tenant)),
        _ => None,
    };
    let time = match schema.date.map(|column| &row.cells[column]) {
        Some(Cell::Time(time)) => *time,
        _ => 0,
    };
    let day = time.div_euclid(DAY);
    let day = match granularity {
        Granularity::Day => day,
        Granularity::Month => first_of_month(day),
        Granularity::None => 0,
    };
    (tenant, day)
}

fn civil(day: i64) -> Option<jiff::civil::Date> {
    let span = jiff::Span::new().try_days(day).ok()?;
    jiff::civil::date(1970, 1, 1).checked_add(span).ok()
}

fn first_of_month(day: i64) -> i64 {
    // Beyond the calendar there are no months: each day stands for itself.
    civil(day).map_or(day, |date| day - i64::from(date.day()) + 1)
}

/// A day as text; beyond the calendar all is one partition.
fn date(day: i64) -> String {
    civil(day).map_or_else(|| "0000-00-00".to_owned(), |date| date.to_string())
}

/// The current rows after some changes.
///
/// # Errors
///
/// The first row that goes and is not there.
pub(super) fn merge(schema: &ViewSchema, old: Vec<Row>, net: Net) -> Result<Vec<Row>, Box<Row>> {
    let mut merged = Vec::with_capacity(old.len() + net.len());
    let mut old = old.into_iter().peekable();
    for (row, diff) in net {
        while let Some(before) = old.next_if(|there| order(schema, there, &row).is_lt()) {
            merged.push(before);
        }
        for _ in diff..0 {
            if old.next_if_eq(&row).is_none() {
                return Err(Box::new(row));
            }
        }
        for _ in 1..diff {
            merged.push(row.clone());
        }
        if diff > 0 {
            merged.push(row);
        }
    }
    merged.extend(old);
    Ok(merged)
}
