// SPDX-License-Identifier: GPL-2.0

//! `linux/rwsem.h`: a semaphore for one writer or many readers.
//!
//! As in the kernel, a reader waits behind a writer that waits, and a trylock fails there. The thread
//! that takes a hold must release it.

use super::lock_class_key;
use crate::mock::{
    context::{self, splat},
    schedule,
    words::AtomicI64,
};
use core::ffi::{c_char, c_int, c_long};
use std::sync::atomic::{AtomicUsize, Ordering::*};

/// What an initialised semaphore says of itself.
const INITIALISED: usize = 0x5e7a_f03e;

/// Held by a writer.
const WRITER: i64 = -1;

/// How many read trylocks have failed beside readers alone, because a writer waits.
static BEHIND_A_WRITER: AtomicUsize = AtomicUsize::new(0);

/// `atomic_long_t`.
#[repr(C)]
pub struct atomic_long_t {
    /// The number.
    pub counter: c_long,
}

/// `struct rw_semaphore`.
#[repr(C)]
pub struct rw_semaphore {
    /// 0 if no thread holds it; the number of readers; or -1.
    pub count: atomic_long_t,
    /// How many threads wait for it to write.
    writers: AtomicUsize,
    /// How many threads wait for it.
    waiters: AtomicUsize,
    magic: AtomicUsize,
}

/// `__init_rwsem()`.
///
/// # Safety
///
/// `sem` is valid for writes.
pub unsafe fn __init_rwsem(
    sem: *mut rw_semaphore,
    _name: *const c_char,
    _key: *mut lock_class_key,
) {
    let new = rw_semaphore {
        count: atomic_long_t { counter: 0 },
        writers: AtomicUsize::new(0),
        waiters: AtomicUsize::new(0),
        magic: AtomicUsize::new(INITIALISED),
    };
    // SAFETY: The caller's promise.
    unsafe { sem.write(new) };
}

/// The words of a semaphore.
struct Words<'a> {
    count: &'a AtomicI64,
    writers: &'a AtomicUsize,
    waiters: &'a AtomicUsize,
}

/// Returns the words of a semaphore, if it is one.
///
/// # Safety
///
/// `sem` is valid for reads and writes for `'a`.
#[track_caller]
unsafe fn valid<'a>(sem: *mut rw_semaphore) -> Words<'a> {
    schedule::point(schedule::Grain::Call);
    // SAFETY: The caller's promise; all words are changed by atomic operations.
    let (words, magic) = unsafe {
        let words = Words {
            count: AtomicI64::from_ptr(&raw mut (*sem).count.counter),
            writers: &(*sem).writers,
            waiters: &(*sem).waiters,
        };
        (words, &(*sem).magic)
    };
    if magic.load(Relaxed) != INITIALISED {
        splat("rwsem bad magic");
    }
    words
}

impl Words<'_> {
    fn try_read(&self) -> bool {
        let more = |count: i64| (count >= 0).then_some(count + 1);
        self.count.fetch_update(Acquire, Relaxed, more).is_ok()
    }

    fn try_write(&self) -> bool {
        self.count
            .compare_exchange(0, WRITER, Acquire, Relaxed)
            .is_ok()
    }

    /// As `RWSEM_READ_FAILED_MASK` has it: no thread writes, or waits to write.
    fn trylock_read(&self) -> bool {
        if self.writers.load(SeqCst) == 0 {
            return self.try_read();
        }
        if self.count.load(SeqCst) > 0 {
            BEHIND_A_WRITER.fetch_add(1, SeqCst);
        }
        false
    }

    /// No thread holds it, or waits: `RWSEM_UNLOCKED_VALUE` has no flags.
    fn trylock_write(&self) -> bool {
        self.waiters.load(SeqCst) == 0 && self.try_write()
    }

    /// Waits until `taken`.
    fn wait(&self, taken: impl FnMut() -> bool) {
        self.waiters.fetch_add(1, SeqCst);
        schedule::wait_until(self.key(), taken);
        self.waiters.fetch_sub(1, SeqCst);
    }

    fn wake(&self) {
        schedule::wake(self.key());
    }

    /// What threads wait with: the memory may be something else by the time they are woken.
    fn key(&self) -> usize {
        core::ptr::from_ref(self.count).addr()
    }
}

