//! The identity part of a job.

use connectors::decode::IdentityFields;
use operators::identity::{EngineKind, FOREVER, IdentityConfig, IdentityType, NO_LIMIT, Own};
use operators::model::{Micros, SECOND};

use super::checker::Checker;
use crate::runtime::job_file::JobFile;

const DAY: Micros = 86_400 * SECOND;

/// The types of a job that names none: Segment's ids and the email.
fn usual() -> Vec<(IdentityType, Vec<&'static str>)> {
    let email = IdentityType { owners_max: 5, ..IdentityType::new("email", 1) };
    let anonymous =
        IdentityType { degree_max: 100, forward: 30 * DAY, ..IdentityType::new("anonymous_id", 2) };
    vec![
        (IdentityType::new("user_id", 0), vec!["userId"]),
        (email, vec!["traits.email", "context.traits.email"]),
        (anonymous, vec!["anonymousId"]),
    ]
}

/// Which implementation of the rules runs.
pub(super) fn engine(check: &mut Checker, file: &JobFile) -> EngineKind {
    let Some(engine) = &file.identity.engine else { return EngineKind::default() };
    match engine.get_ref().as_str() {
        "incremental" => return EngineKind::Incremental,
        "differential" => return EngineKind::Differential,
        _ => check.unknown("identity engine", engine, &["incremental", "differential"]),
    }
    EngineKind::default()
}

/// Rules, and where the identifiers of each type stand.
pub(super) fn identity(
    check: &mut Checker,
    file: &JobFile,
) -> (IdentityConfig, Vec<IdentityFields>) {
    let written = &file.identity.types;
    let cluster_max = file.identity.cluster_max.unwrap_or(1000);
    let fields = |name: &str, from: &[&str], ignore_case: bool| IdentityFields {
        name: name.to_owned(),
        from: from.iter().map(|path| super::sources::path(path)).collect(),
        ignore_case,
    };
    if written.is_empty() {
        let (types, from): (Vec<_>, Vec<_>) =
            usual().into_iter().map(|(t, from)| (t.clone(), fields(&t.name, &from, false))).unzip();
        return (IdentityConfig { types, cluster_max }, from);
    }
    check.unique("identity types", written.iter().map(|t| &t.name));
    if written.len() > 256 {
        check.at(&written[256].name.span(), "a job has at most 256 identity types; remove some");
    }
    let (mut types, mut from) = (Vec::new(), Vec::new());
    for t in written {
        let own = match t.own.as_ref().map(|own| (own, own.get_ref().as_str())) {
            None | Some((_, "time")) => Own::Time,
            Some((_, "first")) => Own::First,
            Some((_, "last")) => Own::Last,
            Some((own, _)) => {
                check.unknown("value of own", own, &["time", "first", "last"]);
                Own::Time
            }
        };
        if t.from.is_empty() {
            let message = "an identity type has a field or more; write from = [\"userId\"]";
            check.at(&t.name.span(), message);
        }
        if t.owners_max == Some(0) {
            let message =
                "an identifier has an owner or more; write owners_max = 1 or leave it out";
            check.at(&t.name.span(), message);
        }
        for from in &t.from {
            check.field(from);
        }
        types.push(IdentityType {
            name: t.name.get_ref().clone(),
            rank: t.rank,
            degree_max: t.degree_max.unwrap_or(NO_LIMIT),
            owners_max: t.owners_max.unwrap_or(NO_LIMIT),
            forward: check.span_or(t.forward.as_ref(), FOREVER),
            back: check.span_or(t.back.as_ref(), FOREVER),
            own,
        });
        let paths: Vec<&str> = t.from.iter().map(|from| from.get_ref().as_str()).collect();
        from.push(fields(t.name.get_ref(), &paths, t.ignore_case.unwrap_or(false)));
    }
    (IdentityConfig { types, cluster_max }, from)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::runtime::job_file::parse;

    #[test]
    fn a_job_names_the_engine() {
        let engine = |line: &str| {
            let job = format!("[job]\nname = \"j\"\nout = \"out\"\n[identity]\n{line}\n");
            let (text, file) = parse(Path::new("job.toml"), &job, &|_| None).unwrap();
            engine(&mut Checker::new(&text), &file)
        };
        assert_eq!(engine(""), EngineKind::Incremental);
        assert_eq!(engine("engine = \"incremental\""), EngineKind::Incremental);
        assert_eq!(engine("engine = \"differential\""), EngineKind::Differential);
    }
}
