//! `braid status`: how far a job is, from its bindings and tables.

use std::path::Path;

use connectors::bindings::FileBindingLog;
use connectors::table::TableSink;

use super::load;
use crate::runtime::grouped;

/// Shows the status; returns the exit code.
pub(super) fn status(path: &Path) -> u8 {
    let plan = match load(path) {
        Ok(plan) => plan,
        Err(code) => return code,
    };
    let log = plan.out.join("bindings");
    if !log.exists() {
        println!("{}: has not run yet", plan.name);
        return 0;
    }
    let bindings = match FileBindingLog::peek(&log) {
        Ok(bindings) => bindings,
        Err(error) => {
            eprintln!("braid: {error}");
            return 1;
        }
    };
    let Some(last) = bindings.last() else {
        println!("{}: no epoch yet", plan.name);
        return 0;
    };
    println!("{}: epoch {} of generation {}", plan.name, last.epoch, last.generation);
    for (source, end) in plan.sources.iter().zip(&last.sources) {
        let state = if end.at_end { "at its end" } else { "not at its end" };
        let record = grouped(end.upper.record as i64);
        println!("  source {}: file {}, record {record}, {state}", source.name, end.upper.file);
    }
    if let Some(options) = &plan.tables {
        match TableSink::open(&plan.out, &plan.catalog.schemas, options.clone()) {
            Ok(tables) => match tables.committed() {
                Some(epoch) => println!("  tables complete up to epoch {epoch}"),
                None => println!("  tables not committed yet"),
            },
            Err(error) => {
                eprintln!("braid: {error}");
                return 1;
            }
        }
    }
    0
}
