//! What the user wrote: a job file, read strictly, with the places of what may be wrong.

mod either;
mod environment;
mod explain;
mod raw;
mod words;

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize as _;
use toml::de::{DeTable, Deserializer};

pub use raw::*;
pub(super) use words::listed;
pub(crate) use words::nearest;

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
    said: toml::Table,
    view_keys: Vec<Vec<Key>>,
}

/// A key, and where it stands.
pub type Key = (String, Range<usize>);

impl Text {
    fn new(path: &Path, content: &str) -> Self {
        let content = content.to_owned();
        Self { path: path.into(), content, said: toml::Table::new(), view_keys: Vec::new() }
    }

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

    /// The file as it is written.
    pub fn content(&self) -> &str {
        &self.content
    }

    /// What the file says, whatever its layout and comments, with the environment put in.
    pub fn said(&self) -> &toml::Table {
        &self.said
    }

    /// The keys of each `[[view]]`, in order.
    pub fn view_keys(&self) -> &[Vec<Key>] {
        &self.view_keys
    }
}

/// The keys of each table in the list `name`.
fn keys(tree: &DeTable<'_>, name: &str) -> Vec<Vec<Key>> {
    let list = tree.get(name).and_then(|list| list.get_ref().as_array());
    let tables = list.into_iter().flat_map(|list| list.iter());
    let tables = tables.filter_map(|table| table.get_ref().as_table());
    tables
        .map(|table| table.keys().map(|k| (k.get_ref().to_string(), k.span())).collect())
        .collect()
}

/// Reads a job file.
///
/// # Errors
///
/// The first thing that is not TOML, not a key of a job file, or not of the key's type.
pub fn read(path: &Path) -> Result<(Text, JobFile), Problem> {
    let content = std::fs::read_to_string(path).map_err(|error| {
        let message = format!("can't read it: {error}; write the path of a job file");
        Problem { file: path.into(), line: 0, message }
    })?;
    parse(path, &content, &|name| std::env::var(name).ok())
}

/// Reads the text of a job file. Each `${NAME}` inside a value in quotes is replaced by what `env`
/// says.
pub fn parse(
    path: &Path,
    content: &str,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<(Text, JobFile), Problem> {
    let mut text = Text::new(path, content);
    let wrong = |text: &Text, tree: &DeTable<'_>, error: &toml::de::Error| match error.span() {
        Some(span) => {
            let here = content.get(span.clone()).unwrap_or_default().trim_matches(['[', ']']);
            text.problem(&span, explain::explain(error.message(), (&span, here), tree))
        }
        None => text.whole(error.message()),
    };
    let mut tree = DeTable::parse(content).map_err(|e| wrong(&text, &DeTable::default(), &e))?;
    environment::put_in(tree.get_mut(), env)
        .map_err(|(span, message)| text.problem(&span, message))?;
    let file = JobFile::deserialize(Deserializer::from(tree.clone()))
        .and_then(|file| Ok((file, toml::Table::deserialize(Deserializer::from(tree.clone()))?)));
    text.view_keys = keys(tree.get_ref(), "view");
    match file {
        Ok((file, said)) => {
            text.said = said;
            Ok((text, file))
        }
        Err(error) => Err(wrong(&text, tree.get_ref(), &error)),
    }
}
