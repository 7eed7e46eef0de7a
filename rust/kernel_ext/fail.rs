// SPDX-License-Identifier: GPL-2.0

//! Fault injection: tests make a chosen allocation fail, to reach every error path.
//!
//! C header with the kernel's own:
//! [`include/linux/fault-inject.h`](srctree/include/linux/fault-inject.h)
//!
//! Code that allocates calls [`allocation`] first, or uses [`kbox`] or [`kvec`]. A test runs an
//! operation with [`nth`], or with [`each`], which makes the first allocation fail, then the
//! second, and so on, until the operation has fewer.
//!
//! The kernel's `failslab` is not built into every kernel, also fails the allocations of other
//! code, and a module cannot configure it. Injection here covers this module's allocations only,
//! counts those of one thread, and is compiled only with the KUnit suites.

use kernel::{
    alloc::{
        AllocError,
        Flags, //
    },
    prelude::*,
};

/// Is called before an allocation, and succeeds. Any context.
///
/// # Errors
///
/// None without the KUnit suites.
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

/// [`KBox::new`], with fault injection.
pub(crate) fn kbox<T>(value: T, flags: Flags) -> Result<KBox<T>, AllocError> {
    allocation()?;
    KBox::new(value, flags)
}

/// [`KVec::with_capacity`], with fault injection unless `capacity` is 0.
pub(crate) fn kvec<T>(capacity: usize, flags: Flags) -> Result<KVec<T>, AllocError> {
    if capacity > 0 {
        allocation()?;
    }
    KVec::with_capacity(capacity, flags)
}

#[cfg(shadow_rmap_kunit)]
mod injection {
    use crate::kernel_ext::rwonce::ReadWriteOnce;
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

    /// Number of threads that can inject failures at a time; more wait.
    const PLACES: usize = 16;

    /// The failure that a thread has ordered. While `task` is set, only that thread uses `left`.
    struct Place {
        task: Atomic<*mut task_struct>,
        /// Number of allocations up to and including the one that fails; 0 once it has failed.
        left: Atomic<usize>,
    }

    static ORDERS: [Place; PLACES] = [const {
        Place {
            task: Atomic::new(ptr::null_mut()),
            left: Atomic::new(0),
        }
    }; PLACES];

    /// Number of places in use. While it is 0, an allocation costs no more than reading it.
    static TAKEN: Atomic<usize> = Atomic::new(0);

    /// Is called before an allocation. Any context.
    ///
    /// # Errors
    ///
    /// `AllocError` if a test wants this allocation to fail.
    #[inline]
    pub(crate) fn allocation() -> Result<(), AllocError> {
        if TAKEN.read_once() == 0 {
            return Ok(());
        }
        count()
    }

    /// Counts an allocation of this thread, if the thread has ordered a failure.
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

    /// Returns the place of this thread.
    fn mine() -> Option<&'static Place> {
        let me = Task::current_raw();
        ORDERS.iter().find(|place| place.task.load(Relaxed) == me)
    }

    /// An order of this thread, with the state of an outer order to be restored.
    struct Order {
        place: &'static Place,
        before: Option<usize>,
    }

    impl Order {
        /// Orders the failure of the `n`th allocation from now on. May sleep.
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

    /// Runs `operation`, and makes its `n`th allocation on this thread fail; the first has number
    /// 1.
    ///
    /// Returns the result of `operation`, and whether it came to that allocation. A nested call
    /// does not add to the count of the outer one. May sleep; `operation` must not assert.
    pub(crate) fn nth<R>(n: usize, operation: impl FnOnce() -> R) -> (R, bool) {
        let order = Order::new(n);
        let result = operation();
        (result, n > 0 && order.is_done())
    }

    /// Runs `operation` with its first allocation failing, then with its second, and so on, until
    /// it has no further allocation. Passes the result of each failed run to `failed`.
    ///
    /// Returns the last result, and the number of failed runs. Otherwise as [`nth`].
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

    /// Only the chosen allocation fails.
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

    /// A nested order does not disturb the outer one.
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

    /// Each allocation fails once, and then the operation succeeds.
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

    /// Allocations of another thread neither fail nor count.
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
