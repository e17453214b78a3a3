//! Avro's binary encoding, read as JSON text; and rows written in it ([`avro_schemas`]).
//!
//! | Avro | JSON |
//! |---|---|
//! | `null`, `boolean`, `int`, `long`, `string`, arrays, maps, records | the same |
//! | `float`, `double` | a number; `null` where it is infinite or none |
//! | `enum` | its symbol |
//! | a union | the value alone, without the name of its type |
//! | `bytes`, `fixed` | text, Base64 |
//! | `decimal` | a number; of more than 16 bytes text, Base64 |
//! | `timestamp-millis`, `-micros`, `-nanos` | text, RFC 3339 in UTC with six decimals |
//! | `local-timestamp-…` | the same without `Z` |
//! | `date` | text, `2026-01-02` |
//! | `uuid`, other logical types | as the type that carries them |
//!
//! Records are read by the schema they were written with; nothing is resolved against another.

mod read;
mod rows;
mod schema;
#[cfg(test)]
mod tests;

pub(crate) use read::{decimal, int};
pub use rows::avro_schemas;
pub(crate) use rows::write;
pub use schema::Schema;
