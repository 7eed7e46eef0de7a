// SPDX-License-Identifier: GPL-2.0

//! Mirrors `kernel::sync::rcu`.

use crate::{mock, types::NotThreadSafe};

/// Mirrors `kernel::sync::rcu::Guard`: an RCU read section of the thread.
pub struct Guard(NotThreadSafe);

impl Guard {
    /// Mirrors `Guard::new`.
    pub fn new() -> Self {
        mock::rcu::read_lock();
        Self(NotThreadSafe)
    }
}

impl Default for Guard {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        mock::rcu::read_unlock();
    }
}

/// Mirrors `kernel::sync::rcu::read_lock`.
pub fn read_lock() -> Guard {
    Guard::new()
}
