// SPDX-License-Identifier: GPL-2.0

//! Random choices that depend on a seed alone.

/// A generator: splitmix64.
pub struct Random(u64);

impl Random {
    /// Makes a generator.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns a number of 64 random bits.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Returns a number less than `n`; 0 if `n` is 0.
    pub fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.number()) * n as u128) >> 64) as usize
    }
}

/// Returns the seed of this process: `SHADOW_RMAP_SEED`, or 0.
pub fn seed_of_process() -> u64 {
    let seed = std::env::var("SHADOW_RMAP_SEED");
    seed.ok().and_then(|seed| seed.parse().ok()).unwrap_or(0)
}
