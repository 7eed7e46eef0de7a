// SPDX-License-Identifier: GPL-2.0

//! Sorting with the kernel's heap sort.
//!
//! C header: [`include/linux/sort.h`](srctree/include/linux/sort.h)
//!
//! The sorts of `core` contain panics, and objtool does not recognise those as the end of a
//! function.

#![allow(unsafe_code, reason = "calls into C")]

use crate::ffi;
use core::{
    cmp::Ordering,
    mem, //
};
use kernel::prelude::*;

/// Sorts `slice` in ascending `order`; equal elements come in any order.
///
/// `O(n log n)`, and `O(n)` if the slice is sorted; allocates nothing. Sleeps: a long sort lets other
/// threads run.
pub(crate) fn sort_by<T, F: Fn(&T, &T) -> Ordering>(slice: &mut [T], order: F) {
    if slice.iter().is_sorted_by(|a, b| order(a, b).is_le()) {
        return;
    }
    // SAFETY: Number and size of the elements are those of the slice; C moves each element as bytes
    // to one place; `compare::<T, F>` is given elements of type `T` and an `order` of type `F`.
    unsafe {
        ffi::sort_r_nonatomic(
            slice.as_mut_ptr().cast(),
            slice.len(),
            mem::size_of::<T>(),
            Some(compare::<T, F>),
            None,
            (&raw const order).cast(),
        )
    }
}

/// Sorts `slice` by the key of each element, see [`sort_by`].
pub(crate) fn sort_by_key<T, K: Ord>(slice: &mut [T], key: impl Fn(&T) -> K) {
    sort_by(slice, |a, b| key(a).cmp(&key(b)));
}

/// Compares two elements for `sort_r_nonatomic()`.
///
/// # Safety
///
/// `a` and `b` point to values of type `T`, `order` to one of type `F`, and nothing writes to them
/// during the call.
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

    /// A slice can be sorted by any key, whatever its order was before.
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
