//! Why a question has no answer.

use connectors::bindings::BindingError;
use connectors::table::TableError;
use operators::model::Epoch;
use sql::SqlError;
use thiserror::Error;

use super::quoted;
use crate::runtime::RunError;
use crate::runtime::job_file::nearest;

/// Why a question has no answer.
#[derive(Debug, Error)]
pub enum QueryError {
    /// The job has no tables to ask.
    #[error("the job writes no tables; add a [[sink]] with connector = \"table\"")]
    NoTables,
    /// It asks for a view that is not there.
    #[error("there is no view {name}; {hint}there are {names}")]
    UnknownView {
        /// What it asks for.
        name: String,
        /// What may be meant.
        hint: String,
        /// The views.
        names: String,
    },
    /// It is no SQL, or more than reading.
    #[error("{0}")]
    Sql(String),
    /// An option makes no sense.
    #[error("{0}")]
    Usage(String),
    /// The epoch is not committed yet.
    #[error(
        "{what} is not in the tables yet: the changelogs are complete up to epoch {upto}; wait \
         for their next commit, or ask for an earlier one"
    )]
    NotYet {
        /// What was asked for.
        what: String,
        /// The last epoch that is there, 0 if there is none.
        upto: Epoch,
    },
    /// It is of a time before the job.
    #[error("{what} is before the job's first epoch, {first}; ask for a later one")]
    Before {
        /// What was asked for.
        what: String,
        /// The first epoch and when it was bound.
        first: String,
    },
    /// The changelog of a view was gone, and was begun anew.
    #[error(
        "the changelog of {view} was removed once and begins with epoch {begin}: what was known \
         before is gone; ask for that epoch or a later one"
    )]
    Gone {
        /// The view.
        view: String,
        /// The first epoch that it tells of.
        begin: Epoch,
    },
    /// A table can't be read.
    #[error("{0}")]
    Table(#[from] TableError),
    /// The bindings can't be read.
    #[error("{0}")]
    Binding(#[from] BindingError),
    /// What was read can't be read again.
    #[error("{0}")]
    History(#[from] RunError),
    /// The answer can't be computed, or not be written.
    #[error("{0}")]
    Run(String),
}

impl QueryError {
    /// The exit code: 1 failed, 2 the question, 3 needed history is gone.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Table(_) | Self::Binding(_) | Self::Run(_) => 1,
            Self::Gone { .. } => 3,
            Self::History(error) => error.exit_code(),
            _ => 2,
        }
    }

    pub(super) fn unknown_view(name: &str, names: &[String]) -> Self {
        let all: Vec<&str> = names.iter().map(String::as_str).collect();
        let meant = nearest(name, &all).map(quoted);
        let hint = meant.map(|meant| format!("did you mean {meant}? ")).unwrap_or_default();
        let names: Vec<String> = all.into_iter().map(quoted).collect();
        Self::UnknownView { name: name.to_owned(), hint, names: names.join(", ") }
    }

    pub(super) fn write(error: impl std::fmt::Display) -> Self {
        Self::Run(format!("can't write the answer: {error}"))
    }
}

impl From<SqlError> for QueryError {
    fn from(error: SqlError) -> Self {
        match error {
            SqlError::Question(words) => Self::Sql(words),
            SqlError::Run(words) => Self::Run(words),
        }
    }
}
