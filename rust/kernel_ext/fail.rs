// SPDX-License-Identifier: GPL-2.0

//! Allocations that fail on purpose, so that tests reach every way out of an operation.
//!
//! Who allocates asks [`allocation`] first, or allocates by one of the functions below. A test
//! runs an operation with [`nth`], or with [`each`], which fails one allocation after another until
//! the operation no longer gets that far.
//!
//! The kernel's own `failslab` is not built everywhere, fails allocations of everybody else in the
//! same call, and cannot be aimed by a module. This one knows the module's own sites only, counts
//! those of one thread, and is not there at all without KUnit.

use kernel::{
    alloc::{
        AllocError,
        Flags, //
    },
    prelude::*,
};

/// Whether the allocation that the caller is about to make may go ahead. Any context.
///
/// # Errors
///
/// `AllocError` where a test wants it to fail.
#[cfg(not(shadow_rmap_kunit))]
#[inline(always)]
pub(crate) fn allocation() -> Result<(), AllocError> {
    Ok(())
}

#[cfg(shadow_rmap_kunit)]
pub(crate) use injection::{
    allocation,
    each,
    nth, //
};

/// [`KBox::new`] that can be made to fail.
pub(crate) fn kbox<T>(value: T, flags: Flags) -> Result<KBox<T>, AllocError> {
    allocation()?;
    KBox::new(value, flags)
}

/// [`KVec::with_capacity`] that can be made to fail; an empty one needs no memory.
pub(crate) fn kvec<T>(capacity: usize, flags: Flags) -> Result<KVec<T>, AllocError> {
    if capacity > 0 {
        allocation()?;
    }
    KVec::with_capacity(capacity, flags)
}

#[cfg(shadow_rmap_kunit)]
mod injection {
    use core::ptr;
    use kernel::{
        alloc::AllocError,
        bindings::task_struct,
        sync::atomic::{
            Atomic,
            Relaxed, //
        },
        task::Task,
        time::{
            delay::fsleep,
            Delta, //
        },
    };

    /// How many threads can have a failure ordered at a time; more wait.
    const PLACES: usize = 16;

    /// What a thread has ordered. None but that thread reads or writes `left` while it is named.
    struct Place {
        task: Atomic<*mut task_struct>,
        /// Allocations up to and including the one that fails; 0 when it has failed.
        left: Atomic<usize>,
    }

    static ORDERS: [Place; PLACES] = [const {
        Place {
            task: Atomic::new(ptr::null_mut()),
            left: Atomic::new(0),
        }
    }; PLACES];

    /// How many places are taken: what an allocation costs while no test is at it is reading this.
    static TAKEN: Atomic<usize> = Atomic::new(0);

    /// Whether the allocation that the caller is about to make may go ahead. Any context.
    ///
    /// # Errors
    ///
    /// `AllocError` where a test wants it to fail.
    #[inline]
    pub(crate) fn allocation() -> Result<(), AllocError> {
        if TAKEN.load(Relaxed) == 0 {
            return Ok(());
        }
        count()
    }

    /// Counts down for this thread, if it has ordered a failure.
    #[cold]
    fn count() -> Result<(), AllocError> {
        let Some(place) = mine() else {
            return Ok(());
        };
        match place.left.load(Relaxed) {
            0 => Ok(()),
            left => {
                place.left.store(left - 1, Relaxed);
                if left == 1 {
                    Err(AllocError)
                } else {
                    Ok(())
                }
            }
        }
    }

