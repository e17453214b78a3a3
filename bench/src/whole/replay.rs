//! The past computed anew beside the run that was live: from its files, with its epochs or with
//! small ones made one, and from its archive.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use jobs::rebuild::{Reading, Replay, Scope, compute};
use jobs::runtime::{Around, Plan, RunOptions, Silent, plan, run};

use super::job::{Shop, parse};
use crate::harness::{Bench, By, Case, Meter, Sample};

/// Replays.
pub const REPLAY: Bench = Bench {
    name: "replay",
    about: "a job of 400 records an epoch, and replays of it with one worker",
    unit: "events",
    size: 500_000,
    cases: &[
        Case::limit("parse", "serde_json over the lines of the files, one thread", |size| {
            parse(size, 1)
        }),
        Case::limit("live", "the job itself, as files come", live),
        Case::ours("replay", "with the epochs as they were", "live", &[], |size| {
            replay(size, Reading::default())
        }),
        Case::ours("coalesce", "with small epochs made one", "live", &[], |size| {
            replay(size, Reading { coalesces: true, ..Reading::default() })
        }),
        Case::ours("archive", "from the archive, small epochs made one", "live", &[], |size| {
            replay(size, Reading { coalesces: true, archive: true, ..Reading::default() })
        }),
        Case::ours("by parse", "from files, beside bare parsing", "parse", &[], |size| {
            replay(size, Reading { coalesces: true, ..Reading::default() })
        }),
    ],
    by: By::Wall,
};

/// As many records as come in 50 ms where 8,000 come in a second.
const EPOCH: usize = 400;
const ONE_WORKER: RunOptions = RunOptions { workers: 1, epoch_records: Some(EPOCH) };

/// A job that has run, and where its file is.
fn ran(size: u64) -> Result<(Shop, PathBuf, Plan), String> {
    let shop = Shop::new(size, 1)?;
    let path = shop.folder.path().join("job.toml");
    let text = fs::read_to_string(&path).map_err(|e| e.to_string())?;
    fs::write(&path, text + "[[sink]]\nconnector = \"archive\"\n").map_err(|e| e.to_string())?;
    let plan = plan::load(&path).map_err(|problems| {
        problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    })?;
    Ok((shop, path, plan))
}

fn live(size: u64) -> Result<Sample, String> {
    let (shop, _, plan) = ran(size)?;
    let meter = Meter::start();
    let summary = run(&plan, ONE_WORKER, &Silent).map_err(|e| e.to_string())?;
    Ok(shop.finish(meter.stop(summary.read, summary.read)))
}

fn replay(size: u64, reading: Reading) -> Result<Sample, String> {
    let (shop, path, live) = ran(size)?;
    let before = run(&live, ONE_WORKER, &Silent).map_err(|e| e.to_string())?;
    let scope = Scope::default();
    let replay = Replay::create((&path, &live.text), &live, ("again", None), scope.clone())
        .map_err(|e| e.to_string())?;
    let (stop, board) = (AtomicBool::new(false), Arc::default());
    let around = Around { progress: &Silent, stop: &stop, board: &board, cluster: None };
    let options = RunOptions { epoch_records: None, ..ONE_WORKER };
    let meter = Meter::start();
    let computed =
        compute(&live, (&replay, &scope), options, reading, around).map_err(|e| e.to_string())?;
    if computed.summary.admitted != before.admitted {
        return Err("the replay has other events".to_owned());
    }
    // The archive has no records that could not be used.
    Ok(shop.finish(meter.stop(before.read, before.read)))
}
