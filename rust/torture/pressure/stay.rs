// SPDX-License-Identifier: GPL-2.0

//! Staying in a window at random.

use super::{
    load,
    Seat,
    DEPTH,
    FOCUS,
    SIDES,
    STAY, //
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
    sync::atomic::Relaxed,
    time::{
        delay::{
            fsleep,
            udelay, //
        },
        Delta,
        Instant,
        Monotonic, //
    },
};

/// The thread stays in one passage of so many, in a window of [`FOCUS`].
const ONE_OF_FEW: u32 = 4;

/// Stays in a window, or not; returns whether it stayed.
pub(super) fn at_random(at: Window, seat: &Seat, others: usize) -> bool {
    if sleeps_long(at) && Context::here() == Context::Sleepable {
        return sleep_long(at, seat);
    }
    let stay = STAY.load(Relaxed) as u32;
    let focus = FOCUS.load(Relaxed) >> at as u32 & 1 != 0;
    let one_of = if focus { ONE_OF_FEW.min(stay) } else { stay };
    let random = seat.next();
    if random % one_of != 0 {
        return false;
    }
    let random = random / one_of;
    let (how, much) = (random % 16, random / 16);
    match how {
        0..2 => preempt_here(),
        2..4 => udelay(Delta::from_micros((1 + much % 16).into())),
        4..15 if !focus => wait_for_others(others, 1 + much as usize % 6),
        // Long enough for a process to be created, to work, and to exit.
        _ => wait_for_others(others, 8 + much as usize % 60),
    }
    true
}

/// The longest wait for others, in microseconds, of a thread that keeps its CPU.
const SPINS: i64 = 400;
/// The longest wait of a thread that lets others run.
const WAITS: i64 = 1_500;

/// Returns whether a thread holds no lock in this window, and other threads need much time for the
/// race.
fn sleeps_long(at: Window) -> bool {
    matches!(at, Window::RcuLeft | Window::Pinned | Window::Outlived)
}

/// Sleeps, or not; returns whether it slept.
fn sleep_long(at: Window, seat: &Seat) -> bool {
    let random = seat.next();
    let micros = match at {
        // A grace period, and time for the memory to be used again.
        Window::RcuLeft => 20_000 + random % 80_000,
        // Long enough for the last reference to be dropped.
        Window::Outlived => 1_000 + random % 3_000,
        // Long enough for a process to exit.
        _ if random % 8 != 0 => 50 + random % 2_000,
        _ => return false,
    };
    fsleep(Delta::from_micros(micros.into()));
    true
}

/// Waits until threads of the other side have passed `times` windows, or for some time.
fn wait_for_others(others: usize, times: usize) {
    let before = load(&SIDES, others);
    let context = Context::here();
    let longest = if context == Context::Atomic {
        SPINS
    } else {
        WAITS
    };
    let begin = Instant::<Monotonic>::now();
    while load(&SIDES, others).wrapping_sub(before) < times {
        if begin.elapsed().as_micros_ceil() > longest {
            return;
        }
        match context {
            Context::Atomic => udelay(Delta::from_micros(1)),
            Context::Preemptible => {
                udelay(Delta::from_micros(2));
                preempt_here();
            }
            Context::Sleepable => fsleep(Delta::from_micros(20)),
        }
    }
}

/// Waits for a moment, until other threads have passed windows. Sleepable contexts only.
pub(in super::super) fn linger(random: &mut Random) {
    if DEPTH.load(Relaxed) == 0 && random.chance(1, 2) {
        wait_for_others(1, 1 + random.below(4));
    }
}
