// SPDX-License-Identifier: GPL-2.0

//! For how long a check holds a root's lock for which other tasks wait.

use crate::{
    host::mm::is_being_killed,
    kernel_ext::sched::cond_resched, //
};
use kernel::{
    prelude::*,
    time::{
        Delta,
        Instant,
        Monotonic, //
    },
};

/// So long a task may wait: then the check gives up what it examines.
const LIMIT: Delta = Delta::from_millis(300);
/// Steps between two looks at the clock.
const STEPS: usize = 64;

/// What a check may do under one root's lock, which it holds from now on.
pub(super) struct Patience<'a> {
    begin: Instant<Monotonic>,
    limit: Delta,
    /// Whether another task waits.
    is_contended: &'a dyn Fn() -> bool,
}

impl<'a> Patience<'a> {
    pub(super) fn new(is_contended: &'a dyn Fn() -> bool) -> Self {
        Self::of(LIMIT, is_contended)
    }

    pub(super) fn of(limit: Delta, is_contended: &'a dyn Fn() -> bool) -> Self {
        Self {
            begin: Instant::now(),
            limit,
            is_contended,
        }
    }

    /// Lets other threads run, at the step `n` of a loop. Sleeps.
    ///
    /// # Errors
    ///
    /// `EINTR` if this thread is being killed; `EAGAIN` if another task has to wait for too long.
    pub(super) fn breathe(&self, n: usize) -> Result {
        cond_resched();
        if n % STEPS != STEPS - 1 {
            return Ok(());
        }
        if is_being_killed() {
            return Err(EINTR);
        }
        if self.begin.elapsed() >= self.limit && (self.is_contended)() {
            return Err(EAGAIN);
        }
        Ok(())
    }
}
