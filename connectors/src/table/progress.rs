//! How far tables are, as their logs say: for who only looks.

use std::path::Path;

use operators::model::{Epoch, ViewSchema};
use tokio::runtime::Runtime;

use super::delta::{builder, transaction};
use super::epochs::EPOCHS;
use super::{TableError, disk, runtime};

/// How far the tables of a job are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TableProgress {
    /// The epoch up to which every changelog is complete.
    pub changelogs: Option<Epoch>,
    /// The epoch up to which the current rows of every view are complete.
    pub tables: Option<Epoch>,
}

impl TableProgress {
    /// Reads the logs of the tables below `out`. Nothing is written; what is not there is not
    /// behind.
    ///
    /// # Errors
    ///
    /// A log can't be read.
    pub fn of(out: &Path, schemas: &[ViewSchema], job: &str) -> Result<Self, TableError> {
        let runtime = runtime(out)?;
        let committed = |name: &str| committed(&runtime, &out.join(name), &format!("{job}/{name}"));
        let changelogs = committed(EPOCHS)?;
        let mut tables = changelogs;
        for schema in schemas {
            let rows = committed(&schema.name)?;
            if committed(&format!("changelog/{}", schema.name))? > rows {
                tables = tables.min(rows);
            }
        }
        Ok(Self { changelogs, tables })
    }
}

/// The epoch up to which every changelog of a job below `out` is complete, as their table says.
///
/// # Errors
///
/// Its log can't be read.
pub fn committed_epochs(out: &Path, job: &str) -> Result<Option<Epoch>, TableError> {
    committed_rows(out, job, EPOCHS)
}

/// The epoch up to which a job's current rows of a view are complete.
///
/// # Errors
///
/// Their log can't be read.
pub fn committed_rows(out: &Path, job: &str, view: &str) -> Result<Option<Epoch>, TableError> {
    committed(&runtime(out)?, &out.join(view), &format!("{job}/{view}"))
}

/// The epoch that a table's log has for an application, if the table is there.
fn committed(runtime: &Runtime, path: &Path, app: &str) -> Result<Option<Epoch>, TableError> {
    if !disk::is_table(path)? {
        return Ok(None);
    }
    let fail = |e| TableError::delta(path, e);
    let (_, mut table) = builder(path)?;
    runtime.block_on(table.load()).map_err(fail)?;
    transaction(runtime, &table, app.to_owned()).map_err(fail)
}
