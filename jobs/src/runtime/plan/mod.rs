//! What runs: a job file checked, with names resolved.

mod archive;
mod checker;
mod cluster;
mod conditions;
mod fields;
mod funnels;
mod identity;
mod kinds;
mod snapshots;
mod sources;
#[cfg(test)]
mod tests;
mod topics;
mod trace;
mod views;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use connectors::decode::DecodeSpec;
use connectors::kafka::{KafkaBindingsSpec, KafkaSinkSpec, Values};
use connectors::table::{Granularity, TableOptions};
use operators::graph::Job;
use operators::identity::{EngineKind, IdentityConfig};
use operators::model::{Micros, SECOND};
use operators::time::TimeConfig;
use operators::views::catalog::{BUILT_IN, Catalog, FACTS_PER_SECOND_MAX};
use replay::history::SourceSpec;

pub use self::archive::ArchivePlan;
use self::checker::Checker;
pub use self::cluster::ClusterPlan;
pub use self::snapshots::SnapshotPlan;
pub(crate) use self::topics::check_prefix;
use super::job_file::{self, JobFile, Problem, Sink, Source, Text, nearest};
use crate::trace::TracePlan;

/// A source, ready to be opened and decoded.
#[derive(Clone, Debug)]
pub struct PlannedSource {
    /// Its name.
    pub name: Arc<str>,
    /// Where its records are.
    pub records: SourceSpec,
    /// How its records become events.
    pub decode: DecodeSpec,
    /// Why its files can't be listed, which is nothing to who looks at what is written.
    pub unreadable: Option<Problem>,
}

/// A job, checked and ready to run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Name of the job.
    pub name: String,
    /// Where its results go.
    pub out: PathBuf,
    /// The folder of its bindings, if they are in a file: `out`, but for a replay.
    pub bound: PathBuf,
    /// The job file as it is written: what stands for the environment stays as it is.
    pub text: String,
    /// Hash of everything in the job that its results depend on.
    pub hash: String,
    /// The sources.
    pub sources: Vec<PlannedSource>,
    /// Horizons.
    pub time: TimeConfig,
    /// Who is who.
    pub identity: Arc<IdentityConfig>,
    /// Which implementation finds out.
    pub engine: EngineKind,
    /// Views and tables.
    pub catalog: Arc<Catalog>,
    /// Channels, strongest first, for the business key.
    pub strongest: Vec<Arc<str>>,
    /// Records in an epoch at most.
    pub epoch_records: usize,
    /// The topic of its bindings; `None` if they are in a file.
    pub bindings: Option<KafkaBindingsSpec>,
    /// The snapshots, if any are taken.
    pub snapshots: Option<SnapshotPlan>,
    /// The topics that the job writes.
    pub topics: Vec<KafkaSinkSpec>,
    /// The tables, if the job writes any.
    pub tables: Option<TableOptions>,
    /// The archive, if the job keeps one.
    pub archive: Option<ArchivePlan>,
    /// What holds if it runs in a cluster.
    pub cluster: ClusterPlan,
    /// Where traces of some epochs go, if anywhere.
    pub trace: Option<TracePlan>,
}

impl Plan {
    /// The plan, if the files of all its sources can be listed.
    pub fn readable(self) -> Result<Self, Vec<Problem>> {
        let unreadable = unreadable(&self.sources);
        if unreadable.is_empty() { Ok(self) } else { Err(unreadable) }
    }

    /// Whether all its sources have an end.
    pub fn is_bounded(&self) -> bool {
        self.sources.iter().all(|source| matches!(source.records, SourceSpec::Files(_)))
    }

    /// The part that the graph needs.
    pub fn job(&self) -> Arc<Job> {
        Arc::new(Job {
            time: self.time,
            identity: Arc::clone(&self.identity),
            engine: self.engine,
            catalog: Arc::clone(&self.catalog),
            sources: self.sources.iter().map(|s| Arc::clone(&s.name)).collect(),
            strongest: self.strongest.clone(),
            coalesces: false,
            keeps_records: self.snapshots.is_some() || self.archive.is_some(),
        })
    }
}

