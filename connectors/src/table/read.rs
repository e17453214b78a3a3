//! Tables as this program wrote them, read again.

use std::fs::File;
use std::path::Path;

use operators::model::{Cell, ColumnType};
use tokio::runtime::Builder;

use super::TableError;
use super::batches::read_all;
use super::columns::cells;
use super::delta::builder;

/// The rows of a Delta table as it stands, in no order: for each the cells of `columns`. Ids in
/// lists come back as text.
///
/// # Errors
///
/// There is no table, or it has no such columns.
pub fn read(path: &Path, columns: &[(&str, ColumnType)]) -> Result<Vec<Vec<Cell>>, TableError> {
    let fail = |e| TableError::delta(path, e);
    let runtime = Builder::new_current_thread().build().map_err(|e| TableError::disk(path, &e))?;
    let (folder, mut table) = builder(path)?;
    runtime.block_on(table.load()).map_err(fail)?;
    let names: Vec<&str> = columns.iter().map(|c| c.0).collect();
    let mut rows = Vec::new();
    for file in table.snapshot().map_err(fail)?.log_data().iter() {
        let path = folder.join(&*file.path());
        let input = File::open(&path).map_err(|e| TableError::disk(&path, &e))?;
        let mut batches = Vec::new();
        read_all(input, Some(&names), &mut batches).map_err(|e| TableError::parquet(&path, &e))?;
        let of_partition = file.partition_values_map();
        for batch in batches {
            let mut lists = Vec::new();
            for (name, kind) in columns {
                let wrong = || TableError::Encode {
                    path: path.clone(),
                    message: format!("there is no column {name} of type {kind:?}"),
                };
                let list = match (batch.column_by_name(name), of_partition.get(*name)) {
                    (Some(array), _) => cells(*kind, array).ok_or_else(wrong)?,
                    (None, Some(value)) => {
                        let cell = value.as_deref().map_or(Cell::Null, Cell::str);
                        vec![cell; batch.num_rows()]
                    }
                    (None, None) => return Err(wrong()),
                };
                lists.push(list.into_iter());
            }
            for _ in 0..batch.num_rows() {
                rows.push(lists.iter_mut().map(|list| list.next().unwrap_or_default()).collect());
            }
        }
    }
    Ok(rows)
}
