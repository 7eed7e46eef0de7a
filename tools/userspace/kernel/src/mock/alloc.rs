// SPDX-License-Identifier: GPL-2.0

//! Allocations that fail on request: each allocation of this crate, of any kind, comes here.
//!
//! `rust/kernel_ext/fail.rs` has the same for the allocations that ask it. This one is below all
//! code, so it also finds an allocation that forgets to ask, as `failslab` does in the kernel.

use super::schedule::thread_local;
use crate::alloc::{AllocError, Flags};
use std::cell::Cell;

thread_local! {
    /// Number of allocations of this thread up to the one that fails; 0 if none is to.
    static LEFT: Cell<usize> = const { Cell::new(0) };
}

/// Is called before each allocation.
///
/// # Errors
///
/// `AllocError` if a test wants this one to fail.
#[track_caller]
pub(crate) fn allocation(flags: Flags) -> Result<(), AllocError> {
    if flags.may_sleep() {
        super::context::might_sleep();
    }
    match LEFT.with(Cell::get) {
        0 => Ok(()),
        left => {
            LEFT.with(|place| place.set(left - 1));
            if left == 1 { Err(AllocError) } else { Ok(()) }
        }
    }
}

/// Runs `operation`, whose `n`th allocation on this thread fails; the first has number 1.
///
/// Returns its result, and whether it came to that allocation.
pub fn nth<R>(n: usize, operation: impl FnOnce() -> R) -> (R, bool) {
    LEFT.with(|left| left.set(n));
    let result = operation();
    (result, LEFT.with(Cell::take) == 0 && n > 0)
}
