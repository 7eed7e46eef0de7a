// SPDX-License-Identifier: GPL-2.0

//! Copies what a lock protects, without allocating under the lock.

use kernel::{
    alloc::AllocError,
    prelude::*, //
};

/// Copies what a lock protects into a list, for which room is made without the lock.
///
/// `len` says how much room `copy` needs at most; `copy` must not need more. Sleeps.
///
/// # Errors
///
/// `ENOMEM`.
pub(crate) fn gather<G, T>(
    lock: impl Fn() -> G,
    len: impl Fn(&mut G) -> usize,
    copy: impl Fn(&mut G, &mut KVVec<T>) -> Result<(), AllocError>,
) -> Result<KVVec<T>> {
    let mut all = KVVec::new();
    loop {
        let mut guard = lock();
        let n = len(&mut guard);
        if n <= all.capacity() {
            // There is room: nothing is allocated here.
            copy(&mut guard, &mut all)?;
            return Ok(all);
        }
        drop(guard);
        all.reserve(n, GFP_KERNEL)?;
    }
}
