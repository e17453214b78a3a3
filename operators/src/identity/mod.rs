//! Who is who.

mod config;
pub mod engine;
mod interface;
pub mod oracle;
#[doc(hidden)]
pub mod testing;

pub use config::{FOREVER, IdentityConfig, IdentityType, NO_LIMIT, Own};
pub use interface::{Assign, Engine, Handle, IdChange, Membership, Resolution, Sighting};
