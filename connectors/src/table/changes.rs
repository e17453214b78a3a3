//! Changes of a view, netted: as rows of the changelog, and as what they do to the current rows.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};

use foldhash::fast::FixedState;
use operators::model::{Cause, CellRef, Change, DAY, Epoch, Micros, Row, Status, Uuid, ViewSchema};

use super::Granularity;
use super::ahead::{AHEAD, read_ahead};
use super::delta::Partition;

/// Changes that wait for a commit, in the order of their epochs.
#[derive(Clone, Debug, Default)]
pub(super) struct Waiting {
    /// In blocks of [`BLOCK`], all but the last full: one list would be copied again and again.
    changes: Vec<Vec<Change>>,
    epochs: Vec<Batch>,
}

/// Changes in a block: 512 KB of them.
const BLOCK: usize = 8192;

/// The changes of one epoch.
#[derive(Clone, Copy, Debug)]
struct Batch {
    /// Index after that of the last one.
    end: u32,
    epoch: Epoch,
    /// After the epoch.
    watermark: Micros,
}

impl Waiting {
    /// Adds a change of the last epoch or a later one.
    pub(super) fn push(&mut self, epoch: Epoch, watermark: Micros, change: Change) {
        if let Some(block) = self.changes.last_mut().filter(|block| block.len() < BLOCK) {
            block.push(change);
        } else {
            // The first grows, for most views have little.
            let room = if self.changes.is_empty() { 1 } else { BLOCK };
            let mut block = Vec::with_capacity(room);
            block.push(change);
            self.changes.push(block);
        }
        let end = self.len() as u32;
        match self.epochs.last_mut() {
            Some(last) if last.epoch == epoch => last.end = end,
            _ => self.epochs.push(Batch { end, epoch, watermark }),
        }
    }

    /// The changes.
    pub(super) fn into_changes(self) -> impl Iterator<Item = Change> {
        self.changes.into_iter().flatten()
    }

    /// Number of changes.
    pub(super) fn len(&self) -> usize {
        let full = self.changes.len().saturating_sub(1) * BLOCK;
        full + self.changes.last().map_or(0, Vec::len)
    }

    fn change(&self, place: Place) -> &Change {
        let index = place.index as usize;
        &self.changes[index / BLOCK][index % BLOCK]
    }

    pub(super) fn row(&self, place: Place) -> &Row {
        &self.change(place).row
    }

    /// The rows of the changes from an index on.
    fn rows(&self, first: usize) -> impl Iterator<Item = &Row> {
        let blocks = self.changes.get(first / BLOCK..).unwrap_or_default();
        blocks.iter().flatten().skip(first % BLOCK).map(|change| &change.row)
    }

    /// The places of epochs after `done`.
    pub(super) fn after<'p>(&self, done: Option<Epoch>, places: &'p [Place]) -> Cow<'p, [Place]> {
        let passed = self.epochs.partition_point(|batch| Some(batch.epoch) <= done);
        match passed.checked_sub(1).map(|last| self.epochs[last].end) {
            None => Cow::Borrowed(places),
            Some(first) => places.iter().filter(|place| place.index >= first).copied().collect(),
        }
    }
}

/// What a row of the changelog says that is not in the row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Op {
    Insert,
    Update,
    Delete,
}

impl Op {
    /// The operation of a word.
    pub(super) fn from_word(word: &str) -> Option<Self> {
        [Self::Insert, Self::Update, Self::Delete].into_iter().find(|op| op.word() == word)
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}

/// A row of the changelog.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Logged<'a> {
    pub row: &'a Row,
    pub op: Op,
    pub epoch: Epoch,
    pub status: Status,
    pub cause: Cause,
}

/// Rows with how many more or fewer of each there are, in order, none zero.
pub(super) type Net<'a> = Vec<(&'a Row, i64)>;

/// Whether a row is final at a watermark.
pub(super) fn status(final_at: Micros, watermark: Micros) -> Status {
    if watermark >= final_at { Status::Final } else { Status::Provisional }
}