/// Reads and checks a job file, and lists the files of its sources.
///
/// # Errors
///
/// Everything that is wrong in it, each with its line.
pub fn load(path: &Path) -> Result<Plan, Vec<Problem>> {
    read(path)?.readable()
}

/// Reads and checks a job file, for who looks at what it has written: files of its sources may be
/// such that nobody can read them.
///
/// # Errors
///
/// As for [`load`], but for those files if nothing else is wrong.
pub fn read(path: &Path) -> Result<Plan, Vec<Problem>> {
    let (text, file) = job_file::read(path).map_err(|problem| vec![problem])?;
    plan(&text, &file)
}

/// Checks another version of a job file: what stands at `path` in its stead is `content`.
///
/// # Errors
///
/// As for [`read`].
pub fn load_version(path: &Path, content: &str) -> Result<Plan, Vec<Problem>> {
    let env = |name: &str| std::env::var(name).ok();
    let (text, file) = job_file::parse(path, content, &env).map_err(|problem| vec![problem])?;
    plan(&text, &file)
}

/// Checks a job file that has been read.
pub fn plan(text: &Text, file: &JobFile) -> Result<Plan, Vec<Problem>> {
    let base = text.path.parent().unwrap_or(Path::new("")).to_path_buf();
    let mut check = Checker::new(text);
    check.name(&file.job.name);
    if file.job.out.get_ref().is_empty() {
        check.at(&file.job.out.span(), "`out` names no folder; write one, such as \"out/shop\"");
    }
    kinds::keys(&mut check, text, file);
    let time = time(&mut check, file);
    let zone = file.job.zone.as_ref().map_or("UTC", |zone| zone.get_ref().as_str());
    for view in &file.job.without {
        if !BUILT_IN.contains(&view.get_ref().as_str()) {
            check.unknown("built-in view", view, &BUILT_IN);
        }
    }
    let engine = identity::engine(&mut check, file);
    let (identity, identities) = identity::identity(&mut check, file);
    let mut needs = views::Needs::default();
    let specs = views::views(&mut check, file, &mut needs);
    let out = base.join(file.job.out.get_ref());
    let archive = archive::archive(&mut check, file, &mut needs, &out);
    let without: Vec<String> = file.job.without.iter().map(|w| w.get_ref().clone()).collect();
    let catalog = match Catalog::new(specs, &without, zone) {
        Ok(catalog) => Some(Catalog { facts_per_second_max: rate(&mut check, file), ..catalog }),
        Err(error) => {
            let span = file.job.zone.as_ref().map_or(0..0, toml::Spanned::span);
            let zones: Vec<String> = jiff::tz::db().available().map(|z| z.to_string()).collect();
            let zones: Vec<&str> = zones.iter().map(String::as_str).collect();
            let meant = nearest(zone, &zones).unwrap_or("Europe/Berlin");
            check.at(&span, format!("{error}; write a name such as {meant:?} or \"UTC\""));
            None
        }
    };
    let identity = Arc::new(identity);
    let sources = sources::sources(&mut check, file, &base, &identity, identities, needs);
    let (tables, topics) = sinks(&mut check, file);
    let bindings = topics::bindings(&mut check, file);
    let bounded = sources.iter().all(|source| source.records.files().is_some());
    let snapshots = snapshots::snapshots(&mut check, file, &base, bounded);
    let cluster = cluster::cluster(&mut check, file, &base);
    let trace = trace::trace(&mut check, file);
    let hash = hash(text, file, (&base, &sources));
    let epoch_records = file.job.epoch_records.as_ref().map_or(65_536, |n| *n.get_ref() as usize);
    if epoch_records == 0 {
        let span = file.job.epoch_records.as_ref().map_or(0..0, toml::Spanned::span);
        check.at(&span, "an epoch has at least one record; write 1 or more");
    }
    match (check.done(), catalog) {
        (problems, Some(catalog)) if problems.is_empty() => Ok(Plan {
            name: file.job.name.get_ref().clone(),
            bound: out.clone(),
            out,
            text: text.content().to_owned(),
            bindings,
            snapshots,
            tables: tables.map(|options| TableOptions { job_hash: hash.clone(), ..options }),
            archive,
            topics: topics
                .into_iter()
                .map(|spec| KafkaSinkSpec { job_hash: hash.clone(), ..spec })
                .collect(),
            hash,
            sources,
            time,
            identity,
            engine,
            catalog: Arc::new(catalog),
            strongest: file.dedup.strongest.iter().map(|c| c.as_str().into()).collect(),
            epoch_records,
            cluster,
            trace,
        }),
        (mut problems, _) => {
            problems.extend(unreadable(&sources));
            problems.sort_by_key(|problem| problem.line);
            Err(problems)
        }
    }
}

