//! Placement by a stable hash.

use std::hash::{BuildHasher as _, Hash};

use foldhash::fast::FixedState;
use siphasher::sip::SipHasher24;

/// The hash that places data on workers: the same in every process and run of one build.
pub fn place<T: Hash + ?Sized>(value: &T) -> u64 {
    FixedState::with_seed(0x6272_6169_6431).hash_one(value)
}

/// The number that stands for a tenant: SipHash-2-4 with a fixed key. Whoever may choose names
/// finds two of the same number only by trying billions, where those of [`place`] can be computed.
pub fn tenant(name: &str) -> u64 {
    SipHasher24::new_with_keys(0x6272_6169_645f_7465, 0x6e61_6e74_5f76_3031).hash(name.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two names that were computed from what [`place`] does.
    #[test]
    fn tenants_with_one_place_are_two() {
        let names = [
            [0x7358_2169_c3b7_597c_u64, 0x78cf_8254_d1b0_6558],
            [0x484b_2f79_4a6d_596f, 0x43dc_8c44_586a_654b],
        ];
        let names = names.map(|name| name.map(u64::to_be_bytes).concat());
        let [a, b] = names.map(|name| String::from_utf8(name).unwrap());
        assert_ne!(a, b);
        assert_ne!(tenant(&a), tenant(&b));
    }
}