/// The order of rows in tables and changelogs: by key, then by everything else.
pub(super) fn order(schema: &ViewSchema, a: &Row, b: &Row) -> Ordering {
    let key = by_key(schema, a, b);
    key.then_with(|| a.cells.cmp(&b.cells)).then_with(|| a.final_at.cmp(&b.final_at))
}

pub(super) fn by_key(schema: &ViewSchema, a: &Row, b: &Row) -> Ordering {
    let cells = schema.key.iter().map(|&c| (a.cells.get(c), b.cells.get(c)));
    cells.map(|(a, b)| a.cmp(&b)).find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
}

/// A change and the first of what orders it, so that most comparisons are of two numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// Rank of the tenant among those of the changes.
    tenant: u32,
    /// Index of the change.
    pub(super) index: u32,
    /// The first bits of the first column of the key after the tenant; if that has few values, its
    /// rank among them and the first bits of the next one.
    prefix: u64,
}

impl Place {
    pub(super) fn first(self) -> (u32, u64) {
        (self.tenant, self.prefix)
    }
}

/// The tenants of some rows, by the number of each.
#[derive(Default)]
struct Tenants<'a> {
    names: Vec<&'a str>,
    numbers: HashMap<&'a str, u32, FixedState>,
    last: u32,
}

fn tenant(row: &Row) -> &str {
    match row.cells.get(0) {
        CellRef::Str(tenant) => tenant,
        _ => "",
    }
}

impl<'a> Tenants<'a> {
    fn number(&mut self, name: &'a str) -> u32 {
        // Most neighbours have the same.
        if self.names.get(self.last as usize) != Some(&name) {
            self.last = *self.numbers.entry(name).or_insert_with(|| {
                self.names.push(name);
                self.names.len() as u32 - 1
            });
        }
        self.last
    }

    /// The rank of each among all, by its number.
    fn ranks(&self) -> Vec<u32> {
        let mut sorted: Vec<u32> = (0..self.names.len() as u32).collect();
        sorted.sort_unstable_by_key(|number| self.names[*number as usize]);
        let mut ranks = vec![0; sorted.len()];
        (0..).zip(sorted).for_each(|(rank, number)| ranks[number as usize] = rank);
        ranks
    }
}

/// The first bits of a cell in the order of cells. Of texts the first `common` bytes are left out,
/// which all have in common.
fn prefix(cell: CellRef<'_>, common: usize) -> u64 {
    let signed = |i: i64| (i as u64 ^ 1 << 63) >> 4;
    let text = |bytes: &[u8]| {
        let bytes = bytes.get(common..).unwrap_or_default();
        let mut first = [0; 8];
        let length = bytes.len().min(8);
        first[..length].copy_from_slice(&bytes[..length]);
        u64::from_be_bytes(first) >> 4
    };
    let (class, bits) = match cell {
        CellRef::Null => (0, 0),
        CellRef::Bool(b) => (1, u64::from(b)),
        CellRef::Int(i) => (2, signed(i)),
        CellRef::Float(bits) => (3, bits >> 4),
        CellRef::Time(at) => (4, signed(at)),
        CellRef::Id(token) => (5, (token.0 >> 68) as u64),
        CellRef::Uuid(uuid) => (6, text(uuid.text(&mut [0; Uuid::TEXT]).as_bytes())),
        CellRef::Str(t) => (6, text(t.as_bytes())),
        CellRef::Bytes(b) => (7, text(b)),
        CellRef::List(_) => (8, 0),
    };
    class << 60 | bits
}

/// How many bytes all texts of a column begin with.
fn common<'a>(rows: impl Iterator<Item = &'a Row>, column: usize) -> usize {
    let mut texts = rows.map(|row| match row.cells.get(column) {
        CellRef::Str(text) => text.as_bytes(),
        CellRef::Bytes(bytes) => bytes,
        _ => &[],
    });
    let first = texts.next().unwrap_or_default();
    let mut common = first.len();
    for text in texts {
        if common == 0 {
            break;
        }
        let same = text.iter().zip(&first[..common]).take_while(|(a, b)| a == b).count();
        common = common.min(same);
    }
    common
}

