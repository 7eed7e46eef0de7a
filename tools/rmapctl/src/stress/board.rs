// SPDX-License-Identifier: GPL-2.0

//! Memory that all processes of a stress run share: counters, the last events, the end.

use super::actor::Operation;
use super::slots::Slots;
use crate::shared::Shareable;
use nix::errno::Errno;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicU64};

/// The number of events that are kept.
const EVENTS: usize = 256;

/// What the processes of a run share. All zeroes at the start.
pub(super) struct Board {
    /// All processes shall end.
    pub(super) stop: AtomicBool,
    /// Operations done, whether the kernel refused them or not.
    pub(super) operations: AtomicU64,
    /// Operations that the kernel refused, and touches of pages without access.
    pub(super) refused: AtomicU64,
    /// Forks that busy processes made.
    pub(super) forks: AtomicU64,
    /// Children of busy processes that are alive.
    pub(super) children: Slots,
    /// Busy processes that were killed.
    pub(super) kills: AtomicU64,
    /// Processes that the kernel has killed for want of memory.
    pub(super) ooms: AtomicU64,
    /// Processes that have opened the device themselves, and have ended.
    pub(super) visits: AtomicU64,
    /// Checks of such processes that failed, or found something.
    pub(super) bad_visits: AtomicU64,
    /// What was not done for want of memory: processes and threads of the load that were not made,
    /// or did not map the device; checks and reads, where that is no failure.
    pub(super) starved: AtomicU64,
    next: AtomicU64,
    events: [AtomicU64; EVENTS],
}

/// An operation of a process, as an event of 64 bits.
pub(super) struct Event {
    pub(super) pid: u32,
    pub(super) operation: Operation,
    pub(super) first: u8,
    pub(super) count: u8,
    /// 0, or the number of the error.
    pub(super) error: u8,
}

impl Event {
    fn pack(&self) -> u64 {
        u64::from_le_bytes({
            let pid = self.pid.to_le_bytes();
            let rest = [self.operation as u8, self.first, self.count, self.error];
            [
                pid[0], pid[1], pid[2], pid[3], rest[0], rest[1], rest[2], rest[3],
            ]
        })
    }

    fn describe(packed: u64) -> Option<String> {
        let [a, b, c, d, operation, first, count, error] = packed.to_le_bytes();
        let pid = u32::from_le_bytes([a, b, c, d]);
        let operation = Operation::ALL.get(usize::from(operation))?.name();
        let end = u64::from(first) + u64::from(count);
        let error = match error {
            0 => String::new(),
            number => format!(": {:?}", Errno::from_raw(i32::from(number))),
        };
        Some(format!("pid {pid}: {operation} {first}..{end}{error}"))
    }
}

impl Board {
    pub(super) fn stopped(&self) -> bool {
        self.stop.load(Relaxed)
    }

    /// Notes an operation.
    pub(super) fn note(&self, event: &Event) {
        self.operations.fetch_add(1, Relaxed);
        if event.error != 0 {
            self.refused.fetch_add(1, Relaxed);
        }
        let at = self.next.fetch_add(1, SeqCst) as usize % EVENTS;
        self.events[at].store(event.pack(), SeqCst);
    }

    /// Returns the process that has done the last operation.
    pub(super) fn last_pid(&self) -> Option<u32> {
        let last = self.next.load(SeqCst).checked_sub(1)? as usize;
        let [a, b, c, d, ..] = self.events[last % EVENTS].load(SeqCst).to_le_bytes();
        Some(u32::from_le_bytes([a, b, c, d])).filter(|&pid| pid > 0)
    }

    /// Returns the last events, the oldest first.
    pub(super) fn last_events(&self) -> Vec<String> {
        let next = self.next.load(SeqCst);
        (next.saturating_sub(EVENTS as u64)..next)
            .filter_map(|n| Event::describe(self.events[n as usize % EVENTS].load(SeqCst)))
            .collect()
    }
}

// SAFETY: The fields are atomic.
unsafe impl Shareable for Board {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::Shared;

    #[test]
    fn the_last_events_are_kept_in_order() {
        let shared = Shared::<Board>::new().expect("is mapped");
        assert_eq!(shared.last_pid(), None);
        for n in 0..300u32 {
            shared.note(&Event {
                pid: 100_000 + n,
                operation: Operation::Move,
                first: 7,
                count: 3,
                error: if n == 299 { Errno::EFAULT as u8 } else { 0 },
            });
        }
        let events = shared.last_events();
        assert_eq!(events.len(), EVENTS);
        assert_eq!(shared.last_pid(), Some(100_299));
        assert_eq!(events[0], "pid 100044: move 7..10");
        assert_eq!(events[EVENTS - 1], "pid 100299: move 7..10: EFAULT");
        assert_eq!(shared.operations.load(Relaxed), 300);
        assert_eq!(shared.refused.load(Relaxed), 1);
    }
}
