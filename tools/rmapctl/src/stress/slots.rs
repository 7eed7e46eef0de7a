// SPDX-License-Identifier: GPL-2.0

//! Places for the children of busy processes, in shared memory. A process may be killed at any time,
//! also while it forks, so each place has the number of the process that holds it.

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use std::sync::atomic::AtomicI32;
use std::sync::atomic::Ordering::Relaxed;

/// The most children of busy processes: two for each.
const MOST: usize = 512;

/// The places: 0, or the number of a process. All are free at the start.
pub(super) struct Slots([AtomicI32; MOST]);

/// A place that is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot(usize);

impl Slots {
    /// Takes one of the first `most` places for the process `pid`; [`None`] if none is free. It
    /// allocates nothing.
    pub(super) fn take(&self, most: usize, pid: Pid) -> Option<Slot> {
        let free = |slot: &AtomicI32| {
            let taken = slot.compare_exchange(0, pid.as_raw(), Relaxed, Relaxed);
            taken.is_ok()
        };
        self.0.iter().take(most).position(free).map(Slot)
    }

    /// Hands a place on to another process. Does nothing if `from` does not hold it any more.
    pub(super) fn hand_on(&self, slot: Slot, from: Pid, to: Pid) {
        let _ = self.0[slot.0].compare_exchange(from.as_raw(), to.as_raw(), Relaxed, Relaxed);
    }

    /// Gives a place back, as [`hand_on`](Self::hand_on).
    pub(super) fn give_back(&self, slot: Slot, from: Pid) {
        let _ = self.0[slot.0].compare_exchange(from.as_raw(), 0, Relaxed, Relaxed);
    }

    /// Frees the places of processes that are gone.
    pub(super) fn free_those_of_the_dead(&self) {
        for (i, slot) in self.0.iter().enumerate() {
            let pid = Pid::from_raw(slot.load(Relaxed));
            if pid.as_raw() != 0 && kill(pid, None) == Err(Errno::ESRCH) {
                self.give_back(Slot(i), pid);
            }
        }
    }

    /// Returns how many are taken.
    #[cfg(test)]
    pub(super) fn taken(&self) -> usize {
        let taken = |slot: &&AtomicI32| slot.load(Relaxed) != 0;
        self.0.iter().filter(taken).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::unistd::getpid;

    fn slots() -> Slots {
        Slots([const { AtomicI32::new(0) }; MOST])
    }

    #[test]
    fn a_place_is_taken_once() {
        let (slots, me, child) = (slots(), Pid::from_raw(7), Pid::from_raw(8));
        assert_eq!(slots.take(0, me), None);
        let slot = slots.take(1, me).expect("is free");
        assert_eq!(slots.take(1, me), None);
        slots.hand_on(slot, me, child);
        // It is the child's now.
        slots.give_back(slot, me);
        assert_eq!(slots.taken(), 1);
        slots.give_back(slot, child);
        assert_eq!(slots.taken(), 0);
    }

    #[test]
    fn a_process_that_is_gone_holds_no_place() {
        let slots = slots();
        let mut child = std::process::Command::new("true").spawn().expect("starts");
        let gone = Pid::from_raw(child.id().try_into().expect("is small"));
        assert!(slots.take(2, gone).is_some() && slots.take(2, getpid()).is_some());
        // It is there until its end is waited for.
        slots.free_those_of_the_dead();
        assert_eq!(slots.taken(), 2);
        child.wait().expect("ends");
        slots.free_those_of_the_dead();
        assert_eq!(slots.taken(), 1);
        assert_eq!(slots.take(1, getpid()), Some(Slot(0)));
    }
}
