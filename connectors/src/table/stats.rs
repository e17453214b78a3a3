//! What a table's log says of its files.

use operators::model::Epoch;
use serde::{Deserialize, Serialize};

/// What the log says of a file's content, in the form that Delta gives it.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Stats {
    pub num_records: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    min_values: Option<Bounds>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_values: Option<Bounds>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    null_count: Option<Bounds>,
}

/// A figure of the column [`EPOCH`].
#[derive(Serialize, Deserialize)]
struct Bounds {
    #[serde(rename = "_epoch", default)]
    epoch: Option<Epoch>,
}

impl Stats {
    pub(super) fn new(rows: u64, epochs: Option<(Epoch, Epoch)>) -> Self {
        let bounds = |epoch| Bounds { epoch: Some(epoch) };
        Self {
            num_records: rows,
            min_values: epochs.map(|epochs| bounds(epochs.0)),
            max_values: epochs.map(|epochs| bounds(epochs.1)),
            null_count: epochs.map(|_| bounds(0)),
        }
    }

    pub(super) fn epochs(&self) -> Option<(Epoch, Epoch)> {
        let epoch = |bounds: &Option<Bounds>| bounds.as_ref()?.epoch;
        Some((epoch(&self.min_values)?, epoch(&self.max_values)?))
    }
}
