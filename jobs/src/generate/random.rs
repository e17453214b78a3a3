//! Chance with a seed. Whole numbers only, so that every machine draws the same.

/// A share of cases as a threshold on 64 random bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Share(u64);

impl Share {
    /// A share from 0 to 1.
    pub(super) fn new(share: f64) -> Self {
        // The cast is exact below 1 and saturates at 1.
        Self((share * 18_446_744_073_709_551_616.0) as u64)
    }
}

/// Spreads a number over 64 bits; no two numbers give the same (the finalizer of `SplitMix64`).
pub(super) fn mix(number: u64) -> u64 {
    let mut z = number;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// One number of two.
pub(super) fn mix2(a: u64, b: u64) -> u64 {
    mix(a.wrapping_add(mix(b.wrapping_add(0x9e37_79b9_7f4a_7c15))))
}

/// `SplitMix64`: a small generator with a seed (Steele, Lea, Flood, 2014).
#[derive(Clone, Copy, Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    #[inline]
    pub(super) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below `bound`; 0 if that is 0.
    #[inline]
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(bound)) >> 64) as u64
    }

    /// A number from `low` to `high`, both included.
    #[inline]
    pub(super) fn between(&mut self, low: i64, high: i64) -> i64 {
        low + self.below(high.abs_diff(low) + 1) as i64
    }

    /// True in so many cases of a hundred.
    #[inline]
    pub(super) fn percent(&mut self, cases: u64) -> bool {
        self.below(100) < cases
    }

    /// True in a share of cases.
    #[inline]
    pub(super) fn hit(&mut self, share: Share) -> bool {
        let bits = self.bits();
        bits < share.0 || share.0 == u64::MAX
    }

    /// A waiting time of about this mean: exponential, with the logarithm taken linearly between
    /// powers of two.
    #[inline]
    pub(super) fn wait(&mut self, mean: i64) -> i64 {
        /// Natural logarithm of 2, in units of 2^-16.
        const LN2: i64 = 45_426;
        let bits = self.bits();
        let zeros = bits.leading_zeros();
        let mantissa = (bits.checked_shl(zeros + 1).unwrap_or(0) >> 48) as i64;
        let log2 = (i64::from(zeros + 1) << 16) - mantissa;
        (((mean * log2) >> 16) * LN2) >> 16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_and_means_are_about_what_they_say() {
        let mut random = Random::new(1);
        let n = 200_000;
        for share in [0.0, 0.001, 0.25, 1.0] {
            let threshold = Share::new(share);
            let hits = (0..n).filter(|_| random.hit(threshold)).count() as f64;
            assert!((hits / f64::from(n) - share).abs() < 0.005, "{share}: {hits}");
        }
        let mean = (0..n).map(|_| random.wait(10_000)).sum::<i64>() as f64 / f64::from(n);
        assert!((9_500.0..11_000.0).contains(&mean), "{mean}");
        let small = (0..n).filter(|_| random.wait(10_000) < 6_931).count() as f64;
        assert!((small / f64::from(n) - 0.5).abs() < 0.05, "half are below the median: {small}");
        assert!((0..n).all(|_| (3..=5).contains(&random.between(3, 5))));
        assert_eq!(random.below(0), 0);
    }
}
