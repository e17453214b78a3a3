//! Where traces go.

use std::time::Duration;

use operators::model::SECOND;
use reqwest::header::{HeaderName, HeaderValue};
use url::Url;

use super::checker::Checker;
use crate::runtime::job_file::JobFile;
use crate::trace::TracePlan;

/// An epoch that begins so long after the last one that was followed is followed, if nothing else
/// is said.
const EVERY_S: i64 = 10;
/// Where a collector takes traces, by OpenTelemetry's protocol over HTTP.
const PATH: &str = "v1/traces";

/// `[trace]`; `None` if the job has none.
pub(super) fn trace(check: &mut Checker, file: &JobFile) -> Option<TracePlan> {
    let of = file.trace.as_ref()?;
    let every_s = check.span_or(of.every.as_ref(), EVERY_S * SECOND) / SECOND;
    for (name, value) in &of.headers {
        let fits = HeaderName::try_from(name.get_ref()).is_ok()
            && HeaderValue::try_from(value.0.as_str()).is_ok();
        if !fits {
            let message = format!(
                "{:?} can't be a header; write a name of letters, digits and -, and a value in one \
                 line",
                name.get_ref()
            );
            check.at(&name.span(), message);
        }
    }
    let url = match Url::parse(of.otlp.get_ref()) {
        Ok(url) if ["http", "https"].contains(&url.scheme()) => url,
        _ => {
            let message = format!(
                "{:?} is no address of a collector; write otlp = \"http://collector:4318\"",
                of.otlp.get_ref()
            );
            check.at(&of.otlp.span(), message);
            return None;
        }
    };
    let headers = of.headers.iter().map(|(name, value)| (name.get_ref().clone(), value.0.clone()));
    Some(TracePlan {
        url: with_path(url),
        every: Duration::from_secs(every_s.unsigned_abs()),
        headers: headers.collect(),
    })
}

/// The address with the path that is always the same, unless it stands there.
fn with_path(mut url: Url) -> Url {
    let path = url.path().trim_end_matches('/').to_owned();
    if !path.ends_with(PATH) {
        url.set_path(&format!("{path}/{PATH}"));
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_is_added_where_it_is_missing() {
        for (written, url) in [
            ("http://a:4318", "http://a:4318/v1/traces"),
            ("http://a:4318/", "http://a:4318/v1/traces"),
            ("https://a/otlp", "https://a/otlp/v1/traces"),
            ("https://a/otlp/v1/traces/", "https://a/otlp/v1/traces/"),
        ] {
            assert_eq!(with_path(Url::parse(written).unwrap()).as_str(), url);
        }
    }
}
