//! `braid query`: questions to a job's tables.

use std::path::{Path, PathBuf};

use clap::Args;

use super::out::Out;
use super::read;
use crate::query::{Format, Moment, QueryError, query, resolve};
use crate::rebuild::{RebuildError, Replay};
use crate::runtime::Plan;
use crate::say;

/// What is asked in SQL.
#[derive(Args)]
pub(super) struct Asked {
    /// The job file.
    job: PathBuf,
    /// The question: every view is a table, its changes are `changelog_<view>`.
    sql: String,
    /// As known after this epoch, or at this time: an epoch, or a time such as
    /// 2026-01-05T10:00:00Z.
    #[arg(long, value_name = "EPOCH|TIME")]
    as_known_at: Option<Moment>,
    /// The tables of this replay instead of the live ones.
    #[arg(long, value_name = "NAME")]
    replay: Option<String>,
    /// How the answer is written.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Answers a question in SQL; returns the exit code.
pub(super) fn ask(asked: &Asked) -> u8 {
    run(&asked.job, |live| {
        let replayed = replayed(&asked.job, live, asked.replay.as_deref())?;
        let plan = replayed.as_ref().map_or(live, |replay| &replay.plan);
        let known = asked.as_known_at.map(|moment| resolve(plan, moment)).transpose()?;
        query(plan, &asked.sql, known, asked.format, &mut Out::lock())
    })
}

/// The replay of a name, if one is given.
pub(super) fn replayed(
    job: &Path,
    live: &Plan,
    name: Option<&str>,
) -> Result<Option<Replay>, QueryError> {
    let Some(name) = name else { return Ok(None) };
    let usage = |error: RebuildError| QueryError::Usage(error.to_string());
    let missing = || QueryError::Usage(format!("there is no replay {name}"));
    Replay::open(job, live, name).map_err(usage)?.ok_or_else(missing).map(Some)
}

pub(super) fn run(job: &Path, act: impl FnOnce(&Plan) -> Result<(), QueryError>) -> u8 {
    match read(job).map(|plan| act(&plan)) {
        Ok(Ok(())) => 0,
        // Who wanted to know has seen enough.
        Ok(Err(_)) if Out::is_gone() => 0,
        Ok(Err(error)) => {
            say::fail(&error);
            error.exit_code()
        }
        Err(code) => code,
    }
}
