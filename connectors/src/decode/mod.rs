//! From raw records to canonical events: field maps, times, identifiers, commands.

mod spec;
mod time;

pub use spec::{
    DecodeSpec, Erased, ErasedIn, FieldMap, FieldPath, FieldValue, IdentityFields, SpecError,
};
pub use time::{TimeFormat, TimeFormatError};
