// SPDX-License-Identifier: GPL-2.0

//! Threads with a result, and waiting for what they do.

use crate::kernel_ext::kthread::KThread;
use kernel::{
    new_spinlock,
    prelude::*,
    sync::{
        Arc,
        Completion,
        SpinLock, //
    },
    time::{
        delay::fsleep,
        Delta, //
    },
};

/// Waits, ten seconds at most.
pub(crate) fn wait_for(mut done: impl FnMut() -> bool) -> Result {
    for _ in 0..10_000 {
        if done() {
            return Ok(());
        }
        fsleep(Delta::from_millis(1));
    }
    Err(ETIMEDOUT)
}

/// A thread that runs a closure, and its result.
pub(crate) struct Job<T> {
    thread: KThread,
    done: Arc<Completion>,
    result: Arc<SpinLock<Option<T>>>,
}

impl<T: Send + Unpin + 'static> Job<T> {
    /// Starts a thread that runs `job`. Sleeps.
    pub(crate) fn start(job: impl FnOnce() -> T + Send + 'static) -> Result<Self> {
        let done = Arc::pin_init(Completion::new(), GFP_KERNEL)?;
        let result: Arc<SpinLock<_>> = Arc::pin_init(new_spinlock!(None), GFP_KERNEL)?;
        let (finished, place) = (done.clone(), result.clone());
        let thread = KThread::spawn(fmt!("shadow_rmap/test"), move |_| {
            let value = job();
            *place.lock() = Some(value);
            finished.complete_all();
        })?;
        Ok(Self {
            thread,
            done,
            result,
        })
    }

    /// Waits until the thread has ended, with all that it had.
    pub(crate) fn join(self) -> Result<T> {
        self.done.wait_for_completion();
        drop(self.thread);
        let mut result = self.result.lock();
        result.take().ok_or(EINTR)
    }
}
