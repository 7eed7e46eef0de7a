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
#[path = "tests/kthread.rs"]
mod tests;
