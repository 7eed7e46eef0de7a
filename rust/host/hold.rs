// SPDX-License-Identifier: GPL-2.0

//! For how long the files of debugfs `host/` hold locks of the host: so long a task may have to
//! wait.

use kernel::{
    fmt,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
    time::{
        Instant,
        Monotonic, //
    },
};

/// The longest hold of a kind of lock since the module was loaded, in nanoseconds.
pub(super) struct Longest {
    name: &'static str,
    nanos: Atomic<i64>,
}

/// `mmap_lock`, for reading.
pub(super) static MMAP_LOCK: Longest = Longest::new("host_mmap_lock_us_max");
/// The `rwsem` of a root, for reading.
pub(super) static RWSEM: Longest = Longest::new("host_rwsem_us_max");
/// Either of them, since it was seen that another task waits for it.
pub(super) static WAITED: Longest = Longest::new("host_waited_us_max");

impl Longest {
    const fn new(name: &'static str) -> Self {
        Self {
            name,
            nanos: Atomic::new(0),
        }
    }

    fn note(&self, nanos: i64) {
        let mut longest = self.nanos.load(Relaxed);
        while nanos > longest {
            match self.nanos.cmpxchg(longest, nanos, Relaxed) {
                Ok(_) => return,
                Err(now) => longest = now,
            }
        }
    }
}

/// A hold that has begun; it ends when this is dropped.
pub(super) struct Hold {
    of: &'static Longest,
    begin: Instant<Monotonic>,
}

impl Hold {
    /// Notes that a lock was taken just now, or that another task waits for it.
    pub(super) fn begin(of: &'static Longest) -> Self {
        Self {
            of,
            begin: Instant::now(),
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.of.note(self.begin.elapsed().as_nanos());
    }
}

/// Writes the longest holds in microseconds, as `key: value` lines.
pub(crate) fn show(f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for longest in [&MMAP_LOCK, &RWSEM, &WAITED] {
        let micros = longest.nanos.load(Relaxed) / 1000;
        writeln!(f, "{}: {micros}", longest.name)?;
    }
    Ok(())
}

#[cfg(shadow_rmap_kunit)]
#[path = "tests/hold.rs"]
mod tests;
