//! From raw records to canonical events: field maps, times, identifiers, commands.
//!
//! Every record of a batch becomes exactly one of: an event, a dead letter, one more in
//! [`Decoded::erased`], one more in [`Decoded::blank`]. No record stops the others.

mod beside;
mod cache;
mod delimited;
mod envelope;
mod erased;
mod json;
mod missing;
mod plan;
mod raw;
mod spec;
mod table;
mod time;

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::RecordBatch;
use operators::identity::IdentityConfig;
use operators::model::{DeadLetter, Event, Micros, Origin, Reason, Value};
use operators::views::predicate::Matcher;

use crate::file::{RawBatch, RawRecords, Rows};

use cache::{Interner, TokenCache};
use delimited::Columns;
use envelope::Refusal;
use json::Trie;
use plan::Plan;
use raw::Raw;
use table::Cells;

pub use beside::Beside;
pub(crate) use envelope::content;
pub use erased::{Erased, ErasedIn, is_erased};
pub use spec::{
    DecodeSpec, FieldMap, FieldPath, FieldSource, FieldValue, IdentityFields, RecordPart, SpecError,
};
pub use time::{TimeFormat, TimeFormatError};

/// Different texts of one property of which one copy is kept.
const PROPERTY_TEXTS_MAX: usize = 1024;

/// What became of a run of records.
#[derive(Clone, Debug, Default)]
pub struct Decoded {
    /// Events with the time at which each was received: the record's own `receivedAt`, or, where it
    /// has none, the one given.
    pub events: Vec<(Event, Micros)>,
    /// Records that can't be used.
    pub letters: Vec<DeadLetter>,
    /// Records that are on the erased list, also those that could not be used.
    pub erased: u64,
    /// Lines with nothing but white space.
    pub blank: u64,
}

impl Decoded {
    /// Empties it, keeping its memory.
    pub fn clear(&mut self) {
        self.events.clear();
        self.letters.clear();
        (self.erased, self.blank) = (0, 0);
    }

    /// The largest event time.
    pub fn time_max(&self) -> Option<Micros> {
        self.events.iter().map(|(event, _)| event.key.time).max()
    }
}

/// Decodes the records of one source. Keeps caches only: any two decoders of one spec give the same
/// events for the same records.
#[derive(Clone, Debug)]
pub struct Decoder {
    plan: Arc<Plan>,
    trie: Arc<Trie>,
    /// Of what stands beside a record's value.
    beside: Arc<Trie>,
    columns: Option<Columns>,
    cells: Option<Cells>,
    default_tenant: Arc<str>,
    identity: Arc<IdentityConfig>,
    /// The identity types.
    kinds: Arc<[IdentityFields]>,
    previous_kind: Option<u8>,
    user_kind: Option<u8>,
    blocked: Blocked,
    erased: Arc<Erased>,
    matcher: Arc<Matcher>,
    /// One for each property.
    texts: Vec<Interner>,
    tokens: TokenCache,
    scratch: Vec<u8>,
    /// Room for the properties of a record.
    values: Vec<Option<Value>>,
    /// By slot, whether any record had it, if somebody wants to know.
    found: Option<Vec<bool>>,
}

/// The values that are no identifiers.
#[derive(Clone, Debug)]
struct Blocked {
    values: Arc<HashSet<String>>,
    /// Length of the longest: most identifiers are longer or end the question there.
    bytes_max: usize,
}

impl Blocked {
    fn contains(&self, value: &str) -> bool {
        value.len() <= self.bytes_max && self.values.contains(value)
    }
}

/// A record that is not even one: its reason and what is wrong.
type NoRecord = (Reason, String);

impl Decoder {
    /// Makes a decoder.
    ///
    /// # Errors
    /// The spec names a field that is not in the envelope, maps one twice, or its identity types
    /// don't fit the rules.
    pub fn new(spec: &DecodeSpec) -> Result<Self, SpecError> {
        let plan = Plan::new(spec)?;
        let user = FieldPath::parse("userId");
        let user_kind = spec.identities.iter().position(|identity| identity.from.contains(&user));
        let blocked = Blocked {
            bytes_max: spec.blocked.iter().map(String::len).max().unwrap_or(0),
            values: spec.blocked.clone(),
        };
        Ok(Self {
            trie: Arc::new(Trie::new(&plan.in_value)),
            beside: Arc::new(Trie::new(&plan.in_beside)),
            columns: None,
            cells: None,
            default_tenant: spec.default_tenant.clone(),
            identity: spec.identity.clone(),
            kinds: spec.identities.as_slice().into(),
            previous_kind: spec.previous_id.filter(|&k| usize::from(k) < spec.identities.len()),
            user_kind: user_kind.map(|kind| kind as u8),
            blocked,
            erased: spec.erased.clone(),
            matcher: spec.matcher.clone(),
            texts: vec![Interner::new(PROPERTY_TEXTS_MAX); plan.properties.len()],
            tokens: TokenCache::new(spec.secret),
            scratch: Vec::new(),
            values: Vec::new(),
            found: None,
            plan: Arc::new(plan),
        })
    }

    /// What has to stand beside the values of records.
    pub fn beside(&self) -> &Beside {
        &self.plan.beside
    }

