// SPDX-License-Identifier: GPL-2.0

//! Sorting, by the kernel's own heap sort.
//!
//! C header: [`include/linux/sort.h`](srctree/include/linux/sort.h)
//!
//! The sorts of `core` bring panics along that objtool does not know to end a function.

#![allow(unsafe_code, reason = "a room of the design: calls into C")]

use crate::ffi;
use core::{
    cmp::Ordering,
    mem, //
};
use kernel::prelude::*;

/// Sorts `slice` so that `order` finds it ascending; equal elements come in any order.
///
/// `O(n log n)`; allocates nothing. Context as by `order`.
pub(crate) fn sort_by<T, F: Fn(&T, &T) -> Ordering>(slice: &mut [T], order: F) {
    // SAFETY: There are as many elements of that size; elements are moved as bytes, each to one
    // place; `order` is what `compare` takes its last argument for.
    unsafe {
        ffi::sort_r(
            slice.as_mut_ptr().cast(),
            slice.len(),
            mem::size_of::<T>(),
            Some(compare::<T, F>),
            None,
            (&raw const order).cast(),
        )
    }
}

/// Sorts `slice` by a key that each element has, see [`sort_by`].
pub(crate) fn sort_by_key<T, K: Ord>(slice: &mut [T], key: impl Fn(&T) -> K) {
    sort_by(slice, |a, b| key(a).cmp(&key(b)));
}

/// # Safety
///
/// `a` and `b` point to `T`s, `order` to an `F`, and nobody writes to them meanwhile.
unsafe extern "C" fn compare<T, F: Fn(&T, &T) -> Ordering>(
    a: *const c_void,
    b: *const c_void,
    order: *const c_void,
) -> c_int {
    // SAFETY: The caller's promise.
    let (a, b, order) = unsafe { (&*a.cast::<T>(), &*b.cast::<T>(), &*order.cast::<F>()) };
    order(a, b) as c_int
}

#[cfg(shadow_rmap_kunit)]
#[kunit_tests(shadow_rmap_sort)]
mod tests {
    use super::*;

    /// Whatever the order they come in, by whatever key.
    #[test]
    fn sorts_by_key() -> Result {
        let mut numbers = KVec::new();
        for i in 0..1000_usize {
            numbers.push((i * 7919 % 1000, i), GFP_KERNEL)?;
        }
        sort_by_key(&mut numbers, |number| number.0);
        let ascending = numbers.iter().enumerate().all(|(i, number)| number.0 == i);
        sort_by_key(&mut numbers, |number| usize::MAX - number.1);
        let descending = numbers
            .iter()
            .rev()
            .enumerate()
            .all(|(i, number)| number.1 == i);
        sort_by(&mut [] as &mut [usize], |a, b| a.cmp(b));

        assert!(ascending && descending);
        Ok(())
    }
}
