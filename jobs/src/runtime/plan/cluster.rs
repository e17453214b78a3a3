//! How the processes of a cluster watch and trust each other.

use std::path::Path;
use std::time::Duration;

use operators::model::SECOND;

use super::checker::Checker;
use crate::cluster::{SILENCE, SILENCE_MIN, TlsFiles};
use crate::runtime::job_file::JobFile;

/// `[cluster]`, for jobs that run in one.
#[derive(Clone, Debug)]
pub struct ClusterPlan {
    /// How long a process may say nothing before it is lost.
    pub silence: Duration,
    /// Certificates, if processes are to show them.
    pub tls: Option<TlsFiles>,
}

pub(super) fn cluster(check: &mut Checker, file: &JobFile, base: &Path) -> ClusterPlan {
    let of = &file.cluster;
    let span_s = check.span_or(of.silence.as_ref(), SILENCE.as_secs() as i64 * SECOND) / SECOND;
    let silence = Duration::from_secs(span_s.unsigned_abs());
    if let Some(written) = of.silence.as_ref().filter(|_| silence < SILENCE_MIN) {
        check.at(&written.span(), "`silence` is too short; write \"1s\" or more");
    }
    let tls = of.tls.as_ref().and_then(|written| {
        let tls = written.get_ref();
        let (Some(ca), Some(cert), Some(key)) = (&tls.ca, &tls.cert, &tls.key) else {
            let message = "certificates need three files; write `ca`, `cert` and `key`";
            check.at(&written.span(), message);
            return None;
        };
        Some(TlsFiles { ca: base.join(ca), cert: base.join(cert), key: base.join(key) })
    });
    ClusterPlan { silence, tls }
}
