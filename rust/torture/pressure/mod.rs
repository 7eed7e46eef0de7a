// SPDX-License-Identifier: GPL-2.0

//! What threads do in the windows between two steps: they let other threads run.
//!
//! | module | contents |
//! |---|---|
//! | `stay` | staying in a window at random |
//! | `priority` | waiting for threads with a higher priority |
//! | `history` | the last windows that each thread has passed |
//!
//! In a race one thread is between two steps while another one acts. By itself that hardly ever
//! happens. So a thread that passes a [`Window`] sometimes stays there: it is preempted, spins, or,
//! where it may, sleeps; most often until a thread has passed a window of the other side of the
//! race. If a thread has, that was a *near miss*: the other side was at work meanwhile, in this
//! family or in another.
//!
//! There are two ways of deciding which thread stays where.
//!
//! *At random*, each time anew.
//!
//! *By priority* (probabilistic concurrency testing: Burckhardt, Kothari, Musuvathi and
//! Nagarakatte, ASPLOS 2010). At the beginning of a round each of the `n` threads gets a priority;
//! at a window a thread waits for all threads with a higher one. At `d - 1` of the `k` windows of a
//! round, chosen beforehand, the thread that passes loses its priority. A bug that needs `d` steps
//! in a certain order is met in a round with a probability of at least `1 / (n * k^(d-1))`, if
//! exactly one thread runs at a time. Here that holds only approximately: a thread gives up waiting
//! after a while, because the other one may be waiting for it; and between two windows all threads
//! run.
//!
//! All decisions come from the seed. See `Documentation/torture.rst` for what that guarantees.

mod history;
mod priority;
mod stay;

pub(super) use history::recent;
pub(super) use priority::{
    begin_round,
    longest_round,
    trace,
    MOST_STEPS, //
};
pub(super) use stay::linger;

use crate::{
    rmap::{
        kind::Windows,
        window::{
            Window,
            WINDOWS, //
        }, //
    },
    stats, //
};
use kernel::{
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed,
        Release, //
    },
    task::Task, //
};

/// Windows in which threads of a torture stay, and allocations that it lets fail.
pub(crate) struct Pressure;

impl Windows for Pressure {
    fn window(at: Window) {
        // A test has one operation's thread wait here, which is no thread of a torture.
        #[cfg(shadow_rmap_kunit)]
        crate::rmap::testing::Hooked::window(at);
        pass(at);
    }

    fn allocation() -> Result {
        allocate()
    }
}

/// The most threads.
pub(super) const MOST_THREADS: usize = 32;

/// How it is decided which thread stays in which window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// At random.
    Random,
    /// By priority, for bugs that need so many steps in a certain order.
    Priorities(usize),
}

impl Mode {
    /// Returns its name in `control`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::Priorities(_) => "pct",
        }
    }
}

/// What the windows know of a thread of the torture.
///
/// Only that thread changes it, except for `priority` between two rounds.
struct Seat {
    /// The thread; 0 for none.
    task: Atomic<usize>,
    /// The state of the thread's random sequence.
    random: Atomic<u64>,
    /// A thread waits for those with higher numbers.
    priority: Atomic<usize>,
    /// 1 while the thread works, 0 between two rounds.
    busy: Atomic<usize>,
}

static SEATS: [Seat; MOST_THREADS] = [const {
    Seat {
        task: Atomic::new(0),
        random: Atomic::new(0),
        priority: Atomic::new(0),
        busy: Atomic::new(0),
    }
}; MOST_THREADS];

impl Seat {
    /// Returns the number and the seat of this thread, if it has one.
    fn mine() -> Option<(usize, &'static Self)> {
        let me = me();
        SEATS
            .iter()
            .enumerate()
            .find(|(_, seat)| seat.task.load(Relaxed) == me)
    }

    /// Returns the next number of this thread's sequence, by Knuth's generator for MMIX. Its state
    /// is one word, which fits into an atomic.
    fn next(&self) -> u32 {
        let state = self
            .random
            .load(Relaxed)
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.random.store(state, Relaxed);
        // The lower bits have short periods.
        (state >> 32) as u32
    }
}

/// Returns a number that identifies this thread.
fn me() -> usize {
    Task::current_raw().addr()
}

/// The number of passages of each window.
static PASSED: [Atomic<usize>; WINDOWS.len()] = [const { Atomic::new(0) }; WINDOWS.len()];

/// How often a thread of the other side passed a window while a thread stayed in it.
static NEAR: [Atomic<usize>; WINDOWS.len()] = [const { Atomic::new(0) }; WINDOWS.len()];