/// The names of a job file's views, built-in ones and all: those of its tables. `None` if they are
/// not what they should be.
pub(super) fn view_names(text: &Text, file: &JobFile) -> Option<BTreeSet<String>> {
    let mut check = Checker::new(text);
    let specs = views::views(&mut check, file, &mut views::Needs::default());
    let without: Vec<String> = file.job.without.iter().map(|w| w.get_ref().clone()).collect();
    let catalog = Catalog::new(specs, &without, "UTC").ok()?;
    let names = catalog.schemas.iter().map(|schema| schema.name.to_string()).collect();
    check.done().is_empty().then_some(names)
}

/// What is wrong with the files of sources.
fn unreadable(sources: &[PlannedSource]) -> Vec<Problem> {
    sources.iter().filter_map(|source| source.unreadable.clone()).collect()
}

/// Facts of a person in a second beyond which the person is flagged as a machine.
fn rate(check: &mut Checker, file: &JobFile) -> usize {
    let Some(written) = &file.job.facts_per_second_max else { return FACTS_PER_SECOND_MAX };
    let most = *written.get_ref() as usize;
    if most == 0 {
        let message = format!(
            "everybody has one fact in a second; write 1 or more, as {FACTS_PER_SECOND_MAX}"
        );
        check.at(&written.span(), message);
    }
    most
}

fn time(check: &mut Checker, file: &JobFile) -> TimeConfig {
    const DAY: Micros = 86_400 * SECOND;
    let t = &file.time;
    let time = TimeConfig {
        disorder: check.span_or(t.disorder.as_ref(), 2 * 3600 * SECOND),
        admit: check.span_or(t.admit.as_ref(), 7 * DAY),
        future: check.span_or(t.future.as_ref(), DAY),
        ids: check.span_or(t.ids.as_ref(), 30 * DAY),
        history: check.span_or(t.history.as_ref(), 400 * DAY),
    };
    let place = |key: Option<&toml::Spanned<String>>| key.map_or(0..0, toml::Spanned::span);
    if time.admit > time.ids {
        let message = "`ids` is shorter than `admit`, so a copy could come after its id is \
                       forgotten; write ids at least as long as admit";
        check.at(&place(t.ids.as_ref().or(t.admit.as_ref())), message);
    }
    if time.ids > time.history {
        let message = "`history` is shorter than `ids`; write history at least as long as ids";
        check.at(&place(t.history.as_ref().or(t.ids.as_ref())), message);
    }
    time
}

fn sinks(check: &mut Checker, file: &JobFile) -> (Option<TableOptions>, Vec<KafkaSinkSpec>) {
    let mut options = TableOptions {
        job: file.job.name.get_ref().clone(),
        job_hash: String::new(),
        partition: partition(file).unwrap_or_default(),
        arrow: false,
        every: COMMIT_EVERY,
    };
    let Some(sinks) = &file.sink else { return (Some(options), Vec::new()) };
    let (any, mut topics) = (has_tables(sinks), Vec::<KafkaSinkSpec>::new());
    for sink in sinks {
        match sink.connector.get_ref().as_str() {
            "archive" => {
                topics::belongs(check, sink);
                continue;
            }
            "table" | "arrow" => {
                options.arrow |= sink.connector.get_ref() == "arrow";
                topics::belongs(check, sink);
            }
            "kafka" => {
                let spec = topics::sink(check, file, sink);
                if topics.iter().any(|other| other.prefix == spec.prefix) {
                    let message = "two sinks have the same prefix; give one another";
                    check.at(&sink.connector.span(), message);
                }
                topics.push(spec);
            }
            _ => {
                let known = ["table", "arrow", "kafka", "archive"];
                check.unknown("sink", &sink.connector, &known);
            }
        }
        if let Some(every) = &sink.every {
            let every_s = check.span(every) / SECOND;
            options.every = Duration::from_secs(u64::try_from(every_s).unwrap_or(0));
        }
        if let Some(word) = &sink.partition
            && Granularity::from_word(word.get_ref()).is_none()
        {
            check.unknown("partition", word, &Granularity::ALL.map(Granularity::word));
        }
    }
    (any.then_some(options), topics)
}

