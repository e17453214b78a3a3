//! How bytes get in and out: files, formats, bindings, tables.

pub mod bindings;
pub mod decode;
pub mod file;
pub mod table;
