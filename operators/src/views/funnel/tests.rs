//! Funnels: what others expect, and random histories against the oracle.

mod append;
mod near;
mod posthog;
mod random;
