// SPDX-License-Identifier: GPL-2.0

//! The threads of a worker: each makes one call, together with the next request.

use super::memory;
use super::protocol::{Answer, Call};
use crate::pthread::{Attributes, Thread};
use anyhow::{Context, Result};
use std::collections::HashMap;
use std::ffi::c_void;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Bytes of a stack.
const STACK: usize = 1 << 20;

/// The threads that have not been waited for.
#[derive(Default)]
pub(super) struct Threads {
    threads: HashMap<String, Thread>,
    /// Opens for the threads that wait for the next request.
    gate: Arc<AtomicBool>,
}

/// What a thread does.
struct Task {
    device: RawFd,
    call: Call,
    is_ready: Arc<AtomicBool>,
    gate: Arc<AtomicBool>,
}

/// Executes a boxed [`Task`], and returns a boxed [`Answer`].
extern "C" fn enter(task: *mut c_void) -> *mut c_void {
    // SAFETY: `start` gives the box away.
    let task = unsafe { Box::from_raw(task.cast::<Task>()) };
    task.is_ready.store(true, Ordering::SeqCst);
    wait_for(&task.gate);
    let answer = Answer::from_result(memory::call(task.device, &task.call));
    Box::into_raw(Box::new(answer)).cast()
}

impl Threads {
    /// Starts a thread, and returns when it waits for [`Threads::release`].
    pub(super) fn start(&mut self, name: String, device: RawFd, call: Call) -> Result<Answer> {
        let is_ready = Arc::new(AtomicBool::new(false));
        let attributes = Attributes::new(STACK).context("a thread")?;
        let task = Box::into_raw(Box::new(Task {
            device,
            call,
            is_ready: is_ready.clone(),
            gate: self.gate.clone(),
        }));
        // SAFETY: The thread has the box for itself.
        let thread = unsafe { Thread::start(&attributes, enter, task.cast()) };
        let thread = thread.inspect_err(|_| {
            // SAFETY: No thread has it.
            drop(unsafe { Box::from_raw(task) });
        });
        self.threads.insert(name, thread.context("a thread")?);
        wait_for(&is_ready);
        Ok(Answer::Done)
    }

    /// Lets all threads make their calls.
    pub(super) fn release(&mut self) {
        self.gate.store(true, Ordering::SeqCst);
        self.gate = Arc::default();
    }

    /// Waits for a thread, and returns its answer.
    pub(super) fn wait(&mut self, name: &str) -> Result<Answer> {
        let thread = self.threads.remove(name);
        let thread = thread.with_context(|| format!("no thread `{name}`"))?;
        // SAFETY: `enter` has given this box away.
        Ok(*unsafe { Box::from_raw(thread.join().cast::<Answer>()) })
    }
}

/// Waits without sleeping for long: what is waited for comes within a request or two.
fn wait_for(flag: &AtomicBool) {
    let mut spins = 0u32;
    while !flag.load(Ordering::SeqCst) {
        spins += 1;
        match spins {
            0..1000 => std::hint::spin_loop(),
            1000..10_000 => std::thread::yield_now(),
            _ => std::thread::sleep(std::time::Duration::from_micros(100)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::child::Child;
    use nix::sys::signal::{Signal, kill};
    use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
    use nix::unistd::{ForkResult, fork};
    use std::thread::Builder;
    use std::time::{Duration, Instant};

    /// The call comes with the next request, not before.
    #[test]
    fn a_thread_waits_for_the_next_request() {
        let memory = Box::leak(Box::new(std::sync::atomic::AtomicU8::new(3)));
        let call = Call::Write {
            base: memory.as_ptr().addr() as u64,
            runs: vec![(0, 1)],
            byte: 7,
        };
        let mut threads = Threads::default();
        let started = threads.start("t".to_owned(), -1, call);
        assert!(matches!(started, Ok(Answer::Done)));
        std::thread::sleep(std::time::Duration::from_millis(20));
        assert_eq!(memory.load(Ordering::SeqCst), 3);
        threads.release();
        assert!(matches!(threads.wait("t"), Ok(Answer::Done)));
        assert_eq!(memory.load(Ordering::SeqCst), 7);
        assert!(threads.wait("t").is_err());
    }

    /// Forks while threads of the standard library end. Returns the number of children, or an error if one of
    /// them cannot start a thread.
    fn fork_beside_ending_threads() -> Result<usize, String> {
        let gate = Arc::new(AtomicBool::new(false));
        let wait = |_| {
            let gate = gate.clone();
            let thread = Builder::new().stack_size(64 << 10);
            thread.spawn(move || wait_for(&gate)).expect("is started")
        };
        let ending: Vec<_> = (0..500).map(wait).collect();
        gate.store(true, Ordering::SeqCst);
        let mut children = 0;
        while ending.iter().any(|thread| !thread.is_finished()) && children < 40 {
            // SAFETY: The child starts a thread of the C library, and ends.
            let ForkResult::Parent { child } = unsafe { fork() }.map_err(|e| e.to_string())? else {
                let mut threads = Threads::default();
                let call = Call::Write {
                    base: 0,
                    runs: vec![],
                    byte: 0,
                };
                let done = threads.start("t".to_owned(), -1, call).is_ok();
                threads.release();
                let status = i32::from(!done || threads.wait("t").is_err());
                // SAFETY: Ends the process at once.
                unsafe { nix::libc::_exit(status) }
            };
            children += 1;
            let begin = Instant::now();
            loop {
                match waitpid(child, Some(WaitPidFlag::WNOHANG)).map_err(|e| e.to_string())? {
                    WaitStatus::StillAlive if begin.elapsed() < Duration::from_secs(20) => {
                        std::thread::yield_now();
                    }
                    WaitStatus::Exited(_, 0) => break,
                    status => {
                        let _ = kill(child, Signal::SIGKILL);
                        return Err(format!("child {children}: {status:?}"));
                    }
                }
            }
        }
        ending.into_iter().for_each(|thread| _ = thread.join());
        Ok(children)
    }

    /// A process forks while one of its threads ends: the child can start a thread.
    #[test]
    fn a_child_starts_threads_beside_ending_ones() {
        let forks = || {
            let rounds = (0..10).map(|_| fork_beside_ending_threads());
            match rounds.sum::<Result<usize, _>>()? {
                0 => Err("no thread ended beside a fork".to_owned()),
                _ => Ok(()),
            }
        };
        let (_child, result) = Child::new(forks).expect("is started");
        assert_eq!(result, Ok(()));
    }
}
