// SPDX-License-Identifier: GPL-2.0

//! Pseudo-random numbers that a seed reproduces.
//!
//! C header: [`include/linux/prandom.h`](srctree/include/linux/prandom.h)

#![allow(unsafe_code, reason = "calls into C")]

use crate::ffi;

/// `struct rnd_state`: a generator whose numbers depend on its seed alone.
pub(crate) struct Random(ffi::rnd_state);

impl Random {
    /// Creates a generator. Only 32 bits of the seed are used, so two seeds may be equivalent.
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Self(ffi::rnd_state {
            s1: 0,
            s2: 0,
            s3: 0,
            s4: 0,
        });
        // SAFETY: The state is valid, and borrowed mutably.
        unsafe { ffi::shadow_rmap_prandom_seed_state(&mut random.0, seed) };
        // The first numbers of small seeds resemble each other; the kernel skips some as well.
        for _ in 0..10 {
            random.u32();
        }
        random
    }

    /// Returns a random seed. Print it, so that a failure can be reproduced.
    pub(crate) fn any_seed() -> u64 {
        // SAFETY: The function has no preconditions.
        unsafe { ffi::get_random_u64() }
    }

    fn u32(&mut self) -> u32 {
        // SAFETY: The state is valid, borrowed mutably, and was seeded by `new`.
        unsafe { ffi::prandom_u32_state(&mut self.0) }
    }

    /// Returns a number of 64 random bits.
    pub(crate) fn u64(&mut self) -> u64 {
        u64::from(self.u32()) << 32 | u64::from(self.u32())
    }

    /// Returns a number less than `n`; 0 if `n` is 0.
    ///
    /// The probabilities of two numbers differ by a factor of less than 1 + `n` / 2^64.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        // The upper half of the product of a number below 2^64 with `n` is less than `n`.
        ((u128::from(self.u64()) * n as u128) >> 64) as usize
    }

    /// Returns `true` with a probability of `times` / `n`.
    pub(crate) fn chance(&mut self, times: usize, n: usize) -> bool {
        self.below(n) < times
    }
}

#[cfg(shadow_rmap_kunit)]
#[kernel::macros::kunit_tests(shadow_rmap_random)]
mod tests {
    use super::*;
    use kernel::prelude::*;

    /// The same seed gives the same sequence, another seed another one.
    #[test]
    fn a_seed_is_a_sequence() -> Result {
        let numbers = |seed| {
            let mut random = Random::new(seed);
            [(); 8].map(|()| random.u64())
        };

        assert!(numbers(1) == numbers(1));
        assert!(numbers(1) != numbers(2));
        assert!(numbers(0).iter().all(|&number| number != 0));
        Ok(())
    }

    /// All numbers are in range, and about equally frequent.
    #[test]
    fn numbers_are_even() -> Result {
        let mut random = Random::new(7);
        let mut counts = [0_usize; 10];
        let mut outside = 0;
        for _ in 0..10_000 {
            match counts.get_mut(random.below(10)) {
                Some(count) => *count += 1,
                None => outside += 1,
            }
        }
        let heads = (0..10_000).filter(|_| random.chance(1, 4)).count();

        assert_eq!(outside, 0);
        assert!(counts.iter().all(|count| (800..1200).contains(count)));
        assert!((2200..2800).contains(&heads));
        assert!(random.below(0) == 0 && random.below(1) == 0);
        assert!(random.chance(3, 3) && !random.chance(0, 3));
        Ok(())
    }
}
