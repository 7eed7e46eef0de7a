// SPDX-License-Identifier: GPL-2.0

//! `linux/kthread.h`, and what there is of `struct task_struct`.

use super::Named;
use crate::{
    cpu,
    error::code::ENOMEM,
    mock::{
        context,
        schedule::{self, thread_local},
    },
};
use core::{
    cell::OnceCell,
    ffi::{c_char, c_int, c_void},
    ptr::NonNull,
};
use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering::*, fence},
};

/// The function of a thread.
type Function = unsafe extern "C" fn(*mut c_void) -> c_int;

/// `struct task_struct`.
pub struct task_struct {
    references: AtomicUsize,
    name: String,
    should_stop: AtomicBool,
    /// The CPU that the thread is bound to, or -1.
    cpu: AtomicI64,
    /// What a thread is to run that was not started.
    job: Mutex<Option<Job>>,
    thread: Mutex<Option<schedule::thread::JoinHandle<()>>>,
}

struct Job {
    function: Function,
    data: *mut c_void,
}

// SAFETY: The caller of `kthread_create_on_node()` has promised that the thread may have it.
unsafe impl Send for Job {}

impl task_struct {
    fn new(name: String, job: Option<Job>) -> NonNull<Self> {
        let task = Box::new(Self {
            references: AtomicUsize::new(1),
            name,
            should_stop: AtomicBool::new(false),
            cpu: AtomicI64::new(-1),
            job: Mutex::new(job),
            thread: Mutex::new(None),
        });
        NonNull::from(Box::leak(task))
    }

    /// `get_task_struct()`.
    pub(crate) fn get(&self) {
        self.references.fetch_add(1, Relaxed);
    }

    /// `put_task_struct()`.
    ///
    /// # Safety
    ///
    /// The caller owns a reference, and gives it up.
    pub(crate) unsafe fn put(this: NonNull<Self>) {
        // SAFETY: The caller's promise.
        if unsafe { this.as_ref() }.references.fetch_sub(1, Release) == 1 {
            fence(Acquire);
            // SAFETY: That was the last one; allocated as a box.
            drop(unsafe { Box::from_raw(this.as_ptr()) });
        }
    }
}

/// A reference on the task of a thread, dropped with the thread.
struct Current(NonNull<task_struct>);

impl Drop for Current {
    fn drop(&mut self) {
        // SAFETY: This value owns the reference.
        unsafe { task_struct::put(self.0) };
    }
}

thread_local! {
    static CURRENT: OnceCell<Current> = const { OnceCell::new() };
}

/// `current`: the task of this thread. A thread that `std` has made gets one here.
pub(crate) fn current() -> *mut task_struct {
    CURRENT.with(|current| {
        let new = || Current(task_struct::new(String::from("std"), None));
        current.get_or_init(new).0.as_ptr()
    })
}

/// `kthread_create_on_node()`, for a name that is all of its format. Sleeps.
///
/// # Safety
///
/// `format` is `%pA`, `name` points to `fmt::Arguments`, and the thread may run `function` with
/// `data`.
#[track_caller]
pub unsafe fn kthread_create_on_node(
    function: Option<Function>,
    data: *mut c_void,
    _node: c_int,
    format: *const c_char,
    name: *const c_void,
) -> *mut task_struct {
    context::might_sleep();
    // SAFETY: The caller's promise.
    let name = unsafe { Named::new(format, name) };
    let Some(function) = function else {
        return ENOMEM.to_ptr();
    };
    task_struct::new(name.0, Some(Job { function, data })).as_ptr()
}

/// `kthread_bind()`.
///
/// # Safety
///
/// The thread was created, and not started.
pub unsafe fn kthread_bind(task: *mut task_struct, cpu: u32) {
    // SAFETY: The caller's promise.
    unsafe { (*task).cpu.store(cpu.into(), Relaxed) };
}

/// `wake_up_process()`: starts a thread.
///
/// # Safety
///
/// The thread was created, and not stopped.
pub unsafe fn wake_up_process(task: *mut task_struct) -> c_int {
    // SAFETY: The caller's promise.
    let this = unsafe { &*task };
    let Some(job) = this
        .job
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take()
    else {
        return 0;
    };
    // The thread's own reference.
    this.get();
    let own = Owned(NonNull::from(this));
    let spawned = schedule::thread::Builder::new()
        .name(this.name.clone())
        .spawn(move || {
            run(own, job);
        });
    let thread = spawned.unwrap_or_else(|error| panic!("no thread: {error}"));
    *this.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
    1
}

/// A task that goes to another thread.
struct Owned(NonNull<task_struct>);

// SAFETY: A task may be used by any thread.
unsafe impl Send for Owned {}

/// What the thread does.
fn run(Owned(task): Owned, job: Job) {
    CURRENT.with(|current| {
        current
            .set(Current(task))
            .unwrap_or_else(|_| unreachable!())
    });
    // SAFETY: `CURRENT` has a reference.
    let bound = unsafe { task.as_ref() }.cpu.load(Relaxed);
    // The tasks of shuttle share one thread, which is not to be bound.
    if let (Ok(cpu), false) = (u32::try_from(bound), cfg!(feature = "shuttle")) {
        cpu::bind(cpu);
    }
    let Job { function, data } = job;
    // SAFETY: As the creator has promised.
    unsafe { function(data) };
    context::must_be_clean("kthread");
}

/// `kthread_should_stop()`.
///
/// # Safety
///
/// None; it is unsafe in the kernel.
pub unsafe fn kthread_should_stop() -> bool {
    // SAFETY: The thread has a reference.
    unsafe { (*current()).should_stop.load(Acquire) }
}

/// `set_current_state(TASK_INTERRUPTIBLE)`: does nothing, because nothing wakes a thread.
///
/// # Safety
///
/// None; it is unsafe in the kernel.
pub unsafe fn shadow_rmap_set_interruptible() {}

/// `__set_current_state(TASK_RUNNING)`: does nothing.
///
/// # Safety
///
/// None; it is unsafe in the kernel.
pub unsafe fn shadow_rmap_set_running() {}

/// `schedule_timeout()`: sleeps for so many milliseconds. Nothing wakes the thread.
///
/// # Safety
///
/// None; it is unsafe in the kernel.
pub unsafe fn schedule_timeout(ticks: isize) -> isize {
    schedule::pause(std::time::Duration::from_millis(ticks.unsigned_abs() as u64));
    0
}

/// `kthread_stop()`: waits until the thread has ended; one that was not started never runs. Sleeps.
/// A thread that has panicked is a splat.
///
/// # Safety
///
/// The caller has a reference, and is not the thread.
#[track_caller]
pub unsafe fn kthread_stop(task: *mut task_struct) -> c_int {
    context::might_sleep();
    // SAFETY: The caller's promise.
    let this = unsafe { &*task };
    this.should_stop.store(true, Release);
    this.job
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    let thread = this
        .thread
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    let ended = thread.is_none_or(|thread| thread.join().is_ok());
    // That of `kthread_create_on_node()`.
    // SAFETY: A thread is stopped once.
    unsafe { task_struct::put(NonNull::from(this)) };
    if !ended {
        context::splat("a kernel thread has panicked");
    }
    0
}
