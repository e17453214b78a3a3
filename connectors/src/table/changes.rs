//! Changes of a view, netted: as rows of the changelog, and as what they do to the current rows.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

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

/// Changes as rows of the changelog, by epoch and key: net per epoch; of one key in one epoch a delete
/// and an insert are an update.
pub(super) fn changelog<'a>(schema: &ViewSchema, entries: &'a [Entry]) -> Vec<Logged<'a>> {
    let by_key = |a: &Entry, b: &Entry| {
        let (a, b) = (&a.change.row.cells, &b.change.row.cells);
        let differ = schema.key.iter().map(|&c| a[c].cmp(&b[c])).find(|o| o.is_ne());
        differ.unwrap_or(Ordering::Equal)
    };
    let mut order: Vec<&Entry> = entries.iter().collect();
    order.sort_unstable_by(|a, b| {
        let epoch = a.epoch.cmp(&b.epoch);
        epoch.then_with(|| by_key(a, b)).then_with(|| a.change.row.cmp(&b.change.row))
    });
    let mut net: Vec<(&Entry, i64, Cause)> = Vec::with_capacity(order.len());
    for entry in order {
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
    for group in net.chunk_by(|a, b| a.0.epoch == b.0.epoch && by_key(a.0, b.0).is_eq()) {
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
    entries: impl IntoIterator<Item = Entry>,
) -> BTreeMap<Partition, Net> {
    let mut rows: Net = entries.into_iter().map(|e| (e.change.row, e.change.diff)).collect();
    rows.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    rows.dedup_by(|next, kept| {
        let same = next.0 == kept.0;
        if same {
            kept.1 += next.1;
        }
        same
    });
    let mut buckets: HashMap<(Option<Arc<str>>, i64), Net> = HashMap::new();
    for (row, diff) in rows {
        if diff != 0 {
            buckets.entry(bucket(schema, &row, granularity)).or_default().push((row, diff));
        }
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
pub(super) fn merge(old: Vec<Row>, net: Net) -> Result<Vec<Row>, Box<Row>> {
    let mut merged = Vec::with_capacity(old.len() + net.len());
    let mut old = old.into_iter().peekable();
    for (row, diff) in net {
        while let Some(before) = old.next_if(|there| *there < row) {
            merged.push(before);
        }
        for _ in diff..0 {
            if old.next_if_eq(&row).is_none() {
                return Err(Box::new(row));
            }
        }
        for _ in 0..diff {
            merged.push(row.clone());
        }
    }
    merged.extend(old);
    Ok(merged)
}
