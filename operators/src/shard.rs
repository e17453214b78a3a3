//! Placement by a stable hash.

use std::hash::{BuildHasher as _, Hash};

use foldhash::fast::FixedState;

/// The hash that places data on workers: the same in every process and run of one build.
pub fn place<T: Hash + ?Sized>(value: &T) -> u64 {
    FixedState::with_seed(0x6272_6169_6431).hash_one(value)
}

/// The number that stands for a tenant.
pub fn tenant(name: &str) -> u64 {
    place(name)
}
