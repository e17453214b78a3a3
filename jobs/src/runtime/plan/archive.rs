//! What a job's archive keeps.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use connectors::decode::IdentityFields;
use connectors::table::{ArchiveSpec, Names, archive_app};
use operators::model::{Micros, SECOND};

use super::checker::Checker;
use super::views::Needs;
use super::{Plan, PlannedSource, SourceSpec};
use crate::runtime::job_file::JobFile;

/// How often it is committed: each commit is a file for each day that has events in it.
const COMMIT_EVERY: Duration = Duration::from_mins(5);

/// A job's archive.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ArchivePlan {
    /// The folder that it is in: the job's `out`.
    pub out: PathBuf,
    /// As what it is written.
    pub app: String,
    /// How often it is committed.
    pub every: Duration,
    /// Events older than the watermark by more are removed; `None` to keep all.
    pub retention: Option<Micros>,
}

/// The archive of a job file. What it is to keep is asked of events.
pub(super) fn archive(
    check: &mut Checker,
    file: &JobFile,
    needs: &mut Needs,
    out: &Path,
) -> Option<ArchivePlan> {
    let mut archive = None;
    for sink in file.sink.iter().flatten() {
        let is_archive = sink.connector.get_ref() == "archive";
        if !is_archive {
            let keep = sink.keep.first().map(toml::Spanned::span);
            if let Some(span) = keep.or(sink.retention.as_ref().map(toml::Spanned::span)) {
                check.at(&span, "only a sink with connector = \"archive\" has it; leave it out");
            }
            continue;
        }
        if archive.is_some() {
            let message = "a job has one archive; leave the second one out";
            check.at(&sink.connector.span(), message);
        }
        for field in &sink.keep {
            check.field(field);
            needs.property(field.get_ref());
        }
        let every = sink.every.as_ref().map(|every| check.span(every) / SECOND);
        let every = every.map(|every| Duration::from_secs(u64::try_from(every).unwrap_or(0)));
        let retention = sink.retention.as_ref().map(|retention| check.span(retention));
        let (every, app) = (every.unwrap_or(COMMIT_EVERY), archive_app(file.job.name.get_ref()));
        archive = Some(ArchivePlan { out: out.to_path_buf(), app, every, retention });
    }
    archive
}

impl Plan {
    /// What indices in the job's events stand for.
    pub fn names(&self) -> Names {
        let properties = self.sources.first().map(|source| &source.decode.properties);
        Names {
            identity: Arc::clone(&self.identity),
            properties: properties
                .into_iter()
                .flatten()
                .map(|path| Arc::from(path.to_string()))
                .collect(),
            sources: self.sources.iter().map(|source| Arc::clone(&source.name)).collect(),
            rules: self.rules(),
            time: self.time,
        }
    }

    /// What decides what becomes of a record, beside properties and times.
    fn rules(&self) -> BTreeMap<String, String> {
        let mut rules = BTreeMap::new();
        for PlannedSource { name, decode, .. } in &self.sources {
            let fields = (&decode.fields, &decode.channel, &decode.tenant, &decode.default_tenant);
            rules.insert(format!("the fields of source {name}"), format!("{fields:?}"));
        }
        if let Some(PlannedSource { decode, .. }) = self.sources.first() {
            for IdentityFields { name, from, ignore_case } in &decode.identities {
                // As before there was such a thing, where it is not asked for.
                let folded = if *ignore_case { " in any case" } else { "" };
                rules.insert(format!("the fields of {name}"), format!("{from:?}{folded}"));
            }
            let blocked: BTreeSet<&String> = decode.blocked.iter().collect();
            let previous = decode.previous_id.map(|of| &decode.identities[usize::from(of)].name);
            // Says nothing of the secret, and tells it from others.
            let secret = decode.secret.token("", "");
            rules.insert("identity.blocked".to_owned(), format!("{blocked:?}"));
            rules.insert("identity.previous_id".to_owned(), format!("{previous:?}"));
            rules.insert("identity.secret".to_owned(), secret.to_string());
            let business_key = decode.business_key.as_ref().map(ToString::to_string);
            rules.insert("dedup.business_key".to_owned(), format!("{business_key:?}"));
        }
        // Fingerprints: field maps are long, and stand in each file.
        rules.values_mut().for_each(|rule| *rule = Checker::hash(rule));
        rules
    }

    /// The archive as it is written.
    pub(in crate::runtime) fn archive_spec(&self, archive: &ArchivePlan) -> ArchiveSpec {
        ArchiveSpec {
            app: archive.app.clone(),
            job_hash: Arc::from(self.hash.as_str()),
            names: self.names(),
            retention: archive.retention,
        }
    }

    /// Whether a source's partitions are each in order of event time by itself.
    pub(in crate::runtime) fn has_partitions(&self, source: u16) -> bool {
        let source = self.sources.get(usize::from(source));
        source.is_some_and(|source| matches!(source.records, SourceSpec::Topics(_)))
    }
}