    /// Decodes a batch and adds what comes of it to `out`, in the order of the records.
    /// `received_at` stands in where a record does not say when it was received.
    pub fn decode(&mut self, batch: &RawBatch, received_at: Micros, out: &mut Decoded) {
        out.events.reserve(batch.len());
        match &batch.records {
            RawRecords::Json(rows) => {
                let trie = self.trie.clone();
                let read = |_, text, s: &mut _| read_json(&trie, text, s);
                self.rows(rows, batch, received_at, read, out);
            }
            RawRecords::Messages { rows, beside } => {
                let (trie, trie_beside) = (self.trie.clone(), self.beside.clone());
                let beside = beside.as_deref().filter(|_| !trie_beside.is_empty());
                let read = |index, text, s: &mut _| {
                    read_json(&trie, text, s)?;
                    // It is text of our own making.
                    let text =
                        beside.and_then(|beside| std::str::from_utf8(beside.get(index)).ok());
                    text.map_or(Ok(()), |text| read_json(&trie_beside, text, s))
                };
                self.rows(rows, batch, received_at, read, out);
            }
            RawRecords::Delimited { header, rows } => {
                let known = self.columns.take().filter(|columns| columns.fits(header));
                let columns = known.unwrap_or_else(|| Columns::new(header, &self.plan.in_value));
                let malformed = |detail| (Reason::Malformed, detail);
                let read = |_, text, s: &mut _| columns.read(text, s).map_err(malformed);
                self.rows(rows, batch, received_at, read, out);
                self.columns = Some(columns);
            }
            RawRecords::Table(table) => {
                let schema = table.schema_ref();
                let known = self.cells.take().filter(|cells| cells.fits(schema));
                let cells = known.unwrap_or_else(|| Cells::new(schema, &self.plan.in_value));
                self.table(table, &cells, batch, received_at, out);
                self.cells = Some(cells);
            }
        }
    }

    fn rows<'a>(
        &mut self,
        rows: &'a Rows,
        batch: &RawBatch,
        received_at: Micros,
        read: impl Fn(usize, &'a str, &mut [Raw<'a>]) -> Result<(), NoRecord>,
        out: &mut Decoded,
    ) {
        let plan = self.plan.clone();
        let mut slots: Vec<Raw<'a>> = vec![Raw::Absent; plan.slots];
        let blank_lines = !matches!(batch.records, RawRecords::Messages { .. });
        for (index, (record, cut)) in rows.iter().enumerate() {
            let origin = origin(batch, index);
            if blank_lines && record.iter().all(u8::is_ascii_whitespace) && cut.is_none() {
                out.blank += 1;
                continue;
            }
            slots.fill(Raw::Absent);
            let result = match (cut, std::str::from_utf8(record)) {
                (Some(bytes), _) => {
                    let kept = record.len();
                    Err((Reason::TooLarge, format!("{bytes} bytes, the first {kept} are kept")))
                }
                (None, _) if rows.wrong(index).is_some() => {
                    let detail = rows.wrong(index).unwrap_or_default();
                    Err((Reason::Malformed, detail.to_owned()))
                }
                (None, Err(e)) => {
                    let at = e.valid_up_to();
                    Err((Reason::Malformed, format!("not UTF-8 from byte {at} on")))
                }
                (None, Ok("")) => Err((Reason::NoValue, "a tombstone, or an empty value".into())),
                (None, Ok(text)) => read(index, text, &mut slots),
            };
            let result = match result {
                Ok(()) => self.event(&plan, &slots, origin, received_at, out),
                Err((reason, detail)) => Err(Refusal { tenant: None, reason, detail }),
            };
            if let Err(refusal) = result {
                self.refuse(refusal, origin, record.into(), out);
            }
        }
    }

    fn table(
        &mut self,
        table: &RecordBatch,
        cells: &Cells,
        batch: &RawBatch,
        received_at: Micros,
        out: &mut Decoded,
    ) {
        let plan = self.plan.clone();
        let mut slots = vec![Raw::Absent; plan.slots];
        for row in 0..table.num_rows() {
            let origin = origin(batch, row);
            let refused = |reason, detail| Err(Refusal { tenant: None, reason, detail });
            let mut kept = usize::MAX;
            let result = if cells.too_deep() {
                kept = 0;
                refused(Reason::TooDeep, "the file's schema is nested too deep".to_owned())
            } else if let Some(bytes) = table::too_large(table, row) {
                kept = Rows::KEPT_BYTES;
                let detail = format!("about {bytes} bytes, the first {kept} of its JSON are kept");
                refused(Reason::TooLarge, detail)
            } else {
                slots.fill(Raw::Absent);
                cells.read(table, row, &mut slots);
                self.event(&plan, &slots, origin, received_at, out)
            };
            if let Err(refusal) = result {
                let json = if kept == 0 { Vec::new() } else { table::row_json(table, row) };
                self.refuse(refusal, origin, json[..json.len().min(kept)].into(), out);
            }
        }
    }

    fn refuse(&self, refusal: Refusal, origin: Origin, payload: Box<[u8]>, out: &mut Decoded) {
        let Refusal { tenant, reason, detail } = refusal;
        out.letters.push(DeadLetter {
            tenant: tenant.unwrap_or_else(|| self.default_tenant.clone()),
            origin,
            reason,
            detail: detail.into(),
            payload,
        });
    }
}

/// Where a record of a batch came from.
fn origin(batch: &RawBatch, index: usize) -> Origin {
    let offset = batch.offset(index);
    Origin { source: batch.source, partition: batch.partition, offset }
}

fn read_json<'a>(trie: &Trie, text: &'a str, slots: &mut [Raw<'a>]) -> Result<(), NoRecord> {
    if json::too_deep(text.as_bytes()) {
        let detail = format!("nested {} deep or deeper", Reason::MAX_DEPTH);
        return Err((Reason::TooDeep, detail));
    }
    trie.read(text, slots).map_err(|error| (Reason::Malformed, error.to_string()))
}
