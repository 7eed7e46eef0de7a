// SPDX-License-Identifier: GPL-2.0

//! Tests of `lock.rs`.

use kernel::macros::kunit_tests;

#[kunit_tests(shadow_rmap_lock)]
mod suite {
    use super::super::*;
    use crate::{
        kernel_ext::kthread::KThread,
        torture::preemptible::Preemptible, //
    };
    use kernel::{
        sync::{
            atomic::{
                Atomic,
                Relaxed, //
            },
            Arc,
            Completion, //
        },
        time::{
            delay::fsleep,
            Delta, //
        },
    };

    /// A hold outlives its guard, is seen, and is gone when it is released.
    #[test]
    fn a_detached_hold_is_kept() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let held = Arc::pin_init(pin_init!(Held { lock <- L::new() }), GFP_KERNEL)?;
            let idle = held.lock.is_locked();
            let raw = L::detach(held.lock.read());
            let kept = held.lock.is_locked();
            // SAFETY: From `detach` just above, on this thread; `held` is alive.
            unsafe { L::release(raw) };
            let released = !held.lock.is_locked();
            drop(held.lock.write());
            let tried = held.lock.try_read().is_some();

            assert!(!idle && kept && released && tried && !held.lock.is_locked());
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()?;
        under::<Preemptible>()
    }

    /// A hold on memory that is no lock any more is forgotten, and the memory left alone.
    #[test]
    fn an_abandoned_lock_is_not_touched() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let held = Arc::pin_init(pin_init!(Held { lock <- L::new() }), GFP_KERNEL)?;
            let raw = L::detach(held.lock.read());
            // SAFETY: From `detach` just above, on this thread.
            unsafe { L::abandon(raw) };

            assert!(held.lock.is_locked());
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()?;
        under::<Preemptible>()
    }

    /// Writers that each add to what the others have written exclude each other, also when the
    /// holder sleeps.
    #[test]
    fn writers_exclude_each_other() -> Result {
        fn under<L: FamilyLock>(sleeps: bool) -> Result {
            let sum = Arc::pin_init(
                pin_init!(Sum {
                    lock <- L::new(),
                    value: Atomic::new(0),
                    done <- Completion::new(),
                }),
                GFP_KERNEL,
            )?;
            let theirs = sum.clone();
            let thread = KThread::spawn(fmt!("shadow_rmap/sum"), move |_| {
                theirs.add(sleeps);
                theirs.done.complete_all();
            })?;
            sum.add(sleeps);
            sum.done.wait_for_completion();
            drop(thread);

            assert_eq!(sum.value.load(Relaxed), 2 * ADDITIONS);
            Ok(())
        }
        under::<Spin>(false)?;
        under::<RwSem>(true)?;
        under::<Preemptible>(true)
    }

    const ADDITIONS: usize = 1000;

    #[pin_data]
    struct Sum<L: FamilyLock> {
        #[pin]
        lock: L,
        value: Atomic<usize>,
        #[pin]
        done: Completion,
    }

    impl<L: FamilyLock> Sum<L> {
        fn add(&self, sleeps: bool) {
            for i in 0..ADDITIONS {
                let held = self.lock.write();
                let value = self.value.load(Relaxed);
                if sleeps && i % 100 == 0 {
                    fsleep(Delta::from_micros(20));
                }
                self.value.store(value + 1, Relaxed);
                drop(held);
            }
        }
    }

    #[pin_data]
    struct Held<L: FamilyLock> {
        #[pin]
        lock: L,
    }
}
