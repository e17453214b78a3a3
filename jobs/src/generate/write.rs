//! Writes a shop into files: records by channel, the truth about them, a job that reads them.
//!
//! ```text
//! DIR/web/part-00000000.ndjson …      records in the order of their arrival
//! DIR/mobile/…  DIR/backend/…
//! DIR/truth/events.csv             for each record, where it stands and what is true about it
//! DIR/truth/people.ndjson          for each person, everything by which trackers may know them
//! DIR/job.toml                     `braid run DIR/job.toml`
//! ```
//!
//! A row of `events.csv`: channel, index of the file and number of the line in it (from 1), message
//! id (also where the record has lost it), tenant, person, number of the person's session (0 for a
//! merge of accounts, which is no event of a person), event, when it truly happened and when by the
//! record (milliseconds since 1970), who uses the device, which of several copies it is, whether it
//! came late, and the reason for which it can't be used.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::Serialize;

use super::files::{Output, Rolling, io_error};
use super::lines::Moments;
use super::words::Write as _;
use super::{
    Channel, Copy, FileOptions, GenerateError, Person, Shop, ShopOptions, Truth, Uuid, job_file,
    tenant_name,
};

/// What was written.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct Generated {
    /// Records in all.
    pub records: u64,
    /// Records by channel.
    pub channels: BTreeMap<String, u64>,
    /// Bytes of the records, before compression.
    pub bytes: u64,
    /// Files of records.
    pub files: u64,
    /// People.
    pub people: u64,
    /// Sessions of all people.
    pub sessions: u64,
    /// Records that are a copy, by kind.
    pub copies: BTreeMap<String, u64>,
    /// Records that come late.
    pub late: u64,
    /// Records that can't be used, by the reason of their dead letter.
    pub broken: BTreeMap<String, u64>,
    /// The first event, RFC 3339.
    pub first_event: String,
    /// The last event, RFC 3339.
    pub last_event: String,
    /// The job file.
    pub job: PathBuf,
    /// Seconds that it took.
    pub seconds: f64,
    /// Records per second.
    pub records_per_s: f64,
}

/// Records between two words on progress.
const PROGRESS_EVERY: u64 = 1 << 15;

/// Makes a shop in a folder. `progress` hears now and then how many records there are so far.
pub fn write(
    shop: &ShopOptions,
    files: &FileOptions,
    progress: &mut dyn FnMut(u64),
) -> Result<Generated, GenerateError> {
    let begun = Instant::now();
    let mut records = Shop::new(shop)?;
    prepare(&files.dir)?;
    let channels = Channel::ALL.into_iter().map(|channel| Rolling::new(files, channel));
    let mut channels: Vec<Rolling<'_>> = channels.collect::<Result<_, _>>()?;
    let truth = files.dir.join("truth");
    let extension = files.compression.extension();
    let name = format!("events.csv{extension}");
    let mut events = Output::create(truth.join(name), files.compression)?;
    events.buffer.text(EVENTS_HEADER);
    events.end_line()?;
    let name = format!("people.ndjson{extension}");
    let mut people = Output::create(truth.join(name), files.compression)?;
    let tenants: Vec<String> = (0..shop.tenants).map(|t| tenant_name(shop, t)).collect();
    let mut done = Generated::default();
    let (mut first_ms, mut last_ms) = (i64::MAX, i64::MIN);
    while let Some(record) = records.next_record() {
        let truth = record.truth;
        let channel = &mut channels[truth.channel.index()];
        let place = channel.line(|buffer| records.write(&record, buffer))?;
        event_line(&truth, place, &tenants[truth.tenant as usize], &mut events.buffer);
        events.end_line()?;
        done.count(&truth);
        (first_ms, last_ms) = (first_ms.min(truth.true_ms), last_ms.max(truth.true_ms));
        if done.records.is_multiple_of(PROGRESS_EVERY) {
            progress(done.records);
            done.people(shop, &records.take_people(), &mut people)?;
        }
    }
    done.people(shop, &records.take_people(), &mut people)?;
    for rolling in channels {
        done.channels.insert(rolling.channel.word().to_owned(), rolling.records);
        done.files += u64::from(rolling.files);
        done.bytes += rolling.finish()?;
    }
    events.finish()?;
    people.finish()?;
    done.job = files.dir.join("job.toml");
    fs::write(&done.job, job_file(files.compression)).map_err(io_error(&done.job))?;
    done.first_event = rfc3339(first_ms);
    done.last_event = rfc3339(last_ms);
    done.seconds = begun.elapsed().as_secs_f64();
    done.records_per_s = done.records as f64 / done.seconds.max(1e-9);
    Ok(done)
}

