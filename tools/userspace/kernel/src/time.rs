// SPDX-License-Identifier: GPL-2.0

//! Mirrors `kernel::time`.

use core::marker::PhantomData;

/// Mirrors `kernel::time::Delta`: a span of time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Delta(std::time::Duration);

impl Delta {
    /// Mirrors `Delta::from_micros`. Not negative.
    pub const fn from_micros(micros: i64) -> Self {
        Self(std::time::Duration::from_micros(micros.unsigned_abs()))
    }

    /// Mirrors `Delta::from_millis`. Not negative.
    pub const fn from_millis(millis: i64) -> Self {
        Self(std::time::Duration::from_millis(millis.unsigned_abs()))
    }

    /// Mirrors `Delta::as_millis`.
    pub fn as_millis(self) -> i64 {
        i64::try_from(self.0.as_millis()).unwrap_or(i64::MAX)
    }
}

/// Mirrors `kernel::time::Monotonic`.
pub struct Monotonic(());

/// Mirrors `kernel::time::Instant`.
pub struct Instant<C>(std::time::Instant, PhantomData<C>);

impl<C> Instant<C> {
    /// Mirrors `Instant::now`.
    pub fn now() -> Self {
        Self(std::time::Instant::now(), PhantomData)
    }

    /// Mirrors `Instant::elapsed`.
    pub fn elapsed(&self) -> Delta {
        Delta(self.0.elapsed())
    }
}

/// Mirrors `kernel::time::delay`.
pub mod delay {
    use super::Delta;

    /// Mirrors `fsleep()`. Sleeps.
    pub fn fsleep(delta: Delta) {
        crate::task::might_sleep();
        crate::mock::schedule::pause(delta.0);
    }

    /// Mirrors `udelay()`: does not sleep, as far as the rules go. Other threads get the CPU all
    /// the same, as there may be fewer CPUs than threads that wait like this.
    pub fn udelay(delta: Delta) {
        let begin = std::time::Instant::now();
        while begin.elapsed() < delta.0 {
            crate::mock::schedule::yield_now();
        }
    }
}
