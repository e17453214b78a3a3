//! Who is who.

mod config;
pub mod differential;
pub mod engine;
pub mod explain;
mod interface;
pub mod oracle;
#[doc(hidden)]
pub mod testing;

pub use config::{EngineKind, FOREVER, IdentityConfig, IdentityType, NO_LIMIT, Own};
pub use interface::{Assign, Engine, Handle, IdChange, Membership, Resolution, Sighting};
