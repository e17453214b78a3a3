//! Snapshots: how often, and where to.

use std::path::Path;
use std::time::Duration;

use connectors::store::{StoreError, StoreSpec};
use replay::snapshot::PlaceSpec;

use super::checker::Checker;
use crate::runtime::job_file::{JobFile, Snapshot};

/// How often a snapshot of a job on topics is taken, unless the job file says otherwise.
const USUAL: Duration = Duration::from_mins(1);

/// The snapshots of a job.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SnapshotPlan {
    /// How often one is taken.
    pub every: Duration,
    /// Where they are.
    pub place: PlaceSpec,
}

/// Snapshots of a job on topics are taken each minute, of one on files never, unless the job file
/// says otherwise.
pub(super) fn snapshots(
    check: &mut Checker,
    file: &JobFile,
    base: &Path,
    bounded: bool,
) -> Option<SnapshotPlan> {
    let folder = base.join(file.job.out.get_ref()).join("snapshots");
    let place = match &file.snapshot {
        Some(snapshot) => place(check, snapshot, base, &folder),
        None => PlaceSpec::Folder(folder),
    };
    let every = match file.snapshot.as_ref().map(|snapshot| snapshot.every.as_ref()) {
        None if bounded => return None,
        None | Some(None) => USUAL,
        Some(Some(every)) if every.get_ref() == "never" => return None,
        Some(Some(every)) => {
            let time = check.span_or(Some(every), 0);
            if time == 0 && every.get_ref().starts_with('0') {
                check
                    .at(&every.span(), "no time lies between snapshots; write \"1m\" or \"never\"");
            }
            Duration::from_micros(time.max(0) as u64)
        }
    };
    Some(SnapshotPlan { every, place })
}

/// Where snapshots are: below `folder` if nothing is said.
fn place(check: &mut Checker, snapshot: &Snapshot, base: &Path, folder: &Path) -> PlaceSpec {
    let url = snapshot.to.as_ref().filter(|to| to.get_ref().contains("://"));
    let Some(to) = url else {
        if let Some(option) = snapshot.options.keys().next() {
            let message = "only object stores have options; write to = \"s3://bucket/prefix\"";
            check.at(&option.span(), message);
        }
        let folder = match &snapshot.to {
            Some(to) if to.get_ref().is_empty() => {
                let message = "`to` names no place; write a folder or \"s3://bucket/prefix\"";
                check.at(&to.span(), message);
                folder.to_owned()
            }
            Some(to) => base.join(to.get_ref()),
            None => folder.to_owned(),
        };
        return PlaceSpec::Folder(folder);
    };
    let options = snapshot.options.iter().map(|(k, v)| (k.get_ref().clone(), v.0.clone()));
    let spec = StoreSpec::new(to.get_ref(), options.collect());
    if let Err(error) = spec.check() {
        let message = error.to_string();
        let place = match error {
            StoreError::Option { option: Some(option), .. } => {
                snapshot.options.keys().find(|key| *key.get_ref() == option)
            }
            _ => None,
        };
        check.at(&place.unwrap_or(to).span(), message);
    }
    PlaceSpec::Store(spec, folder.join("waiting"))
}