/// Makes the folders, none of which may be there.
fn prepare(dir: &Path) -> Result<(), GenerateError> {
    let folders = ["web", "mobile", "backend", "truth"];
    for name in folders.iter().chain(&["job.toml"]) {
        let path = dir.join(name);
        if path.exists() {
            return Err(GenerateError::Exists { path });
        }
    }
    for name in folders {
        let path = dir.join(name);
        fs::create_dir_all(&path).map_err(io_error(&path))?;
    }
    Ok(())
}

fn rfc3339(at_ms: i64) -> String {
    let mut text = Vec::new();
    Moments::new().write(at_ms, &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

const EVENTS_HEADER: &str = "channel,file,line,message_id,tenant,person,session,event,true_ms,\
                             event_ms,device,copy,late,broken";

fn event_line(truth: &Truth, (file, line): (u32, u64), tenant: &str, out: &mut Vec<u8>) {
    out.text(truth.channel.word());
    out.push(b',');
    out.number(u64::from(file));
    out.push(b',');
    out.number(line);
    out.push(b',');
    out.extend_from_slice(&truth.message.text());
    out.push(b',');
    out.text(tenant);
    out.push(b',');
    out.number(truth.person);
    out.push(b',');
    out.number(u64::from(truth.session));
    out.push(b',');
    out.text(truth.name.word());
    for at_ms in [truth.true_ms, truth.event_ms] {
        out.text(if at_ms < 0 { ",-" } else { "," });
        out.number(at_ms.unsigned_abs());
    }
    out.push(b',');
    out.text(truth.device.word());
    out.push(b',');
    out.text(truth.copy.word());
    out.text(if truth.late() { ",1," } else { ",0," });
    out.text(truth.broken.map_or("", |broken| broken.reason().word()));
}

impl Generated {
    fn count(&mut self, truth: &Truth) {
        self.records += 1;
        if truth.copy != Copy::Original {
            add(&mut self.copies, truth.copy.word());
        }
        self.late += u64::from(truth.late());
        if let Some(broken) = truth.broken {
            add(&mut self.broken, broken.reason().word());
        }
    }

    fn people(
        &mut self,
        shop: &ShopOptions,
        people: &[Person],
        out: &mut Output,
    ) -> Result<(), GenerateError> {
        for person in people {
            self.people += 1;
            self.sessions += u64::from(person.sessions);
            person_line(shop, person, &mut out.buffer);
            out.end_line()?;
        }
        Ok(())
    }
}

fn add(counts: &mut BTreeMap<String, u64>, word: &str) {
    if let Some(count) = counts.get_mut(word) {
        *count += 1;
    } else {
        counts.insert(word.to_owned(), 1);
    }
}

/// A person as JSON. None of the texts has anything to escape.
fn person_line(shop: &ShopOptions, person: &Person, out: &mut Vec<u8>) {
    out.text("{\"person\":");
    out.number(person.person);
    out.text(",\"tenant\":\"");
    out.text(&tenant_name(shop, person.tenant));
    out.text("\",\"sessions\":");
    out.number(u64::from(person.sessions));
    texts(",\"user_ids\":[", &person.user_ids, out);
    texts(",\"emails\":[", &person.emails, out);
    uuids(",\"anonymous_ids\":[", &person.anonymous_ids, out);
    uuids(",\"shared_anonymous_ids\":[", &person.shared_anonymous_ids, out);
    uuids(",\"device_ids\":[", &person.device_ids, out);
    out.push(b'}');
}

fn texts(name: &str, texts: &[String], out: &mut Vec<u8>) {
    list(name, texts, out, |text, out| out.text(text));
}

fn uuids(name: &str, ids: &[Uuid], out: &mut Vec<u8>) {
    list(name, ids, out, |id, out| out.extend_from_slice(&id.text()));
}

fn list<T>(name: &str, items: &[T], out: &mut Vec<u8>, put: impl Fn(&T, &mut Vec<u8>)) {
    out.text(name);
    for (place, item) in items.iter().enumerate() {
        out.text(if place == 0 { "\"" } else { ",\"" });
        put(item, out);
        out.push(b'"');
    }
    out.push(b']');
}