/// The number of passages of windows of each side.
static SIDES: [Atomic<usize>; 2] = [const { Atomic::new(0) }; 2];

/// The number of steps of [`Mode::Priorities`]; 0 for [`Mode::Random`].
static DEPTH: Atomic<usize> = Atomic::new(0);

/// A bit for each window in which threads stay more often, and longer.
static FOCUS: Atomic<u64> = Atomic::new(0);

/// In one passage of so many the thread stays.
static STAY: Atomic<usize> = Atomic::new(1);

/// One allocation of so many fails; 0 for none.
static FAILURES: Atomic<usize> = Atomic::new(0);

/// Resets all counters when a torture begins.
pub(super) fn begin(mode: Mode, focus: &[Window], stay: usize, failures: usize) {
    let counts = [&PASSED[..], &NEAR[..], &SIDES[..]];
    for count in counts.into_iter().flatten() {
        count.store(0, Relaxed);
    }
    history::reset();
    for seat in &SEATS {
        seat.task.store(0, Relaxed);
    }
    priority::reset();
    let focus = focus.iter().fold(0, |all, at| all | 1_u64 << *at as u32);
    FOCUS.store(focus, Relaxed);
    STAY.store(stay.max(1), Relaxed);
    FAILURES.store(failures, Relaxed);
    let depth = match mode {
        Mode::Random => 0,
        Mode::Priorities(depth) => depth.clamp(1, MOST_STEPS),
    };
    DEPTH.store(depth, Relaxed);
}

/// Returns how often window `i` was passed, and how often it was a near miss.
pub(super) fn counts(i: usize) -> (usize, usize) {
    let of = |counts: &[Atomic<usize>]| counts.get(i).map_or(0, |count| count.load(Relaxed));
    (of(&PASSED), of(&NEAR))
}

/// Returns the near misses in all windows.
pub(super) fn near_misses() -> usize {
    NEAR.iter().map(|count| count.load(Relaxed)).sum()
}

/// This thread has a seat, until this is dropped.
pub(super) struct Seated(&'static Seat);

impl Seated {
    /// Takes seat `i`, with a random sequence that starts at `random`.
    pub(super) fn take(i: usize, random: u64) -> Option<Self> {
        let seat = SEATS.get(i)?;
        seat.random.store(random, Relaxed);
        seat.busy.store(0, Relaxed);
        seat.task.store(me(), Release);
        Some(Self(seat))
    }

    /// Says whether the thread works, and starts its random sequence at `random`.
    pub(super) fn set_busy(&self, busy: bool, random: u64) {
        self.0.random.store(random, Relaxed);
        self.0.busy.store(busy.into(), Relaxed);
    }
}

impl Drop for Seated {
    fn drop(&mut self) {
        self.0.task.store(0, Release);
    }
}

/// Lets one of so many allocations of the torture's threads fail.
///
/// # Errors
///
/// `ENOMEM` for one that is to fail.
pub(crate) fn allocate() -> Result {
    let one_of = FAILURES.load(Relaxed);
    if one_of == 0 {
        return Ok(());
    }
    match Seat::mine() {
        Some((_, seat)) if seat.next() as usize % one_of == 0 => Err(ENOMEM),
        _ => Ok(()),
    }
}

/// Returns the side of a race on which a window is: 1 for threads that rely on what they have read,
/// 0 for threads that change it.
fn side(at: Window) -> usize {
    match at {
        Window::Found
        | Window::RootRead
        | Window::Locked
        | Window::RcuLeft
        | Window::Referenced
        | Window::Pinned
        | Window::Confirmed
        | Window::Outlived
        | Window::BetweenVmas
        | Window::PageUnmapped
        | Window::PrepareTested => 1,
        _ => 0,
    }
}

fn inc(counts: &[Atomic<usize>], i: usize) -> usize {
    counts.get(i).map_or(0, |count| count.fetch_add(1, Relaxed))
}

fn load(counts: &[Atomic<usize>], i: usize) -> usize {
    counts.get(i).map_or(0, |count| count.load(Relaxed))
}

/// Is called by a thread in a window. Any context.
pub(crate) fn pass(at: Window) {
    let Some((i, seat)) = Seat::mine() else {
        return;
    };
    history::remember(i, at);
    inc(&PASSED, at as usize);
    inc(&SIDES, side(at));
    let others = 1 - side(at);
    let before = load(&SIDES, others);
    let stayed = match DEPTH.load(Relaxed) {
        0 => stay::at_random(at, seat, others),
        depth => priority::wait(at, i, seat, depth),
    };
    if stayed && load(&SIDES, others) != before {
        inc(&NEAR, at as usize);
        stats::NEAR_MISSES.inc();
    }
}
