//! Collects what is wrong in a job file.

use std::ops::Range;

use connectors::decode::FieldPath;
use operators::model::{Micros, SECOND};
use operators::shard::place;
use toml::Spanned;

use crate::runtime::job_file::{Problem, Text, listed, nearest};

/// The problems found so far.
pub(super) struct Checker<'a> {
    text: &'a Text,
    problems: Vec<Problem>,
}

impl<'a> Checker<'a> {
    pub(super) fn new(text: &'a Text) -> Self {
        Self { text, problems: Vec::new() }
    }

    /// Notes a problem at a place of the file.
    pub(super) fn at(&mut self, span: &Range<usize>, message: impl Into<String>) {
        let problem = self.problem(span, message);
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    /// A problem at a place of the file, not noted.
    pub(super) fn problem(&self, span: &Range<usize>, message: impl Into<String>) -> Problem {
        self.text.problem(span, message)
    }

    /// Notes a problem of the file as a whole.
    pub(super) fn whole(&mut self, message: impl Into<String>) {
        self.problems.push(self.text.whole(message));
    }

    /// The problems, in the order of the file.
    pub(super) fn done(mut self) -> Vec<Problem> {
        self.problems.sort_by_key(|problem| problem.line);
        self.problems
    }

    /// Notes a word that is none of those there are, such as the connector `flie`.
    pub(super) fn unknown(&mut self, what: &str, word: &Spanned<String>, words: &[&str]) {
        let written = word.get_ref();
        let meant = nearest(written, words);
        let meant = meant.map_or(String::new(), |word| format!("did you mean {word:?}? "));
        let words = listed(words);
        self.at(&word.span(), format!("there is no {what} {written:?}; {meant}write {words}"));
    }

    /// Notes a path that is not in the envelope.
    pub(super) fn field(&mut self, path: &Spanned<String>) {
        if FieldPath::parse(path.get_ref()).is_target() {
            return;
        }
        let known = FieldPath::targets();
        let written = path.get_ref();
        let meant = nearest(written, &known);
        let meant = meant.map_or(String::new(), |field| format!("did you mean {field}? "));
        let message = format!(
            "{written:?} is not a field of an event; {meant}write one of {}, or a field below \
             properties, traits or context",
            known.join(", ")
        );
        self.at(&path.span(), message);
    }

    /// A name that becomes part of a path: letters, digits, `-` and `_`.
    pub(super) fn name(&mut self, name: &Spanned<String>) {
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if name.get_ref().is_empty() || !name.get_ref().chars().all(fits) {
            let message = format!(
                "{:?} can't be a name; write letters, digits, - and _ only",
                name.get_ref()
            );
            self.at(&name.span(), message);
        }
    }

    /// A span of time such as `"30m"`; 0 if it is none, which is noted.
    pub(super) fn span(&mut self, text: &Spanned<String>) -> Micros {
        let written = text.get_ref().trim();
        let unit = written.trim_start_matches(|c: char| c.is_ascii_digit());
        let number = written[..written.len() - unit.len()].parse::<i64>().ok();
        let seconds = match unit {
            "s" => Some(1),
            "m" => Some(60),
            "h" => Some(3600),
            "d" => Some(86_400),
            "w" => Some(7 * 86_400),
            _ => None,
        };
        let span = number.zip(seconds).and_then(|(n, s)| n.checked_mul(s)?.checked_mul(SECOND));
        span.unwrap_or_else(|| {
            let message = format!(
                "{written:?} is no span of time; write a number with s, m, h, d or w, such as \
                 \"30m\""
            );
            self.at(&text.span(), message);
            0
        })
    }

    pub(super) fn span_or(&mut self, text: Option<&Spanned<String>>, default: Micros) -> Micros {
        text.map_or(default, |text| self.span(text))
    }

    /// Notes each name that stands twice.
    pub(super) fn unique<'n>(
        &mut self,
        what: &str,
        names: impl IntoIterator<Item = &'n Spanned<String>>,
    ) {
        let mut seen: Vec<&str> = Vec::new();
        for name in names {
            if seen.contains(&name.get_ref().as_str()) {
                let message =
                    format!("there are two {what} called {:?}; rename one", name.get_ref());
                self.at(&name.span(), message);
            }
            seen.push(name.get_ref());
        }
    }

    /// A stable hash as text.
    pub(super) fn hash(of: &str) -> String {
        format!("{:016x}", place(of))
    }
}
