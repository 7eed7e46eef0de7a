// SPDX-License-Identifier: GPL-2.0

//! Tests of kernel threads, work queues, allocations, and of `kunit::run`.

mod common;

use common::splat_of;
use core::ffi::c_void;
use kernel::{
    alloc::AllocError,
    bindings::{
        __flush_workqueue, NUMA_NO_NODE, alloc_workqueue_noprof, destroy_workqueue,
        kthread_create_on_node, kthread_stop, rcu_read_lock, task_struct, wake_up_process,
        wq_flags_WQ_UNBOUND,
    },
    kunit,
    mock::alloc,
    prelude::*,
    sync::{Arc, rcu},
    workqueue::Queue,
};
use std::{
    panic::catch_unwind,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

/// A splat of one test fails the one that runs.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn create(function: unsafe extern "C" fn(*mut c_void) -> i32) -> *mut task_struct {
    // SAFETY: The format takes the name; the functions use no data.
    unsafe {
        kthread_create_on_node(
            Some(function),
            core::ptr::null_mut(),
            NUMA_NO_NODE,
            c"%pA".as_ptr(),
            core::ptr::from_ref(&format_args!("test")).cast(),
        )
    }
}

static RUNS: AtomicUsize = AtomicUsize::new(0);

unsafe extern "C" fn runs(_data: *mut c_void) -> i32 {
    RUNS.fetch_add(1, SeqCst);
    0
}

unsafe extern "C" fn keeps_rcu(_data: *mut c_void) -> i32 {
    // SAFETY: Misuse, which is noticed.
    unsafe { rcu_read_lock() };
    0
}

/// A thread that ends in an RCU read section is noticed when it is stopped; one that was not
/// started does not run.
#[test]
fn threads_are_looked_after() {
    let _turn = turn();
    // SAFETY: Each thread is stopped once.
    unsafe {
        let thread = create(runs);
        wake_up_process(thread);
        kthread_stop(thread);
        let never = create(runs);
        kthread_stop(never);
        assert_eq!(RUNS.load(SeqCst), 1);
        let text = splat_of(|| {
            let thread = create(keeps_rcu);
            wake_up_process(thread);
            kthread_stop(thread);
        });
        assert!(text.contains("a kernel thread has panicked"), "{text}");
    }
}

/// Work is done in order, and waited for.
#[test]
fn work_is_waited_for() {
    static DONE: AtomicUsize = AtomicUsize::new(0);
    // SAFETY: The queue is destroyed once, in the end.
    unsafe {
        let queue =
            alloc_workqueue_noprof(c"%s".as_ptr(), wq_flags_WQ_UNBOUND, 0, c"test".as_ptr());
        let spawn = |work: fn()| Queue::from_raw(queue).try_spawn(GFP_NOWAIT, work);
        spawn(|| std::thread::sleep(std::time::Duration::from_millis(50))).expect("memory");
        spawn(|| DONE.store(1, SeqCst)).expect("memory");
        __flush_workqueue(queue);
        assert_eq!(DONE.load(SeqCst), 1);
        spawn(|| DONE.store(2, SeqCst)).expect("memory");
        destroy_workqueue(queue);
        assert_eq!(DONE.load(SeqCst), 2);
    }
}

/// Only the chosen allocation fails, of any kind.
#[test]
fn the_nth_allocation_fails() {
    let ((first, second, third), failed) = alloc::nth(2, || {
        (
            KBox::new(1, GFP_KERNEL).is_ok(),
            KVec::<u8>::with_capacity(4, GFP_KERNEL).is_ok(),
            Arc::new(1, GFP_KERNEL).is_ok(),
        )
    });
    assert!(failed && first && !second && third);
    let (_, failed) = alloc::nth(2, || KBox::new(1, GFP_KERNEL));
    assert!(!failed);

    // A vector with room does not allocate, one without does.
    let mut full = KVec::<u8>::with_capacity(1, GFP_KERNEL).expect("memory");
    let ((kept, refused), _) = alloc::nth(1, || (full.push(1, GFP_KERNEL), full.push_beyond()));
    assert_eq!((kept, refused), (Ok(()), Err(AllocError)));
}

/// Fills a vector.
trait PushBeyond {
    /// Pushes until there must have been an allocation.
    fn push_beyond(&mut self) -> Result<(), AllocError>;
}

impl PushBeyond for KVec<u8> {
    fn push_beyond(&mut self) -> Result<(), AllocError> {
        for _ in 0..=self.capacity() {
            self.push(2, GFP_KERNEL)?;
        }
        Ok(())
    }
}

fn load() -> Result<()> {
    Ok(())
}

/// Returns whether a test passes.
fn passes(test: fn() -> Result<()>) -> bool {
    catch_unwind(|| kunit::run("suite", "test", load, test)).is_ok()
}

/// A test fails by an error, by a panic, by what it leaves behind, and if the module cannot be
/// loaded.
#[test]
fn a_test_can_fail() {
    let _turn = turn();
    assert!(passes(|| Ok(())));
    assert!(!passes(|| Err(EINVAL)));
    assert!(!passes(|| panic!("on purpose")));
    assert!(!passes(|| {
        core::mem::forget(rcu::read_lock());
        Ok(())
    }));
    assert!(
        passes(|| Ok(())),
        "what one test leaves behind is not the next one's"
    );
    assert!(!passes(|| {
        let _ = splat_of(|| kernel::mock::context::splat("in another thread"));
        Ok(())
    }));
    assert!(catch_unwind(|| kunit::run("suite", "test", || Err(ENOMEM), load)).is_err());
}