/// Complains if the thread holds the semaphore already.
#[track_caller]
fn must_not_hold(sem: *mut rw_semaphore) {
    if context::holds(sem.addr()) {
        splat("possible recursive locking detected: rwsem");
    }
}

/// `down_read()`. Sleeps.
///
/// # Safety
///
/// The semaphore is initialised.
#[track_caller]
pub unsafe fn down_read(sem: *mut rw_semaphore) {
    context::might_sleep();
    must_not_hold(sem);
    // SAFETY: The caller's promise.
    let words = unsafe { valid(sem) };
    if words.writers.load(Relaxed) > 0 || !words.try_read() {
        words.wait(|| words.writers.load(SeqCst) == 0 && words.try_read());
    }
    context::acquired(sem.addr(), "rwsem", false);
}

/// `down_read_trylock()`.
///
/// # Safety
///
/// The semaphore is initialised.
#[track_caller]
pub unsafe fn down_read_trylock(sem: *mut rw_semaphore) -> c_int {
    // SAFETY: The caller's promise.
    let taken = unsafe { valid(sem) }.trylock_read();
    if taken {
        context::acquired(sem.addr(), "rwsem", false);
    }
    taken.into()
}

/// `down_write()`. Sleeps.
///
/// # Safety
///
/// The semaphore is initialised.
#[track_caller]
pub unsafe fn down_write(sem: *mut rw_semaphore) {
    context::might_sleep();
    must_not_hold(sem);
    // SAFETY: The caller's promise.
    let words = unsafe { valid(sem) };
    if !words.try_write() {
        words.writers.fetch_add(1, SeqCst);
        words.wait(|| words.try_write());
        words.writers.fetch_sub(1, SeqCst);
    }
    context::acquired(sem.addr(), context::FOR_WRITING, false);
}

/// `down_write_killable()`: no thread is killed here. Sleeps.
///
/// # Safety
///
/// As [`down_write`].
pub unsafe fn down_write_killable(sem: *mut rw_semaphore) -> c_int {
    // SAFETY: The caller's promise.
    unsafe { down_write(sem) };
    0
}

/// `down_write_trylock()`.
///
/// # Safety
///
/// The semaphore is initialised.
#[track_caller]
pub unsafe fn down_write_trylock(sem: *mut rw_semaphore) -> c_int {
    // SAFETY: The caller's promise.
    let taken = unsafe { valid(sem) }.trylock_write();
    if taken {
        context::acquired(sem.addr(), context::FOR_WRITING, false);
    }
    taken.into()
}

/// `up_read()`.
///
/// # Safety
///
/// The semaphore is initialised.
#[track_caller]
pub unsafe fn up_read(sem: *mut rw_semaphore) {
    // SAFETY: The caller's promise.
    let words = unsafe { valid(sem) };
    if context::released(sem.addr(), "rwsem", false) {
        words.count.fetch_sub(1, SeqCst);
        words.wake();
    }
}

/// `up_write()`.
///
/// # Safety
///
/// The semaphore is initialised.
#[track_caller]
pub unsafe fn up_write(sem: *mut rw_semaphore) {
    // SAFETY: The caller's promise.
    let words = unsafe { valid(sem) };
    if context::released(sem.addr(), context::FOR_WRITING, false) {
        words.count.store(0, SeqCst);
        words.wake();
    }
}

/// What `up_read()` does besides, for a semaphore whose memory is something else by now.
#[track_caller]
pub fn rwsem_abandon(sem: *mut rw_semaphore) {
    context::released(sem.addr(), "rwsem", false);
}

/// Returns how many read trylocks, of all semaphores, have failed beside readers alone, because a
/// writer waits.
pub fn rwsem_trylocks_behind_a_writer() -> usize {
    BEHIND_A_WRITER.load(SeqCst)
}

/// Returns how many threads wait for the semaphore, for tests.
///
/// # Safety
///
/// The semaphore is initialised.
pub unsafe fn rwsem_waiters(sem: *mut rw_semaphore) -> usize {
    // SAFETY: The caller's promise.
    unsafe { valid(sem) }.waiters.load(SeqCst)
}