    /// This thread's place.
    fn mine() -> Option<&'static Place> {
        let me = Task::current_raw();
        ORDERS.iter().find(|place| place.task.load(Relaxed) == me)
    }

    /// An order of this thread, and what it had ordered before.
    struct Order {
        place: &'static Place,
        before: Option<usize>,
    }

    impl Order {
        /// Orders the failure of the `n`th allocation from here on. May sleep.
        fn new(n: usize) -> Self {
            if let Some(place) = mine() {
                let before = Some(place.left.load(Relaxed));
                place.left.store(n, Relaxed);
                return Self { place, before };
            }
            let me = Task::current_raw();
            TAKEN.add(1, Relaxed);
            loop {
                let free = ORDERS
                    .iter()
                    .find(|place| place.task.cmpxchg(ptr::null_mut(), me, Relaxed).is_ok());
                if let Some(place) = free {
                    place.left.store(n, Relaxed);
                    return Self {
                        place,
                        before: None,
                    };
                }
                fsleep(Delta::from_millis(1));
            }
        }

        fn is_done(&self) -> bool {
            self.place.left.load(Relaxed) == 0
        }
    }

    impl Drop for Order {
        fn drop(&mut self) {
            match self.before {
                Some(left) => self.place.left.store(left, Relaxed),
                None => {
                    self.place.task.store(ptr::null_mut(), Relaxed);
                    TAKEN.fetch_sub(1, Relaxed);
                }
            }
        }
    }

    /// Runs `operation` so that its `n`th allocation on this thread fails, once; the first is 1.
    ///
    /// Returns what it returned, and whether it got as far as that allocation. The allocations of
    /// an operation within it, if that is run by a call like this one, are not counted. May sleep;
    /// `operation` must not assert.
    pub(crate) fn nth<R>(n: usize, operation: impl FnOnce() -> R) -> (R, bool) {
        let order = Order::new(n);
        let result = operation();
        (result, n > 0 && order.is_done())
    }

    /// Runs `operation` with its first allocation failing, then with its second, and so on, and
    /// hands each result to `failed`, until none fails any more.
    ///
    /// Returns the last result, and how many failures there were. As [`nth`] otherwise.
    pub(crate) fn each<R>(
        mut operation: impl FnMut() -> R,
        mut failed: impl FnMut(R),
    ) -> (R, usize) {
        let mut n = 0;
        loop {
            let (result, hit) = nth(n + 1, &mut operation);
            if !hit {
                return (result, n);
            }
            n += 1;
            failed(result);
        }
    }
}

#[cfg(shadow_rmap_kunit)]
#[kunit_tests(shadow_rmap_fail)]
mod tests {
    use super::*;
    use crate::kernel_ext::kthread::KThread;
    use kernel::{
        sync::{
            atomic::{
                Acquire,
                Atomic,
                Relaxed,
                Release, //
            },
            Arc, //
        },
        time::{
            delay::fsleep,
            Delta, //
        },
    };

    /// The allocation that is asked for fails, once, and no other.
    #[test]
    fn only_the_nth_fails() -> Result {
        let (all, hit) = nth(3, || [(); 5].map(|()| allocation().is_ok()));
        let (none, missed) = nth(6, || [(); 5].map(|()| allocation().is_ok()));
        let (zero, never) = nth(0, || allocation().is_ok());
        let after = allocation().is_ok();

        assert!(hit && all == [true, true, false, true, true]);
        assert!(!missed && none == [true; 5]);
        assert!(!never && zero && after);
        Ok(())
    }

    /// An order within an order does not disturb it.
    #[test]
    fn orders_nest() -> Result {
        let ((inner, second), outer) = nth(2, || {
            let first = allocation().is_ok();
            let (_, inner) = nth(1, || kbox(0, GFP_KERNEL).is_err());
            (first && inner, allocation().is_err())
        });

        assert!(outer && inner && second);
        Ok(())
    }

    /// Each way out is taken once, and then the operation succeeds.
    #[test]
    fn each_in_turn() -> Result {
        let mut failures = 0;
        let (result, n) = each(
            || {
                let a = kbox(1, GFP_KERNEL)?;
                let mut b = kvec(1, GFP_KERNEL)?;
                b.push(kbox(*a, GFP_KERNEL)?, GFP_KERNEL)?;
                kvec::<usize>(0, GFP_KERNEL)?;
                Ok::<_, Error>(b.len())
            },
            |result| failures += usize::from(result == Err(ENOMEM)),
        );

        assert!(result == Ok(1) && n == 3 && failures == 3);
        Ok(())
    }

    /// Another thread's allocations neither fail nor count.
    #[test]
    fn other_threads_are_left_alone() -> Result {
        let turn = Arc::new(Atomic::new(0), GFP_KERNEL)?;
        let theirs = turn.clone();
        let thread = KThread::spawn(fmt!("shadow_rmap/fail"), move |stop| {
            while theirs.load(Acquire) != 1 && !stop.requested() {
                fsleep(Delta::from_millis(1));
            }
            let both = allocation().is_ok() && allocation().is_ok();
            theirs.store(if both { 2 } else { 3 }, Release);
        })?;
        let ((first, second), hit) = nth(2, || {
            let first = allocation().is_ok();
            turn.store(1, Release);
            while turn.load(Acquire) < 2 {
                fsleep(Delta::from_millis(1));
            }
            (first, allocation().is_err())
        });
        drop(thread);

        assert!(first && second && hit);
        assert_eq!(turn.load(Relaxed), 2);
        Ok(())
    }
}
