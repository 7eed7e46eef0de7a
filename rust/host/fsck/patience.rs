// SPDX-License-Identifier: GPL-2.0

//! For how long a check holds a root's lock for which other tasks wait.

use crate::{
    host::{
        hold::{
            Hold,
            WAITED, //
        },
        mm::is_being_killed, //
    },
    kernel_ext::sched::cond_resched, //
};
use core::cell::Cell;
use kernel::{
    prelude::*,
    time::{
        delay::fsleep,
        Delta,
        Instant,
        Monotonic, //
    },
};

/// Time after which a check gives a VMA up if another task waits.
const LIMIT: Delta = Delta::from_millis(300);
/// Steps between two looks at the clock. A step reads a link, or an entry of a tree.
const STEPS: usize = 64;

/// What a check may do under one root's lock, which it holds from now on.
pub(super) struct Patience<'a> {
    begin: Cell<Instant<Monotonic>>,
    limit: Delta,
    /// Steps since the last look at the clock.
    steps: Cell<usize>,
    /// Whether another task waits.
    is_contended: &'a dyn Fn() -> bool,
    /// Since it was seen that one does.
    waits: Cell<Option<Hold>>,
}

impl<'a> Patience<'a> {
    /// With the usual limit.
    pub(super) fn new(is_contended: &'a dyn Fn() -> bool) -> Self {
        Self::of(LIMIT, is_contended)
    }

    /// With another limit.
    pub(super) fn of(limit: Delta, is_contended: &'a dyn Fn() -> bool) -> Self {
        Self {
            begin: Cell::new(Instant::now()),
            limit,
            steps: Cell::new(0),
            is_contended,
            waits: Cell::new(None),
        }
    }

    /// Holds the lock for `hold` more, which does not count. Sleeps.
    pub(super) fn hold(&self, hold: Delta) {
        fsleep(hold);
        self.begin.set(Instant::now());
    }

    /// Lets other threads run, at a step. Sleeps.
    ///
    /// # Errors
    ///
    /// `EINTR` if this thread is being killed; `EAGAIN` if another task has to wait for too long.
    pub(super) fn breathe(&self) -> Result {
        cond_resched();
        self.steps.set(self.steps.get() + 1);
        if self.steps.get() < STEPS {
            return Ok(());
        }
        self.steps.set(0);
        if is_being_killed() {
            return Err(EINTR);
        }
        if !(self.is_contended)() {
            return Ok(());
        }
        let waits = self.waits.take();
        self.waits.set(waits.or_else(|| Some(Hold::begin(&WAITED))));
        if self.begin.get().elapsed() >= self.limit {
            return Err(EAGAIN);
        }
        Ok(())
    }
}
