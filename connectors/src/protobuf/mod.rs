//! Protobuf's binary encoding, read as JSON text by its own mapping to JSON but for what this table
//! says.
//!
//! | Protobuf | JSON |
//! |---|---|
//! | a field | under its JSON name, which is in camel case unless the `.proto` file says another |
//! | one with its default value, and no `optional` before it | not there |
//! | whole numbers, also of 64 bits | a number |
//! | `float`, `double` | a number; `null` where it is infinite or none |
//! | an enum | its name; its number where that has no name |
//! | `bytes` | text, Base64 |
//! | maps | an object, its keys as text and in their order |
//! | `google.protobuf.Timestamp` | text, RFC 3339 in UTC with six decimals |
//! | `google.protobuf.Duration` | text, seconds: `"1.500s"` |
//! | `Struct`, `Value`, `ListValue` and the wrappers of `google.protobuf` | what they hold |
//! | `confluent.type.Decimal` | a number; of more than 16 bytes text, Base64 |
//! | other messages, also `google.protobuf.Any` | an object |
//! | extensions and fields that the schema does not have | not there |

mod confluent;
mod read;
mod schema;
#[cfg(test)]
mod tests;

pub use schema::{Message, Messages};
