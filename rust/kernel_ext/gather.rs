// SPDX-License-Identifier: GPL-2.0

//! Copies data that a lock protects into a list, without allocating memory under the lock.

use super::gfp::GFP_BOUNDED;
use kernel::{
    alloc::AllocError,
    prelude::*, //
};

/// Number of elements for which memory is allocated at first.
const SHORT: usize = 8;

/// Copies data that a lock protects into a list.
///
/// `lock` takes the lock; `len` returns the number of elements that `copy` will push at most. The
/// list is allocated without the lock, and again if the number has grown meanwhile. Sleeps.
///
/// # Errors
///
/// `ENOMEM`.
pub(crate) fn gather<G, T>(
    lock: impl Fn() -> G,
    len: impl Fn(&mut G) -> usize,
    copy: impl Fn(&mut G, &mut KVVec<T>) -> Result<(), AllocError>,
) -> Result<KVVec<T>> {
    // Most lists are short: the lock is taken once for those.
    let mut all = KVVec::with_capacity(SHORT, GFP_BOUNDED)?;
    loop {
        let mut guard = lock();
        let n = len(&mut guard);
        if n <= all.capacity() {
            // The list has room for `n` elements, so nothing is allocated here.
            copy(&mut guard, &mut all)?;
            return Ok(all);
        }
        drop(guard);
        all.reserve(n, GFP_BOUNDED)?;
    }
}