/// How the tables of a job file are partitioned, if it has any.
pub(super) fn partition(file: &JobFile) -> Option<Granularity> {
    let sinks = file.sink.as_deref().unwrap_or_default();
    let others = sinks.iter().filter(|sink| sink.connector.get_ref() != "archive");
    let words = others.filter_map(|sink| sink.partition.as_ref());
    let partition = words.filter_map(|word| Granularity::from_word(word.get_ref())).next_back();
    has_tables(sinks).then(|| partition.unwrap_or_default())
}

/// Whether tables are written: where a job asks for them, or for no other output of its rows.
fn has_tables(sinks: &[Sink]) -> bool {
    let is = |sink: &Sink, kinds: &[&str]| kinds.contains(&sink.connector.get_ref().as_str());
    sinks.iter().all(|sink| is(sink, &["archive"]))
        || sinks.iter().any(|sink| is(sink, &["table", "arrow"]))
}

/// Tables are committed this often: more would make many small files of a changelog.
const COMMIT_EVERY: Duration = Duration::from_mins(1);

/// Keys of sources and sinks that say how brokers are reached, where topics are, and how often
/// tables are committed. A sink's `format` says as little about what is in it.
const ELSEWHERE: [&str; 8] =
    ["brokers", "properties", "group", "prefix", "partitions", "replication", "registry", "every"];

/// Raised when rows of the same records become others, or what they mean: then what stands
/// published is brought up to date as if the job had been changed.
const MEANING: u32 = 4;

/// What the results depend on: all that the job file says but for `out`, the size of epochs, where
/// topics are, how often tables are committed, what holds in a cluster and where traces go; the
/// erased list; and what is in the files of schemas.
fn hash(text: &Text, file: &JobFile, (base, sources): (&Path, &[PlannedSource])) -> String {
    let mut said = text.said().clone();
    for elsewhere in ["bindings", "snapshot", "cluster", "trace"] {
        said.remove(elsewhere);
    }
    if let Some(job) = said.get_mut("job").and_then(toml::Value::as_table_mut) {
        job.retain(|key, _| key != "out" && key != "epoch_records");
    }
    for (list, also) in [("source", ""), ("sink", "format")] {
        let list = said.get_mut(list).and_then(toml::Value::as_array_mut);
        for table in list.into_iter().flatten().filter_map(toml::Value::as_table_mut) {
            table.retain(|key, _| !ELSEWHERE.contains(&key) && key != also);
        }
    }
    let erased = file
        .identity
        .erased
        .as_ref()
        .map(|path| std::fs::read(base.join(path.get_ref())).unwrap_or_default());
    let schemas: Vec<Vec<u8>> =
        file.source.iter().zip(sources).filter_map(|source| schema(source, base)).collect();
    Checker::hash(&format!("{MEANING}{said:?}{erased:?}{schemas:?}"))
}

/// What is in the file of a source's schema, if it has one; of Protobuf what it means, with all
/// that it imports.
fn schema((written, planned): (&Source, &PlannedSource), base: &Path) -> Option<Vec<u8>> {
    let name = written.schema.as_ref()?;
    let SourceSpec::Topics(topics) = &planned.records else { return None };
    Some(match &topics.values {
        Values::Protobuf(message) => message.definition(),
        _ => std::fs::read(base.join(name.get_ref())).unwrap_or_default(),
    })
}