/// Values that a column has at most if their ranks order places, and bits of a rank.
const FEW: usize = 1 << FEW_BITS;
const FEW_BITS: u32 = 6;

/// The values of a column, in order, if they are texts and few.
fn few<'a>(rows: impl Iterator<Item = &'a Row>, column: usize) -> Option<Vec<&'a str>> {
    let mut values: Vec<&str> = Vec::new();
    for row in rows {
        let CellRef::Str(value) = row.cells.get(column) else { return None };
        if let Err(place) = values.binary_search(&value) {
            if values.len() == FEW {
                return None;
            }
            values.insert(place, value);
        }
    }
    Some(values)
}

/// The places of all changes from an index on, in the order of their rows.
pub(super) fn sorted(schema: &ViewSchema, waiting: &Waiting, first: usize) -> Vec<Place> {
    let key = |place: usize| schema.key.get(place).copied().unwrap_or(0);
    // What has few values tells few rows apart: then the next column does.
    let few = few(waiting.rows(first), key(1));
    let column = key(if few.is_some() { 2 } else { 1 });
    let common = common(waiting.rows(first), column);
    let mut places = Vec::with_capacity(waiting.len() - first);
    let mut tenants = Tenants::default();
    for (index, row) in (first as u32..).zip(waiting.rows(first)) {
        if (index as usize - first).is_multiple_of(AHEAD) {
            let next = waiting.rows(index as usize).take(AHEAD);
            read_ahead(next.map(|row| row.cells.get(column)));
        }
        let mut prefix = prefix(row.cells.get(column), common);
        if let (Some(few), CellRef::Str(value)) = (&few, row.cells.get(key(1))) {
            let rank = few.partition_point(|other| *other < value) as u64;
            prefix = rank << (u64::BITS - FEW_BITS) | prefix >> FEW_BITS;
        }
        places.push(Place { tenant: tenants.number(tenant(row)), index, prefix });
    }
    let ranks = tenants.ranks();
    places.iter_mut().for_each(|place| place.tenant = ranks[place.tenant as usize]);
    places.sort_unstable_by(|a, b| {
        let first = a.first().cmp(&b.first());
        let rows = || order(schema, waiting.row(*a), waiting.row(*b));
        first.then_with(rows).then(a.index.cmp(&b.index))
    });
    places
}

/// Places by epoch, each in order.
fn by_epoch(epochs: &[Batch], sorted: &[Place]) -> Vec<Vec<Place>> {
    if epochs.len() == 1 {
        return vec![sorted.to_vec()];
    }
    let mut places = vec![Vec::new(); epochs.len()];
    for place in sorted {
        places[epochs.partition_point(|batch| batch.end <= place.index)].push(*place);
    }
    places
}

/// Changes as rows of the changelog, by epoch and key: net per epoch; of one key in one epoch a
/// delete and an insert are an update, with the greater of their causes. `sorted` has the places of
/// the changes that count.
pub(super) fn changelog<'a>(
    schema: &ViewSchema,
    waiting: &'a Waiting,
    sorted: &[Place],
) -> Vec<Logged<'a>> {
    type Sum<'a> = (Place, &'a Row, i64, Cause);
    let mut logged = Vec::with_capacity(sorted.len());
    let epochs = &waiting.epochs;
    for (&Batch { epoch, watermark, .. }, places) in epochs.iter().zip(by_epoch(epochs, sorted)) {
        let mut net: Vec<Sum<'_>> = Vec::with_capacity(places.len());
        for (at, &place) in places.iter().enumerate() {
            if at.is_multiple_of(AHEAD) {
                let next = places[at..].iter().take(AHEAD);
                read_ahead(next.map(|place| CellRef::Time(waiting.row(*place).final_at)));
            }
            let Change { row, diff, cause } = waiting.change(place);
            match net.last_mut() {
                Some((last, before, sum, causes))
                    if last.first() == place.first() && *before == row =>
                {
                    *sum += diff;
                    *causes = (*cause).max(*causes);
                }
                _ => net.push((place, row, *diff, *cause)),
            }
        }
        net.retain(|(_, _, diff, _)| *diff != 0);
        let same_key = |a: &Sum<'_>, b: &Sum<'_>| {
            a.0.first() == b.0.first() && by_key(schema, a.1, b.1).is_eq()
        };
        for group in net.chunk_by(same_key) {
            let gone = group.iter().any(|(_, _, diff, _)| *diff < 0);
            let come = group.iter().any(|(_, _, diff, _)| *diff > 0);
            let cause = group.iter().map(|sum| sum.3).max().unwrap_or_default();
            for &(_, row, diff, _) in group {
                let op = match (diff > 0, gone, come) {
                    (true, true, _) => Op::Update,
                    (true, false, _) => Op::Insert,
                    (false, _, true) => continue, // the new row says it
                    (false, ..) => Op::Delete,
                };
                let status = status(row.final_at, watermark);
                let line = Logged { row, op, epoch, status, cause };
                logged.extend(std::iter::repeat_n(line, diff.unsigned_abs() as usize));
            }
        }
    }
    logged
}

