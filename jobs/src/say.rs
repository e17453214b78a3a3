//! Lines on standard error: for a person, or with `--log json` an object a line for machines.

use std::fmt::Display;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::Timestamp;
use serde_json::json;

static JSON: AtomicBool = AtomicBool::new(false);

/// From now on lines are JSON: `time`, `level` (`info` or `error`), `message`.
pub(crate) fn as_json() {
    JSON.store(true, Ordering::Release);
}

/// Something that a person should know.
pub(crate) fn note(words: impl Display) {
    say("info", "braid: ", &words);
}

/// Something that failed.
pub(crate) fn fail(words: impl Display) {
    say("error", "braid: ", &words);
}

/// How far something is.
pub(crate) fn progress(words: impl Display) {
    say("info", "", &words);
}

/// Something wrong in a file, which the words name.
pub(crate) fn problem(words: impl Display) {
    say("error", "", &words);
}

fn say(level: &str, before: &str, words: &dyn Display) {
    if JSON.load(Ordering::Acquire) {
        eprintln!("{}", object(Timestamp::now(), level, words));
    } else {
        eprintln!("{before}{words}");
    }
}

fn object(time: Timestamp, level: &str, words: &dyn Display) -> serde_json::Value {
    json!({ "time": format!("{time:.3}"), "level": level, "message": words.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_object() {
        let time = Timestamp::from_microsecond(1_767_323_045_000_000).unwrap();
        let line = object(time, "error", &"a \"b\"\nc").to_string();
        let expected =
            r#"{"time":"2026-01-02T03:04:05.000Z","level":"error","message":"a \"b\"\nc"}"#;
        assert_eq!(line, expected);
    }
}
