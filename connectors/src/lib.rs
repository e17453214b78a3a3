//! how bytes get in and out: files, formats, bindings, tables
