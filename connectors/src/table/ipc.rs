//! Current rows as Arrow IPC files.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use arrow::ipc::writer::FileWriter;

use super::TableError;

/// Writes `<out>/arrow/<view>.arrow`, whole or not at all, a batch at a time.
pub(super) fn write(
    out: &Path,
    view: &str,
    schema: &Arc<Schema>,
    batches: impl IntoIterator<Item = Result<RecordBatch, TableError>>,
) -> Result<(), TableError> {
    let folder = out.join("arrow");
    let path = folder.join(format!("{view}.arrow"));
    let part = folder.join(format!("{view}.part"));
    let fail = |e: &std::io::Error| TableError::disk(&path, e);
    let wrong = |e: arrow::error::ArrowError| TableError::Encode {
        path: path.clone(),
        message: e.to_string(),
    };
    fs::create_dir_all(&folder).map_err(|e| fail(&e))?;
    let file = File::create(&part).map_err(|e| fail(&e))?;
    let mut writer = FileWriter::try_new_buffered(file, schema).map_err(wrong)?;
    for batch in batches {
        writer.write(&batch?).map_err(wrong)?;
    }
    writer.finish().map_err(wrong)?;
    fs::rename(&part, &path).map_err(|e| fail(&e))
}
