//! `braid status`: how far a job is, from its bindings and tables.

use std::path::Path;

use connectors::table::TableSink;
use operators::model::Epoch;
use replay::history::SourceSpec;

use super::load;
use crate::runtime::{grouped, peek};

/// Shows the status; returns the exit code.
pub(super) fn status(path: &Path) -> u8 {
    let plan = match load(path) {
        Ok(plan) => plan,
        Err(code) => return code,
    };
    let bindings = match peek(&plan) {
        Ok(bindings) => bindings,
        Err(error) => {
            eprintln!("braid: {error}");
            return 1;
        }
    };
    let Some(last) = bindings.last() else {
        println!("{}: has not run yet", plan.name);
        return 0;
    };
    println!("{}: epoch {} of generation {}", plan.name, last.epoch, last.generation);
    for ((index, source), end) in (0..).zip(&plan.sources).zip(&last.sources) {
        if let SourceSpec::Topics(_) = &source.records {
            let parts = bindings.iter().flat_map(|binding| &binding.kafka);
            let parts = parts.filter(|(of, _)| *of == index).map(|(_, part)| part);
            let (partitions, records) = parts.fold((0, 0), |(partitions, records), part| {
                let more = part.ends.iter().map(|end| end.records).sum::<u64>();
                (partitions + part.partitions.len(), records + more)
            });
            let records = grouped(records as i64);
            println!("  source {}: {partitions} partitions, {records} records", source.name);
            continue;
        }
        let state = if end.at_end { "at its end" } else { "not at its end" };
        let files = grouped(i64::from(end.upper.file));
        let more = match end.upper.record {
            0 => String::new(),
            records => format!(" and {} records of the next", grouped(records as i64)),
        };
        println!("  source {}: {files} files read{more}, {state}", source.name);
    }
    if let Some(options) = &plan.tables {
        match TableSink::open(&plan.out, &plan.catalog.schemas, options.clone()) {
            Ok(tables) => {
                let upto = |epoch: Option<Epoch>| {
                    epoch.map_or("not committed yet".to_owned(), |e| {
                        format!("complete up to epoch {e}")
                    })
                };
                println!("  tables {}", upto(tables.shown()));
                println!("  changelogs {}", upto(tables.committed()));
            }
            Err(error) => {
                eprintln!("braid: {error}");
                return 1;
            }
        }
    }
    0
}
