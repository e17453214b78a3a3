//! `braid archive`: what a job's archive has, and what came before it.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::replay::{HasRun, with};
use super::{load, out, read};
use crate::rebuild::{RebuildError, import};
use crate::runtime::{Plan, RunError, grouped, open_archive};
use crate::say;

/// What is to be done with an archive.
#[derive(Args)]
pub(super) struct Options {
    #[command(subcommand)]
    act: Act,
}

#[derive(Subcommand)]
enum Act {
    /// Archives what the job admitted before it had an archive, from its sources.
    Import {
        /// The job file.
        job: PathBuf,
        /// Worker threads; by default one per core, at most 8.
        #[arg(short, long, value_parser = super::worker_count)]
        workers: Option<usize>,
    },
    /// Says of which epochs the archive has everything.
    Status {
        /// The job file.
        job: PathBuf,
    },
}

struct Workers(Option<usize>);

impl HasRun for Workers {
    fn workers(&self) -> Option<usize> {
        self.0
    }

    fn json(&self) -> bool {
        false
    }
}

/// Does it; returns the exit code.
pub(super) fn act(options: &Options) -> u8 {
    let done = match &options.act {
        Act::Import { job, workers } => load(job).map(|live| bring_in(job, &live, *workers)),
        Act::Status { job } => read(job).map(|live| show(&live)),
    };
    match done {
        Ok(Ok(code)) | Err(code) => code,
        Ok(Err(error)) => {
            say::fail(&error);
            error.exit_code()
        }
    }
}

fn bring_in(job: &Path, live: &Plan, workers: Option<usize>) -> Result<u8, RebuildError> {
    let stop = super::stop_on_signals()
        .map_err(|source| RebuildError::Disk { path: "signals".into(), source })?;
    let imported = with(&Workers(workers), &stop, |run, around| import((job, live), run, around))?;
    match imported {
        Some(computed) if !computed.is_whole() => {
            let (done, upto) = (computed.summary.epochs, computed.upto);
            say::note(format_args!("stopped at epoch {done} of {upto}; run it again to go on"));
            return Ok(1);
        }
        Some(computed) => {
            let events = grouped(computed.summary.admitted as i64);
            out::line(format_args!(
                "{events} events of epochs up to {} are archived",
                computed.upto
            ));
        }
        None => out::line("the archive has everything from the first epoch on"),
    }
    Ok(0)
}

fn show(live: &Plan) -> Result<u8, RebuildError> {
    let archive = open_archive((&live.out, &live.name), live).map_err(RunError::from)?;
    let reach = archive.reach();
    if reach.last < reach.first {
        out::line(format_args!("{}: the archive is empty", live.name));
    } else {
        out::line(format_args!(
            "{}: the archive has the epochs {} to {}",
            live.name, reach.first, reach.last
        ));
    }
    Ok(0)
}
