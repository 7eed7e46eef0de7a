// SPDX-License-Identifier: GPL-2.0

//! Kernel threads that end when their handle is dropped.
//!
//! C header: [`include/linux/kthread.h`](srctree/include/linux/kthread.h)

#![allow(unsafe_code, reason = "a room of the design: wraps a C type")]

use crate::{
    ffi,
    kernel_ext::fail, //
};
use core::ptr;
use kernel::{
    error::from_err_ptr,
    fmt,
    prelude::*,
    sync::aref::ARef,
    task::Task,
    types::NotThreadSafe, //
};

/// A kernel thread.
///
/// Dropping it asks the thread to stop, and sleeps until it has ended: a thread must look at
/// [`Stop::requested`] now and then, must not drop its own handle, and must not need a lock that
/// is held where the handle is dropped. A handle that is forgotten is a thread that runs on, also
/// when the module goes.
///
/// # Invariants
///
/// 1. `task` is a thread that runs `run::<F>` with `job`, once or not at all, and has no other use
///    for `job`.
/// 2. `job` is a `KBox<Option<F>>`, of which nobody else knows, and `free` is `free::<F>`.
#[must_use = "the thread is stopped when its handle is dropped"]
pub(crate) struct KThread {
    task: ARef<Task>,
    job: *mut c_void,
    free: unsafe fn(*mut c_void),
}

// SAFETY: `job` is used by the thread, and, when that has ended, by whoever drops the handle: its
// closure is `Send`.
unsafe impl Send for KThread {}
// SAFETY: Nothing can be done with a shared handle.
unsafe impl Sync for KThread {}

/// What a thread learns of being stopped by; only that thread has it.
pub(crate) struct Stop(NotThreadSafe);

impl Stop {
    /// `kthread_should_stop()`: whether the thread is to end. Any context of the thread.
    #[inline]
    pub(crate) fn requested(&self) -> bool {
        // SAFETY: Only a thread of ours has a `Stop`, and keeps it to itself.
        unsafe { ffi::kthread_should_stop() }
    }
}

/// What the thread runs.
///
/// # Safety
///
/// `job` points to an `Option<F>` that nobody else uses until the thread has ended.
unsafe extern "C" fn run<F: FnOnce(&Stop)>(job: *mut c_void) -> c_int {
    // SAFETY: The caller's promise.
    if let Some(closure) = unsafe { (*job.cast::<Option<F>>()).take() } {
        closure(&Stop(NotThreadSafe));
    }
    0
}

/// Frees what the thread was to run, and that itself if it did not run.
///
/// # Safety
///
/// `job` comes from a `KBox<Option<F>>`, and nobody else uses it.
unsafe fn free<F>(job: *mut c_void) {
    // SAFETY: The caller's promise.
    drop(unsafe { KBox::from_raw(job.cast::<Option<F>>()) });
}

/// Whether threads can be bound to `cpu` now. Any context.
pub(crate) fn is_online(cpu: u32) -> bool {
    // SAFETY: May be asked of any number.
    unsafe { ffi::shadow_rmap_cpu_online(cpu) }
}

