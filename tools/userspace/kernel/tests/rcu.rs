// SPDX-License-Identifier: GPL-2.0

//! Tests of the mock of RCU.

mod common;

use common::{Waiting, splat_of};
use kernel::{
    mock::rcu::{self, GracePeriod},
    sync::rcu::{Guard, read_lock},
};
use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread::sleep,
    time::Duration,
};

/// A grace period waits for the readers of all tests: one at a time.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn reader() -> Waiting<()> {
    Waiting::after(read_lock, drop::<Guard>)
}

/// A grace period waits for a reader that was there before, and not a moment longer.
#[test]
fn a_grace_period_waits_for_an_earlier_reader() {
    let _turn = turn();
    let reader = reader();
    let over = Arc::new(AtomicBool::new(false));
    let theirs = over.clone();
    let waiter = std::thread::spawn(move || {
        rcu::synchronize();
        theirs.store(true, SeqCst);
    });
    sleep(Duration::from_millis(100));
    let early = over.load(SeqCst);
    reader.finish();
    waiter.join().expect("it ends");

    assert!(!early && over.load(SeqCst));
}

/// It does not wait for a reader that comes later, or leaves and comes again.
#[test]
fn a_grace_period_does_not_wait_for_a_later_reader() {
    let _turn = turn();
    let mut period = GracePeriod::start();
    let later = reader();
    assert!(period.is_over());
    later.finish();

    let again = Waiting::after(
        || {
            let guard = read_lock();
            let period = GracePeriod::start();
            drop(guard);
            (read_lock(), period)
        },
        |(guard, mut period)| {
            let over = period.is_over();
            drop(guard);
            over
        },
    );
    assert!(again.finish());
}

/// A section ends with the outermost unlock.
#[test]
fn sections_nest() {
    let _turn = turn();
    let outer = read_lock();
    let inner = read_lock();
    let mut period = GracePeriod::start();
    drop(inner);
    let within = period.is_over();
    drop(outer);

    assert!(!within && period.is_over());
}

/// Work is done after its grace period, and a barrier waits for it.
#[test]
fn work_is_done_after_a_grace_period() {
    let _turn = turn();
    let reader = reader();
    let done = Arc::new(AtomicBool::new(false));
    let theirs = done.clone();
    rcu::call(move || theirs.store(true, SeqCst));
    rcu::poll();
    let early = done.load(SeqCst);
    reader.finish();
    rcu::barrier();

    assert!(!early && done.load(SeqCst));
}

/// Misuse is noticed.
#[test]
fn misuse() {
    let _turn = turn();
    // SAFETY: The misuse has no other consequence.
    let text = splat_of(|| unsafe { kernel::bindings::rcu_read_unlock() });
    assert!(text.contains("outside of an RCU read section"), "{text}");
    let text = splat_of(|| {
        let _guard = read_lock();
        rcu::synchronize();
    });
    assert!(
        text.contains("sleeping function called in an RCU read section"),
        "{text}"
    );
}
