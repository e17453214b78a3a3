//! What the user wrote: a job file, read strictly, with the places of what may be wrong.

mod raw;

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

pub use raw::*;

/// Something wrong in a job file: where, what, and what to write instead.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// The job file.
    pub file: PathBuf,
    /// Line, from 1; 0 where the file as a whole is meant.
    pub line: usize,
    /// What is wrong and what to write.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            return write!(f, "{}: {}", self.file.display(), self.message);
        }
        write!(f, "{}:{}: {}", self.file.display(), self.line, self.message)
    }
}

/// A job file's text, to find lines in.
#[derive(Clone, Debug)]
pub struct Text {
    /// Where it stands.
    pub path: PathBuf,
    content: String,
}

impl Text {
    /// The problem at a span of the file.
    pub fn problem(&self, span: &Range<usize>, message: impl Into<String>) -> Problem {
        let before = self.content.get(..span.start).unwrap_or(&self.content);
        let line = before.matches('\n').count() + 1;
        Problem { file: self.path.clone(), line, message: message.into() }
    }

    /// A problem of the file as a whole.
    pub fn whole(&self, message: impl Into<String>) -> Problem {
        Problem { file: self.path.clone(), line: 0, message: message.into() }
    }
}

/// Puts the values of `${NAME}` in, from the environment.
fn substitute(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<String, (usize, String)> {
    let (mut out, mut rest, mut at) = (String::new(), text, 0);
    while let Some(start) = rest.find("${") {
        let Some(end) = rest[start..].find('}') else { break };
        let name = &rest[start + 2..start + end];
        let Some(value) = env(name) else {
            let message = format!("the environment has no {name}; set it, or write the value here");
            return Err((at + start, message));
        };
        out.push_str(&rest[..start]);
        out.push_str(&value);
        at += start + end + 1;
        rest = &rest[start + end + 1..];
    }
    out.push_str(rest);
    Ok(out)
}

/// Reads a job file.
///
/// # Errors
///
/// The first thing that is not TOML, not a key of a job file, or not of the key's type.
pub fn read(path: &Path) -> Result<(Text, JobFile), Problem> {
    let nowhere = |message: String| Problem { file: path.into(), line: 0, message };
    let content =
        std::fs::read_to_string(path).map_err(|e| nowhere(format!("can't read it: {e}")))?;
    parse(path, &content, &|name| std::env::var(name).ok())
}

/// Reads the text of a job file.
pub fn parse(
    path: &Path,
    content: &str,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<(Text, JobFile), Problem> {
    let raw = Text { path: path.into(), content: content.to_owned() };
    let content =
        substitute(content, env).map_err(|(at, message)| raw.problem(&(at..at), message))?;
    let text = Text { path: path.into(), content };
    match toml::from_str(&text.content) {
        Ok(file) => Ok((text, file)),
        Err(error) => {
            let message = error.message().trim().replace('\n', "; ");
            Err(match error.span() {
                Some(span) => text.problem(&span, message),
                None => text.whole(message),
            })
        }
    }
}
