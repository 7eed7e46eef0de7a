// SPDX-License-Identifier: GPL-2.0

//! `linux/workqueue.h`: one thread that does the work of a queue, in order.

use super::Named;
use crate::mock::context;
use core::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::{
    sync::{
        Mutex, PoisonError,
        mpsc::{Sender, channel},
    },
    thread::JoinHandle,
};

/// `WQ_UNBOUND`.
pub const wq_flags_WQ_UNBOUND: c_uint = 2;

/// A work item.
type Work = Box<dyn FnOnce() + Send>;

/// `struct workqueue_struct`.
pub struct workqueue_struct {
    work: Mutex<Sender<Work>>,
    thread: JoinHandle<()>,
}

impl workqueue_struct {
    /// `queue_work()`. Any context.
    pub(crate) fn queue(&self, work: Work) {
        let sender = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        // Fails only where work before has panicked, which is a splat.
        let _ = sender.send(work);
    }
}

/// `alloc_workqueue_noprof()`, for a queue whose name is all of its format. Sleeps.
///
/// # Safety
///
/// `format` is `%s`, and `name` is valid.
pub unsafe fn alloc_workqueue_noprof(
    format: *const c_char,
    _flags: c_uint,
    _max_active: c_int,
    name: *const c_char,
) -> *mut workqueue_struct {
    // SAFETY: The caller's promise.
    let name = unsafe { Named::new(format, name.cast::<c_void>()) };
    let (work, items) = channel::<Work>();
    let spawned = std::thread::Builder::new().name(name.0).spawn(move || {
        for item in items {
            item();
            context::must_be_clean("work item");
        }
    });
    match spawned {
        Ok(thread) => Box::into_raw(Box::new(workqueue_struct {
            work: Mutex::new(work),
            thread,
        })),
        Err(_) => core::ptr::null_mut(),
    }
}

/// `__flush_workqueue()`: waits for the work that is there. Sleeps.
///
/// # Safety
///
/// The queue was allocated, and is not destroyed meanwhile.
#[track_caller]
pub unsafe fn __flush_workqueue(queue: *mut workqueue_struct) {
    context::might_sleep();
    let (done, wait) = channel();
    // SAFETY: The caller's promise.
    unsafe { (*queue).queue(Box::new(move || drop(done))) };
    let result: Result<(), _> = wait.recv();
    debug_assert!(
        result.is_err(),
        "the work sends nothing, and drops the sender"
    );
}

/// `destroy_workqueue()`: does what is left first. Sleeps.
///
/// # Safety
///
/// The queue was allocated, and nothing uses it any more.
#[track_caller]
pub unsafe fn destroy_workqueue(queue: *mut workqueue_struct) {
    context::might_sleep();
    // SAFETY: The caller's promise.
    let queue = unsafe { Box::from_raw(queue) };
    drop(queue.work);
    if queue.thread.join().is_err() {
        context::splat("a work item has panicked");
    }
}

impl Named {
    /// Reads the argument of `%s` or `%pA`.
    ///
    /// # Safety
    ///
    /// `format` is one of these, and `argument` points to what it takes.
    pub(super) unsafe fn new(format: *const c_char, argument: *const c_void) -> Self {
        // SAFETY: The caller's promise.
        unsafe {
            match CStr::from_ptr(format).to_bytes() {
                b"%s" => Self(
                    CStr::from_ptr(argument.cast())
                        .to_string_lossy()
                        .into_owned(),
                ),
                b"%pA" => Self((*argument.cast::<core::fmt::Arguments<'_>>()).to_string()),
                other => unreachable!("unknown format {other:?}"),
            }
        }
    }
}
