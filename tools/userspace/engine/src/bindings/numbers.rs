// SPDX-License-Identifier: GPL-2.0

//! Random numbers and sorting.

use core::ffi::{c_int, c_void};
use kernel::mock::{context::might_sleep, random};
use std::{
    cmp::Ordering,
    hash::{BuildHasher, RandomState},
    ptr,
};

/// `struct rnd_state`.
pub(crate) struct rnd_state {
    pub(crate) s1: u32,
    pub(crate) s2: u32,
    pub(crate) s3: u32,
    pub(crate) s4: u32,
}

/// `prandom_seed_state()`: a seed gives the numbers that it gives in the kernel.
pub(crate) unsafe fn shadow_rmap_prandom_seed_state(state: *mut rnd_state, seed: u64) {
    let seed = (seed >> 32 ^ seed << 10 ^ seed) as u32;
    // Each generator of the four needs a seed that is not too small.
    let at_least = |least: u32| if seed < least { seed + least } else { seed };
    let new = rnd_state {
        s1: at_least(2),
        s2: at_least(8),
        s3: at_least(16),
        s4: at_least(128),
    };
    // SAFETY: The caller's promise.
    unsafe { state.write(new) };
}

/// `prandom_u32_state()`: L'Ecuyer's generator LFSR113, four shift registers whose numbers are
/// added modulo 2.
pub(crate) unsafe fn prandom_u32_state(state: *mut rnd_state) -> u32 {
    /// One step of a register of `32 - lost` bits.
    fn step(s: u32, lost: u32, left: u32, right: u32, up: u32) -> u32 {
        ((s & u32::MAX << lost) << up) ^ ((s << left ^ s) >> right)
    }

    // SAFETY: The caller's promise.
    let state = unsafe { &mut *state };
    state.s1 = step(state.s1, 1, 6, 13, 18);
    state.s2 = step(state.s2, 3, 2, 27, 2);
    state.s3 = step(state.s3, 4, 13, 21, 7);
    state.s4 = step(state.s4, 7, 3, 12, 13);
    state.s1 ^ state.s2 ^ state.s3 ^ state.s4
}

/// `get_random_u64()`. By `SHADOW_RMAP_SEED`, if it is set.
pub(crate) unsafe fn get_random_u64() -> u64 {
    use std::sync::{Mutex, PoisonError};
    static SEEDED: Mutex<Option<random::Random>> = Mutex::new(None);
    match random::seed_of_process() {
        0 => RandomState::new().hash_one(0),
        seed => {
            let mut seeded = SEEDED.lock().unwrap_or_else(PoisonError::into_inner);
            seeded
                .get_or_insert_with(|| random::Random::new(seed))
                .number()
        }
    }
}

/// `cmp_r_func_t`.
pub(crate) type cmp_r_func_t =
    Option<unsafe extern "C" fn(*const c_void, *const c_void, *const c_void) -> c_int>;

/// `sort_r_nonatomic()`. `swap` must be `None`: elements are moved as bytes. Sleeps.
pub(crate) unsafe fn sort_r_nonatomic(
    base: *mut c_void,
    number: usize,
    size: usize,
    compare: cmp_r_func_t,
    swap: Option<()>,
    private: *const c_void,
) {
    might_sleep();
    let (Some(compare), None) = (compare, swap) else {
        unreachable!("sort_r_nonatomic() without a comparison, or with a swap");
    };
    let element = |at: usize| base.cast::<u8>().wrapping_add(at * size);
    let mut order: Vec<usize> = (0..number).collect();
    order.sort_by(|&a, &b| {
        // SAFETY: The caller's promise; nothing is moved meanwhile.
        let order = unsafe { compare(element(a).cast(), element(b).cast(), private) };
        order.cmp(&0) as Ordering
    });
    let mut sorted = Vec::<u8>::with_capacity(number * size);
    for (to, from) in order.into_iter().enumerate() {
        // SAFETY: There is room for all; the elements are valid.
        unsafe {
            let to = sorted.as_mut_ptr().add(to * size);
            ptr::copy_nonoverlapping(element(from), to, size);
        }
    }
    // SAFETY: As above.
    unsafe { ptr::copy_nonoverlapping(sorted.as_ptr(), base.cast(), number * size) };
}

/// The numbers are those that `lib/tests/random32_kunit.c` expects of the kernel's generator.
#[cfg(test)]
#[test]
fn numbers_are_those_of_the_kernel() {
    let at_least = |x: u32, least| if x < least { x + least } else { x };
    for (seed, number) in [
        (1_u32, 3_484_351_685),
        (2, 2_623_130_059),
        (3, 3_125_133_893),
        (4, 984_847_254),
    ] {
        // That test makes its seeds in another way.
        let s1 = at_least(seed.wrapping_mul(69_069), 2);
        let s2 = at_least(s1.wrapping_mul(69_069), 8);
        let s3 = at_least(s2.wrapping_mul(69_069), 16);
        let s4 = at_least(s3.wrapping_mul(69_069), 128);
        let mut state = rnd_state { s1, s2, s3, s4 };
        // SAFETY: The state is valid.
        let eleventh = (0..11)
            .map(|_| unsafe { prandom_u32_state(&mut state) })
            .last();
        assert_eq!(eleventh, Some(number));
    }
}
