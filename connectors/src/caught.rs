//! The Parquet crate panics on some damaged files. That is caught and becomes an error: a bad file
//! must not take the process with it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use parquet::errors::{ParquetError, Result};

/// Runs the Parquet crate's code. What it leaves behind after a panic is not to be used again.
pub(crate) fn caught<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let words = panic.downcast_ref::<String>().map(String::as_str);
        let words = words.or_else(|| panic.downcast_ref::<&str>().copied());
        let words = words.unwrap_or("for no stated reason");
        Err(ParquetError::General(format!("the Parquet reader gave up: {words}")))
    })
}