impl KThread {
    /// Starts a thread that runs `closure`, on whatever CPU. Sleeps.
    ///
    /// Where the thread is stopped early, the closure may be dropped without having been run.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `EINTR` when the caller is killed meanwhile.
    pub(crate) fn spawn<F>(name: fmt::Arguments<'_>, closure: F) -> Result<Self>
    where
        F: FnOnce(&Stop) + Send + 'static,
    {
        let thread = Self::create(name, closure)?;
        thread.start();
        Ok(thread)
    }

    /// Starts a thread that runs `closure` on CPU `cpu` only. Sleeps.
    ///
    /// # Errors
    ///
    /// `EINVAL` if that CPU is not online, and those of [`spawn`](Self::spawn).
    pub(crate) fn spawn_on<F>(cpu: u32, name: fmt::Arguments<'_>, closure: F) -> Result<Self>
    where
        F: FnOnce(&Stop) + Send + 'static,
    {
        if !is_online(cpu) {
            return Err(EINVAL);
        }
        let thread = Self::create(name, closure)?;
        // SAFETY: By invariant (1) a kernel thread; it has not been started.
        unsafe { ffi::kthread_bind(thread.task.as_ptr(), cpu) };
        thread.start();
        Ok(thread)
    }

    /// Creates a thread that has not been started.
    fn create<F>(name: fmt::Arguments<'_>, closure: F) -> Result<Self>
    where
        F: FnOnce(&Stop) + Send + 'static,
    {
        fail::allocation()?;
        let job = KBox::into_raw(KBox::new(Some(closure), GFP_KERNEL)?).cast::<c_void>();
        // SAFETY: `run` gets what it needs; `%pA` takes a `fmt::Arguments`.
        let task = from_err_ptr(unsafe {
            ffi::kthread_create_on_node(
                Some(run::<F>),
                job,
                ffi::NUMA_NO_NODE,
                c"%pA".as_char_ptr(),
                ptr::from_ref(&name).cast::<c_void>(),
            )
        });
        match task {
            Ok(task) => Ok(Self {
                // INVARIANT: (1) just created, and (2).
                // SAFETY: A thread that has not been started stays until it is stopped.
                task: ARef::from(unsafe { &*task.cast::<Task>() }),
                job,
                free: free::<F>,
            }),
            Err(error) => {
                // SAFETY: There is no thread.
                unsafe { free::<F>(job) };
                Err(error)
            }
        }
    }

    fn start(&self) {
        // SAFETY: By invariant (1).
        unsafe { ffi::wake_up_process(self.task.as_ptr()) };
    }
}

impl Drop for KThread {
    fn drop(&mut self) {
        // SAFETY: By invariant (1) a kernel thread, of which we hold a reference, be it that it has
        // ended already, or that it never ran.
        unsafe { ffi::kthread_stop(self.task.as_ptr()) };
        // SAFETY: By invariants (1) and (2); the thread has ended.
        unsafe { (self.free)(self.job) };
    }
}

#[cfg(shadow_rmap_kunit)]
#[kunit_tests(shadow_rmap_kthread)]
mod tests {
    use super::*;
    use kernel::{
        cpu::{
            nr_cpu_ids,
            CpuId, //
        },
        sync::{
            atomic::{
                Atomic,
                Relaxed, //
            },
            Arc, //
        },
        time::{
            delay::fsleep,
            Delta, //
        },
    };

    /// Waits until `counter` is `n`; whether it was within ten seconds.
    fn reached(counter: &Atomic<i32>, n: i32) -> bool {
        for _ in 0..10_000 {
            if counter.load(Relaxed) == n {
                return true;
            }
            fsleep(Delta::from_millis(1));
        }
        false
    }

    /// Counts how many of them are dropped.
    struct Dropped(Arc<Atomic<i32>>);

    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.add(1, Relaxed);
        }
    }

    fn counter() -> Result<Arc<Atomic<i32>>> {
        Ok(Arc::new(Atomic::new(0), GFP_KERNEL)?)
    }

    /// A thread runs until it is told to stop, and has ended when its handle is gone.
    #[test]
    fn runs_until_it_is_stopped() -> Result {
        let (started, ended) = (counter()?, counter()?);
        let (theirs, dropped) = (started.clone(), Dropped(ended.clone()));
        let thread = KThread::spawn(fmt!("shadow_rmap/{}", 1), move |stop| {
            let _dropped = dropped;
            theirs.add(1, Relaxed);
            while !stop.requested() {
                fsleep(Delta::from_millis(1));
            }
        })?;
        let started = reached(&started, 1);
        let early = ended.load(Relaxed);
        drop(thread);

        assert!(started);
        assert_eq!(early, 0);
        assert_eq!(ended.load(Relaxed), 1);
        Ok(())
    }

    /// A thread that ends by itself waits for nobody, and can be stopped all the same.
    #[test]
    fn may_end_by_itself() -> Result {
        let ended = counter()?;
        let dropped = Dropped(ended.clone());
        let thread = KThread::spawn(fmt!("shadow_rmap/self"), move |_| drop(dropped))?;
        let by_itself = reached(&ended, 1);
        // Time enough to go.
        fsleep(Delta::from_millis(20));
        drop(thread);

        assert!(by_itself);
        assert_eq!(ended.load(Relaxed), 1);
        Ok(())
    }

    /// What a thread was to run is freed when it was stopped before it ran.
    #[test]
    fn may_never_run() -> Result {
        let (ran, ended) = (counter()?, counter()?);
        let (theirs, dropped) = (ran.clone(), Dropped(ended.clone()));
        let thread = KThread::create(fmt!("shadow_rmap/never"), move |_| {
            let _dropped = dropped;
            theirs.add(1, Relaxed);
        })?;
        drop(thread);

        assert_eq!(ran.load(Relaxed), 0);
        assert_eq!(ended.load(Relaxed), 1);
        Ok(())
    }

    /// Many threads at once, each where it belongs; some may be stopped before they run.
    #[test]
    fn many_on_all_cpus() -> Result {
        let (there, elsewhere, ended) = (counter()?, counter()?, counter()?);
        let mut threads = KVec::new();
        let mut refused = 0;
        for cpu in 0..nr_cpu_ids() {
            for i in 0..8 {
                let (there, elsewhere) = (there.clone(), elsewhere.clone());
                let dropped = Dropped(ended.clone());
                let thread = KThread::spawn_on(cpu, fmt!("shadow_rmap/{cpu}.{i}"), move |stop| {
                    let _dropped = dropped;
                    there.add(1, Relaxed);
                    while !stop.requested() {
                        if CpuId::current().as_u32() != cpu {
                            elsewhere.add(1, Relaxed);
                        }
                        fsleep(Delta::from_millis(1));
                    }
                });
                match thread {
                    Ok(thread) => threads.push(thread, GFP_KERNEL)?,
                    // Not every CPU that is possible needs to be there.
                    Err(_) => refused += 1,
                }
            }
        }
        let n = threads.len() as i32;
        let all = reached(&there, n);
        drop(threads);
        // These are stopped at once, so that many do not run.
        for i in 0..64 {
            let dropped = Dropped(ended.clone());
            drop(KThread::spawn(fmt!("shadow_rmap/{i}"), |_| drop(dropped))?);
        }

        assert!(n >= 8 && all);
        assert_eq!(elsewhere.load(Relaxed), 0);
        assert_eq!(ended.load(Relaxed), n + refused + 64);
        Ok(())
    }

    /// Where no thread can be had, what it was to run is freed.
    #[test]
    fn no_thread_no_closure() -> Result {
        let ended = counter()?;
        let dropped = Dropped(ended.clone());
        let nowhere = KThread::spawn_on(u32::MAX, fmt!("shadow_rmap/nowhere"), |_| drop(dropped));
        let dropped = Dropped(ended.clone());
        let (failed, hit) = fail::nth(1, || {
            KThread::spawn(fmt!("shadow_rmap/none"), |_| drop(dropped)).err()
        });

        assert!(nowhere.err() == Some(EINVAL) && failed == Some(ENOMEM) && hit);
        assert_eq!(ended.load(Relaxed), 2);
        Ok(())
    }
}
