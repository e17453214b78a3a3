//! How bytes get in and out: files, formats, bindings, tables.

pub mod decode;
pub mod file;
