//! Jobs over random histories: a source of files for each channel, and the events in them.

use std::path::PathBuf;
use std::sync::Arc;

use connectors::decode::{Decoded, Decoder};
use connectors::file::{FileSource, Position};
use jobs::runtime::Plan;
use operators::model::{Cell, Event};

use super::Job;

/// The channels, and whether records for them are marked.
const CHANNELS: [(&str, bool); 2] = [("web", false), ("backend", true)];

/// The head of a job of a name: its sources are the files in folders named after channels.
pub(crate) fn sources(name: &str) -> String {
    let job = format!("[job]\nname = {name:?}\nout = \"out\"\nzone = \"Europe/Berlin\"\n");
    CHANNELS.into_iter().fold(job, |job, (channel, _)| job + &source(channel))
}

/// A source of the files in the folder of a channel.
pub(crate) fn source(channel: &str) -> String {
    format!(
        "[[source]]\nname = {channel:?}\nconnector = \"file\"\npath = \"{channel}/*.ndjson\"\n\
         channel = {channel:?}\n"
    )
}

/// Writes records as the files of a part, one for each source, and returns these.
pub(crate) fn write_part(job: &Job, part: usize, records: &[(bool, String)]) -> Vec<PathBuf> {
    let file = |(channel, marked): (&str, bool)| {
        let lines = records.iter().filter(|r| r.0 == marked).map(|r| r.1.as_str());
        job.write(&format!("{channel}/{part:03}.ndjson"), lines.collect::<String>())
    };
    CHANNELS.into_iter().map(file).collect()
}

/// The events of each source with the place after each, in its order.
pub(crate) fn events(plan: &Plan) -> Vec<Vec<(Position, Arc<Event>)>> {
    let mut all = Vec::new();
    for source in &plan.sources {
        let files = source.records.files().expect("files");
        let mut files = FileSource::open(files, Position::default()).unwrap();
        let mut decoder = Decoder::new(&source.decode).unwrap();
        let mut events = Vec::new();
        while let Some(batch) = files.next(1).unwrap() {
            let mut decoded = Decoded::default();
            decoder.decode(&batch, 0, &mut decoded);
            let place = files.position();
            events.extend(decoded.events.into_iter().map(|(event, _)| (place, Arc::new(event))));
        }
        all.push(events);
    }
    all
}

/// A cell as a table gives it: ids are text.
pub(crate) fn as_read(cell: &Cell) -> Cell {
    match cell {
        Cell::Id(id) => Cell::str(&id.to_string()),
        Cell::List(items) => Cell::List(items.iter().map(as_read).collect()),
        other => other.clone(),
    }
}
