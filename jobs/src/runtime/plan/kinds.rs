//! Which keys belong to which kind of view.

use super::checker::Checker;
use crate::runtime::job_file::{JobFile, Text, listed};

/// The keys of a kind, if they are few.
fn keys_of(kind: &str) -> Option<&'static [&'static str]> {
    match kind {
        "sessions" => Some(&["kind", "gap", "cap"]),
        "trend" => Some(&["kind", "name", "metric", "property", "filter", "period", "breakdown"]),
        _ => None,
    }
}

/// The keys that a funnel has not.
const NOT_OF_FUNNELS: [&str; 5] = ["gap", "cap", "metric", "property", "period"];

/// Notes keys that say nothing in a view of its kind.
pub(super) fn keys(check: &mut Checker, text: &Text, file: &JobFile) {
    for (view, keys) in file.view.iter().zip(text.view_keys()) {
        let kind = view.get_ref().kind.get_ref().as_str();
        for (key, span) in keys {
            match keys_of(kind) {
                Some(known) if !known.contains(&key.as_str()) => {
                    let known = listed(known);
                    check.at(span, format!("a {kind} view has no `{key}`; its keys are {known}"));
                }
                None if kind == "funnel" && NOT_OF_FUNNELS.contains(&key.as_str()) => {
                    check.at(span, format!("a funnel has no `{key}`; leave it out"));
                }
                _ => {}
            }
        }
    }
}
