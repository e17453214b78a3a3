//! Who is who.

mod config;
pub mod engine;
mod interface;

pub use config::{FOREVER, IdentityConfig, IdentityType, NO_LIMIT, Own};
pub use interface::{Assign, Engine, Handle, IdChange, Membership, Resolution, Sighting};
