//! How bytes get in and out: files, Kafka, formats, bindings, tables.

pub mod avro;
pub mod bindings;
mod caught;
pub mod decode;
pub mod durable;
pub mod file;
pub mod frame;
pub mod kafka;
pub mod moments;
pub mod protobuf;
pub mod store;
pub mod table;
