// SPDX-License-Identifier: GPL-2.0

//! Kernel threads that are stopped when their handle is dropped.
//!
//! C header: [`include/linux/kthread.h`](srctree/include/linux/kthread.h)

#![allow(unsafe_code, reason = "wraps a C type")]

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

/// A handle of a kernel thread.
///
/// Dropping the handle asks the thread to stop, and sleeps until it has ended. So the thread must
/// test [`Stop::requested`] often, must not drop its own handle, and must not need a lock that is
/// held where the handle is dropped. If a handle is forgotten, the thread runs on, even while the
/// module is unloaded: see "What the types cannot prevent" in Documentation/typesafe-slab.rst.
///
/// # Invariants
///
/// 1. `task` is a thread that runs `run::<F>` with `job`, at most once, and does not use `job`
///    otherwise.
/// 2. `job` comes from a `KBox<Option<F>>`; only the thread and this handle have the pointer.
///    `free` is `free::<F>`.
#[must_use = "the thread is stopped when its handle is dropped"]
pub(crate) struct KThread {
    task: ARef<Task>,
    job: *mut c_void,
    free: unsafe fn(*mut c_void),
}

// SAFETY: The thread uses `job`; when it has ended, the thread that drops the handle does. The
// closure is `Send`.
unsafe impl Send for KThread {}
// SAFETY: A shared handle has no methods.
unsafe impl Sync for KThread {}

/// Tells a thread whether it is to stop; only that thread has this value.
pub(crate) struct Stop(NotThreadSafe);

impl Stop {
    /// `kthread_should_stop()`: returns whether the thread is to end. Any context of that thread.
    #[inline]
    pub(crate) fn requested(&self) -> bool {
        // SAFETY: Only a thread that `KThread` has created has a `Stop`, which it cannot send.
        unsafe { ffi::kthread_should_stop() }
    }

    /// `schedule_timeout()`: sleeps for `ticks` jiffies, or until the thread is asked to stop.
    pub(crate) fn sleep(&self, ticks: usize) {
        // SAFETY: The functions have no preconditions but that this thread may sleep.
        unsafe { ffi::shadow_rmap_set_interruptible() };
        // The state was set before: a request that comes now ends the sleep.
        if !self.requested() {
            // SAFETY: As above.
            unsafe { ffi::schedule_timeout(ticks as isize) };
        }
        // SAFETY: As above.
        unsafe { ffi::shadow_rmap_set_running() };
    }
}

/// The function that the thread runs.
///
/// # Safety
///
/// `job` points to an `Option<F>` that only this thread uses until it has ended.
unsafe extern "C" fn run<F: FnOnce(&Stop)>(job: *mut c_void) -> c_int {
    // SAFETY: The caller's promise.
    if let Some(closure) = unsafe { (*job.cast::<Option<F>>()).take() } {
        closure(&Stop(NotThreadSafe));
    }
    0
}

/// Frees the job, and drops the closure if it has not run.
///
/// # Safety
///
/// `job` comes from a `KBox<Option<F>>`, and is not used afterwards.
unsafe fn free<F>(job: *mut c_void) {
    // SAFETY: The caller's promise.
    drop(unsafe { KBox::from_raw(job.cast::<Option<F>>()) });
}

/// `cpu_online()`: returns whether threads can be bound to `cpu` now. Any context.
pub(crate) fn is_online(cpu: u32) -> bool {
    // SAFETY: The function accepts every number.
    unsafe { ffi::shadow_rmap_cpu_online(cpu) }
}

impl KThread {
    /// Starts a thread that runs `closure` on any CPU. Sleeps.
    ///
    /// If the thread is stopped at once, the closure may be dropped without having been run.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `EINTR` if the caller is killed meanwhile.
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
        // SAFETY: By invariant (1) it is a kernel thread; it has not been started.
        unsafe { ffi::kthread_bind(thread.task.as_ptr(), cpu) };
        thread.start();
        Ok(thread)
    }

    /// Creates a thread without starting it.
    fn create<F>(name: fmt::Arguments<'_>, closure: F) -> Result<Self>
    where
        F: FnOnce(&Stop) + Send + 'static,
    {
        fail::allocation()?;
        let job = KBox::into_raw(KBox::new(Some(closure), GFP_KERNEL)?).cast::<c_void>();
        // SAFETY: `run::<F>` is given an `Option<F>`; `%pA` takes a `fmt::Arguments`.
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
                // INVARIANT: (1) and (2): created just now.
                // SAFETY: A thread that has not been started exists until it is stopped.
                task: ARef::from(unsafe { &*task.cast::<Task>() }),
                job,
                free: free::<F>,
            }),
            Err(error) => {
                // SAFETY: There is no thread that could use it.
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
        // SAFETY: By invariant (1) it is a kernel thread, and `task` holds a reference on it. It
        // may have ended, or never have run.
        unsafe { ffi::kthread_stop(self.task.as_ptr()) };
        // SAFETY: By invariants (1) and (2); the thread has ended.
        unsafe { (self.free)(self.job) };
    }
}

#[cfg(shadow_rmap_kunit)]
#[path = "tests/kthread.rs"]
mod tests;
