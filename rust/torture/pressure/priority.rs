// SPDX-License-Identifier: GPL-2.0

//! Waiting for threads with a higher priority.

use super::{
    Seat,
    DEPTH,
    SEATS, //
};
use crate::{
    kernel_ext::{
        random::Random,
        sched::{
            preempt_here,
            Context, //
        },
    },
    rmap::window::Window, //
};
use kernel::{
    sync::atomic::{
        Acquire,
        Atomic,
        Relaxed, //
    },
    time::{
        delay::udelay,
        Delta, //
    },
};

/// The number of windows that were passed in this round, in
/// [`Mode::Priorities`](super::Mode::Priorities).
static STEP: Atomic<usize> = Atomic::new(0);

/// The most windows that were passed in a round.
static LONGEST: Atomic<usize> = Atomic::new(0);

/// The most steps in a certain order.
pub(in super::super) const MOST_STEPS: usize = 8;

/// The windows of a round at which a thread loses its priority, by their numbers.
static CHANGES: [Atomic<usize>; MOST_STEPS - 1] = [const { Atomic::new(0) }; MOST_STEPS - 1];

/// A hash of the threads and windows of this round, in order: rounds that went the same way have
/// the same.
static TRACE: Atomic<u64> = Atomic::new(0);

/// Forgets the rounds of the last torture.
pub(super) fn reset() {
    LONGEST.store(0, Relaxed);
    STEP.store(0, Relaxed);
    TRACE.store(0, Relaxed);
}

/// Begins a round of `threads` threads: chooses their priorities, and where they lose them. No
/// thread works meanwhile.
pub(in super::super) fn begin_round(threads: usize, random: &mut Random) {
    let longest = longest_round();
    LONGEST.store(longest, Relaxed);
    STEP.store(0, Relaxed);
    TRACE.store(0, Relaxed);
    let depth = DEPTH.load(Relaxed);
    if depth == 0 {
        return;
    }
    // The priorities 0 to depth - 2 are for threads that lose theirs.
    let seats = SEATS.iter().take(threads);
    for (i, seat) in seats.clone().enumerate() {
        seat.priority.store(depth + i, Relaxed);
    }
    for i in (1..threads).rev() {
        let (Some(a), Some(b)) = (SEATS.get(i), SEATS.get(random.below(i + 1))) else {
            continue;
        };
        let one = a.priority.load(Relaxed);
        a.priority.store(b.priority.load(Relaxed), Relaxed);
        b.priority.store(one, Relaxed);
    }
    for change in CHANGES.iter().take(depth - 1) {
        change.store(1 + random.below(longest.max(1)), Relaxed);
    }
}

/// Returns the trace of the round, see [`TRACE`].
pub(in super::super) fn trace() -> u64 {
    TRACE.load(Relaxed)
}

/// Returns the most windows that were passed in a round.
pub(in super::super) fn longest_round() -> usize {
    LONGEST.load(Relaxed).max(STEP.load(Relaxed))
}

/// The longest wait for threads with a higher priority, in microseconds.
const LONGEST_WAIT: u32 = 200;

/// Waits for all threads with a higher priority; returns whether there was one.
pub(super) fn wait(at: Window, i: usize, seat: &Seat, depth: usize) -> bool {
    let step = STEP.fetch_add(1, Relaxed) + 1;
    let changes = CHANGES.iter().take(depth - 1);
    if let Some(lost) = changes.clone().position(|c| c.load(Relaxed) == step) {
        // The first to lose its priority has a higher one than the last.
        seat.priority.store(depth - 2 - lost, Relaxed);
    }
    let word = (i as u64) << 8 | at as u64;
    let trace = TRACE.load(Relaxed);
    // FNV-1a. Two threads that pass at the same time may overwrite each other's hash: then their
    // order was not determined either.
    TRACE.store((trace ^ word).wrapping_mul(0x0100_0000_01b3), Relaxed);

    let mine = seat.priority.load(Relaxed);
    let context = Context::here();
    let longest = if context == Context::Atomic {
        LONGEST_WAIT / 10
    } else {
        LONGEST_WAIT
    };
    let mut waited = false;
    for i in 0..longest {
        let other = SEATS.iter().any(|other| {
            other.task.load(Relaxed) != 0
                && other.busy.load(Acquire) != 0
                && other.priority.load(Relaxed) > mine
        });
        if !other {
            break;
        }
        waited = true;
        udelay(Delta::from_micros(1));
        if context != Context::Atomic && i % 4 == 0 {
            preempt_here();
        }
    }
    waited
}
