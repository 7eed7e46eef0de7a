// SPDX-License-Identifier: GPL-2.0

//! `linux/workqueue.h`: one thread that does the work of a queue, in order.

use super::Named;
use crate::mock::{context, schedule};
use core::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// `WQ_UNBOUND`.
pub const wq_flags_WQ_UNBOUND: c_uint = 2;

/// A work item.
type Work = Box<dyn FnOnce() + Send>;

/// What is to be done.
#[derive(Default)]
struct Items {
    waiting: VecDeque<Work>,
    /// Items that were ever queued, and those that are done.
    queued: usize,
    done: usize,
    /// No more will come.
    closed: bool,
    /// The thread does no more work: none will come, or an item has panicked.
    ended: bool,
}

/// Says that the thread has ended, when it is dropped.
struct Ended<'a>(&'a Shared);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.change(|items| items.ended = true);
    }
}

/// The items, shared by the queue and its thread.
#[derive(Default)]
struct Shared(Mutex<Items>);

impl Shared {
    fn items(&self) -> MutexGuard<'_, Items> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What threads wait with for a change, see [`schedule::wait_until`].
    fn key(&self) -> usize {
        core::ptr::from_ref(self).addr()
    }

    /// Changes the items, and lets others see it.
    fn change(&self, change: impl FnOnce(&mut Items)) {
        change(&mut self.items());
        schedule::wake(self.key());
    }

    /// Does the work as it comes, until no more will come.
    fn work(&self) {
        let _ended = Ended(self);
        loop {
            schedule::wait_until(self.key(), || {
                let items = self.items();
                items.closed || !items.waiting.is_empty()
            });
            let Some(item) = self.items().waiting.pop_front() else {
                return;
            };
            item();
            context::must_be_clean("work item");
            self.change(|items| items.done += 1);
        }
    }
}

/// `struct workqueue_struct`.
pub struct workqueue_struct {
    shared: Arc<Shared>,
    thread: schedule::thread::JoinHandle<()>,
}

impl workqueue_struct {
    /// `queue_work()`. Any context.
    pub(crate) fn queue(&self, work: Work) {
        schedule::point(schedule::Grain::Call);
        self.shared.change(|items| {
            items.waiting.push_back(work);
            items.queued += 1;
        });
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
    let shared = Arc::new(Shared::default());
    let theirs = shared.clone();
    let thread = schedule::thread::Builder::new().name(name.0);
    match thread.spawn(move || theirs.work()) {
        Ok(thread) => Box::into_raw(Box::new(workqueue_struct { shared, thread })),
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
    // SAFETY: The caller's promise.
    let shared = unsafe { &(*queue).shared };
    let until = shared.items().queued;
    // A thread that has panicked is a splat when the queue is destroyed.
    schedule::wait_until(shared.key(), || {
        let items = shared.items();
        items.done >= until || items.ended
    });
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
    queue.shared.change(|items| items.closed = true);
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
