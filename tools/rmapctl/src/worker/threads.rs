// SPDX-License-Identifier: GPL-2.0

//! The threads of a worker: each makes one call, together with the next request.

use super::memory;
use super::protocol::{Answer, Call};
use anyhow::{Context, Result, anyhow};
use std::collections::HashMap;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};

/// The threads that have not been waited for.
#[derive(Default)]
pub(super) struct Threads {
    threads: HashMap<String, JoinHandle<Answer>>,
    /// Opens for the threads that wait for the next request.
    gate: Arc<AtomicBool>,
}

impl Threads {
    /// Starts a thread, and returns when it waits for [`Threads::release`].
    pub(super) fn start(&mut self, name: String, device: RawFd, call: Call) -> Result<Answer> {
        let gate = self.gate.clone();
        let ready = Arc::new(AtomicBool::new(false));
        let is_ready = ready.clone();
        let thread = Builder::new().spawn(move || {
            is_ready.store(true, Ordering::SeqCst);
            wait_for(&gate);
            Answer::from_result(memory::call(device, &call))
        });
        self.threads.insert(name, thread.context("a thread")?);
        wait_for(&ready);
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
        thread.join().map_err(|_| anyhow!("the thread panicked"))
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
}
