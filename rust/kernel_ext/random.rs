// SPDX-License-Identifier: GPL-2.0

//! Numbers that look random and come again with their seed.
//!
//! C header: [`include/linux/prandom.h`](srctree/include/linux/prandom.h)

#![allow(unsafe_code, reason = "a room of the design: calls into C")]

use crate::ffi;

/// The kernel's generator for numbers that can be repeated: `struct rnd_state`.
pub(crate) struct Random(ffi::rnd_state);

impl Random {
    /// Starts a sequence. Seeds are folded to 32 bits: some of them start the same.
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Self(ffi::rnd_state {
            s1: 0,
            s2: 0,
            s3: 0,
            s4: 0,
        });
        // SAFETY: The state is ours.
        unsafe { ffi::shadow_rmap_prandom_seed_state(&mut random.0, seed) };
        // The first numbers of small seeds resemble each other: the kernel, too, skips some.
        for _ in 0..10 {
            random.u32();
        }
        random
    }

    /// A seed that nobody has chosen. To be printed by who uses it.
    pub(crate) fn any_seed() -> u64 {
        // SAFETY: May be called anywhere.
        unsafe { ffi::get_random_u64() }
    }

    fn u32(&mut self) -> u32 {
        // SAFETY: The state is ours, and has been seeded.
        unsafe { ffi::prandom_u32_state(&mut self.0) }
    }

    /// Any number.
    pub(crate) fn u64(&mut self) -> u64 {
        u64::from(self.u32()) << 32 | u64::from(self.u32())
    }

    /// A number less than `n`, each as likely as the others but for one part in 2^64 divided by
    /// `n`; 0 where there is none.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        // The upper half of the product of a number below 2^64 with `n` is less than `n`.
        ((u128::from(self.u64()) * n as u128) >> 64) as usize
    }

    /// True `times` times out of `n`, in the long run.
    pub(crate) fn chance(&mut self, times: usize, n: usize) -> bool {
        self.below(n) < times
    }
}

#[cfg(shadow_rmap_kunit)]
#[kernel::macros::kunit_tests(shadow_rmap_random)]
mod tests {
    use super::*;
    use kernel::prelude::*;

    /// A seed means one sequence, another seed another.
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

    /// No number is out of range, and each comes about as often as the others.
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
