//! `braid check`: the job file, and what the first records of each source give.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use connectors::decode::{Decoded, Decoder};
use replay::history::Source;

use super::{load, out};
use crate::runtime::plan::PlannedSource;
use crate::runtime::{RunError, grouped};
use crate::say;

/// Records looked at in each source.
const LOOK: usize = 1000;

/// How long records of a topic are waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// Checks a job; returns the exit code.
pub(super) fn check(path: &Path) -> u8 {
    let plan = match load(path) {
        Ok(plan) => plan,
        Err(code) => return code,
    };
    for source in &plan.sources {
        if let Err(error) = look(source) {
            say::problem(format_args!("{}: source {:?}: {error}", path.display(), source.name));
            return error.exit_code();
        }
    }
    let tables: Vec<&str> = plan.catalog.schemas.iter().map(|s| &*s.name).collect();
    out::line(format_args!("the job is good; its tables: {}", tables.join(", ")));
    0
}

fn look(source: &PlannedSource) -> Result<(), RunError> {
    let mut records = Source::open(&source.records, &[], 0)?;
    let mut decoder = Decoder::new(&source.decode)?;
    let (mut seen, mut events, mut known) = (0, 0, 0);
    let mut letters: BTreeMap<&str, usize> = BTreeMap::new();
    let begun = Instant::now();
    while seen < LOOK {
        let Some(batch) = records.next(LOOK - seen)? else {
            // Records of topics come when they come.
            if records.is_bounded() || seen > 0 || begun.elapsed() > PATIENCE {
                break;
            }
            records.wait(PATIENCE / 10);
            continue;
        };
        seen += batch.len();
        let mut decoded = Decoded::default();
        decoder.decode(&batch, 0, &mut decoded);
        events += decoded.events.len();
        known += decoded.events.iter().filter(|(e, _)| !e.idents.is_empty()).count();
        for letter in decoded.letters {
            *letters.entry(letter.reason.word()).or_default() += 1;
        }
    }
    let places = match (records.files(), records.topics()) {
        (Some(files), _) => format!("{} files", files.files().len()),
        (_, Some(topics)) => format!("{} partitions", topics.status().len()),
        (None, None) => "nothing".to_owned(),
    };
    out::line(format_args!(
        "source {}: {places}; of the first {} records {} are events, {} of them with an \
         identifier",
        source.name,
        grouped(seen as i64),
        grouped(events as i64),
        grouped(known as i64)
    ));
    for (reason, count) in &letters {
        out::line(format_args!("  dead letters, {reason}: {count}"));
    }
    if seen > 0 && events == 0 {
        out::line("  no record could be used: look at [source.fields] for messageId and timestamp");
    } else if events > 0 && known == 0 {
        out::line("  no event has an identifier: look at `from` of the identity types");
    }
    Ok(())
}
