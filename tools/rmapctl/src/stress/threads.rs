// SPDX-License-Identifier: GPL-2.0

//! Threads of a process in which memory may run out: their creation alone can fail, and that is an error.

use crate::pthread::{Attributes, Thread};
use std::ffi::c_void;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Bytes of a stack: a few calls, and a signal handler with the registers of a large processor.
const STACK: usize = 128 << 10;

/// What a thread does; its number.
struct Task<'a> {
    work: &'a (dyn Fn(u64) + Sync),
    number: u64,
}

extern "C" fn enter(task: *mut c_void) -> *mut c_void {
    // SAFETY: `run` passes a task that lives until this thread has ended.
    let task = unsafe { &*task.cast::<Task<'_>>() };
    (task.work)(task.number);
    null_mut()
}

/// Runs `work` in `count` threads, which get their number, and waits for their end. Adds those that
/// cannot be made to `starved`.
pub(super) fn run(count: u64, work: &(dyn Fn(u64) + Sync), starved: &AtomicU64) {
    run_with(STACK, count, work, starved);
}

fn run_with(stack: usize, count: u64, work: &(dyn Fn(u64) + Sync), starved: &AtomicU64) {
    let Ok(attributes) = Attributes::new(stack) else {
        starved.fetch_add(count, Relaxed);
        return;
    };
    let tasks: Vec<_> = (0..count).map(|number| Task { work, number }).collect();
    let start = |task: &Task<'_>| {
        let task = (&raw const *task).cast_mut().cast();
        // SAFETY: `task` outlives the thread, which is waited for below, and is not changed.
        unsafe { Thread::start(&attributes, enter, task) }
    };
    let threads: Vec<_> = tasks.iter().filter_map(|task| start(task).ok()).collect();
    // The process may be killed before its threads end.
    starved.fetch_add(count - threads.len() as u64, Relaxed);
    for thread in threads {
        thread.join();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering::SeqCst;

    #[test]
    fn each_thread_has_a_number_and_is_waited_for() {
        let (seen, starved) = (AtomicU64::new(0), AtomicU64::new(0));
        let work = |number: u64| {
            std::thread::sleep(std::time::Duration::from_millis(5));
            seen.fetch_or(1u64 << number, SeqCst);
        };
        run(5, &work, &starved);
        assert_eq!((starved.load(SeqCst), seen.load(SeqCst)), (0, 0b11111));
    }

    #[test]
    fn a_thread_without_memory_is_counted() {
        let never = |_| panic!("there is no stack");
        let starved = AtomicU64::new(0);
        run_with(1 << 60, 3, &never, &starved);
        assert_eq!(starved.load(SeqCst), 3);
        // Less than the smallest stack.
        run_with(1, 2, &never, &starved);
        assert_eq!(starved.load(SeqCst), 5);
    }
}
