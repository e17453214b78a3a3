//! What a start reads of the record of epochs, after half a day of twenty epochs a second.

use std::path::{Path, PathBuf};

use connectors::bindings::{Binding, BindingLog as _, FileBindingLog, Logged, SourceEnd};
use connectors::file::Position;
use connectors::frame::frame;
use connectors::kafka::{KafkaPart, PartitionEnd, PartitionId};

use crate::harness::{Bench, By, Case, Goal, Meter, RATIO, Sample};

/// Reading bindings.
pub const BINDINGS: Bench = Bench {
    name: "bindings",
    about: "the record of epochs, read by a run that starts",
    unit: "epochs",
    size: 1_000_000,
    cases: &[
        Case::limit("bytes", "the bytes of the file", |size| read(size, bytes)),
        Case::ours("all", "all bindings", "bytes", &[], |size| read(size, all)),
        Case::ours("end", "those after a snapshot, two minutes ago", "bytes", GOALS, |size| {
            read(size, end)
        }),
    ],
    by: By::Wall,
};

/// It does not depend on how many there are.
const GOALS: &[Goal] = &[Goal::Min(RATIO, 10.0)];
/// Epochs after the snapshot.
const END: u64 = 2400;

fn binding(epoch: u64) -> Binding {
    let end = |partition| PartitionEnd {
        partition: PartitionId::new(0, partition),
        upper: epoch * 50 + u64::from(partition),
        records: 50,
        idle: false,
    };
    let part = KafkaPart { ends: (0..3).map(end).collect(), ..KafkaPart::default() };
    let mut binding =
        Binding::new(epoch, 1, 1_767_225_600_000_000 + epoch as i64 * 50_000, "0123456789abcdef");
    binding.sources.push(SourceEnd { upper: Position::default(), at_end: false });
    binding.kafka.push((0, part));
    binding
}

/// Reads a log of so many bindings, and says which is the last.
fn read(size: u64, how: impl Fn(&Path, &Logged) -> Result<u64, String>) -> Result<Sample, String> {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let path: PathBuf = folder.path().join("bindings");
    drop(FileBindingLog::open(&path, None).map_err(|e| e.to_string())?);
    let mut log = std::fs::read(&path).map_err(|e| e.to_string())?;
    let mut snapshot = Logged { at: log.len() as u64, binding: binding(1) };
    for epoch in 1..=size {
        let logged = Logged { at: log.len() as u64, binding: binding(epoch) };
        let bytes = bincode::serialize(&logged.binding).map_err(|e| e.to_string())?;
        log.extend(frame(&bytes));
        if epoch > 1 && epoch + END <= size {
            snapshot.extend(logged);
        }
    }
    let bytes = log.len() as f64;
    std::fs::write(&path, log).map_err(|e| e.to_string())?;
    let meter = Meter::start();
    let last = how(&path, &snapshot)?;
    Ok(meter.stop(size, last).with("bytes_per_epoch", bytes / size as f64))
}

fn bytes(path: &Path, _snapshot: &Logged) -> Result<u64, String> {
    let bytes = std::fs::read(path).map_err(|e| e.to_string())?;
    let one = frame(&bincode::serialize(&binding(1)).map_err(|e| e.to_string())?).len();
    Ok((bytes.len() / one) as u64)
}

fn all(path: &Path, _snapshot: &Logged) -> Result<u64, String> {
    let (_, bindings) = FileBindingLog::open(path, None).map_err(|e| e.to_string())?;
    Ok(bindings.last().map_or(0, |logged| logged.binding.epoch))
}

fn end(path: &Path, snapshot: &Logged) -> Result<u64, String> {
    let (mut log, bindings) =
        FileBindingLog::open(path, Some(snapshot)).map_err(|e| e.to_string())?;
    if bindings.len() as u64 > END + 1 {
        return Err(format!("{} bindings were read", log.read().map_err(|e| e.to_string())?.len()));
    }
    Ok(bindings.last().map_or(0, |logged| logged.binding.epoch))
}
