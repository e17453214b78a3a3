//! `braid check`: the job file, and what the first records of each source give.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use connectors::decode::{Decoded, Decoder, FieldPath};
use connectors::kafka::KafkaSource;
use operators::model::{DeadLetter, Micros};
use replay::history::Source;

use super::{load, out};
use crate::runtime::plan::PlannedSource;
use crate::runtime::{RunError, grouped};
use crate::say;

/// Records looked at in each source.
const LOOK: usize = 1000;

/// How long records of a topic are waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// Bytes of a record that are shown.
const SHOWN_BYTES: usize = 100;

/// Checks a job; returns the exit code.
pub(super) fn check(path: &Path) -> u8 {
    let plan = match load(path) {
        Ok(plan) => plan,
        Err(code) => return code,
    };
    let mut useless = Vec::new();
    for source in &plan.sources {
        match look(source) {
            Ok(seen) => {
                seen.say(source);
                if let Some(trouble) = &seen.trouble {
                    let name = &source.name;
                    say::problem(format_args!("{}: source {name:?}: {trouble}", path.display()));
                    return 1;
                }
                useless.extend(seen.is_useless().then_some(&*source.name));
            }
            Err(error) => {
                let source = match &error {
                    RunError::Spec(_) => format!("source {:?}: ", source.name),
                    // These name it themselves.
                    _ => String::new(),
                };
                say::problem(format_args!("{}: {source}{error}", path.display()));
                return error.exit_code();
            }
        }
    }
    if !useless.is_empty() {
        let words = "no record could be used, so a run would make nothing of them; see above";
        say::problem(format_args!("{}: {}: {words}", path.display(), useless.join(", ")));
        return 2;
    }
    let tables: Vec<&str> = plan.catalog.schemas.iter().map(|s| &*s.name).collect();
    let tables = match &plan.tables {
        Some(_) => tables.join(", "),
        None => "none".to_owned(),
    };
    out::line(format_args!("the job is good; its tables: {tables}"));
    0
}

/// What the first records of a source give.
#[derive(Default)]
struct Seen {
    /// Where they are.
    places: String,
    records: usize,
    events: usize,
    /// Of the events, those with an identifier.
    known: usize,
    /// The first and the last time of an event.
    times: Option<(Micros, Micros)>,
    /// By reason how many could not be used, and the first of them.
    letters: BTreeMap<&'static str, (usize, DeadLetter)>,
    /// Envelope fields that are taken from a field which none of them has.
    missing: Vec<(FieldPath, FieldPath)>,
    /// Why there are none, if that is known.
    trouble: Option<String>,
}

impl Seen {
    fn add(&mut self, decoded: Decoded) {
        self.events += decoded.events.len();
        for (event, _) in &decoded.events {
            self.known += usize::from(!event.idents.is_empty());
            let (first, last) = self.times.unwrap_or((Micros::MAX, Micros::MIN));
            self.times = Some((first.min(event.key.time), last.max(event.key.time)));
        }
        for letter in decoded.letters {
            self.letters.entry(letter.reason.word()).or_insert_with(|| (0, letter)).0 += 1;
        }
    }

    /// Whether a run would make nothing of them.
    fn is_useless(&self) -> bool {
        self.records > 0 && self.events == 0
    }

    fn say(&self, source: &PlannedSource) {
        let number = |count: usize| grouped(count as i64);
        let [records, events, known] = [self.records, self.events, self.known].map(number);
        let (name, places) = (&source.name, &self.places);
        out::line(format_args!(
            "source {name}: {places}; of the first {records} records {events} are events, {known} \
             of them with an identifier"
        ));
        if let Some((first, last)) = self.times {
            out::line(format_args!("  from {} to {}", text(first), text(last)));
        }
        for (target, field) in &self.missing {
            out::line(format_args!("  no record has {field}, which {target} is to be taken from"));
        }
        for (reason, (count, first)) in &self.letters {
            let count = number(*count);
            out::line(format_args!(
                "  dead letters, {reason}: {count}; the first: {}",
                first.detail
            ));
            let record = String::from_utf8_lossy(&first.payload);
            let shown = record.floor_char_boundary(SHOWN_BYTES);
            let more = if shown < record.len() { " …" } else { "" };
            out::line(format_args!("    {}{more}", record[..shown].escape_debug()));
        }
        if self.events > 0 && self.known == 0 {
            out::line("  no event has an identifier: look at `from` of the identity types");
        }
    }
}

fn text(at: Micros) -> String {
    jiff::Timestamp::from_microsecond(at).map_or_else(|_| at.to_string(), |at| at.to_string())
}

fn look(source: &PlannedSource) -> Result<Seen, RunError> {
    let mut records = Source::open(&source.records, &[], 0)?;
    let mut decoder = Decoder::new(&source.decode)?;
    decoder.note_fields();
    let mut seen = Seen::default();
    let begun = Instant::now();
    while seen.records < LOOK {
        let Some(batch) = records.next(LOOK - seen.records)? else {
            // Records of topics come when they come.
            if records.is_bounded() || seen.records > 0 || begun.elapsed() > PATIENCE {
                break;
            }
            records.wait(PATIENCE / 10);
            continue;
        };
        let mut decoded = Decoded::default();
        decoder.decode(&batch, 0, &mut decoded);
        seen.records += batch.len() - decoded.blank as usize;
        seen.add(decoded);
    }
    seen.places = match (records.files(), records.topics()) {
        (Some(files), _) if files.files().len() == 1 => "1 file".to_owned(),
        (Some(files), _) => format!("{} files", files.files().len()),
        (_, Some(topics)) => format!("{} partitions", topics.status().len()),
        (None, None) => "nothing".to_owned(),
    };
    seen.missing = decoder.missing(&source.decode);
    let waits = records.topics().filter(|_| seen.records == 0);
    seen.trouble = waits.and_then(KafkaSource::trouble);
    Ok(seen)
}
