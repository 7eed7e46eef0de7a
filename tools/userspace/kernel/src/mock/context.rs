// SPDX-License-Identifier: GPL-2.0

//! What the running thread may do, and what it holds: `CONFIG_DEBUG_ATOMIC_SLEEP`,
//! `CONFIG_PREEMPT_RCU` and the part of lockdep that knows which locks a thread holds.
//!
//! Where the kernel would print a splat, [`splat`] panics. There is no check of the order of locks,
//! nor are there interrupts.

use super::schedule::thread_local;
use std::{
    cell::{Cell, RefCell},
    panic::Location,
    sync::{Mutex, PoisonError},
};

/// The kind of a semaphore that is held for writing.
pub(crate) const FOR_WRITING: &str = "rwsem for writing";

/// A lock that a thread holds.
struct Held {
    lock: usize,
    kind: &'static str,
    place: &'static Location<'static>,
}

thread_local! {
    /// Depth of RCU read sections.
    static RCU: Cell<u32> = const { Cell::new(0) };
    /// Number of spinlocks held: preemption is off.
    static SPINS: Cell<u32> = const { Cell::new(0) };
    static HELD: RefCell<Vec<Held>> = const { RefCell::new(Vec::new()) };
}

/// The first complaint that no test has looked at.
static SPLAT: Mutex<Option<String>> = Mutex::new(None);

/// Complains as the kernel does: the thread panics, unless it does so already. [`take_splat`]
/// returns the first complaint of all threads.
///
/// # Panics
///
/// Always, but for a thread that panics already.
#[track_caller]
pub fn splat(text: &str) {
    let text = format!("{text}, at {}", Location::caller());
    SPLAT
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .get_or_insert_with(|| text.clone());
    if std::thread::panicking() {
        eprintln!("splat: {text}");
    } else {
        panic!("splat: {text}");
    }
}

/// Returns the first complaint of any thread since the last call.
pub fn take_splat() -> Option<String> {
    SPLAT.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// Returns whether there is one.
pub fn has_splat() -> bool {
    SPLAT
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .is_some()
}

/// Complains if the thread must not sleep here.
///
/// # Panics
///
/// As [`splat`].
#[track_caller]
pub fn might_sleep() {
    let (rcu, spins) = (RCU.with(Cell::get), SPINS.with(Cell::get));
    if rcu > 0 {
        splat("sleeping function called in an RCU read section");
    } else if spins > 0 {
        splat("sleeping function called with a spinlock held");
    }
}

/// Returns how many RCU read sections the thread is in, `rcu_preempt_depth()`.
pub fn rcu_depth() -> u32 {
    RCU.with(Cell::get)
}

/// Returns whether the thread could be preempted, `preemptible()`.
pub fn preemptible() -> bool {
    SPINS.with(Cell::get) == 0
}

/// Enters an RCU read section; returns whether it is the outermost one.
pub(super) fn enter_rcu() -> bool {
    let depth = RCU.with(Cell::get);
    RCU.with(|rcu| rcu.set(depth + 1));
    depth == 0
}

/// Leaves one; returns whether it was the outermost one.
#[track_caller]
pub(super) fn leave_rcu() -> bool {
    match RCU.with(Cell::get) {
        0 => {
            splat("rcu_read_unlock() outside of an RCU read section");
            false
        }
        depth => {
            RCU.with(|rcu| rcu.set(depth - 1));
            depth == 1
        }
    }
}

/// Notes that the thread has taken the lock at `lock`.
#[track_caller]
pub(crate) fn acquired(lock: usize, kind: &'static str, spins: bool) {
    let place = Location::caller();
    HELD.with(|held| held.borrow_mut().push(Held { lock, kind, place }));
    SPINS.with(|held| held.set(held.get() + u32::from(spins)));
}

/// Notes that the thread releases a lock; complains if it does not hold it.
///
/// Returns whether it does.
#[track_caller]
pub(crate) fn released(lock: usize, kind: &'static str, spins: bool) -> bool {
    let found = HELD.with(|held| {
        let mut held = held.borrow_mut();
        let found = held
            .iter()
            .rposition(|held| held.lock == lock && held.kind == kind);
        found.map(|at| held.remove(at))
    });
    if found.is_none() {
        splat(&format!(
            "{kind} is released by a thread that does not hold it"
        ));
        return false;
    }
    SPINS.with(|held| held.set(held.get() - u32::from(spins)));
    true
}

/// Returns whether the thread holds the lock at `lock`, `lockdep_is_held()`.
pub fn holds(lock: usize) -> bool {
    HELD.with(|held| held.borrow().iter().any(|held| held.lock == lock))
}

/// Returns whether the thread holds the semaphore at `lock` for writing, `lock_is_held_type()`.
pub fn holds_for_writing(lock: usize) -> bool {
    let writes = |held: &Held| held.lock == lock && held.kind == FOR_WRITING;
    HELD.with(|held| held.borrow().iter().any(writes))
}

/// Returns what the thread holds that the end of a test must not leave, and forgets it.
pub(crate) fn left_behind() -> Option<String> {
    let held = HELD.with(RefCell::take);
    let (rcu, spins) = (RCU.with(Cell::take), SPINS.with(Cell::take));
    if let Some(Held { kind, place, .. }) = held.first() {
        return Some(format!(
            "{} held locks, the first a {kind}, of {place}",
            held.len()
        ));
    }
    (rcu > 0 || spins > 0).then(|| format!("{rcu} RCU read sections, {spins} spinlocks"))
}

/// Complains if a thread that ends, or goes on with other work, holds something.
#[track_caller]
pub(crate) fn must_be_clean(what: &str) {
    if let Some(left) = left_behind() {
        splat(&format!("{what} leaves behind: {left}"));
    }
}
