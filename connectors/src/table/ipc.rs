//! Current rows as Arrow IPC files.

use std::fs::{self, File};
use std::path::Path;

use arrow::ipc::writer::FileWriter;
use operators::model::Cell;

use super::TableError;
use super::columns::{Layout, arrow_schema, batch};

/// Writes `<out>/arrow/<view>.arrow`, whole or not at all.
pub(super) fn write(
    out: &Path,
    view: &str,
    columns: &[Layout],
    rows: Vec<Vec<Cell>>,
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
    let mut writer = FileWriter::try_new_buffered(file, &arrow_schema(columns)).map_err(wrong)?;
    for rows in rows.chunks(65_536) {
        writer.write(&batch(columns, rows).map_err(wrong)?).map_err(wrong)?;
    }
    writer.finish().map_err(wrong)?;
    fs::rename(&part, &path).map_err(|e| fail(&e))
}