/// What changes do to the current rows, by partition.
pub(super) fn by_partition<'a>(
    schema: &'a ViewSchema,
    granularity: Granularity,
    waiting: &'a Waiting,
    sorted: &[Place],
) -> BTreeMap<Partition, Net<'a>> {
    let mut buckets = Buckets::new(schema, granularity);
    let mut rest = sorted;
    let (mut ahead, column) = (0, schema.date.unwrap_or(1));
    while let Some((place, mut after)) = rest.split_first() {
        // Several places are passed over at once where they are of one row.
        while ahead + rest.len() <= sorted.len() {
            let next = sorted[ahead..].iter().take(AHEAD);
            read_ahead(next.map(|place| waiting.row(*place).cells.get(column)));
            ahead += AHEAD;
        }
        let Change { row, diff, .. } = waiting.change(*place);
        let mut diff = *diff;
        while let Some((next, others)) = after.split_first() {
            let change = waiting.change(*next);
            if next.first() != place.first() || change.row != *row {
                break;
            }
            diff += change.diff;
            after = others;
        }
        if diff != 0 {
            buckets.push(*place, row, (row, diff));
        }
        rest = after;
    }
    buckets.named()
}

/// Things of rows, by partition.
pub(super) struct Buckets<'a, T> {
    schema: &'a ViewSchema,
    granularity: Granularity,
    /// By tenant's rank and day, with a row of each.
    lists: HashMap<(u32, i64), (&'a Row, Vec<T>), FixedState>,
}

impl<'a, T> Buckets<'a, T> {
    pub(super) fn new(schema: &'a ViewSchema, granularity: Granularity) -> Self {
        Self { schema, granularity, lists: HashMap::default() }
    }

    /// Adds a thing to the partition of its row.
    pub(super) fn push(&mut self, place: Place, row: &'a Row, thing: T) {
        let bucket = (place.tenant, day(self.schema, row, self.granularity));
        self.lists.entry(bucket).or_insert_with(|| (row, Vec::new())).1.push(thing);
    }

    /// The lists by the values of the partition columns.
    pub(super) fn named(self) -> BTreeMap<Partition, Vec<T>> {
        let dated = self.schema.date.is_some() && self.granularity != Granularity::None;
        let named = |((_, day), (row, list)): ((u32, i64), (&Row, Vec<T>))| {
            let mut partition = vec![tenant(row).to_owned()];
            partition.extend(dated.then(|| date(day)));
            (partition, list)
        };
        self.lists.into_iter().map(named).collect()
    }
}

/// The partition of a row inside its tenant's, as a day since 1970.
fn day(schema: &ViewSchema, row: &Row, granularity: Granularity) -> i64 {
    let time = match schema.date.map(|column| row.cells.get(column)) {
        Some(CellRef::Time(time)) => time,
        _ => 0,
    };
    let day = time.div_euclid(DAY);
    match granularity {
        Granularity::Day => day,
        Granularity::Month => first_of_month(day),
        Granularity::None => 0,
    }
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

#[cfg(test)]
mod tests;
